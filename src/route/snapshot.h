/* snapshot.h - the routing snapshot: what the data plane has to know to serve without the control plane.
 *
 * One document, docs/ARCHITECTURE.md describes it. The control plane writes it, the data plane reads it and writes the
 * acknowledgement; the generation only grows. A snapshot read is checked whole: there is no half-good one. */
#ifndef ROUTE_SNAPSHOT_H
#define ROUTE_SNAPSHOT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"
#include "doc/doc.h"

struct route_key {
    const char *id, *secret, *account, *arn, *user_id;
    const struct doc *policies; /* a list, may be empty */
    bool trusted;               /* no policy is asked */
};

/* For session tokens: the policies of the role or the user that a session has. */
struct route_role {
    const char *arn, *id; /* "": of an older control plane; no session is known to be its */
    const struct doc *policies;
};

struct route_instance {
    const char *uid, *address; /* a numeric address, or the path of a Unix socket */
    int port;                  /* 0: a Unix socket */
};

struct route_variant {
    const char *name, *uid;
    double weight; /* >= 0 */
    struct route_instance *instances;
    size_t instance_count;
};

struct route_endpoint {
    const char *name, *region, *account, *arn;
    struct route_variant *variants;
    size_t variant_count;
};

struct route_snapshot {
    int64_t generation;        /* from 1 */
    struct str session_key;    /* opens session tokens; 32 bytes, or empty */
    const char *account, *default_region;
    struct route_key *keys;
    size_t key_count;
    struct route_role *roles;
    size_t role_count;
    struct route_endpoint *endpoints;
    size_t endpoint_count;
};

/* What is in the snapshot lives in the arena. ERR_INVALID names the member that is wrong. */
int route_snapshot_parse(struct arena *, struct str text, struct route_snapshot *ret, struct err *err);
int route_snapshot_read(struct arena *, const char *path, struct route_snapshot *ret, struct err *err);
int route_snapshot_write(const char *path, const struct route_snapshot *, struct err *err); /* atomic, 0600 */

struct route_ack {
    int64_t applied; /* every new request uses this generation */
    int64_t drained; /* no request that started under this or an older one is running */
};

int route_ack_read(const char *path, struct route_ack *ret, struct err *err); /* ERR_NOT_FOUND */
int route_ack_write(const char *path, const struct route_ack *, struct err *err);

#endif
