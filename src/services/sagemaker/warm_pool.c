/* warm_pool.c - a pool is available, and then it is reused or terminated; each once.
 *
 * While it is available its job holds what it held when it ran, an interval of usage is open for each instance, and its
 * key - what must be the same in a job that takes it - stands in a table where such a job looks. A job that finds it
 * says so in the want of the pool's row and takes what it holds, all in one transaction; the next pass of the pool's
 * row closes its books. An agent for each instance stands by meanwhile, with everything ready for an order like the
 * last one (runtime_prepare): the first attempt of the job that takes the pool has the names of these agents, and is
 * started under them.
 *
 * Members of ours: want.KeepAlive {Seconds, AtMs} (an update), want.Reused {By, AtMs}; status._Pool {SinceMs (since
 * when it is available), FirstMs (when the first job that ran on these instances began), Prepared (its agents stand
 * by), Swept (they are gone)} of a job that has or had a pool; status._Claimed {From (the uid of the pool's job),
 * FirstMs} of one that took it. */
#include "services/sagemaker/warm_pool.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "doc/json.h"
#include "engine/engine.h"
#include "engine/tags.h"
#include "run/runtime.h"
#include "services/platform.h"
#include "services/sagemaker/crew.h"
#include "sign/digest.h"
#include "store/store.h"

/* By key and uid: the pools that are available. In the file of the rows, and so one with them after a crash. */
static const char table[] = "core_warm_pools";

/* "The cluster can only continue running for a maximum of 28 days": the developer guide. */
static const int64_t longest_ms = (int64_t)28 * 24 * 3600 * 1000;

enum { LOOK_MS = 200 }; /* while what stood by is on its way out */

static int64_t keep_s(const struct resource *r)
{
    int64_t asked_s = doc_int(r->row.spec, "ResourceConfig.KeepAlivePeriodInSeconds", 0);

    return doc_int(r->row.want, "KeepAlive.Seconds", asked_s);
}

/* A runtime that cannot prepare has no instances to keep: what runs next runs anywhere. */
static bool can_keep(const struct runtime *rt)
{
    return rt->prepare != NULL;
}

static const char *status_of(const struct resource *r)
{
    return doc_text(r->status, "WarmPoolStatus.Status");
}

static void set_status(struct arena *a, struct resource *r, const char *status)
{
    doc_set_string(a, doc_member(a, r->status, "WarmPoolStatus", DOC_MAP), "Status", status);
}

bool warm_pool_is_kept(const struct resource *r)
{
    return strcmp(status_of(r), "Available") == 0 && !doc_has(r->row.want, "Reused");
}

/* Never before the update that shortened it: what is kept until then is paid. */
static int64_t kept_until_ms(const struct resource *r)
{
    int64_t until_ms = doc_int(r->status, "_Pool.SinceMs", 0) + keep_s(r) * 1000;
    int64_t updated_ms = doc_int(r->row.want, "KeepAlive.AtMs", 0);

    return until_ms > updated_ms ? until_ms : updated_ms;
}

/* --- The API's side --- */

int warm_pool_check(const struct doc *input, const struct training_spec *s, struct err *err)
{
    if (doc_int(input, "ResourceConfig.KeepAlivePeriodInSeconds", 0) == 0)
        return 0;
    if (s->spot)
        return fail_code(err, ERR_INVALID, "ValidationException",
                         "KeepAlivePeriodInSeconds cannot be used with EnableManagedSpotTraining: managed warm pools "
                         "cannot be used with spot instances.");
    if (doc_count(s->groups, "") > 0)
        return fail_code(err, ERR_INVALID, "ValidationException",
                         "KeepAlivePeriodInSeconds cannot be used with InstanceGroups: managed warm pools cannot be "
                         "used with heterogeneous clusters.");
    return 0;
}

const char *warm_pool_warning(struct call *c, const struct resource *r)
{
    const struct runtime *rt = engine_world_of(c->engine)->runtime;

    if (can_keep(rt) || keep_s(r) <= 0)
        return "";
    return arena_printf(c->arena, ". Warning: KeepAlivePeriodInSeconds keeps nothing with the runtime %s: a job's "
                                  "instances go back when it ends.", rt->kind);
}

