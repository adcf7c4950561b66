/* outputs.h - what a processing job leaves in S3, and a training job beside its results: some outputs are kept in step
 * while it runs, the others go when it has ended. */
#ifndef AGENT_OUTPUTS_H
#define AGENT_OUTPUTS_H

#include "agent/transfer.h"

struct outputs;

/* The transfer's strings are borrowed. Any agent may go on where another one was killed. */
int outputs_new(const struct transfer *, struct outputs **ret, struct err *err);
void outputs_free(struct outputs *); /* stops where it is; NULL is fine */

void outputs_run(struct outputs *);   /* the job runs */
void outputs_hurry(struct outputs *); /* it is about to end */

/* The job has ended: puts what S3 does not have yet, and waits for it. cancel_fd ends it with ERR_CONFLICT. */
int outputs_finish(struct outputs *, int cancel_fd, struct err *err);

#endif
