#include "services/admin/admin.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

#include "base/fd.h"
#include "base/list.h"
#include "base/log.h"
#include "doc/json.h"
#include "engine/bodies.h"
#include "engine/gateway.h"
#include "fleet/gpu_bank.h"
#include "services/admin/gpu_metrics.h"
#include "services/admin/lending.h"
#include "services/admin/rendezvous.h"
#include "services/cloudwatch/cloudwatch.h"
#include "services/iam/identity.h"
#include "services/logs/logs.h"
#include "services/platform.h"
#include "services/sagemaker/allocation.h"
#include "services/sagemaker/health_events.h"
#include "services/sagemaker/kinds.h"
#include "services/sagemaker/node_health.h"
#include "services/sagemaker/node_row.h"
#include "services/sagemaker/training_interrupt.h"
#include "services/sagemaker/waiting_list.h"

enum { BODY_MAX_BYTES = 8 << 20, NODES_SHOWN = 1000, WAITING_SHOWN = 20 };

struct admin {
    struct admin_options options;
    struct list held;
    struct lending *lending;
    int64_t started_boot_ms;
};

struct request; /* one exchange, in its arena */

struct handler {
    const char *method, *path; /* a path that ends with '/' takes a name after it */
    enum { INSIDE, TO_NODES, TO_ALL } open; /* on the public port */
    int (*run)(struct request *, struct err *err);
    enum lending_to to; /* of what is open to nodes */
};

struct request {
    struct list link; /* in admin.held, while the answer waits */
    struct admin *admin;
    struct http_exchange *x;
    struct arena *arena;
    const struct handler *handler;
    const char *name;  /* after the path */
    struct doc *query; /* map of decoded parameters */
    struct doc *body;  /* of a POST */
    const struct doc *order; /* of the node that speaks; NULL: who speaks is on this machine */
    struct doc *output; /* the answer, JSON; or text */
    const char *text;
    struct err err;
    bool failed;
};

static struct store *store_of(const struct request *q)
{
    return engine_world_of(q->admin->options.engine)->store;
}

static struct platform *platform_of(const struct request *q)
{
    return engine_context(q->admin->options.engine);
}

static struct bodies *bodies_of(const struct request *q)
{
    return engine_world_of(q->admin->options.engine)->bodies;
}

/* --- For operators --- */

static int health(struct request *q, struct err *err)
{
    struct platform *platform = platform_of(q);

    doc_set_string(q->arena, q->output, "status", "ok");
    doc_set_integer(q->arena, q->output, "now_ms", engine_now_ms(q->admin->options.engine));
    doc_set_string(q->arena, q->output, "account", platform->account);
    doc_set_string(q->arena, q->output, "region", platform->default_region);
    doc_set_integer(q->arena, q->output, "instances_running", allocations_instances(platform->allocations));
    if (platform->fleet->slots)
        doc_set_integer(q->arena, q->output, "instances_at_most", platform->fleet->slots);
    return 0;
}

/* {"TrainingJob":{"Completed":2}, "Model":3}: kinds without a state are only counted. */
static int count_resources(struct request *q, struct err *err)
{
    struct doc *kinds = doc_map(q->arena), *states = NULL;
    struct state_count *counts;
    int count;

    if (store_row_states(q->arena, store_of(q), &counts, &count, err) < 0)
        return -1;
    for (int i = 0; i < count; i++) {
        const struct state_count *c = &counts[i];

        if (!*c->state) {
            doc_set_integer(q->arena, kinds, c->kind, c->rows);
            continue;
        }
        if (!doc_has(kinds, c->kind))
            doc_set(q->arena, kinds, c->kind, states = doc_map(q->arena));
        doc_set_integer(q->arena, states, c->state, c->rows);
    }
    doc_set(q->arena, q->output, "resources", kinds);
    return 0;
}

