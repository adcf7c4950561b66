/* spot_seen.h - how often spot instances are interrupted: what the fleet file or the catalogue expects of their types,
 * and what was seen of them here, of all jobs together. */
#ifndef SERVICES_SAGEMAKER_SPOT_SEEN_H
#define SERVICES_SAGEMAKER_SPOT_SEEN_H

#include "services/sagemaker/training.h"

struct fleet;
struct store;

/* An attempt of a spot job has ended. 'interrupted': because its capacity was taken away, by work on demand, by chance,
 * by price or by the cluster, and not because somebody asked for it. Saved with the pass that ends the attempt. */
int spot_seen_attempt(struct store *, const struct training_spec *, int64_t ran_ms, bool interrupted, int64_t now_ms,
                      struct err *err);

/* How long it goes on average until one of the job's instances is interrupted; 0: never, as on demand. */
int spot_interrupted_every_ms(struct store *, const struct fleet *, const struct training_spec *, int64_t now_ms,
                              double *ret_ms, struct err *err);

#endif
