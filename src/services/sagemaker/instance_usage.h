/* instance_usage.h - what is written down of an interval in which an instance is used, to price it later. */
#ifndef SERVICES_SAGEMAKER_INSTANCE_USAGE_H
#define SERVICES_SAGEMAKER_INSTANCE_USAGE_H

#include "engine/kind.h"
#include "services/platform.h"

struct instance_usage {
    const struct row *owner;
    const char *role_arn, *instance_type;
    const char *instance; /* the same for all attempts of one instance, and while it is kept warm */
    const char *work; /* "training", as `sagebrush cost --by work` shows it */
    bool spot;
};

/* The attributes of usage_open(). The price is today's: a fleet file that changes later changes nothing of the past. */
struct doc *instance_usage(struct arena *, const struct platform *, const struct instance_usage *);

#endif
