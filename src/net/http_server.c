/* http_server.c - HTTP/1.1 over TCP, Unix sockets and TLS.
 *
 * A connection has at most one exchange at a time. Bytes go stream -> (TLS) -> parser -> exchange as they arrive;
 * what may not go on yet (a paused body, the next pipelined request) is held, and when enough is held the socket is
 * not read. A whole request that came in one piece and is answered in one piece costs one read and one write.
 *
 * Nothing of a connection is freed while one of its functions is on the stack: 'busy' counts them, 'doomed' says that
 * the last one frees. */
#include "net/http_server.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "net/listener.h"
#include "net/stream.h"
#include "net/tls.h"

enum {
    HELD_MAX_BYTES = 65536,
    LISTENERS_MAX = 8,
    LINGER_MS = 30000,      /* for a client that is still sending what nobody wants, so that it can read why */
    LINGER_QUIET_MS = 5000,
    ONE_RECORD_BYTES = 16384,
    KEPT_MAX_BYTES = 16384,
};

struct http_server {
    struct http_server_options options;
    struct loop_listener *listeners[LISTENERS_MAX];
    int listener_count;
    struct list connections;
    int count;
    bool draining, full;
    struct loop_timer grace;
    void (*drained)(void *data);
    void *drained_data;
    int64_t date_s; /* of the text */
    char date[40];
};

struct connection {
    struct http_exchange x;
    struct list link;
    struct http_server *server;
    struct stream *stream;
    struct http_parser *parser;
    struct tls *tls;
    struct arena *arena;
    struct buf held;    /* came in and may not go on yet */
    struct buf head;    /* of the answer, written with the first of its body */
    struct buf scratch; /* plain text on its way into TLS */
    struct buf cipher;  /* and out of it */
    struct loop_timer timer, pump;
    int64_t since_ms;   /* the last thing that happened */
    int64_t linger_until_ms;
    size_t queued_seen; /* at the last look at a client that reads slowly */
    int busy;
    bool in_parser;
    bool doomed;
    bool decided;   /* TLS or plain */
    bool lingering; /* answered; what still comes is dropped */
    bool read_off;

    /* Of the exchange. */
    bool live, wanted, body_done, end_told, continued;
    bool answer_started, answer_ended, chunked, no_body, keep, pump_for_head;
    int64_t answer_left; /* of an announced length; -1: none */
    struct buf whole;    /* http_read_all */
    size_t whole_limit;
    void (*whole_ready)(struct http_exchange *, struct str body);
};

static struct connection *connection_of(struct http_exchange *x)
{
    return list_entry(x, struct connection, x);
}

static int64_t now_ms(struct connection *c)
{
    return loop_now_ms(c->server->options.loop);
}

/* The end of a connection */

static void exchange_over(struct connection *c, bool complete)
{
    assert(c->live);
    c->live = false;
    if (c->x.closed)
        c->x.closed(&c->x, complete);
    arena_reset(c->arena);
    buf_clear(&c->head);
    buf_clear(&c->whole);
    /* A connection that waits keeps little. */
    if (c->whole.capacity > KEPT_MAX_BYTES)
        buf_free(&c->whole);
    if (c->head.capacity > KEPT_MAX_BYTES)
        buf_free(&c->head);
}

static void drained_now(struct loop_timer *t)
{
    struct http_server *s = list_entry(t, struct http_server, grace);

    while (!list_empty(&s->connections)) {
        struct connection *c = list_entry(s->connections.next, struct connection, link);

        http_abort(&c->x);
    }
    if (s->drained) {
        void (*drained)(void *data) = s->drained;

        s->drained = NULL;
        drained(s->drained_data);
    }
}

static void release(struct connection *c)
{
    if (c->busy)
        return;
    tls_free(c->tls);
    http_parser_free(c->parser);
    arena_free(c->arena);
    buf_free(&c->held);
    buf_free(&c->head);
    buf_free(&c->scratch);
    buf_free(&c->cipher);
    buf_free(&c->whole);
    free(c);
}

