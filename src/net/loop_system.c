/* loop_system.c - what the system tells a loop: signals, the ends of children, changes in folders. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "net/loop_uv.h"

enum { LOOK_AGAIN_MS = 1000 }; /* at a folder that the system cannot watch */

/* --- Signals --- */

struct signal_watch {
    struct held held;
    uv_signal_t handle;
    void (*run)(void *data, int number);
    void *data;
};

static void signal_came(uv_signal_t *handle, int number)
{
    struct signal_watch *s = handle->data;

    s->run(s->data, number);
}

struct signal_search {
    int number;
    struct signal_watch *found;
};

static void find_signal(uv_handle_t *h, void *data)
{
    struct signal_search *search = data;

    if (h->type == UV_SIGNAL && !uv_is_closing(h) && ((uv_signal_t *)h)->signum == search->number)
        search->found = h->data;
}

int loop_signal(struct loop *l, int number, void (*run)(void *data, int number), void *data, struct err *err)
{
    struct signal_search search = { .number = number };
    struct signal_watch *s;
    int status;

    uv_walk(&l->uv, find_signal, &search);
    if (search.found)
        uv_close((uv_handle_t *)&search.found->handle, held_free);
    if (!run)
        return 0;
    s = calloc(1, sizeof *s);
    assert(s && "out of memory");
    s->held.closed = held_free;
    s->run = run;
    s->data = data;
    uv_signal_init(&l->uv, &s->handle);
    s->handle.data = s;
    status = uv_signal_start(&s->handle, signal_came, number);
    if (status < 0) {
        uv_close((uv_handle_t *)&s->handle, held_free);
        return fail_uv(err, status, "signal");
    }
    return 0;
}

/* --- Children --- */

struct child {
    struct held held;
    uv_process_t handle;
    void (*ended)(void *data, int exit_code, int signal);
    void *data;
};

static void child_ended(uv_process_t *handle, int64_t exit_code, int signal)
{
    struct child *c = handle->data;

    if (c->ended)
        c->ended(c->data, signal ? -1 : (int)exit_code, signal);
    if (!uv_is_closing((uv_handle_t *)handle))
        uv_close((uv_handle_t *)handle, held_free);
}

int loop_spawn(struct loop *l, const struct loop_spawn *spawn, void (*ended)(void *data, int exit_code, int signal),
               void *data, pid_t *ret_pid, struct err *err)
{
    int fd_count = spawn->fd_count > 3 ? spawn->fd_count : 3, status;
    _cleanup_fd_ int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    uv_stdio_container_t *stdio = calloc((size_t)fd_count, sizeof *stdio);
    struct child *c = calloc(1, sizeof *c);
    uv_process_options_t options = {
        .exit_cb = child_ended,
        .file = spawn->arguments[0],
        .args = (char **)spawn->arguments,
        .env = (char **)spawn->environment,
        .cwd = spawn->folder,
        .flags = spawn->detached ? UV_PROCESS_DETACHED : 0,
        .stdio_count = fd_count,
        .stdio = stdio,
    };

    assert(c && stdio && "out of memory");
    if (null < 0) {
        free(c);
        free(stdio);
        return fail_errno(err, errno, "open /dev/null");
    }
    for (int i = 0; i < fd_count; i++) {
        stdio[i].flags = UV_INHERIT_FD;
        stdio[i].data.fd = i < spawn->fd_count && spawn->fds[i] >= 0 ? spawn->fds[i] : null;
    }
    c->held.closed = held_free;
    c->ended = ended;
    c->data = data;
    c->handle.data = c;
    status = uv_spawn(&l->uv, &c->handle, &options);
    free(stdio);
    if (status < 0) {
        uv_close((uv_handle_t *)&c->handle, held_free);
        return fail(err, ERR_INTERNAL, "start %s: %s", spawn->arguments[0], uv_strerror(status));
    }
    *ret_pid = c->handle.pid;
    return 0;
}

/* --- Folders --- */

struct loop_watch {
    struct held held;
    uv_fs_event_t handle;
    struct loop *loop;
    struct loop_timer again; /* where there is no watch to be had */
    void (*changed)(void *data, const char *name);
    void *data;
};

static void watch_again(struct loop_timer *t)
{
    struct loop_watch *w = list_entry(t, struct loop_watch, again);

    loop_timer_set(w->loop, t, loop_now_ms(w->loop) + LOOK_AGAIN_MS);
    w->changed(w->data, NULL);
}

static void watch_came(uv_fs_event_t *handle, const char *name, int events, int status)
{
    struct loop_watch *w = handle->data;

    if (status < 0) {
        uv_fs_event_stop(handle);
        loop_timer_set(w->loop, &w->again, loop_now_ms(w->loop));
        return;
    }
    w->changed(w->data, name);
}

int loop_watch_new(struct loop *l, const char *folder, void (*changed)(void *data, const char *name), void *data,
                   struct loop_watch **ret, struct err *err)
{
    struct loop_watch *w;
    struct stat st;
    int status;

    if (stat(folder, &st) < 0)
        return fail_errno(err, errno, "watch %s", folder);
    w = calloc(1, sizeof *w);
    assert(w && "out of memory");
    *w = (struct loop_watch){
        .held.closed = held_free, .loop = l, .again.run = watch_again, .changed = changed, .data = data
    };
    uv_fs_event_init(&l->uv, &w->handle);
    w->handle.data = w;
    status = uv_fs_event_start(&w->handle, watch_came, folder, 0);
    /* The system has few watches for all its users; the folder is still there to be looked at. */
    if (status < 0)
        loop_timer_set(l, &w->again, loop_now_ms(l) + LOOK_AGAIN_MS);
    *ret = w;
    return 0;
}

void loop_watch_free(struct loop_watch *w)
{
    if (!w)
        return;
    loop_timer_stop(w->loop, &w->again);
    uv_close((uv_handle_t *)&w->handle, held_free);
}
