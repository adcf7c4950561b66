/* instance_type.h - the catalogue: what an instance type has and what an hour of it costs.
 *
 * EC2's types ("m5.xlarge") and SageMaker's names for them ("ml.m5.xlarge", dearer) stand in one table. The data and
 * its sources are in model/catalog; an administrator's own types and prices come in the fleet file (fleet/fleet.h). */
#ifndef FLEET_INSTANCE_TYPE_H
#define FLEET_INSTANCE_TYPE_H

#include "base/arena.h"

struct instance_market {
    const char *region;
    double usd_hour;      /* on demand */
    double spot_usd_hour; /* negative: not known */
    int interrupted;      /* up to so many percent of spot instances a month: 5, 10, 15, 20, 100; 0: not known */
};

struct instance_type {
    const char *name;
    int vcpus;
    double memory_gib;
    const char *accelerator; /* "A100"; "" for none */
    int accelerators;
    double accelerator_gib; /* of each */
    double network_gbps;
    int nvme_gb; /* decimal */
    const char *architecture; /* "x86_64", "arm64" */
    double usd_hour;          /* on demand, us-east-1; negative: no public figure */
    const struct instance_market *markets;
    int market_count;
};

const struct instance_type *instance_type(const char *name); /* NULL: not in the catalogue */

/* The catalogue's names, and those of its regions: each list ends with NULL. 'more' places are left free before it. */
const char **instance_type_names(struct arena *, size_t more, size_t *ret_count);
const char **instance_regions(struct arena *);

/* GPUs of NVIDIA's: what a CUDA program can use. 0: none, or not in the catalogue. */
int instance_type_gpus(const char *name);

/* NULL: AWS does not offer it there, or no figure is public. */
const struct instance_market *instance_market(const struct instance_type *, const char *region);

/* What an hour of spot costs, as a part of the hour on demand. 1: no figure is public. */
double instance_spot_share(const char *name, const char *region);

/* How often one spot instance is interrupted in an hour: the middle of the band that the Spot Advisor knows, spread
 * evenly over the month. For what it does not know, 10 % a month. */
double instance_interruptions_hour(const char *name, const char *region);

#endif
