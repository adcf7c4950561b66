/* instance_gpus.h - the GPUs that an instance is given, by index, from before its start to its end.
 *
 * On a machine without GPUs, types that have some on AWS run on the cores alone, and say so. */
#ifndef SERVICES_SAGEMAKER_INSTANCE_GPUS_H
#define SERVICES_SAGEMAKER_INSTANCE_GPUS_H

#include "engine/kind.h"
#include "services/platform.h"
#include "services/sagemaker/instance.h"

/* Refuses, in AWS's words for a quota, what this machine can never give. 'usage' is "training job usage". */
int instance_gpus_check(struct engine *, const char *instance_type, int64_t instances, const char *usage,
                        struct err *err);

/* Instances that only make sense together. */
struct gpu_wish {
    const struct row *owner;
    const char *instance_type;
    const char **agents;
    int count;
    bool urgent; /* stands at the head of the line */
};

/* Whether all of them have, or need no, GPUs; else they stand in the line for them. */
bool instance_gpus_take(struct pass *, const struct gpu_wish *);
const char *instance_gpus_waits(struct pass *, const struct gpu_wish *); /* why they wait */

/* It has ended, or does not want any: who comes next is told. Again is fine. */
void instance_gpus_give(struct pass *, const char *agent);

/* limits.gpus of an order: the indices; or limits.gpus_absent, how many the type has and this machine has not. */
void instance_gpus_order(struct arena *, struct engine *, const char *agent, const char *instance_type,
                         struct doc *limits);

/* After a start of the control plane: who runs has what its order says. */
int instance_gpus_adopt(struct arena *, struct platform *, struct runtime *, struct err *err);

/* The agent has seen one of its GPUs go bad: it is cordoned. */
int instance_gpus_fault(struct pass *, const struct report *, struct err *err);

#endif
