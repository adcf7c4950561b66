/* transport.c - plain HTTP/1.1 over a socket of this host: no names to look up, no TLS, no proxies, so nothing of a
 * general client is needed, and loading one would cost each start 6 ms. Messages are taken apart by net/http. */
#include "agent/transport.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "agent/pace.h"
#include "base/clock.h"
#include "base/fd.h"

enum { STALL_MS = 120000, BODY_LIMIT = 64 << 20, BLOCK = 1 << 18 };

struct transport {
    char *path;
    int cancel, fd;
    struct http_parser *parser;
    struct buf out;
    char *block;
    /* Of the call that is running. */
    struct transport_answer *answer;
    bool ended, keep;
    struct err problem; /* what went wrong inside a callback */
    bool broken;
};

static void on_head(void *owner, const struct http_head *head)
{
    struct transport *t = owner;
    struct transport_answer *a = t->answer;
    struct str range = http_value(head, "content-range"), before, total;

    if (head->status / 100 == 1)
        return;
    a->status = head->status;
    a->length = head->length;
    a->total_bytes = -1;
    if (str_cut(range, '/', &before, &total))
        str_to_int64(total, &a->total_bytes);
    a->etag = a->arena ? str_of(str_dup(a->arena, http_value(head, "etag"))) : (struct str){ 0 };
    t->keep = head->keep_alive;
}

static void on_body(void *owner, const char *data, size_t size)
{
    struct transport *t = owner;
    struct transport_answer *a = t->answer;

    a->received += (int64_t)size;
    if (t->broken)
        return;
    if (a->fd > 0 && a->status / 100 == 2) {
        while (size) {
            ssize_t n = pwrite(a->fd, data, size, a->offset);

            if (n < 0 && errno == EINTR)
                continue;
            if (n < 0) {
                fail_errno(&t->problem, errno, "write what was downloaded");
                t->broken = true;
                return;
            }
            data += n;
            size -= (size_t)n;
            a->offset += n;
        }
        return;
    }
    if (a->body.size + size > BODY_LIMIT) {
        fail(&t->problem, ERR_LIMIT, "the answer is too long");
        t->broken = true;
        return;
    }
    buf_append(&a->body, data, size);
}

static void on_end(void *owner)
{
    struct transport *t = owner;

    /* 100 Continue and its kind are not what we wait for. */
    if (t->answer->status)
        t->ended = true;
}

static const struct http_parser_events events = { on_head, on_body, on_end };

struct transport *transport_new(const char *socket_path, int cancel_fd)
{
    struct transport *t = calloc(1, sizeof *t);

    assert(t);
    t->path = strdup(socket_path);
    t->cancel = cancel_fd;
    t->fd = -1;
    t->block = malloc(BLOCK);
    assert(t->path && t->block);
    t->parser = http_parser_new(HTTP_RESPONSES, &events, t);
    return t;
}

static void disconnect(struct transport *t)
{
    fd_cleanup(&t->fd);
    http_parser_reset(t->parser);
}

void transport_free(struct transport *t)
{
    if (!t)
        return;
    fd_cleanup(&t->fd);
    http_parser_free(t->parser);
    buf_free(&t->out);
    free(t->path);
    free(t->block);
    free(t);
}

static int cancelled(struct err *err)
{
    return fail(err, ERR_CONFLICT, "cancelled");
}

/* Until the socket is ready, or -1. */
static int wait_socket(struct transport *t, short for_what, struct err *err)
{
    struct pollfd p[2] = { { .fd = t->fd, .events = for_what }, { .fd = t->cancel, .events = POLLIN } };

    for (;;) {
        int n = poll(p, 2, STALL_MS);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return fail_errno(err, errno, "poll");
        if (n == 0)
            return fail(err, ERR_UNAVAILABLE, "the server does not answer");
        if (p[1].revents)
            return cancelled(err);
        return 0;
    }
}

static int connect_socket(struct transport *t, struct err *err)
{
    struct sockaddr_un to = { .sun_family = AF_UNIX };

    if (t->fd >= 0)
        return 0;
    if (strlen(t->path) >= sizeof to.sun_path)
        return fail(err, ERR_INVALID, "the socket's path is too long: %s", t->path);
    strcpy(to.sun_path, t->path);
    t->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (t->fd < 0)
        return fail_errno(err, errno, "socket");
    if (connect(t->fd, (struct sockaddr *)&to, sizeof to) < 0) {
        int saved = errno;

        fd_cleanup(&t->fd);
        return fail(err, ERR_UNAVAILABLE, "cannot reach the server at %s: %s", t->path, strerror(saved));
    }
    http_parser_reset(t->parser);
    return 0;
}

/* Takes in what has come. 0: go on, 1: the answer is whole. */
static int receive(struct transport *t, struct err *err)
{
    size_t taken;
    ssize_t n = recv(t->fd, t->block, BLOCK, 0);

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return 0;
    if (n < 0)
        return fail(err, ERR_UNAVAILABLE, "the server broke the connection: %s", strerror(errno));
    if (n == 0) {
        if (http_parser_finish(t->parser, err) < 0 || !t->ended)
            return fail(err, ERR_UNAVAILABLE, "the server closed the connection before its answer");
        t->keep = false;
        return 1;
    }
    for (size_t at = 0; at < (size_t)n && !t->ended; at += taken) {
        if (http_parser_feed(t->parser, t->block + at, (size_t)n - at, &taken, err) < 0)
            return fail(err, ERR_UNAVAILABLE, "the server's answer is no HTTP: %s", err->text);
        if (t->broken) {
            *err = t->problem;
            return -1;
        }
        if (t->ended || taken == 0)
            break;
        if (!http_parser_in_message(t->parser))
            http_parser_reset(t->parser);
    }
    return t->ended ? 1 : 0;
}

