/* training_job.c - TrainingJob: a container that runs once, to its end.
 *
 * The agent is named by the job's uid and its attempt, so a restarted control plane finds the one that was started.
 * An agent that is not there before anyone saw a report of it is started (again); once a report was saved (_Seen) it
 * is never started a second time. The agent's folder is swept only after the end was saved.
 *
 * Members of the status that begin with '_' are this file's own and never shown:
 * _Seen (a report came), _Phases (how many of the report's phases are in SecondaryStatusTransitions), _Swept. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "aws/algorithm.h"
#include "aws/pattern.h"
#include "fleet/instance_type.h"
#include "fleet/pool.h"
#include "engine/engine.h"
#include "run/runtime.h"
#include "services/sagemaker/instance.h"
#include "services/sagemaker/kinds.h"
#include "services/sagemaker/local_path.h"

enum {
    DEFAULT_RUNTIME_S = 86400, /* StoppingCondition's default in the API reference */
    GRACE_S = 120,             /* SIGTERM to SIGKILL, "How SageMaker stops a training job" in the developer guide */
    LOOK_MS = 1000,            /* an agent pokes us; this is for the poke that was lost */
    LOOK_LATER_MS = 15000,
};

struct spec { /* the part of the request that is read here */
    const char *name, *image, *algorithm, *role_arn, *instance_type, *output_uri, *compression;
    const char *checkpoint_uri, *checkpoint_path, *input_mode;
    int64_t instance_count, volume_gb, max_runtime_s, max_wait_s;
    bool isolated, spot;
    const struct doc *environment, *hyper_parameters, *channels, *metrics, *entrypoint, *arguments, *groups;
};

static const struct doc_field spec_fields[] = {
    DOC_TEXT(struct spec, name, "TrainingJobName"),
    DOC_TEXT(struct spec, image, "AlgorithmSpecification.TrainingImage"),
    DOC_TEXT(struct spec, algorithm, "AlgorithmSpecification.AlgorithmName"),
    DOC_TEXT(struct spec, input_mode, "AlgorithmSpecification.TrainingInputMode"),
    DOC_DOC(struct spec, metrics, "AlgorithmSpecification.MetricDefinitions"),
    DOC_DOC(struct spec, entrypoint, "AlgorithmSpecification.ContainerEntrypoint"),
    DOC_DOC(struct spec, arguments, "AlgorithmSpecification.ContainerArguments"),
    DOC_TEXT(struct spec, role_arn, "RoleArn"),
    DOC_TEXT(struct spec, instance_type, "ResourceConfig.InstanceType"),
    DOC_INT(struct spec, instance_count, "ResourceConfig.InstanceCount"),
    DOC_INT(struct spec, volume_gb, "ResourceConfig.VolumeSizeInGB"),
    DOC_DOC(struct spec, groups, "ResourceConfig.InstanceGroups"),
    DOC_TEXT(struct spec, output_uri, "OutputDataConfig.S3OutputPath"),
    DOC_TEXT(struct spec, compression, "OutputDataConfig.CompressionType"),
    DOC_TEXT(struct spec, checkpoint_uri, "CheckpointConfig.S3Uri"),
    DOC_TEXT(struct spec, checkpoint_path, "CheckpointConfig.LocalPath"),
    DOC_INT(struct spec, max_runtime_s, "StoppingCondition.MaxRuntimeInSeconds"),
    DOC_INT(struct spec, max_wait_s, "StoppingCondition.MaxWaitTimeInSeconds"),
    DOC_BOOL(struct spec, isolated, "EnableNetworkIsolation"),
    DOC_BOOL(struct spec, spot, "EnableManagedSpotTraining"),
    DOC_DOC(struct spec, environment, "Environment"),
    DOC_DOC(struct spec, hyper_parameters, "HyperParameters"),
    DOC_DOC(struct spec, channels, "InputDataConfig"),
    {},
};

static struct spec spec_of(const struct doc *input)
{
    struct spec s = { .max_runtime_s = DEFAULT_RUNTIME_S };

    doc_read(input, spec_fields, &s);
    return s;
}

/* --- Create --- */

