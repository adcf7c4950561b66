/* fleet.h - what a fleet is made of and the rules it is shared by: what fleet.toml says (docs/manual/fleet.md).
 *
 * Read once, then constant. Where the file is silent, the defaults of fleet_default() hold. */
#ifndef FLEET_FLEET_H
#define FLEET_FLEET_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"

enum { POOLS_MOST = 32, GPUS_MOST = 64, NODES_MOST = 1000000 };

/* What a node has, an instance takes, and a node has left. */
struct capacity {
    int64_t cores, memory_mib, disk_mib, gpus;
};

/* The disk of a node of which nobody said how large it is: whoever comes finds room on it, and it stays as it is. */
#define DISK_UNCOUNTED (INT64_MAX / 2)

enum spot_rule { SPOT_ALLOWED, SPOT_NEVER, SPOT_ONLY };

struct fleet_pool {
    const char *name;
    const char **accepts; /* patterns of type names; none: every type */
    int accept_count;
    enum spot_rule spot;
    int64_t spares; /* nodes held back to replace broken ones */
};

/* Nodes that are alike: "gpu-1" to "gpu-8", or one without a number. */
struct fleet_nodes {
    const char *name;
    int64_t count;
    bool numbered;
    int pool;
    struct capacity has;
    const char *gpu; /* "A100"; "" for none */
    const char *labels; /* "rack=a,zone=b", sorted by key */
};

/* An instance type as this fleet sees it: the catalogue's, changed or added to by the administrator. */
struct fleet_type {
    const char *name;
    struct capacity needs;
    const char *gpu;
    double usd_hour;      /* on demand */
    double spot_usd_hour; /* negative: as much as on demand */
    double interruptions_hour; /* of a spot instance, without price traces */
};

struct fleet_quota {
    const char *account, *type; /* patterns */
    const char *work;           /* "training job" */
    bool spot;
    int64_t limit;
};

struct fleet_owner {
    const char *owner; /* a pattern: of a role's ARN, or of whatever the work is owned by */
    double weight;
    int64_t priority;
};

struct price_point {
    int64_t at_ms;
    double usd_hour;
};

/* A type's spot price over time, from the start of the simulation; after the last point it begins anew. */
struct fleet_trace {
    const char *type; /* a pattern */
    struct price_point *points;
    int count;
    int64_t repeat_ms; /* 0: the last price stays */
};

struct fleet_rate {
    const char *type; /* a pattern */
    double per_hour;
};

struct fleet {
    const char *region;
    int64_t seed;
    int64_t slots;   /* 0, or its only node is fleet_share_slots()'s */
    bool from_file;
    struct fleet_pool *pools;
    int pool_count;
    struct fleet_nodes *nodes;
    int node_group_count;
    int64_t node_count;
    struct fleet_type *types; /* the administrator's, and no others: see fleet_type() */
    int type_count;
    struct fleet_quota *quotas;
    int quota_count;
    struct fleet_owner *owners;
    int owner_count;
    struct {
        int64_t half_life_ms, period_ms;
    } share;
    struct {
        int64_t patience_ms; /* who waited so long goes before others of its kind; 0: nobody */
        int64_t depth;       /* jobs that one decision looks at for backfill */
        int64_t default_runtime_ms; /* of work without a MaxRuntime, where an end must be supposed */
    } queue;
    struct {
        bool live; /* a server, too, takes spot capacity back by these rates and prices */
        int64_t notice_ms;
        double price_most; /* of the on-demand price: a spot price above it interrupts */
        struct fleet_rate *rates;
        int rate_count;
        struct fleet_trace *traces;
        int trace_count;
    } spot;
    struct {
        int64_t mean_ms;   /* between failures of one node; 0: none fails */
        int64_t repair_ms; /* until it is back */
        int64_t lemon_after, lemon_half_life_ms;
    } failures;
    struct {
        int64_t cost_ms, restart_ms, interval_ms; /* interval 0: Daly's */
    } checkpoints;
};

/* No nodes, no rules. */
struct fleet fleet_default(void);

/* Of a file without nodes, and of none: one node that takes so many instances of whatever type, and shares its cores
 * among them by weight. Where it has GPUs, an instance takes as many as its type has. */
void fleet_share_slots(struct arena *, struct fleet *, const char *node, int64_t slots, int64_t gpus);

/* Without a file. */
struct fleet fleet_of_slots(struct arena *, const char *node, int64_t slots, int64_t gpus);

/* 'name' of the file is for the errors, which name the line and what to do. A file may name no nodes: *ret has none. */
int fleet_read(struct arena *, const char *name, struct str text, struct fleet *ret, struct err *err);

struct instance_type;
struct fleet_type fleet_catalogue_type(const struct fleet *, const struct instance_type *); /* at the region's prices */

/* As the file or else the catalogue has it; false: neither knows the type. */
bool fleet_known_type(const struct fleet *, const char *name, struct fleet_type *ret);

/* The same as this fleet gives it out: where instances share a machine, each is one slot of it, of whatever type. */
bool fleet_type(const struct fleet *, const char *name, struct fleet_type *ret);

const struct fleet_owner *fleet_owner(const struct fleet *, const char *owner); /* the first rule that matches, or one
                                                                                   of weight 1 and priority 0 */
const struct fleet_type *fleet_own_type(const struct fleet *, const char *name); /* the file's; NULL: it has none */
int64_t fleet_type_gpus(const struct fleet *, const char *name); /* the file's, else NVIDIA's of the catalogue */

/* What an instance takes of a node's disk: what its type has of its own, else its volume, in GB as AWS means them. */
int64_t fleet_type_disk_mib(const struct fleet_type *, int64_t volume_gb);

bool glob_matches(const char *pattern, const char *text); /* * and ? */

#endif
