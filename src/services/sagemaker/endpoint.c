/* endpoint.c - Endpoint: instances that answer invocations, and the moves from one set of them to the next.
 *
 * Want has the deployment: what EndpointConfig and Models said when Create or Update was called, resolved, with a
 * number that grows. Both may be deleted afterwards. Each instance of a deployment is an agent with a derived name.
 * A deployment is in service when every instance is healthy and the data plane has acknowledged the snapshot that
 * has it; only then, and when no request is left that could know them, the instances before it are stopped.
 * A deployment that fails is stopped, and the endpoint stays with the one before, if there was one.
 *
 * Members of the status that begin with '_' are this file's own and never shown: _Current (the deployment in
 * service), _Rejected (the number of one that failed), _Routes (the snapshot's entry), _Old (deployments to stop, each
 * with the generation that no longer has it), _Removed (the generation without the endpoint). */
#include <inttypes.h>
#include <string.h>

#include "engine/engine.h"
#include "fleet/instance_type.h"
#include "fleet/pool.h"
#include "run/runtime.h"
#include "services/routes.h"
#include "services/sagemaker/instance.h"
#include "services/sagemaker/kinds.h"

enum {
    GRACE_S = 30, /* contracts of the serving container: SIGTERM, then SIGKILL after 30 s */
    LOOK_MS = 1000,
    LOOK_LATER_MS = 15000,
    PORT = 8080,
};

/* --- The API's side --- */

static int deploy(struct call *c, struct resource *r, struct err *err)
{
    struct doc *deployment;

    if (endpoint_config_resolve(c, doc_text(c->input, "EndpointConfigName"), &deployment, err) < 0)
        return -1;
    doc_set_integer(c->arena, deployment, "Number", doc_int(r->want, "Deployment.Number", 0) + 1);
    doc_set_integer(c->arena, deployment, "WantedAt", c->now_ms);
    doc_set(c->arena, r->want, "Deployment", deployment);
    r->row.next_at_ms = c->now_ms;
    return 0;
}

static int create(struct call *c, struct resource *r, struct err *err)
{
    if (instance_refuse_unsafe(c->input, "DeploymentConfig.AutoRollbackConfiguration", err) < 0)
        return -1;
    return deploy(c, r, err);
}

static int update(struct call *c, struct resource *r, struct err *err)
{
    if (instance_refuse_unsafe(c->input, "DeploymentConfig.AutoRollbackConfiguration", err) < 0)
        return -1;
    if (!may_become(r, "Updating") || strcmp(get_state(r), "Updating") == 0)
        return fail_code(err, ERR_INVALID, "ValidationException", "Cannot update in-progress endpoint \"%s\".",
                         r->row.arn);
    set_state(r, "Updating");
    doc_set(c->arena, r->status, "FailureReason", NULL);
    return deploy(c, r, err);
}

static int remove_endpoint(struct call *c, struct resource *r, bool *ret_row_goes, struct err *err)
{
    set_state(r, "Deleting");
    doc_set_boolean(c->arena, r->want, "Delete", true);
    r->row.next_at_ms = c->now_ms;
    *ret_row_goes = false;
    return 0;
}

/* --- Instances --- */

struct each { /* one instance of a deployment */
    const struct doc *deployment, *variant;
    int index;
    const char *name; /* of its agent */
};

/* Visits the instances of a deployment: for (struct each e = first(...); e.name; next(..., &e)). */
static void name_it(struct arena *a, const struct resource *r, struct each *e)
{
    const char *step = arena_printf(a, "%s/%" PRId64 "/%d", doc_text(e->variant, "VariantName"),
                                    doc_int(e->deployment, "Number", 0), e->index);

    e->name = arena_printf(a, "%s-0", child_uid(a, r->row.uid, step, 0));
}

static bool visit(struct arena *a, const struct resource *r, const struct doc *deployment, size_t *variant,
                  struct each *e)
{
    const struct doc *variants = doc_get(deployment, "Variants");