static void show_nodes(struct request *q)
{
    const struct platform *platform = platform_of(q);
    const struct scheduler *s = allocations_scheduler(platform->allocations);
    struct arena *a = q->arena;
    struct doc *nodes = doc_list(a);
    struct node_view node;

    doc_set_integer(a, q->output, "work_waiting", scheduler_waiting_count(s));
    if (platform->fleet->slots)
        return;
    for (int64_t i = 0; i < NODES_SHOWN && scheduler_node(s, i, &node); i++) {
        struct doc *d = node_row(a, &node);

        node_row_capacity(a, d, &node);
        if (node.has.disk_mib != DISK_UNCOUNTED)
            node_row_used(a, d, "disk_mib", node.left.disk_mib, node.has.disk_mib);
        doc_append(a, nodes, d);
    }
    doc_set(a, q->output, "nodes", nodes);
}

static int status(struct request *q, struct err *err)
{
    struct admin *admin = q->admin;
    struct statvfs disk;
    struct doc *waiting;

    if (health(q, err) < 0 || count_resources(q, err) < 0 ||
        waiting_list(q->arena, admin->options.engine, WAITING_SHOWN, &waiting, err) < 0)
        return -1;
    doc_set(q->arena, q->output, "waiting", waiting);
    show_nodes(q);
    doc_set_string(q->arena, q->output, "version", admin->options.version);
    doc_set_integer(q->arena, q->output, "uptime_s",
                    (clock_boot_ms(engine_world_of(admin->options.engine)->clock) - admin->started_boot_ms) / 1000);
    if (statvfs(platform_of(q)->data_folder, &disk) == 0) {
        doc_set_integer(q->arena, q->output, "disk_bytes", (int64_t)disk.f_blocks * (int64_t)disk.f_frsize);
        doc_set_integer(q->arena, q->output, "disk_free_bytes", (int64_t)disk.f_bavail * (int64_t)disk.f_frsize);
    }
    return 0;
}

static int metrics(struct request *q, struct err *err)
{
    struct platform *platform = platform_of(q);
    const struct scheduler *s = allocations_scheduler(platform->allocations);
    _cleanup_buf_ struct buf b = { 0 };

    gateway_metrics(q->admin->options.gateway, &b);
    buf_printf(
        &b,
        "# HELP sagebrush_instances_running Instances that have a place.\n# TYPE sagebrush_instances_running gauge\n"
        "sagebrush_instances_running %" PRId64 "\n"
        "# HELP sagebrush_work_waiting Jobs and instances of endpoints that wait for a place.\n"
        "# TYPE sagebrush_work_waiting gauge\nsagebrush_work_waiting %" PRId64 "\n",
        allocations_instances(platform->allocations), scheduler_counts(s).waiting);
    gpu_metrics(platform->gpu_monitor, &b);
    q->text = arena_strndup(q->arena, b.data, b.size);
    return 0;
}

static int keys_list(struct request *q, struct err *err)
{
    struct doc *keys;

    if (identity_key_list(q->arena, store_of(q), &keys, err) < 0)
        return -1;
    doc_set(q->arena, q->output, "keys", keys);
    return 0;
}

static int keys_create(struct request *q, struct err *err)
{
    struct platform *platform = platform_of(q);
    struct identity_key key = {
        .access_key_id = doc_text(q->body, "access_key_id"),
        .secret_access_key = doc_text(q->body, "secret_access_key"),
        .user_name = doc_text(q->body, "user_name"),
    };

    if (identity_key_create(q->arena, store_of(q), platform, &key, engine_now_ms(q->admin->options.engine), err) < 0)
        return -1;
    doc_set_string(q->arena, q->output, "access_key_id", key.access_key_id);
    doc_set_string(q->arena, q->output, "secret_access_key", key.secret_access_key);
    doc_set_string(q->arena, q->output, "arn", key.arn);
    return 0;
}

static int keys_revoke(struct request *q, struct err *err)
{
    if (identity_key_revoke(q->arena, store_of(q), q->name, err) < 0)
        return -1;
    return 0;
}

