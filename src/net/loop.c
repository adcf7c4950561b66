/* loop.c - the event loop; hides libuv.
 *
 * libuv polls, spawns and watches. The timers are ours: a heap of structs that stand in their owners, by boot time,
 * with one libuv timer for the next of them, so that moving a deadline costs no allocation and no system call. All
 * sockets of a loop read into one buffer: what is received is lent to the owner, who copies what it keeps. */
#include "net/loop.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <uv.h>

#include "base/clock.h"
#include "base/fd.h"

enum {
    READ_BYTES = 65536,
    BACKLOG = 4096,
    /* libuv's clock stops while the machine is suspended: look at the boot time at least this often. */
    LONGEST_SLEEP_MS = 10000,
    LOOK_AGAIN_MS = 1000,
};

struct posted {
    struct posted *next;
    void (*run)(void *data);
    void *data;
};

struct loop {
    uv_loop_t uv;
    uv_timer_t timer;
    uv_prepare_t prepare;
    uv_check_t check;
    uv_async_t async;
    struct list hooks;
    int64_t now_ms; /* 0: not read in this turn */
    bool stopped;
    bool due; /* timers, in this turn */

    struct loop_timer **heap; /* from 1 */
    size_t heap_count, heap_capacity;
    int64_t armed_ms; /* what the libuv timer is set to; INT64_MAX: it is not */

    pthread_mutex_t lock; /* of the two below */
    struct posted *first_posted, **last_posted;

    char read_buffer[READ_BYTES];
};

/* What every handle but the loop's own starts with, so that loop_free can let go of what is still open. */
struct held {
    uv_close_cb closed;
};

static void closed_free(uv_handle_t *h)
{
    free(h->data);
}

static int fail_uv(struct err *err, int status, const char *what)
{
    return fail(err, ERR_INTERNAL, "%s: %s", what, uv_strerror(status));
}

/* Timers */

int64_t loop_now_ms(struct loop *l)
{
    if (!l->now_ms)
        l->now_ms = clock_boot_ms(clock_system());
    return l->now_ms;
}

static void heap_put(struct loop *l, size_t place, struct loop_timer *t)
{
    l->heap[place] = t;
    t->place = place;
}

static void heap_up(struct loop *l, size_t place)
{
    struct loop_timer *t = l->heap[place];

    for (; place > 1 && l->heap[place / 2]->at_ms > t->at_ms; place /= 2)
        heap_put(l, place, l->heap[place / 2]);
    heap_put(l, place, t);
}

static void heap_down(struct loop *l, size_t place)
{
    struct loop_timer *t = l->heap[place];

    for (;;) {
        size_t child = place * 2;

        if (child > l->heap_count)
            break;
        if (child < l->heap_count && l->heap[child + 1]->at_ms < l->heap[child]->at_ms)
            child++;
        if (l->heap[child]->at_ms >= t->at_ms)
            break;
        heap_put(l, place, l->heap[child]);
        place = child;
    }
    heap_put(l, place, t);
}

void loop_timer_stop(struct loop *l, struct loop_timer *t)
{
    size_t place = t->place;
    struct loop_timer *last;

    if (!place)
        return;
    assert(place <= l->heap_count && l->heap[place] == t);
    last = l->heap[l->heap_count--];
    t->place = 0;
    if (last == t)
        return;
    heap_put(l, place, last);
    heap_up(l, place);
    heap_down(l, last->place);
}

void loop_timer_set(struct loop *l, struct loop_timer *t, int64_t at_ms)
{
    assert(t->run);
    loop_timer_stop(l, t);
    if (l->heap_count + 1 >= l->heap_capacity) {
        l->heap_capacity = l->heap_capacity ? l->heap_capacity * 2 : 64;
        l->heap = realloc(l->heap, l->heap_capacity * sizeof *l->heap);
        assert(l->heap && "out of memory");
    }
    t->at_ms = at_ms;
    heap_put(l, ++l->heap_count, t);
    heap_up(l, t->place);
}

/* Only noted: libuv says so before it looks at the sockets, and prepare makes that look a short one. */
static void timers_due(uv_timer_t *timer)
{
    struct loop *l = timer->data;

    l->armed_ms = INT64_MAX;
    l->due = true;
}