/* All of it, unless the server answers first. */
static int send_all(struct transport *t, const char *data, size_t size, struct err *err)
{
    while (size && !t->ended) {
        ssize_t n = send(t->fd, data, size, MSG_NOSIGNAL);

        if (n > 0) {
            data += n;
            size -= (size_t)n;
            continue;
        }
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && (errno == EPIPE || errno == ECONNRESET)) {
            /* It may have said why before it closed. */
            int r;

            while ((r = receive(t, err)) == 0)
                if (wait_socket(t, POLLIN, err) < 0)
                    return -1;
            return r < 0 ? -1 : 0;
        }
        if (n < 0 && errno != EAGAIN)
            return fail(err, ERR_UNAVAILABLE, "cannot send to the server: %s", strerror(errno));
        if (wait_socket(t, POLLOUT | POLLIN, err) < 0 || receive(t, err) < 0)
            return -1;
    }
    return 0;
}

static int wait_ms(struct transport *t, int64_t ms, struct err *err)
{
    struct pollfd p = { .fd = t->cancel, .events = POLLIN };

    return ms > 0 && poll(&p, 1, (int)ms) > 0 ? cancelled(err) : 0;
}

static int exchange(struct transport *t, const struct transport_request *q, struct err *err)
{
    int64_t size = q->fd > 0 ? q->size_bytes : (int64_t)q->body.size, at = 0;
    char length[32];
    int r;

    buf_clear(&t->out);
    http_write_request(&t->out, str_of(q->method), str_of(q->target));
    for (int i = 0; i < q->header_count; i++)
        http_write_header(&t->out, q->headers[i].name, q->headers[i].value);
    if (size || strcmp(q->method, "GET") != 0) {
        snprintf(length, sizeof length, "%lld", (long long)size);
        http_write_header(&t->out, STR("Content-Length"), str_of(length));
    }
    http_write_end(&t->out);
    if (q->fd <= 0)
        buf_append(&t->out, q->body.data ? q->body.data : "", q->body.size);
    if (send_all(t, t->out.data, t->out.size, err) < 0)
        return -1;
    while (q->fd > 0 && at < size && !t->ended) {
        char *block = buf_reserve(&t->out, BLOCK);
        ssize_t n = pread(q->fd, block, (size_t)(size - at < BLOCK ? size - at : BLOCK), q->offset + at);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return fail_errno(err, errno, "read what is to be uploaded");
        if (n == 0)
            return fail(err, ERR_INTERNAL, "a file became shorter while it was uploaded");
        if ((q->pace && wait_ms(t, pace_take_ms(q->pace, n), err) < 0) || send_all(t, block, (size_t)n, err) < 0)
            return -1;
        at += n;
    }
    while (!t->ended) {
        r = receive(t, err);
        if (r < 0)
            return -1;
        if (r == 0 && wait_socket(t, POLLIN, err) < 0)
            return -1;
    }
    /* An answer before the end of the request leaves the connection in no state for the next one. */
    if (at < size && q->fd > 0)
        t->keep = false;
    return 0;
}

int transport_call(struct transport *t, const struct transport_request *q, struct transport_answer *answer,
                   struct err *err)
{
    int64_t offset = answer->offset;

    for (int attempt = 0;; attempt++) {
        bool kept = t->fd >= 0;

        answer->status = 0;
        answer->received = 0;
        answer->offset = offset;
        answer->body.size = 0;
        t->answer = answer;
        t->ended = t->broken = false;
        t->keep = true;
        if (connect_socket(t, err) < 0)
            return -1;
        if (exchange(t, q, err) == 0)
            break;
        disconnect(t);
        /* A kept connection may have been closed meanwhile: that says nothing about the server. */
        if (!kept || attempt || err->kind != ERR_UNAVAILABLE || answer->status)
            return -1;
    }
    if (t->keep)
        http_parser_reset(t->parser);
    else
        disconnect(t);
    return 0;
}

int transport_post(struct transport *t, const char *target, const char *authorization, const char *body,
                   struct transport_answer *answer, struct err *err)
{
    const struct http_header headers[] = { { STR("Host"), STR("localhost") },
                                           { STR("Content-Type"), STR("application/json") },
                                           { STR("Authorization"), str_of(authorization) } };
    const struct transport_request q = { .method = "POST", .target = target, .headers = headers,
                                         .header_count = *authorization ? 3 : 2, .body = str_of(body) };

    return transport_call(t, &q, answer, err);
}

int transport_pause(struct transport *t, int failures, struct err *err)
{
    int ms = 50 << (failures > 8 ? 7 : failures > 1 ? failures - 1 : 0);

    return wait_ms(t, ms > 5000 ? 5000 : ms, err);
}