int warm_pool_update(struct call *c, struct resource *r, struct err *err)
{
    static const char *const others[] = { "ProfilerConfig", "ProfilerRuleConfigurations", "RemoteDebugConfig" };
    const char *status = doc_has(r->row.want, "Reused") ? "Reused" : *status_of(r) ? status_of(r) : "not there";
    /* Its period may be over before the pass that ends it. */
    bool is_over = warm_pool_is_kept(r) && c->now_ms >= kept_until_ms(r);
    struct doc *keep;

    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (doc_has(c->input, others[i]))
            return fail_code(err, ERR_INVALID, "ValidationException",
                             "%s cannot be updated here: it has no effect.", others[i]);
    if (!doc_has(c->input, "ResourceConfig"))
        return fail_code(err, ERR_INVALID, "ValidationException",
                         "Nothing to update: give ResourceConfig.KeepAlivePeriodInSeconds.");
    if (!warm_pool_is_kept(r) || is_over)
        return fail_code(err, ERR_INVALID, "ValidationException",
                         "KeepAlivePeriodInSeconds can be updated while the warm pool of the training job is "
                         "Available. The job is %s, and its warm pool is %s.", get_state(r),
                         is_over ? "Terminated" : status);
    keep = doc_member(c->arena, r->want, "KeepAlive", DOC_MAP);
    doc_set_integer(c->arena, keep, "Seconds", doc_int(c->input, "ResourceConfig.KeepAlivePeriodInSeconds", 0));
    doc_set_integer(c->arena, keep, "AtMs", c->now_ms);
    return 0;
}

/* A pool that is available tells how long it has been kept so far. */
static void describe_retained(struct call *c, const struct resource *r)
{
    struct doc *status = doc_copy(c->arena, doc_get(r->row.status, "WarmPoolStatus"));
    int64_t kept_ms = c->now_ms - doc_int(r->row.status, "_Pool.SinceMs", c->now_ms);

    doc_set_integer(c->arena, status, "ResourceRetainedBillableTimeInSeconds", kept_ms > 0 ? kept_ms / 1000 : 0);
    doc_set(c->arena, c->output, "WarmPoolStatus", status);
    c->varies = true;
}

void warm_pool_describe(struct call *c, const struct resource *r)
{
    if (doc_has(r->row.want, "KeepAlive.Seconds")) {
        struct doc *config = doc_copy(c->arena, doc_get(r->row.spec, "ResourceConfig"));

        doc_set_integer(c->arena, config, "KeepAlivePeriodInSeconds", keep_s(r));
        doc_set(c->arena, c->output, "ResourceConfig", config);
    }
    if (strcmp(status_of(r), "Available") == 0)
        describe_retained(c, r);
}

bool warm_pool_listed(struct call *c, const struct resource *r)
{
    return !doc_has(c->input, "WarmPoolStatusEquals") ||
           strcmp(doc_text(c->input, "WarmPoolStatusEquals"), status_of(r)) == 0;
}

/* --- What is kept --- */

struct wish warm_pool_wish(const struct resource *r)
{
    struct wish w = training_wish(r);

    w.usage = "training warm pool";
    w.max_runtime_ms = 0;
    return w;
}

static const char *interval_of(struct arena *a, const struct resource *r, int instance)
{
    return arena_printf(a, "%s-warm", training_present_agent(a, r, instance));
}

static int open_intervals(struct pass *p, const struct resource *r, struct err *err)
{
    int64_t since_ms = doc_int(r->status, "_Pool.SinceMs", 0);
    struct doc *tags;

    if (tags_of(p->arena, p->engine, r->row.uid, &tags, err) < 0)
        return -1;
    for (int i = 0; i < training_instances(r); i++) {
        struct doc *attributes = training_usage(p->arena, engine_context(p->engine), r, i);

        doc_set(p->arena, attributes, "tags", tags);
        doc_set_string(p->arena, attributes, "work", "warm pool");
        if (usage_open(p->engine, interval_of(p->arena, r, i), since_ms, attributes, err) < 0)
            return -1;
    }
    return 0;
}

