/* pinger.c - a connection for each question: what answers may be a program that serves one client at a time. */
#include "agent/pinger.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "net/http_client.h"

enum { ANSWER_MS = 2000 };

struct pinger {
    struct loop *loop;
    void (*answered)(void *data);
    void *data;
    struct http_upstream *upstream;
    struct http_call *call;
    struct buf request; /* lent to the call */
    enum ping last;
    char words[128];
};

struct pinger *pinger_new(struct loop *loop, void (*answered)(void *data), void *data)
{
    struct pinger *p = calloc(1, sizeof *p);

    assert(p);
    *p = (struct pinger){ .loop = loop, .answered = answered, .data = data };
    return p;
}

static void on_head(void *owner, const struct http_head *head)
{
    struct pinger *p = owner;

    p->last = head->status == 200 ? PING_HEALTHY : PING_BAD;
    snprintf(p->words, sizeof p->words, "HTTP %d", head->status);
}

static void on_body(void *owner, const char *data, size_t size)
{
}

static void on_end(void *owner)
{
    struct pinger *p = owner;

    p->call = NULL;
    p->answered(p->data);
}

static void on_failed(void *owner, enum http_failure failure, const char *why)
{
    struct pinger *p = owner;

    p->last = PING_BAD;
    if (failure == HTTP_TIMED_OUT)
        why = "no answer within 2 s";
    snprintf(p->words, sizeof p->words, "%s", why);
    on_end(owner);
}

static const struct http_call_events events = { .head = on_head, .body = on_body, .end = on_end, .failed = on_failed };

void pinger_ask(struct pinger *p, const char *address, int port)
{
    char name[64];

    if (p->call)
        return;
    if (!p->upstream)
        p->upstream = http_upstream_new(&(struct http_upstream_options){ .loop = p->loop,
                                                                         .address = address,
                                                                         .port = port,
                                                                         .max_idle = 1,
                                                                         .idle_ms = 1,
                                                                         .connect_ms = 250 });
    snprintf(name, sizeof name, "%s:%d", address, port);
    buf_clear(&p->request);
    http_write_request(&p->request, STR("GET"), STR("/ping"));
    http_write_header(&p->request, STR("Host"), str_of(name));
    http_write_end(&p->request);
    p->last = PING_BUSY;
    p->call = http_call_start(p->upstream,
                              &(struct http_call_options){ .head = { p->request.data, p->request.size },
                                                           .answer_ms = ANSWER_MS,
                                                           .events = &events,
                                                           .owner = p });
}

enum ping pinger_answer(struct pinger *p)
{
    enum ping last = p->call ? PING_BUSY : p->last;

    if (!p->call)
        p->last = PING_NONE;
    return last;
}

const char *pinger_words(const struct pinger *p)
{
    return p->words;
}

void pinger_free(struct pinger *p)
{
    if (!p)
        return;
    http_call_cancel(p->call);
    http_upstream_free(p->upstream);
    buf_free(&p->request);
    free(p);
}
