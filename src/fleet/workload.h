/* workload.h - the jobs of a simulation: workload.csv (docs/manual/simulate.md). */
#ifndef FLEET_WORKLOAD_H
#define FLEET_WORKLOAD_H

#include "fleet/scheduler.h"

enum { NO_CHECKPOINTS = -1 };

struct workload_job {
    int64_t submit_ms; /* from the start */
    int64_t run_ms;    /* on its instances, undisturbed */
    int64_t max_run_ms, max_wait_ms; /* MaxRuntimeInSeconds, MaxWaitTimeInSeconds; max_wait 0: for ever */
    int64_t priority;
    int64_t checkpoint_cost_ms, checkpoint_interval_ms; /* interval 0: Daly's; NO_CHECKPOINTS */
    const char *owner, *account, *labels;
    struct work_group groups[5];
    int group_count;
    bool spot;
    int64_t line; /* of the file */
};

struct workload {
    struct workload_job *jobs; /* by time of submission */
    int64_t count;
};

/* 'name' of the file is for the errors, which name the line. What a row leaves empty is the fleet's default. */
int workload_read(struct arena *, const struct fleet *, const char *name, struct str text, struct workload *ret,
                  struct err *err);

#endif
