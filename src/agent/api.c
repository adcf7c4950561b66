/* api.c - the endpoint passes bytes on to jobs.sock and back, and looks at none of them: signatures
 * are checked there. */
#include "agent/api.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "doc/json.h"
#include "net/http.h"

enum { QUEUE_HIGH = 1 << 20, CREDENTIALS_MS = 3600 * 1000 };

struct api {
    struct loop *loop;
    struct clock *clock;
    const struct order *order;
    struct loop_listener *endpoint, *credentials;
    struct list pairs, askers;
};

/* --- The endpoint: two streams, each the other's sink --- */

struct pair;

struct side {
    struct pair *pair;
    struct stream *stream;
    bool ended; /* it sends no more */
};

struct pair {
    struct list link;
    struct side client, server;
};

static void pair_close(struct pair *p)
{
    stream_close(p->client.stream);
    stream_close(p->server.stream);
    list_remove(&p->link);
    free(p);
}

static struct side *other(struct side *s)
{
    return s == &s->pair->client ? &s->pair->server : &s->pair->client;
}

static void on_received(void *owner, const char *data, size_t size)
{
    struct side *s = owner;
    struct str part = { data, size };

    if (stream_write(other(s)->stream, &part, 1) > QUEUE_HIGH)
        stream_read(s->stream, false);
}

static void on_drained(void *owner)
{
    struct side *s = owner;

    if (!other(s)->ended)
        stream_read(other(s)->stream, true);
}

static void on_ended(void *owner, int errno_value)
{
    struct side *s = owner;

    s->ended = true;
    if (errno_value || other(s)->ended)
        pair_close(s->pair);
    else
        stream_finish(other(s)->stream);
}

static void on_failed(void *owner, int errno_value)
{
    pair_close(((struct side *)owner)->pair);
}

static const struct stream_events side_events;

static void on_connected(void *owner, int errno_value)
{
    struct side *s = owner;

    /* The server is away: the client's own retries are for that. */
    if (errno_value)
        pair_close(s->pair);
    else
        stream_start(other(s)->stream, &side_events, other(s));
}

static const struct stream_events side_events = { on_connected, on_received, on_ended, on_drained, on_failed };

static void accept_client(void *data, struct stream *stream)
{
    struct api *api = data;
    struct pair *p = calloc(1, sizeof *p);
    struct err err;

    assert(p);
    p->client = (struct side){ .pair = p, .stream = stream };
    p->server.pair = p;
    if (stream_connect_unix(api->loop, api->order->api_socket, &side_events, &p->server, &p->server.stream, &err) < 0) {
        stream_close(stream);
        free(p);
        return;
    }
    list_append(&api->pairs, &p->link);
}

/* --- The credentials: one answer --- */

struct asker {
    struct list link;
    struct api *api;
    struct stream *stream;
    struct http_parser *parser;
    bool answered;
};

static void asker_close(struct asker *k)
{
    stream_close(k->stream);
    http_parser_free(k->parser);
    list_remove(&k->link);
    free(k);
}

static const char *credentials_text(struct api *api, struct arena *a)
{
    const struct order *o = api->order;
    int64_t expires_ms = clock_wall_ms(api->clock) + CREDENTIALS_MS;
    struct doc *d = doc_map(a);

    /* They live longer, but clients that are told so ask again, and would see new ones. */
    if (o->credentials_expire_ms && o->credentials_expire_ms < expires_ms)
        expires_ms = o->credentials_expire_ms;
    doc_set_string(a, d, "RoleArn", o->role_arn);
    doc_set_string(a, d, "AccessKeyId", o->access_key_id);
    doc_set_string(a, d, "SecretAccessKey", o->secret_access_key);
    doc_set_string(a, d, "Token", o->session_token);
    doc_set_string(a, d, "Expiration", time_iso8601(a, expires_ms, false));
    return json_text(a, d);
}

