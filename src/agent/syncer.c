/* syncer.c - inotify is only the bell: it says when to look, and the look sees everything. An event that was lost, an
 * agent that was away, a folder that is not watched cost time, never a file. */
#include "agent/syncer.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/ioprio.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "agent/fetch.h"
#include "agent/pace.h"
#include "base/fd.h"
#include "base/log.h"

enum {
    SETTLE_MS = 50,      /* events come in swarms */
    LOOKS_SHARE = 20,    /* about a twentieth of the time is spent with looking, and with what is put again and again */
    LOOKS_APART_MS = 2000,
    RESCAN_MS = 15000,
    UNWATCHED_MS = 2000,
    RETRY_MS = 1000,
    RETRY_MAX_MS = 30000,
    NICE = 10,
    IO_LEVEL = 4, /* of a process that is not nice */
    IO_LOWEST = 7,
    LANES = 8, /* files at a time, with a connection each; the parts of big ones have S3_PUT_HELPERS more, for all */
};

struct store {
    struct checkpoint_store store;
    struct transfer transfer;
    const char *bucket, *prefix;
    struct pace *pace;
    struct book *book;
    atomic_int helpers;
    pthread_mutex_t lock;
    struct s3 *idle[LANES]; /* that nobody uses right now */
    int idle_count;
};

struct syncer {
    struct transfer transfer;
    struct arena *arena;
    const char *bucket, *prefix;
    struct checkpoint checkpoint;
    struct pace pace;
    pthread_t thread;
    bool running;
    int stop;   /* eventfd: the thread ends, and so does what it waits for */
    int finish; /* eventfd: the thread puts the rest, and ends */
    int done;   /* eventfd: it has ended */
    _Atomic(enum checkpoint_when) when; /* of the last look */
    struct err err;
};

/* --- S3 as a store --- */

static struct s3 *take_client(struct store *s)
{
    struct s3 *client;

    pthread_mutex_lock(&s->lock);
    client = s->idle_count ? s->idle[--s->idle_count] : NULL;
    pthread_mutex_unlock(&s->lock);
    return client ? client : fetch_client(&s->transfer);
}

static void give_client(struct store *s, struct s3 *client)
{
    pthread_mutex_lock(&s->lock);
    assert(s->idle_count < LANES);
    s->idle[s->idle_count++] = client;
    pthread_mutex_unlock(&s->lock);
}

struct begun {
    struct book *book;
    const char *path;
};

static void note_upload(void *data, const char *upload)
{
    const struct begun *b = data;

    book_begin_upload(b->book, b->path, upload);
}

static int store_put(struct checkpoint_store *store, const char *path, int fd, bool (*unchanged)(void *data),
                     void *data, struct err *err)
{
    struct store *s = (struct store *)store;
    struct begun begun = { s->book, path };
    const struct s3_put_options options = { .unchanged = unchanged, .data = data, .pace = s->pace, .begun = note_upload,
                                            .begun_data = &begun, .helpers = &s->helpers };
    _cleanup_arena_ struct arena *a = arena_new();
    struct s3 *client = take_client(s);
    int r = s3_put(client, s->bucket, arena_printf(a, "%s%s", s->prefix, path), fd, &options, err);

    give_client(s, client);
    return r;
}

static int store_remove(struct checkpoint_store *store, const char *path, struct err *err)
{
    struct store *s = (struct store *)store;
    _cleanup_arena_ struct arena *a = arena_new();
    struct s3 *client = take_client(s);
    int r = s3_remove(client, s->bucket, arena_printf(a, "%s%s", s->prefix, path), err);

    give_client(s, client);
    return r;
}

static void store_begin(struct store *store, struct syncer *s)
{
    *store = (struct store){ .store = { store_put, store_remove }, .transfer = s->transfer, .bucket = s->bucket,
                             .prefix = s->prefix, .pace = &s->pace, .book = s->checkpoint.book,
                             .helpers = S3_PUT_HELPERS, .lock = PTHREAD_MUTEX_INITIALIZER };
    store->transfer.cancel_fd = s->stop;
    s->checkpoint.store = &store->store;
}

/* What an agent before this one had begun when it was killed. */
static void abandon_parts(struct store *s)
{
    _cleanup_arena_ struct arena *a = arena_new();
    const struct book_upload *u = book_uploads(s->book, a);
    struct s3 *client = u->path ? take_client(s) : NULL;
    struct err err;

    for (; u->path; u++)
        if (s3_abandon(client, s->bucket, arena_printf(a, "%s%s", s->prefix, u->path), u->upload, &err) < 0)
            log_warning("checkpoints.parts_left", "path=%s why=%s", log_quote(a, u->path), log_quote(a, err.text));
    if (client)
        give_client(s, client);
}

static void store_end(struct store *store)
{
    while (store->idle_count > 0)
        s3_free(store->idle[--store->idle_count]);
    pthread_mutex_destroy(&store->lock);
}

