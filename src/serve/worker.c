#include "serve/worker.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/log.h"

int64_t boot_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_BOOTTIME, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

int64_t worker_wall_ms(struct worker *w)
{
    return clock_wall_ms(w->clock);
}

static void tell_progress(struct worker *w)
{
    struct route_ack ack = tables_ack(w->tables);

    atomic_store(&w->applied, ack.applied);
    atomic_store(&w->drained, ack.drained);
    w->progress(w->progress_data);
}

struct table *worker_hold(struct worker *w)
{
    return tables_hold(w->tables);
}

void worker_release(struct worker *w, struct table *t)
{
    if (tables_release(w->tables, t))
        tell_progress(w);
}

/* --- Which way a request goes --- */

static void health(struct worker *w, struct http_exchange *x)
{
    struct route_ack ack = tables_ack(w->tables);

    http_answer_text(x, 200, "application/json",
                     arena_printf(x->arena, "{\"status\":\"ok\",\"generation\":%" PRId64 ",\"connections\":%d}\n",
                                  ack.applied, http_server_connections(w->server)));
}

/* /endpoints/{name}/invocations, and /endpoints/{name}/invocations-response-stream */
static bool is_invocation(const struct http_head *h, struct str *ret_endpoint, bool *ret_streams)
{
    struct str path = http_path(h), rest;

    if (!str_starts(path, "/endpoints/") || !str_is(h->method, "POST"))
        return false;
    path.data += 11;
    path.size -= 11;
    if (!str_cut(path, '/', ret_endpoint, &rest))
        return false;
    *ret_streams = str_is(rest, "invocations-response-stream");
    return *ret_streams || str_is(rest, "invocations");
}

/* The agents' side is reached over another socket, and never from here, however the path is spelled. */
static bool is_internal(struct http_exchange *x)
{
    struct str path = http_path(x->head);

    if (!memmem(path.data, path.size, "agent", 5) && !memchr(path.data, '%', path.size))
        return false;
    path = uri_decode(x->arena, path, false);
    while (str_starts(path, "//"))
        path.data++, path.size--;
    if (!str_starts(path, "/_sagebrush"))
        return false;
    path.data += 11;
    path.size -= 11;
    while (str_starts(path, "//"))
        path.data++, path.size--;
    return str_starts(path, "/agent");
}

static void handle(struct http_exchange *x, void *data)
{
    struct worker *w = data;
    struct str endpoint;
    bool streams;

    if (is_invocation(x->head, &endpoint, &streams))
        invoke(w, x, endpoint, streams);
    else if (str_is(x->head->target, "/_sagebrush/health/serve"))
        health(w, x);
    else if (is_internal(x))
        http_answer_text(x, 404, "text/plain", "not here\n");
    else
        pass(w, x);
}

/* --- From the main thread --- */

struct message {
    struct worker *worker;
    char *text;
    size_t size;
    int64_t grace_ms;
};

static struct message *message_new(struct worker *w)
{
    struct message *m = calloc(1, sizeof *m);

    assert(m && "out of memory");
    m->worker = w;
    return m;
}

int worker_take(struct worker *w, struct str snapshot, struct err *err)
{
    if (tables_apply(w->tables, snapshot, worker_wall_ms(w) / 60000, err) < 0)
        return -1;
    tell_progress(w);
    return 0;
}

static void apply(void *data)
{
    struct message *m = data;
    struct err err;

    /* The main thread has read it before; a worker that cannot would serve old routes without a word. */
    if (worker_take(m->worker, (struct str){ m->text, m->size }, &err) < 0)
        log_error("routes.refused", "error=\"%s\"", err.text);
    free(m->text);
    free(m);
}

void worker_apply(struct worker *w, struct str snapshot)
{
    struct message *m = message_new(w);

    m->text = malloc(snapshot.size + 1);
    assert(m->text && "out of memory");
    memcpy(m->text, snapshot.data, snapshot.size);
    m->size = snapshot.size;
    loop_post(w->loop, apply, m);
}

static void drained(void *data)
{
    loop_stop(((struct worker *)data)->loop);
}

static void drain(void *data)
{
    struct message *m = data;

    http_server_drain(m->worker->server, m->grace_ms, drained, m->worker);
    free(m);
}

void worker_drain(struct worker *w, int64_t grace_ms)
{
    struct message *m = message_new(w);

    m->grace_ms = grace_ms;
    loop_post(w->loop, drain, m);
}

int worker_new(const struct worker_options *o, struct worker **ret, struct err *err)
{
    struct worker *w = calloc(1, sizeof *w);
    struct http_server_options server = { .handle = handle, .data = w, .tls = o->tls, .name = "Sagebrush" };
    struct http_upstream_options api = { .path = o->api_socket, .max_idle = 256 };

    assert(w && "out of memory");
    if (loop_new(&w->loop, err) < 0) {
        free(w);
        return -1;
    }
    server.loop = api.loop = w->loop;
    server.max_connections = o->max_connections < 10000 ? o->max_connections : 10000;
    w->clock = o->clock;
    w->rand = rand_seeded(rand_u64(rand_system()));
    w->progress = o->progress;
    w->progress_data = o->progress_data;
    w->probe.run = pass_probe;
    list_init(&w->waiting);
    w->tables = tables_new(w->loop, o->counters);
    w->signatures = sigv4_cache_new();
    w->api = http_upstream_new(&api);
    w->server = http_server_new(&server);
    for (int i = 0; i < o->fd_count; i++)
        if (http_server_listen_fd(w->server, o->fds[i], err) < 0) {
            worker_free(w);
            return -1;
        }
    *ret = w;
    return 0;
}

void worker_free(struct worker *w)
{
    if (!w)
        return;
    http_server_free(w->server);
    loop_timer_stop(w->loop, &w->probe);
    tables_free(w->tables);
    http_upstream_free(w->api);
    sigv4_cache_free(w->signatures);
    loop_free(w->loop);
    free(w);
}
