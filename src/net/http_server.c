/* http_server.c - HTTP/1.1 over TCP, Unix sockets and TLS: who is let in, and who is still there when it ends. */
#include "net/http_connection.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"

const char *http_server_date(struct http_server *s)
{
    int64_t now_s = clock_wall_ms(clock_system()) / 1000;

    if (now_s != s->date_s) {
        _cleanup_arena_ struct arena *a = arena_new();

        snprintf(s->date, sizeof s->date, "%s", time_http(a, now_s * 1000));
        s->date_s = now_s;
    }
    return s->date;
}

/* --- Connections --- */

static void pause_listeners(struct http_server *s, bool paused)
{
    s->full = paused;
    for (int i = 0; i < s->listener_count; i++)
        loop_listener_pause(s->listeners[i], paused);
}

void http_server_take_in(struct http_server *s, struct connection *c)
{
    list_append(&s->connections, &c->link);
    if (++s->count >= s->options.max_connections && !s->full)
        pause_listeners(s, true);
}

void http_server_let_go(struct http_server *s, struct connection *c)
{
    list_remove(&c->link);
    s->count--;
    if (s->full && s->count < s->options.max_connections)
        pause_listeners(s, false);
    if (s->draining && s->count == 0 && s->drained)
        loop_timer_set(s->options.loop, &s->grace, loop_now_ms(s->options.loop));
}

static void drained_now(struct loop_timer *t)
{
    struct http_server *s = list_entry(t, struct http_server, grace);

    while (!list_empty(&s->connections)) {
        struct connection *c = list_entry(s->connections.next, struct connection, link);

        http_abort(&c->x);
    }
    if (s->drained) {
        void (*drained)(void *data) = s->drained;

        s->drained = NULL;
        drained(s->drained_data);
    }
}

/* --- The server --- */

struct http_server *http_server_new(const struct http_server_options *options)
{
    struct http_server *s = calloc(1, sizeof *s);

    assert(s && options->loop && options->handle);
    s->options = *options;
    if (!s->options.max_connections)
        s->options.max_connections = 10000;
    if (!s->options.idle_ms)
        s->options.idle_ms = 75000;
    if (!s->options.head_ms)
        s->options.head_ms = 30000;
    if (!s->options.body_ms)
        s->options.body_ms = 60000;
    if (!s->options.write_ms)
        s->options.write_ms = 60000;
    s->grace.run = drained_now;
    list_init(&s->connections);
    return s;
}

static void accepted(void *data, struct stream *stream)
{
    connection_new(data, stream);
}

static int added(struct http_server *s, struct loop_listener *listener)
{
    s->listeners[s->listener_count++] = listener;
    return 0;
}

int http_server_listen_fd(struct http_server *s, int fd, struct err *err)
{
    struct loop_listener *listener;

    assert(s->listener_count < LISTENERS_MAX);
    if (loop_listen_fd(s->options.loop, fd, accepted, s, &listener, err) < 0)
        return -1;
    return added(s, listener);
}

int http_server_listen_tcp(struct http_server *s, const char *address, int port, int *ret_port, struct err *err)
{
    struct loop_listener *listener;

    assert(s->listener_count < LISTENERS_MAX);
    if (loop_listen_tcp(s->options.loop, address, port, accepted, s, &listener, err) < 0)
        return -1;
    *ret_port = loop_listener_port(listener);
    return added(s, listener);
}

int http_server_listen_unix(struct http_server *s, const char *path, mode_t mode, struct err *err)
{
    struct loop_listener *listener;

    assert(s->listener_count < LISTENERS_MAX);
    if (loop_listen_unix(s->options.loop, path, mode, accepted, s, &listener, err) < 0)
        return -1;
    return added(s, listener);
}

int http_server_connections(const struct http_server *s)
{
    return s->count;
}

static void listeners_free(struct http_server *s)
{
    for (int i = 0; i < s->listener_count; i++)
        loop_listener_free(s->listeners[i]);
    s->listener_count = 0;
}

void http_server_drain(struct http_server *s, int64_t grace_ms, void (*done)(void *data), void *data)
{
    int64_t now = loop_now_ms(s->options.loop);

    listeners_free(s);
    s->draining = true;
    s->drained = done;
    s->drained_data = data;
    list_each(node, &s->connections)
    {
        struct connection *c = list_entry(node, struct connection, link);

        if (connection_is_idle(c))
            connection_destroy(c);
    }
    loop_timer_set(s->options.loop, &s->grace, s->count ? now + grace_ms : now);
}

void http_server_free(struct http_server *s)
{
    if (!s)
        return;
    listeners_free(s);
    s->drained = NULL;
    while (!list_empty(&s->connections))
        connection_destroy(list_entry(s->connections.next, struct connection, link));
    loop_timer_stop(s->options.loop, &s->grace);
    free(s);
}
