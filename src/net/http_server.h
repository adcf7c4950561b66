/* http_server.h - HTTP/1.1 over TCP, Unix sockets and TLS, on one loop.
 *
 * A request arrives as an exchange: its head is there, its body does not move until it is asked for. The handler
 * either answers now or keeps the pointer and answers later; it stays valid until 'closed' was called, exactly once
 * for each exchange, also when the client left in the middle. What ends an exchange (http_answer, http_answer_text,
 * http_answer_end, http_abort) may call 'closed' before it returns: touch nothing of the exchange after it. A client
 * that closes its sending side has left. Requests of one connection come one after the other, a pipelined one when
 * the answer before it was written.
 *
 *     static void handle(struct http_exchange *x, void *data)
 *     {
 *         if (str_is(x->head->target, "/ping"))
 *             http_answer_text(x, 200, "text/plain", "pong\n");
 *         else
 *             http_read_all(x, 1 << 20, body_is_here);
 *     } */
#ifndef NET_HTTP_SERVER_H
#define NET_HTTP_SERVER_H

#include "base/arena.h"
#include "net/http.h"
#include "net/loop.h"

struct http_server;
struct tls_server;

struct http_exchange {
    const struct http_head *head;
    struct arena *arena; /* of this exchange */
    const char *peer;    /* the client's address, "" over a Unix socket */
    bool tls;
    bool local;          /* over a Unix socket or from a loopback address */
    struct http_server *server;
    int64_t started_us;  /* CLOCK_BOOTTIME, when the head was complete */
    void *data;          /* the handler's own */

    /* Set by the handler, NULL where it does not care. */
    void (*body)(struct http_exchange *, const char *data, size_t size); /* lent until it returns */
    void (*body_end)(struct http_exchange *);
    void (*drained)(struct http_exchange *); /* what was written of the answer has left; go on */
    /* The last word; complete: the whole answer went to the kernel. */
    void (*closed)(struct http_exchange *, bool complete);
};

struct http_server_options {
    struct loop *loop;
    void (*handle)(struct http_exchange *, void *data);
    void *data;
    struct tls_server *tls;  /* NULL: plain only. Else the first byte decides; not owned */
    bool plain_from_anywhere; /* false refuses plain HTTP that comes neither from loopback nor over a Unix socket */
    int max_connections;     /* 0: 10000; beyond it connections wait in the kernel */
    int64_t idle_ms, head_ms, body_ms, write_ms; /* between requests, for a head, for the next bytes of a body, for the
                                                  * client to take some of the answer; 0: 75, 30, 60, 60 seconds */
    const char *name;        /* the Server header, NULL: none */
};

struct http_server *http_server_new(const struct http_server_options *);
int http_server_listen_fd(struct http_server *, int fd, struct err *err); /* inherited and listening */
int http_server_listen_tcp(struct http_server *, const char *address, int port, int *ret_port, struct err *err);
int http_server_listen_unix(struct http_server *, const char *path, mode_t mode, struct err *err);
int http_server_connections(const struct http_server *);

/* No new connections; idle ones close, the others after their answer; what is left after grace_ms is cut. Then
 * 'done'. */
void http_server_drain(struct http_server *, int64_t grace_ms, void (*done)(void *data), void *data);
/* Cuts what is left (with 'closed'); NULL is fine; not from inside a callback. */
void http_server_free(struct http_server *);

/* The body. It flows after the first http_read(); a client that waits for 100-continue is told to go on only then. */
void http_read(struct http_exchange *);  /* start, or go on after a pause */
void http_pause(struct http_exchange *); /* no more 'body' calls until http_read(): back-pressure to the client */
bool http_body_done(const struct http_exchange *);

/* Collects the whole body, then calls ready; a body over the limit calls it with data NULL and size = what was
 * announced or had come, and is not read further. May call it at once. Uses body and body_end; the bytes live as long
 * as the exchange. */
void http_read_all(struct http_exchange *, size_t limit_bytes, void (*ready)(struct http_exchange *, struct str body));

/* The answer: whole, or started, written and ended. HEAD, 204 and 304 lose their body, HTTP/1.0 gets no chunks; Date,
 * Connection, Content-Length and Transfer-Encoding are written here and must not be among the headers. An answer that
 * comes before the body was read closes the connection after it. */
void http_answer(struct http_exchange *, int status, const struct http_header *headers, size_t count, struct str body);
void http_answer_text(struct http_exchange *, int status, const char *content_type, const char *text);
void http_answer_start(struct http_exchange *, int status, const struct http_header *headers, size_t count,
                       int64_t length); /* length -1: not known, goes in chunks */
/* Returns what is queued: at some 256 KB, stop until 'drained'. */
size_t http_answer_write(struct http_exchange *, const void *data, size_t size);
void http_answer_end(struct http_exchange *); /* with less than the length announced: cuts the connection */
bool http_answer_started(const struct http_exchange *);
void http_abort(struct http_exchange *); /* cuts the connection; 'closed' comes at once, with complete false */

#endif
