/* training_job.c - TrainingJob, the API's side: what may be asked and what is answered. What then happens is in
 * training_run.c. */
#include <inttypes.h>
#include <string.h>

#include "aws/algorithm.h"
#include "aws/pattern.h"
#include "engine/engine.h"
#include "services/sagemaker/condition_keys.h"
#include "services/sagemaker/crew_life.h"
#include "services/sagemaker/instance.h"
#include "services/sagemaker/job.h"
#include "services/sagemaker/kinds.h"
#include "services/sagemaker/local_path.h"
#include "services/sagemaker/training_groups.h"
#include "services/sagemaker/training_saving.h"
#include "services/sagemaker/vpc.h"
#include "services/sagemaker/warm_pool.h"

enum { DEFAULT_RUNTIME_S = 86400, RUNTIME_MOST_S = 28 * 86400 }; /* StoppingCondition's in the API reference */

static const struct doc_field spec_fields[] = {
    DOC_TEXT(struct training_spec, name, "TrainingJobName"),
    DOC_TEXT(struct training_spec, image, "AlgorithmSpecification.TrainingImage"),
    DOC_TEXT(struct training_spec, algorithm, "AlgorithmSpecification.AlgorithmName"),
    DOC_TEXT(struct training_spec, input_mode, "AlgorithmSpecification.TrainingInputMode"),
    DOC_DOC(struct training_spec, metrics, "AlgorithmSpecification.MetricDefinitions"),
    DOC_DOC(struct training_spec, entrypoint, "AlgorithmSpecification.ContainerEntrypoint"),
    DOC_DOC(struct training_spec, arguments, "AlgorithmSpecification.ContainerArguments"),
    DOC_TEXT(struct training_spec, role_arn, "RoleArn"),
    DOC_TEXT(struct training_spec, instance_type, "ResourceConfig.InstanceType"),
    DOC_INT(struct training_spec, instance_count, "ResourceConfig.InstanceCount"),
    DOC_INT(struct training_spec, volume_gb, "ResourceConfig.VolumeSizeInGB"),
    DOC_DOC(struct training_spec, groups, "ResourceConfig.InstanceGroups"),
    DOC_TEXT(struct training_spec, output_uri, "OutputDataConfig.S3OutputPath"),
    DOC_TEXT(struct training_spec, compression, "OutputDataConfig.CompressionType"),
    DOC_TEXT(struct training_spec, checkpoint_uri, "CheckpointConfig.S3Uri"),
    DOC_TEXT(struct training_spec, checkpoint_path, "CheckpointConfig.LocalPath"),
    DOC_TEXT(struct training_spec, tensorboard_uri, "TensorBoardOutputConfig.S3OutputPath"),
    DOC_TEXT(struct training_spec, tensorboard_path, "TensorBoardOutputConfig.LocalPath"),
    DOC_INT(struct training_spec, max_runtime_s, "StoppingCondition.MaxRuntimeInSeconds"),
    DOC_INT(struct training_spec, max_wait_s, "StoppingCondition.MaxWaitTimeInSeconds"),
    DOC_INT(struct training_spec, max_pending_s, "StoppingCondition.MaxPendingTimeInSeconds"),
    DOC_INT(struct training_spec, retries, "RetryStrategy.MaximumRetryAttempts"),
    DOC_BOOL(struct training_spec, isolated, "EnableNetworkIsolation"),
    DOC_BOOL(struct training_spec, encrypted, "EnableInterContainerTrafficEncryption"),
    DOC_BOOL(struct training_spec, spot, "EnableManagedSpotTraining"),
    DOC_BOOL(struct training_spec, infra_check, "InfraCheckConfig.EnableInfraCheck"),
    DOC_DOC(struct training_spec, environment, "Environment"),
    DOC_DOC(struct training_spec, hyper_parameters, "HyperParameters"),
    DOC_DOC(struct training_spec, channels, "InputDataConfig"),
    {},
};

struct training_spec training_spec_of(const struct doc *input)
{
    struct training_spec s = { .max_runtime_s = DEFAULT_RUNTIME_S };