static int backup(struct request *q, struct err *err)
{
    const char *folder = doc_text(q->body, "folder");

    if (*folder != '/')
        return fail(err, ERR_INVALID, "\"folder\" must be an absolute path of an empty folder");
    /* The bodies that these records name are copied after them, and must be there until they were. */
    bodies_hold(bodies_of(q), true);
    return store_backup(store_of(q), folder, err);
}

static int backup_done(struct request *q, struct err *err)
{
    bodies_hold(bodies_of(q), false);
    return 0;
}

/* ?from_ms=N, and then ?after_ms=N, which each page says of the next. */
static int usage(struct request *q, struct err *err)
{
    bool first = !doc_has(q->query, "after_ms");
    const char *from = doc_text_or(q->query, first ? "from_ms" : "after_ms", "0");
    struct doc *intervals;
    int64_t after_ms;

    if (!str_to_int64(str_of(from), &after_ms))
        return fail(err, ERR_INVALID, "\"%s\" is no time in milliseconds", from);
    if (usage_page(q->arena, q->admin->options.engine, after_ms, first, &after_ms, &intervals, err) < 0)
        return -1;
    doc_set(q->arena, q->output, "intervals", intervals);
    if (after_ms != INT64_MAX)
        doc_set_integer(q->arena, q->output, "after_ms", after_ms);
    return 0;
}

static int drill_spot(struct request *q, struct err *err)
{
    const struct engine_world *world = engine_world_of(q->admin->options.engine);
    const struct interruption drill = { .by = "a drill" };
    const char *job = doc_text(q->body, "training_job");
    struct row row;

    if (!text_starts(job, "arn:"))
        job = resource_arn(q->arena, &training_job, world->default_region, world->account, job);
    if (training_job_interrupt(q->arena, q->admin->options.engine, job, &drill, err) < 0 ||
        store_row_by_arn(q->arena, store_of(q), job, &row, err) < 0)
        return -1;
    doc_set_boolean(q->arena, q->output, "saves", *training_spec_of(row.spec).checkpoint_uri);
    return 0;
}

static int gpus_list(struct request *q, struct err *err)
{
    struct platform *platform = platform_of(q);
    struct doc *list = doc_list(q->arena);

    for (int i = 0; i < gpu_bank_count(platform->gpus); i++) {
        const struct gpu_seat *seat = gpu_bank_seat(platform->gpus, i);
        struct doc *gpu = doc_map(q->arena);

        doc_set_integer(q->arena, gpu, "index", seat->index);
        doc_set_string(q->arena, gpu, "name", seat->name);
        doc_set_string(q->arena, gpu, "uuid", seat->uuid);
        doc_set_string(q->arena, gpu, "instance", *seat->holder ? seat->holder : NULL);
        doc_set_string(q->arena, gpu, "cordoned", seat->cordoned ? seat->why : NULL);
        if (seat->cordoned)
            doc_set_integer(q->arena, gpu, "cordoned_ms", seat->cordoned_ms);
        doc_append(q->arena, list, gpu);
    }
    doc_set(q->arena, q->output, "gpus", list);
    doc_set_string(q->arena, q->output, "why", gpu_monitor_why(platform->gpu_monitor));
    return 0;
}

static int gpus_cordon(struct request *q, struct err *err)
{
    struct gpu_bank *bank = platform_of(q)->gpus;
    const struct gpu_seat *seat = NULL;
    bool cordons = doc_bool(q->body, "cordoned", false);
    int index = (int)doc_int(q->body, "index", -1);

    for (int i = 0; i < gpu_bank_count(bank); i++)
        if (gpu_bank_seat(bank, i)->index == index)
            seat = gpu_bank_seat(bank, i);
    if (!seat)
        return fail(err, ERR_NOT_FOUND, "there is no GPU %d; sagebrush gpu list shows those of this machine", index);
    doc_set_boolean(q->arena, q->output, "changed", seat->cordoned != cordons);
    if (seat->cordoned == cordons)
        return 0;
    if (!cordons)
        return gpu_bank_uncordon(bank, index, err);
    return gpu_bank_cordon(bank, seat->uuid, "by an administrator", engine_now_ms(q->admin->options.engine), err);
}

