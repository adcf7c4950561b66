#include "services/sagemaker/deployment.h"

#include <inttypes.h>
#include <string.h>

#include "base/log.h"
#include "engine/engine.h"
#include "engine/tags.h"
#include "run/runtime.h"
#include "services/sagemaker/allocation.h"
#include "services/sagemaker/instance.h"
#include "services/sagemaker/instance_gpus.h"
#include "services/sagemaker/instance_usage.h"

enum {
    GRACE_S = 30, /* contracts of the serving container: SIGTERM, then SIGKILL after 30 s */
    PORT = 8080,
    BACK_OFF_MOST_MS = 300000,
    RELIABLE_MS = 600000, /* one that lived so long begins a new count */
    REASON_MAX = 1024,    /* of FailureReason */
};

/* --- Places --- */

struct each { /* one instance of a deployment */
    const struct doc *deployment, *variant;
    int index;
    const char *place; /* "VARIANT/NUMBER/INDEX" */
    const struct doc *record; /* of its attempts; NULL: it is the first, and all is well */
    const char *name; /* of its agent */
    const char *key;  /* of its allocation, which all its attempts use */
};

static const char *name_of(struct arena *a, const struct resource *r, const char *place, int64_t attempt)
{
    return arena_printf(a, "%s-%" PRId64, child_uid(a, r->row.uid, place, (int)attempt), attempt);
}

static bool visit(struct arena *a, const struct resource *r, const struct doc *deployment, size_t *variant,
                  struct each *e)
{
    const struct doc *variants = doc_get(deployment, "Variants");

    while (*variant < doc_count(variants, "")) {
        e->deployment = deployment;
        e->variant = variants->items[*variant];
        if (e->index < doc_int(e->variant, "InstanceCount", 1)) {
            e->place = arena_printf(a, "%s/%" PRId64 "/%d", doc_text(e->variant, "VariantName"),
                                    doc_int(deployment, "Number", 0), e->index);
            e->record = doc_get(doc_get(r->status, "_Attempts"), e->place);
            e->name = name_of(a, r, e->place, doc_int(e->record, "Attempt", 0));
            e->key = child_uid(a, r->row.uid, e->place, 0);
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

static struct doc *record_of(struct arena *a, struct resource *r, const struct each *e)
{
    return doc_member(a, doc_member(a, r->status, "_Attempts", DOC_MAP), e->place, DOC_MAP);
}

static void forget_attempts(struct arena *a, struct resource *r, const struct doc *deployment)
{
    struct doc *attempts = doc_member(a, r->status, "_Attempts", DOC_MAP);

    each_instance(e, a, r, deployment)
        doc_set(a, attempts, e.place, NULL);
    if (!attempts->count)
        doc_set(a, r->status, "_Attempts", NULL);
}

bool deployment_has(struct arena *a, const struct resource *r, const struct doc *deployment, const char *agent)
{
    each_instance(e, a, r, deployment)
        if (strcmp(e.name, agent) == 0)
            return true;
    return false;
}

int64_t deployment_gpus(const struct fleet *fleet, const struct doc *deployment)
{
    const struct doc *variants = doc_get(deployment, "Variants");
    int64_t gpus = 0;

    for (size_t i = 0; i < doc_count(variants, ""); i++)
        gpus += doc_int(variants->items[i], "InstanceCount", 1) *
                fleet_type_gpus(fleet, doc_text(variants->items[i], "InstanceType"));
    return gpus;
}

/* None of an endpoint that was made when there was no limit. */
static int64_t volume_gb(const struct doc *variant)
{
    return doc_int(variant, "VolumeGb", 0);
}

int deployment_check(struct call *c, const struct resource *r, const struct doc *deployment, struct err *err)
{
    const struct doc *variants = doc_get(deployment, "Variants");
    size_t count = doc_count(variants, "");
    struct wish *wishes = arena_array_of(c->arena, struct wish, count + 1);

    for (size_t i = 0; i < count; i++) {
        const struct doc *v = variants->items[i];

        wishes[i] = (struct wish){ .key = child_uid(c->arena, r->row.uid, doc_text(v, "VariantName"), 0),
                                   .usage = "endpoint", .role_arn = doc_text(v, "RoleArn"), .group_count = 1,
                                   .groups = { { doc_text(v, "InstanceType"), doc_int(v, "InstanceCount", 1),
                                                 volume_gb(v) } } };
    }
    return allocation_check(c, r, wishes, (int)count, err);
}

int deployment_size(const struct doc *deployment)
{
    const struct doc *variants = doc_get(deployment, "Variants");
    int size = 0;

    for (size_t i = 0; i < doc_count(variants, ""); i++)
        size += (int)doc_int(variants->items[i], "InstanceCount", 1);
    return size;
}

/* --- One instance --- */

static struct wish wish_of(const struct each *e, bool in_service)
{
    return (struct wish){ .key = e->key, .usage = "endpoint", .urgent = in_service,
                          .role_arn = doc_text(e->variant, "RoleArn"),
                          .groups = { { doc_text(e->variant, "InstanceType"), 1, volume_gb(e->variant) } },
                          .group_count = 1 };
}

static const char *log_group(struct arena *a, const struct resource *r)
{
    return arena_printf(a, "/aws/sagemaker/Endpoints/%s", r->row.name);
}

static const char *log_stream(struct arena *a, const struct each *e)
{
    return arena_printf(a, "%s/i-%.17s", doc_text(e->variant, "VariantName"), e->name);
}

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
        .log_group = log_group(a, r),
        .log_stream = log_stream(a, e),
        .environment = doc_get(e->variant, "Environment"),
        .isolated = doc_bool(e->variant, "Isolated", false),
        .volume_gb = volume_gb(e->variant),
        .allocation = e->key,
    };
    struct doc *order, *models = doc_list(a);
    const struct doc *source = doc_at(e->variant, "ModelDataSource.S3DataSource");
    const char *url = doc_text_or(source, "S3Uri", doc_text(e->variant, "ModelDataUrl"));

    if (instance_order(a, p->engine, &instance, p->now_ms, &order, err) < 0)
        return -1;
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
    const struct instance_usage usage = { .owner = &r->row, .key = e->key, .work = "hosting", .instance = e->key,
                                          .role_arn = doc_text(e->variant, "RoleArn"),
                                          .instance_type = doc_text(e->variant, "InstanceType") };
    struct doc *attributes = instance_usage(p->arena, engine_context(p->engine), &usage), *tags;

    if (tags_of(p->arena, p->engine, r->row.uid, &tags, err) < 0)
        return -1;
    doc_set(p->arena, attributes, "tags", tags);
    return usage_open(p->engine, e->name, at_ms, attributes, err);
}

/* One more step towards its end; *ret_gone when nothing of it is left. */
static int end_instance(struct pass *p, const struct each *e, bool *ret_gone, struct err *err)
{
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
    instance_gpus_give(p, e->name);
    *ret_gone = true;
    return 0;
}

/* --- Replacement --- */

/* At once the first time, then after 1, 2, 4... s. */
static int64_t back_off_ms(int64_t deaths)
{
    int64_t ms = 500;

    if (deaths < 2)
        return 0;
    while (--deaths > 0 && ms < BACK_OFF_MOST_MS)
        ms *= 2;
    return ms < BACK_OFF_MOST_MS ? ms : BACK_OFF_MOST_MS;
}

/* How long its next attempt has to wait yet. A wall clock that went back keeps nobody waiting. */
static int64_t pause_ms(const struct each *e, int64_t now_ms)
{
    int64_t died_ms = doc_int(e->record, "DiedAt", 0), due_ms;

    due_ms = died_ms + back_off_ms(doc_int(e->record, "Deaths", 0));
    return now_ms < died_ms || now_ms >= due_ms ? 0 : due_ms - now_ms;
}

/* It has ended for good. That is saved, with its usage, before it is swept: after the sweep it would look like one that
 * never was, and be started a second time under its name. */
static int bury(struct pass *p, struct resource *r, const struct each *e, const struct report *report, const char *why,
                struct err *err)
{
    int64_t ended_ms = report->ended_ms ? report->ended_ms : p->now_ms;
    bool reliable = report->started_ms && ended_ms - report->started_ms >= RELIABLE_MS;
    int64_t deaths = (reliable ? 0 : doc_int(e->record, "Deaths", 0)) + 1;
    struct doc *record = record_of(p->arena, r, e);

