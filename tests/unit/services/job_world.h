/* job_world.h - a world with SageMaker, a fleet and the simulated runtime: the control plane can die and come back, and
 * time goes by until nothing is left to do. Include it last.
 *
 *     jobs_make();  what is special, and w.fleet or jobs_fleet()  jobs_start();  ...  jobs_end() */
#ifndef TESTS_SERVICES_JOB_WORLD_H
#define TESTS_SERVICES_JOB_WORLD_H

#include "run/runtime.h"
#include "services/sagemaker/allocation.h"
#include "services/sagemaker/kinds.h"

#include "world.h"

#define ROLE "arn:aws:iam::111122223333:role/train-it-well"

void jobs_make(void);
void jobs_fleet(const char *file); /* the nodes of that fleet file, on a machine of 8 cores and 32 GiB */
void jobs_start(void); /* the control plane, on what was saved */
void jobs_stop(void);
int jobs_end(void **state); /* for cmocka: of all */

/* Turns of the control plane until nothing is to be done now. */
void settle(void);
void later(int64_t ms);

/* A call of SageMaker's; the text is JSON with single quotes. */
const struct doc *call(const char *operation, const char *text);
void declined(const char *operation, const char *text); /* w.err says why */

/* The agents that are there. */
const char *const *agents(int *ret_count);
const char *agent_with(const char *member, const char *value); /* in its order; NULL: none */
const char *only_agent(void);

/* Its instance fails, and what ran there does not. */
void fail_instance(const char *agent, const char *check, const char *why);

const struct doc *usage(void); /* of all time */

#endif
