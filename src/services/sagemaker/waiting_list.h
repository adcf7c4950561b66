/* waiting_list.h - who waits for instances, and why: for people. */
#ifndef SERVICES_SAGEMAKER_WAITING_LIST_H
#define SERVICES_SAGEMAKER_WAITING_LIST_H

#include "engine/engine.h"

/* [{kind, name, region, account, why, expected_start_ms}], those that are there for longest first, at most so many. An
 * endpoint is there once for each of its instances that waits. */
int waiting_list(struct arena *, struct engine *, int most, struct doc **ret, struct err *err);

#endif
