/* processing_order.c - what the agents of a processing job are told. */
#include <inttypes.h>
#include <string.h>

#include "engine/engine.h"
#include "run/image.h"
#include "services/sagemaker/crew_life.h"
#include "services/sagemaker/processing.h"

struct word {
    const char *order, *api; /* what both call it; the API's below S3Input or S3Output */
};

/* What is not the platform's to carry is left out. */
static struct doc *places_of(struct arena *a, const struct doc *all, const char *name_member, const char *member,
                             const struct word *words)
{
    struct doc *list = doc_list(a);

    for (size_t i = 0; i < doc_count(all, ""); i++) {
        const struct doc *s3 = doc_get(all->items[i], member);
        struct doc *d = doc_map(a);

        if (!s3 || doc_bool(all->items[i], "AppManaged", false))
            continue;
        doc_set_string(a, d, "name", doc_text(all->items[i], name_member));
        for (const struct word *w = words; w->order; w++)
            if (doc_has(s3, w->api))
                doc_set_string(a, d, w->order, doc_text(s3, w->api));
        doc_append(a, list, d);
    }
    return list;
}

static struct doc *channels_of(struct arena *a, const struct processing_spec *s)
{
    static const struct word words[] = {
        { "s3_uri", "S3Uri" }, { "s3_data_type", "S3DataType" }, { "distribution", "S3DataDistributionType" },
        { "input_mode", "S3InputMode" }, { "local_path", "LocalPath" }, {},
    };

    return places_of(a, s->inputs, "InputName", "S3Input", words);
}

static struct doc *outputs_of(struct arena *a, const struct processing_spec *s)
{
    static const struct word words[] = {
        { "s3_uri", "S3Uri" }, { "local_path", "LocalPath" }, { "upload_mode", "S3UploadMode" }, {},
    };

    return places_of(a, s->outputs, "OutputName", "S3Output", words);
}

/* --- /opt/ml/config/processingjobconfig.json --- */

static void need(struct arena *a, struct doc *d, const char *name, struct doc *usual)
{
    if (!doc_get(d, name))
        doc_set(a, d, name, usual);
}

/* Containers of AWS's read members without looking whether they are there: what was not asked for has its usual value,
 * or is null. */
static struct doc *config_of(struct arena *a, const struct resource *r, const struct processing_spec *s)
{
    static const char *const members[] = { "ProcessingJobName", "AppSpecification", "Environment", "ProcessingInputs",
                                           "ProcessingOutputConfig", "ProcessingResources", "NetworkConfig",
                                           "RoleArn" };
    struct doc *d = doc_map(a), *inputs;

    doc_set_string(a, d, "ProcessingJobArn", r->row.arn);
    for (size_t i = 0; i < sizeof members / sizeof *members; i++)
        if (doc_has(r->row.spec, members[i]))
            doc_set(a, d, members[i], doc_copy(a, doc_get(r->row.spec, members[i])));
    need(a, doc_member(a, d, "AppSpecification", DOC_MAP), "ContainerEntrypoint", doc_null(a));
    need(a, doc_member(a, d, "AppSpecification", DOC_MAP), "ContainerArguments", doc_null(a));
    need(a, d, "Environment", doc_map(a));
    inputs = doc_member(a, d, "ProcessingInputs", DOC_LIST);
    for (uint32_t i = 0; i < inputs->count; i++) {
        struct doc *s3 = doc_has(inputs->items[i], "S3Input") ? doc_member(a, inputs->items[i], "S3Input", DOC_MAP)
                                                              : NULL;

        if (!s3)
            continue;
        need(a, s3, "S3DataDistributionType", doc_string(a, "FullyReplicated"));
        need(a, s3, "S3InputMode", doc_string(a, "File"));
        need(a, s3, "S3CompressionType", doc_string(a, "None"));
        doc_set_string(a, s3, "S3DownloadMode", "StartOfJob");
    }
    doc_member(a, doc_member(a, d, "ProcessingOutputConfig", DOC_MAP), "Outputs", DOC_LIST);
    need(a, doc_member(a, d, "ProcessingOutputConfig", DOC_MAP), "KmsKeyId", doc_null(a));
    need(a, doc_member(a, doc_member(a, d, "ProcessingResources", DOC_MAP), "ClusterConfig", DOC_MAP),
         "VolumeKmsKeyId", doc_null(a));
    doc_set_integer(a, doc_member(a, d, "StoppingCondition", DOC_MAP), "MaxRuntimeInSeconds", s->max_runtime_s);
    return d;
}

/* --- The order --- */

/* What stands in for an image of AWS's is a program that trains or serves: of itself it processes nothing. */
static int check_command(struct arena *a, const struct processing_spec *s, struct err *err)
{
    struct image image;

    if (doc_count(s->entrypoint, "") || !image_is_hosted(a, s->image, false, &image))
        return 0;
    return fail(err, ERR_INVALID,
                "The image %s has no entry point for processing on this server. Say in AppSpecification's "
                "ContainerEntrypoint what is to run: [\"python3\", \"/opt/ml/processing/input/code/script.py\"].",
                image.title);
}

const char *processing_log_stream(struct arena *a, const struct resource *r, int instance)
{
    return arena_printf(a, "%s/%s-%" PRId64, r->row.name, crew_host(a, instance), r->row.created_ms / 1000);
}

int processing_order(struct pass *p, const struct resource *r, int instance, struct doc **ret, struct err *err)
{
    struct arena *a = p->arena;
    struct processing_spec s = processing_spec_of(r->row.spec);
    struct instance common = {
        .owner = &r->row,
        .name = processing_agent(a, r, instance),
        .work = "process",
        .image = s.image,
        .instance_type = s.instance_type,
        .role_arn = s.role_arn,
        .log_group = PROCESSING_LOG_GROUP,
        .log_stream = processing_log_stream(a, r, instance),
        .environment = s.environment,
        .entrypoint = s.entrypoint,
        .arguments = s.arguments,
        .isolated = s.isolated,
        .volume_gb = s.volume_gb,
        .allocation = r->row.uid,
        .number = instance,
    };
    struct doc *order;

    if (check_command(a, &s, err) < 0 || instance_order(a, p->engine, &common, p->now_ms, &order, err) < 0)
        return -1;
    crew_tell_hosts(a, r, &(struct crew_of){ processing_instances(r), processing_agent }, instance, order);
    crew_tell_tunnel(p, r, 0, s.encrypted, order);
    doc_set_string(a, order, "job_name", r->row.name);
    doc_set_string(a, order, "job_arn", r->row.arn);
    doc_set_integer(a, order, "max_runtime_s", s.max_runtime_s);
    order_set_patience(a, order, engine_context(p->engine), s.environment);
    doc_set(a, order, "channels", channels_of(a, &s));
    doc_set(a, order, "outputs", outputs_of(a, &s));
    doc_set(a, order, "job_config", config_of(a, r, &s));
    *ret = order;
    return 0;
}