static int check_channels(const struct spec *s, struct err *err)
{
    for (size_t i = 0; i < doc_count(s->channels, ""); i++) {
        const struct doc *c = s->channels->items[i];
        const char *name = doc_text(c, "ChannelName");
        const char *mode = doc_text_or(c, "InputMode", s->input_mode);
        const char *type = doc_text(c, "DataSource.S3DataSource.S3DataType");

        for (size_t j = 0; j < i; j++)
            if (doc_is(s->channels->items[j], "ChannelName", name))
                return fail_code(err, ERR_INVALID, "ValidationException",
                                 "Duplicate channel names are not allowed: %s", name);
        if (local_path_check_channel(i + 1, name, err) < 0)
            return -1;
        if (strcmp(mode, "File") != 0)
            return fail_code(err, ERR_INVALID, "ValidationException",
                             "Channel %s: input mode %s is not here yet; use File. See docs/compatibility.md.", name,
                             mode);
        if (!doc_has(c, "DataSource.S3DataSource"))
            return fail_code(err, ERR_INVALID, "ValidationException",
                             "Channel %s: only S3DataSource is here yet. See docs/compatibility.md.", name);
        if (strcmp(type, "S3Prefix") != 0 && strcmp(type, "ManifestFile") != 0)
            return fail_code(err, ERR_INVALID, "ValidationException",
                             "Channel %s: S3DataType %s is read in Pipe mode only.", name, type);
    }
    return 0;
}

static int check_metrics(const struct spec *s, struct err *err)
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

/* Fields whose neglect would be unsafe or would pretend; everything else that has no effect is in
 * docs/compatibility.md. */
static int refuse_unsafe(const struct doc *input, struct err *err)
{
    static const char *const members[] = {
        "VpcConfig", "ResourceConfig.VolumeKmsKeyId", "OutputDataConfig.KmsKeyId", "DebugRuleConfigurations",
        "ResourceConfig.InstanceGroups", "ResourceConfig.TrainingPlanArn", "ServerlessJobConfig", NULL,
    };

    for (const char *const *m = members; *m; m++)
        if (instance_refuse_unsafe(input, *m, err) < 0)
            return -1;
    return 0;
}

static int check(struct call *c, const struct spec *s, struct err *err)
{
    if (*s->algorithm)
        return fail_code(err, ERR_INVALID, "ValidationException",
                         "Algorithm %s: AlgorithmName is not here yet; give a TrainingImage.", s->algorithm);
    if (!*s->image)
        return fail_code(err, ERR_INVALID, "ValidationException",
                         "Either TrainingImage or AlgorithmName must be specified in AlgorithmSpecification.");
    if (refuse_unsafe(c->input, err) < 0)
        return -1;
    if (!*s->instance_type || s->instance_count < 1)
        return fail_code(err, ERR_INVALID, "ValidationException",
                         "ResourceConfig must have InstanceType and InstanceCount.");
    if (s->instance_count > 1)
        return fail_code(err, ERR_LIMIT, "ResourceLimitExceeded",
                         "The account-level service limit '%s for training job usage' is 1 Instances, with current "
                         "utilization of 0 Instances and a request delta of %" PRId64 " Instances. Training jobs of "
                         "several instances are not here yet; see docs/compatibility.md.",
                         s->instance_type, s->instance_count);
    if (s->spot && !s->max_wait_s)
        return fail_code(err, ERR_INVALID, "ValidationException",
                         "Invalid MaxWaitTimeInSeconds. It is required when EnableManagedSpotTraining is true.");
    if (s->max_wait_s && !s->spot)
        return fail_code(err, ERR_INVALID, "ValidationException",
                         "MaxWaitTimeInSeconds above 0 is only allowed when EnableManagedSpotTraining is true.");
    if (s->max_wait_s && s->max_wait_s < s->max_runtime_s)
        return fail_code(err, ERR_INVALID, "ValidationException",
                         "Invalid MaxWaitTimeInSeconds. It must be present and be greater than or equal to "
                         "MaxRuntimeInSeconds");
    if (!text_starts(s->output_uri, "s3://"))
        return fail_code(err, ERR_INVALID, "ValidationException", "S3OutputPath must be an S3 URI: %s", s->output_uri);
    if (check_metrics(s, err) < 0 || local_path_check_checkpoints(s->checkpoint_path, err) < 0)
        return -1;
    return check_channels(s, err);
}