static int nodes_list(struct request *q, struct err *err)
{
    struct doc *nodes;

    if (node_health_list(q->arena, q->admin->options.engine, &nodes, err) < 0)
        return -1;
    doc_set(q->arena, q->output, "nodes", nodes);
    return 0;
}

static int nodes_change(struct request *q, struct err *err)
{
    struct engine *engine = q->admin->options.engine;
    const char *node = doc_text(q->body, "node"), *why = doc_text_or(q->body, "why", "by an administrator");
    bool changed;

    if ((doc_bool(q->body, "cordoned", false) ? node_health_cordon(q->arena, engine, node, why, &changed, err)
                                              : node_health_return(q->arena, engine, node, &changed, err)) < 0)
        return -1;
    doc_set_boolean(q->arena, q->output, "changed", changed);
    return 0;
}

/* ?node=N and ?after=N, which each page says of the next. */
static int nodes_events(struct request *q, struct err *err)
{
    const char *after_text = doc_text_or(q->query, "after", "0"), *node = doc_text(q->query, "node");
    struct doc *events;
    int64_t after;

    if (!str_to_int64(str_of(after_text), &after) || after < 0)
        return fail(err, ERR_INVALID, "\"%s\" is no number of an event", after_text);
    if (health_events(q->arena, q->admin->options.engine, *node ? node : NULL, after, &events, &after, err) < 0)
        return -1;
    doc_set(q->arena, q->output, "events", events);
    if (after)
        doc_set_integer(q->arena, q->output, "after", after);
    return 0;
}

/* --- For agents --- */

static int not_its_own(struct err *err)
{
    return fail(err, ERR_DENIED, "a node speaks for its own job");
}

static int poke(struct request *q, struct err *err)
{
    if (q->order && !doc_is(q->order, "uid", doc_text(q->query, "uid")))
        return not_its_own(err);
    engine_touch(q->admin->options.engine, doc_text(q->query, "uid"));
    return 0;
}

static int agent_logs(struct request *q, struct err *err)
{
    if (q->order && !lending_owns_logs(q->order, q->body))
        return not_its_own(err);
    return logs_append(q->arena, store_of(q), q->body, engine_now_ms(q->admin->options.engine), err);
}

static int agent_metrics(struct request *q, struct err *err)
{
    if (q->order && !lending_owns_metrics(q->arena, q->order, q->body))
        return not_its_own(err);
    return metrics_append(q->arena, store_of(q), q->body, engine_now_ms(q->admin->options.engine), err);
}

static int node_work(struct request *q, struct err *err)
{
    if (lending_exchange(q->admin->lending, q->arena, q->order, q->body, q->output, err) < 0)
        return -1;
    if (doc_has(q->body, "report"))
        engine_touch(q->admin->options.engine, doc_text(q->order, "uid"));
    return 0;
}

static int node_peers(struct request *q, struct err *err)
{
    const struct platform *platform = engine_context(q->admin->options.engine);

    return rendezvous(q->arena, platform->data_folder, q->order, q->body, q->output, err);
}

