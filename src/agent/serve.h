/* serve.h - one instance of an endpoint, from the order until it is asked to stop. */
#ifndef AGENT_SERVE_H
#define AGENT_SERVE_H

#include "agent/order.h"
#include "agent/world.h"

struct serve {
    struct world *world;
    const struct order *order;
    struct report *report;
    int starts_failed;
    bool attached, tidied;
    int64_t next_ping_ms, next_start_ms; /* boot time */
    int bad_pings;
    int64_t bad_since_ms; /* boot time of the first that a healthy one did not answer; 0: it does */
};

/* As train_step. */
bool serve_step(struct serve *, int64_t *ret_next_ms);

#endif