static void on_request(void *owner, const struct http_head *head)
{
    struct asker *k = owner;
    _cleanup_arena_ struct arena *a = arena_new();
    bool right = str_is(head->method, "GET") && str_is(http_path(head), API_CREDENTIALS_PATH);
    struct str body = right ? str_of(credentials_text(k->api, a)) : STR("{\"message\":\"there is nothing here\"}");
    _cleanup_buf_ struct buf b = { 0 };
    struct str part;

    http_write_status(&b, right ? 200 : 404);
    http_write_header(&b, STR("Content-Type"), STR("application/json"));
    http_write_header(&b, STR("Content-Length"), str_of(arena_printf(a, "%zu", body.size)));
    http_write_header(&b, STR("Connection"), STR("close"));
    http_write_end(&b);
    buf_append(&b, body.data, body.size);
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
    struct api *api = data;
    struct asker *k = calloc(1, sizeof *k);

    assert(k);
    k->api = api;
    k->stream = stream;
    k->parser = http_parser_new(HTTP_REQUESTS, &request_events, k);
    list_append(&api->askers, &k->link);
    stream_start(stream, &asker_events, k);
}

/* --- Both --- */

static int listen_inside(struct api *api, const struct network *n, const char *address, int port,
                         void (*accepted)(void *data, struct stream *), struct loop_listener **ret, struct err *err)
{
    _cleanup_fd_ int fd = -1;

    if (network_listen(n, address, port, &fd, err) < 0)
        return -1;
    return loop_listen_fd(api->loop, fd, accepted, api, ret, err);
}

int api_new(struct loop *loop, struct clock *clock, const struct order *order, const struct network *network,
            struct api **ret, struct err *err)
{
    struct api *api = calloc(1, sizeof *api);

    assert(api);
    *api = (struct api){ .loop = loop, .clock = clock, .order = order };
    list_init(&api->pairs);
    list_init(&api->askers);
    if (listen_inside(api, network, "127.0.0.1", 8090, accept_client, &api->endpoint, err) < 0 ||
        listen_inside(api, network, "169.254.170.2", 80, accept_asker, &api->credentials, err) < 0) {
        api_free(api);
        return -1;
    }
    *ret = api;
    return 0;
}

void api_free(struct api *api)
{
    if (!api)
        return;
    loop_listener_free(api->endpoint);
    loop_listener_free(api->credentials);
    list_each(node, &api->pairs)
        pair_close(list_entry(node, struct pair, link));
    list_each(node, &api->askers)
        asker_close(list_entry(node, struct asker, link));
    free(api);
}

/* Every service at the one address, by the names that botocore looks for. */
static const char endpoints[] = "{\"version\":3,\"partitions\":[{\"partition\":\"aws\",\"partitionName\":\"Sagebrush\","
                                "\"dnsSuffix\":\"amazonaws.com\","
                                "\"regionRegex\":\"^[a-z]{2,4}(-[a-z]+)+-\\\\d+$\",\"defaults\":{\"hostname\":\"127.0."
                                "0.1:8090\",\"protocols\":[\"http\"],"
                                "\"signatureVersions\":[\"v4\"]},\"regions\":{},\"services\":{%s}}]}";

int api_write_endpoints(struct arena *a, const char *folder, struct err *err)
{
    static const char *const services[] = { "api.sagemaker", "runtime.sagemaker", "featurestore-runtime.sagemaker",
                                            "metrics.sagemaker", "s3", "sts", "iam", "logs", "monitoring", "ec2" };
    _cleanup_buf_ struct buf list = { 0 };
    const char *text, *path;
    struct err ignored;
    struct str before;

    for (size_t i = 0; i < sizeof services / sizeof *services; i++)
        buf_printf(
            &list,
            "%s\"%s\":{\"defaults\":{\"hostname\":\"127.0.0.1:8090\",\"protocols\":[\"http\"]},\"endpoints\":{}}",
            i ? "," : "", services[i]);
    text = arena_printf(a, endpoints, list.data);
    path = arena_printf(a, "%s/endpoints.json", folder);
    if (file_read(a, path, 1 << 20, &before, &ignored) == 0 && str_is(before, text))
        return 0;
    if (folder_make(folder, 0755, err) < 0)
        return -1;
    return file_write_atomic(path, text, strlen(text), 0644, err);
}
