/* condition_keys.h - what a request to SageMaker says to the conditions of policies. */
#ifndef SERVICES_SAGEMAKER_CONDITION_KEYS_H
#define SERVICES_SAGEMAKER_CONDITION_KEYS_H

#include "engine/call.h"

/* Into the context of the request; a kind's conditions(). */
void condition_keys(struct call *, struct doc *context);

#endif
