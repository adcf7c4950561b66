/* listener.c - sockets that listen, TCP or Unix. */
#include "net/listener.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fd.h"
#include "net/address.h"
#include "net/loop_uv.h"

enum { BACKLOG = 4096 };

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
    struct stream *s = stream_accept(listener->loop, &listener->socket, listener->is_unix);

    listener->waiting = false;
    if (s)
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
    listener->held.closed = held_free;
    listener->loop = l;
    listener->accepted = accepted;
    listener->data = data;
    listener->later.run = take_later;
    listener->is_unix = address.ss_family == AF_UNIX;
    listener->port = address_port(&address);
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
        uv_close(&listener->socket.handle, held_free);
        return fail(err, ERR_INTERNAL, "listening socket %d: %s", fd, uv_strerror(status));
    }
    *ret = listener;
    return 0;
}

int listen_tcp(const char *address, int port, int *ret_fd, int *ret_port, struct err *err)
{
    struct sockaddr_storage to;
    socklen_t size = sizeof to;
    _cleanup_fd_ int fd = -1;
    int on = 1;

    if (!address_read(address, port, &to))
        return fail(err, ERR_INVALID, "not an address and port: %s:%d", address, port);
    fd = socket(to.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0 ||
        bind(fd, (struct sockaddr *)&to, address_size(&to)) < 0 || listen(fd, BACKLOG) < 0 ||
        getsockname(fd, (struct sockaddr *)&to, &size) < 0)
        return fail_errno(err, errno, "listen on %s port %d", address, port);
    *ret_port = address_port(&to);
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
    uv_close(&listener->socket.handle, held_free);
}