static void destroy(struct connection *c)
{
    struct http_server *s = c->server;

    if (c->doomed)
        return;
    c->doomed = true;
    c->busy++;
    if (c->live)
        exchange_over(c, false);
    c->busy--;
    loop_timer_stop(s->options.loop, &c->timer);
    loop_timer_stop(s->options.loop, &c->pump);
    stream_close(c->stream);
    c->stream = NULL;
    list_remove(&c->link);
    s->count--;
    if (s->full && s->count < s->options.max_connections) {
        s->full = false;
        for (int i = 0; i < s->listener_count; i++)
            loop_listener_pause(s->listeners[i], false);
    }
    if (s->draining && s->count == 0 && s->drained)
        loop_timer_set(s->options.loop, &s->grace, loop_now_ms(s->options.loop));
    release(c);
}

static void leave(struct connection *c)
{
    c->busy--;
    if (c->doomed)
        release(c);
}

/* Time-outs: one timer a connection, moved only when it has to ring earlier than it is set. */

static int64_t deadline_ms(struct connection *c)
{
    const struct http_server_options *o = &c->server->options;

    if (c->lingering)
        return c->since_ms + LINGER_QUIET_MS < c->linger_until_ms ? c->since_ms + LINGER_QUIET_MS : c->linger_until_ms;
    if (stream_queued(c->stream))
        return c->since_ms + o->write_ms;
    if (!c->live)
        return c->since_ms + (http_parser_in_message(c->parser) || !c->decided ? o->head_ms : o->idle_ms);
    if (c->wanted && !c->body_done)
        return c->since_ms + o->body_ms;
    return INT64_MAX; /* it is the handler's turn */
}

static void set_timer(struct connection *c)
{
    int64_t at;

    if (c->doomed)
        return;
    at = deadline_ms(c);
    if (at != INT64_MAX && (!c->timer.place || c->timer.at_ms > at))
        loop_timer_set(c->server->options.loop, &c->timer, at);
}

static void refuse(struct connection *c, int status, const char *why);

static void timer_rang(struct loop_timer *t)
{
    struct connection *c = list_entry(t, struct connection, timer);
    size_t queued = stream_queued(c->stream);

    /* A client that takes some of the answer is slow, not gone. */
    if (queued && queued < c->queued_seen)
        c->since_ms = now_ms(c);
    c->queued_seen = queued;
    if (deadline_ms(c) > now_ms(c)) {
        set_timer(c);
        return;
    }
    c->busy++;
    /* Who began to ask is told why it is over; an idle connection just ends. */
    if (!c->lingering && !queued && !c->answer_started && (c->live || http_parser_in_message(c->parser)))
        refuse(c, 408, "the rest of the request did not come in time");
    else
        destroy(c);
    leave(c);
}

/* Writing */

static void write_parts(struct connection *c, const struct str *parts, int count)
{
    struct str whole;
    struct err err;
    size_t total = 0;

    if (!stream_queued(c->stream)) {
        c->since_ms = now_ms(c);
        c->queued_seen = SIZE_MAX;
    }
    if (!c->tls) {
        stream_write(c->stream, parts, count);
        return;
    }
    for (int i = 0; i < count; i++)
        total += parts[i].size;
    buf_clear(&c->cipher);
    if (count > 1 && total <= ONE_RECORD_BYTES) {
        buf_clear(&c->scratch);
        for (int i = 0; i < count; i++)
            buf_append(&c->scratch, parts[i].data, parts[i].size);
        whole = (struct str){ c->scratch.data, c->scratch.size };
        parts = &whole;
        count = 1;
    }
    for (int i = 0; i < count; i++)
        /* A connection that broke in here is told by its reading side. */
        if (parts[i].size && tls_send(c->tls, parts[i].data, parts[i].size, &c->cipher, &err) < 0)
            break;
    stream_write(c->stream, &(struct str){ c->cipher.data, c->cipher.size }, 1);
    if (c->cipher.capacity > 4 * HELD_MAX_BYTES)
        buf_free(&c->cipher);
}

