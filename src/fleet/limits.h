/* limits.h - what a container may use of this machine, by its instance type. */
#ifndef FLEET_LIMITS_H
#define FLEET_LIMITS_H

#include "base/buf.h"
#include "fleet/fleet.h"

struct machine {
    int cores;
    int64_t memory_bytes;
    int gpus;
    int64_t disk_bytes; /* of the file system that jobs write to; 0: not known */
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

/* What an instance may write: its volume. One whose type has a disk of its own has no volume beside it: with a fleet
 * file as much as the file counts for it, without one (0) what there is. */
struct disk_limit {
    int64_t bytes;
    bool own; /* the type's */
};
struct disk_limit limits_of_disk(const struct fleet *, const char *type, int64_t volume_gb);

/* What the nodes of the file together promise more than the machine has, in words; "" when they do not. */
void fleet_overdrawn(const struct fleet *, const struct machine *, struct buf *ret);

#endif
