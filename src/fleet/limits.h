/* limits.h - what a container may use of this machine, by its instance type. */
#ifndef FLEET_LIMITS_H
#define FLEET_LIMITS_H

#include "base/buf.h"
#include "fleet/fleet.h"

struct machine {
    int cores;
    int64_t memory_bytes;
    int gpus;
};

/* How many instances run beside each other where no fleet file says it: four for each core, as many as 512 MiB each
 * allows. */
int machine_slots(const struct machine *);

struct limits {
    int cpus;       /* whole cores that it may use at most */
    int cpu_weight; /* its share when others want them too */
    int64_t memory_bytes;
};

/* With a fleet file: what the type has. Without: no more than the machine's share, and cores by weight. */
struct limits limits_of(const struct fleet *, const struct machine *, const char *type);

/* What the nodes of the file together promise more than the machine has, in words; "" when they do not. */
void fleet_overdrawn(const struct fleet *, const struct machine *, struct buf *ret);

#endif
