/* cargo.h - what an instance gets before its container starts and leaves when it has ended: input, models, checkpoints,
 * outputs, results. */
#ifndef AGENT_CARGO_H
#define AGENT_CARGO_H

#include "agent/order.h"
#include "agent/uplink.h"
#include "agent/world.h"
#include "base/clock.h"

/* Zeroed but for these, which live longer. */
struct cargo {
    const struct order *order;
    const char *folder;      /* of the agent */
    const char *ml;          /* /opt/ml as seen from here */
    const char *checkpoints; /* below it */
    struct clock *clock;
    const struct box *box;
    struct uplink *uplink;

    /* its own */
    enum saving saving;      /* before cargo_save() */
    char model[2048];        /* after it: where the model is, "" for none */
    struct syncer *syncer;   /* of the checkpoints, from the container's start on */
    struct outputs *outputs; /* what the order has of them, from the container's start on */
};

/* These wait, on a thread that may; cancel_fd ends them with ERR_CONFLICT. */
int cargo_bring(struct cargo *, const struct image *, int cancel_fd, struct err *err);
int cargo_save(struct cargo *, int cancel_fd, struct err *err);

bool cargo_waits(const struct cargo *); /* whether cargo_bring() has anything to wait for */

/* What is known of its checkpoints (agent/savings.h); NULL: nothing new. */
struct doc *cargo_saving(const struct cargo *, struct arena *);

int cargo_follow(struct cargo *, struct err *err);          /* the container runs: S3 is kept in step */
void cargo_hurry(struct cargo *, enum box_signal);          /* it is about to be ended */
void cargo_end(struct cargo *);                             /* stops where it is */

#endif
