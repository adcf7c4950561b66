/* http_client.h - HTTP/1.1 requests to one upstream, over connections that are kept.
 *
 * The caller writes the head (http_write_*), so that a proxy can pass on what came byte for byte. Each call ends with
 * exactly one of 'end' and 'failed', and never from inside http_call_start(); after it the pointer is dead. A call
 * whose kept connection was closed by the other side before one byte of the answer is sent again on a new one, unless
 * http_call_write() was used, or it is to be done once and may have been read. */
#ifndef NET_HTTP_CLIENT_H
#define NET_HTTP_CLIENT_H

#include "net/http.h"
#include "net/loop.h"

struct http_upstream;
struct http_call;

struct http_upstream_options {
    struct loop *loop;
    const char *address;  /* numeric; or NULL with path */
    int port;
    const char *path;     /* a Unix socket */
    int max_idle;         /* connections kept, 0: 64 */
    int64_t idle_ms;      /* how long, 0: 30 s */
    int64_t connect_ms;   /* 0: 1 s */
};

struct http_upstream *http_upstream_new(const struct http_upstream_options *);
void http_upstream_free(struct http_upstream *); /* running calls go on to their end; NULL is fine */

enum http_failure {
    HTTP_CANNOT_CONNECT, /* nothing of the request was sent */
    HTTP_TIMED_OUT,      /* no answer in time */
    HTTP_BROKEN,         /* closed or reset, before or inside the answer */
    HTTP_GARBAGE,        /* what came is no HTTP */
};

struct http_call_events {
    void (*head)(void *owner, const struct http_head *); /* not of a 1xx; lives until end or failed */
    void (*body)(void *owner, const char *data, size_t size); /* lent */
    void (*end)(void *owner);
    void (*failed)(void *owner, enum http_failure, const char *why);
    void (*drained)(void *owner); /* the request's queue has left; NULL: nobody asks */
    void (*connected)(void *owner); /* a new connection is there (see http_call_connected); NULL: nobody asks */
    void (*informed)(void *owner, int status); /* an interim answer came: 100 is "go on"; NULL: nobody asks */
};

struct http_call_options {
    struct str head; /* the request's, with the empty line; lent until 'head', 'failed' or http_call_cancel() */
    struct str body; /* what follows it at once; lent as long */
    bool more;       /* the body goes on with http_call_write() until http_call_end() */
    bool chunked;    /* http_call_write() frames it in chunks (the head says so); 'body' is framed too */
    bool no_body;    /* the method is HEAD */
    bool once;       /* not to be done twice: another side that has read all of it and died may have done it */
    bool fresh;      /* on a new connection: for what cannot be sent again should a kept one turn out to be dead */
    int64_t answer_ms; /* from the end of the request to the answer's head, and between its pieces; 0: 60 s */
    const struct http_call_events *events;
    void *owner;
};

struct http_call *http_call_start(struct http_upstream *, const struct http_call_options *);
bool http_call_connected(const struct http_call *); /* already: a kept connection was there */
size_t http_call_write(struct http_call *, const void *data, size_t size); /* returns what is queued */
void http_call_end(struct http_call *);    /* of the request */
void http_call_pause(struct http_call *, bool paused); /* back-pressure to the upstream */
void http_call_cancel(struct http_call *); /* closes the connection; no call after it. NULL is fine */
int http_upstream_running(const struct http_upstream *); /* calls that did not end */

#endif
