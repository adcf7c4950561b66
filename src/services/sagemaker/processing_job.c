/* processing_job.c - ProcessingJob, the API's side: what may be asked and what is answered. What then happens is in
 * processing_run.c. */
#include <inttypes.h>
#include <string.h>

#include "engine/engine.h"
#include "services/sagemaker/condition_keys.h"
#include "services/sagemaker/crew_life.h"
#include "services/sagemaker/instance.h"
#include "services/sagemaker/job.h"
#include "services/sagemaker/kinds.h"
#include "services/sagemaker/local_path.h"
#include "services/sagemaker/processing.h"
#include "services/sagemaker/vpc.h"

#define invalid(err, ...) fail_code(err, ERR_INVALID, "ValidationException", __VA_ARGS__)

enum { DEFAULT_RUNTIME_S = 86400 }; /* StoppingCondition's default in the API reference */

static const struct doc_field spec_fields[] = {
    DOC_TEXT(struct processing_spec, name, "ProcessingJobName"),
    DOC_TEXT(struct processing_spec, image, "AppSpecification.ImageUri"),
    DOC_DOC(struct processing_spec, entrypoint, "AppSpecification.ContainerEntrypoint"),
    DOC_DOC(struct processing_spec, arguments, "AppSpecification.ContainerArguments"),
    DOC_TEXT(struct processing_spec, role_arn, "RoleArn"),
    DOC_TEXT(struct processing_spec, instance_type, "ProcessingResources.ClusterConfig.InstanceType"),
    DOC_INT(struct processing_spec, instance_count, "ProcessingResources.ClusterConfig.InstanceCount"),
    DOC_INT(struct processing_spec, volume_gb, "ProcessingResources.ClusterConfig.VolumeSizeInGB"),
    DOC_DOC(struct processing_spec, preferences, "ProcessingResources.ClusterConfig.InstancePreferences"),
    DOC_INT(struct processing_spec, max_runtime_s, "StoppingCondition.MaxRuntimeInSeconds"),
    DOC_BOOL(struct processing_spec, isolated, "NetworkConfig.EnableNetworkIsolation"),
    DOC_BOOL(struct processing_spec, encrypted, "NetworkConfig.EnableInterContainerTrafficEncryption"),
    DOC_DOC(struct processing_spec, environment, "Environment"),
    DOC_DOC(struct processing_spec, inputs, "ProcessingInputs"),
    DOC_DOC(struct processing_spec, outputs, "ProcessingOutputConfig.Outputs"),
    {},
};

struct processing_spec processing_spec_of(const struct doc *input)
{
    struct processing_spec s = { .max_runtime_s = DEFAULT_RUNTIME_S };

    doc_read(input, spec_fields, &s);
    return s;
}

/* --- Create --- */

/* An input or an output, as the errors name it. */
struct place {
    const char *noun, *member; /* "Input", "S3Input" */
    const char *name_member;
    const struct doc *all;
};

/* The name is its own, it is somewhere in S3, and it has a folder of its own. */
static int check_place(const struct place *p, size_t i, struct err *err)
{
    const struct doc *d = p->all->items[i], *s3 = doc_get(d, p->member);
    const char *name = doc_text(d, p->name_member), *path = doc_text(s3, "LocalPath");

    for (size_t j = 0; j < i; j++) {
        const struct doc *other = p->all->items[j];

        if (doc_is(other, p->name_member, name))
            return invalid(err, "%s names must be unique, and %s is there twice.", p->noun, name);
        if (*path && !doc_bool(other, "AppManaged", false) && doc_is(doc_get(other, p->member), "LocalPath", path))
            return invalid(err, "%s %s: LocalPath %s is that of %s, too.", p->noun, name, path,
                           doc_text(other, p->name_member));
    }
    if (doc_bool(d, "AppManaged", false))
        return 0;
    if (!s3)
        return invalid(err, "%s %s: %s is required.", p->noun, name, p->member);
    if (!text_starts(doc_text(s3, "S3Uri"), "s3://"))
        return invalid(err, "%s %s: S3Uri must be an S3 URI: %s", p->noun, name, doc_text(s3, "S3Uri"));
    return local_path_check_processing(p->noun, name, path, err);
}