/* After the sockets: what came in while this process stood still - stopped, or without a core - came in time, and is
 * not to be found late by a deadline that passed meanwhile. */
static void timers_run(uv_check_t *check)
{
    struct loop *l = check->data;
    int64_t now;

    if (!l->due)
        return;
    l->due = false;
    l->now_ms = 0;
    now = loop_now_ms(l);
    /* Only those that were due on entry: a timer that sets itself to "now" must not keep the sockets waiting. */
    for (size_t limit = l->heap_count; limit && l->heap_count && l->heap[1]->at_ms <= now; limit--) {
        struct loop_timer *t = l->heap[1];

        loop_timer_stop(l, t);
        t->run(t);
    }
}

static void arm(struct loop *l)
{
    int64_t now, at;

    if (!l->heap_count || l->heap[1]->at_ms >= l->armed_ms)
        return;
    now = loop_now_ms(l);
    at = l->heap[1]->at_ms;
    if (at > now + LONGEST_SLEEP_MS)
        at = now + LONGEST_SLEEP_MS;
    if (at >= l->armed_ms)
        return;
    l->armed_ms = at;
    uv_update_time(&l->uv);
    uv_timer_start(&l->timer, timers_due, at > now ? (uint64_t)(at - now) : 0, 0);
}

/* The turn */

static void turn_end(uv_prepare_t *p)
{
    struct loop *l = p->data;

    list_each(node, &l->hooks)
    {
        struct loop_hook *h = list_entry(node, struct loop_hook, link);

        h->run(h);
    }
    arm(l);
    l->now_ms = 0;
}

void loop_turn_end(struct loop *l, struct loop_hook *h)
{
    list_append(&l->hooks, &h->link);
}

void loop_turn_end_remove(struct loop *l, struct loop_hook *h)
{
    list_remove(&h->link);
}

static void run_posted(uv_async_t *async)
{
    struct loop *l = async->data;
    struct posted *p;

    pthread_mutex_lock(&l->lock);
    p = l->first_posted;
    l->first_posted = NULL;
    l->last_posted = &l->first_posted;
    pthread_mutex_unlock(&l->lock);
    while (p) {
        struct posted *next = p->next;

        p->run(p->data);
        free(p);
        p = next;
    }
}

void loop_post(struct loop *l, void (*run)(void *data), void *data)
{
    struct posted *p = malloc(sizeof *p);

    assert(p && "out of memory");
    *p = (struct posted){ .run = run, .data = data };
    pthread_mutex_lock(&l->lock);
    *l->last_posted = p;
    l->last_posted = &p->next;
    pthread_mutex_unlock(&l->lock);
    uv_async_send(&l->async);
}

int loop_new(struct loop **ret, struct err *err)
{
    struct loop *l = calloc(1, sizeof *l);
    int status;

    assert(l && "out of memory");
    /* A client that left must not end the process. */
    signal(SIGPIPE, SIG_IGN);
    status = uv_loop_init(&l->uv);
    if (status < 0) {
        free(l);
        return fail_uv(err, status, "event loop");
    }
    l->uv.data = l;
    l->armed_ms = INT64_MAX;
    l->last_posted = &l->first_posted;
    list_init(&l->hooks);
    pthread_mutex_init(&l->lock, NULL);
    uv_timer_init(&l->uv, &l->timer);
    uv_prepare_init(&l->uv, &l->prepare);
    uv_check_init(&l->uv, &l->check);
    l->timer.data = l->prepare.data = l->check.data = l->async.data = l;
    uv_prepare_start(&l->prepare, turn_end);
    uv_check_start(&l->check, timers_run);
    status = uv_async_init(&l->uv, &l->async, run_posted);
    if (status < 0) {
        uv_close((uv_handle_t *)&l->timer, NULL);
        uv_close((uv_handle_t *)&l->prepare, NULL);
        uv_close((uv_handle_t *)&l->check, NULL);
        uv_run(&l->uv, UV_RUN_DEFAULT);
        uv_loop_close(&l->uv);
        pthread_mutex_destroy(&l->lock);
        free(l);
        return fail_uv(err, status, "event loop");
    }
    *ret = l;
    return 0;
}