/* *ret_ms: how long each was kept. */
static int close_intervals(struct pass *p, const struct resource *r, int64_t at_ms, int64_t *ret_ms, struct err *err)
{
    for (int i = 0; i < training_instances(r); i++)
        if (usage_close(p->engine, interval_of(p->arena, r, i), at_ms, err) < 0)
            return -1;
    return usage_length(p->engine, interval_of(p->arena, r, 0), ret_ms, err);
}

/* --- Who may have it --- */

/* Everything that must be identical, by the developer guide. */
static const char *key_of(struct arena *a, const struct row *row)
{
    static const char *const members[] = {
        "RoleArn", "ResourceConfig.InstanceCount", "ResourceConfig.InstanceType", "ResourceConfig.VolumeKmsKeyId",
        "ResourceConfig.VolumeSizeInGB", "VpcConfig", "EnableInterContainerTrafficEncryption", "EnableNetworkIsolation",
        "SessionChainingConfig.EnableSessionTagChaining",
    };
    struct doc *all = doc_list(a);
    char *hex = arena_alloc(a, 2 * SHA256_SIZE + 1);
    const char *text;

    doc_append(a, all, doc_string(a, row->account));
    doc_append(a, all, doc_string(a, row->region));
    for (size_t i = 0; i < sizeof members / sizeof *members; i++) {
        const struct doc *value = doc_at(row->spec, members[i]);

        /* False is as good as not there. */
        if (!value || (value->type == DOC_BOOLEAN && !value->boolean))
            doc_append(a, all, doc_null(a));
        else
            doc_append(a, all, doc_copy(a, value));
    }
    text = json_text(a, all);
    sha256_hex(hex, text, strlen(text));
    return hex;
}

static struct str entry_of(struct arena *a, const struct row *row)
{
    return str_of(arena_printf(a, "%s/%s", key_of(a, row), row->uid));
}

/* The pool that may go to this job now; without one *ret_found is false. */
static int find(struct arena *a, struct engine *e, const struct resource *r, int64_t now_ms, struct resource *ret,
                bool *ret_found, struct err *err)
{
    struct str prefix = str_of(arena_printf(a, "%s/", key_of(a, &r->row)));
    struct range range = { .from = prefix, .to = store_after_prefix(a, prefix) };
    struct pair *pairs;
    int count;

    *ret_found = false;
    if (store_scan(a, engine_world_of(e)->store, table, &range, &pairs, &count, err) < 0)
        return -1;
    for (int i = 0; i < count && !*ret_found; i++) {
        const char *uid = str_dup(a, (struct str){ pairs[i].key.data + prefix.size,
                                                   pairs[i].key.size - prefix.size });

        if (resource_load(a, e, uid, ret, err) < 0) {
            if (err->kind != ERR_NOT_FOUND)
                return -1;
            continue;
        }
        *ret_found = warm_pool_is_kept(ret) && now_ms < kept_until_ms(ret) &&
                     now_ms - doc_int(ret->status, "_Pool.FirstMs", 0) < longest_ms;
    }
    return 0;
}

static int first_to_end(const void *a, const void *b)
{
    const struct kept_pool *x = a, *y = b;

    return x->until_ms != y->until_ms ? (x->until_ms < y->until_ms ? -1 : 1) : strcmp(x->job, y->job);
}

