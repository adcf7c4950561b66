#include "agent/answerer.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "base/list.h"
#include "net/listener.h"
#include "net/stream.h"

enum { ASKERS_MOST = 64 };

struct answerer {
    struct loop *loop;
    struct loop_listener *listener;
    int count; /* of askers */
    void (*answer)(void *data, struct arena *, const struct http_head *, struct answer *ret);
    void *data;
    struct list askers;
};

struct asker {
    struct list link;
    struct answerer *server;
    struct stream *stream;
    struct http_parser *parser;
    bool answered;
};

/* Who comes when there are too many waits in the kernel: a job must not use up its agent's descriptors. */
static void change_count(struct answerer *s, int by)
{
    s->count += by;
    loop_listener_pause(s->listener, s->count >= ASKERS_MOST);
}

static void asker_close(struct asker *k)
{
    change_count(k->server, -1);
    stream_close(k->stream);
    http_parser_free(k->parser);
    list_remove(&k->link);
    free(k);
}

static void on_request(void *owner, const struct http_head *head)
{
    struct asker *k = owner;
    _cleanup_arena_ struct arena *a = arena_new();
    struct answer answer = { 404, "application/json", "{\"message\":\"there is nothing here\"}" };
    _cleanup_buf_ struct buf b = { 0 };
    struct str part;

    k->server->answer(k->server->data, a, head, &answer);
    http_write_status(&b, answer.status);
    http_write_header(&b, STR("Content-Type"), str_of(answer.type));
    http_write_header(&b, STR("Content-Length"), str_of(arena_printf(a, "%zu", strlen(answer.body))));
    http_write_header(&b, STR("Connection"), STR("close"));
    http_write_end(&b);
    buf_append(&b, answer.body, strlen(answer.body));
    part = (struct str){ b.data, b.size };
    stream_write(k->stream, &part, 1);
    k->answered = true;
}

static void drop_body(void *owner, const char *data, size_t size)
{
}

static void on_message_end(void *owner)
{
}

static const struct http_parser_events request_events = { on_request, drop_body, on_message_end };

static void asker_received(void *owner, const char *data, size_t size)
{
    struct asker *k = owner;
    struct err err;
    size_t taken;

    if (k->answered)
        return;
    if (http_parser_feed(k->parser, data, size, &taken, &err) < 0) {
        asker_close(k);
        return;
    }
    if (k->answered)
        stream_finish(k->stream);
}

static void asker_ended(void *owner, int errno_value)
{
    asker_close(owner);
}

static void asker_drained(void *owner)
{
}

static const struct stream_events asker_events = { NULL, asker_received, asker_ended, asker_drained, asker_ended };

static void accept_asker(void *data, struct stream *stream)
{
    struct answerer *server = data;
    struct asker *k = calloc(1, sizeof *k);

    assert(k);
    k->server = server;
    k->stream = stream;
    k->parser = http_parser_new(HTTP_REQUESTS, &request_events, k);
    list_append(&server->askers, &k->link);
    change_count(server, 1);
    stream_start(stream, &asker_events, k);
}

int answerer_new(struct loop *loop, const struct network *network, const char *address, int port,
                 void (*answer)(void *data, struct arena *, const struct http_head *, struct answer *ret), void *data,
                 struct answerer **ret, struct err *err)
{
    struct answerer *s = calloc(1, sizeof *s);
    _cleanup_fd_ int fd = -1;

    assert(s);
    *s = (struct answerer){ .loop = loop, .answer = answer, .data = data };
    list_init(&s->askers);
    if (network_listen(network, address, port, &fd, err) < 0 ||
        loop_listen_fd(loop, fd, accept_asker, s, &s->listener, err) < 0) {
        free(s);
        return -1;
    }
    *ret = s;
    return 0;
}

void answerer_free(struct answerer *s)
{
    if (!s)
        return;
    list_each(node, &s->askers)
        asker_close(list_entry(node, struct asker, link));
    loop_listener_free(s->listener);
    free(s);
}
