/* training.h - the parts of TrainingJob: training_job.c is the API's side, training_run.c the world's, training_fate.c
 * what the end of an attempt means, training_order.c what its agents are told, training_channel.c its channels,
 * training_groups.c its instance groups, training_price.c what they cost. */
#ifndef SERVICES_SAGEMAKER_TRAINING_H
#define SERVICES_SAGEMAKER_TRAINING_H

#include "engine/kind.h"
#include "services/sagemaker/allocation.h"

struct platform;

/* The part of the request that is read. Texts are "" and documents NULL where it has none. */
struct training_spec {
    const char *name, *image, *algorithm, *role_arn, *instance_type, *output_uri, *compression;
    const char *checkpoint_uri, *checkpoint_path, *tensorboard_uri, *tensorboard_path, *input_mode;
    int64_t instance_count, volume_gb, max_runtime_s, max_wait_s, max_pending_s, retries;
    bool isolated, encrypted, spot, infra_check;
    const struct doc *environment, *hyper_parameters, *channels, *metrics, *entrypoint, *arguments, *groups;
};

/* With InstanceGroups the count is that of all of them, and the type is that of algo-1 (training_groups.h). */
struct training_spec training_spec_of(const struct doc *input);

/* <S3OutputPath>/<job>: what the platform writes goes below it. */
const char *training_prefix(struct arena *, const struct training_spec *);
const char *training_tensorboard_prefix(struct arena *, const struct training_spec *);

/* The newest transition; closes the one before. A transition always has a message: clients read it without looking. */
void training_enter(struct arena *, struct doc *status, const char *secondary, const char *message, int64_t at_ms);
/* One that nobody asked to stop goes the way of those who were; one that does already is left alone. */
void training_begin_to_stop(struct arena *, struct resource *, int64_t at_ms);

int training_instances(const struct resource *);
struct wish training_wish(const struct resource *); /* of its present attempt */

/* Which attempt the job is at: one ends when its instance is taken back or lost, and the next one begins. */
int training_attempt(const struct resource *);

/* The name of the agent of an instance, from 0, in an attempt. */
const char *training_agent(struct arena *, const struct resource *, int instance, int attempt);
const char *training_present_agent(struct arena *, const struct resource *, int instance); /* in the present one */

/* Where an instance of an attempt that began then writes its log. */
#define TRAINING_LOG_GROUP "/aws/sagemaker/TrainingJobs"
const char *training_log_stream(struct arena *, const struct resource *, int instance, int64_t since_ms);

/* What the agent of an instance of the present attempt is told. 'since_ms' is when the attempt began, 'left_s' what is
 * left of MaxRuntimeInSeconds. */
int training_order(struct pass *, const struct resource *, int instance, int64_t since_ms, int64_t left_s,
                   struct doc **ret, struct err *err);

/* What is known of an interval of one of its instances, to price it. */
struct doc *training_usage(struct arena *, const struct platform *, const struct resource *, int instance);

/* What the job pays, as a part of the price on demand: of all attempts together, by their lengths, where the price
 * changes while they run, which is noted when one ends that is paid. */
double training_price_share(const struct platform *, const struct resource *);
void training_note_price(struct arena *, const struct platform *, struct resource *, int64_t from_ms, int64_t to_ms);

/* InputDataConfig, and what the agent is told of it. */
int training_check_channels(struct call *, const struct training_spec *, struct err *err);
struct doc *training_channels(struct arena *, const struct platform *, const struct training_spec *, int instance);

bool training_owns(struct arena *, const struct resource *, const char *agent);
int training_reconcile(struct pass *, struct resource *, int64_t *ret_next_ms, bool *ret_row_goes, struct err *err);

#endif
