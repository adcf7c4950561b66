/* checkpoint.c - the folder is the job's: every look reads it all again, and only the book remembers.
 *
 * A file's mark is its inode, size and both times. The time of change cannot be set by anybody, and grows with every
 * write: a file that was left alone for some ticks of the kernel's clock and then has the same mark has the same bytes.
 *
 * Two names tell the container what happens: <file>.sagemaker-uploading stands while a file is put,
 * <file>.sagemaker-uploaded when S3 has it. */
#include "agent/checkpoint.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "agent/walk.h"
#include "base/fd.h"
#include "base/log.h"

#define UPLOADING ".sagemaker-uploading"
#define UPLOADED  ".sagemaker-uploaded"
#define IGNORED   ".sagemaker-ignore"

enum {
    TICK_MS = 20,      /* more than a tick of the kernel's clock, which dates changes */
    QUIET_MS = 1000,   /* where the kernel does not say who writes */
    MISSING_MS = 100,
    EVENTS = IN_CLOSE_WRITE | IN_MODIFY | IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_DELETE_SELF,
};

struct candidate {
    const char *path;
    struct timespec changed;
};

struct look {
    struct checkpoint *c;
    enum checkpoint_when when;
    struct arena *arena;
    int root;
    struct map *seen;
    struct candidate *candidates;
    size_t count, room;
    bool noting;    /* everything is noted, nothing is put */
    bool postponed; /* a file that is whole was not put: it changed a moment ago */
    int64_t again_ms;
};

bool checkpoint_is_marker(const char *name)
{
    return text_ends(name, UPLOADING) || text_ends(name, UPLOADED);
}

static void come_back(struct look *l, int64_t ms)
{
    if (!l->again_ms || ms < l->again_ms)
        l->again_ms = ms;
}

static const char *mark_of(struct arena *a, const struct stat *st)
{
    return arena_printf(a, "%llu:%lld:%lld.%09ld:%lld.%09ld", (unsigned long long)st->st_ino, (long long)st->st_size,
                        (long long)st->st_mtim.tv_sec, st->st_mtim.tv_nsec, (long long)st->st_ctim.tv_sec,
                        st->st_ctim.tv_nsec);
}