    doc_read(input, spec_fields, &s);
    if (doc_count(s.groups, "")) {
        s.instance_type = training_group(&s, 0).type;
        s.instance_count = 0;
        for (int i = 0; i < training_group_count(&s); i++)
            s.instance_count += training_group(&s, i).count;
    }
    return s;
}

/* --- Create --- */

static int check_metrics(const struct training_spec *s, struct err *err)
{
    for (size_t i = 0; i < doc_count(s->metrics, ""); i++) {
        const struct doc *m = s->metrics->items[i];
        struct pattern *p;
        struct err why;

        if (pattern_new(doc_text(m, "Regex"), &p, &why) < 0)
            return fail_code(err, ERR_INVALID, "ValidationException", "The metric definition %s is not valid: %s",
                             doc_text(m, "Name"), why.text);
        pattern_free(p);
    }
    return 0;
}

static const char *const refused[] = {
    "ResourceConfig.VolumeKmsKeyId", "OutputDataConfig.KmsKeyId", "DebugRuleConfigurations",
    "ResourceConfig.TrainingPlanArn", "ResourceConfig.InstancePreferences", "ServerlessJobConfig", NULL,
};

static int check_stopping(const struct training_spec *s, struct err *err)
{
    if (s->max_runtime_s > RUNTIME_MOST_S)
        return fail_code(err, ERR_INVALID, "ValidationException",
                         "Invalid MaxRuntimeInSeconds. It must be at most %d seconds (28 days).", RUNTIME_MOST_S);
    if (s->max_wait_s && !s->spot)
        return fail_code(err, ERR_INVALID, "ValidationException",
                         "Invalid MaxWaitTimeInSeconds. It is only supported when EnableManagedSpotTraining is set to "
                         "true");
    if (s->spot && s->max_wait_s < s->max_runtime_s)
        return fail_code(err, ERR_INVALID, "ValidationException",
                         "Invalid MaxWaitTimeInSeconds. It must be present and be greater than or equal to "
                         "MaxRuntimeInSeconds");
    return 0;
}

/* The API's pattern lets https:// pass, too. */
static int check_uri(const char *member, const char *uri, struct err *err)
{
    return text_starts(uri, "s3://") ? 0 : fail_code(err, ERR_INVALID, "ValidationException",
                                                     "%s must be an S3 URI: %s", member, uri);
}

/* In script mode the image is only where the script runs. */
static bool has_script(const struct training_spec *s)
{
    return *doc_value_text(doc_get(s->hyper_parameters, "sagemaker_program")) ||
           *doc_value_text(doc_get(s->hyper_parameters, "sagemaker_submit_directory")) ||
           *doc_value_text(doc_get(s->environment, "SAGEMAKER_PROGRAM")) ||
           *doc_value_text(doc_get(s->environment, "SAGEMAKER_SUBMIT_DIRECTORY"));
}

static int check(struct call *c, const struct training_spec *s, struct err *err)
{
    if (*s->algorithm)
        return fail_code(err, ERR_INVALID, "ValidationException",
                         "Algorithm %s: AlgorithmName is not here yet; give a TrainingImage.", s->algorithm);
    if (!*s->image)
        return fail_code(err, ERR_INVALID, "ValidationException",
                         "Either TrainingImage or AlgorithmName must be specified in AlgorithmSpecification.");
    if (instance_refuse_unsafe(c->input, refused, err) < 0 || vpc_check(c, "VpcConfig", err) < 0)
        return -1;
    if (training_check_groups(c->input, s, err) < 0)
        return -1;
    if (s->instance_count > 1 && algorithm_of(s->image) == &algorithm_xgboost && !has_script(s))
        return fail_code(err, ERR_INVALID, "ValidationException",
                         "The built-in XGBoost trains on one instance here. Set InstanceCount to 1: a larger instance "
                         "type gives more cores.");
    if (check_stopping(s, err) < 0)
        return -1;
    if (check_uri("OutputDataConfig.S3OutputPath", s->output_uri, err) < 0 ||
        (*s->checkpoint_uri && check_uri("CheckpointConfig.S3Uri", s->checkpoint_uri, err) < 0) ||
        (*s->tensorboard_uri &&
         check_uri("TensorBoardOutputConfig.S3OutputPath", s->tensorboard_uri, err) < 0))
        return -1;
    if (warm_pool_check(c->input, s, err) < 0 || hang_check(s->environment, err) < 0 ||
        check_metrics(s, err) < 0 ||
        local_path_check_checkpoints(s->checkpoint_path, err) < 0 ||
        local_path_check_tensorboard(s->tensorboard_path, err) < 0)
        return -1;
    return training_check_channels(c, s, err);
}

