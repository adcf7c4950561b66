/* job.h - what training and processing jobs are to the API alike: their states, Stop and Delete. */
#ifndef SERVICES_SAGEMAKER_JOB_H
#define SERVICES_SAGEMAKER_JOB_H

#include "engine/kind.h"

extern const char *const job_states[][2]; /* kind.states */

/* Into a Describe: the StoppingCondition that holds, also where the request left it to its default. */
void job_tell_stopping(struct call *, const struct resource *, int64_t max_runtime_s);

/* It is to end; *ret_news false: it was told before. 'noun' is for the refusal of one that has ended. */
int job_stop(struct call *, struct resource *, const char *noun, bool *ret_news, struct err *err);

/* kind.remove of one that has ended. The row goes at once when its agents have left nothing. */
int job_remove(struct call *, struct resource *, bool *ret_row_goes, struct err *err);

#endif
