#include "agent/feeder.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/fastfile.h"
#include "agent/fuse.h"
#include "agent/helper.h"
#include "base/fd.h"
#include "base/log.h"
#include "run/exitrecord.h"
#include "run/folder.h"
#include "run/mount.h"

enum { MOUNTS_MAX = 20, HIGH_FD = 100, LOOK_MS = 500 };

struct mounted {
    const char *channel, *at;
    int fd; /* -1: not ours yet */
};

struct feeder {
    struct arena *arena;
    const char *folder;
    struct mounted mounts[MOUNTS_MAX];
    int count;
    pid_t child; /* to be waited for; 0: it is another one's */

    struct loop *loop; /* NULL: nobody watches */
    struct loop_timer timer;
    void (*failed)(void *data);
    void *data;
};

bool feeder_wanted(const struct order *o)
{
    return channel_any(o, CHANNEL_PIPE) || channel_any(o, CHANNEL_FAST);
}

static const char *lock_of(struct arena *a, const char *folder)
{
    return arena_printf(a, "%s/" FEEDER_LOCK, folder);
}

/* --- The mounts --- */

/* A copy of the descriptor that the running one serves. */
static int borrow(pid_t pid, int fd)
{
    _cleanup_fd_ int process = pidfd_open(pid, 0);
    _cleanup_fd_ int copy = process < 0 ? -1 : pidfd_getfd(process, fd, 0);

    return copy < 0 ? -1 : fcntl(copy, F_DUPFD_CLOEXEC, HIGH_FD);
}

static int mount_one(struct feeder *f, struct mounted *m, struct err *err)
{
    _cleanup_fd_ int fd = -1;

    if (folder_make(arena_printf(f->arena, "%s/fast", f->folder), 0755, err) < 0 ||
        (mkdir(m->at, 0755) < 0 && errno != EEXIST && fail_errno(err, errno, "mkdir %s", m->at) < 0) ||
        fuse_mount(m->at, &fd, err) < 0)
        return -1;
    /* Out of the way of the places that they have in the other process. */
    m->fd = fcntl(fd, F_DUPFD_CLOEXEC, HIGH_FD);
    return m->fd < 0 ? fail_errno(err, errno, "keep a descriptor") : 0;
}

static int write_failed(struct feeder *f, struct err *err)
{
    static const char why[] = "InternalServerError: what serves the job's FastFile channels and the job's agent were "
                              "killed at once. Start the job again.";

    return file_write_atomic(arena_printf(f->arena, "%s/" FEEDER_FAILED, f->folder), why, strlen(why), 0600, err);
}

/* Every mount's descriptor: from the process that serves it, or of a new mount. One that nobody holds any more is dead:
 * before the container starts, a new one takes its place; after, there is no way to it. */
static int take_mounts(struct feeder *f, pid_t running, bool started, struct err *err)
{
    for (int i = 0; i < f->count; i++) {
        struct mounted *m = &f->mounts[i];
        const char *device;

        if (running)
            m->fd = borrow(running, FEEDER_FD + i);
        if (m->fd >= 0)
            continue;
        if (started && write_failed(f, err) < 0)
            return -1;
        if (mount_find(f->arena, m->at, &device) && umount2(m->at, MNT_DETACH) < 0)
            return fail_errno(err, errno, "unmount %s", m->at);
        if (mount_one(f, m, err) < 0)
            return -1;
    }
    return 0;
}

/* --- The process --- */

static int start(struct feeder *f, struct err *err)
{
    int fds[MOUNTS_MAX];

    for (int i = 0; i < f->count; i++)
        fds[i] = f->mounts[i].fd;
    return helper_start(&(struct helper){ .program = "sagebrush-data", .folder = f->folder, .fds = fds,
                                          .count = f->count, .first_fd = FEEDER_FD }, &f->child, err);
}

int feeder_new(const struct order *o, const char *folder, bool started, struct feeder **ret, struct err *err)
{
    struct feeder *f = calloc(1, sizeof *f);
    pid_t running = 0;

    assert(f);
    f->arena = arena_new();
    f->folder = arena_strdup(f->arena, folder);
    for (size_t i = 0; i < list_count(o->channels); i++) {
        struct channel c;

        if (channel_read(f->arena, o, o->channels->items[i], &c, err) < 0)
            goto failed;
        if (c.mode == CHANNEL_FAST && f->count < MOUNTS_MAX)
            f->mounts[f->count++] =
                (struct mounted){ .channel = c.name, .at = fastfile_folder(f->arena, folder, c.name), .fd = -1 };
    }
    if (lock_holder(lock_of(f->arena, folder), &running, err) < 0 || take_mounts(f, running, started, err) < 0 ||
        (!running && start(f, err) < 0))
        goto failed;
    *ret = f;
    return 0;
failed:
    feeder_free(f);
    return -1;
}

void feeder_free(struct feeder *f)
{
    if (!f)
        return;
    if (f->loop)
        loop_timer_stop(f->loop, &f->timer);
    for (int i = 0; i < f->count; i++)
        fd_cleanup(&f->mounts[i].fd);
    arena_free(f->arena);
    free(f);
}

/* Starts another when it has died. */
static void keep_alive(struct feeder *f, struct arena *a)
{
    struct err err = { 0 };
    pid_t running;

    if (f->child && waitpid(f->child, NULL, WNOHANG) == f->child)
        f->child = 0;
    if (f->child || lock_holder(lock_of(a, f->folder), &running, &err) < 0 || running)
        return;
    log_warning("feeder.died", "folder=%s", f->folder);
    if (start(f, &err) < 0)
        log_error("feeder.not_started", "why=%s", log_quote(a, err.text));
}

static void due(struct loop_timer *timer)
{
    struct feeder *f = list_entry(timer, struct feeder, timer);
    _cleanup_arena_ struct arena *a = arena_new();

    keep_alive(f, a);
    if (*feeder_failed(a, f->folder))
        f->failed(f->data);
    else
        loop_timer_set(f->loop, timer, loop_now_ms(f->loop) + LOOK_MS);
}

void feeder_watch(struct feeder *f, struct loop *loop, void (*failed)(void *data), void *data)
{
    f->loop = loop;
    f->failed = failed;
    f->data = data;
    f->timer.run = due;
    loop_timer_set(loop, &f->timer, loop_now_ms(loop) + LOOK_MS);
}

const char *feeder_failed(struct arena *a, const char *folder)
{
    struct err err;
    struct str text;

    if (file_read(a, arena_printf(a, "%s/" FEEDER_FAILED, folder), 1 << 16, &text, &err) < 0)
        return "";
    return str_dup(a, text);
}

int feeder_remove(const char *folder, struct err *err)
{
    _cleanup_arena_ struct arena *a = arena_new();

    return helper_end(lock_of(a, folder), err);
}
