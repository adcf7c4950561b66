/* instance_gpus.h - the GPUs that an instance is given: which of this machine's they are, and whom they serve.
 *
 * The scheduler gives GPUs of a node by their place in it. The nodes of the fleet share out those of the machine in the
 * order of the fleet file. Where a node is said to have more than the machine, the instance runs on the cores alone,
 * and says so; so does one of a type with GPUs on a machine that has none. */
#ifndef SERVICES_SAGEMAKER_INSTANCE_GPUS_H
#define SERVICES_SAGEMAKER_INSTANCE_GPUS_H

#include "engine/kind.h"
#include "fleet/scheduler.h"
#include "services/platform.h"
#include "services/sagemaker/instance.h"

/* limits.gpus of an order: the indices; or limits.gpus_absent, how many the type has and this machine has not. They
 * serve that agent until instance_gpus_give(). 'placed' NULL: it was given none. */
void instance_gpus_order(struct arena *, struct engine *, const char *agent, const char *instance_type,
                         const struct placed *, struct doc *limits);

/* Nothing of the agent is left. Again is fine. */
void instance_gpus_give(struct pass *, const char *agent);

/* After a start of the control plane: who runs has what its order says. */
int instance_gpus_adopt(struct arena *, struct platform *, struct runtime *, struct err *err);

/* The agent has seen one of its GPUs go bad: it is cordoned. */
int instance_gpus_fault(struct pass *, const char *agent, const struct report *, struct err *err);

/* Once a turn: the scheduler gives nobody what is cordoned, or still serves an agent that holds it no longer. True:
 * some agent does, so this is to be looked at again soon. */
bool instance_gpus_settle(struct engine *, struct scheduler *);

#endif
