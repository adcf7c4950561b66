/* node_health.c - what takes a node out, and what brings it back.
 *
 * What a check has found on the node itself stays until somebody has looked at it. What was only seen from outside (a
 * container that is gone, a peer that cannot be reached) may have been the moment's: such a node comes back after a
 * while, and one that makes a habit of it is a lemon, which the scheduler uses last.
 *
 * When many nodes fail it is rarely the nodes: a fifth of the fleet at most is taken out, as Karpenter's node repair
 * has it. A fleet of one node keeps it.
 *
 * On a Slurm cluster Slurm gives the nodes: it is asked not to give those that are out. It gives GPUs as well, and
 * cannot be asked to keep one of them: a node whose GPU is bad is out until somebody has looked at it. */
#include "services/sagemaker/node_health.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "base/log.h"
#include "base/map.h"
#include "doc/json.h"
#include "run/runtime.h"
#include "services/platform.h"
#include "services/sagemaker/allocation.h"
#include "services/sagemaker/allocation_record.h"
#include "services/sagemaker/health_events.h"
#include "services/sagemaker/node_row.h"
#include "store/store.h"

static const char table[] = "core_node_health";

enum {
    BACK_MS = 10 * 60 * 1000,
    FAILURES_KEPT = 20, /* the newest */
    OUT_PERCENT = 20,
    NODES_OUT_MOST = 1000, /* of a cluster: they stand in a command line */
    PAGE = 500,
};

/* That were found on the node itself. */
static const char *const measured[] = { "file system", "memory errors", "cgroups", "clock", "memory", "disk" };

static struct store *store_of(struct engine *e)
{
    return engine_world_of(e)->store;
}

/* --- The memory --- */

static int load(struct arena *a, struct engine *e, const char *node, struct doc **ret, struct err *err)
{
    struct str text;

    *ret = doc_map(a);
    if (store_get(a, store_of(e), table, str_of(node), &text, err) < 0)
        return err->kind == ERR_NOT_FOUND ? 0 : -1;
    if (json_parse(a, text, ret, err) < 0)
        return fail(err, ERR_INTERNAL, "what is remembered of the node %s cannot be read: %s", node, err->text);
    return 0;
}

static int save(struct arena *a, struct engine *e, const char *node, const struct doc *memory, struct err *err)
{
    return store_put(store_of(e), table, str_of(node), str_of(json_text(a, memory)), err);
}

static int each(struct engine *e, int (*visit)(struct arena *, struct engine *, const char *node, struct doc *memory,
                                               void *context, struct err *err),
                void *context, struct err *err)
{
    _cleanup_arena_ struct arena *a = arena_new();
    struct range range = { .limit = PAGE };
    struct pair *pairs;
    int count;

    do {
        if (store_scan(a, store_of(e), table, &range, &pairs, &count, err) < 0)
            return -1;
        for (int i = 0; i < count; i++) {
            struct doc *memory;

            if (json_parse(a, pairs[i].value, &memory, err) < 0 ||
                visit(a, e, str_dup(a, pairs[i].key), memory, context, err) < 0)
                return -1;
        }
        if (count) /* the next key after the last one */
            range.from = (struct str){ str_dup(a, pairs[count - 1].key), pairs[count - 1].key.size + 1 };
    } while (count);
    return 0;
}

/* --- Nodes of a cluster --- */

static struct runtime *runtime_of(struct engine *e)
{
    return engine_world_of(e)->runtime;
}

static bool is_of_cluster(struct engine *e, const struct doc *memory)
{
    return runtime_has_nodes(runtime_of(e)) && doc_bool(memory, "Cluster", false);
}

/* 'unknown': whether it may be one as long as the cluster has not told yet which nodes there are. */
static bool has_node(struct arena *a, struct engine *e, const char *node, bool unknown)
{
    const char *const *names;
    int count = runtime_nodes(runtime_of(e), a, &names);

    for (int i = 0; i < count; i++)
        if (strcmp(names[i], node) == 0)
            return true;
    return count == 0 && unknown;
}

struct names {
    struct arena *arena;
    const char *all[NODES_OUT_MOST];
    int count;
};