static const char *below(struct arena *a, const char *uri, const char *name)
{
    return arena_printf(a, "%s%s%s", uri, text_ends(uri, "/") ? "" : "/", name);
}

const char *training_prefix(struct arena *a, const struct training_spec *s)
{
    return below(a, s->output_uri, s->name);
}

const char *training_tensorboard_prefix(struct arena *a, const struct training_spec *s)
{
    return arena_printf(a, "%s/tensorboard-output", below(a, s->tensorboard_uri, s->name));
}

void training_enter(struct arena *a, struct doc *status, const char *secondary, const char *message, int64_t at_ms)
{
    struct doc *all = doc_member(a, status, "SecondaryStatusTransitions", DOC_LIST), *t = doc_map(a);

    if (all->count && !doc_has(all->items[all->count - 1], "EndTime"))
        doc_set_integer(a, all->items[all->count - 1], "EndTime", at_ms);
    doc_set_string(a, t, "Status", secondary);
    doc_set_integer(a, t, "StartTime", at_ms);
    doc_set_string(a, t, "StatusMessage", message);
    doc_append(a, all, t);
    doc_set_string(a, status, "SecondaryStatus", secondary);
}

static void enter_stopping(struct arena *a, struct resource *r, int64_t at_ms)
{
    training_enter(a, r->status, "Stopping", "Stopping the training job", at_ms);
}

void training_begin_to_stop(struct arena *a, struct resource *r, int64_t at_ms)
{
    if (strcmp(get_state(r), "InProgress") != 0)
        return;
    set_state(r, "Stopping");
    enter_stopping(a, r, at_ms);
}

static int create(struct call *c, struct resource *r, struct err *err)
{
    struct training_spec s = training_spec_of(c->input);
    const struct wish wish = training_wish(r);
    const char *starting;
    struct doc *artifacts;
    bool warm;

    if (check(c, &s, err) < 0 || training_start_message(c, &s, &starting, err) < 0 ||
        instance_check_role(c, s.role_arn, err) < 0 || warm_pool_awaits(c, r, &warm, err) < 0)
        return -1;
    /* Who takes a pool does not stand in the line: spot work would have to go for it. */
    if ((warm ? allocation_check(c, r, &wish, 1, err) : allocation_admit(c, r, &wish, err)) < 0)
        return -1;
    artifacts = doc_member(c->arena, r->status, "ModelArtifacts", DOC_MAP);
    doc_set_string(c->arena, artifacts, "S3ModelArtifacts",
                   arena_printf(c->arena, "%s/output/model%s", training_prefix(c->arena, &s),
                                strcmp(s.compression, "NONE") == 0 ? "/" : ".tar.gz"));
    training_enter(c->arena, r->status, "Starting",
                   arena_printf(c->arena, "%s%s", starting,
                                warm_pool_warning(c, r)), c->now_ms);
    r->row.next_at_ms = c->now_ms;
    return 0;
}

