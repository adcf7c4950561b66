/* baseline.h - what had gone wrong with the instance before its container ran: an agent that comes after one that was
 * killed compares with the same, so what happened between the two is seen. */
#ifndef AGENT_BASELINE_H
#define AGENT_BASELINE_H

#include "agent/gpu_watch.h"
#include "run/gpu_monitor.h"

struct baseline {
    const char *folder;       /* of the agent */
    int64_t memory_errors;    /* -1: nobody counts them */
    struct gpu_watch watched; /* the GPUs, by their places in the monitor */
    struct gpu gone;          /* one that was there, and that the driver does not tell of; uuid "": none */
};

void baseline_forget(const char *folder); /* a container is about to start */

/* Of an agent before this one; nothing when there was none. */
void baseline_recall(struct baseline *, struct gpu_monitor *);

/* After each look: writes when something is new. */
void baseline_keep(const struct baseline *, struct gpu_monitor *);

#endif
