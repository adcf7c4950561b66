/* pass.c - what is not an invocation goes to sagebrushd, byte for byte.
 *
 * The head is sent on as it came, for the signature in it is checked there; only the word of who the peer is, which a
 * client must not say of itself, is taken out and put in. While sagebrushd is away a request waits: it is restarted
 * in a moment, and a client that notices nothing is worth more than a quick refusal. Only what was not sent yet
 * waits. What was cut off in the middle may have been done, and its client is told to ask again. */
#include "serve/worker.h"

#include <assert.h>
#include <string.h>

enum {
    GATHERED_MAX_BYTES = 65536, /* a body up to this is sent in one piece with its head, and can be sent again */
    WAIT_MS = 30000,
    PROBE_MS = 50,
    ANSWER_MS = 900000, /* completing a large upload takes its time */
    QUEUE_BYTES = 262144,
};

#define PEER_HEADER "x-sagebrush-peer"

struct passing {
    struct worker *worker;
    struct http_exchange *x;
    struct http_call *call;
    struct list link;     /* of those that wait */
    struct buf head;
    struct str body;      /* gathered */
    bool flowing;         /* the body is sent as it comes */
    bool go_on;           /* sagebrushd wants it */
    bool probe;           /* the first after sagebrushd was away */
    int64_t give_up_ms;
};

static const struct http_call_events events;

/* --- The head --- */

static void write_head(struct passing *p)
{
    const struct http_head *from = p->x->head;
    struct buf *b = &p->head;
    const char *at = from->raw.data, *end = at + from->raw.size - 2;

    buf_reserve(b, from->raw.size + 128);
    if (http_count(from, PEER_HEADER) == 0) {
        buf_append(b, at, (size_t)(end - at));
    } else {
        while (at < end) {
            const char *next = memchr(at, '\n', (size_t)(end - at));
            struct str name, rest;

            assert(next);
            next++;
            if (!str_cut((struct str){ at, (size_t)(next - at) }, ':', &name, &rest) ||
                !str_is_nocase(name, PEER_HEADER))
                buf_append(b, at, (size_t)(next - at));
            at = next;
        }
    }
    buf_append_str(b, PEER_HEADER ": ");
    buf_append_str(b, p->x->peer);
    buf_append_str(b, p->x->tls ? " tls\r\n\r\n" : " plain\r\n\r\n");
}

/* --- Refusing --- */

/* 503 in the form that the asked service would use: a client that cannot read it would not try again. */
static void unavailable(struct passing *p, const char *text)
{
    struct http_exchange *x = p->x;
    const struct http_head *h = x->head;
    struct str authorization = http_value(h, "Authorization"), type = http_value(h, "Content-Type");
    struct arena *a = x->arena;
    struct http_header headers[3] = { { STR("Retry-After"), STR("1") } };
    size_t count = 1;
    const char *body;

    if (http_find(h, "Smithy-Protocol")) {
        /* An empty body is the one that a client of CBOR reads as an error of its own making: by the status. */
        headers[count++] = (struct http_header){ STR("Smithy-Protocol"), http_value(h, "Smithy-Protocol") };
        body = "";
    } else if (str_starts(type, "application/x-www-form-urlencoded") && !http_find(h, "X-Amz-Target")) {
        headers[count++] = (struct http_header){ STR("Content-Type"), STR("text/xml") };
        body = arena_printf(
            a,
            "<ErrorResponse><Error><Type>Receiver</Type><Code>ServiceUnavailable</Code><Message>%s</Message>"
            "</Error></ErrorResponse>",
            text);
    } else if ((authorization.size && memmem(authorization.data, authorization.size, "/s3/aws4_request", 16)) ||
               memmem(h->target.data, h->target.size, "%2Fs3%2Faws4_request", 20) ||
               http_find(h, "x-amz-content-sha256")) {
        headers[count++] = (struct http_header){ STR("Content-Type"), STR("application/xml") };
        body = arena_printf(a, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>ServiceUnavailable</Code>"
                            "<Message>%s</Message></Error>", text);
    } else {
        headers[count++] = (struct http_header){ STR("Content-Type"), STR("application/x-amz-json-1.1") };
        headers[count++] = (struct http_header){ STR("x-amzn-ErrorType"), STR("ServiceUnavailable") };
        body = arena_printf(a, "{\"__type\":\"ServiceUnavailable\",\"message\":\"%s\"}", text);
    }
    http_answer(x, 503, headers, count, str_of(body));
}

/* --- While sagebrushd is away --- */

static void send_request(struct passing *p);

static void wait_for_control(struct passing *p)
{
    struct worker *w = p->worker;
    int64_t now = loop_now_ms(w->loop);

    p->probe = false;
    if (now >= p->give_up_ms) {
        unavailable(p, "The control plane is not available. Try again.");
        return;
    }
    list_append(&w->waiting, &p->link);
    if (!w->probe.place)
        loop_timer_set(w->loop, &w->probe, now + PROBE_MS);
}

/* One request asks for all: with thousands waiting, a restarted sagebrushd must not be met by all of them at once,
 * again and again. */
void pass_probe(struct loop_timer *timer)
{
    struct worker *w = list_entry(timer, struct worker, probe);
    int64_t now = loop_now_ms(w->loop);
    struct passing *first = NULL;

    list_each(node, &w->waiting)
    {
        struct passing *p = list_entry(node, struct passing, link);

        if (now < p->give_up_ms && first)
            continue;
        list_remove(&p->link);
        if (now >= p->give_up_ms)
            unavailable(p, "The control plane is not available. Try again.");
        else
            first = p;
    }
    if (first) {
        first->probe = true;
        send_request(first);
    }
    if (!list_empty(&w->waiting) && !w->probe.place)
        loop_timer_set(w->loop, &w->probe, now + PROBE_MS);
}