/* <S3OutputPath>/<job>: what the platform writes goes below it. */
static const char *job_prefix(struct arena *a, const struct spec *s)
{
    const char *slash = text_ends(s->output_uri, "/") ? "" : "/";

    return arena_printf(a, "%s%s%s", s->output_uri, slash, s->name);
}

/* The newest transition; closes the one before. A transition always has a message: clients read it without looking. */
static void enter(struct arena *a, struct doc *status, const char *secondary, const char *message, int64_t at_ms)
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

static int create(struct call *c, struct resource *r, struct err *err)
{
    struct spec s = spec_of(c->input);
    struct doc *artifacts;

    if (check(c, &s, err) < 0 || instance_check_role(c, s.role_arn, err) < 0)
        return -1;
    artifacts = doc_member(c->arena, r->status, "ModelArtifacts", DOC_MAP);
    doc_set_string(c->arena, artifacts, "S3ModelArtifacts",
                   arena_printf(c->arena, "%s/output/model%s", job_prefix(c->arena, &s),
                                strcmp(s.compression, "NONE") == 0 ? "/" : ".tar.gz"));
    enter(c->arena, r->status, "Starting", "Starting the training job", c->now_ms);
    r->row.next_at_ms = c->now_ms;
    return 0;
}

/* A job of one of AWS's own algorithms has its metrics without having been told. */
static int describe(struct call *c, const struct resource *r, struct err *err)
{
    struct spec s = spec_of(r->row.spec);
    struct doc *algorithm;

    if (!algorithm_of(s.image))
        return 0;
    algorithm = doc_copy(c->arena, doc_get(r->row.spec, "AlgorithmSpecification"));
    doc_set(c->arena, algorithm, "MetricDefinitions", algorithm_metrics(c->arena, s.image, s.metrics));
    doc_set(c->arena, c->output, "AlgorithmSpecification", algorithm);
    return 0;
}

static int stop(struct call *c, struct resource *r, struct err *err)
{
    const char *state = get_state(r);

    if (strcmp(state, "Stopping") == 0)
        return 0;
    if (!may_become(r, "Stopping"))
        return fail_code(err, ERR_INVALID, "ValidationException",
                         "The request was rejected because the training job is in status %s.", state);
    doc_set_boolean(c->arena, r->want, "Stop", true);
    set_state(r, "Stopping");
    enter(c->arena, r->status, "Stopping", "Stopping the training job", c->now_ms);
    r->row.next_at_ms = c->now_ms;
    return 0;
}

static int remove_job(struct call *c, struct resource *r, bool *ret_row_goes, struct err *err)
{
    const char *state = get_state(r);

    if (!may_become(r, "Deleting"))
        return fail_code(err, ERR_CONFLICT, "ResourceInUse", "Training job %s is in status %s; stop it first.",
                         r->row.arn, state);
    *ret_row_goes = doc_bool(r->status, "_Swept", false);
    set_state(r, "Deleting");
    r->row.next_at_ms = c->now_ms;
    return 0;
}

/* --- The order --- */

static struct doc *channels_of(struct arena *a, const struct spec *s)
{
    static const char *const names[][2] = { /* of the order, of the API */
        { "name", "ChannelName" }, { "s3_uri", "DataSource.S3DataSource.S3Uri" },
        { "s3_data_type", "DataSource.S3DataSource.S3DataType" },
        { "distribution", "DataSource.S3DataSource.S3DataDistributionType" }, { "content_type", "ContentType" },
        { "compression", "CompressionType" }, { "record_wrapper", "RecordWrapperType" }, { "input_mode", "InputMode" },
    };
    struct doc *list = doc_list(a);

    for (size_t i = 0; i < doc_count(s->channels, ""); i++) {
        struct doc *c = doc_map(a);

        for (size_t j = 0; j < sizeof names / sizeof *names; j++)
            if (doc_has(s->channels->items[i], names[j][1]))
                doc_set_string(a, c, names[j][0], doc_text(s->channels->items[i], names[j][1]));
        doc_append(a, list, c);
    }
    return list;
}

static struct doc *metrics_of(struct arena *a, const struct spec *s)
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

static const char *agent_name(struct arena *a, const struct resource *r)
{
    return arena_printf(a, "%s-0", child_uid(a, r->row.uid, "algo-1", 0));
}

/* What the instance may write: a type with disks of its own has no volume beside them. 0: what there is. */
static int64_t disk_bytes(const struct spec *s)
{
    const struct instance_type *type = instance_type(s->instance_type);

    return type && type->nvme_gb ? 0 : s->volume_gb << 30;
}