static int check_inputs(const struct processing_spec *s, struct err *err)
{
    const struct place place = { "Input", "S3Input", "InputName", s->inputs };

    for (size_t i = 0; i < doc_count(s->inputs, ""); i++) {
        const struct doc *d = s->inputs->items[i];

        if (doc_has(d, "DatasetDefinition"))
            return invalid(err,
                           "Input %s: DatasetDefinition is not here yet: there is neither Athena nor Redshift. Write "
                           "the data to S3 and use S3Input.", doc_text(d, "InputName"));
        if (doc_is(d, "S3Input.S3InputMode", "Pipe"))
            return invalid(err,
                           "Input %s: S3InputMode Pipe is not here: AWS says nowhere what the pipe of a processing "
                           "input is called, and a script would wait for another one. Use File.",
                           doc_text(d, "InputName"));
        if (doc_is(d, "S3Input.S3CompressionType", "Gzip"))
            return invalid(err, "Input %s: Gzip can only be used as a compression type if the input mode is Pipe.",
                           doc_text(d, "InputName"));
        if (check_place(&place, i, err) < 0)
            return -1;
    }
    return 0;
}

static int check_outputs(const struct processing_spec *s, struct err *err)
{
    const struct place place = { "Output", "S3Output", "OutputName", s->outputs };

    for (size_t i = 0; i < doc_count(s->outputs, ""); i++) {
        const struct doc *d = s->outputs->items[i];

        if (doc_has(d, "FeatureStoreOutput"))
            return invalid(err,
                           "Output %s: FeatureStoreOutput is not here yet: there is no feature store. Use S3Output.",
                           doc_text(d, "OutputName"));
        if (check_place(&place, i, err) < 0)
            return -1;
    }
    return 0;
}

static const char *const refused[] = {
    "ProcessingResources.ClusterConfig.VolumeKmsKeyId", "ProcessingOutputConfig.KmsKeyId", NULL,
};

static int check(struct call *c, const struct processing_spec *s, struct err *err)
{
    if (!*s->image)
        return invalid(err, "AppSpecification must have an ImageUri.");
    if (instance_refuse_unsafe(c->input, refused, err) < 0 || vpc_check(c, "NetworkConfig.VpcConfig", err) < 0)
        return -1;
    if (doc_count(s->preferences, ""))
        return invalid(err, "InstancePreferences are not here yet; give InstanceType and InstanceCount.");
    if (!*s->instance_type || s->instance_count < 1)
        return invalid(err, "ClusterConfig must have InstanceType and InstanceCount.");
    if (hang_check(s->environment, err) < 0 || check_inputs(s, err) < 0)
        return -1;
    return check_outputs(s, err);
}

static int create(struct call *c, struct resource *r, struct err *err)
{
    struct processing_spec s = processing_spec_of(c->input);
    const struct wish wish = processing_wish(r);

    if (check(c, &s, err) < 0 || instance_check_role(c, s.role_arn, err) < 0 ||
        allocation_admit(c, r, &wish, err) < 0)
        return -1;
    r->row.next_at_ms = c->now_ms;
    return 0;
}

static int describe(struct call *c, const struct resource *r, struct err *err)
{
    (void)err;
    job_tell_stopping(c, r, processing_spec_of(r->row.spec).max_runtime_s);
    return 0;
}

static int stop(struct call *c, struct resource *r, struct err *err)
{
    bool ignored;

    return job_stop(c, r, "processing job", &ignored, err);
}

const struct kind processing_job = {
    .name = "ProcessingJob",
    .service = "sagemaker",
    .arn_type = "processing-job",
    .name_member = "ProcessingJobName",
    .arn_member = "ProcessingJobArn",
    .state_member = "ProcessingJobStatus",
    .states = job_states,
    .exists_text = "Processing job names must be unique within an AWS account and region, and a processing job with "
                   "this name already exists (%s)",
    .conditions = condition_keys,
    .create = create,
    .stop = stop,
    .remove = job_remove,
    .describe = describe,
    .reconcile = processing_reconcile,
    .owns = processing_owns,
};
