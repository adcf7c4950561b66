/* simulation.h - a workload on a fleet, on a fake clock, with the scheduler and the spot model themselves.
 *
 * Discrete events: nothing happens between them. The same fleet, workload and seed give the same result, bit by bit. */
#ifndef FLEET_SIMULATION_H
#define FLEET_SIMULATION_H

#include "fleet/workload.h"

enum outcome {
    OUTCOME_WAITING,  /* the simulation ended before it started */
    OUTCOME_RUNNING,  /* or before it ended */
    OUTCOME_COMPLETED,
    OUTCOME_MAX_RUN,  /* MaxRuntimeExceeded */
    OUTCOME_MAX_WAIT, /* MaxWaitTimeExceeded */
    OUTCOME_REFUSED,  /* ResourceLimitExceeded, or what can never fit */
    OUTCOMES
};

struct job_result {
    enum outcome outcome;
    int64_t first_start_ms, ended_ms; /* negative: never */
    int64_t held_ms; /* time on its instances, all attempts */
    int64_t lost_ms; /* work done and done again, or thrown away */
    int64_t saving_ms; /* spent on checkpoints and on coming up again */
    int64_t preempted, interrupted, failures; /* by on-demand work, by the spot model, by its nodes */
    double usd, on_demand_usd; /* what it cost, and what the same hours would have cost on demand */
    const char *refused; /* the reason, in words */
};

/* The state at one moment: how much of the fleet is in use, by part, and who waits. */
struct sample {
    int64_t at_ms;
    double cores, gpus;
    int64_t waiting, running, spot_running;
};

enum { SAMPLES = 240 };

struct simulation {
    const struct fleet *fleet;
    const struct workload *workload;
    int64_t seed;
    struct job_result *jobs; /* as in the workload */
    int64_t length_ms;
    int64_t decisions, events;
    int64_t node_failures, replaced;
    double core_ms, gpu_ms; /* in use */
    double core_total_ms, gpu_total_ms; /* there, spares included */
    struct sample samples[SAMPLES];
    int sample_count;
};

/* 'days' 0: until all work has ended. ERR_INVALID: an instance type that nobody knows. */
int simulate(struct arena *, const struct fleet *, const struct workload *, int64_t seed, int64_t days,
             struct simulation *ret, struct err *err);

#endif
