/* endpoint.c - Endpoint: deployments that answer invocations, and the moves from one to the next.
 *
 * Want has the deployment: what EndpointConfig and Models said when Create or Update was called, resolved, with a
 * number that grows. Both may be deleted afterwards. A deployment is in service when every instance is healthy and the
 * data plane has acknowledged the snapshot that has it; only then, and when no request is left that could know them,
 * the instances before it are stopped. A deployment that fails, or finds no room beside the one before it, is stopped,
 * and the endpoint stays with that one, if there was one.
 *
 * Members of the status that begin with '_' are never shown: _Current (the deployment in service), _Rejected (the
 * number of one that failed), _Routes (the snapshot's entry), _Old (deployments to stop, each with the generation that
 * no longer has it), _WaitsSince (for room), _Ending (all of them are old), _Attempts (deployment.h). */
#include <inttypes.h>
#include <limits.h>
#include <string.h>

#include "base/log.h"
#include "engine/engine.h"
#include "services/routes.h"
#include "services/sagemaker/deployment.h"
#include "services/sagemaker/instance.h"
#include "services/sagemaker/instance_gpus.h"
#include "services/sagemaker/kinds.h"

enum {
    LOOK_MS = 1000,
    LOOK_OFTEN_MS = 5000,
    LOOK_LATER_MS = 15000,
    WAIT_MOST_MS = 30 * 60 * 1000, /* for room */
};

/* --- The API's side --- */

static int deploy(struct call *c, struct resource *r, struct err *err)
{
    struct doc *deployment;

    if (endpoint_config_resolve(c, doc_text(c->input, "EndpointConfigName"), &deployment, err) < 0)
        return -1;
    if (deployment_check(c, r, deployment, err) < 0)
        return -1;
    doc_set_integer(c->arena, deployment, "Number", doc_int(r->want, "Deployment.Number", 0) + 1);
    doc_set_integer(c->arena, deployment, "WantedAt", c->now_ms);
    doc_set(c->arena, r->want, "Deployment", deployment);
    r->row.next_at_ms = c->now_ms;
    return 0;
}

static const char *const refused[] = { "DeploymentConfig.AutoRollbackConfiguration", NULL };

static int create(struct call *c, struct resource *r, struct err *err)
{
    if (instance_refuse_unsafe(c->input, refused, err) < 0)
        return -1;
    return deploy(c, r, err);
}

