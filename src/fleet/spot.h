/* spot.h - when spot capacity is taken back, and what it costs until then.
 *
 * Two models. By rate: an instance is interrupted at random, evenly over time (a Poisson process); the moment is drawn
 * from the seed, the work's uid and its attempt, so that it is the same after a restart and whatever else happens. By
 * price: where the fleet file has a trace for the type, spot is gone while the price is above what one would pay. */
#ifndef FLEET_SPOT_H
#define FLEET_SPOT_H

#include "fleet/fleet.h"

/* A number between 0 and 1 that belongs to these three. */
double spot_unit(int64_t seed, const char *uid, int64_t attempt);

/* From now until the first interruption of work whose instances together are interrupted 'per_hour' times; INT64_MAX:
 * never. */
int64_t spot_lifetime_ms(double per_hour, double unit);

/* What was seen of spot instances of a type. */
struct spot_seen {
    double hours; /* of all instances together */
    double interruptions;
};

/* Interruptions of one instance in an hour: what was expected before anything was seen counts as if it had been seen
 * for SPOT_EXPECTED_HOURS. (The mean of the posterior of a Poisson process whose prior is a Gamma distribution.) */
#define SPOT_EXPECTED_HOURS 100.0
double spot_rate(double expected, const struct spot_seen *);

const struct fleet_trace *spot_trace(const struct fleet *, const char *type); /* NULL: by rate */

/* Times from the trace's start; the moments are 'from' itself when it is so already, INT64_MAX for never. */
double spot_price(const struct fleet_trace *, int64_t at_ms);
int64_t spot_next_above(const struct fleet_trace *, double most, int64_t from_ms);
int64_t spot_next_within(const struct fleet_trace *, double most, int64_t from_ms);
double spot_cost(const struct fleet_trace *, int64_t from_ms, int64_t until_ms); /* dollars of one instance */

#endif
