/* checkpoint_put.c - the files of a look, carried to S3 several at a time.
 *
 * Two names tell the container what happens: <file>.sagemaker-uploading stands while a file is put,
 * <file>.sagemaker-uploaded when S3 has it. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/checkpoint_impl.h"
#include "agent/walk.h"
#include "base/fd.h"
#include "base/log.h"

enum {
    TICK_MS = 20,    /* more than a tick of the kernel's clock, which dates changes */
    QUIET_MS = 1000, /* where the kernel does not say who writes */
    SMALL_BYTES = 1 << 20,
};

void look_again(struct look *l, int64_t ms)
{
    pthread_mutex_lock(&l->lock);
    if (!l->again_ms || ms < l->again_ms)
        l->again_ms = ms;
    pthread_mutex_unlock(&l->lock);
}

const char *look_mark(struct arena *a, const struct stat *st)
{
    return arena_printf(a, "%llu:%lld:%lld.%09ld:%lld.%09ld", (unsigned long long)st->st_ino, (long long)st->st_size,
                        (long long)st->st_mtim.tv_sec, st->st_mtim.tv_nsec, (long long)st->st_ctim.tv_sec,
                        st->st_ctim.tv_nsec);
}

/* --- Who writes --- */

static int64_t age_ms(const struct checkpoint *c, const struct stat *st)
{
    int64_t age = clock_wall_ms(c->clock) - ((int64_t)st->st_ctim.tv_sec * 1000 + st->st_ctim.tv_nsec / 1000000);

    return age < 0 ? INT64_MAX : age; /* the clock was set back */
}

/* A read lease is refused while anybody has the file open or mapped for writing. It is given back at once: a writer who
 * comes in between waits for no longer than that. */
bool look_is_written(const struct checkpoint *c, int fd, const struct stat *st)
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
static int marker_at(const struct look *l, struct arena *a, const char *path, const char *suffix, const char **ret_name)
{
    const char *slash = strrchr(path, '/');
    const char *folder = slash ? arena_strndup(a, path, (size_t)(slash - path)) : ".";

    *ret_name = arena_printf(a, "%s%s", slash ? slash + 1 : path, suffix);
    return walk_open(l->root, folder, O_PATH | O_DIRECTORY);
}

void look_marker(const struct look *l, const char *path, const char *suffix, bool there)
{
    _cleanup_arena_ struct arena *a = arena_new();
    const char *name;
    _cleanup_fd_ int folder = marker_at(l, a, path, suffix, &name), fd = -1;

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
    struct arena *arena;
    size_t place; /* among the candidates */
    const char *path, *mark;
    int fd;
    bool known; /* S3 had this very file, and it was written again */
    int64_t waited_ms; /* for its turn */
    bool joins; /* it may become an object together with those before it */
};

static bool unchanged(const struct upload *u)
{
    struct checkpoint *c = u->look->c;
    _cleanup_arena_ struct arena *a = arena_new();
    _cleanup_fd_ int again = walk_open(u->look->root, u->path, O_PATH | O_NOFOLLOW);
    struct stat now, named;

    /* A file that was removed or replaced meanwhile is not what its name stands for any more. */
    return fstat(u->fd, &now) == 0 && strcmp(look_mark(a, &now), u->mark) == 0 && again >= 0 &&
           fstat(again, &named) == 0 && named.st_ino == now.st_ino && named.st_dev == now.st_dev &&
           (u->look->when != CHECKPOINT_RUNNING || !look_is_written(c, u->fd, &now));
}

/* Everything was read: it may become the object when it is its turn, and it is still what it was. */
static bool may_become(void *data)
{
    struct upload *u = data;
    struct turns *t = &u->look->turns;
    struct clock *clock = u->look->c->clock;
    int64_t began_ms = clock_boot_ms(clock);
    bool turn = u->joins ? turns_join(t, u->place) : turns_wait(t, u->place);

    u->waited_ms += clock_boot_ms(clock) - began_ms;
    return turn && unchanged(u);
}

static int postpone(struct look *l)
{
    look_again(l, TICK_MS);
    pthread_mutex_lock(&l->lock);
    l->postponed = true;
    pthread_mutex_unlock(&l->lock);
    return 0;
}

/* --- How long it was written --- */

static int64_t ms_of(int64_t s, int64_t ns)
{
    return s * 1000 + ns / 1000000;
}

static void saw_writing(const struct upload *u)
{
    struct checkpoint *c = u->look->c;

    if (!c->savings)
        return;
    pthread_mutex_lock(&u->look->lock);
    if (!c->writing)
        c->writing = map_new();
    if (!map_get(c->writing, str_of(u->path)))
        map_set(c->writing, str_of(u->path), (void *)(uintptr_t)clock_wall_ms(c->clock));
    pthread_mutex_unlock(&u->look->lock);
}

/* A file begins when it is made. One that is written again began when that was seen, which a short write is not. */
static int64_t begun_ms(const struct upload *u, int64_t written_ms)
{
    struct checkpoint *c = u->look->c;
    struct statx st;
    int64_t seen_ms;

    pthread_mutex_lock(&u->look->lock);
    seen_ms = c->writing ? (int64_t)(uintptr_t)map_remove(c->writing, str_of(u->path)) : 0;
    pthread_mutex_unlock(&u->look->lock);
    if (u->known)
        return seen_ms && seen_ms < written_ms ? seen_ms : written_ms;
    if (statx(u->fd, "", AT_EMPTY_PATH, STATX_BTIME, &st) < 0 || !(st.stx_mask & STATX_BTIME))
        return seen_ms ? seen_ms : written_ms;
    return ms_of(st.stx_btime.tv_sec, st.stx_btime.tv_nsec);
}

