/* instance_usage.h - what is written down of an interval in which an instance is used, to price it later. */
#ifndef SERVICES_SAGEMAKER_INSTANCE_USAGE_H
#define SERVICES_SAGEMAKER_INSTANCE_USAGE_H

#include "engine/kind.h"
#include "services/platform.h"

struct instance_usage {
    const struct row *owner;
    const char *key; /* of its allocation */
    const char *role_arn, *instance_type;
    const char *instance; /* the same for all attempts of one instance, and while it is kept warm */
    const char *work; /* "training", as `sagebrush cost --by work` shows it */
    bool spot;
};

/* The attributes of usage_open(): owner_arn, role_arn, instance, instance_type, work, spot; usd_hour, where a price is
 * known: it is today's, a fleet file that changes later changes nothing of the past; share, whose share of the fleet it
 * is, where that is not the role. Whoever opens the interval adds the row's tags. */
struct doc *instance_usage(struct arena *, const struct platform *, const struct instance_usage *);

#endif