static const struct handler handlers[] = {
    { "GET", "/_sagebrush/health", TO_ALL, health },
    { "GET", "/_sagebrush/metrics", TO_ALL, metrics },
    { "GET", "/_sagebrush/admin/v1/status", INSIDE, status },
    { "GET", "/_sagebrush/admin/v1/keys", INSIDE, keys_list },
    { "POST", "/_sagebrush/admin/v1/keys", INSIDE, keys_create },
    { "DELETE", "/_sagebrush/admin/v1/keys/", INSIDE, keys_revoke },
    { "POST", "/_sagebrush/admin/v1/backup", INSIDE, backup },
    { "DELETE", "/_sagebrush/admin/v1/backup", INSIDE, backup_done },
    { "GET", "/_sagebrush/admin/v1/usage", INSIDE, usage },
    { "POST", "/_sagebrush/admin/v1/drill/spot", INSIDE, drill_spot },
    { "GET", "/_sagebrush/admin/v1/gpus", INSIDE, gpus_list },
    { "POST", "/_sagebrush/admin/v1/gpus", INSIDE, gpus_cordon },
    { "GET", "/_sagebrush/admin/v1/nodes", INSIDE, nodes_list },
    { "POST", "/_sagebrush/admin/v1/nodes", INSIDE, nodes_change },
    { "GET", "/_sagebrush/admin/v1/nodes/events", INSIDE, nodes_events },
    { "POST", "/_sagebrush/agent/v1/poke", INSIDE, poke },
    { "POST", "/_sagebrush/agent/v1/logs", INSIDE, agent_logs },
    { "POST", "/_sagebrush/agent/v1/metrics", INSIDE, agent_metrics },
    { "POST", "/_sagebrush/node/v1/poke", TO_NODES, poke },
    { "POST", "/_sagebrush/node/v1/logs", TO_NODES, agent_logs },
    { "POST", "/_sagebrush/node/v1/metrics", TO_NODES, agent_metrics },
    { "POST", "/_sagebrush/node/v1/work", TO_NODES, node_work, LENDING_ASKER },
    { "POST", "/_sagebrush/node/v1/peers", TO_NODES, node_peers, LENDING_HERE },
    {},
};

/* --- The exchange --- */

static struct doc *query_doc(struct arena *a, struct str query)
{
    struct doc *map = doc_map(a);
    struct str pair, name, value;

    while (query.size > 0) {
        if (!str_cut(query, '&', &pair, &query)) {
            pair = query;
            query.size = 0;
        }
        if (!str_cut(pair, '=', &name, &value)) {
            name = pair;
            value = (struct str){ 0 };
        }
        name = uri_decode(a, name, true);
        if (name.size)
            doc_set(a, map, name.data, doc_str(a, uri_decode(a, value, true)));
    }
    return map;
}

static struct str token_of(const struct request *q)
{
    return http_value(q->x->head, "authorization");
}

static int admit(struct request *q, struct err *err)
{
    if (q->handler->open != TO_NODES)
        return 0;
    if (lending_admit(q->admin->lending, q->arena, token_of(q), q->handler->to, &q->order, err) < 0)
        return -1;
    return q->body ? lending_bound(q->admin->lending, q->arena, q->order, q->body, err) : 0;
}

static void run(struct request *q)
{
    struct store *store = store_of(q);
    int result;

    if (admit(q, &q->err) < 0 || store_begin(store, &q->err) < 0) {
        q->failed = true;
    } else {
        result = q->handler->run(q, &q->err);
        if (result == 0)
            result = store_keep(store, &q->err);
        else
            store_drop(store);
        q->failed = result < 0;
    }
    list_append(&q->admin->held, &q->link);
}

static void refuse(struct request *q)
{
    q->failed = true;
    list_append(&q->admin->held, &q->link);
}

static void body_ready(struct http_exchange *x, struct str body)
{
    struct request *q = x->data;

    if (!body.data && body.size) {
        fail(&q->err, ERR_LIMIT, "the body is larger than %d bytes", BODY_MAX_BYTES);
        refuse(q);
    } else if (body.size && json_parse(q->arena, body, &q->body, &q->err) < 0) {
        refuse(q);
    } else {
        run(q);
    }
}

static void closed(struct http_exchange *x, bool complete)
{
    list_remove(&((struct request *)x->data)->link);
}

static const struct handler *find(struct str method, struct str path, bool public, struct str *ret_name)
{
    for (const struct handler *h = handlers; h->path; h++) {
        bool named = text_ends(h->path, "/");

        if (!str_is(method, h->method) || (public && h->open == INSIDE))
            continue;
        if (named ? str_starts(path, h->path) : str_is(path, h->path)) {
            size_t size = strlen(h->path);

            *ret_name = (struct str){ path.data + size, path.size - size };
            return h;
        }
    }
    return NULL;
}

