/* transport.h - HTTP requests to sagebrushd over a Unix socket, one after the other, for a thread that may wait.
 *
 * One request tries once: who calls decides what to do when sagebrushd is away (transport_pause waits, longer each
 * time). Everything ends at once with ERR_CONFLICT when the cancel descriptor becomes readable. */
#ifndef AGENT_TRANSPORT_H
#define AGENT_TRANSPORT_H

#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "net/http.h"

struct pace;
struct transport;

/* cancel_fd: -1 for none; not owned. */
struct transport *transport_new(const char *socket_path, int cancel_fd);
void transport_free(struct transport *); /* NULL is fine */

struct transport_request {
    const char *method, *target;
    const struct http_header *headers; /* with Host, without Content-Length and Connection */
    int header_count;
    struct str body; /* or, with fd > 0, a piece of a file */
    int fd;
    int64_t offset, size_bytes;
    struct pace *pace; /* of the file's bytes; NULL: none */
};

struct transport_answer {
    int status;
    struct str etag;
    struct buf body;       /* what the caller asked to keep; to be freed with buf_free */
    int64_t length;        /* Content-Length, -1: none */
    int64_t total_bytes;   /* of Content-Range, -1: none */
    int fd;                /* > 0: a 2xx body goes there, from 'offset' on, and not into 'body' */
    int64_t offset;
    int64_t received;      /* body bytes */
    struct arena *arena;   /* for etag */
};

/* -1: no whole answer came; ERR_UNAVAILABLE: asking again may help. */
int transport_call(struct transport *, const struct transport_request *, struct transport_answer *, struct err *err);

/* A POST of JSON to a path of the control plane's own. 'authorization': "" for none. */
int transport_post(struct transport *, const char *target, const char *authorization, const char *body,
                   struct transport_answer *, struct err *err);

/* Sleeps 50 ms after the first failure, up to 5 s after the tenth. -1: cancelled. */
int transport_pause(struct transport *, int failures, struct err *err);

#endif