/* Slurm takes no job that is to keep off a node that it does not have (any more). */
static int add_out(struct arena *a, struct engine *e, const char *node, struct doc *memory, void *context,
                   struct err *err)
{
    struct names *names = context;

    (void)err;
    if (is_of_cluster(e, memory) && doc_has(memory, "Out") && names->count < NODES_OUT_MOST &&
        has_node(a, e, node, true))
        names->all[names->count++] = arena_strdup(names->arena, node);
    return 0;
}

static int cluster_out(struct arena *a, struct engine *e, struct names *ret, struct err *err)
{
    *ret = (struct names){ .arena = a };
    return each(e, add_out, ret, err);
}

/* Again is harmless. What is told of a transaction that is dropped is put right within a minute (node_health_look). */
static int avoid(struct arena *a, struct engine *e, struct err *err)
{
    struct names out;

    if (!runtime_has_nodes(runtime_of(e)))
        return 0;
    if (cluster_out(a, e, &out, err) < 0)
        return -1;
    runtime_avoid(runtime_of(e), out.all, out.count);
    return 0;
}

/* --- The scheduler --- */

/* As the scheduler counts: each failure is worth less the longer it is past. */
static double strikes_of(const struct doc *memory, int64_t half_life_ms, int64_t *ret_last_ms)
{
    const struct doc *failures = doc_get(memory, "Failures");
    size_t count = doc_count(failures, "");
    double strikes = 0;

    *ret_last_ms = count ? doc_int(failures->items[count - 1], "AtMs", 0) : 0;
    for (size_t i = 0; i < count; i++)
        strikes += exp2((double)(doc_int(failures->items[i], "AtMs", 0) - *ret_last_ms) / (double)half_life_ms);
    return strikes;
}

static int recall(struct arena *a, struct engine *e, const char *node, struct doc *memory, void *context,
                  struct err *err)
{
    const struct platform *platform = engine_context(e);
    int64_t last_ms;
    double strikes = strikes_of(memory, platform->fleet->failures.lemon_half_life_ms, &last_ms);

    (void)a, (void)context;
    if (is_of_cluster(e, memory))
        return 0;
    if (allocation_recall_node(e, node, doc_has(memory, "Out") ? NODE_CORDON : NODE_RETURN, strikes, last_ms, err) == 0)
        return 0;
    return err->kind == ERR_NOT_FOUND ? 0 : -1; /* it is another fleet now; it may come back */
}

int node_health_recall(struct engine *e, struct err *err)
{
    _cleanup_arena_ struct arena *a = arena_new();

    return each(e, recall, NULL, err) < 0 ? -1 : avoid(a, e, err);
}

/* --- What is told --- */

static int tell(struct arena *a, struct engine *e, const char *what, const char *node, const struct doc *more,
                struct err *err)
{
    struct doc *d = doc_map(a);

    doc_set_string(a, d, "node", node);
    doc_merge(a, d, more);
    log_warning("node.changed", "node=%s what=%s detail=%s", node, log_quote(a, what), log_quote(a, json_text(a, d)));
    return health_tell(a, e, what, NULL, d, err);
}

/* --- Failures --- */

static bool is_measured(const char *check)
{
    for (size_t i = 0; i < sizeof measured / sizeof *measured; i++)
        if (strcmp(check, measured[i]) == 0)
            return true;
    return false;
}

struct census {
    int64_t all, out;
};

static int count_nodes(struct arena *a, struct engine *e, bool of_cluster, struct census *ret, struct err *err)
{
    const struct scheduler *s = allocations_scheduler(((struct platform *)engine_context(e))->allocations);
    struct scheduler_counts counts = scheduler_counts(s);
    const char *const *ignored;
    struct names out;

    *ret = (struct census){ counts.nodes_in_use + counts.nodes_spare + counts.nodes_out, counts.nodes_out };
    if (!of_cluster)
        return 0;
    if (cluster_out(a, e, &out, err) < 0)
        return -1;
    *ret = (struct census){ runtime_nodes(runtime_of(e), a, &ignored), out.count };
    return 0;
}

