/* kind.h - a kind of resource, and the function that keeps it true.
 *
 * A resource is one row: what was asked for (spec), what is wanted now (want), what was seen (status). API operations
 * write the first two, reconcile() the third, each under its own compare-and-swap, so a Stop request and a running
 * pass cannot overwrite each other. */
#ifndef ENGINE_KIND_H
#define ENGINE_KIND_H

#include "engine/call.h"
#include "store/store.h"

struct runtime;

/* A row in hand. */
struct resource {
    struct row row;          /* as read; spec and want are there */
    const struct kind *kind;
    struct doc *status;      /* a copy that may be changed; saved after the pass */
    struct doc *want;        /* the same, for the API's side */
};

/* One visit of reconcile. */
struct pass {
    struct engine *engine;
    struct arena *arena;
    struct runtime *runtime;
    int64_t now_ms; /* wall time: the only clock that reconcile reads */
};

struct kind {
    const char *name;         /* the noun of the API model: "TrainingJob" */
    const char *service;      /* model_service() name: "sagemaker" */
    const char *arn_type; /* "training-job": arn:aws:SIGNING:REGION:ACCOUNT:training-job/NAME, the name in lower case */
    const char *name_member;  /* "TrainingJobName" */
    const char *arn_member;   /* "TrainingJobArn" */
    const char *state_member; /* where in the status its state is; NULL: a record without a life of its own */
    const char *const (*states)[2]; /* each state, where it may go (parted by single spaces); [0][0] is the first */
    const char *missing_text; /* printf of the ARN; NULL: AWS's usual "Requested resource not found." */
    const char *exists_text;  /* printf of the ARN for Create of a second one */

    /* Create, after validation: refuse what the model cannot say, fill the first status. NULL: nothing to add. */
    int (*create)(struct call *, struct resource *, struct err *);
    /* Stop, Update, Delete: write want and make at most one legal move. NULL: Delete removes the row, Update is
     * refused. */
    int (*stop)(struct call *, struct resource *, struct err *);
    int (*update)(struct call *, struct resource *, struct err *);
    int (*remove)(struct call *, struct resource *, bool *ret_row_goes, struct err *);
    /* Describe: add to the output what neither spec nor status holds. What comes from elsewhere than the row, as from
     * the clock, sets call.varies: else the answer is printed once and kept until the row changes. NULL: nothing. */
    int (*describe)(struct call *, const struct resource *, struct err *);
    /* Before a policy is asked: add the service's own condition keys of the request to the context (aws/policy.h).
     * NULL: there are none. */
    void (*conditions)(struct call *, struct doc *context);
    /* List: whether this row passes the request's special filters. NULL: it does. */
    bool (*listed)(struct call *, const struct resource *);

    /* Called when the row changes, when it asked to be, and after a restart, without knowing which: looks at the
     * world, takes at most one step, says when to look again (*ret_next_ms, wall time; INT64_MAX on entry). May come
     * twice, late, or after a crash at any line; never blocks. Returning -1 saves nothing and comes again. */
    int (*reconcile)(struct pass *, struct resource *, int64_t *ret_next_ms, bool *ret_row_goes, struct err *);
    /* Whether the agent of that name is one that passes of this row start, watch and forget: those that nobody owns
     * are ended (engine/orphans.c). NULL: whatever agent names this row as its owner is its own. */
    bool (*owns)(struct arena *, const struct resource *, const char *agent);
};

/* The state, as the row's filter sees it and as the status says it. Aborts on a move that the table does not have;
 * staying is always legal. */
void set_state(struct resource *, const char *state);
const char *get_state(const struct resource *);
bool may_become(const struct resource *, const char *state);

/* hash(parent uid, step or counter, attempt) as a uid: children started twice are one. */
const char *child_uid(struct arena *, const char *parent_uid, const char *step, int attempt);

#endif