static void close_left(uv_handle_t *h, void *data)
{
    struct loop *l = data;

    if (uv_is_closing(h))
        return;
    if (h == (uv_handle_t *)&l->timer || h == (uv_handle_t *)&l->prepare || h == (uv_handle_t *)&l->check ||
        h == (uv_handle_t *)&l->async)
        uv_close(h, NULL);
    else
        uv_close(h, ((struct held *)h->data)->closed);
}

void loop_free(struct loop *l)
{
    int status;

    if (!l)
        return;
    run_posted(&l->async);
    uv_walk(&l->uv, close_left, l);
    /* Work that still runs on other threads is waited for: it holds memory of its owner's. */
    while (uv_run(&l->uv, UV_RUN_DEFAULT))
        uv_walk(&l->uv, close_left, l);
    status = uv_loop_close(&l->uv);
    assert(status == 0 && "a handle of the loop is still open");
    pthread_mutex_destroy(&l->lock);
    for (struct posted *p = l->first_posted, *next; p; p = next) {
        next = p->next;
        free(p);
    }
    for (size_t i = 1; i <= l->heap_count; i++)
        l->heap[i]->place = 0;
    free(l->heap);
    free(l);
}

void loop_run(struct loop *l)
{
    l->stopped = false;
    while (!l->stopped)
        uv_run(&l->uv, UV_RUN_DEFAULT);
    /* The last turn ends too: what it answered has to be committed. */
    turn_end(&l->prepare);
}

void loop_stop(struct loop *l)
{
    l->stopped = true;
    uv_stop(&l->uv);
}

bool loop_turn(struct loop *l, bool wait)
{
    arm(l);
    uv_run(&l->uv, wait ? UV_RUN_ONCE : UV_RUN_NOWAIT);
    turn_end(&l->prepare);
    return !l->stopped;
}

/* Work on other threads */

struct work {
    uv_work_t request;
    void (*work)(void *data);
    void (*done)(void *data);
    void *data;
};

void loop_work_threads(int count)
{
    char text[16];

    snprintf(text, sizeof text, "%d", count);
    setenv("UV_THREADPOOL_SIZE", text, 1);
}

static void work_run(uv_work_t *request)
{
    struct work *w = request->data;

    w->work(w->data);
}

static void work_done(uv_work_t *request, int status)
{
    struct work *w = request->data;

    assert(status == 0 && "work is never cancelled");
    w->done(w->data);
    free(w);
}

void loop_work(struct loop *l, void (*run)(void *data), void (*done)(void *data), void *data)
{
    struct work *w = calloc(1, sizeof *w);
    int status;

    assert(w && "out of memory");
    w->work = run;
    w->done = done;
    w->data = data;
    w->request.data = w;
    status = uv_queue_work(&l->uv, &w->request, work_run, work_done);
    assert(status == 0);
}

/* Signals */

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
        uv_close((uv_handle_t *)&search.found->handle, closed_free);
    if (!run)
        return 0;
    s = calloc(1, sizeof *s);
    assert(s && "out of memory");
    s->held.closed = closed_free;
    s->run = run;
    s->data = data;
    uv_signal_init(&l->uv, &s->handle);
    s->handle.data = s;
    status = uv_signal_start(&s->handle, signal_came, number);
    if (status < 0) {
        uv_close((uv_handle_t *)&s->handle, closed_free);
        return fail_uv(err, status, "signal");
    }
    return 0;
}

/* Children */

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
        uv_close((uv_handle_t *)handle, closed_free);
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
    c->held.closed = closed_free;
    c->ended = ended;
    c->data = data;
    c->handle.data = c;
    status = uv_spawn(&l->uv, &c->handle, &options);
    free(stdio);
    if (status < 0) {
        uv_close((uv_handle_t *)&c->handle, closed_free);
        return fail(err, ERR_INTERNAL, "start %s: %s", spawn->arguments[0], uv_strerror(status));
    }
    *ret_pid = c->handle.pid;
    return 0;
}

