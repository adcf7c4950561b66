/* training_saving.h - what the interruptions of a spot job cost it: without checkpoints its whole work, with them what
 * came after the last one. */
#ifndef SERVICES_SAGEMAKER_TRAINING_SAVING_H
#define SERVICES_SAGEMAKER_TRAINING_SAVING_H

#include "services/sagemaker/instance.h"
#include "services/sagemaker/training.h"

/* The message of a new job: with a warning when it is a spot job without CheckpointConfig. */
int training_start_message(struct call *, const struct training_spec *, const char **ret, struct err *err);

#endif
