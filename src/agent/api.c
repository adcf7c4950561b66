/* api.c - the endpoint passes bytes on to jobs.sock and back, and looks at none of them: signatures
 * are checked there. */
#include "agent/api.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/answerer.h"
#include "agent/credentials.h"
#include "agent/metadata.h"
#include "base/fd.h"
#include "base/log.h"
#include "doc/json.h"
#include "net/http.h"
#include "net/listener.h"
#include "net/stream.h"

enum {
    QUEUE_HIGH = 1 << 20,
    PAIRS_MOST = 384, /* two descriptors each; and jobs.sock has 10000, for all jobs together */
};

struct api {
    struct loop *loop;
    struct clock *clock;
    const struct order *order;
    struct loop_listener *endpoint;
    struct answerer *credentials;
    struct metadata *metadata;
    struct list pairs;
    int count; /* of pairs */
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
    struct api *api;
    struct side client, server;
};

/* Who comes when there are too many waits in the kernel: a job must use up neither its agent's descriptors nor the
 * connections that others need. */
static void change_count(struct api *api, int by)
{
    api->count += by;
    loop_listener_pause(api->endpoint, api->count >= PAIRS_MOST);
}

static void pair_close(struct pair *p)
{
    change_count(p->api, -1);
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
    p->api = api;
    p->client = (struct side){ .pair = p, .stream = stream };
    p->server.pair = p;
    if (stream_connect_unix(api->loop, api->order->api_socket, &side_events, &p->server, &p->server.stream, &err) < 0) {
        stream_close(stream);
        free(p);
        return;
    }
    list_append(&api->pairs, &p->link);
    change_count(api, 1);
}

/* --- The credentials --- */

static const char *credentials_text(const struct api *api, struct arena *a)
{
    struct doc *d = credentials_doc(a, api->order, clock_wall_ms(api->clock));

    doc_set_string(a, d, "RoleArn", api->order->role_arn);
    return json_text(a, d);
}

static void answer_credentials(void *data, struct arena *a, const struct http_head *head, struct answer *ret)
{
    if (str_is(head->method, "GET") && str_is(http_path(head), API_CREDENTIALS_PATH))
        *ret = (struct answer){ 200, "application/json", credentials_text(data, a) };
}

/* --- Both --- */

static int listen_inside(struct api *api, const struct network *n, struct err *err)
{
    _cleanup_fd_ int fd = -1;

    if (network_listen(n, "127.0.0.1", 8090, &fd, err) < 0)
        return -1;
    return loop_listen_fd(api->loop, fd, accept_client, api, &api->endpoint, err);
}

int api_new(struct loop *loop, struct clock *clock, const struct order *order, const char *folder,
            const struct network *network, struct api **ret, struct err *err)
{
    struct api *api = calloc(1, sizeof *api);

    assert(api);
    *api = (struct api){ .loop = loop, .clock = clock, .order = order };
    list_init(&api->pairs);
    if (listen_inside(api, network, err) < 0 ||
        answerer_new(loop, network, "169.254.170.2", 80, answer_credentials, api, &api->credentials, err) < 0 ||
        metadata_new(loop, clock, order, folder, network, &api->metadata, err) < 0) {
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
    answerer_free(api->credentials);
    metadata_free(api->metadata);
    list_each(node, &api->pairs)
        pair_close(list_entry(node, struct pair, link));
    loop_listener_free(api->endpoint);
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
                                            "metrics.sagemaker", "s3", "sts", "iam", "logs", "monitoring", "events",
                                            "fis", "ec2" };
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
