#include "agent/node_link.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/list.h"
#include "base/log.h"
#include "net/listener.h"
#include "net/loop.h"
#include "net/stream.h"
#include "net/tls.h"

enum { QUEUE_HIGH = 1 << 20, LOOK_MS = 1000 };

struct node_link {
    struct loop *loop;
    struct tls_client *tls;
    char *address;
    int port;
    struct loop_listener *agent, *control;
    struct list pairs;
    struct loop_timer timer;
    _Atomic int64_t open_until_ms;
    pthread_t thread;
    bool running;
};

/* A client of this node and its connection to the server. */
struct pair {
    struct list link;
    struct node_link *owner;
    struct stream *client, *server;
    struct tls *tls;
    bool of_agent, started;
};

static void pair_close(struct pair *p)
{
    stream_close(p->client);
    stream_close(p->server);
    tls_free(p->tls);
    list_remove(&p->link);
    free(p);
}

static void pass_on(struct pair *p, struct buf *out)
{
    if (out->size && stream_write(p->server, &(struct str){ out->data, out->size }, 1) > QUEUE_HIGH && p->started)
        stream_read(p->client, false);
}

static void client_received(void *owner, const char *data, size_t size)
{
    struct pair *p = owner;
    _cleanup_buf_ struct buf out = { 0 };
    struct err err;

    if (tls_send(p->tls, data, size, &out, &err) < 0)
        pair_close(p);
    else
        pass_on(p, &out);
}

/* Who closes its sending side has left: nobody here sends a request and waits so for the answer. */
static void client_ended(void *owner, int errno_value)
{
    pair_close(owner);
}

static void client_drained(void *owner)
{
    stream_read(((struct pair *)owner)->server, true);
}

static void failed(void *owner, int errno_value)
{
    pair_close(owner);
}

static const struct stream_events client_events = { .received = client_received, .ended = client_ended,
                                                    .drained = client_drained, .failed = failed };

static void server_connected(void *owner, int errno_value)
{
    struct pair *p = owner;
    _cleanup_buf_ struct buf out = { 0 };

    if (errno_value) {
        pair_close(p);
        return;
    }
    p->tls = tls_connect(p->owner->tls, &out);
    pass_on(p, &out);
}

static void plain_came(void *owner, const char *data, size_t size)
{
    struct pair *p = owner;

    if (stream_write(p->client, &(struct str){ data, size }, 1) > QUEUE_HIGH)
        stream_read(p->server, false);
}

static void server_received(void *owner, const char *data, size_t size)
{
    struct pair *p = owner;
    _cleanup_buf_ struct buf out = { 0 };
    struct err err;
    int status = tls_receive(p->tls, data, size, plain_came, p, &out, &err);

    if (status < 0) {
        _cleanup_arena_ struct arena *a = arena_new();

        log_warning("link.refused", "server=%s why=%s", p->owner->address, log_quote(a, err.text));
        pair_close(p);
        return;
    }
    pass_on(p, &out);
    if (!p->started && tls_ready(p->tls)) {
        p->started = true;
        stream_start(p->client, &client_events, p);
    }
    /* What was read last is on its way; the client closes when it has it. */
    if (status == 1)
        stream_finish(p->client);
}

static void server_ended(void *owner, int errno_value)
{
    struct pair *p = owner;

    if (errno_value || !p->started)
        pair_close(p);
    else
        stream_finish(p->client);
}

static void server_drained(void *owner)
{
    struct pair *p = owner;

    if (p->started)
        stream_read(p->client, true);
}

static const struct stream_events server_events = { server_connected, server_received, server_ended, server_drained,
                                                    failed };

static bool is_open(struct node_link *l)
{
    return loop_now_ms(l->loop) < l->open_until_ms;
}

static void accept_client(struct node_link *l, struct stream *client, bool of_agent)
{
    struct pair *p;
    struct err ignored;

    if (of_agent && !is_open(l)) {
        stream_close(client);
        return;
    }
    p = calloc(1, sizeof *p);
    assert(p);
    *p = (struct pair){ .owner = l, .client = client, .of_agent = of_agent };
    list_init(&p->link);
    /* A server that is away is what the clients' own retries are for. */
    if (stream_connect_tcp(l->loop, l->address, l->port, &server_events, p, &p->server, &ignored) < 0) {
        pair_close(p);
        return;
    }
    list_append(&l->pairs, &p->link);
}

static void accept_agent(void *data, struct stream *client)
{
    accept_client(data, client, true);
}

static void accept_control(void *data, struct stream *client)
{
    accept_client(data, client, false);
}

static void look(struct loop_timer *timer)
{
    struct node_link *l = list_entry(timer, struct node_link, timer);

    if (!is_open(l))
        list_each(node, &l->pairs)
            if (list_entry(node, struct pair, link)->of_agent)
                pair_close(list_entry(node, struct pair, link));
    loop_timer_set(l->loop, timer, loop_now_ms(l->loop) + LOOK_MS);
}

static void *run(void *data)
{
    loop_run(((struct node_link *)data)->loop);
    return NULL;
}

int node_link_new(const struct node_link_options *options, struct node_link **ret, struct err *err)
{
    struct node_link *l = calloc(1, sizeof *l);

    assert(l);
    list_init(&l->pairs);
    l->address = strdup(options->address);
    l->port = options->port;
    l->timer.run = look;
    assert(l->address);
    if (tls_client_new(options->authority, options->address, &l->tls, err) < 0 || loop_new(&l->loop, err) < 0 ||
        loop_listen_unix(l->loop, options->socket_path, 0600, accept_agent, l, &l->agent, err) < 0 ||
        loop_listen_unix(l->loop, options->control_path, 0600, accept_control, l, &l->control, err) < 0) {
        node_link_free(l);
        return -1;
    }
    loop_timer_set(l->loop, &l->timer, loop_now_ms(l->loop) + LOOK_MS);
    l->running = pthread_create(&l->thread, NULL, run, l) == 0;
    assert(l->running);
    *ret = l;
    return 0;
}

static void stop(void *data)
{
    loop_stop(((struct node_link *)data)->loop);
}

void node_link_free(struct node_link *l)
{
    if (!l)
        return;
    if (l->running) {
        loop_post(l->loop, stop, l);
        pthread_join(l->thread, NULL);
    }
    list_each(node, &l->pairs)
        pair_close(list_entry(node, struct pair, link));
    loop_listener_free(l->agent);
    loop_listener_free(l->control);
    loop_free(l->loop);
    tls_client_free(l->tls);
    free(l->address);
    free(l);
}

void node_link_open_until(struct node_link *l, int64_t boot_ms)
{
    l->open_until_ms = boot_ms;
}