/* Folders */

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
        .held.closed = closed_free, .loop = l, .again.run = watch_again, .changed = changed, .data = data
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
    uv_close((uv_handle_t *)&w->handle, closed_free);
}

/* Streams */

union socket {
    uv_handle_t handle;
    uv_stream_t stream;
    uv_tcp_t tcp;
    uv_pipe_t pipe;
};

struct stream {
    struct held held;
    union socket socket;
    struct loop *loop;
    const struct stream_events *events; /* NULL: not started, or closed */
    void *owner;
    uv_connect_t connect;
    uv_write_t write;
    uv_shutdown_t shutdown;
    struct buf writing; /* with libuv until the write is done */
    struct buf queue;   /* what came meanwhile */
    bool is_unix, connecting, write_runs, finishing, finished, broken, peer_known;
    int peer_port;
    char peer[INET6_ADDRSTRLEN];
};

static void stream_closed(uv_handle_t *h)
{
    struct stream *s = h->data;

    buf_free(&s->writing);
    buf_free(&s->queue);
    free(s);
}

static struct stream *stream_new(struct loop *l, bool is_unix)
{
    struct stream *s = calloc(1, sizeof *s);

    assert(s && "out of memory");
    s->held.closed = stream_closed;
    s->loop = l;
    s->is_unix = is_unix;
    if (is_unix)
        uv_pipe_init(&l->uv, &s->socket.pipe, 0);
    else
        uv_tcp_init(&l->uv, &s->socket.tcp);
    s->socket.handle.data = s;
    s->connect.data = s->write.data = s->shutdown.data = s;
    return s;
}

static void lend(uv_handle_t *h, size_t suggested, uv_buf_t *ret)
{
    struct stream *s = h->data;

    *ret = uv_buf_init(s->loop->read_buffer, READ_BYTES);
}

static void came(uv_stream_t *h, ssize_t n, const uv_buf_t *bytes)
{
    struct stream *s = h->data;

    if (!s->events || n == 0)
        return;
    if (n > 0) {
        s->events->received(s->owner, bytes->base, (size_t)n);
        return;
    }
    uv_read_stop(h);
    s->events->ended(s->owner, n == UV_EOF ? 0 : (int)-n);
}

void stream_read(struct stream *s, bool on)
{
    if (on)
        uv_read_start(&s->socket.stream, lend, came);
    else
        uv_read_stop(&s->socket.stream);
}

void stream_start(struct stream *s, const struct stream_events *events, void *owner)
{
    s->events = events;
    s->owner = owner;
    stream_read(s, true);
}

void stream_close(struct stream *s)
{
    if (!s)
        return;
    s->events = NULL;
    uv_close(&s->socket.handle, stream_closed);
}

static void shut(uv_shutdown_t *request, int status)
{
}

static void write_next(struct stream *s);

static void written(uv_write_t *request, int status)
{
    struct stream *s = request->data;

    s->write_runs = false;
    buf_clear(&s->writing);
    if (!s->events)
        return;
    if (status < 0) {
        s->broken = true;
        buf_clear(&s->queue);
        s->events->failed(s->owner, -status);
        return;
    }
    if (s->queue.size) {
        write_next(s);
        return;
    }
    /* What a slow reader had made pile up is not kept for the life of the connection. */
    if (s->writing.capacity > READ_BYTES)
        buf_free(&s->writing);
    if (s->queue.capacity > READ_BYTES)
        buf_free(&s->queue);
    if (s->finishing)
        stream_finish(s);
    if (s->events->drained)
        s->events->drained(s->owner);
}

static void write_next(struct stream *s)
{
    struct buf full = s->queue;
    uv_buf_t bytes;
    int status;

    s->queue = s->writing;
    s->writing = full;
    buf_clear(&s->queue);
    bytes = uv_buf_init(s->writing.data, (unsigned)s->writing.size);
    s->write_runs = true;
    status = uv_write(&s->write, &s->socket.stream, &bytes, 1, written);
    /* Refused at once, for lack of a descriptor: the reading side tells the owner. */
    if (status < 0) {
        s->write_runs = false;
        s->broken = true;
        buf_clear(&s->writing);
    }
}

