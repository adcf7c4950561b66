/* processing.h - the parts of ProcessingJob: processing_job.c is the API's side, processing_run.c the world's,
 * processing_order.c what its agents are told. */
#ifndef SERVICES_SAGEMAKER_PROCESSING_H
#define SERVICES_SAGEMAKER_PROCESSING_H

#include "engine/kind.h"
#include "services/sagemaker/allocation.h"

/* The part of the request that is read. Texts are "" and documents NULL where it has none. */
struct processing_spec {
    const char *name, *image, *role_arn, *instance_type;
    int64_t instance_count, volume_gb, max_runtime_s;
    bool isolated, encrypted;
    const struct doc *environment, *entrypoint, *arguments, *inputs, *outputs, *preferences;
};
struct processing_spec processing_spec_of(const struct doc *input);

int processing_instances(const struct resource *);
struct wish processing_wish(const struct resource *);

#define PROCESSING_LOG_GROUP "/aws/sagemaker/ProcessingJobs"
const char *processing_log_stream(struct arena *, const struct resource *, int instance);

/* The name of the agent of an instance, from 0. */
const char *processing_agent(struct arena *, const struct resource *, int instance);

/* What the agent of an instance is told. ERR_INVALID: it can never run, in words for the user. */
int processing_order(struct pass *, const struct resource *, int instance, struct doc **ret, struct err *err);

bool processing_owns(struct arena *, const struct resource *, const char *agent);
int processing_reconcile(struct pass *, struct resource *, int64_t *ret_next_ms, bool *ret_row_goes, struct err *err);

#endif