static void linger(struct connection *c)
{
    c->lingering = true;
    c->since_ms = now_ms(c);
    c->linger_until_ms = c->since_ms + LINGER_MS;
    buf_free(&c->held);
    if (c->read_off)
        stream_read(c->stream, true);
    c->read_off = false;
    stream_finish(c->stream);
    set_timer(c);
}

static void hang_up(struct connection *c)
{
    if (c->tls) {
        buf_clear(&c->cipher);
        tls_goodbye(c->tls, &c->cipher);
        stream_write(c->stream, &(struct str){ c->cipher.data, c->cipher.size }, 1);
    }
    /* Closing a socket with unread bytes resets it, and the client may lose the answer. */
    if (c->body_done && !c->held.size && !stream_queued(c->stream))
        destroy(c);
    else
        linger(c);
}

static const char *date_text(struct http_server *s)
{
    int64_t now_s = clock_wall_ms(clock_system()) / 1000;

    if (now_s != s->date_s) {
        _cleanup_arena_ struct arena *a = arena_new();

        snprintf(s->date, sizeof s->date, "%s", time_http(a, now_s * 1000));
        s->date_s = now_s;
    }
    return s->date;
}

/* What is wrong with the connection itself is answered here, in plain words, and ends it. */
static void refuse(struct connection *c, int status, const char *why)
{
    char text[512];
    int n;

    if (c->live) {
        bool started = c->answer_started;

        exchange_over(c, false);
        if (started || c->doomed) {
            destroy(c);
            return;
        }
    }
    n = snprintf(text, sizeof text,
                 "HTTP/1.1 %d %s\r\nDate: %s\r\nContent-Type: text/plain\r\nContent-Length: %zu\r\n"
                 "Connection: close\r\n\r\n%s\n",
                 status, http_reason(status), date_text(c->server), strlen(why) + 1, why);
    write_parts(c, &(struct str){ text, (size_t)n < sizeof text ? (size_t)n : sizeof text - 1 }, 1);
    c->body_done = false;
    hang_up(c);
}

/* Reading */

static void exchange_end(struct connection *c);

static void settle(struct connection *c)
{
    if (c->live && c->answer_ended && !c->in_parser && !c->doomed && !stream_queued(c->stream))
        exchange_end(c);
}

static void exchange_end(struct connection *c)
{
    bool keep = c->keep && c->body_done && !c->server->draining;

    c->busy++;
    exchange_over(c, true);
    if (!c->doomed) {
        if (keep) {
            http_parser_reset(c->parser);
            c->answer_started = c->answer_ended = false;
            c->since_ms = now_ms(c);
            set_timer(c);
            if (c->held.size || c->read_off)
                loop_timer_set(c->server->options.loop, &c->pump, c->since_ms);
        } else {
            hang_up(c);
        }
    }
    leave(c);
}

static bool has_body(const struct connection *c)
{
    return c->x.head->chunked || c->x.head->length > 0;
}

static void tell_end(struct connection *c)
{
    if (!c->live || !c->wanted || c->end_told)
        return;
    c->end_told = true;
    if (c->x.body_end)
        c->x.body_end(&c->x);
}

