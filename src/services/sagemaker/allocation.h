/* allocation.h - which nodes of the fleet the instances of a job or an endpoint stand on: asked for, held, given back.
 *
 * Who wants instances says so by a wish, under a key of its own: a job its row's uid, an instance of an endpoint the
 * uid of its place. A wish is granted whole or not at all. What was granted stands in the status of the row, _Nodes: by
 * key, a list of {Node, Type, Gpus}; it is saved before anything is started there, so a restarted control plane knows
 * who holds what and who waits (allocations_restore), and a kill at any line costs nothing.
 *
 * A life:  allocation_admit (Create)  allocation_take, again and again, until HELD
 *          allocation_look in each pass while agents are there
 *          allocation_again (another attempt is to come) or allocation_give (it has ended)
 * Whenever the answer may have changed, the row is touched. Every function may be called again. */
#ifndef SERVICES_SAGEMAKER_ALLOCATION_H
#define SERVICES_SAGEMAKER_ALLOCATION_H

#include "engine/kind.h"
#include "fleet/scheduler.h"

struct allocations;

/* --- For kinds --- */

struct wish {
    const char *key;      /* at most 63 characters */
    const char *usage;    /* as AWS names the quota: "training job", "processing job", "endpoint" */
    const char *role_arn; /* whose share it is, where the tag sagebrush:owner does not say otherwise */
    struct work_group groups[5]; /* instances are numbered through them, from 0 */
    int group_count;
    bool spot;
    int64_t max_runtime_ms; /* 0: until it is stopped */
};

enum allocation_state {
    ALLOCATION_WAITS,   /* 'words' say why */
    ALLOCATION_NEW,     /* granted in this pass: start nothing before it is saved, look again at once */
    ALLOCATION_HELD,
    ALLOCATION_LEAVING, /* spot: to be gone by deadline_ms; then allocation_again() */
    ALLOCATION_BROKEN,  /* the node of 'instance' failed: end the attempt; then allocation_again() */
    ALLOCATION_OUTSIDE, /* it runs where the fleet of today has no node, or nobody knows where: let it run */
};

struct allocation {
    enum allocation_state state;
    const char *words;           /* of WAITS, LEAVING, BROKEN: for the user, a sentence without its full stop */
    const char *cause;           /* of LEAVING: "capacity", "model", "price" */
    int64_t deadline_ms;         /* of LEAVING, wall time */
    int instance;                /* of BROKEN */
    const char *node;            /* of BROKEN: the one that failed */
    const struct placed *placed; /* of NEW, HELD, LEAVING, BROKEN: by instance; GPUs as the node counts them */
    int count;
};

/* At Create, after all other checks: unknown types, quotas, what can never fit. It stands in the line from here on;
 * when the row is not saved after all it is forgotten. */
int allocation_admit(struct call *, const struct resource *, const struct wish *, struct err *err);

struct allocation allocation_take(struct pass *, struct resource *, const struct wish *);
struct allocation allocation_look(struct pass *, struct resource *, const struct wish *); /* something of it runs */

/* It has ended: all it held is free. Holding nothing is fine. */
void allocation_give(struct pass *, struct resource *, const char *key);

/* The attempt is over and another one is to come. What it was given instead of what broke, and what did not break, it
 * keeps; when it has to leave, or there is nothing to take the place of what broke, or 'leave', it waits again, in its
 * old place of the queue. */
void allocation_again(struct pass *, struct resource *, const char *key, bool leave);

/* Why it waits, as of now; "" when it does not. Cheap enough for every Describe. */
const char *allocation_waits(struct arena *, struct engine *, const char *key);

/* What another key holds becomes this wish's, without being free in between (a warm pool's): false, and nothing has
 * changed, when it holds nothing, or something else than the wish. The row of the other key is to drop it with
 * allocation_give() when it is looked at next; until then a restart knows whose it is. */
bool allocation_inherit(struct pass *, struct resource *, const struct wish *, const char *other_key);

/* What it holds is used for something else from now on, under the same key (an ended job keeps it as a warm pool). */
void allocation_keep(struct pass *, struct resource *, const struct wish *);

/* --- For whoever watches over nodes --- */

/* Everybody who stands on it is told. ERR_NOT_FOUND: the fleet has no such node. 'why' is for people. A spare of its
 * pool takes the place of one that is failed or cordoned; who stands on a cordoned one stays. */
enum node_change { NODE_FAIL, NODE_CORDON, NODE_RETURN };
int allocation_change_node(struct engine *, const char *node, enum node_change, const char *why, struct err *err);

/* At start, before allocations_restore: what was known of the node. */
int allocation_recall_node(struct engine *, const char *node, enum node_change state, double strikes, int64_t struck_ms,
                           struct err *err);

/* --- For the program --- */

struct fleet;

/* The fleet outlives them. */
struct allocations *allocations_new(const struct fleet *, struct clock *);
void allocations_free(struct allocations *); /* NULL is fine */

/* Once, after engine_new: who holds what and who waits, as the rows say. */
int allocations_restore(struct engine *, struct err *err);

/* Once a turn, between the commit and engine_reconcile: what was freed or asked for is decided, and those whom it
 * concerns are touched. *ret_next_ms: when it is to be called without anything having happened (wall time). */
void allocations_turn(struct engine *, int64_t *ret_next_ms);

const struct scheduler *allocations_scheduler(const struct allocations *); /* for counters */

#endif