size_t stream_queued(const struct stream *s)
{
    return s->queue.size + (s->write_runs ? uv_stream_get_write_queue_size(&s->socket.stream) : 0);
}

size_t stream_write(struct stream *s, const struct str *parts, int count)
{
    enum { PARTS_MAX = 8 };
    size_t sent = 0;

    assert(count <= PARTS_MAX && !s->finishing);
    if (s->broken)
        return 0;
    if (!s->write_runs && !s->connecting) {
        uv_buf_t vector[PARTS_MAX];
        int used = 0, n;

        for (int i = 0; i < count; i++)
            if (parts[i].size)
                vector[used++] = uv_buf_init((char *)parts[i].data, (unsigned)parts[i].size);
        if (!used)
            return 0;
        n = uv_try_write(&s->socket.stream, vector, (unsigned)used);
        /* An error shows again when the rest is written, and is told from there: never from inside this call. */
        if (n > 0)
            sent = (size_t)n;
    }
    for (int i = 0; i < count; i++) {
        size_t skip = sent < parts[i].size ? sent : parts[i].size;

        sent -= skip;
        if (skip < parts[i].size)
            buf_append(&s->queue, parts[i].data + skip, parts[i].size - skip);
    }
    if (s->queue.size && !s->write_runs && !s->connecting)
        write_next(s);
    return stream_queued(s);
}

void stream_finish(struct stream *s)
{
    s->finishing = true;
    if (s->finished || s->broken || s->connecting || s->write_runs)
        return;
    s->finished = true;
    uv_shutdown(&s->shutdown, &s->socket.stream, shut);
}

void stream_acknowledge(struct stream *s)
{
    int on = 1;
    uv_os_fd_t fd;

    /* Only a matter of speed: nothing depends on it. */
    if (!s->is_unix && uv_fileno(&s->socket.handle, &fd) == 0)
        (void)setsockopt(fd, IPPROTO_TCP, TCP_QUICKACK, &on, sizeof on);
}

bool stream_is_unix(const struct stream *s)
{
    return s->is_unix;
}

static void peer_read(struct stream *s)
{
    struct sockaddr_storage address = { 0 };
    int size = sizeof address;

    s->peer_known = true;
    if (s->is_unix || uv_tcp_getpeername(&s->socket.tcp, (struct sockaddr *)&address, &size) < 0)
        return;
    if (address.ss_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)&address;

        inet_ntop(AF_INET, &in->sin_addr, s->peer, sizeof s->peer);
        s->peer_port = ntohs(in->sin_port);
    } else if (address.ss_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&address;

        s->peer_port = ntohs(in6->sin6_port);
        /* One client has one address, however the socket was bound. */
        if (IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr))
            inet_ntop(AF_INET, in6->sin6_addr.s6_addr + 12, s->peer, sizeof s->peer);
        else
            inet_ntop(AF_INET6, &in6->sin6_addr, s->peer, sizeof s->peer);
    }
}

const char *stream_peer(struct stream *s)
{
    if (!s->peer_known)
        peer_read(s);
    return s->peer;
}

int stream_peer_port(struct stream *s)
{
    stream_peer(s);
    return s->peer_port;
}

bool stream_peer_is_loopback(struct stream *s)
{
    const char *peer = stream_peer(s);

    return s->is_unix || text_starts(peer, "127.") || strcmp(peer, "::1") == 0;
}

static void connected(uv_connect_t *request, int status)
{
    struct stream *s = request->data;

    s->connecting = false;
    if (!s->events)
        return;
    if (status < 0) {
        s->broken = true;
        s->events->connected(s->owner, -status);
        return;
    }
    stream_read(s, true);
    if (s->queue.size)
        write_next(s);
    else if (s->finishing)
        stream_finish(s);
    s->events->connected(s->owner, 0);
}

