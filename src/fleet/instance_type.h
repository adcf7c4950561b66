/* instance_type.h - the catalogue: what an ml.* instance type has and costs. The data and its sources are in
 * instance_types.csv. */
#ifndef FLEET_INSTANCE_TYPE_H
#define FLEET_INSTANCE_TYPE_H

struct instance_type {
    const char *name; /* "ml.m5.xlarge" */
    int vcpus;
    double memory_gib;
    const char *accelerator; /* "" for none */
    int accelerators;
    double usd_hour; /* on demand, us-east-1; negative: no public figure */
};

const struct instance_type *instance_type(const char *name); /* NULL: not in the catalogue */

#endif
