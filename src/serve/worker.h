/* worker.h - one thread of the data plane: a loop, a server on the public socket, and its own copy of the routes.
 *
 * Workers share nothing but the counters; the main thread hands them snapshots and hears of their progress. */
#ifndef SERVE_WORKER_H
#define SERVE_WORKER_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/clock.h"
#include "net/http_server.h"
#include "serve/table.h"
#include "sign/sigv4.h"

struct tls_server;

struct worker {
    struct loop *loop;
    struct http_server *server;
    struct tables *tables;
    struct sigv4_cache *signatures;
    struct http_upstream *api; /* sagebrushd */
    struct clock *clock;
    struct rand rand;          /* for choices and request ids */
    struct list waiting;       /* requests that sagebrushd has to come back for */
    struct loop_timer probe;

    pthread_t thread;
    void (*progress)(void *data); /* applied or drained moved; called on the worker's thread */
    void *progress_data;
    _Atomic int64_t applied, drained;
};

struct worker_options {
    const char *api_socket;
    const int *fds; /* listening sockets, duplicated */
    int fd_count;
    struct tls_server *tls;     /* NULL: plain HTTP only */
    int max_connections;        /* 10000 at most */
    struct counters *counters;
    struct clock *clock;
    void (*progress)(void *data);
    void *progress_data;
};

int worker_new(const struct worker_options *, struct worker **ret, struct err *err);
void worker_free(struct worker *); /* after its loop ended; NULL is fine */

/* Before its thread runs. */
int worker_take(struct worker *, struct str snapshot, struct err *err);

/* From the main thread, while it runs. The text is copied. */
void worker_apply(struct worker *, struct str snapshot);
void worker_drain(struct worker *, int64_t grace_ms); /* its loop stops when the last connection is gone */

/* Within the worker's thread. */
int64_t worker_wall_ms(struct worker *);
struct table *worker_hold(struct worker *);
void worker_release(struct worker *, struct table *);
int64_t boot_us(void);

/* invoke.c and pass.c: what a request becomes. */
void invoke(struct worker *, struct http_exchange *, struct str endpoint, bool streams);
void pass(struct worker *, struct http_exchange *);
void pass_probe(struct loop_timer *);

/* A refusal as the service runtime.sagemaker answers it: x-amzn-ErrorType and a JSON body. */
void answer_error(struct http_exchange *, const char *request_id, int status, const char *code, const char *body_json);

#endif
