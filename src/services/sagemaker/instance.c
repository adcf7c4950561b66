#include "services/sagemaker/instance.h"

#include <string.h>

#include "engine/engine.h"
#include "services/iam/identity.h"
#include "services/sagemaker/allocation.h"
#include "services/sagemaker/instance_gpus.h"
#include "sign/token.h"

/* The credentials of an agent outlive the longest job (28 days) and its uploads. */
static const int64_t credentials_ms = (int64_t)30 * 24 * 3600 * 1000;

static const char *last_part(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash ? slash + 1 : path;
}

static int credentials_of(struct arena *a, struct engine *engine, const struct instance *i, int64_t now_ms,
                          struct doc **ret, struct err *err)
{
    struct platform *platform = engine_context(engine);
    struct token_pair pair;
    const char *role = last_part(i->role_arn);
    struct token token = {
        .account = i->owner->account,
        .arn = arena_printf(a, "arn:aws:sts::%s:assumed-role/%s/SageMaker", i->owner->account, role),
        .role_arn = i->role_arn,
        .session_policy = "",
        .issued_ms = now_ms,
        .expires_ms = now_ms + credentials_ms,
    };
    struct doc *c = doc_map(a);
    const char *id;

    if (identity_role_id(a, engine_world_of(engine)->store, i->role_arn, &id, err) < 0)
        return -1;
    token.user_id = arena_printf(a, "%s:SageMaker", id);
    token_pair_new(platform->rand, "ASIA", &pair);
    token.access_key_id = pair.access_key_id;
    token.secret_access_key = pair.secret_access_key;
    doc_set_string(a, c, "access_key_id", pair.access_key_id);
    doc_set_string(a, c, "secret_access_key", pair.secret_access_key);
    doc_set_string(a, c, "session_token", token_seal(a, platform->session_key, platform->rand, &token));
    doc_set_string(a, c, "role_arn", i->role_arn);
    doc_set_integer(a, c, "expires_ms", token.expires_ms);
    *ret = c;
    return 0;
}

int instance_order(struct arena *a, struct engine *engine, const struct instance *i, int64_t now_ms, struct doc **ret,
                   struct err *err)
{
    struct platform *platform = engine_context(engine);
    struct limits limits = limits_of(platform->fleet, &platform->machine, i->instance_type);
    struct disk_limit disk = limits_of_disk(platform->fleet, i->instance_type, i->volume_gb);
    struct doc *order = doc_map(a), *l = doc_map(a), *credentials;
    const struct placed *placed;
    int count;

    if (allocation_nodes(a, engine, i->allocation, &placed, &count, err) < 0)
        return -1;
    placed = i->number < count ? &placed[i->number] : NULL; /* of one that runs outside the fleet nobody knows */
    if (credentials_of(a, engine, i, now_ms, &credentials, err) < 0)
        return -1;
    doc_set_integer(a, l, "cpus", limits.cpus);
    doc_set_integer(a, l, "cpu_weight", limits.cpu_weight);
    doc_set_integer(a, l, "memory_bytes", limits.memory_bytes);
    doc_set_integer(a, l, "disk_bytes", disk.bytes);
    doc_set_boolean(a, l, "own_disk", disk.own);
    instance_gpus_order(a, engine, i->name, i->instance_type, placed, l);
    doc_set_integer(a, order, "version", 1);
    doc_set_string(a, order, "name", i->name);
    doc_set_string(a, order, "uid", i->owner->uid);
    doc_set_string(a, order, "work", i->work);
    doc_set_string(a, order, "image", i->image);
    doc_set_string(a, order, "instance_type", i->instance_type);
    doc_set_string(a, order, "node", placed ? placed->node : NULL);
    doc_set_string(a, order, "region", i->owner->region);
    doc_set_string(a, order, "account", i->owner->account);
    doc_set_string(a, order, "api_socket", platform->api_socket);
    doc_set_string(a, order, "admin_socket", platform->admin_socket);
    doc_set_string(a, order, "log_group", i->log_group);
    doc_set_string(a, order, "log_stream", i->log_stream);
    doc_set_boolean(a, order, "isolated", i->isolated);
    doc_set(a, order, "limits", l);
    doc_set(a, order, "role", credentials);
    doc_set(a, order, "environment", i->environment ? doc_copy(a, i->environment) : doc_map(a));
    if (i->entrypoint)
        doc_set(a, order, "entrypoint", doc_copy(a, i->entrypoint));
    if (i->arguments)
        doc_set(a, order, "arguments", doc_copy(a, i->arguments));
    *ret = order;
    return 0;
}

