/* http_client.c - HTTP/1.1 requests to one upstream.
 *
 * A link is one connection; it serves one call at a time and waits in the upstream's pool between them, the last used
 * first. A call moves to a new link at most once: when the kept one turns out to have been closed meanwhile. */
#include "net/http_client.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "net/stream.h"

enum { HELD_MAX_BYTES = 65536 };

struct http_upstream {
    struct http_upstream_options options;
    char *name; /* of the address or path, ours */
    struct list idle;
    int idle_count, running;
    int holders; /* the owner, each link, each call */
    bool freed;
};

struct link {
    struct list link; /* in the pool */
    struct http_upstream *upstream;
    struct http_call *call; /* NULL: none, or no longer */
    struct stream *stream;
    struct http_parser *parser;
    struct buf held; /* of the answer, while the call is paused */
    struct loop_timer timer, pump;
    int64_t since_ms;
    int busy;
    bool doomed, connecting, pooled, used_before, broken, ended, read_off;
    bool interim, over; /* an answer of 1xx, the answer, has just ended */
};

struct http_call {
    struct http_upstream *upstream;
    struct link *link;
    struct http_call_options options;
    struct loop_timer later; /* a failure that must not come from inside http_call_start */
    bool request_ended, streamed, answered, paused;
    bool acknowledged; /* the first piece of an answer that came in pieces */
    char why[256];
};

static void timer_rang(struct loop_timer *t);
static void pump(struct loop_timer *t);
static const struct stream_events stream_events;
static const struct http_parser_events parser_events;

static struct loop *loop_of(struct http_upstream *u)
{
    return u->options.loop;
}

/* --- Links --- */

static void upstream_release(struct http_upstream *u)
{
    if (--u->holders)
        return;
    free(u->name);
    free(u);
}

static void link_release(struct link *l)
{
    if (l->busy)
        return;
    upstream_release(l->upstream);
    http_parser_free(l->parser);
    buf_free(&l->held);
    free(l);
}

static void link_close(struct link *l)
{
    if (l->doomed)
        return;
    assert(!l->call);
    l->doomed = true;
    if (l->pooled) {
        list_remove(&l->link);
        l->upstream->idle_count--;
    }
    loop_timer_stop(loop_of(l->upstream), &l->timer);
    loop_timer_stop(loop_of(l->upstream), &l->pump);
    stream_close(l->stream);
    l->stream = NULL;
    link_release(l);
}

static void leave(struct link *l)
{
    l->busy--;
    if (l->doomed)
        link_release(l);
}

static int64_t deadline_ms(struct link *l)
{
    const struct http_upstream_options *o = &l->upstream->options;

    if (!l->call)
        return l->since_ms + o->idle_ms;
    if (l->connecting)
        return l->since_ms + o->connect_ms;
    if (l->call->paused || (!l->call->request_ended && !l->call->answered && !stream_queued(l->stream)))
        return INT64_MAX; /* it is the caller's turn */
    return l->since_ms + l->call->options.answer_ms;
}

static void set_timer(struct link *l)
{
    int64_t at = deadline_ms(l);

    if (at != INT64_MAX && (!l->timer.place || l->timer.at_ms > at))
        loop_timer_set(loop_of(l->upstream), &l->timer, at);
}

static void touch(struct link *l)
{
    l->since_ms = loop_now_ms(loop_of(l->upstream));
}

/* --- The end of a call --- */

static void call_free(struct http_call *c)
{
    struct http_upstream *u = c->upstream;

    loop_timer_stop(loop_of(u), &c->later);
    free(c);
    u->running--;
    upstream_release(u);
}

static void call_failed(struct link *l, enum http_failure failure, const char *why)
{
    struct http_call *c = l->call;

    l->call = NULL;
    l->busy++;
    link_close(l);
    c->link = NULL;
    c->options.events->failed(c->options.owner, failure, why);
    call_free(c);
    leave(l);
}