    while (*variant < doc_count(variants, "")) {
        e->deployment = deployment;
        e->variant = variants->items[*variant];
        if (e->index < doc_int(e->variant, "InstanceCount", 1)) {
            name_it(a, r, e);
            e->index++;
            return true;
        }
        (*variant)++;
        e->index = 0;
    }
    return false;
}

#define each_instance(e, a, r, deployment)                     \
    for (struct each e = { 0 }, *once = &e; once; once = NULL) \
        for (size_t e##_at = 0; visit(a, r, deployment, &e##_at, &e);)

static int start(struct pass *p, const struct resource *r, const struct each *e, struct err *err)
{
    struct arena *a = p->arena;
    struct instance instance = {
        .owner = &r->row,
        .name = e->name,
        .work = "serve",
        .image = doc_text(e->variant, "Image"),
        .instance_type = doc_text(e->variant, "InstanceType"),
        .role_arn = doc_text(e->variant, "RoleArn"),
        .log_group = arena_printf(a, "/aws/sagemaker/Endpoints/%s", r->row.name),
        .log_stream = arena_printf(a, "%s/i-%.17s", doc_text(e->variant, "VariantName"), e->name),
        .environment = doc_get(e->variant, "Environment"),
        .isolated = doc_bool(e->variant, "Isolated", false),
    };
    struct doc *order = instance_order(a, engine_context(p->engine), &instance, p->now_ms), *models = doc_list(a);
    const struct doc *source = doc_at(e->variant, "ModelDataSource.S3DataSource");
    const char *url = doc_text_or(source, "S3Uri", doc_text(e->variant, "ModelDataUrl"));

    if (*url) {
        struct doc *m = doc_map(a);

        doc_set_string(a, m, "s3_uri", url);
        doc_set_boolean(a, m, "compressed", !doc_is(source, "CompressionType", "None"));
        doc_set_boolean(a, m, "prefix", doc_is(source, "S3DataType", "S3Prefix"));
        doc_set_string(a, m, "path", "/opt/ml/model");
        doc_append(a, models, m);
    }
    doc_set(a, order, "models", models);
    doc_set_integer(a, order, "port", PORT);
    doc_set_integer(a, order, "startup_timeout_s", doc_int(e->variant, "StartupSeconds", 600));
    return runtime_start(p->runtime, e->name, order, err);
}

static int open_usage(struct pass *p, const struct resource *r, const struct each *e, int64_t at_ms, struct err *err)
{
    const struct instance_type *type = instance_type(doc_text(e->variant, "InstanceType"));
    struct doc *attributes = doc_map(p->arena);

    doc_set_string(p->arena, attributes, "owner_arn", r->row.arn);
    doc_set_string(p->arena, attributes, "role_arn", doc_text(e->variant, "RoleArn"));
    doc_set_string(p->arena, attributes, "instance_type", doc_text(e->variant, "InstanceType"));
    doc_set_string(p->arena, attributes, "work", "hosting");
    doc_set_boolean(p->arena, attributes, "spot", false);
    if (type && type->usd_hour >= 0)
        doc_set_real(p->arena, attributes, "usd_hour", type->usd_hour);
    return usage_open(p->engine, e->name, at_ms, attributes, err);
}

/* One more step towards an instance's end; *gone when nothing of it is left. */
static int end_instance(struct pass *p, const struct each *e, bool *ret_gone, struct err *err)
{
    struct platform *platform = engine_context(p->engine);
    enum runtime_state state;
    const struct doc *seen;
    struct report report;
    bool is_open;

    *ret_gone = false;
    if (runtime_inspect(p->runtime, p->arena, e->name, &state, &seen, err) < 0)
        return -1;
    report = report_read(seen);
    if (state == RUNTIME_THERE && strcmp(report.phase, "Ended") != 0)
        return runtime_stop(p->runtime, e->name, GRACE_S, "the endpoint no longer needs it", err);
    /* The end that the report tells of is saved first: after the sweep nobody knows it. */
    if (usage_is_open(p->engine, e->name, &is_open, err) < 0)
        return -1;
    if (is_open)
        return usage_close(p->engine, e->name, report.ended_ms ? report.ended_ms : p->now_ms, err);
    if (state == RUNTIME_THERE && runtime_forget(p->runtime, e->name, err) < 0)
        return -1;
    engine_touch(p->engine, pool_give(platform->pool, e->name));
    *ret_gone = true;
    return 0;
}

static int end_instances(struct pass *p, const struct resource *r, const struct doc *deployment, bool *ret_gone,
                         struct err *err)
{
    bool all = true, gone;

    each_instance(e, p->arena, r, deployment)
    {
        if (end_instance(p, &e, &gone, err) < 0)
            return -1;
        all = all && gone;
    }
    *ret_gone = all;
    return 0;
}

/* --- A deployment --- */

struct view { /* of a deployment's instances */
    int wanted, healthy, waiting;
    const char *failure; /* NULL: none failed */
    struct doc *variants; /* for the snapshot: the healthy ones */
};

static int look(struct pass *p, struct resource *r, const struct each *e, struct view *v, struct doc *instances,
                struct err *err)
{
    struct platform *platform = engine_context(p->engine);
    enum runtime_state state;
    const struct doc *seen;
    struct report report;
    struct doc *instance;

    if (runtime_inspect(p->runtime, p->arena, e->name, &state, &seen, err) < 0)
        return -1;
    v->wanted++;
    if (state == RUNTIME_NONE) {
        if (!pool_take(platform->pool, e->name, false)) {
            v->waiting++;
            return 0;
        }
        if (start(p, r, e, err) == 0)
            return 0;
        if (err->kind != ERR_INVALID)
            return -1;
        v->failure = arena_printf(p->arena, "%s", err->text);
        return 0;
    }
    pool_take(platform->pool, e->name, true);
    report = report_read(seen);
    if (strcmp(report.phase, "Ended") == 0)
        v->failure = *report.failure_reason ? report.failure_reason : "The instance ended.";
    if (report.started_ms && open_usage(p, r, e, report.started_ms, err) < 0)
        return -1;
    if (strcmp(report.phase, "Ended") == 0 || !report.healthy)
        return 0;
    v->healthy++;
    instance = doc_map(p->arena);
    doc_set_string(p->arena, instance, "uid", e->name);
    doc_set_string(p->arena, instance, "address", report.address);
    doc_set_integer(p->arena, instance, "port", report.port);
    doc_append(p->arena, instances, instance);
    return 0;
}

static int look_at_all(struct pass *p, struct resource *r, const struct doc *deployment, struct view *ret,
                       struct err *err)
{
    struct arena *a = p->arena;
    struct view v = { .variants = doc_list(a) };
    struct doc *variant = NULL;
    const struct doc *last = NULL;

    each_instance(e, a, r, deployment)
    {
        if (e.variant != last) {
            variant = doc_map(a);
            doc_set_string(a, variant, "name", doc_text(e.variant, "VariantName"));
            doc_set_real(a, variant, "weight", doc_number(e.variant, "Weight", 1));
            doc_set_string(a, variant, "uid", arena_printf(a, "%s-%s", r->row.uid, doc_text(e.variant, "VariantName")));
            doc_append(a, v.variants, variant);
            last = e.variant;
        }
        if (look(p, r, &e, &v, doc_member(a, variant, "instances", DOC_LIST), err) < 0)
            return -1;
    }
    *ret = v;
    return 0;
}

/* The snapshot's entry for what is healthy now; kept in the status, so that a restart can publish it before it looks.
 */
static int64_t publish(struct pass *p, struct resource *r, struct doc *variants)
{
    struct platform *platform = engine_context(p->engine);
    struct doc *entry = doc_map(p->arena);

    doc_set_string(p->arena, entry, "name", r->row.name);
    doc_set_string(p->arena, entry, "region", r->row.region);
    doc_set_string(p->arena, entry, "account", r->row.account);
    doc_set_string(p->arena, entry, "arn", r->row.arn);
    doc_set(p->arena, entry, "variants", variants);
    doc_set(p->arena, r->status, "_Routes", entry);
    return routes_set(platform->routes, r->row.uid, entry);
}

static void show_variants(struct pass *p, struct resource *r, const struct doc *deployment, const struct doc *routed)
{
    struct arena *a = p->arena;
    struct doc *list = doc_list(a);

    for (size_t i = 0; i < doc_count(deployment, "Variants"); i++) {
        const struct doc *v = doc_get(deployment, "Variants")->items[i];
        struct doc *out = doc_map(a), *image = doc_map(a);

        doc_set_string(a, out, "VariantName", doc_text(v, "VariantName"));
        doc_set_string(a, image, "SpecifiedImage", doc_text(v, "Image"));
        doc_set_string(a, image, "ResolvedImage", doc_text(v, "Image"));
        doc_set_integer(a, image, "ResolutionTime", doc_int(deployment, "WantedAt", 0));
        doc_append(a, doc_member(a, out, "DeployedImages", DOC_LIST), image);
        doc_set_real(a, out, "CurrentWeight", doc_number(v, "Weight", 1));
        doc_set_real(a, out, "DesiredWeight", doc_number(v, "Weight", 1));
        doc_set_integer(a, out, "CurrentInstanceCount", (int64_t)doc_count(routed->items[i], "instances"));
        doc_set_integer(a, out, "DesiredInstanceCount", doc_int(v, "InstanceCount", 1));
        doc_append(a, list, out);
    }
    doc_set(a, r->status, "ProductionVariants", list);
}

static void retire(struct pass *p, struct resource *r, const struct doc *deployment, int64_t generation)
{
    struct doc *old = doc_map(p->arena);

    doc_set(p->arena, old, "Deployment", doc_copy(p->arena, deployment));
    doc_set_integer(p->arena, old, "Generation", generation);
    doc_append(p->arena, doc_member(p->arena, r->status, "_Old", DOC_LIST), old);
}

/* The failed deployment is stopped at once: no snapshot ever had it. */
static void reject(struct pass *p, struct resource *r, const struct doc *deployment, const char *why)
{
    const struct doc *current = doc_get(r->status, "_Current");

    doc_set_string(p->arena, r->status, "FailureReason", why);
    doc_set_integer(p->arena, r->status, "_Rejected", doc_int(deployment, "Number", 0));
    retire(p, r, deployment, 0);
    set_state(r, current ? "InService" : "Failed");
}

static int end_old(struct pass *p, struct resource *r, int64_t *ret_next_ms, struct err *err)
{
    struct platform *platform = engine_context(p->engine);
    const struct doc *old = doc_get(r->status, "_Old");
    struct doc *left = doc_list(p->arena);

    for (size_t i = 0; i < doc_count(old, ""); i++) {
        bool gone = false;

        if (routes_drained(platform->routes, doc_int(old->items[i], "Generation", 0)) &&
            end_instances(p, r, doc_get(old->items[i], "Deployment"), &gone, err) < 0)
            return -1;
        if (!gone)
            doc_append(p->arena, left, doc_copy(p->arena, old->items[i]));
    }
    doc_set(p->arena, r->status, "_Old", left->count ? left : NULL);
    if (left->count)
        *ret_next_ms = p->now_ms + LOOK_MS;
    return 0;
}

/* The new deployment is healthy: let the data plane know, and when it does, it is the current one. */
static void switch_to(struct pass *p, struct resource *r, const struct doc *deployment, struct doc *variants)
{
    struct platform *platform = engine_context(p->engine);
    const struct doc *current = doc_get(r->status, "_Current");
    int64_t generation = publish(p, r, variants);

    if (!routes_applied(platform->routes, generation))
        return;
    if (current && doc_int(current, "Number", 0) != doc_int(deployment, "Number", 0))
        retire(p, r, current, generation);
    doc_set(p->arena, r->status, "_Current", doc_copy(p->arena, deployment));
    doc_set_string(p->arena, r->status, "EndpointConfigName", doc_text(deployment, "EndpointConfigName"));
    doc_set(p->arena, r->status, "FailureReason", NULL);
    show_variants(p, r, deployment, variants);
    set_state(r, "InService");
}

static int64_t oldest(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int keep_up(struct pass *p, struct resource *r, int64_t *ret_next_ms, struct err *err)
{
    const struct doc *wanted = doc_get(r->row.want, "Deployment"), *current = doc_get(r->status, "_Current");
    int64_t number = doc_int(wanted, "Number", 0);
    bool moving = number != doc_int(current, "Number", 0) && number != doc_int(r->status, "_Rejected", 0);
    const struct doc *deployment = moving ? wanted : current;
    struct view v;

    if (!deployment)
        return 0;
    *ret_next_ms = oldest(*ret_next_ms, p->now_ms + (moving ? LOOK_MS : LOOK_LATER_MS));
    if (look_at_all(p, r, deployment, &v, err) < 0)
        return -1;
    if (moving && v.failure) {
        reject(p, r, deployment, v.failure);
        *ret_next_ms = p->now_ms;
    } else if (moving && v.healthy == v.wanted) {
        switch_to(p, r, deployment, v.variants);
        *ret_next_ms = oldest(*ret_next_ms, p->now_ms + 20);
    } else if (!moving) {
        publish(p, r, v.variants);
        show_variants(p, r, deployment, v.variants);
    }
    return 0;
}

static int end_all(struct pass *p, struct resource *r, int64_t *ret_next_ms, bool *ret_row_goes, struct err *err)
{
    struct platform *platform = engine_context(p->engine);
    const struct doc *wanted = doc_get(r->row.want, "Deployment"), *current = doc_get(r->status, "_Current");
    bool wanted_gone, current_gone = true;

    doc_set(p->arena, r->status, "_Routes", NULL);
    *ret_next_ms = p->now_ms + LOOK_MS;
    if (!routes_drained(platform->routes, routes_remove(platform->routes, r->row.uid)))
        return 0;
    /* Each instance once in a pass: its second step relies on the first being saved. */
    if (doc_int(current, "Number", 0) == doc_int(wanted, "Number", 0))
        current = NULL;
    if (end_instances(p, r, wanted, &wanted_gone, err) < 0 ||
        (current && end_instances(p, r, current, &current_gone, err) < 0) || end_old(p, r, ret_next_ms, err) < 0)
        return -1;
    *ret_row_goes = wanted_gone && current_gone && !doc_has(r->status, "_Old");
    return 0;
}

static int reconcile(struct pass *p, struct resource *r, int64_t *ret_next_ms, bool *ret_row_goes, struct err *err)
{
    if (strcmp(get_state(r), "Deleting") == 0)
        return end_all(p, r, ret_next_ms, ret_row_goes, err);
    if (end_old(p, r, ret_next_ms, err) < 0)
        return -1;
    return keep_up(p, r, ret_next_ms, err);
}

static const char *const states[][2] = {
    { "Creating", "InService Failed Deleting" },
    { "InService", "Updating Deleting" },
    { "Updating", "InService Deleting" },
    { "Failed", "Deleting" },
    { "Deleting", "" },
    {},
};

const struct kind endpoint = {
    .name = "Endpoint",
    .service = "sagemaker",
    .arn_type = "endpoint",
    .name_member = "EndpointName",
    .arn_member = "EndpointArn",
    .state_member = "EndpointStatus",
    .states = states,
    .missing_text = "Could not find endpoint \"%s\".",
    .exists_text = "Cannot create already existing endpoint \"%s\".",
    .create = create,
    .update = update,
    .remove = remove_endpoint,
    .reconcile = reconcile,
};
