/* gateway.h - the AWS interface of the control plane: an HTTP exchange becomes a call, its result the answer.
 *
 * Signature, routing, body, decoding, then engine_run(). An answer waits until gateway_flush(), which comes after the
 * commit of its loop turn: what was answered is on disk. */
#ifndef ENGINE_GATEWAY_H
#define ENGINE_GATEWAY_H

#include "base/buf.h"
#include "engine/call.h"
#include "net/http_server.h"
#include "sign/sigv4.h"

struct bodies;
struct engine;
struct gateway;

/* Whose signature it claims to be. */
struct identity {
    struct str secret;
    const struct principal *principal;
};

struct gateway_options {
    struct loop *loop;
    struct engine *engine;
    struct bodies *bodies;
    const char *const *hosts; /* our own names, for S3's virtual addressing; NULL-terminated */
    /* Finds the identity of a claim; -1 with the refusal in the words of the service (sigv4_refuse). */
    int (*identify)(void *context, struct arena *, const struct sigv4_claim *, const char *service,
                    struct identity *ret, struct err *err);
    /* Paths under /_sagebrush/, NULL: none. Answers the exchange itself. */
    void (*local)(void *context, struct http_exchange *);
    void *context;
};

struct gateway *gateway_new(const struct gateway_options *);
void gateway_free(struct gateway *); /* NULL is fine; after the servers that use it */

/* For http_server_options.handle. The first is for the socket that only the data plane may reach: it believes what the
 * data plane says of the client. The second is for agents, and through them for jobs: it believes nobody. */
void gateway_handle(struct http_exchange *, void *gateway);
void gateway_handle_job(struct http_exchange *, void *gateway);

/* After the commit of the turn: sends what waited. 'failure' NULL: it was committed; else all of it gets that error. */
void gateway_flush(struct gateway *, const struct err *failure);
bool gateway_waiting(const struct gateway *); /* answers are held */

/* Requests so far, in Prometheus' text form. */
void gateway_metrics(const struct gateway *, struct buf *);

#endif