/* --- Restoring --- */

/* A folder, never the start of another one's name. */
static int uri_of(struct arena *a, const char *uri, const char **ret_bucket, const char **ret_prefix, struct err *err)
{
    if (s3_uri(a, uri, ret_bucket, ret_prefix, err) < 0)
        return -1;
    if (**ret_prefix && !text_ends(*ret_prefix, "/"))
        *ret_prefix = arena_printf(a, "%s/", *ret_prefix);
    return 0;
}

static int fetch_into(const struct transfer *t, struct arena *a, const char *root, struct err *err)
{
    struct fetch f = { .transfer = t };
    const char *bucket, *prefix;
    struct s3_object *objects;
    struct s3 *s3;
    int count, r;

    if (uri_of(a, t->order->checkpoint_s3_uri, &bucket, &prefix, err) < 0)
        return -1;
    s3 = fetch_client(t);
    r = s3_list(s3, a, bucket, prefix, FETCH_OBJECTS_MAX, &objects, &count, err);
    s3_free(s3);
    for (int i = 0; r == 0 && i < count; i++) {
        const char *local = fetch_local_path(a, prefix, objects[i].key);

        if (local && *local && !checkpoint_is_marker(local))
            r = fetch_add(a, &f, bucket, objects[i].key, objects[i].size_bytes, arena_printf(a, "%s/%s", root, local),
                          err);
    }
    return r < 0 ? -1 : fetch_all(&f, err);
}

int syncer_restore(const struct transfer *t, const char *root, struct err *err)
{
    _cleanup_arena_ struct arena *a = arena_new();
    struct checkpoint c = { .root = root, .clock = t->clock, .watch = -1 };
    int r;

    /* What another try has left may not be in S3 any more. */
    if (book_remove(t->folder, err) < 0 || tree_remove(root, err) < 0 || folder_make(root, 0755, err) < 0 ||
        fetch_into(t, a, root, err) < 0 || book_open(t->folder, &c.book, err) < 0)
        return -1;
    r = checkpoint_note_all(&c, err);
    book_free(c.book);
    return r;
}

/* --- The thread --- */

/* Was there anything but our own markers? More than the kernel could keep is an event without a name. */
static bool heard(struct syncer *s)
{
    char buffer[16384] __attribute__((aligned(__alignof__(struct inotify_event))));
    bool any = false;
    ssize_t n;

    while ((n = read(s->checkpoint.watch, buffer, sizeof buffer)) > 0)
        for (char *p = buffer; p < buffer + n;) {
            const struct inotify_event *e = (const struct inotify_event *)(void *)p;

            any |= !(e->mask & IN_IGNORED) && !(e->len && checkpoint_is_marker(e->name));
            p += sizeof *e + e->len;
        }
    return any;
}

/* Until something happens in the folder (when 'listening'), but not longer. false: it is to stop or to finish. */
static bool wait_ms(struct syncer *s, bool listening, int64_t ms)
{
    int64_t until_ms = clock_boot_ms(s->transfer.clock) + ms, left_ms;
    struct pollfd p[3] = { { .fd = s->stop, .events = POLLIN }, { .fd = s->finish, .events = POLLIN },
                           { .fd = listening ? s->checkpoint.watch : -1, .events = POLLIN } };

    while ((left_ms = until_ms - clock_boot_ms(s->transfer.clock)) > 0) {
        if (poll(p, 3, (int)left_ms) <= 0)
            continue;
        if (p[0].revents || p[1].revents)
            return false;
        if (p[2].revents && heard(s))
            return true;
    }
    return true;
}

/* One look, and until there is reason for the next. *failed_ms: how long was waited after the last failure. */
static bool look_and_wait(struct syncer *s, int64_t *failed_ms)
{
    int64_t again_ms, pause_ms, rescan_ms;
    _cleanup_arena_ struct arena *a = NULL;
    struct err err = { 0 };

    if (checkpoint_look(&s->checkpoint, CHECKPOINT_RUNNING, &again_ms, &err) < 0) {
        a = arena_new();
        *failed_ms = !*failed_ms ? RETRY_MS : *failed_ms < RETRY_MAX_MS ? *failed_ms * 2 : *failed_ms;
        if (err.kind != ERR_CONFLICT)
            log_warning("checkpoints.not_synced", "retry_ms=%lld why=%s", (long long)*failed_ms,
                        log_quote(a, err.text));
        return wait_ms(s, false, *failed_ms);
    }
    *failed_ms = 0;
    pause_ms = s->checkpoint.busy_ms * LOOKS_SHARE;
    rescan_ms = s->checkpoint.watch < 0 || s->checkpoint.unwatched ? UNWATCHED_MS : RESCAN_MS;
    return wait_ms(s, true, again_ms && again_ms < rescan_ms ? again_ms : rescan_ms) &&
           wait_ms(s, false, SETTLE_MS + (pause_ms < LOOKS_APART_MS ? pause_ms : LOOKS_APART_MS));
}

