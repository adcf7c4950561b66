/* price.h - what an hour of an instance costs here: what usage is priced by. */
#ifndef FLEET_PRICE_H
#define FLEET_PRICE_H

#include "fleet/fleet.h"

struct price {
    double usd_hour;   /* on demand; 0: nobody says */
    double spot_share; /* what spot pays of that, 1 at most; 1 where nobody says */
};

/* A type that stands in the fleet file has the file's price. Every other has the catalogue's: with a file that of the
 * file's region; without, SageMaker's own on demand, of us-east-1, and the share that spot has in 'region'. */
struct price fleet_price(const struct fleet *, const char *type, const char *region);

/* What is paid for an hour. */
double price_paid(const struct price *, bool spot);

/* Spot of this type is taken back by the price of a trace, and so is paid at that: what an hour of it costs on average
 * from one moment to another, wall time. *ret is untouched where it is not. */
bool price_traced(const struct fleet *, const char *type, int64_t from_ms, int64_t to_ms, double *ret_usd_hour);

#endif
