/* checkpoint.c - the folder is the job's: every look reads it all again, and only the book remembers.
 *
 * A file's mark is its inode, size and both times. The time of change cannot be set by anybody, and grows with every
 * write: a file that was left alone for some ticks of the kernel's clock and then has the same mark has the
 * same bytes. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "agent/checkpoint_impl.h"
#include "agent/walk.h"
#include "base/fd.h"

#define IGNORED ".sagemaker-ignore"

enum {
    MISSING_MS = 100,
    AWAY_MS = 1000, /* the whole folder */
    EVENTS = IN_CLOSE_WRITE | IN_MODIFY | IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_DELETE_SELF,
};

bool checkpoint_is_marker(const char *name)
{
    return text_ends(name, UPLOADING) || text_ends(name, UPLOADED);
}

static int open_root(const struct checkpoint *c)
{
    _cleanup_fd_ int base = -1;

    if (!c->base)
        return open(c->root, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    base = open(c->base, O_PATH | O_DIRECTORY | O_CLOEXEC);
    return base < 0 ? -1 : walk_open(base, c->root, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
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
        book_note(l->c->book, path, look_mark(l->arena, st));
        return 0;
    }
    map_set(l->seen, str_of(path), l);
    if (book_find(l->c->book, l->arena, path, &known) && strcmp(known.mark, look_mark(l->arena, st)) == 0)
        return 0;
    if (l->count == l->room) {
        struct candidate *more = arena_array_of(l->arena, struct candidate, l->room * 2 + 64);

        if (l->count)
            memcpy(more, l->candidates, sizeof *more * l->count);
        l->candidates = more;
        l->room = l->room * 2 + 64;
    }
    l->candidates[l->count++] = (struct candidate){ path, st->st_ctim, st->st_size };
    return 0;
}

/* Of one tick of the kernel's clock the larger first: what only names another file, the latest, is small. */
static int by_time(const void *a, const void *b)
{
    const struct candidate *x = a, *y = b;

    if (x->changed.tv_sec != y->changed.tv_sec)
        return x->changed.tv_sec < y->changed.tv_sec ? -1 : 1;
    if (x->changed.tv_nsec != y->changed.tv_nsec)
        return x->changed.tv_nsec < y->changed.tv_nsec ? -1 : 1;
    return x->size_bytes > y->size_bytes ? -1 : x->size_bytes < y->size_bytes;
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
            look_again(l, MISSING_MS);
            continue;
        }
        if (l->when == CHECKPOINT_RUNNING && !(c->missing && map_get(c->missing, str_of(*paths)))) {
            map_set(missing, str_of(*paths), l);
            look_again(l, MISSING_MS);
            continue;
        }
        r = c->store->remove(c->store, *paths, err);
        if (r == 0) {
            book_forget(c->book, *paths);
            look_marker(l, *paths, UPLOADED, false);
            look_marker(l, *paths, UPLOADING, false);
        }
    }
    map_free(c->missing);
    c->missing = missing;
    return r;
}

static int look(struct look *l, struct err *err)
{
    const struct walk w = { .file = take_file, .folder = enter_folder, .context = l };
    struct checkpoint *c = l->c;
    int64_t began_ms = clock_boot_ms(c->clock), walked_ms;
    int r;

    c->unwatched = false;
    if (walk(l->arena, l->root, &w, err) < 0)
        return -1;
    if (l->count)
        qsort(l->candidates, l->count, sizeof *l->candidates, by_time);
    walked_ms = clock_boot_ms(c->clock) - began_ms;
    r = look_put(l, err);
    c->busy_ms = walked_ms + l->again_put_ms;
    if (r < 0)
        return -1;
    return l->noting || l->postponed || l->c->plain ? 0 : remove_missing(l, err);
}

static int look_from_root(struct checkpoint *c, enum checkpoint_when when, bool noting, int64_t *ret_again_ms,
                          struct err *err)
{
    _cleanup_arena_ struct arena *a = arena_new();
    _cleanup_fd_ int root = open_root(c);
    struct look l = { .c = c, .when = when, .noting = noting, .arena = a, .root = root,
                      .lock = PTHREAD_MUTEX_INITIALIZER };
    int r;

    /* A folder that is gone as a whole says nothing about what was in it: S3 keeps that. */
    if (root < 0 && (errno == ENOENT || errno == ENOTDIR || errno == ELOOP)) {
        *ret_again_ms = AWAY_MS;
        return 0;
    }
    if (root < 0)
        return fail_errno(err, errno, "open %s", c->root);
    l.seen = map_new();
    r = look(&l, err);
    map_free(l.seen);
    pthread_mutex_destroy(&l.lock);
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

    if (fd >= 0 && look_is_written(c, fd, st))
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
    map_free(c->writing);
    c->missing = c->writing = NULL;
}