struct report report_read(const struct doc *d)
{
    static const struct doc_field fields[] = {
        DOC_TEXT(struct report, phase, "phase"),
        DOC_TEXT(struct report, outcome, "outcome"),
        DOC_TEXT(struct report, failure_reason, "failure_reason"),
        DOC_TEXT(struct report, message, "message"),
        DOC_TEXT(struct report, exit_message, "exit_message"),
        DOC_TEXT(struct report, model_artifacts, "model_artifacts"),
        DOC_TEXT(struct report, address, "address"),
        DOC_TEXT(struct report, waiting, "waiting"),
        DOC_TEXT(struct report, node, "node"),
        DOC_INT(struct report, port, "port"),
        DOC_INT(struct report, started_ms, "started_ms"),
        DOC_INT(struct report, ended_ms, "ended_ms"),
        DOC_INT(struct report, overran_ms, "overran_ms"),
        DOC_BOOL(struct report, healthy, "healthy"),
        DOC_BOOL(struct report, noticed, "noticed"),
        DOC_DOC(struct report, phases, "phases"),
        DOC_DOC(struct report, final_metrics, "final_metrics"),
        DOC_DOC(struct report, gpu_fault, "gpu_fault"),
        DOC_DOC(struct report, checkpoint, "checkpoint"),
        DOC_DOC(struct report, checks, "checks"),
        DOC_DOC(struct report, unhealthy, "unhealthy"),
        DOC_DOC(struct report, quiet, "quiet"),
        DOC_DOC(struct report, silent, "silent"),
        DOC_DOC(struct report, warned, "warned"),
        {},
    };
    struct report r = { 0 };

    doc_read(d, fields, &r);
    return r;
}

static bool says_nothing(const struct doc *value)
{
    return !value || value->type == DOC_NULL ||
           ((value->type == DOC_LIST || value->type == DOC_MAP) && value->count == 0) ||
           (value->type == DOC_STRING && value->text.size == 0);
}

int instance_refuse_unsafe(const struct doc *input, const char *const *members, struct err *err)
{
    for (; *members; members++)
        if (!says_nothing(doc_at(input, *members)))
            return fail_code(err, ERR_INVALID, "ValidationException",
                             "%s is not honoured here yet, and ignoring it would be unsafe. Leave it out.", *members);
    return 0;
}

int instance_check_role(struct call *c, const char *role_arn, struct err *err)
{
    /* SageMaker itself knocks at the role's trust policy. */
    static const struct principal sagemaker = { .account = "", .arn = "sagemaker.amazonaws.com", .user_id = "",
                                                .access_key_id = "", .trusted = true };
    struct doc *input = doc_map(c->arena), *output;

    if (iam_check_pass_role(c, role_arn, "sagemaker.amazonaws.com", err) < 0)
        return -1;
    doc_set_string(c->arena, input, "RoleArn", role_arn);
    doc_set_string(c->arena, input, "RoleSessionName", "SageMaker");
    if (engine_call(c->arena, c->engine, &sagemaker, c->region, "sts", "AssumeRole", input, &output, err) == 0)
        return 0;
    if (err->kind == ERR_INTERNAL || err->kind == ERR_UNAVAILABLE)
        return -1;
    return fail_code(err, ERR_INVALID, "ValidationException",
                     "Could not assume role %s. Please ensure that the role exists and allows principal "
                     "'sagemaker.amazonaws.com' to assume the role.",
                     role_arn);
}
