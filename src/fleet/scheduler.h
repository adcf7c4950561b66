/* scheduler.h - who gets which instances on which nodes, when, and why not yet.
 *
 * Pure: no I/O, no clock, no randomness of its own. The caller tells what happens (somebody asks, ends, a node fails)
 * and drains scheduler_decide() after each. It keeps nothing on disk: after a restart the caller tells again who holds
 * what (scheduler_restore) and who waits (scheduler_submit, oldest first).
 *
 * What it promises:
 *   - capacity is accounted: cores, memory, disk, and GPUs by index; a job gets all its instances or none
 *   - the order of queue.h; the first of the queue holds a reservation, and who comes later may go before it only
 *     where that does not make it later (EASY backfill, Lifka 1995, by MaxRuntime)
 *   - spot work leaves for work on demand: it is told, and has the notice's time to go
 *   - one decision costs well below a millisecond with 100,000 jobs waiting (bench/scheduler) */
#ifndef FLEET_SCHEDULER_H
#define FLEET_SCHEDULER_H

#include "fleet/fleet.h"

struct scheduler;

struct work_group {
    const char *type; /* "ml.m5.xlarge" */
    int64_t count;
    int64_t volume_gb; /* of disk that each may fill; one whose type has a disk of its own has that instead */
};

/* What asks for instances: a training job, a processing job, a variant of an endpoint. */
struct work {
    const char *uid; /* at most 63 characters */
    const char *account;
    const char *owner; /* whose share it is: a role's ARN, a tag */
    const char *kind;  /* of work, as AWS names the quota: "training job" */
    const char *labels; /* that its nodes must have, "rack=a,zone=b" sorted; NULL: any */
    struct work_group groups[5];
    int group_count;
    bool spot;
    bool admitted;    /* before a restart: no quota is asked */
    int64_t priority; /* added to the owner's */
    int64_t submitted_ms;
    int64_t max_runtime_ms; /* 0: until it is stopped */
};

/* One instance on one node. */
struct placed {
    const char *node, *type;
    uint64_t gpus; /* by index, bit by bit */
    bool left;     /* it failed there, and is to stand elsewhere: scheduler_replace() */
};

enum decision_kind {
    DECISION_START,     /* its instances are its own now: scheduler_placed() */
    DECISION_INTERRUPT, /* spot: tell it; at deadline_ms it must have gone. Then scheduler_requeue() or _release() */
    DECISION_REPLACE,   /* the instance 'instance' of it stands on another node now; the others stay */
    DECISION_LOST,      /* its instance 'instance' is gone with its node and there is no other: requeue or release */
};

struct decision {
    enum decision_kind kind;
    char uid[64];
    int64_t deadline_ms;
    int64_t instance;
    const char *node; /* that failed */
};

struct scheduler *scheduler_new(const struct fleet *, int64_t now_ms); /* the fleet outlives it */
void scheduler_free(struct scheduler *);                               /* NULL is fine */

/* ERR_LIMIT with AWS's ResourceLimitExceeded; ERR_INVALID: an unknown type, or what can never fit, with the reason.
 * Again is fine: of one that waits the owner, the priority and the labels may be others than before; its place by
 * coming stays. */
int scheduler_submit(struct scheduler *, const struct work *, struct err *err);

/* After a restart: it holds these instances, in the order of its groups, since 'started_ms'. Of those that have 'left'
 * it holds nothing: replace, requeue or release it. */
int scheduler_restore(struct scheduler *, const struct work *, const struct placed *, int64_t count,
                      int64_t started_ms, struct err *err);

/* The next thing to do; false: nothing until something happens or scheduler_next_ms() is there. */
bool scheduler_decide(struct scheduler *, int64_t now_ms, struct decision *ret);
int64_t scheduler_next_ms(const struct scheduler *); /* INT64_MAX: nothing waits */

/* It ended, or was withdrawn: all it held is free, and it is forgotten. Not being there is fine. */
void scheduler_release(struct scheduler *, const char *uid, int64_t now_ms);

/* It was interrupted or lost an instance: all it held is free, and it waits again, in its old place. */
void scheduler_requeue(struct scheduler *, const char *uid, int64_t now_ms);

/* Instances of it that have 'left' stand on other nodes from now on, before anybody who waits, and the others stay;
 * where there is no other node they stay, too, if theirs is in use. False, and DECISION_LOST: there is none for one of
 * them. As many are given as it has. */