static void note_saving(const struct upload *u, const struct stat *st)
{
    struct checkpoint *c = u->look->c;
    int64_t written_ms = ms_of(st->st_mtim.tv_sec, st->st_mtim.tv_nsec);
    struct savings_file f = { u->path, begun_ms(u, written_ms), written_ms, clock_wall_ms(c->clock), st->st_size };

    /* Not where the times were set to something by hand. */
    if (f.begun_ms <= f.written_ms && f.written_ms <= f.stored_ms)
        savings_take(c->savings, &f);
}

/* What nobody may touch any more is left for another look, or for good. 'known': what the book says. */
static bool is_to_be_put(struct upload *u, const struct stat *st)
{
    struct look *l = u->look;
    struct checkpoint *c = l->c;
    struct book_entry known = { .mark = "" };
    bool busy = l->when == CHECKPOINT_RUNNING && look_is_written(c, u->fd, st);

    /* Looked up only now: a writer who is gone because he was killed was written down before. */
    book_find(c->book, u->arena, u->path, &known);
    u->known = atoll(known.mark) == (int64_t)st->st_ino;
    if (busy) {
        saw_writing(u);
        if (known.torn_inode != (int64_t)st->st_ino)
            book_torn(c->book, u->path, (int64_t)st->st_ino);
        look_again(l, QUIET_MS);
        return false;
    }
    if ((l->when == CHECKPOINT_KILLED || book_killed(c->book)) && known.torn_inode == (int64_t)st->st_ino) {
        log_warning("checkpoint.half", "path=%s", log_quote(u->arena, u->path));
        return false;
    }
    if (age_ms(c, st) < TICK_MS && l->when == CHECKPOINT_RUNNING) {
        postpone(l);
        return false;
    }
    return true;
}

static void note_put_again(const struct upload *u, int64_t began_ms)
{
    int64_t took_ms = clock_boot_ms(u->look->c->clock) - began_ms - u->waited_ms;

    pthread_mutex_lock(&u->look->lock);
    u->look->again_put_ms += took_ms;
    pthread_mutex_unlock(&u->look->lock);
}

static int carry(struct upload *u, const struct stat *st, struct err *err)
{
    struct look *l = u->look;
    struct checkpoint *c = l->c;
    bool marks = l->when == CHECKPOINT_RUNNING && !c->plain;
    int64_t began_ms = clock_boot_ms(c->clock);
    int r;

    book_intend(c->book, u->path);
    if (marks) {
        look_marker(l, u->path, UPLOADED, false);
        look_marker(l, u->path, UPLOADING, true);
    }
    r = c->store->put(c->store, u->path, u->fd, may_become, u, err);
    if (u->known)
        note_put_again(u, began_ms);
    if (r == 0 && marks && unchanged(u))
        look_marker(l, u->path, UPLOADED, true);
    if (marks)
        look_marker(l, u->path, UPLOADING, false);
    if (r == 0)
        book_note(c->book, u->path, u->mark);
    if (r == 0 && c->savings && l->when == CHECKPOINT_RUNNING)
        note_saving(u, st);
    return r == 0 || err->kind == ERR_CONFLICT || unchanged(u) ? r : postpone(l);
}

static int put_file(struct look *l, struct arena *a, size_t place, struct err *err)
{
    const char *path = l->candidates[place].path;
    _cleanup_fd_ int fd = walk_open(l->root, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
    struct upload u = { .look = l, .arena = a, .place = place, .path = path, .fd = fd };
    struct stat st;

    /* Moved in between: the next look sees where it is then. */
    if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
        return postpone(l);
    if (!is_to_be_put(&u, &st))
        return 0;
    u.mark = look_mark(a, &st);
    /* A small one takes S3 no time but that of its disk, which is the same for many as for one. The last one may name
     * the others. */
    u.joins = st.st_size <= SMALL_BYTES && place + 1 < l->count;
    return carry(&u, &st, err);
}

/* --- Several at a time --- */

/* What S3 refuses for what it is, such as a name that is no text, holds up no other; anything else ends the look. */
static void note_failure(struct look *l, const struct err *err)
{
    bool ends = err->kind != ERR_INVALID;

    pthread_mutex_lock(&l->lock);
    if (!l->failed && (ends || !l->refused))
        l->err = *err;
    l->refused = true;
    l->failed |= ends;
    pthread_mutex_unlock(&l->lock);
    if (ends)
        turns_end(&l->turns);
}

static void *lane(void *data)
{
    struct look *l = data;
    _cleanup_arena_ struct arena *a = arena_new();
    size_t place;

    while (turns_take(&l->turns, &place)) {
        struct err err = { 0 };

        arena_reset(a);
        if (put_file(l, a, place, &err) < 0)
            note_failure(l, &err);
        turns_over(&l->turns, place);
    }
    return NULL;
}

int look_put(struct look *l, struct err *err)
{
    size_t lanes = l->c->lanes > 1 ? (size_t)l->c->lanes : 1, started = 0;
    pthread_t threads[CHECKPOINT_LANES_MAX];

    assert(lanes <= CHECKPOINT_LANES_MAX);
    turns_init(&l->turns, l->count);
    /* One file needs no thread of its own; this one takes part. */
    while (started < lanes - 1 && started + 1 < l->count && pthread_create(&threads[started], NULL, lane, l) == 0)
        started++;
    lane(l);
    while (started > 0)
        pthread_join(threads[--started], NULL);
    turns_free(&l->turns);
    if (!l->refused)
        return 0;
    *err = l->err;
    return -1;
}
