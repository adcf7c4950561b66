/* training_crew.h - what the reports of the instances of the present attempt mean for a training job, beside what
 * crew.h has for all jobs. */
#ifndef SERVICES_SAGEMAKER_TRAINING_CREW_H
#define SERVICES_SAGEMAKER_TRAINING_CREW_H

#include "services/sagemaker/crew.h"
#include "services/sagemaker/training.h"

/* While the first instance waits in the queue of a cluster: Pending, and why. */
void crew_take_waiting(struct arena *, struct resource *, const struct crew *, int64_t now_ms);

/* Into the status. The secondary status goes on when the last instance does, and shows Stopping throughout once the job
 * stops. */
void crew_take_phases(struct arena *, struct resource *, const struct crew *);
void crew_take_metrics(struct arena *, struct resource *, const struct crew *);

/* Into the intervals: what was paid until now, where the price changes. */
int training_take_prices(struct pass *, const struct resource *, const struct crew *, struct err *err);

#endif
