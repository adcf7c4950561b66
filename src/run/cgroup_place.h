/* cgroup_place.h - where in a hierarchy the group of a container is: below its root, or in a Slurm step. */
#ifndef RUN_CGROUP_PLACE_H
#define RUN_CGROUP_PLACE_H

#include <stdbool.h>

#include "base/arena.h"
#include "base/str.h"

/* 'own' is a /proc/PID/cgroup: whether that process belongs to a step of a Slurm job, by any hierarchy. */
bool cgroup_in_step(struct str own);

/* Its path in the hierarchy (v1) of that controller; NULL: there is none. */
const char *cgroup_path_of(struct arena *, struct str own, const char *controller);

/* The group's folder in the hierarchy that is mounted at 'point', as this process made it or another of the same Slurm
 * step; NULL: not there. */
const char *cgroup_find(struct arena *, const char *point, struct str own, const char *group);

/* The same, in whichever Slurm step it is. */
const char *cgroup_find_anywhere(struct arena *, const char *point, struct str own, const char *group);

/* Removes what Slurm made for the step and could not remove, for 'folder', a group that is gone, was in it. */
void cgroup_clear_step(struct arena *, const char *point, const char *folder);

#endif
