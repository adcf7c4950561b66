/* capacity.h - arithmetic on what a node has and an instance takes. */
#ifndef FLEET_CAPACITY_H
#define FLEET_CAPACITY_H

#include "fleet/fleet.h"

static inline void capacity_add(struct capacity *to, const struct capacity *c, int64_t times)
{
    to->cores += c->cores * times;
    to->memory_mib += c->memory_mib * times;
    if (to->disk_mib != DISK_UNCOUNTED && c->disk_mib != DISK_UNCOUNTED)
        to->disk_mib += c->disk_mib * times;
    to->gpus += c->gpus * times;
}

static inline int64_t capacity_ratio(int64_t has, int64_t needs, int64_t least)
{
    int64_t times;

    if (needs <= 0)
        return least;
    times = has < needs ? 0 : has / needs;
    return times < least ? times : least;
}

/* How many times 'needs' goes into 'has'; what is negative has no room for anything. */
static inline int64_t capacity_times(const struct capacity *has, const struct capacity *needs)
{
    int64_t times = capacity_ratio(has->cores, needs->cores, INT32_MAX);

    times = capacity_ratio(has->memory_mib, needs->memory_mib, times);
    times = capacity_ratio(has->gpus, needs->gpus, times);
    return capacity_ratio(has->disk_mib, needs->disk_mib, times);
}

static inline bool capacity_holds(const struct capacity *c) /* nothing is overdrawn */
{
    return c->cores >= 0 && c->memory_mib >= 0 && c->disk_mib >= 0 && c->gpus >= 0;
}

#endif
