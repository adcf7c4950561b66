/* unfit.h - for who asked for a type that no node can hold: why that is, and which types there are. */
#ifndef FLEET_UNFIT_H
#define FLEET_UNFIT_H

#include "fleet/node.h"

/* "no node has GPUs", of a shape of which the whole fleet has room for none. */
const char *unfit_why(struct arena *, const struct nodes *, const struct shape *);

/* "box.one, box.half, ml.m5.large": the fleet file's own types that fit where the shape was wanted, and a few of the
 * catalogue, the biggest first; "" when none fits. */
const char *unfit_instead(struct arena *, const struct nodes *, const struct shape *);

#endif