static int open_root(const struct checkpoint *c)
{
    _cleanup_fd_ int base = -1;

    if (!c->base)
        return open(c->root, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    base = open(c->base, O_PATH | O_DIRECTORY | O_CLOEXEC);
    return base < 0 ? -1 : walk_open(base, c->root, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
}

/* --- Who writes --- */

static int64_t age_ms(const struct checkpoint *c, const struct stat *st)
{
    int64_t age = clock_wall_ms(c->clock) - ((int64_t)st->st_ctim.tv_sec * 1000 + st->st_ctim.tv_nsec / 1000000);

    return age < 0 ? INT64_MAX : age; /* the clock was set back */
}

/* A read lease is refused while anybody has the file open or mapped for writing. It is given back at once: a writer who
 * comes in between waits for no longer than that. */
static bool being_written(const struct checkpoint *c, int fd, const struct stat *st)
{
    /* Should one come, the kernel tells us by a signal that is ignored unless somebody asks for it, not by SIGIO. */
    if (fcntl(fd, F_SETSIG, SIGURG) == 0 && fcntl(fd, F_SETLEASE, F_RDLCK) == 0) {
        fcntl(fd, F_SETLEASE, F_UNLCK);
        return false;
    }
    return errno == EAGAIN || age_ms(c, st) < QUIET_MS;
}

/* --- What the container is told --- */

/* The folder of a path and the marker's name in it. */
static int marker_at(struct look *l, const char *path, const char *suffix, const char **ret_name)
{
    const char *slash = strrchr(path, '/');
    const char *folder = slash ? arena_strndup(l->arena, path, (size_t)(slash - path)) : ".";

    *ret_name = arena_printf(l->arena, "%s%s", slash ? slash + 1 : path, suffix);
    return walk_open(l->root, folder, O_PATH | O_DIRECTORY);
}

static void set_marker(struct look *l, const char *path, const char *suffix, bool there)
{
    const char *name;
    _cleanup_fd_ int folder = marker_at(l, path, suffix, &name), fd = -1;

    /* A full disk or a name that is too long leaves the container without a word, and loses nothing. */
    if (folder < 0)
        return;
    if (there)
        fd = openat(folder, name, O_WRONLY | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0644);
    else
        unlinkat(folder, name, 0);
}

/* --- One file --- */

struct upload {
    struct look *look;
    const char *path, *mark;
    int fd;
};

static bool unchanged(void *data)
{
    struct upload *u = data;
    struct checkpoint *c = u->look->c;
    _cleanup_arena_ struct arena *a = arena_new();
    _cleanup_fd_ int again = walk_open(u->look->root, u->path, O_PATH | O_NOFOLLOW);
    struct stat now, named;

    /* A file that was removed or replaced meanwhile is not what its name stands for any more. */
    return fstat(u->fd, &now) == 0 && strcmp(mark_of(a, &now), u->mark) == 0 && again >= 0 &&
           fstat(again, &named) == 0 && named.st_ino == now.st_ino && named.st_dev == now.st_dev &&
           (u->look->when != CHECKPOINT_RUNNING || !being_written(c, u->fd, &now));
}

static int postpone(struct look *l)
{
    l->postponed = true;
    come_back(l, TICK_MS);
    return 0;
}

static int put_file(struct look *l, const char *path, struct err *err)
{
    struct checkpoint *c = l->c;
    _cleanup_fd_ int fd = walk_open(l->root, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
    struct upload u = { .look = l, .path = path, .fd = fd };
    struct book_entry known = { .mark = "" };
    bool busy, marks = l->when == CHECKPOINT_RUNNING && !c->plain;
    struct stat st;
    int r;

    if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
        /* Moved in between: the next look sees where it is then. */
        return postpone(l);
    }
    busy = l->when == CHECKPOINT_RUNNING && being_written(c, fd, &st);
    /* Looked up only now: a writer who is gone because he was killed was written down before. */
    book_find(c->book, l->arena, path, &known);
    if (busy) {
        if (known.torn_inode != (int64_t)st.st_ino)
            book_torn(c->book, path, (int64_t)st.st_ino);
        come_back(l, QUIET_MS);
        return 0;
    }
    if ((l->when == CHECKPOINT_KILLED || book_killed(c->book)) && known.torn_inode == (int64_t)st.st_ino) {
        log_warning("checkpoint.half", "path=%s", log_quote(l->arena, path));
        return 0;
    }
    if (age_ms(c, &st) < TICK_MS && l->when == CHECKPOINT_RUNNING)
        return postpone(l);
    u.mark = mark_of(l->arena, &st);
    book_intend(c->book, path);
    if (marks) {
        set_marker(l, path, UPLOADED, false);
        set_marker(l, path, UPLOADING, true);
    }
    r = c->store->put(c->store, path, fd, unchanged, &u, err);
    if (r == 0 && marks && unchanged(&u))
        set_marker(l, path, UPLOADED, true);
    if (marks)
        set_marker(l, path, UPLOADING, false);
    if (r == 0)
        book_note(c->book, path, u.mark);
    if (r == 0 || err->kind == ERR_CONFLICT || unchanged(&u))
        return r;
    return postpone(l);
}

/* --- All files --- */

static bool enter_folder(void *context, int folder, const char *path)
{
    struct look *l = context;
    char name[64];

    if (text_ends(path, IGNORED) && !l->c->plain)
        return false;
    /* Watched before it is read: what comes in between is seen by one of the two. */
    snprintf(name, sizeof name, "/proc/self/fd/%d", folder);
    if (l->c->watch >= 0 && inotify_add_watch(l->c->watch, name, EVENTS | IN_ONLYDIR) < 0)
        l->c->unwatched = true;
    return true;
}

/* A marker without its file is of nobody's use. */
static void sweep_marker(int folder, const char *name, const char *suffix)
{
    char file[NAME_MAX + 1];
    struct stat st;

    snprintf(file, sizeof file, "%.*s", (int)(strlen(name) - strlen(suffix)), name);
    if (text_ends(name, suffix) && fstatat(folder, file, &st, AT_SYMLINK_NOFOLLOW) < 0 && errno == ENOENT)
        unlinkat(folder, name, 0);
}

static int take_file(void *context, int folder, const char *name, const char *path, const struct stat *st,
                     struct err *err)
{
    struct look *l = context;
    struct book_entry known;

    if (text_ends(name, IGNORED) && !l->c->plain)
        return 0;
    if (checkpoint_is_marker(name) && !l->c->plain) {
        sweep_marker(folder, name, text_ends(name, UPLOADING) ? UPLOADING : UPLOADED);
        return 0;
    }
    if (l->noting) {
        book_note(l->c->book, path, mark_of(l->arena, st));
        return 0;
    }
    map_set(l->seen, str_of(path), l);
    if (book_find(l->c->book, l->arena, path, &known) && strcmp(known.mark, mark_of(l->arena, st)) == 0)
        return 0;
    if (l->count == l->room) {
        struct candidate *more = arena_array_of(l->arena, struct candidate, l->room * 2 + 64);

        if (l->count)
            memcpy(more, l->candidates, sizeof *more * l->count);
        l->candidates = more;
        l->room = l->room * 2 + 64;
    }
    l->candidates[l->count++] = (struct candidate){ path, st->st_ctim };
    return 0;
}

static int by_time(const void *a, const void *b)
{
    const struct timespec *x = &((const struct candidate *)a)->changed, *y = &((const struct candidate *)b)->changed;

    if (x->tv_sec != y->tv_sec)
        return x->tv_sec < y->tv_sec ? -1 : 1;
    return x->tv_nsec < y->tv_nsec ? -1 : x->tv_nsec > y->tv_nsec;
}

/* Only what the kernel says is gone is gone: a folder that could not be read says nothing. */
static bool is_gone(struct look *l, const char *path)
{
    _cleanup_fd_ int fd = walk_open(l->root, path, O_PATH | O_NOFOLLOW);
    struct stat st;

    if (fd < 0)
        return errno == ENOENT || errno == ENOTDIR || errno == ELOOP;
    return fstat(fd, &st) == 0 && !S_ISREG(st.st_mode);
}

/* A walk may miss a file that is moved while it runs: what is gone was missed twice, with everything that was found put
 * in between, and is asked for by its name. */
static int remove_missing(struct look *l, struct err *err)
{
    struct checkpoint *c = l->c;
    struct map *missing = map_new();
    const char **paths = book_paths(c->book, l->arena);
    int r = 0;

    for (; r == 0 && *paths; paths++) {
        if (map_get(l->seen, str_of(*paths)))
            continue;
        if (!is_gone(l, *paths)) {
            come_back(l, MISSING_MS);
            continue;
        }
        if (l->when == CHECKPOINT_RUNNING && !(c->missing && map_get(c->missing, str_of(*paths)))) {
            map_set(missing, str_of(*paths), l);
            come_back(l, MISSING_MS);
            continue;
        }
        r = c->store->remove(c->store, *paths, err);
        if (r == 0) {
            book_forget(c->book, *paths);
            set_marker(l, *paths, UPLOADED, false);
            set_marker(l, *paths, UPLOADING, false);
        }
    }
    map_free(c->missing);
    c->missing = missing;
    return r;
}

static int look(struct look *l, struct err *err)
{
    const struct walk w = { .file = take_file, .folder = enter_folder, .context = l };

    l->c->unwatched = false;
    if (walk(l->arena, l->root, &w, err) < 0)
        return -1;
    if (l->count)
        qsort(l->candidates, l->count, sizeof *l->candidates, by_time);
    for (size_t i = 0; i < l->count; i++)
        if (put_file(l, l->candidates[i].path, err) < 0)
            return -1;
    return l->noting || l->postponed || l->c->plain ? 0 : remove_missing(l, err);
}

static int look_from_root(struct checkpoint *c, enum checkpoint_when when, bool noting, int64_t *ret_again_ms,
                          struct err *err)
{
    _cleanup_arena_ struct arena *a = arena_new();
    _cleanup_fd_ int root = open_root(c);
    struct look l = { .c = c, .when = when, .noting = noting, .arena = a, .root = root };
    int r;

    /* A folder that is gone as a whole says nothing about what was in it: S3 keeps that. */
    if (root < 0 && (errno == ENOENT || errno == ENOTDIR || errno == ELOOP)) {
        *ret_again_ms = QUIET_MS;
        return 0;
    }
    if (root < 0)
        return fail_errno(err, errno, "open %s", c->root);
    l.seen = map_new();
    r = look(&l, err);
    map_free(l.seen);
    *ret_again_ms = l.again_ms;
    return r;
}

int checkpoint_look(struct checkpoint *c, enum checkpoint_when when, int64_t *ret_again_ms, struct err *err)
{
    *ret_again_ms = 0;
    return book_closed(c->book) ? 0 : look_from_root(c, when, false, ret_again_ms, err);
}

int checkpoint_note_all(struct checkpoint *c, struct err *err)
{
    int64_t ignored;

    return look_from_root(c, CHECKPOINT_ENDED, true, &ignored, err);
}

/* --- Before a writer is killed --- */

static int note_writer(void *context, int folder, const char *name, const char *path, const struct stat *st,
                       struct err *err)
{
    const struct checkpoint *c = context;
    _cleanup_fd_ int fd = openat(folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);

    if (fd >= 0 && being_written(c, fd, st))
        book_torn(c->book, path, (int64_t)st->st_ino);
    return 0;
}

void checkpoint_before_kill(struct checkpoint *c)
{
    _cleanup_arena_ struct arena *a = arena_new();
    _cleanup_fd_ int root = open_root(c);
    struct err ignored;

    book_kill(c->book);
    if (root >= 0)
        walk(a, root, &(struct walk){ .file = note_writer, .context = c }, &ignored);
}

void checkpoint_end(struct checkpoint *c)
{
    map_free(c->missing);
    c->missing = NULL;
}