/* Why the node stays in use; NULL: nothing speaks against taking it out. */
static int why_it_stays(struct arena *a, struct engine *e, const struct node_failure *f, const char **ret,
                        struct err *err)
{
    struct census nodes;
    int64_t most;

    if (count_nodes(a, e, f->of_cluster, &nodes, err) < 0)
        return -1;
    most = nodes.all * OUT_PERCENT / 100;
    *ret = NULL;
    if (strcmp(f->check, "GPU") == 0 && !f->of_cluster)
        *ret = "its GPU alone is cordoned";
    else if (nodes.all == 0)
        *ret = "Slurm has not told yet which nodes there are";
    else if (nodes.all == 1)
        *ret = "it is the only node";
    else if (nodes.out >= (most > 1 ? most : 1))
        *ret = arena_printf(a, "%" PRId64 " of %" PRId64 " nodes are out already: more at a time are not taken out",
                            nodes.out, nodes.all);
    return 0;
}

/* Nobody can tell from here whether it is mended. */
static bool stays_out(const struct node_failure *f)
{
    return is_measured(f->check) || (f->of_cluster && strcmp(f->check, "GPU") == 0);
}

static bool is_counted(const struct doc *memory, const char *by)
{
    const struct doc *failures = doc_get(memory, "Failures");

    for (size_t i = 0; i < doc_count(failures, ""); i++)
        if (doc_is(failures->items[i], "By", by))
            return true;
    return false;
}

static void add_failure(struct arena *a, struct doc *memory, const struct node_failure *f, int64_t now_ms)
{
    const struct doc *before = doc_get(memory, "Failures");
    size_t count = doc_count(before, "");
    struct doc *list = doc_list(a), *d = doc_map(a);

    for (size_t i = count >= FAILURES_KEPT ? count - FAILURES_KEPT + 1 : 0; i < count; i++)
        doc_append(a, list, before->items[i]);
    doc_set_integer(a, d, "AtMs", now_ms);
    doc_set_string(a, d, "By", f->by);
    doc_set_string(a, d, "Job", f->job->name);
    doc_set_string(a, d, "Check", f->check);
    doc_set_string(a, d, "Why", f->why);
    doc_append(a, list, d);
    doc_set(a, memory, "Failures", list);
}

static void set_out(struct arena *a, struct doc *memory, const char *why, int64_t now_ms, int64_t back_ms)
{
    struct doc *out = doc_map(a);

    doc_set_string(a, out, "Why", why);
    doc_set_integer(a, out, "AtMs", now_ms);
    if (back_ms)
        doc_set_integer(a, out, "BackMs", back_ms);
    doc_set(a, memory, "Out", out);
}

static int tell_failure(struct arena *a, struct engine *e, const struct node_failure *f, const struct doc *memory,
                        const char *stays, struct err *err)
{
    struct doc *d = doc_map(a);

    doc_set_string(a, d, "job-name", f->job->name);
    doc_set_string(a, d, "check", f->check);
    doc_set_string(a, d, "why", f->why);
    doc_set_integer(a, d, "failures", (int64_t)doc_count(memory, "Failures"));
    doc_set_string(a, d, "in-use-because", stays);
    if (doc_has(memory, "Out.BackMs"))
        doc_set_string(a, d, "back", time_iso8601(a, doc_int(memory, "Out.BackMs", 0), false));
    return tell(a, e, stays ? "Node Failed" : "Node Cordoned", f->node, d, err);
}

int node_health_failed(struct arena *a, struct engine *e, const struct node_failure *f, bool *ret_out,
                       struct err *err)
{
    int64_t now_ms = engine_now_ms(e);
    const char *stays;
    struct doc *memory;