static void send_request(struct link *l)
{
    struct http_call *c = l->call;
    struct str parts[4] = { c->options.head };
    char line[24];
    int count = 1;

    if (c->options.body.size) {
        if (c->options.chunked)
            parts[count++] = (struct str){ line, (size_t)snprintf(line, sizeof line, "%zx\r\n", c->options.body.size) };
        parts[count++] = c->options.body;
        if (c->options.chunked)
            parts[count++] = c->options.more ? STR("\r\n") : STR("\r\n0\r\n\r\n");
    } else if (c->options.chunked && !c->options.more) {
        parts[count++] = STR("0\r\n\r\n");
    }
    stream_write(l->stream, parts, count);
    touch(l);
    set_timer(l);
}

static int connect_link(struct http_call *c, struct err *err)
{
    struct http_upstream *u = c->upstream;
    struct link *l = calloc(1, sizeof *l);
    int status;

    assert(l && "out of memory");
    if (u->options.path)
        status = stream_connect_unix(loop_of(u), u->name, &stream_events, l, &l->stream, err);
    else
        status = stream_connect_tcp(loop_of(u), u->name, u->options.port, &stream_events, l, &l->stream, err);
    if (status < 0) {
        free(l);
        return -1;
    }
    list_init(&l->link);
    l->upstream = u;
    u->holders++;
    l->timer.run = timer_rang;
    l->pump.run = pump;
    l->connecting = true;
    l->parser = http_parser_new(HTTP_RESPONSES, &parser_events, l);
    l->call = c;
    c->link = l;
    send_request(l);
    return 0;
}

static void failed_later(struct loop_timer *t)
{
    struct http_call *c = list_entry(t, struct http_call, later);

    c->options.events->failed(c->options.owner, HTTP_CANNOT_CONNECT, c->why);
    call_free(c);
}

static void connect_or_fail(struct http_call *c)
{
    struct err err;

    if (connect_link(c, &err) == 0)
        return;
    snprintf(c->why, sizeof c->why, "%.255s", err.text);
    loop_timer_set(loop_of(c->upstream), &c->later, loop_now_ms(loop_of(c->upstream)));
}

/* The link is gone without an answer, or inside one. Most likely it was closed while it waited in the pool; surely so
 * only when not all of the request could be written, or the end is a reset, which says that some of it was not read. */
static void lost(struct link *l, bool reset, const char *why)
{
    struct http_call *c = l->call;
    bool may_be_done = c->options.once && !reset && !l->broken;

    if (!l->used_before || c->answered || c->streamed || may_be_done) {
        call_failed(l, HTTP_BROKEN, why);
        return;
    }
    l->call = NULL;
    c->link = NULL;
    link_close(l);
    connect_or_fail(c);
}

static void timer_rang(struct loop_timer *t)
{
    struct link *l = list_entry(t, struct link, timer);

    if (deadline_ms(l) > loop_now_ms(loop_of(l->upstream))) {
        set_timer(l);
        return;
    }
    if (!l->call) {
        link_close(l);
    } else if (l->connecting) {
        call_failed(l, HTTP_CANNOT_CONNECT, "no connection in time");
    } else {
        call_failed(l, HTTP_TIMED_OUT, "no answer in time");
    }
}

/* --- What comes in --- */

static void head_came(void *owner, const struct http_head *head)
{
    struct link *l = owner;

    if (!l->call)
        return;
    if (l->call->options.no_body)
        http_parser_no_body(l->parser);
    if (head->status >= 200)
        l->call->options.events->head(l->call->options.owner, head);
}

static void body_came(void *owner, const char *data, size_t size)
{
    struct link *l = owner;

    if (l->call)
        l->call->options.events->body(l->call->options.owner, data, size);
}

static void end_came(void *owner)
{
    struct link *l = owner;
    struct http_call *c = l->call;

    if (!c)
        return;
    if (http_parser_head(l->parser)->status < 200) {
        l->interim = true;
        if (c->options.events->informed)
            c->options.events->informed(c->options.owner, http_parser_head(l->parser)->status);
        return;
    }
    l->over = true;
    l->broken = l->broken || !c->request_ended;
    l->call = NULL;
    c->link = NULL;
    c->options.events->end(c->options.owner);
    call_free(c);
}

static const struct http_parser_events parser_events = { head_came, body_came, end_came };

