/* stream.c - a connected socket, TCP or Unix.
 *
 * A write goes to the kernel at once; what the kernel does not take waits in one of two buffers: one is with libuv, the
 * other gathers what comes meanwhile, and they change places. */
#include "net/stream.h"

#include <assert.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "net/address.h"
#include "net/loop_uv.h"

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
    char peer[ADDRESS_TEXT];
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

struct stream *stream_accept(struct loop *l, union socket *listener, bool is_unix)
{
    struct stream *s = stream_new(l, is_unix);

    if (uv_accept(&listener->stream, &s->socket.stream) < 0) {
        stream_close(s);
        return NULL;
    }
    if (!is_unix)
        uv_tcp_nodelay(&s->socket.tcp, 1);
    return s;
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
    s->peer_port = address_port(&address);
    address_print(&address, s->peer);
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

int stream_connect_tcp(struct loop *l, const char *address, int port, const struct stream_events *events, void *owner,
                       struct stream **ret, struct err *err)
{
    struct sockaddr_storage to;
    struct stream *s;
    int status;

    if (!address_read(address, port, &to))
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