static int update(struct call *c, struct resource *r, struct err *err)
{
    if (instance_refuse_unsafe(c->input, refused, err) < 0)
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

/* --- What is shown --- */

static struct doc *variant_summary(struct arena *a, const struct doc *deployment, const struct doc *v,
                                   const struct doc *routed)
{
    struct doc *out = doc_map(a), *image = doc_map(a);

    doc_set_string(a, out, "VariantName", doc_text(v, "VariantName"));
    doc_set_string(a, image, "SpecifiedImage", doc_text(v, "Image"));
    doc_set_string(a, image, "ResolvedImage", doc_text(v, "Image"));
    doc_set_integer(a, image, "ResolutionTime", doc_int(deployment, "WantedAt", 0));
    doc_append(a, doc_member(a, out, "DeployedImages", DOC_LIST), image);
    doc_set_real(a, out, "CurrentWeight", doc_number(v, "Weight", 1));
    doc_set_real(a, out, "DesiredWeight", doc_number(v, "Weight", 1));
    doc_set_integer(a, out, "CurrentInstanceCount", (int64_t)doc_count(routed, "instances"));
    doc_set_integer(a, out, "DesiredInstanceCount", doc_int(v, "InstanceCount", 1));
    return out;
}

static void show_variants(struct pass *p, struct resource *r, const struct doc *deployment, const struct doc *routed)
{
    const struct doc *variants = doc_get(deployment, "Variants");
    struct doc *list = doc_list(p->arena);

    for (size_t i = 0; i < doc_count(variants, ""); i++)
        doc_append(p->arena, list, variant_summary(p->arena, deployment, variants->items[i], routed->items[i]));
    doc_set(p->arena, r->status, "ProductionVariants", list);
}

/* What is on its way, and what it waits for. */
static void show_pending(struct pass *p, struct resource *r, const struct doc *deployment,
                         const struct deployment_view *v, const char *message)
{
    struct arena *a = p->arena;
    const struct doc *variants = doc_get(deployment, "Variants");
    struct doc *out = doc_map(a), *list = doc_member(a, out, "ProductionVariants", DOC_LIST);

    doc_set_string(a, out, "EndpointConfigName", doc_text(deployment, "EndpointConfigName"));
    doc_set_integer(a, out, "StartTime", doc_int(deployment, "WantedAt", 0));
    for (size_t i = 0; i < doc_count(variants, ""); i++) {
        struct doc *summary = variant_summary(a, deployment, variants->items[i], v->variants->items[i]);
        struct doc *status = doc_map(a);

        doc_set_string(a, status, "Status", "Creating");
        doc_set_string(a, status, "StatusMessage", *message ? message : NULL);
        doc_set_integer(a, status, "StartTime", doc_int(deployment, "WantedAt", 0));
        doc_append(a, doc_member(a, summary, "VariantStatus", DOC_LIST), status);
        doc_append(a, list, summary);
    }
    doc_set(a, r->status, "PendingDeploymentSummary", out);
}

/* --- What the data plane knows --- */

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

/* Back to what is in service, if anything is; returns the first generation without the deployment on its way. */
static int64_t publish_current(struct pass *p, struct resource *r, struct doc *variants)
{
    struct platform *platform = engine_context(p->engine);

    if (variants)
        return publish(p, r, variants);
    if (!doc_has(r->status, "_Routes"))
        return 0;
    doc_set(p->arena, r->status, "_Routes", NULL);
    return routes_remove(platform->routes, r->row.uid);
}

/* --- Moves --- */

static void retire(struct pass *p, struct resource *r, const struct doc *deployment, int64_t generation)
{
    struct doc *old = doc_map(p->arena);

    doc_set(p->arena, old, "Deployment", doc_copy(p->arena, deployment));
    doc_set_integer(p->arena, old, "Generation", generation);
    doc_append(p->arena, doc_member(p->arena, r->status, "_Old", DOC_LIST), old);
}

static void arrive(struct pass *p, struct resource *r, const char *failure)
{
    doc_set_string(p->arena, r->status, "FailureReason", failure);
    doc_set(p->arena, r->status, "PendingDeploymentSummary", NULL);
    doc_set(p->arena, r->status, "_WaitsSince", NULL);
}

/* The failed deployment is stopped as soon as no request can know it, and mostly none ever did. */
static void reject(struct pass *p, struct resource *r, const struct doc *deployment, const char *why,
                   int64_t generation)
{
    arrive(p, r, why);
    doc_set_integer(p->arena, r->status, "_Rejected", doc_int(deployment, "Number", 0));
    retire(p, r, deployment, generation);
    set_state(r, doc_has(r->status, "_Current") ? "InService" : "Failed");
}

/* The new deployment is healthy: let the data plane know, and when it does, it is the current one. */
static void switch_to(struct pass *p, struct resource *r, const struct doc *deployment, struct doc *variants)
{
    struct platform *platform = engine_context(p->engine);
    const struct doc *current = doc_get(r->status, "_Current");
    int64_t generation = publish(p, r, variants);

    if (!routes_applied(platform->routes, generation))
        return;
    if (current)
        retire(p, r, current, generation);
    doc_set(p->arena, r->status, "_Current", doc_copy(p->arena, deployment));
    doc_set_string(p->arena, r->status, "EndpointConfigName", doc_text(deployment, "EndpointConfigName"));
    arrive(p, r, NULL);
    show_variants(p, r, deployment, variants);
    set_state(r, "InService");
}

/* AWS's words for a deployment that finds no room, and ours why. */
static const char *no_room(struct arena *a, const char *why)
{
    return arena_printf(a,
                        "Unable to provision requested ML compute capacity due to InsufficientInstanceCapacity error. "
                        "Please retry using a different ML instance type or after some time. %s",
                        why);
}

/* Without a fleet file: the old and the new together want GPUs that this machine has not. */
static bool lacks_gpus(const struct platform *platform, const struct doc *deployment, const struct doc *current)
{
    int64_t has = platform->fleet->slots ? platform->fleet->nodes[0].has.gpus : 0;

    return has &&
           deployment_gpus(platform->fleet, deployment) + deployment_gpus(platform->fleet, current) > has;
}

/* Some instance waits for a place. NULL: let it wait, *ret_message says so; else why it waits in vain. */
static const char *wait_for_room(struct pass *p, struct resource *r, const struct doc *deployment,
                                 const struct deployment_view *v, const char **ret_message)
{
    struct platform *platform = engine_context(p->engine);
    struct arena *a = p->arena;
    const struct doc *current = doc_get(r->status, "_Current");
    int here = deployment_size(current), wanted = v->wanted;
    int slots = platform->fleet->slots ? (int)platform->fleet->slots : INT_MAX;
    const char *taken = arena_printf(a, "%s.", v->lacks);
    int64_t since_ms = doc_int(r->status, "_WaitsSince", p->now_ms);

    if (wanted + here > slots && here)
        return no_room(a, arena_printf(a,
                                       "An update runs its %d new beside the %d old instances, and %d run here at one "
                                       "time. Delete the endpoint and create it again.",
                                       wanted, here, slots));
    if (wanted > slots)
        return no_room(a, arena_printf(a, "It wants %d instances, and %d run here at one time.", wanted, slots));
    if (here && lacks_gpus(platform, deployment, current))
        return no_room(a, "An update runs its new beside the old instances, and together they want more GPUs than this "
                          "machine has. Delete the endpoint and create it again.");
    if (p->now_ms - since_ms >= WAIT_MOST_MS)
        return no_room(a, arena_printf(a, "After %d minutes: %s", WAIT_MOST_MS / 60000, taken));
    if (!doc_has(r->status, "_WaitsSince") || since_ms > p->now_ms) { /* later than now: the wall clock went back */
        doc_set_integer(a, r->status, "_WaitsSince", p->now_ms);
        log_warning("endpoint.waits", "endpoint=%s wanted=%d why=\"%s\"", r->row.name, wanted, v->lacks);
    }
    *ret_message = taken;
    return NULL;
}

/* A deployment on its way. 'variants' of the current one, NULL where there is none. */
static int move(struct pass *p, struct resource *r, const struct doc *deployment, struct doc *variants,
                int64_t *ret_next_ms, struct err *err)
{
    const char *message = "", *failure;
    struct deployment_view v;
    int64_t generation;

    if (deployment_look(p, r, deployment, false, &v, ret_next_ms, err) < 0)
        return -1;
    failure = v.failure;
    if (!failure && v.waiting)
        failure = wait_for_room(p, r, deployment, &v, &message);
    else
        doc_set(p->arena, r->status, "_WaitsSince", NULL);
    if (!failure && v.healthy == v.wanted) {
        switch_to(p, r, deployment, v.variants);
        *ret_next_ms = p->now_ms + 20;
        return 0;
    }
    generation = publish_current(p, r, variants);
    if (failure) {
        reject(p, r, deployment, failure, generation);
        *ret_next_ms = p->now_ms;
        return 0;
    }
    show_pending(p, r, deployment, &v, message);
    return 0;
}

static void look_again(int64_t *next_ms, int64_t at_ms)
{
    if (at_ms < *next_ms)
        *next_ms = at_ms;
}

static int keep_up(struct pass *p, struct resource *r, int64_t *ret_next_ms, struct err *err)
{
    const struct doc *wanted = doc_get(r->row.want, "Deployment"), *current = doc_get(r->status, "_Current");
    int64_t number = doc_int(wanted, "Number", 0);
    bool moving = number != doc_int(current, "Number", 0) && number != doc_int(r->status, "_Rejected", 0);
    struct deployment_view v = { .variants = NULL };

    if (current && deployment_look(p, r, current, true, &v, ret_next_ms, err) < 0)
        return -1;
    if (current)
        show_variants(p, r, current, v.variants);
    if (moving) {
        look_again(ret_next_ms, p->now_ms + LOOK_MS);
        return move(p, r, wanted, v.variants, ret_next_ms, err);
    }
    if (current) {
        publish(p, r, v.variants);
        look_again(ret_next_ms, p->now_ms + (v.healthy < v.wanted ? LOOK_OFTEN_MS : LOOK_LATER_MS));
    }
    return 0;
}

/* --- Ends --- */

static int end_old(struct pass *p, struct resource *r, int64_t *ret_next_ms, struct err *err)
{
    struct platform *platform = engine_context(p->engine);
    const struct doc *old = doc_get(r->status, "_Old");
    struct doc *left = doc_list(p->arena);

    for (size_t i = 0; i < doc_count(old, ""); i++) {
        bool gone = false;

        if (routes_drained(platform->routes, doc_int(old->items[i], "Generation", 0)) &&
            deployment_end(p, r, doc_get(old->items[i], "Deployment"), &gone, err) < 0)
            return -1;
        if (!gone)
            doc_append(p->arena, left, doc_copy(p->arena, old->items[i]));
    }
    doc_set(p->arena, r->status, "_Old", left->count ? left : NULL);
    if (left->count)
        *ret_next_ms = p->now_ms + LOOK_MS;
    return 0;
}

/* From here on it is one of the old ones: each is ended once in a pass. */
static void retire_unless_old(struct pass *p, struct resource *r, const struct doc *deployment)
{
    const struct doc *old = doc_get(r->status, "_Old");

    for (size_t i = 0; i < doc_count(old, ""); i++)
        if (doc_int(old->items[i], "Deployment.Number", 0) == doc_int(deployment, "Number", 0))
            return;
    if (deployment)
        retire(p, r, deployment, 0);
}

static int end_all(struct pass *p, struct resource *r, int64_t *ret_next_ms, bool *ret_row_goes, struct err *err)
{
    struct platform *platform = engine_context(p->engine);

    doc_set(p->arena, r->status, "_Routes", NULL);
    *ret_next_ms = p->now_ms + LOOK_MS;
    if (!routes_drained(platform->routes, routes_remove(platform->routes, r->row.uid)))
        return 0;
    if (!doc_bool(r->status, "_Ending", false)) {
        retire_unless_old(p, r, doc_get(r->row.want, "Deployment"));
        retire_unless_old(p, r, doc_get(r->status, "_Current"));
        doc_set_boolean(p->arena, r->status, "_Ending", true);
    }
    if (end_old(p, r, ret_next_ms, err) < 0)
        return -1;
    *ret_row_goes = !doc_has(r->status, "_Old");
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

static bool owns(struct arena *a, const struct resource *r, const char *agent)
{
    const struct doc *old = doc_get(r->status, "_Old");

    for (size_t i = 0; i < doc_count(old, ""); i++)
        if (deployment_has(a, r, doc_get(old->items[i], "Deployment"), agent))
            return true;
    return deployment_has(a, r, doc_get(r->row.want, "Deployment"), agent) ||
           deployment_has(a, r, doc_get(r->status, "_Current"), agent);
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
    .owns = owns,
};