static bool is_set(int eventfd)
{
    struct pollfd p = { .fd = eventfd, .events = POLLIN };

    return poll(&p, 1, 0) > 0;
}

static void set(int eventfd)
{
    uint64_t one = 1;

    if (write(eventfd, &one, sizeof one) < 0)
        assert(errno == EAGAIN); /* it is set */
}

/* Of this thread, and of those that it starts from now on. */
static void set_priority(int nice_by, int io_level)
{
    setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), nice_by);
    syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, IOPRIO_PRIO_VALUE(IOPRIO_CLASS_BE, io_level));
}

static void *run(void *data)
{
    struct syncer *s = data;
    struct store store;
    int64_t failed_ms = 0, ignored;

    set_priority(NICE, IO_LOWEST); /* the job comes first */
    store_begin(&store, s);
    abandon_parts(&store);
    while (!is_set(s->finish) && look_and_wait(s, &failed_ms))
        ;
    set_priority(0, IO_LEVEL); /* it is over */
    s->err = (struct err){ .kind = ERR_CONFLICT, .text = "cancelled" };
    if (!is_set(s->stop)) {
        s->err = (struct err){ 0 };
        if (checkpoint_look(&s->checkpoint, s->when, &ignored, &s->err) == 0 &&
            book_close(s->checkpoint.book, &s->err) == 0)
            s->err.kind = ERR_NONE; /* of a call that was tried again and then succeeded */
    }
    store_end(&store);
    set(s->done);
    return NULL;
}

static void stop(struct syncer *s)
{
    if (!s->running)
        return;
    set(s->stop);
    pthread_join(s->thread, NULL);
    s->running = false;
}

static int make(const struct transfer *t, const char *uri, const char *book, const struct checkpoint *what,
                struct syncer **ret, struct err *err)
{
    struct syncer *s = calloc(1, sizeof *s);

    assert(s);
    s->transfer = *t;
    s->arena = arena_new();
    s->stop = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    s->finish = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    s->done = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    s->checkpoint = *what;
    s->checkpoint.root = arena_strdup(s->arena, what->root);
    s->checkpoint.clock = t->clock;
    s->checkpoint.lanes = LANES;
    s->checkpoint.watch = -1;
    assert(s->stop >= 0 && s->finish >= 0 && s->done >= 0);
    if (uri_of(s->arena, uri, &s->bucket, &s->prefix, err) < 0 || book_open(book, &s->checkpoint.book, err) < 0) {
        syncer_free(s);
        return -1;
    }
    s->checkpoint.watch = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    pace_init(&s->pace, t->clock, t->order->checkpoint_bytes_per_s);
    *ret = s;
    return 0;
}

int syncer_new(const struct transfer *t, const char *root, struct syncer **ret, struct err *err)
{
    if (make(t, t->order->checkpoint_s3_uri, t->folder, &(struct checkpoint){ .root = root }, ret, err) < 0)
        return -1;
    (*ret)->checkpoint.savings = savings_new();
    return 0;
}

int syncer_of_output(const struct transfer *t, const char *uri, const char *path, const char *book, struct syncer **ret,
                     struct err *err)
{
    return make(t, uri, book, &(struct checkpoint){ .base = t->ml, .root = path, .plain = true }, ret, err);
}

void syncer_free(struct syncer *s)
{
    if (!s)
        return;
    stop(s);
    checkpoint_end(&s->checkpoint);
    savings_free(s->checkpoint.savings);
    book_free(s->checkpoint.book);
    fd_cleanup(&s->checkpoint.watch);
    fd_cleanup(&s->stop);
    fd_cleanup(&s->finish);
    fd_cleanup(&s->done);
    arena_free(s->arena);
    free(s);
}

void syncer_run(struct syncer *s)
{
    int r;

    if (s->running)
        return;
    r = pthread_create(&s->thread, NULL, run, s);
    assert(r == 0);
    s->running = true;
}

struct savings *syncer_savings(struct syncer *s)
{
    return s->checkpoint.savings;
}

void syncer_hurry(struct syncer *s)
{
    pace_off(&s->pace);
}

void syncer_before_kill(struct syncer *s)
{
    checkpoint_before_kill(&s->checkpoint);
}

int syncer_finish(struct syncer *s, enum checkpoint_when when, int cancel_fd, struct err *err)
{
    struct pollfd p[2] = { { .fd = s->done, .events = POLLIN }, { .fd = cancel_fd, .events = POLLIN } };

    syncer_hurry(s);
    s->when = when;
    set(s->finish);
    syncer_run(s);
    while (poll(p, 2, -1) < 0)
        assert(errno == EINTR);
    stop(s);
    if (s->err.kind == ERR_NONE)
        return 0;
    *err = s->err;
    return -1;
}
