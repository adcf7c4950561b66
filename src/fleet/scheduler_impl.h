/* scheduler_impl.h - what the files of the scheduler share; nobody else includes it. */
#ifndef FLEET_SCHEDULER_IMPL_H
#define FLEET_SCHEDULER_IMPL_H

#include "fleet/calendar.h"
#include "fleet/node.h"
#include "fleet/queue.h"
#include "fleet/quota.h"
#include "fleet/scheduler.h"
#include "fleet/share.h"

enum { LOOK_AGAIN_MS = 60 * 1000 }; /* a reservation is made anew no oftener than that */

/* A node that the first of the queue is to get a part of. */
struct reserved {
    struct node *node;
    struct capacity held; /* for the first, from then on */
    struct capacity spare; /* left beside it from then on */
    int64_t counts[GROUPS_MOST]; /* instances of each of its groups */
};

/* For the first of a domain's queue that has no room now. */
struct reservation {
    struct job *job; /* NULL: there is none */
    int64_t number;
    int64_t at_ms;   /* when it can start at the latest, as far as MaxRuntimes tell; INT64_MAX: not known */
    int64_t made_ms;
    struct reserved *nodes;
    int64_t count, capacity;
    /* By shape: what the reserved nodes take, for jobs that end before at_ms and for others; -1: not counted yet. */
    int64_t *brief, *lasting;
    int slot_capacity;
};

/* Pools that some demand can use both of: each has a first of the queue of its own. */
struct domain {
    struct reservation reservation;
    bool stirred; /* something was freed, or the order changed: look at all. Else only at demands that are fresh */
    bool fresh;
    bool freed; /* since the reservation was made */
};

struct pending {
    struct list link;
    struct decision decision;
};

struct scheduler {
    const struct fleet *fleet;
    struct nodes *nodes;
    struct share *share;
    struct quotas *quotas;
    struct queue *queue;
    struct calendar *calendar;
    struct map *jobs;
    struct arena *arena; /* accounts and kinds of work, once each */
    struct map *words;
    struct list pending;
    struct list promised; /* jobs, by their link */
    int64_t sequence, running, spot_running, reservations;
    uint64_t looks;
    int parent[POOLS_MOST]; /* of a pool, towards the one that stands for its domain */
    struct domain domains[POOLS_MOST];
};

static inline int domain_of(struct scheduler *s, int pool)
{
    while (s->parent[pool] != pool)
        pool = s->parent[pool] = s->parent[s->parent[pool]];
    return pool;
}

static inline int domain_of_demand(struct scheduler *s, const struct demand *d)
{
    return domain_of(s, __builtin_ctz(d->pools));
}

static inline struct domain *domain_of_job(struct scheduler *s, const struct job *j)
{
    return &s->domains[domain_of_demand(s, j->demand)];
}

/* admission.c */
int job_new(struct scheduler *, const struct work *, struct job **ret, struct err *err); /* known to nobody yet */
void job_free(struct scheduler *, struct job *); /* of one that holds nothing, waits nowhere, and is in no map */

/* scheduler.c */
void job_run(struct scheduler *, struct job *, int64_t now_ms); /* it has its instances */
void decide_later(struct scheduler *, const struct decision *);
void job_requeue(struct scheduler *, struct job *, int64_t now_ms);
void job_withdraw(struct scheduler *, struct job *); /* one that waits is forgotten */
void domain_stir(struct scheduler *, const struct node *);
void start_promised(struct scheduler *, int64_t now_ms); /* whoever was promised what has now been left */

/* place.c: grants. The job is in no queue. */
bool place_now(struct scheduler *, struct job *);                                  /* from the shelves */
bool place_beside(struct scheduler *, struct job *, struct domain *, bool brief);  /* and from reserved nodes */
bool place_planned(struct scheduler *, struct job *, const struct reservation *, enum side); /* as its plan has it */
bool place_promised(struct scheduler *, struct job *);                             /* where spot work has to go */
void place_clear(struct scheduler *, struct job *, int64_t now_ms);                /* tells that work */
void place_gpus(struct scheduler *, struct job *); /* by index, when the room is really there */
void count_gpus(struct scheduler *, struct node *); /* after who holds which, or which are out, changed */
void tell_to_go(struct scheduler *, struct job *spot, int64_t now_ms);
void place_free(struct scheduler *, struct job *);
bool promise_due(const struct job *); /* what it was promised has been left */
void grant_take(struct scheduler *, struct grant *, struct node *);
void grant_give(struct scheduler *, struct grant *);
void grants_new(struct scheduler *, struct job *);

/* backfill.c: the reservation. */
void reservation_make(struct scheduler *, struct domain *, struct job *, int64_t now_ms);
void reservation_drop(struct scheduler *, struct domain *);
void reservation_open(struct scheduler *, struct reservation *, bool open); /* its nodes on the shelves, or off */
int64_t reservation_slots(struct scheduler *, struct reservation *, int shape, bool brief);
void reservation_changed(struct reservation *); /* something on one of its nodes was taken or given */

#endif
