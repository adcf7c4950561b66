/* example.h - a fleet and a workload to begin with, of any size. */
#ifndef FLEET_EXAMPLE_H
#define FLEET_EXAMPLE_H

#include <stdint.h>

#include "base/buf.h"

/* fleet.toml of about so many nodes: nine in ten without GPUs. */
void example_fleet(struct buf *, int64_t nodes);

/* workload.csv of so many jobs in so many days, which keep such a fleet about 'load' busy. The same seed, the same
 * bytes. */
void example_workload(struct buf *, int64_t nodes, int64_t jobs, int64_t days, double load, int64_t seed);

#endif
