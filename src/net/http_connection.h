/* http_connection.h - one connection of a server and the exchange it is in, for http_server.c, http_connection.c and
 * http_exchange.c.
 *
 * A connection has at most one exchange at a time. Nothing of it is freed while one of its functions is on the stack:
 * 'busy' counts them, 'doomed' says that the last one frees. */
#ifndef NET_HTTP_CONNECTION_H
#define NET_HTTP_CONNECTION_H

#include "base/list.h"
#include "net/http_server.h"
#include "net/listener.h"
#include "net/stream.h"
#include "net/tls.h"

enum {
    HELD_MAX_BYTES = 65536,
    LISTENERS_MAX = 8,
};

struct http_server {
    struct http_server_options options;
    struct loop_listener *listeners[LISTENERS_MAX];
    int listener_count;
    struct list connections;
    int count;
    bool draining, full;
    struct loop_timer grace;
    void (*drained)(void *data);
    void *drained_data;
    int64_t date_s; /* of the text */
    char date[40];
};

struct connection {
    struct http_exchange x;
    struct list link;
    struct http_server *server;
    struct stream *stream;
    struct http_parser *parser;
    struct tls *tls;
    struct arena *arena;
    struct buf held;    /* came in and may not go on yet */
    struct buf head;    /* of the answer, written with the first of its body */
    struct buf scratch; /* plain text on its way into TLS */
    struct buf cipher;  /* and out of it */
    struct loop_timer timer, pump;
    int64_t since_ms;   /* the last thing that happened */
    int64_t linger_until_ms;
    size_t queued_seen; /* at the last look at a client that reads slowly */
    int busy;
    bool in_parser;
    bool doomed;
    bool decided;   /* TLS or plain */
    bool lingering; /* answered; what still comes is dropped */
    bool read_off;

    /* Of the exchange. */
    bool live, wanted, body_done, end_told, continued;
    bool answer_started, answer_ended, chunked, no_body, keep, pump_for_head;
    int64_t answer_left; /* of an announced length; -1: none */
    struct buf whole;    /* http_read_all */
    size_t whole_limit;
    void (*whole_ready)(struct http_exchange *, struct str body);
};

static inline struct connection *connection_of(const struct http_exchange *x)
{
    return list_entry((struct http_exchange *)x, struct connection, x);
}

/* --- http_server.c --- */

const char *http_server_date(struct http_server *); /* for a head */
void http_server_take_in(struct http_server *, struct connection *);
void http_server_let_go(struct http_server *, struct connection *);

/* --- http_connection.c --- */

void connection_new(struct http_server *, struct stream *); /* freed by its end */
void connection_destroy(struct connection *); /* at once: an exchange is told that it was cut off; again is fine */

int64_t connection_now_ms(const struct connection *);
void connection_set_timer(struct connection *); /* what it waits for may have changed */
bool connection_is_idle(const struct connection *); /* nothing was asked that is not answered */
bool connection_has_body(const struct connection *);

void connection_write(struct connection *, const struct str *parts, int count);
void connection_settle(struct connection *); /* ends the exchange, when all of its answer has gone */

#endif