    if (instance_gpus_fault(p, e->name, report, err) < 0 || usage_close(p->engine, e->name, ended_ms, err) < 0 ||
        store_row_note(engine_world_of(p->engine)->store, r->row.uid, "replaced", p->now_ms, err) < 0)
        return -1;
    doc_set_boolean(p->arena, record, "Over", true);
    doc_set_integer(p->arena, record, "Deaths", deaths);
    doc_set_integer(p->arena, record, "DiedAt", p->now_ms);
    log_warning("endpoint.replaced", "endpoint=%s instance=%s deaths=%" PRId64 " again_ms=%" PRId64 " why=%s",
                r->row.name, e->name, deaths, back_off_ms(deaths), log_quote(p->arena, why));
    return 0;
}

/* What was buried is swept, and its place on its node is the next attempt's. */
static int succeed(struct pass *p, struct resource *r, const struct each *e, int64_t *ret_next_ms, struct err *err)
{
    int64_t attempt = doc_int(e->record, "Attempt", 0) + 1;
    struct doc *record = record_of(p->arena, r, e);
    bool gone;

    if (end_instance(p, e, &gone, err) < 0)
        return -1;
    *ret_next_ms = p->now_ms;
    if (!gone)
        return 0;
    doc_set_integer(p->arena, record, "Attempt", attempt);
    doc_set(p->arena, record, "Over", NULL);
    return 0;
}

/* --- Looking --- */

static void sooner(int64_t *next_ms, int64_t at_ms)
{
    if (at_ms < *next_ms)
        *next_ms = at_ms;
}

/* The words of the agent, and where the rest of them is, when a container ran that could say any. */
static const char *failure_of(struct pass *p, const struct resource *r, const struct each *e, const char *why,
                              bool ran)
{
    struct arena *a = p->arena;
    const char *where = ran ? arena_printf(a, " Logs: %s, stream %s", log_group(a, r), log_stream(a, e)) : "";
    size_t room = REASON_MAX - 1 - strlen(where), size;

    if (!*why)
        why = "The instance ended.";
    size = strlen(why);
    if (size > room)
        for (size = room; size && ((unsigned char)why[size] & 0xc0) == 0x80; size--)
            ;
    return arena_printf(a, "%.*s%s%s", (int)size, why, size && strchr(".!?", why[size - 1]) ? "" : ".", where);
}

static int begin(struct pass *p, struct resource *r, const struct each *e, bool in_service, struct deployment_view *v,
                 int64_t *ret_next_ms, struct err *err)
{
    const struct wish wish = wish_of(e, in_service);
    const struct report none = { 0 };
    struct allocation at;
    int64_t wait_ms = pause_ms(e, p->now_ms);
    bool ran;

    /* What ran and is not there any more went with its host. */
    if (usage_is_open(p->engine, e->name, &ran, err) < 0)
        return -1;
    if (ran) {
        *ret_next_ms = p->now_ms;
        return bury(p, r, e, &none, "its host has lost it", err);
    }
    if (allocation_take(p, r, &wish, &at, err) < 0)
        return -1;
    if (at.state == ALLOCATION_WAITS) {
        v->waiting++;
        v->lacks = at.words;
        return 0;
    }
    if (at.state != ALLOCATION_HELD) {
        sooner(ret_next_ms, p->now_ms);
        return at.state == ALLOCATION_NEW ? 0 : allocation_requeue(p, e->key, err);
    }
    if (wait_ms) {
        sooner(ret_next_ms, p->now_ms + wait_ms);
        return 0;
    }
    if (start(p, r, e, err) == 0)
        return 0;
    if (err->kind != ERR_INVALID)
        return -1;
    if (in_service)
        return bury(p, r, e, &none, err->text, err);
    v->failure = failure_of(p, r, e, err->text, false);
    return 0;
}

static void show(struct arena *a, const struct each *e, const struct report *report, struct doc *instances)
{
    struct doc *instance = doc_map(a);

    doc_set_string(a, instance, "uid", e->name);
    doc_set_string(a, instance, "address", report->address);
    doc_set_integer(a, instance, "port", report->port);
    doc_append(a, instances, instance);
}

static int look(struct pass *p, struct resource *r, const struct each *e, bool in_service, struct deployment_view *v,
                struct doc *instances, int64_t *ret_next_ms, struct err *err)
{
    const struct wish wish = wish_of(e, in_service);
    enum runtime_state state;
    const struct doc *seen;
    struct allocation ignored; /* it is on demand: nobody takes its place away */
    struct report report;

