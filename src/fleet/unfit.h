/* unfit.h - for who asked for a type that no node can hold: why that is, and what to do. */
#ifndef FLEET_UNFIT_H
#define FLEET_UNFIT_H

#include "fleet/node.h"

const char *size_text(struct arena *, int64_t mib); /* "512 MiB", "16 GiB", "931.3 GiB" */

/* "no node has GPUs", of a shape of which the whole fleet has room for none. */
const char *unfit_why(struct arena *, const struct nodes *, const struct shape *);

/* "Ask for another type, such as box.one, ml.m5.large, or ...": the fleet file's own types that fit where the shape was
 * wanted, and a few of the catalogue, the biggest first. */
const char *unfit_remedy(struct arena *, const struct nodes *, const struct shape *);

#endif
