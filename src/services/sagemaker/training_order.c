/* training_order.c - what the agent of a training job is told. */
#include <inttypes.h>
#include <string.h>

#include "aws/algorithm.h"
#include "engine/engine.h"
#include "services/sagemaker/crew_life.h"
#include "services/sagemaker/spot_seen.h"
#include "services/sagemaker/training_groups.h"
#include "services/sagemaker/warm_pool.h"

static struct doc *metrics_of(struct arena *a, const struct training_spec *s)
{
    const struct doc *all = algorithm_metrics(a, s->image, s->metrics);
    struct doc *list = doc_list(a);

    for (size_t i = 0; i < doc_count(all, ""); i++) {
        struct doc *m = doc_map(a);

        doc_set_string(a, m, "name", doc_text(all->items[i], "Name"));
        doc_set_string(a, m, "regex", doc_text(all->items[i], "Regex"));
        doc_append(a, list, m);
    }
    return list;
}

static struct doc *outputs_of(struct arena *a, const struct training_spec *s)
{
    struct doc *outputs = doc_list(a), *d = doc_map(a);

    doc_set_string(a, d, "name", "tensorboard");
    doc_set_string(a, d, "s3_uri", training_tensorboard_prefix(a, s));
    doc_set_string(a, d, "local_path", *s->tensorboard_path ? s->tensorboard_path : "/opt/ml/output/tensorboard");
    doc_set_string(a, d, "upload_mode", "Continuous");
    doc_append(a, outputs, d);
    return outputs;
}

/* /opt/ml/input/config/trainingjobconfig.json, which the guide does not name but containers have been seen to find: the
 * request, in the words of Describe. */
static struct doc *config_of(struct arena *a, const struct resource *r, const struct training_spec *s)
{
    struct doc *d = doc_copy(a, r->row.spec);

    doc_set_string(a, d, "TrainingJobArn", r->row.arn);
    doc_set_integer(a, doc_member(a, d, "StoppingCondition", DOC_MAP), "MaxRuntimeInSeconds", s->max_runtime_s);
    return d;
}

const char *training_log_stream(struct arena *a, const struct resource *r, int instance, int64_t since_ms)
{
    return arena_printf(a, "%s/%s-%" PRId64, r->row.name, crew_host(a, instance), since_ms / 1000);
}

int training_order(struct pass *p, const struct resource *r, int instance, int64_t since_ms, int64_t left_s,
                   struct doc **ret, struct err *err)
{
    const struct platform *platform = engine_context(p->engine);
    struct arena *a = p->arena;
    struct training_spec s = training_spec_of(r->row.spec);
    struct training_group group = training_group_of(&s, instance);
    struct instance common = {
        .owner = &r->row,
        .name = training_present_agent(a, r, instance),
        .work = "train",
        .image = s.image,
        .instance_type = group.type,
        .role_arn = s.role_arn,
        .log_group = TRAINING_LOG_GROUP,
        .log_stream = training_log_stream(a, r, instance, since_ms),
        .environment = s.environment,
        .entrypoint = s.entrypoint,
        .arguments = s.arguments,
        .isolated = s.isolated,
        .volume_gb = s.volume_gb,
        .allocation = r->row.uid,
        .number = instance,
    };
    double interrupted_every_ms;
    struct doc *order;

    if (instance_order(a, p->engine, &common, p->now_ms, &order, err) < 0 ||
        spot_interrupted_every_ms(engine_world_of(p->engine)->store, platform->fleet, &s, p->now_ms,
                                  &interrupted_every_ms, err) < 0)
        return -1;
    crew_tell_hosts(a, r, &(struct crew_of){ training_instances(r), training_present_agent }, instance, order);
    crew_tell_tunnel(p, r, training_attempt(r), s.encrypted, order);
    doc_set(a, order, "instance_groups", training_groups_told(a, &s));
    doc_set_string(a, order, "group", group.name);
    doc_set_string(a, order, "job_name", r->row.name);
    doc_set_string(a, order, "job_arn", r->row.arn);
    doc_set_integer(a, order, "max_runtime_s", left_s);
    doc_set_boolean(a, order, "spot", s.spot);
    doc_set_boolean(a, order, "infra_check", s.infra_check);
    order_set_patience(a, order, engine_context(p->engine), s.environment);
    doc_set_boolean(a, order, "warm_pool", warm_pool_is_used(r));
    doc_set(a, order, "hyper_parameters", s.hyper_parameters ? doc_copy(a, s.hyper_parameters) : doc_map(a));
    doc_set(a, order, "channels", training_channels(a, engine_context(p->engine), &s, instance));
    doc_set(a, order, "metric_definitions", metrics_of(a, &s));
    doc_set_string(a, order, "output_s3_uri", training_prefix(a, &s));
    doc_set(a, order, "job_config", config_of(a, r, &s));
    doc_set_string(a, order, "output_compression", *s.compression ? s.compression : "GZIP");
    if (*s.tensorboard_uri)
        doc_set(a, order, "outputs", outputs_of(a, &s));
    if (*s.checkpoint_uri) {
        struct doc *checkpoint = doc_member(a, order, "checkpoint", DOC_MAP);

        doc_set_string(a, checkpoint, "s3_uri", s.checkpoint_uri);
        doc_set_string(a, checkpoint, "local_path", *s.checkpoint_path ? s.checkpoint_path : "/opt/ml/checkpoints");
        doc_set_integer(a, checkpoint, "interrupted_every_s", (int64_t)(interrupted_every_ms / 1e3));
    }
    *ret = order;
    return 0;
}