/* After the answer: the next call may have the link, if nothing speaks against it. */
static void put_back(struct link *l, size_t rest)
{
    struct http_upstream *u = l->upstream;
    bool good = http_parser_head(l->parser)->keep_alive && !l->broken && !l->ended && rest == 0 &&
                !stream_queued(l->stream) && !u->freed && u->idle_count < u->options.max_idle;

    l->over = false;
    if (!good) {
        link_close(l);
        return;
    }
    http_parser_reset(l->parser);
    if (l->read_off)
        stream_read(l->stream, true);
    l->read_off = false;
    l->pooled = true;
    l->used_before = true;
    l->link.prev = &u->idle;
    l->link.next = u->idle.next;
    u->idle.next->prev = &l->link;
    u->idle.next = &l->link;
    u->idle_count++;
    touch(l);
    set_timer(l);
}

/* Back-pressure: what is held stays small, the rest waits in the kernel. */
static void hold(struct link *l, const char *data, size_t size)
{
    buf_append(&l->held, data, size);
    if (l->held.size >= HELD_MAX_BYTES && !l->read_off) {
        l->read_off = true;
        stream_read(l->stream, false);
    }
}

/* The caller keeps the link busy. */
static void feed(struct link *l, const char *data, size_t size)
{
    struct err err;

    while (l->call && !l->call->paused) {
        size_t taken = 0;

        if (http_parser_feed(l->parser, data, size, &taken, &err) < 0) {
            if (l->call)
                call_failed(l, HTTP_GARBAGE, err.text);
            return;
        }
        data += taken;
        size -= taken;
        if (l->doomed)
            return;
        if (l->over) {
            put_back(l, size);
            return;
        }
        if (l->interim) {
            l->interim = false;
            if (!l->call)
                return;
            if (http_parser_head(l->parser)->status == 101) {
                call_failed(l, HTTP_GARBAGE, "it switches protocols, which nobody asked for");
                return;
            }
            http_parser_reset(l->parser);
        } else if (size == 0 || taken == 0) {
            break;
        }
    }
    if (l->doomed || !l->call)
        return;
    if (size)
        hold(l, data, size);
}

static void at_end(struct link *l)
{
    struct err err;

    if (http_parser_finish(l->parser, &err) < 0 && l->call) {
        lost(l, false, "the connection was closed before the end of the answer");
        return;
    }
    if (l->over)
        put_back(l, 0);
    else if (l->call)
        lost(l, false, "the connection was closed without an answer");
}

static void received(void *owner, const char *data, size_t size)
{
    struct link *l = owner;

    if (!l->call) {
        /* Nobody asked: what this is an answer to cannot be told. */
        link_close(l);
        return;
    }
    l->busy++;
    l->call->answered = true;
    touch(l);
    if (l->held.size || l->pump.place)
        hold(l, data, size);
    else
        feed(l, data, size);
    if (!l->doomed && l->call) {
        set_timer(l);
        if (!l->call->acknowledged)
            stream_acknowledge(l->stream);
        l->call->acknowledged = true;
    }
    leave(l);
}

static void ended(void *owner, int errno_value)
{
    struct link *l = owner;

    l->busy++;
    l->ended = true;
    if (!l->call)
        link_close(l);
    else if (errno_value)
        lost(l, errno_value == ECONNRESET, strerror(errno_value));
    else if (!l->held.size && !l->pump.place)
        at_end(l);
    leave(l);
}

static void pump(struct loop_timer *t)
{
    struct link *l = list_entry(t, struct link, pump);
    struct buf held = l->held;

    l->busy++;
    l->held = (struct buf){ 0 };
    feed(l, held.data ? held.data : "", held.size);
    buf_free(&held);
    if (!l->doomed && l->call) {
        if (l->read_off && l->held.size < HELD_MAX_BYTES) {
            l->read_off = false;
            stream_read(l->stream, true);
        }
        if (l->ended && !l->held.size && !l->call->paused)
            at_end(l);
        else
            set_timer(l);
    }
    leave(l);
}