static int start(struct pass *p, const struct resource *r, struct err *err)
{
    struct arena *a = p->arena;
    struct spec s = spec_of(r->row.spec);
    struct instance instance = {
        .owner = &r->row,
        .name = agent_name(a, r),
        .work = "train",
        .image = s.image,
        .instance_type = s.instance_type,
        .role_arn = s.role_arn,
        .log_group = "/aws/sagemaker/TrainingJobs",
        .log_stream = arena_printf(a, "%s/algo-1-%" PRId64, r->row.name, r->row.created_ms / 1000),
        .environment = s.environment,
        .entrypoint = s.entrypoint,
        .arguments = s.arguments,
        .isolated = s.isolated,
    };
    struct doc *order, *hosts = doc_list(a);

    if (instance_order(a, p->engine, &instance, p->now_ms, &order, err) < 0)
        return -1;
    doc_append(a, hosts, doc_string(a, "algo-1"));
    doc_set(a, order, "hosts", hosts);
    doc_set_string(a, order, "host_name", "algo-1");
    doc_set_string(a, order, "job_name", r->row.name);
    doc_set_string(a, order, "job_arn", r->row.arn);
    doc_set_integer(a, order, "max_runtime_s", s.max_runtime_s);
    doc_set_integer(a, doc_member(a, order, "limits", DOC_MAP), "disk_bytes", disk_bytes(&s));
    doc_set(a, order, "hyper_parameters", s.hyper_parameters ? doc_copy(a, s.hyper_parameters) : doc_map(a));
    doc_set(a, order, "channels", channels_of(a, &s));
    doc_set(a, order, "metric_definitions", metrics_of(a, &s));
    doc_set_string(a, order, "output_s3_uri", job_prefix(a, &s));
    doc_set_string(a, order, "output_compression", *s.compression ? s.compression : "GZIP");
    if (*s.checkpoint_uri) {
        struct doc *checkpoint = doc_member(a, order, "checkpoint", DOC_MAP);

        doc_set_string(a, checkpoint, "s3_uri", s.checkpoint_uri);
        doc_set_string(a, checkpoint, "local_path", *s.checkpoint_path ? s.checkpoint_path : "/opt/ml/checkpoints");
    }
    return runtime_start(p->runtime, instance.name, order, err);
}

/* --- What was seen --- */

static const char *message_of(const char *phase)
{
    /* Words of AWS's own transitions, as printed by the SDK. */
    static const char *const messages[][2] = {
        { "Starting", "Preparing the instances for training" },
        { "Downloading", "Downloading input data" },
        { "Training", "Training image download completed. Training in progress." },
        { "Uploading", "Uploading generated training model" },
    };

    for (size_t i = 0; i < sizeof messages / sizeof *messages; i++)
        if (strcmp(messages[i][0], phase) == 0)
            return messages[i][1];
    return "";
}

/* Phases are steps of the secondary status while the job goes forward; a job that stops shows Stopping throughout. */
static void take_phases(struct arena *a, struct resource *r, const struct report *report)
{
    int64_t taken = doc_int(r->status, "_Phases", 0);

    for (; taken < (int64_t)doc_count(report->phases, ""); taken++) {
        const struct doc *phase = report->phases->items[taken];
        const char *name = doc_text(phase, "phase"), *message = doc_text(phase, "message");
        int64_t at_ms = doc_int(phase, "at_ms", 0);

        if (strcmp(name, "Training") == 0 && !doc_has(r->status, "TrainingStartTime"))
            doc_set_integer(a, r->status, "TrainingStartTime", at_ms);
        if (strcmp(get_state(r), "InProgress") == 0 && strcmp(name, "Ended") != 0)
            enter(a, r->status, name, *message ? message : message_of(name), at_ms);
    }
    doc_set_integer(a, r->status, "_Phases", taken);
}

static void take_metrics(struct arena *a, struct resource *r, const struct doc *seen)
{
    struct doc *list = doc_list(a);

    for (size_t i = 0; i < doc_count(seen, ""); i++) {
        struct doc *m = doc_map(a);

        doc_set_string(a, m, "MetricName", doc_text(seen->items[i], "name"));
        doc_set_real(a, m, "Value", doc_number(seen->items[i], "value", 0));
        doc_set_integer(a, m, "Timestamp", doc_int(seen->items[i], "at_ms", 0));
        doc_append(a, list, m);
    }
    doc_set(a, r->status, "FinalMetricDataList", list->count ? list : NULL);
}