bool scheduler_replace(struct scheduler *, const char *uid, const struct placed *, int64_t now_ms);

/* Spot work is taken back by a price, a drill or a model: decided as DECISION_INTERRUPT. */
void scheduler_interrupt(struct scheduler *, const char *uid, int64_t now_ms);

/* Nodes. A cordoned one gets nothing new; what runs on it stays. A failed one is replaced by a spare of its pool, and
 * so are the instances on it. A node that is back is a spare when its pool lacks one. */
bool scheduler_cordon(struct scheduler *, const char *node, int64_t now_ms);
bool scheduler_fail(struct scheduler *, const char *node, int64_t now_ms);
bool scheduler_return(struct scheduler *, const char *node, int64_t now_ms);

/* At start, before anybody is told of: what an owner used before, for its share. 'usd_hour' is of all of it. */
void scheduler_recall_usage(struct scheduler *, const char *owner, double usd_hour, int64_t from_ms, int64_t to_ms);

/* Whose share the work is; NULL: it is not known. */
const char *scheduler_owner(const struct scheduler *, const char *uid);

/* At start: what was known of a node. */
enum node_change { NODE_CORDON, NODE_RETURN };
bool scheduler_recall(struct scheduler *, const char *node, enum node_change, double strikes, int64_t struck_ms,
                      int64_t now_ms);

/* GPUs of the node that are given to nobody, by index, all of them: those that are held now, once they are free. */
bool scheduler_gpus_out(struct scheduler *, const char *node, uint64_t gpus);

/* What 'uid' holds is held by 'to' from now on, of the same instances, and is never free in between; 'to' may wait in
 * the queue, and may be the same uid. False: nothing changed. */
bool scheduler_hand_over(struct scheduler *, const char *uid, const struct work *to, int64_t now_ms);

/* Of one that holds instances: whose it is and its priority are those of 'to' from now on, and what it used until now
 * stays with whose it was. Its labels wait until it does. Not being there is fine. */
void scheduler_retag(struct scheduler *, const struct work *to, int64_t now_ms);

enum work_state { WORK_NONE, WORK_WAITING, WORK_RUNNING, WORK_LEAVING, WORK_LOST /* one of its instances */ };
enum work_state scheduler_state(const struct scheduler *, const char *uid, int64_t *ret_deadline_ms);

/* The instance stands on a node that is in use, and on no GPU that is out. */
bool scheduler_stands_well(const struct scheduler *, const char *uid, int64_t instance);

/* NULL: it holds nothing. */
const struct placed *scheduler_placed(const struct scheduler *, struct arena *, const char *uid, int64_t *ret_count);

/* Why it waits, for the user, and when it may be expected to start: INT64_MAX where no end of others is known. */
struct waiting {
    const char *reason;
    const char *what; /* the reason without when it starts */
    int64_t before; /* jobs that are ahead of it */
    int64_t expected_ms;
};
bool scheduler_waiting(struct scheduler *, struct arena *, const char *uid, int64_t now_ms, struct waiting *ret);

/* How many of these, who hold instances, must end, the first of them first, so that there is room for who waits; 0:
 * there is, or they are not what it waits for. */
int scheduler_hindrance(struct scheduler *, const char *uid, const char *const *holders, int count);

/* Nodes as people see them, from 0; false: there are no more. */
struct node_view {
    const char *name, *pool;
    const char *gpu, *labels; /* "": none */
    const char *state; /* "in use", "spare", "cordoned", "failed" */
    bool lemon;
    int64_t instances;
    struct capacity has, left;
    uint64_t gpus_taken, gpus_out;
};
bool scheduler_node(const struct scheduler *, int64_t number, struct node_view *ret);

/* For counters and tests. */
struct scheduler_counts {
    int64_t waiting, running; /* jobs */
    int64_t nodes_in_use, nodes_spare, nodes_out;
    struct capacity total, taken; /* of nodes that are not out */
};
struct scheduler_counts scheduler_counts(const struct scheduler *);
int64_t scheduler_waiting_count(const struct scheduler *); /* that one alone: without looking at every node */
const char *scheduler_faults(const struct scheduler *, struct arena *); /* "" when every account adds up */

#endif
