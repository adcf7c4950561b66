/* http_connection.c - bytes of a client become exchanges, and its answers bytes.
 *
 * Bytes go stream -> (TLS) -> parser -> exchange as they arrive; what may not go on yet (a paused body, the next
 * pipelined request) is held, and when enough is held the socket is not read. A whole request that came in one piece
 * and is answered in one piece costs one read and one write. */
#include "net/http_connection.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    LINGER_MS = 30000,      /* for a client that is still sending what nobody wants, so that it can read why */
    LINGER_QUIET_MS = 5000,
    ONE_RECORD_BYTES = 16384,
    KEPT_MAX_BYTES = 16384,
};

int64_t connection_now_ms(const struct connection *c)
{
    return loop_now_ms(c->server->options.loop);
}

/* --- The end --- */

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

void connection_destroy(struct connection *c)
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
    http_server_let_go(s, c);
    release(c);
}

static void leave(struct connection *c)
{
    c->busy--;
    if (c->doomed)
        release(c);
}

/* --- Time-outs: one timer a connection, moved only when it has to ring earlier than it is set --- */

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

void connection_set_timer(struct connection *c)
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
        c->since_ms = connection_now_ms(c);
    c->queued_seen = queued;
    if (deadline_ms(c) > connection_now_ms(c)) {
        connection_set_timer(c);
        return;
    }
    c->busy++;
    /* Who began to ask is told why it is over; an idle connection just ends. */
    if (!c->lingering && !queued && !c->answer_started && (c->live || http_parser_in_message(c->parser)))
        refuse(c, 408, "the rest of the request did not come in time");
    else
        connection_destroy(c);
    leave(c);
}

/* --- Writing --- */

void connection_write(struct connection *c, const struct str *parts, int count)
{
    struct str whole;
    struct err err;
    size_t total = 0;

    if (!stream_queued(c->stream)) {
        c->since_ms = connection_now_ms(c);
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
    c->since_ms = connection_now_ms(c);
    c->linger_until_ms = c->since_ms + LINGER_MS;
    buf_free(&c->held);
    if (c->read_off)
        stream_read(c->stream, true);
    c->read_off = false;
    stream_finish(c->stream);
    connection_set_timer(c);
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
        connection_destroy(c);
    else
        linger(c);
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
            connection_destroy(c);
            return;
        }
    }
    n = snprintf(text, sizeof text,
                 "HTTP/1.1 %d %s\r\nDate: %s\r\nContent-Type: text/plain\r\nContent-Length: %zu\r\n"
                 "Connection: close\r\n\r\n%s\n",
                 status, http_reason(status), http_server_date(c->server), strlen(why) + 1, why);
    connection_write(c, &(struct str){ text, (size_t)n < sizeof text ? (size_t)n : sizeof text - 1 }, 1);
    c->body_done = false;
    hang_up(c);
}

/* --- Reading --- */

static void exchange_end(struct connection *c);

void connection_settle(struct connection *c)
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
            c->since_ms = connection_now_ms(c);
            connection_set_timer(c);
            if (c->held.size || c->read_off)
                loop_timer_set(c->server->options.loop, &c->pump, c->since_ms);
        } else {
            hang_up(c);
        }
    }
    leave(c);
}

bool connection_has_body(const struct connection *c)
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
    http_parser_stop(c->parser, connection_has_body(c));
    s->options.handle(&c->x, s->options.data);
}

static void body_came(void *owner, const char *data, size_t size)
{
    struct connection *c = owner;

    c->since_ms = connection_now_ms(c);
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
        connection_settle(c);
        if (c->live || size == 0)
            break;
    }
    if (c->doomed || c->lingering)
        return;
    if (size)
        hold(c, data, size);
    connection_set_timer(c);
}

static void pump(struct loop_timer *t)
{
    struct connection *c = list_entry(t, struct connection, pump);
    struct buf held = c->held;

    c->busy++;
    /* The head of an answer whose body is late. */
    if (c->live && c->head.size) {
        connection_write(c, &(struct str){ c->head.data, c->head.size }, 1);
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
        c->since_ms = connection_now_ms(c);
        return;
    }
    if (!c->live && !http_parser_in_message(c->parser))
        c->since_ms = connection_now_ms(c);
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
            connection_destroy(c);
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
    connection_destroy(owner);
}

static void drained(void *owner)
{
    struct connection *c = owner;

    c->busy++;
    c->since_ms = connection_now_ms(c);
    if (c->live && c->answer_ended)
        connection_settle(c);
    else if (c->live && c->x.drained)
        c->x.drained(&c->x);
    leave(c);
}

static const struct stream_events stream_events = {
    .received = received, .ended = ended, .drained = drained, .failed = ended
};

/* --- The beginning --- */

void connection_new(struct http_server *s, struct stream *stream)
{
    struct connection *c = calloc(1, sizeof *c);

    assert(c && "out of memory");
    c->server = s;
    c->x.server = s;
    c->stream = stream;
    c->parser = http_parser_new(HTTP_REQUESTS, &parser_events, c);
    c->timer.run = timer_rang;
    c->pump.run = pump;
    http_server_take_in(s, c);
    c->since_ms = connection_now_ms(c);
    stream_start(stream, &stream_events, c);
    connection_set_timer(c);
}

bool connection_is_idle(const struct connection *c)
{
    return !c->live && !c->lingering && !http_parser_in_message(c->parser) && !c->held.size;
}