static bool address_of(const char *text, int port, struct sockaddr_storage *ret, socklen_t *ret_size)
{
    struct sockaddr_in *in = (struct sockaddr_in *)ret;
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)ret;

    *ret = (struct sockaddr_storage){ 0 };
    if (port < 0 || port > 65535)
        return false;
    if (inet_pton(AF_INET, text, &in->sin_addr) == 1) {
        in->sin_family = AF_INET;
        in->sin_port = htons((uint16_t)port);
        *ret_size = sizeof *in;
        return true;
    }
    if (inet_pton(AF_INET6, text, &in6->sin6_addr) == 1) {
        in6->sin6_family = AF_INET6;
        in6->sin6_port = htons((uint16_t)port);
        *ret_size = sizeof *in6;
        return true;
    }
    return false;
}

int stream_connect_tcp(struct loop *l, const char *address, int port, const struct stream_events *events, void *owner,
                       struct stream **ret, struct err *err)
{
    struct sockaddr_storage to;
    socklen_t size;
    struct stream *s;
    int status;

    if (!address_of(address, port, &to, &size))
        return fail(err, ERR_INVALID, "not an address and port: %s:%d", address, port);
    s = stream_new(l, false);
    uv_tcp_nodelay(&s->socket.tcp, 1);
    s->connecting = true;
    status = uv_tcp_connect(&s->connect, &s->socket.tcp, (const struct sockaddr *)&to, connected);
    if (status < 0) {
        stream_close(s);
        return fail(err, ERR_UNAVAILABLE, "connect to %s:%d: %s", address, port, uv_strerror(status));
    }
    s->events = events;
    s->owner = owner;
    *ret = s;
    return 0;
}

int stream_connect_unix(struct loop *l, const char *path, const struct stream_events *events, void *owner,
                        struct stream **ret, struct err *err)
{
    struct stream *s;

    /* libuv would cut it short and connect to something else. */
    if (strlen(path) >= sizeof((struct sockaddr_un *)0)->sun_path)
        return fail(err, ERR_INVALID, "socket path too long: %s", path);
    s = stream_new(l, true);
    s->connecting = true;
    uv_pipe_connect(&s->connect, &s->socket.pipe, path, connected);
    s->events = events;
    s->owner = owner;
    *ret = s;
    return 0;
}

/* Listeners */

struct loop_listener {
    struct held held;
    union socket socket;
    struct loop *loop;
    void (*accepted)(void *data, struct stream *);
    void *data;
    struct loop_timer later;
    bool is_unix, paused, waiting; /* waiting: libuv holds a connection and asks for no other */
    int port;
};

static void take(struct loop_listener *listener)
{
    struct stream *s = stream_new(listener->loop, listener->is_unix);
    int status = uv_accept(&listener->socket.stream, &s->socket.stream);

    listener->waiting = false;
    if (status < 0) {
        stream_close(s);
        return;
    }
    if (!listener->is_unix)
        uv_tcp_nodelay(&s->socket.tcp, 1);
    listener->accepted(listener->data, s);
}

static void connection_came(uv_stream_t *h, int status)
{
    struct loop_listener *listener = h->data;

    /* Out of descriptors: the connection stays in the kernel, libuv comes again. */
    if (status < 0)
        return;
    listener->waiting = true;
    if (!listener->paused)
        take(listener);
}

static void take_later(struct loop_timer *t)
{
    struct loop_listener *listener = list_entry(t, struct loop_listener, later);

    if (listener->waiting && !listener->paused)
        take(listener);
}

void loop_listener_pause(struct loop_listener *listener, bool paused)
{
    listener->paused = paused;
    if (!paused && listener->waiting)
        loop_timer_set(listener->loop, &listener->later, loop_now_ms(listener->loop));
}

int loop_listen_fd(struct loop *l, int fd, void (*accepted)(void *data, struct stream *), void *data,
                   struct loop_listener **ret, struct err *err)
{
    struct sockaddr_storage address = { 0 };
    socklen_t size = sizeof address;
    struct loop_listener *listener;
    int own, status;

