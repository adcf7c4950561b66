/* table.h - one thread's routing snapshot, indexed: keys, roles, endpoints, and connections to their instances.
 *
 * A table is never changed; a newer one takes its place, and the old one lives until its last request has ended. The
 * upstreams outlive both: an instance that stays keeps its connections. */
#ifndef SERVE_TABLE_H
#define SERVE_TABLE_H

#include "base/rand.h"
#include "net/http_client.h"
#include "route/counters.h"
#include "route/snapshot.h"

struct table;

struct table_instance {
    const struct route_instance *route;
    struct http_upstream *upstream;
    struct str host; /* the Host header */
};

struct table_variant {
    const struct route_variant *route;
    struct table_instance *instances;
    struct counters_slot *counters; /* may be NULL */
};

struct table_endpoint {
    const struct route_endpoint *route;
    struct table_variant *variants; /* route->variant_count of them */
    double weight;                  /* of the variants that have an instance */
};

/* All tables of a thread, and what they share. */
struct tables;
struct tables *tables_new(struct loop *, struct counters *);
void tables_free(struct tables *); /* no request is left; NULL is fine */

/* Takes a snapshot's text; ERR_INVALID leaves everything as it was. */
int tables_apply(struct tables *, struct str text, int64_t now_minute, struct err *err);
struct route_ack tables_ack(const struct tables *); /* of this thread */

/* The current table, held for one request; NULL before the first snapshot. tables_release() says true when 'drained'
 * moved. */
struct table *tables_hold(struct tables *);
bool tables_release(struct tables *, struct table *); /* NULL is fine */

const struct route_snapshot *table_snapshot(const struct table *);
const struct route_key *table_key(const struct table *, struct str id);           /* NULL: none */
const struct route_key *table_key_by_arn(const struct table *, const char *arn);  /* of a user: sessions of its own */
const struct route_role *table_role(const struct table *, const char *arn);
const struct table_endpoint *table_endpoint(const struct table *, const char *account, struct str region,
                                            struct str name);

/* By weight, among those with instances; NULL: none has one. */
const struct table_variant *endpoint_choose(const struct table_endpoint *, struct rand *);
const struct table_variant *endpoint_variant(const struct table_endpoint *, struct str name);
/* Of two at random the one with fewer requests; 'except' is passed over where there is another. NULL: none. */
const struct table_instance *variant_choose(const struct table_variant *, struct rand *,
                                            const struct table_instance *except);

#endif