static int end(struct pass *p, struct resource *r, const char *state, const char *secondary, const char *message,
               int64_t at_ms, struct err *err)
{
    struct platform *platform = engine_context(p->engine);
    int64_t started = doc_int(r->status, "TrainingStartTime", 0);

    if (strcmp(state, "Failed") == 0)
        doc_set_string(p->arena, r->status, "FailureReason", message);
    set_state(r, state);
    enter(p->arena, r->status, secondary, message, at_ms);
    doc_set_integer(p->arena, r->status, "TrainingEndTime", at_ms);
    if (started) {
        int64_t seconds = (at_ms - started + 999) / 1000;

        doc_set_integer(p->arena, r->status, "TrainingTimeInSeconds", seconds);
        doc_set_integer(p->arena, r->status, "BillableTimeInSeconds", seconds);
        if (usage_close(p->engine, r->row.uid, at_ms, err) < 0)
            return -1;
    }
    engine_touch(p->engine, pool_give(platform->pool, r->row.uid));
    return 0;
}

/* AWS's words, and what is to be known beside them. */
static const char *ended_message(struct arena *a, const char *usual, const struct report *report)
{
    return *report->message ? arena_printf(a, "%s. %s", usual, report->message) : usual;
}

static int take_end(struct pass *p, struct resource *r, const struct report *report, struct err *err)
{
    int64_t at_ms = report->ended_ms ? report->ended_ms : p->now_ms;

    take_metrics(p->arena, r, report->final_metrics);
    if (*report->model_artifacts)
        doc_set_string(p->arena, doc_member(p->arena, r->status, "ModelArtifacts", DOC_MAP), "S3ModelArtifacts",
                       report->model_artifacts);
    if (strcmp(report->outcome, "Failed") == 0)
        return end(p, r, "Failed", "Failed", report->failure_reason, at_ms, err);
    if (strcmp(report->outcome, "MaxRuntimeExceeded") == 0) {
        set_state(r, "Stopping");
        return end(p, r, "Stopped", "MaxRuntimeExceeded",
                   ended_message(p->arena, "Training job runtime exceeded MaxRuntimeInSeconds", report), at_ms, err);
    }
    if (strcmp(report->outcome, "Stopped") == 0) {
        set_state(r, "Stopping");
        return end(p, r, "Stopped", "Stopped", ended_message(p->arena, "Training job stopped", report), at_ms, err);
    }
    return end(p, r, "Completed", "Completed", "Training job completed", at_ms, err);
}

static int open_usage(struct pass *p, const struct resource *r, struct err *err)
{
    struct spec s = spec_of(r->row.spec);
    const struct instance_type *type = instance_type(s.instance_type);
    struct doc *attributes = doc_map(p->arena);

    doc_set_string(p->arena, attributes, "owner_arn", r->row.arn);
    doc_set_string(p->arena, attributes, "role_arn", s.role_arn);
    doc_set_string(p->arena, attributes, "instance_type", s.instance_type);
    doc_set_string(p->arena, attributes, "work", "training");
    doc_set_boolean(p->arena, attributes, "spot", s.spot);
    if (type && type->usd_hour >= 0)
        doc_set_real(p->arena, attributes, "usd_hour", type->usd_hour);
    return usage_open(p->engine, r->row.uid, doc_int(r->status, "TrainingStartTime", p->now_ms), attributes, err);
}