    if (getsockname(fd, (struct sockaddr *)&address, &size) < 0)
        return fail_errno(err, errno, "listening socket %d", fd);
    own = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    if (own < 0)
        return fail_errno(err, errno, "listening socket %d", fd);
    listener = calloc(1, sizeof *listener);
    assert(listener && "out of memory");
    listener->held.closed = closed_free;
    listener->loop = l;
    listener->accepted = accepted;
    listener->data = data;
    listener->later.run = take_later;
    listener->is_unix = address.ss_family == AF_UNIX;
    if (address.ss_family == AF_INET)
        listener->port = ntohs(((struct sockaddr_in *)&address)->sin_port);
    if (address.ss_family == AF_INET6)
        listener->port = ntohs(((struct sockaddr_in6 *)&address)->sin6_port);
    if (listener->is_unix) {
        uv_pipe_init(&l->uv, &listener->socket.pipe, 0);
        listener->socket.handle.data = listener;
        status = uv_pipe_open(&listener->socket.pipe, own);
    } else {
        uv_tcp_init(&l->uv, &listener->socket.tcp);
        listener->socket.handle.data = listener;
        status = uv_tcp_open(&listener->socket.tcp, own);
    }
    if (status < 0)
        close(own);
    else
        status = uv_listen(&listener->socket.stream, BACKLOG, connection_came);
    if (status < 0) {
        uv_close(&listener->socket.handle, closed_free);
        return fail(err, ERR_INTERNAL, "listening socket %d: %s", fd, uv_strerror(status));
    }
    *ret = listener;
    return 0;
}

int listen_tcp(const char *address, int port, int *ret_fd, int *ret_port, struct err *err)
{
    struct sockaddr_storage to;
    socklen_t size;
    _cleanup_fd_ int fd = -1;
    int on = 1;

    if (!address_of(address, port, &to, &size))
        return fail(err, ERR_INVALID, "not an address and port: %s:%d", address, port);
    fd = socket(to.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0 ||
        bind(fd, (struct sockaddr *)&to, size) < 0 || listen(fd, BACKLOG) < 0 ||
        getsockname(fd, (struct sockaddr *)&to, &size) < 0)
        return fail_errno(err, errno, "listen on %s port %d", address, port);
    *ret_port = ntohs(to.ss_family == AF_INET ? ((struct sockaddr_in *)&to)->sin_port
                                              : ((struct sockaddr_in6 *)&to)->sin6_port);
    *ret_fd = fd;
    fd = -1;
    return 0;
}

int loop_listen_tcp(struct loop *l, const char *address, int port, void (*accepted)(void *data, struct stream *),
                    void *data, struct loop_listener **ret, struct err *err)
{
    _cleanup_fd_ int fd = -1;
    int real_port;

    if (listen_tcp(address, port, &fd, &real_port, err) < 0)
        return -1;
    return loop_listen_fd(l, fd, accepted, data, ret, err);
}

int loop_listen_unix(struct loop *l, const char *path, mode_t mode, void (*accepted)(void *data, struct stream *),
                     void *data, struct loop_listener **ret, struct err *err)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    _cleanup_fd_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    _cleanup_fd_ int probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (strlen(path) >= sizeof address.sun_path)
        return fail(err, ERR_INVALID, "socket path too long (%zu bytes at most): %s", sizeof address.sun_path - 1,
                    path);
    memcpy(address.sun_path, path, strlen(path) + 1);
    if (fd < 0 || probe < 0)
        return fail_errno(err, errno, "socket");
    if (connect(probe, (struct sockaddr *)&address, sizeof address) == 0 || errno == EAGAIN || errno == EINPROGRESS)
        return fail(err, ERR_CONFLICT, "%s: another process listens there", path);
    /* Left behind by a process that was killed. */
    if (errno == ECONNREFUSED)
        unlink(path);
    /* Nobody may connect between bind and chmod: Linux takes the new file's mode from the socket. */
    if (fchmod(fd, mode) < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) < 0 || chmod(path, mode) < 0 ||
        listen(fd, BACKLOG) < 0)
        return fail_errno(err, errno, "listen on %s", path);
    return loop_listen_fd(l, fd, accepted, data, ret, err);
}

int loop_listener_port(const struct loop_listener *listener)
{
    return listener->port;
}

void loop_listener_free(struct loop_listener *listener)
{
    if (!listener)
        return;
    loop_timer_stop(listener->loop, &listener->later);
    uv_close(&listener->socket.handle, closed_free);
}