int warm_pools_kept(struct arena *a, struct engine *e, int most, struct kept_pool *ret, int *ret_count, struct err *err)
{
    struct range range = { .limit = most };
    struct pair *pairs;
    int count, used = 0;

    if (store_scan(a, engine_world_of(e)->store, table, &range, &pairs, &count, err) < 0)
        return -1;
    for (int i = 0; i < count; i++) {
        const char *uid = strrchr(str_dup(a, pairs[i].key), '/') + 1;
        struct resource r;

        if (resource_load(a, e, uid, &r, err) < 0) {
            if (err->kind != ERR_NOT_FOUND)
                return -1;
            continue;
        }
        if (warm_pool_is_kept(&r))
            ret[used++] = (struct kept_pool){ .key = uid, .job = r.row.name, .until_ms = kept_until_ms(&r) };
    }
    qsort(ret, (size_t)used, sizeof *ret, first_to_end);
    *ret_count = used;
    return 0;
}

int warm_pool_awaits(struct call *c, const struct resource *r, bool *ret, struct err *err)
{
    struct resource ignored;

    *ret = false;
    return training_spec_of(r->row.spec).spot ? 0 : find(c->arena, c->engine, r, c->now_ms, &ignored, ret, err);
}

bool warm_pool_is_used(const struct resource *r)
{
    return keep_s(r) > 0 || (doc_has(r->status, "_Claimed") && training_attempt(r) == 0);
}

int warm_pool_claim(struct pass *p, struct resource *r, bool *ret_found, struct err *err)
{
    struct store *store = engine_world_of(p->engine)->store;
    const struct wish wish = training_wish(r);
    struct doc *reused, *claimed = doc_map(p->arena);
    struct resource pool;

    *ret_found = false;
    if (training_attempt(r) > 0 || doc_has(r->status, "_Claimed") || training_spec_of(r->row.spec).spot)
        return 0;
    if (find(p->arena, p->engine, r, p->now_ms, &pool, ret_found, err) < 0)
        return -1;
    if (!*ret_found)
        return 0;
    if (allocation_inherit(p, r, &wish, pool.row.uid, ret_found, err) < 0)
        return -1;
    if (!*ret_found)
        return 0;
    reused = doc_member(p->arena, pool.want, "Reused", DOC_MAP);
    doc_set_string(p->arena, reused, "By", r->row.name);
    doc_set_integer(p->arena, reused, "AtMs", p->now_ms);
    if (resource_want(p->engine, &pool, err) < 0 || store_remove(store, table, entry_of(p->arena, &pool.row), err) < 0)
        return -1;
    doc_set_string(p->arena, claimed, "From", pool.row.uid);
    doc_set_integer(p->arena, claimed, "FirstMs", doc_int(pool.status, "_Pool.FirstMs", 0));
    doc_set(p->arena, r->status, "_Claimed", claimed);
    set_status(p->arena, r, "InUse");
    return 0;
}

void warm_pool_begin(struct arena *a, struct resource *r)
{
    if (keep_s(r) > 0)
        set_status(a, r, "InUse");
}

/* --- Who stands by --- */

const char *warm_pool_agent(struct arena *a, const char *uid, int instance)
{
    return arena_printf(a, "%s-0", child_uid(a, uid, arena_printf(a, "warm %s", crew_host(a, instance)), 0));
}

bool warm_pool_is_swept(const struct resource *r)
{
    return !doc_has(r->status, "_Pool") || doc_bool(r->status, "_Pool.Swept", false);
}

bool warm_pool_owns(struct arena *a, const struct resource *r, const char *agent)
{
    for (int i = 0; i < training_instances(r) && !warm_pool_is_swept(r); i++)
        if (strcmp(warm_pool_agent(a, r->row.uid, i), agent) == 0)
            return true;
    return false;
}

/* For a job like the last one. What cannot be prepared is a cold start, and nothing else. */
static int prepare(struct pass *p, struct resource *r, struct err *err)
{
    if (doc_bool(r->status, "_Pool.Prepared", false))
        return 0;
    for (int i = 0; i < training_instances(r); i++) {
        struct doc *order;
        struct err why;

        if (training_order(p, r, i, p->now_ms, 0, &order, &why) < 0)
            continue;
        doc_set(p->arena, order, "role", NULL); /* the next job brings its own */
        if (runtime_prepare(p->runtime, warm_pool_agent(p->arena, r->row.uid, i), order,
                            training_present_agent(p->arena, r, i), err) < 0 && err->kind != ERR_INVALID)
            return -1;
    }
    doc_set_boolean(p->arena, doc_member(p->arena, r->status, "_Pool", DOC_MAP), "Prepared", true);
    return 0;
}

