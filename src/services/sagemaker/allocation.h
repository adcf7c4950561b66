/* allocation.h - which nodes of the fleet the instances of a job or an endpoint stand on: asked for, held, given back.
 *
 * Who wants instances says so by a wish, under a key of its own: a job its row's uid, an instance of an endpoint the
 * uid of its place. A wish is granted whole or not at all. What was granted is saved with the row, as a record beside
 * it (allocation_record.h), before anything is started there, and what is given back is free when that is saved: so a
 * restarted control plane knows who holds what and who waits, and a kill or a full disk at any line costs nothing.
 *
 * A life:  allocation_admit (Create)  allocation_take, again and again, until HELD
 *          allocation_look in each pass while agents are there
 *          allocation_again or _requeue (another attempt is to come) or allocation_give (it has ended)
 * Whenever the answer may have changed, the row is touched. Every function may be called again, and what a pass asked
 * for counts when the pass was saved. */
#ifndef SERVICES_SAGEMAKER_ALLOCATION_H
#define SERVICES_SAGEMAKER_ALLOCATION_H

#include "base/clock.h"
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
    bool urgent; /* it was in use, and lost its place: before all others on demand */
    int64_t attempt;        /* of the work: each has its own luck on the spot market */
    int64_t max_runtime_ms; /* 0: until it is stopped */
};

enum allocation_state {
    ALLOCATION_WAITS,   /* 'words' say why */
    ALLOCATION_NEW,     /* granted in this pass: start nothing before it is saved, look again at once */
    ALLOCATION_HELD,
    ALLOCATION_LEAVING, /* spot: to be gone by deadline_ms; then allocation_requeue() */
    ALLOCATION_OUTSIDE, /* it runs where the fleet of today has no node, or nobody knows where: let it run */
};

struct allocation {
    enum allocation_state state;
    const char *words;           /* of WAITS, LEAVING: for the user, a sentence without its full stop */
    const char *cause;           /* of LEAVING: "capacity", "chance", "price", "asked" */
    int64_t deadline_ms;         /* of LEAVING, wall time */
    int64_t look_at_ms;          /* of WAITS: the row is touched in time; this is for what nobody can tell it */
    const struct placed *placed; /* of NEW, HELD, LEAVING: by instance; GPUs as the node counts them */
    int count;
};

/* At Create, after all other checks: unknown types, quotas, what can never fit. It stands in the line from here on;
 * when the row is not saved after all it is forgotten. */
int allocation_admit(struct call *, const struct resource *, const struct wish *, struct err *err);

/* The same for wishes that are to be granted one beside the other, as a question: nothing stands in the line. */
int allocation_check(struct call *, const struct resource *, const struct wish *, int count, struct err *err);

int allocation_take(struct pass *, const struct resource *, const struct wish *, struct allocation *ret,
                    struct err *err);

/* Of one of whom something runs. */
int allocation_look(struct pass *, const struct resource *, const struct wish *, struct allocation *ret,
                    struct err *err);

/* It has ended: all it held is free. Holding nothing is fine. */
int allocation_give(struct pass *, const char *key, struct err *err);

/* The attempt is over and another one, of the next number, is to come: its instances stay where they are. Those of
 * 'moves' (by instance; NULL: none), and those whose node or GPU is cordoned, get other places, before anybody who
 * waits; when there is none for one of them, or it has to leave, it is allocation_requeue(). */
int allocation_again(struct pass *, const char *key, const bool *moves, struct err *err);

/* Another attempt is to come, and others may have its places before: it waits, where it stood in the queue. */
int allocation_requeue(struct pass *, const char *key, struct err *err);

/* Inside a pass of spot work that is told to go by somebody else than the fleet, again and again until it has gone: its
 * place is about to be free, and goes to those who wait for it on demand. */
void allocation_leave(struct pass *, const char *key);

/* Why it waits, as of now; "" when it does not. Cheap enough for every Describe. */
const char *allocation_waits(struct arena *, struct engine *, const char *key);

/* What another key holds becomes this wish's, without being free in between (a warm pool's). *ret false, and nothing
 * has changed: it holds nothing, or something else than the wish. The other key holds nothing afterwards. */
int allocation_inherit(struct pass *, const struct resource *, const struct wish *, const char *other_key, bool *ret,
                       struct err *err);

/* What it holds is used for something else from now on, under the same key (an ended job keeps it as a warm pool). */
int allocation_keep(struct pass *, const struct resource *, const struct wish *, struct err *err);

/* Where it stands, from its record; count 0: it holds nothing. */
int allocation_nodes(struct arena *, struct engine *, const char *key, const struct placed **ret, int *ret_count,
                     struct err *err);

/* --- For whoever watches over nodes --- */

/* ERR_NOT_FOUND: the fleet has no such node. 'why' is for people. A spare of its pool takes the place of one that is
 * cordoned; who stands there stays, and that an instance of it is lost its agent tells. */
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
 * concerns are touched. */
void allocations_turn(struct engine *);
int64_t allocations_due_ms(struct engine *); /* when the next turn is needed though nothing comes in, wall time */

const struct scheduler *allocations_scheduler(const struct allocations *); /* for counters */
int64_t allocations_instances(const struct allocations *); /* that stand on nodes */

#endif
