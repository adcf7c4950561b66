/* collective.h - the check of the instances of a job together: they add up a vector over TCP, and over NCCL where at
 * least two of them have GPUs and its library. NCCL has a minute and a second for each GPU, or $SAGEBRUSH_NCCL_SECONDS
 * (a test's). */
#ifndef AGENT_COLLECTIVE_H
#define AGENT_COLLECTIVE_H

#include "agent/ring.h"
#include "base/arena.h"
#include "run/gpu.h"

struct collective_options {
    struct ring_options ring;
    const char *folder;    /* of the agent */
    const char *namespace; /* its network; NULL: the caller's */
    const char *library;   /* of NCCL; "": the loader's */
    const struct gpu *gpus; /* that were granted */
    int gpu_count;
};

struct collective_result {
    bool passed;
    const char *evidence;
    const char *blames;    /* the host of which most is known to be wrong; "": cannot be told */
    const struct gpu *gpu; /* of this instance, that is the cause; NULL: none */
};

/* -1: ERR_CONFLICT, cancelled. */
int collective_check(struct arena *, const struct collective_options *, struct collective_result *ret, struct err *err);

#endif
