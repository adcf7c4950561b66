/* http_exchange.c - what a handler does with its request: reads the body, and answers. */
#include "net/http_connection.h"

#include <assert.h>
#include <stdio.h>

/* --- The body --- */

void http_read(struct http_exchange *x)
{
    struct connection *c = connection_of(x);
    static const struct str go_on = { "HTTP/1.1 100 Continue\r\n\r\n", 25 };

    assert(c->live);
    if (x->head->expects_continue && !c->continued && !c->answer_started)
        connection_write(c, &go_on, 1);
    c->continued = true;
    c->wanted = true;
    if (c->end_told)
        return;
    http_parser_stop(c->parser, false);
    c->since_ms = connection_now_ms(c);
    connection_set_timer(c);
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

/* --- The answer --- */

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
    if ((connection_has_body(c) && !c->body_done) || c->server->draining)
        c->keep = false;
    buf_clear(b);
    http_write_status(b, status);
    http_write_header(b, STR("Date"), str_of(http_server_date(c->server)));
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
    loop_timer_set(c->server->options.loop, &c->pump, connection_now_ms(c));
}

bool http_answer_started(const struct http_exchange *x)
{
    return connection_of(x)->answer_started;
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
    connection_write(c, parts, count);
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
        connection_set_timer(c);
    return queued;
}

static void answer_over(struct connection *c)
{
    c->answer_ended = true;
    if (c->answer_left > 0) {
        /* The client counts bytes: only a cut connection tells it that some are missing. */
        connection_destroy(c);
        return;
    }
    connection_settle(c);
}

void http_answer_end(struct http_exchange *x)
{
    struct connection *c = connection_of(x);

    assert(c->live && c->answer_started && !c->answer_ended);
    if (c->head.size || c->chunked)
        write_body(c, STR(""), true);
    if (stream_queued(c->stream))
        connection_set_timer(c);
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
        connection_set_timer(c);
    answer_over(c);
}

void http_answer_text(struct http_exchange *x, int status, const char *content_type, const char *text)
{
    struct http_header header = { STR("Content-Type"), str_of(content_type) };

    http_answer(x, status, &header, 1, str_of(text));
}

void http_abort(struct http_exchange *x)
{
    connection_destroy(connection_of(x));
}
