/* train.h - a training or processing job on one instance, from the order to its end. */
#ifndef AGENT_TRAIN_H
#define AGENT_TRAIN_H

#include "agent/order.h"
#include "agent/world.h"

struct train {
    struct world *world;
    const struct order *order;
    struct report *report;
    int starts_failed;
    bool attached, tidied;
    int64_t lingers_until_ms; /* by boot time; 0: its end has not come */
};

/* Looks, takes what steps it can, and says when to look again (wall time; INT64_MAX: when something happens). True: the
 * end is reported, and there is nothing left to do. May be called at any time, and by a new agent after any line. */
bool train_step(struct train *, int64_t *ret_next_ms);

#endif
