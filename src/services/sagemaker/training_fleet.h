/* training_fleet.h - what the fleet does to the instances of a training job's attempt: gives them, and takes those of a
 * spot job away, which goes on when there is capacity again.
 *
 * Taking away is saved in the status before anybody is told: _Taken {Attempt, Words}. */
#ifndef SERVICES_SAGEMAKER_TRAINING_FLEET_H
#define SERVICES_SAGEMAKER_TRAINING_FLEET_H

#include "services/sagemaker/training.h"

/* Of an attempt that runs. *ret_taken: its instances are taken away as of this pass, which is to be saved before
 * anything else is done. */
int training_ask_fleet(struct pass *, struct resource *, bool *ret_taken, struct err *err);

/* When a job that has never had instances gives up waiting for them; INT64_MAX: never. */
int64_t training_pends_until_ms(const struct fleet *, const struct resource *);

/* Why the instances of the present attempt are taken away, as it was saved; NULL: they are not. */
const char *training_taken(const struct resource *);

const char *training_interrupted_message(struct arena *, const struct resource *, const char *why);

#endif