static void handle(struct admin *admin, struct http_exchange *x, bool public)
{
    struct request *q = arena_new_of(x->arena, struct request);
    struct str name;

    *q = (struct request){ .admin = admin, .x = x, .arena = x->arena, .output = doc_map(x->arena) };
    list_init(&q->link);
    q->handler = find(x->head->method, http_path(x->head), public, &name);
    if (!q->handler) {
        http_answer_text(x, 404, "text/plain", "no such path; see docs/manual\n");
        return;
    }
    q->name = uri_decode(x->arena, name, false).data;
    q->query = query_doc(x->arena, http_query(x->head));
    x->data = q;
    x->closed = closed;
    /* A stranger's body is not kept. Whoever passes here is looked at again when the body has come, which takes as long
     * as the node pleases: its loan, or its job, may have ended meanwhile. */
    if (q->handler->open == TO_NODES && lending_look(admin->lending, q->arena, token_of(q), &q->err) < 0)
        refuse(q);
    else if (str_is(x->head->method, "GET"))
        run(q);
    else
        http_read_all(x, BODY_MAX_BYTES, body_ready);
}

void admin_handle(struct http_exchange *x, void *admin)
{
    handle(admin, x, false);
}

void admin_handle_public(struct http_exchange *x, void *admin)
{
    handle(admin, x, true);
}

static int status_of(const struct err *err)
{
    switch (err->kind) {
    case ERR_INVALID:
        return 400;
    case ERR_DENIED:
        return 403;
    case ERR_NOT_FOUND:
        return 404;
    case ERR_CONFLICT:
        return 409;
    case ERR_LIMIT:
        return 413;
    case ERR_UNAVAILABLE:
        return 503;
    default:
        return 500;
    }
}

static void answer(struct request *q)
{
    const struct http_header json = { STR("Content-Type"), STR("application/json") };
    const struct http_header text = { STR("Content-Type"), STR("text/plain; version=0.0.4") };
    _cleanup_buf_ struct buf b = { 0 };

    if (q->failed) {
        struct doc *failure = doc_map(q->arena);

        if (q->err.kind == ERR_INTERNAL || q->err.kind == ERR_UNAVAILABLE)
            log_error("admin.failed", "path=%s error=%s", q->handler->path, log_quote(q->arena, q->err.text));
        doc_set_string(q->arena, failure, "error", q->err.text);
        json_print_pretty(&b, failure);
        http_answer(q->x, status_of(&q->err), &json, 1, (struct str){ b.data, b.size });
    } else if (q->text) {
        http_answer(q->x, 200, &text, 1, str_of(q->text));
    } else {
        json_print_pretty(&b, q->output);
        http_answer(q->x, 200, &json, 1, (struct str){ b.data, b.size });
    }
}

void admin_flush(struct admin *admin, const struct err *failure)
{
    struct list held;

    if (list_empty(&admin->held))
        return;
    held = admin->held;
    held.next->prev = held.prev->next = &held;
    list_init(&admin->held);
    while (!list_empty(&held)) {
        struct request *q = list_entry(held.next, struct request, link);

        list_remove(&q->link);
        if (failure && !q->failed) {
            q->failed = true;
            q->err = *failure;
        }
        answer(q);
    }
}

struct admin *admin_new(const struct admin_options *options)
{
    struct admin *admin = calloc(1, sizeof *admin);

    assert(admin && "out of memory");
    admin->options = *options;
    admin->lending = lending_new(engine_world_of(options->engine)->clock,
                             ((struct platform *)engine_context(options->engine))->data_folder);
    admin->started_boot_ms = clock_boot_ms(engine_world_of(options->engine)->clock);
    list_init(&admin->held);
    return admin;
}

void admin_free(struct admin *admin)
{
    if (admin)
        lending_free(admin->lending);
    free(admin);
}