/* The world has forgotten the agent: nothing to sweep, or an agent that is lost. */
static int not_there(struct pass *p, struct resource *r, int64_t *ret_next_ms, struct err *err)
{
    struct platform *platform = engine_context(p->engine);
    bool stopping = doc_bool(r->row.want, "Stop", false);

    if (doc_bool(r->status, "_Seen", false))
        return end(p, r, "Failed", "Failed",
                   "InternalServerError: the instance of the training job was lost, with its data.", p->now_ms, err);
    if (stopping)
        return end(p, r, "Stopped", "Stopped", "Training job stopped", p->now_ms, err);
    if (!pool_take(platform->pool, r->row.uid, false)) {
        const struct doc *all = doc_get(r->status, "SecondaryStatusTransitions");

        *ret_next_ms = p->now_ms + LOOK_LATER_MS;
        if (doc_count(all, "") == 1)
            enter(p->arena, r->status, "Pending",
                  arena_printf(p->arena,
                               "Waiting for an instance: %d of %d are in use and %d jobs came before this one",
                               pool_used(platform->pool), pool_slots(platform->pool),
                               pool_waiting_before(platform->pool, r->row.uid)),
                  p->now_ms);
        return 0;
    }
    *ret_next_ms = p->now_ms + LOOK_MS;
    if (start(p, r, err) == 0)
        return 0;
    if (err->kind != ERR_INVALID)
        return -1;
    /* No image of that name, or one that this machine can never run: the text is for the user. */
    return end(p, r, "Failed", "Failed", arena_printf(p->arena, "ClientError: %s", err->text), p->now_ms, err);
}

static int there(struct pass *p, struct resource *r, const struct report *report, int64_t *ret_next_ms, struct err *err)
{
    struct platform *platform = engine_context(p->engine);

    pool_take(platform->pool, r->row.uid, true);
    *ret_next_ms = p->now_ms + (*report->phase ? LOOK_LATER_MS : LOOK_MS);
    if (*report->phase)
        doc_set_boolean(p->arena, r->status, "_Seen", true);
    take_phases(p->arena, r, report);
    if (doc_has(r->status, "TrainingStartTime") && open_usage(p, r, err) < 0)
        return -1;
    if (strcmp(report->phase, "Ended") == 0)
        return take_end(p, r, report, err);
    if (doc_bool(r->row.want, "Stop", false))
        return runtime_stop(p->runtime, agent_name(p->arena, r), GRACE_S, "StopTrainingJob", err);
    return 0;
}

/* Everything is saved: what the agent left on the machine can go. */
static int sweep(struct pass *p, struct resource *r, bool *ret_row_goes, struct err *err)
{
    if (!doc_bool(r->status, "_Swept", false)) {
        if (runtime_forget(p->runtime, agent_name(p->arena, r), err) < 0)
            return -1;
        doc_set_boolean(p->arena, r->status, "_Swept", true);
    }
    *ret_row_goes = strcmp(get_state(r), "Deleting") == 0;
    return 0;
}

static int reconcile(struct pass *p, struct resource *r, int64_t *ret_next_ms, bool *ret_row_goes, struct err *err)
{
    enum runtime_state state;
    const struct doc *seen;
    int result;

    if (strcmp(get_state(r), "InProgress") != 0 && strcmp(get_state(r), "Stopping") != 0)
        return sweep(p, r, ret_row_goes, err);
    /* "Cannot tell" is not "not there": conclude nothing and be called again. */
    if (runtime_inspect(p->runtime, p->arena, agent_name(p->arena, r), &state, &seen, err) < 0)
        return -1;
    if (state == RUNTIME_NONE) {
        result = not_there(p, r, ret_next_ms, err);
    } else {
        struct report report = report_read(seen);

        result = there(p, r, &report, ret_next_ms, err);
    }
    /* The end is saved first; the sweep is another pass. */
    if (doc_has(r->status, "TrainingEndTime"))
        *ret_next_ms = p->now_ms;
    return result;
}

static bool owns(struct arena *a, const struct resource *r, const char *agent)
{
    return !doc_bool(r->status, "_Swept", false) && strcmp(agent_name(a, r), agent) == 0;
}

static const char *const states[][2] = {
    { "InProgress", "Completed Failed Stopping Stopped" },
    { "Stopping", "Stopped Failed Completed" },
    { "Completed", "Deleting" },
    { "Failed", "Deleting" },
    { "Stopped", "Deleting" },
    { "Deleting", "" },
    {},
};

const struct kind training_job = {
    .name = "TrainingJob",
    .service = "sagemaker",
    .arn_type = "training-job",
    .name_member = "TrainingJobName",
    .arn_member = "TrainingJobArn",
    .state_member = "TrainingJobStatus",
    .states = states,
    .exists_text = "Training job names must be unique within an AWS account and region, and a training job with this "
                   "name already exists (%s)",
    .create = create,
    .stop = stop,
    .remove = remove_job,
    .describe = describe,
    .reconcile = reconcile,
    .owns = owns,
};