static int sweep(struct pass *p, struct resource *r, int64_t *ret_next_ms, struct err *err)
{
    for (int i = 0; i < training_instances(r); i++) {
        if (runtime_forget(p->runtime, warm_pool_agent(p->arena, r->row.uid, i), err) == 0)
            continue;
        if (err->kind != ERR_CONFLICT)
            return -1;
        *ret_next_ms = p->now_ms + LOOK_MS;
        return 0;
    }
    doc_set_boolean(p->arena, doc_member(p->arena, r->status, "_Pool", DOC_MAP), "Swept", true);
    return 0;
}

/* --- Its life --- */

bool warm_pool_keep(struct pass *p, struct resource *r, bool healthy, int64_t at_ms)
{
    bool launched = doc_has(r->status, "_StartedMs");
    bool kept = launched && can_keep(p->runtime) && healthy && keep_s(r) > 0;
    struct doc *pool;

    if (!*status_of(r))
        return false;
    set_status(p->arena, r, kept ? "Available" : "Terminated");
    if (!kept)
        return false;
    pool = doc_member(p->arena, r->status, "_Pool", DOC_MAP);
    doc_set_integer(p->arena, pool, "SinceMs", at_ms);
    doc_set_integer(p->arena, pool, "FirstMs", doc_int(r->status, "_Claimed.FirstMs", r->row.created_ms));
    return true;
}

static int finish(struct pass *p, struct resource *r, const char *status, int64_t at_ms, struct err *err)
{
    struct doc *shown = doc_member(p->arena, r->status, "WarmPoolStatus", DOC_MAP);
    int64_t kept_ms;

    /* It may have been taken or have ended before the pass that would have opened them. */
    if (open_intervals(p, r, err) < 0 || close_intervals(p, r, at_ms, &kept_ms, err) < 0 ||
        store_remove(engine_world_of(p->engine)->store, table, entry_of(p->arena, &r->row), err) < 0 ||
        allocation_give(p, r->row.uid, err) < 0)
        return -1;
    set_status(p->arena, r, status);
    doc_set_integer(p->arena, shown, "ResourceRetainedBillableTimeInSeconds", (kept_ms + 999) / 1000);
    if (doc_has(r->row.want, "Reused")) {
        doc_set_string(p->arena, shown, "ReusedByJob", doc_text(r->row.want, "Reused.By"));
        /* Those that stood by are the other job's. */
        doc_set_boolean(p->arena, doc_member(p->arena, r->status, "_Pool", DOC_MAP), "Swept", true);
    }
    return 0;
}

int warm_pool_step(struct pass *p, struct resource *r, int64_t *ret_next_ms, bool *ret_moved, struct err *err)
{
    int64_t until_ms = kept_until_ms(r);
    /* A wall clock that went back would keep it for longer than was asked. */
    bool over = p->now_ms >= until_ms || p->now_ms < doc_int(r->status, "_Pool.SinceMs", 0);

    *ret_moved = false;
    if (strcmp(status_of(r), "Available") != 0)
        return warm_pool_is_swept(r) ? 0 : sweep(p, r, ret_next_ms, err);
    *ret_moved = over || doc_has(r->row.want, "Reused");
    if (doc_has(r->row.want, "Reused"))
        return finish(p, r, "Reused", doc_int(r->row.want, "Reused.AtMs", p->now_ms), err);
    if (over)
        return finish(p, r, "Terminated", p->now_ms < until_ms ? p->now_ms : until_ms, err);
    if (open_intervals(p, r, err) < 0 || prepare(p, r, err) < 0 ||
        store_put(engine_world_of(p->engine)->store, table, entry_of(p->arena, &r->row), STR(""), err) < 0)
        return -1;
    if (until_ms < *ret_next_ms)
        *ret_next_ms = until_ms;
    return 0;
}