/* Why a job waits changes while its row does not: its last transition says it as of now. */
static void show_waiting(struct call *c, const struct resource *r)
{
    const char *words = allocation_waits(c->arena, c->engine, r->row.uid);
    const struct doc *kept = doc_get(r->status, "SecondaryStatusTransitions");
    struct doc *all, *last;

    if (!*words || !doc_count(kept, ""))
        return;
    c->varies = true;
    all = doc_copy(c->arena, kept);
    last = all->items[all->count - 1];
    if (!doc_is(last, "Status", "Pending") && doc_has(last, "StatusMessage"))
        words = arena_printf(c->arena, "%s. %s", doc_text(last, "StatusMessage"), words);
    doc_set_string(c->arena, last, "StatusMessage", words);
    doc_set(c->arena, c->output, "SecondaryStatusTransitions", all);
}

/* A job of one of AWS's own algorithms has its metrics without having been told. */
static int describe(struct call *c, const struct resource *r, struct err *err)
{
    static const char *const switches[] = { "EnableNetworkIsolation", "EnableInterContainerTrafficEncryption",
                                            "EnableManagedSpotTraining" };
    struct training_spec s = training_spec_of(r->row.spec);
    struct doc *algorithm, *output = doc_copy(c->arena, doc_get(r->row.spec, "OutputDataConfig"));

    /* AWS tells these of every job, and clients take them without looking: Estimator.attach() the key. */
    for (size_t i = 0; i < sizeof switches / sizeof *switches; i++)
        if (!doc_has(r->row.spec, switches[i]))
            doc_set_boolean(c->arena, c->output, switches[i], false);
    doc_set_string(c->arena, c->output, "ProfilingStatus", "Disabled"); /* ProfilerConfig has no effect */
    if (!doc_has(output, "KmsKeyId"))
        doc_set_string(c->arena, output, "KmsKeyId", "");
    if (!doc_has(output, "CompressionType"))
        doc_set_string(c->arena, output, "CompressionType", "GZIP");
    doc_set(c->arena, c->output, "OutputDataConfig", output);
    job_tell_stopping(c, r, s.max_runtime_s);
    warm_pool_describe(c, r);
    show_waiting(c, r);
    if (!algorithm_of(s.image))
        return 0;
    algorithm = doc_copy(c->arena, doc_get(r->row.spec, "AlgorithmSpecification"));
    /* It is only printed from here on. */
    doc_set(c->arena, algorithm, "MetricDefinitions", (struct doc *)algorithm_metrics(c->arena, s.image, s.metrics));
    doc_set(c->arena, c->output, "AlgorithmSpecification", algorithm);
    return 0;
}

static bool listed(struct call *c, const struct resource *r)
{
    return (!doc_has(c->input, "TrainingPlanArnEquals") ||
            doc_is(r->row.spec, "ResourceConfig.TrainingPlanArn", doc_text(c->input, "TrainingPlanArnEquals"))) &&
           warm_pool_listed(c, r);
}

static int stop(struct call *c, struct resource *r, struct err *err)
{
    bool news;

    if (job_stop(c, r, "training job", &news, err) < 0)
        return -1;
    if (news)
        enter_stopping(c->arena, r, c->now_ms);
    return 0;
}

static int remove_job(struct call *c, struct resource *r, bool *ret_row_goes, struct err *err)
{
    if (warm_pool_is_kept(r))
        return fail_code(err, ERR_CONFLICT, "ResourceInUse",
                         "Training job %s retains an Available warm pool; update its KeepAlivePeriodInSeconds to 0 "
                         "first.", r->row.arn);
    if (job_remove(c, r, ret_row_goes, err) < 0)
        return -1;
    *ret_row_goes = *ret_row_goes && warm_pool_is_swept(r);
    return 0;
}

const struct kind training_job = {
    .name = "TrainingJob",
    .service = "sagemaker",
    .arn_type = "training-job",
    .name_member = "TrainingJobName",
    .arn_member = "TrainingJobArn",
    .state_member = "TrainingJobStatus",
    .states = job_states,
    .exists_text = "Training job names must be unique within an AWS account and region, and a training job with this "
                   "name already exists (%s)",
    .conditions = condition_keys,
    .create = create,
    .stop = stop,
    .update = warm_pool_update,
    .remove = remove_job,
    .describe = describe,
    .listed = listed,
    .reconcile = training_reconcile,
    .owns = training_owns,
};