    *ret_out = false;
    /* The name is what an instance says of itself; it becomes a part of sbatch's command line. */
    if (f->of_cluster && !has_node(a, e, f->node, true))
        return 0;
    if (why_it_stays(a, e, f, &stays, err) < 0 || load(a, e, f->node, &memory, err) < 0)
        return -1;
    doc_set(a, memory, "Cluster", f->of_cluster ? doc_boolean(a, true) : NULL);
    *ret_out = doc_has(memory, "Out");
    if (is_counted(memory, f->by))
        return 0;
    add_failure(a, memory, f, now_ms);
    if (!stays && !*ret_out)
        set_out(a, memory, f->why, now_ms, stays_out(f) ? 0 : now_ms + BACK_MS);
    if (tell_failure(a, e, f, memory, *ret_out ? "it is cordoned already" : stays, err) < 0 ||
        save(a, e, f->node, memory, err) < 0 || recall(a, e, f->node, memory, NULL, err) < 0 || avoid(a, e, err) < 0)
        return -1;
    *ret_out = doc_has(memory, "Out");
    return 0;
}

/* --- By hand, and by time --- */

/* The fleet may have no such node; then it is the cluster's. */
static int change(struct arena *a, struct engine *e, const char *node, enum node_change what, const char *why,
                  struct doc *memory, struct err *err)
{
    if (!is_of_cluster(e, memory) && !has_node(a, e, node, false))
        return allocation_change_node(e, node, what, why, err);
    doc_set_boolean(a, memory, "Cluster", true);
    return 0;
}

/* The first reason is the one to look into. */
int node_health_cordon(struct arena *a, struct engine *e, const char *node, const char *why, bool *ret_changed,
                       struct err *err)
{
    struct doc *memory, *d = doc_map(a);

    if (load(a, e, node, &memory, err) < 0 || change(a, e, node, NODE_CORDON, why, memory, err) < 0)
        return -1;
    *ret_changed = !doc_has(memory, "Out") || doc_has(memory, "Out.BackMs");
    if (!*ret_changed)
        return 0;
    set_out(a, memory, why, engine_now_ms(e), 0);
    doc_set_string(a, d, "why", why);
    return tell(a, e, "Node Cordoned", node, d, err) < 0 || save(a, e, node, memory, err) < 0 ? -1 : avoid(a, e, err);
}

static int bring_back(struct arena *a, struct engine *e, const char *node, const char *why, struct doc *memory,
                      struct err *err)
{
    struct doc *d = doc_map(a);
    bool was_out = doc_has(memory, "Out");

    /* First: there may be no such node. */
    if (change(a, e, node, NODE_RETURN, why, memory, err) < 0)
        return -1;
    if (!was_out)
        return 0;
    doc_set(a, memory, "Out", NULL);
    doc_set_string(a, d, "why", why);
    return tell(a, e, "Node Returned", node, d, err) < 0 || save(a, e, node, memory, err) < 0 ? -1 : avoid(a, e, err);
}

int node_health_return(struct arena *a, struct engine *e, const char *node, bool *ret_changed, struct err *err)
{
    struct doc *memory;

    if (load(a, e, node, &memory, err) < 0)
        return -1;
    *ret_changed = doc_has(memory, "Out");
    return bring_back(a, e, node, "by an administrator", memory, err);
}

static int look(struct arena *a, struct engine *e, const char *node, struct doc *memory, void *context,
                struct err *err)
{
    int64_t back_ms = doc_int(memory, "Out.BackMs", INT64_MAX);

    (void)context;
    if (engine_now_ms(e) < back_ms || bring_back(a, e, node, "its time is over", memory, err) == 0)
        return 0;
    return err->kind == ERR_NOT_FOUND ? 0 : -1;
}

int node_health_look(struct engine *e, struct err *err)
{
    _cleanup_arena_ struct arena *a = arena_new();

    return each(e, look, NULL, err) < 0 ? -1 : avoid(a, e, err);
}

/* --- For people --- */

struct tenants { /* by node: who stands there */
    struct arena *arena;
    struct store *store;
    struct map *by_node; /* of documents */
};

static int add_tenant(void *context, const struct allocation_record *r, struct err *err)
{
    struct tenants *t = context;
    struct row row;
    const char *who = r->work.uid;

    if (store_row_by_uid(t->arena, t->store, r->row_uid, &row, err) == 0)
        who = arena_printf(t->arena, "%s %s", r->work.kind, row.name);
    else if (err->kind != ERR_NOT_FOUND)
        return -1;
    for (int64_t i = 0; i < r->count; i++) {
        struct doc *list = map_get(t->by_node, str_of(r->placed[i].node));

        if (r->placed[i].left)
            continue;
        if (!list) {
            list = doc_list(t->arena);
            map_set(t->by_node, str_of(r->placed[i].node), list);
        }
        doc_append(t->arena, list, doc_string(t->arena, who));
    }
    return 0;
}