static void head_came(void *owner, const struct http_head *head)
{
    struct connection *c = owner;
    struct http_server *s = c->server;
    struct timespec now;

    if (!c->arena)
        c->arena = arena_new();
    clock_gettime(CLOCK_BOOTTIME, &now);
    c->x = (struct http_exchange){
        .head = head,
        .arena = c->arena,
        .peer = stream_peer(c->stream),
        .tls = c->tls != NULL,
        .local = stream_peer_is_loopback(c->stream),
        .server = s,
        .started_us = (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000,
    };
    c->live = true;
    c->wanted = c->body_done = c->end_told = c->continued = false;
    c->answer_started = c->answer_ended = c->chunked = c->no_body = c->pump_for_head = false;
    c->keep = head->keep_alive;
    c->answer_left = -1;
    c->whole_ready = NULL;
    /* Without a body there is nothing to wait for: the connection can be kept whenever the answer comes. */
    http_parser_stop(c->parser, has_body(c));
    s->options.handle(&c->x, s->options.data);
}

static void body_came(void *owner, const char *data, size_t size)
{
    struct connection *c = owner;

    c->since_ms = now_ms(c);
    if (c->live && c->x.body)
        c->x.body(&c->x, data, size);
}

static void body_ended(void *owner)
{
    struct connection *c = owner;

    c->body_done = true;
    tell_end(c);
}

static const struct http_parser_events parser_events = { head_came, body_came, body_ended };

static bool may_go_on(const struct connection *c)
{
    return !c->doomed && !c->lingering && !(c->live && c->body_done);
}

/* Back-pressure: what is held stays small, the rest waits in the kernel. */
static void hold(struct connection *c, const char *data, size_t size)
{
    buf_append(&c->held, data, size);
    if (c->held.size >= HELD_MAX_BYTES && !c->read_off) {
        c->read_off = true;
        stream_read(c->stream, false);
    }
}

/* Gives the parser what it takes; the rest is held. The caller keeps the connection busy. */
static void feed(struct connection *c, const char *data, size_t size)
{
    struct err err;

    while (may_go_on(c)) {
        size_t taken = 0;
        int status;

        c->in_parser = true;
        status = http_parser_feed(c->parser, data, size, &taken, &err);
        c->in_parser = false;
        if (c->doomed)
            return;
        if (status < 0) {
            refuse(c, err.http_status, err.text);
            return;
        }
        data += taken;
        size -= taken;
        settle(c);
        if (c->live || size == 0)
            break;
    }
    if (c->doomed || c->lingering)
        return;
    if (size)
        hold(c, data, size);
    set_timer(c);
}

static void pump(struct loop_timer *t)
{
    struct connection *c = list_entry(t, struct connection, pump);
    struct buf held = c->held;

    c->busy++;
    /* The head of an answer whose body is late. */
    if (c->live && c->head.size) {
        write_parts(c, &(struct str){ c->head.data, c->head.size }, 1);
        buf_clear(&c->head);
    }
    if (c->body_done)
        tell_end(c);
    c->held = (struct buf){ 0 };
    feed(c, held.data ? held.data : "", held.size);
    buf_free(&held);
    if (!c->doomed && c->read_off && c->held.size < HELD_MAX_BYTES) {
        c->read_off = false;
        stream_read(c->stream, true);
    }
    leave(c);
}

static void plain_came(void *owner, const char *data, size_t size)
{
    struct connection *c = owner;

    if (c->doomed)
        return;
    if (c->lingering) {
        c->since_ms = now_ms(c);
        return;
    }
    if (!c->live && !http_parser_in_message(c->parser))
        c->since_ms = now_ms(c);
    if (c->held.size || c->pump.place) {
        hold(c, data, size);
        return;
    }
    feed(c, data, size);
}

static void tls_came(struct connection *c, const char *data, size_t size)
{
    struct err err;
    struct buf out = { 0 };
    int status = tls_receive(c->tls, data, size, plain_came, c, &out, &err);

    if (!c->doomed) {
        /* Handshake, alerts: their own bytes, beside what an exchange writes. */
        if (out.size && !c->lingering)
            stream_write(c->stream, &(struct str){ out.data, out.size }, 1);
        if (status)
            destroy(c);
    }
    buf_free(&out);
}

static bool decide(struct connection *c, char first)
{
    const struct http_server_options *o = &c->server->options;

    c->decided = true;
    if (o->tls && first == TLS_FIRST_BYTE) {
        c->tls = tls_new(o->tls);
        return true;
    }
    if (o->plain_from_anywhere || stream_peer_is_loopback(c->stream))
        return true;
    refuse(c, 403, "plain HTTP is for clients on this machine only: use https");
    return false;
}

static void received(void *owner, const char *data, size_t size)
{
    struct connection *c = owner;

    c->busy++;
    if (c->decided || decide(c, data[0])) {
        if (c->tls)
            tls_came(c, data, size);
        else
            plain_came(c, data, size);
    }
    leave(c);
}

static void ended(void *owner, int errno_value)
{
    destroy(owner);
}

static void drained(void *owner)
{
    struct connection *c = owner;

    c->busy++;
    c->since_ms = now_ms(c);
    if (c->live && c->answer_ended)
        settle(c);
    else if (c->live && c->x.drained)
        c->x.drained(&c->x);
    leave(c);
}

static const struct stream_events stream_events = {
    .received = received, .ended = ended, .drained = drained, .failed = ended
};

static void accepted(void *data, struct stream *stream)
{
    struct http_server *s = data;
    struct connection *c = calloc(1, sizeof *c);

    assert(c && "out of memory");
    c->server = s;
    c->x.server = s;
    c->stream = stream;
    c->parser = http_parser_new(HTTP_REQUESTS, &parser_events, c);
    c->timer.run = timer_rang;
    c->pump.run = pump;
    list_append(&s->connections, &c->link);
    if (++s->count >= s->options.max_connections && !s->full) {
        s->full = true;
        for (int i = 0; i < s->listener_count; i++)
            loop_listener_pause(s->listeners[i], true);
    }
    c->since_ms = now_ms(c);
    stream_start(stream, &stream_events, c);
    set_timer(c);
}

/* The server */

struct http_server *http_server_new(const struct http_server_options *options)
{
    struct http_server *s = calloc(1, sizeof *s);

    assert(s && options->loop && options->handle);
    s->options = *options;
    if (!s->options.max_connections)
        s->options.max_connections = 10000;
    if (!s->options.idle_ms)
        s->options.idle_ms = 75000;
    if (!s->options.head_ms)
        s->options.head_ms = 30000;
    if (!s->options.body_ms)
        s->options.body_ms = 60000;
    if (!s->options.write_ms)
        s->options.write_ms = 60000;
    s->grace.run = drained_now;
    list_init(&s->connections);
    return s;
}

static int added(struct http_server *s, struct loop_listener *listener)
{
    s->listeners[s->listener_count++] = listener;
    return 0;
}

int http_server_listen_fd(struct http_server *s, int fd, struct err *err)
{
    struct loop_listener *listener;

    assert(s->listener_count < LISTENERS_MAX);
    if (loop_listen_fd(s->options.loop, fd, accepted, s, &listener, err) < 0)
        return -1;
    return added(s, listener);
}

int http_server_listen_tcp(struct http_server *s, const char *address, int port, int *ret_port, struct err *err)
{
    struct loop_listener *listener;

    assert(s->listener_count < LISTENERS_MAX);
    if (loop_listen_tcp(s->options.loop, address, port, accepted, s, &listener, err) < 0)
        return -1;
    *ret_port = loop_listener_port(listener);
    return added(s, listener);
}

int http_server_listen_unix(struct http_server *s, const char *path, mode_t mode, struct err *err)
{
    struct loop_listener *listener;

    assert(s->listener_count < LISTENERS_MAX);
    if (loop_listen_unix(s->options.loop, path, mode, accepted, s, &listener, err) < 0)
        return -1;
    return added(s, listener);
}

int http_server_connections(const struct http_server *s)
{
    return s->count;
}

static void listeners_free(struct http_server *s)
{
    for (int i = 0; i < s->listener_count; i++)
        loop_listener_free(s->listeners[i]);
    s->listener_count = 0;
}

void http_server_drain(struct http_server *s, int64_t grace_ms, void (*done)(void *data), void *data)
{
    int64_t now = loop_now_ms(s->options.loop);

    listeners_free(s);
    s->draining = true;
    s->drained = done;
    s->drained_data = data;
    list_each(node, &s->connections)
    {
        struct connection *c = list_entry(node, struct connection, link);

        if (!c->live && !c->lingering && !http_parser_in_message(c->parser) && !c->held.size)
            destroy(c);
    }
    loop_timer_set(s->options.loop, &s->grace, s->count ? now + grace_ms : now);
}

void http_server_free(struct http_server *s)
{
    if (!s)
        return;
    listeners_free(s);
    s->drained = NULL;
    while (!list_empty(&s->connections))
        destroy(list_entry(s->connections.next, struct connection, link));
    loop_timer_stop(s->options.loop, &s->grace);
    free(s);
}

/* The body */

void http_read(struct http_exchange *x)
{
    struct connection *c = connection_of(x);
    static const struct str go_on = { "HTTP/1.1 100 Continue\r\n\r\n", 25 };

    assert(c->live);
    if (x->head->expects_continue && !c->continued && !c->answer_started)
        write_parts(c, &go_on, 1);
    c->continued = true;
    c->wanted = true;
    if (c->end_told)
        return;
    http_parser_stop(c->parser, false);
    c->since_ms = now_ms(c);
    set_timer(c);
    if (!c->in_parser)
        loop_timer_set(c->server->options.loop, &c->pump, c->since_ms);
}

void http_pause(struct http_exchange *x)
{
    struct connection *c = connection_of(x);

    assert(c->live);
    c->wanted = false;
    http_parser_stop(c->parser, true);
}

bool http_body_done(const struct http_exchange *x)
{
    return connection_of((struct http_exchange *)x)->body_done;
}

static void whole_over(struct connection *c, size_t size)
{
    void (*ready)(struct http_exchange *, struct str body) = c->whole_ready;

    http_pause(&c->x);
    c->x.body = NULL;
    c->x.body_end = NULL;
    ready(&c->x, (struct str){ NULL, size });
}

static void whole_body(struct http_exchange *x, const char *data, size_t size)
{
    struct connection *c = connection_of(x);

    if (c->whole.size + size > c->whole_limit) {
        whole_over(c, c->whole.size + size);
        return;
    }
    buf_append(&c->whole, data, size);
}

static void whole_end(struct http_exchange *x)
{
    struct connection *c = connection_of(x);

    buf_reserve(&c->whole, 0);
    c->whole_ready(x, (struct str){ c->whole.data, c->whole.size });
}

void http_read_all(struct http_exchange *x, size_t limit, void (*ready)(struct http_exchange *, struct str body))
{
    struct connection *c = connection_of(x);

    c->whole_limit = limit;
    c->whole_ready = ready;
    x->body = whole_body;
    x->body_end = whole_end;
    if (x->head->length > 0 && (uint64_t)x->head->length > limit) {
        whole_over(c, (size_t)x->head->length);
        return;
    }
    if (x->head->length > 0)
        buf_reserve(&c->whole, (size_t)x->head->length < HELD_MAX_BYTES ? (size_t)x->head->length : HELD_MAX_BYTES);
    http_read(x);
}

/* The answer */

static void write_head(struct connection *c, int status, const struct http_header *headers, size_t count,
                       int64_t length)
{
    const struct http_server_options *o = &c->server->options;
    struct buf *b = &c->head;
    bool bodyless = status == 204 || status == 304;
    bool chunks = length < 0 && !bodyless && c->x.head->minor_version == 1;

    assert(c->live && !c->answer_started && status >= 200);
    c->answer_started = true;
    c->no_body = bodyless || str_is(c->x.head->method, "HEAD");
    c->chunked = chunks && !c->no_body;
    c->answer_left = c->no_body ? 0 : length;
    if (length < 0 && !chunks && !c->no_body)
        c->keep = false;
    if ((has_body(c) && !c->body_done) || c->server->draining)
        c->keep = false;
    buf_clear(b);
    http_write_status(b, status);
    http_write_header(b, STR("Date"), str_of(date_text(c->server)));
    if (o->name)
        http_write_header(b, STR("Server"), str_of(o->name));
    for (size_t i = 0; i < count; i++)
        http_write_header(b, headers[i].name, headers[i].value);
    if (chunks)
        buf_append_str(b, "Transfer-Encoding: chunked\r\n");
    else if (length >= 0 && !bodyless) {
        buf_append_str(b, "Content-Length: ");
        buf_append_int(b, length);
        buf_append(b, "\r\n", 2);
    }
    if (!c->keep)
        buf_append_str(b, "Connection: close\r\n");
    else if (c->x.head->minor_version == 0)
        buf_append_str(b, "Connection: keep-alive\r\n");
    http_write_end(b);
}

void http_answer_start(struct http_exchange *x, int status, const struct http_header *headers, size_t count,
                       int64_t length)
{
    struct connection *c = connection_of(x);

    write_head(c, status, headers, count, length);
    /* A body that is late must not keep the head waiting. */
    c->pump_for_head = true;
    loop_timer_set(c->server->options.loop, &c->pump, now_ms(c));
}

bool http_answer_started(const struct http_exchange *x)
{
    return connection_of((struct http_exchange *)x)->answer_started;
}

static size_t write_body(struct connection *c, struct str data, bool last)
{
    struct str parts[4] = { { c->head.data, c->head.size } };
    char line[24];
    int count = 1;

    if (c->no_body)
        data.size = 0;
    if (c->answer_left >= 0) {
        /* More than was announced would be taken for the next answer. */
        assert((uint64_t)data.size <= (uint64_t)c->answer_left && "more body than announced");
        c->answer_left -= (int64_t)data.size;
    }
    if (c->chunked && data.size) {
        parts[count++] = (struct str){ line, (size_t)snprintf(line, sizeof line, "%zx\r\n", data.size) };
        parts[count++] = data;
        parts[count++] = last ? STR("\r\n0\r\n\r\n") : STR("\r\n");
    } else if (c->chunked && last) {
        parts[count++] = STR("0\r\n\r\n");
    } else if (data.size) {
        parts[count++] = data;
    }
    write_parts(c, parts, count);
    buf_clear(&c->head);
    if (c->pump_for_head && !c->held.size && !c->read_off && !(c->wanted && !c->end_told))
        loop_timer_stop(c->server->options.loop, &c->pump);
    c->pump_for_head = false;
    return stream_queued(c->stream);
}

size_t http_answer_write(struct http_exchange *x, const void *data, size_t size)
{
    struct connection *c = connection_of(x);
    size_t queued;

    assert(c->live && c->answer_started && !c->answer_ended);
    if (!size)
        return stream_queued(c->stream);
    queued = write_body(c, (struct str){ data, size }, false);
    if (queued)
        set_timer(c);
    return queued;
}

static void answer_over(struct connection *c)
{
    c->answer_ended = true;
    if (c->answer_left > 0) {
        /* The client counts bytes: only a cut connection tells it that some are missing. */
        destroy(c);
        return;
    }
    settle(c);
}

void http_answer_end(struct http_exchange *x)
{
    struct connection *c = connection_of(x);

    assert(c->live && c->answer_started && !c->answer_ended);
    if (c->head.size || c->chunked)
        write_body(c, STR(""), true);
    if (stream_queued(c->stream))
        set_timer(c);
    answer_over(c);
}

void http_answer(struct http_exchange *x, int status, const struct http_header *headers, size_t count, struct str body)
{
    struct connection *c = connection_of(x);

    write_head(c, status, headers, count, (int64_t)body.size);
    if (c->no_body)
        body.size = 0;
    write_body(c, body, true);
    if (stream_queued(c->stream))
        set_timer(c);
    answer_over(c);
}

void http_answer_text(struct http_exchange *x, int status, const char *content_type, const char *text)
{
    struct http_header header = { STR("Content-Type"), str_of(content_type) };

    http_answer(x, status, &header, 1, str_of(text));
}

void http_abort(struct http_exchange *x)
{
    destroy(connection_of(x));
}
