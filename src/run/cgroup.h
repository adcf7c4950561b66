/* cgroup.h - what a container uses, and what its limits did, by cgroup v1 or v2. */
#ifndef RUN_CGROUP_H
#define RUN_CGROUP_H

#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"

/* The group's path for config.json. In a Slurm step it is relative: below the step's, so that Slurm's limits hold.
 * Else directly below the root of each hierarchy: runc leaves parents behind. */
const char *cgroup_path(struct arena *, const char *name);

struct cgroup_usage {
    int64_t cpu_ns;         /* since the start; -1: not known */
    int64_t memory_bytes;   /* without what the kernel could drop at once; -1: not known */
    int64_t peak_bytes;     /* the most it ever had, with what the kernel could drop; -1: not known */
    int64_t oom_kills;      /* processes killed for memory; -1: not known */
};

void cgroup_read(struct arena *, const char *name, struct cgroup_usage *ret);

/* Its processes; returns how many. Not there: none. */
size_t cgroup_processes(struct arena *, const char *name, int64_t **ret);

/* Whether a group can be made here, with limits for cores and memory: makes one of that name and removes it. */
int cgroup_try(struct arena *, const char *name, struct err *err);

/* This process is in the root of every hierarchy from now on, as far as it may: who ends its group does not end it. */
void cgroup_leave(struct arena *);

/* Slurm may forbid a step all devices but its own; in a group below, runc cannot state the rules of a container (v1).
 * Between these two this process is in the root of that hierarchy, and so is what it starts. NULL: it need not. */
const char *cgroup_leave_devices(struct arena *);
void cgroup_return(struct arena *, const char *folder);

/* Kills what is left in it and removes it from every hierarchy. Not there is fine. */
int cgroup_remove(struct arena *, const char *name, struct err *err);

#endif