    v->wanted++;
    if (doc_bool(e->record, "Over", false))
        return succeed(p, r, e, ret_next_ms, err);
    if (runtime_inspect(p->runtime, p->arena, e->name, &state, &seen, err) < 0)
        return -1;
    if (state == RUNTIME_NONE)
        return begin(p, r, e, in_service, v, ret_next_ms, err);
    if (allocation_look(p, r, &wish, &ignored, err) < 0)
        return -1;
    report = report_read(seen);
    if (report.started_ms && open_usage(p, r, e, report.started_ms, err) < 0)
        return -1;
    if (strcmp(report.phase, "Ended") == 0 && in_service) {
        *ret_next_ms = p->now_ms;
        return bury(p, r, e, &report, report.failure_reason, err);
    }
    if (strcmp(report.phase, "Ended") == 0) {
        v->failure = failure_of(p, r, e, report.failure_reason, report.started_ms != 0);
    } else if (report.healthy) {
        v->healthy++;
        show(p->arena, e, &report, instances);
    }
    return 0;
}

int deployment_look(struct pass *p, struct resource *r, const struct doc *deployment, bool in_service,
                    struct deployment_view *ret, int64_t *ret_next_ms, struct err *err)
{
    struct arena *a = p->arena;
    struct deployment_view v = { .variants = doc_list(a) };
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
        if (look(p, r, &e, in_service, &v, doc_member(a, variant, "instances", DOC_LIST), ret_next_ms, err) < 0)
            return -1;
    }
    *ret = v;
    return 0;
}

int deployment_end(struct pass *p, struct resource *r, const struct doc *deployment, bool *ret_gone, struct err *err)
{
    bool all = true, gone;

    each_instance(e, p->arena, r, deployment)
    {
        if (end_instance(p, &e, &gone, err) < 0 || (gone && allocation_give(p, e.key, err) < 0))
            return -1;
        all = all && gone;
    }
    if (all && doc_has(r->status, "_Attempts"))
        forget_attempts(p->arena, r, deployment);
    *ret_gone = all;
    return 0;
}