static void connected(void *owner, int errno_value)
{
    struct link *l = owner;

    l->connecting = false;
    if (errno_value) {
        char why[128];

        snprintf(why, sizeof why, "connect: %s", strerror(errno_value));
        call_failed(l, HTTP_CANNOT_CONNECT, why);
        return;
    }
    touch(l);
    set_timer(l);
    if (l->call->options.events->connected)
        l->call->options.events->connected(l->call->options.owner);
}

static void drained(void *owner)
{
    struct link *l = owner;

    touch(l);
    if (l->call && l->call->options.events->drained)
        l->call->options.events->drained(l->call->options.owner);
}

/* An upstream may answer and close before it has read all: what it said is still to come on the reading side, and
 * so is the news that it is gone. */
static void failed(void *owner, int errno_value)
{
    struct link *l = owner;

    l->broken = true;
}

static const struct stream_events stream_events = { connected, received, ended, drained, failed };

/* --- The caller's side --- */

struct http_upstream *http_upstream_new(const struct http_upstream_options *options)
{
    struct http_upstream *u = calloc(1, sizeof *u);

    assert(u && options->loop && (options->address || options->path));
    u->options = *options;
    u->name = strdup(options->path ? options->path : options->address);
    assert(u->name && "out of memory");
    if (!u->options.max_idle)
        u->options.max_idle = 64;
    if (!u->options.idle_ms)
        u->options.idle_ms = 30000;
    if (!u->options.connect_ms)
        u->options.connect_ms = 1000;
    list_init(&u->idle);
    u->holders = 1;
    return u;
}

void http_upstream_free(struct http_upstream *u)
{
    if (!u)
        return;
    list_each(node, &u->idle)
        link_close(list_entry(node, struct link, link));
    u->freed = true;
    upstream_release(u);
}

int http_upstream_running(const struct http_upstream *u)
{
    return u->running;
}

struct http_call *http_call_start(struct http_upstream *u, const struct http_call_options *options)
{
    struct http_call *c = calloc(1, sizeof *c);

    assert(c && !u->freed && options->head.size);
    c->upstream = u;
    c->options = *options;
    if (!c->options.answer_ms)
        c->options.answer_ms = 60000;
    c->later.run = failed_later;
    c->request_ended = !options->more;
    u->running++;
    u->holders++;
    if (list_empty(&u->idle) || options->fresh) {
        connect_or_fail(c);
    } else {
        struct link *l = list_entry(u->idle.next, struct link, link);

        list_remove(&l->link);
        u->idle_count--;
        l->pooled = false;
        l->call = c;
        c->link = l;
        send_request(l);
    }
    return c;
}

bool http_call_connected(const struct http_call *c)
{
    return c->link && !c->link->connecting;
}

size_t http_call_write(struct http_call *c, const void *data, size_t size)
{
    struct str parts[3] = { { data, size } };
    char line[24];
    int count = 1;

    assert(c->options.more && !c->request_ended);
    c->streamed = true;
    if (!c->link) /* it is about to fail */
        return 0;
    if (!size)
        return stream_queued(c->link->stream);
    if (c->options.chunked) {
        parts[0] = (struct str){ line, (size_t)snprintf(line, sizeof line, "%zx\r\n", size) };
        parts[1] = (struct str){ data, size };
        parts[2] = STR("\r\n");
        count = 3;
    }
    touch(c->link);
    stream_write(c->link->stream, parts, count);
    set_timer(c->link);
    return stream_queued(c->link->stream);
}

void http_call_end(struct http_call *c)
{
    assert(c->options.more && !c->request_ended);
    c->request_ended = true;
    c->streamed = true;
    if (!c->link)
        return;
    if (c->options.chunked)
        stream_write(c->link->stream, &STR("0\r\n\r\n"), 1);
    touch(c->link);
    set_timer(c->link);
}

void http_call_pause(struct http_call *c, bool paused)
{
    struct link *l = c->link;

    c->paused = paused;
    if (!l)
        return;
    http_parser_stop(l->parser, paused);
    if (!paused) {
        touch(l);
        loop_timer_set(loop_of(c->upstream), &l->pump, l->since_ms);
    }
}

void http_call_cancel(struct http_call *c)
{
    struct link *l;

    if (!c)
        return;
    l = c->link;
    if (l) {
        l->call = NULL;
        link_close(l);
    }
    call_free(c);
}