static const struct doc *tenants_of(const struct tenants *t, const char *node)
{
    const struct doc *list = map_get(t->by_node, str_of(node));

    return list ? list : doc_list(t->arena);
}

static struct doc *failures_of(struct arena *a, const struct doc *memory)
{
    const struct doc *all = doc_get(memory, "Failures");
    struct doc *list = doc_list(a);

    for (size_t i = 0; i < doc_count(all, ""); i++) {
        struct doc *d = doc_map(a);

        doc_set_integer(a, d, "at_ms", doc_int(all->items[i], "AtMs", 0));
        doc_set_string(a, d, "agent", doc_text(all->items[i], "By"));
        doc_set_string(a, d, "job", doc_text(all->items[i], "Job"));
        doc_set_string(a, d, "check", doc_text(all->items[i], "Check"));
        doc_set_string(a, d, "why", doc_text(all->items[i], "Why"));
        doc_append(a, list, d);
    }
    return list;
}

static const char slurm_note[] = "no node, but all that Slurm was given: sinfo lists its nodes, and here are those "
                                 "that failed or were cordoned";

/* tenants: NULL: not known. */
static struct doc *row_of(struct arena *a, const struct node_view *node, const struct doc *memory,
                          const struct doc *tenants)
{
    struct doc *d = node_row(a, node);

    if (node->has.disk_mib != DISK_UNCOUNTED) {
        doc_set_integer(a, d, "disk_mib", node->has.disk_mib);
        doc_set_integer(a, d, "disk_left_mib", node->left.disk_mib);
    }
    if (doc_has(memory, "Out")) {
        doc_set_string(a, d, "cordoned", doc_text(memory, "Out.Why"));
        doc_set_integer(a, d, "cordoned_ms", doc_int(memory, "Out.AtMs", 0));
    }
    if (doc_has(memory, "Out.BackMs"))
        doc_set_integer(a, d, "back_ms", doc_int(memory, "Out.BackMs", 0));
    doc_set(a, d, "failures", failures_of(a, memory));
    if (tenants)
        doc_set(a, d, "runs", doc_copy(a, tenants));
    return d;
}

struct rows {
    struct arena *arena;
    struct doc *list;
};

static int add_cluster_row(struct arena *a, struct engine *e, const char *name, struct doc *memory, void *context,
                           struct err *err)
{
    struct rows *rows = context;
    struct node_view node = { .name = name, .pool = "Slurm", .state = doc_has(memory, "Out") ? "cordoned" : "in use",
                              .has.disk_mib = DISK_UNCOUNTED };

    (void)a, (void)err;
    if (is_of_cluster(e, memory))
        doc_append(rows->arena, rows->list, row_of(rows->arena, &node, memory, NULL));
    return 0;
}

int node_health_list(struct arena *a, struct engine *e, struct doc **ret, struct err *err)
{
    const struct platform *platform = engine_context(e);
    const struct scheduler *s = allocations_scheduler(platform->allocations);
    struct tenants tenants = { a, store_of(e), map_new() };
    struct doc *list = doc_list(a), *memory;
    struct node_view node;
    int result = allocation_record_each(tenants.store, add_tenant, &tenants, err);

    for (int64_t i = 0; result == 0 && scheduler_node(s, i, &node); i++) {
        result = load(a, e, node.name, &memory, err);
        if (result == 0) {
            struct doc *row = row_of(a, &node, memory, tenants_of(&tenants, node.name));

            if (!platform->fleet->slots) /* a machine without a fleet file is shared by other measures */
                node_row_capacity(a, row, &node);
            else if (runtime_has_nodes(runtime_of(e)))
                doc_set_string(a, row, "note", slurm_note);
            doc_append(a, list, row);
        }
    }
    map_free(tenants.by_node);
    *ret = list;
    return result < 0 ? -1 : each(e, add_cluster_row, &(struct rows){ a, list }, err);
}