static void control_is_back(struct passing *p)
{
    struct worker *w = p->worker;

    if (!p->probe)
        return;
    p->probe = false;
    list_each(node, &w->waiting)
    {
        struct passing *other = list_entry(node, struct passing, link);

        list_remove(&other->link);
        send_request(other);
    }
}

/* --- The answer --- */

static bool is_ours_to_write(struct str name)
{
    static const char *const names[] = { "Connection", "Keep-Alive", "Transfer-Encoding", "Content-Length", "Date" };

    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (str_is_nocase(name, names[i]))
            return true;
    return false;
}

static void control_head(void *owner, const struct http_head *head)
{
    struct passing *p = owner;
    struct http_header *headers = arena_array_of(p->x->arena, struct http_header, head->header_count);
    int64_t length = head->length;
    size_t used = 0;

    control_is_back(p);
    for (size_t i = 0; i < head->header_count; i++)
        if (!is_ours_to_write(head->headers[i].name))
            headers[used++] = head->headers[i];
    if (head->status == 204 || head->status == 304)
        length = -1;
    http_answer_start(p->x, head->status, headers, used, length);
}

static void control_body(void *owner, const char *data, size_t size)
{
    struct passing *p = owner;

    if (http_answer_write(p->x, data, size) > QUEUE_BYTES)
        http_call_pause(p->call, true);
}

static void control_end(void *owner)
{
    struct passing *p = owner;

    p->call = NULL;
    http_answer_end(p->x);
}

static bool is_question(const struct passing *p)
{
    struct str method = p->x->head->method;

    return str_is(method, "GET") || str_is(method, "HEAD");
}

static void control_failed(void *owner, enum http_failure failure, const char *why)
{
    struct passing *p = owner;

    p->call = NULL;
    if (http_answer_started(p->x)) {
        http_abort(p->x);
        return;
    }
    /* Not sent, or only a question: it can be asked again. */
    if (failure == HTTP_CANNOT_CONNECT || (failure == HTTP_BROKEN && !p->flowing && is_question(p))) {
        wait_for_control(p);
        return;
    }
    p->probe = false;
    unavailable(p, failure == HTTP_TIMED_OUT ? "The control plane did not answer in time."
                                             : "The control plane was restarted while it worked on this. Try again.");
}

/* --- The request --- */

/* The client's body moves when there is somebody to take it. */
static void take_body(struct passing *p)
{
    if (p->flowing && (p->go_on || !p->x->head->expects_continue) && http_call_connected(p->call))
        http_read(p->x);
}

static void control_connected(void *owner)
{
    struct passing *p = owner;

    control_is_back(p);
    take_body(p);
}

static void control_informed(void *owner, int status)
{
    struct passing *p = owner;

    if (status != 100)
        return;
    p->go_on = true;
    take_body(p);
}

static void control_drained(void *owner)
{
    struct passing *p = owner;

    if (!http_body_done(p->x))
        take_body(p);
}

static const struct http_call_events events = {
    .head = control_head,
    .body = control_body,
    .end = control_end,
    .failed = control_failed,
    .drained = control_drained,
    .connected = control_connected,
    .informed = control_informed,
};

static void send_request(struct passing *p)
{
    struct http_call_options options = {
        .head = { p->head.data, p->head.size },
        .body = p->body,
        .more = p->flowing,
        .once = !is_question(p),
        .fresh = p->flowing || p->probe,
        .chunked = p->x->head->chunked,
        .no_body = str_is(p->x->head->method, "HEAD"),
        .answer_ms = ANSWER_MS,
        .events = &events,
        .owner = p,
    };

    p->call = http_call_start(p->worker->api, &options);
}

static void flow(struct http_exchange *x, const char *data, size_t size)
{
    struct passing *p = x->data;

    if (p->call && http_call_write(p->call, data, size) > QUEUE_BYTES)
        http_pause(x);
}

static void flow_end(struct http_exchange *x)
{
    struct passing *p = x->data;

    if (p->call)
        http_call_end(p->call);
}

static void gathered(struct http_exchange *x, struct str body)
{
    struct passing *p = x->data;

    p->body = body;
    send_request(p);
}

static void answer_drained(struct http_exchange *x)
{
    struct passing *p = x->data;

    if (p->call)
        http_call_pause(p->call, false);
}

static void closed(struct http_exchange *x, bool complete)
{
    struct passing *p = x->data;

    http_call_cancel(p->call);
    p->call = NULL;
    list_remove(&p->link);
    buf_free(&p->head);
}

void pass(struct worker *w, struct http_exchange *x)
{
    struct passing *p = arena_new_of(x->arena, struct passing);
    const struct http_head *h = x->head;

    p->worker = w;
    p->x = x;
    /* Who asks whether all is well is told at once that it is not. */
    p->give_up_ms = loop_now_ms(w->loop) + (str_starts(h->target, "/_sagebrush/") ? 0 : WAIT_MS);
    list_init(&p->link);
    x->data = p;
    x->closed = closed;
    x->drained = answer_drained;
    write_head(p);
    if (!h->chunked && h->length <= 0) {
        send_request(p);
    } else if (!h->chunked && h->length <= GATHERED_MAX_BYTES && !h->expects_continue) {
        http_read_all(x, GATHERED_MAX_BYTES, gathered);
    } else {
        p->flowing = true;
        x->body = flow;
        x->body_end = flow_end;
        send_request(p);
    }
}
