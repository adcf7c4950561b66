/* fleet_file.c - from fleet.toml to a fleet.
 *
 * Strict: a key that is not known, a unit that is missing or a name that is nowhere defined is an error with its line,
 * for a typing mistake in such a file is found out when the wrong work waits for days. */
#include "fleet/fleet.h"

#include <stdlib.h>
#include <string.h>

#include "base/nearest.h"
#include "doc/toml.h"
#include "fleet/instance_type.h"
#include "fleet/toml_table.h"

enum { HOUR_MS = 3600 * 1000, DAY_MS = 24 * HOUR_MS };

static int compare_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int read_labels(struct toml_reader *r, const struct doc *table, const char **ret)
{
    const char **all, *sum = "";

    *ret = "";
    if (!table)
        return 0;
    if (table->type != DOC_MAP)
        return toml_wrong(r, table, "labels is a table: { rack = \"a\" }");
    all = arena_array_of(r->arena, const char *, (size_t)table->count + 1);
    for (uint32_t i = 0; i < table->count; i++) {
        const struct doc *value = table->members[i].value;

        if (value->type != DOC_STRING || strpbrk(value->text.data, ",=") || strpbrk(table->members[i].key, ",="))
            return toml_wrong(r, value, "a label is a text in quotes, and neither it nor its name has a , or a =");
        all[i] = arena_printf(r->arena, "%s=%s", table->members[i].key, value->text.data);
    }
    qsort(all, table->count, sizeof *all, compare_text);
    for (uint32_t i = 0; i < table->count; i++)
        sum = arena_printf(r->arena, "%s%s%s", sum, i ? "," : "", all[i]);
    *ret = sum;
    return 0;
}

struct gpus {
    const char *kind;
    int64_t count, memory_mib;
};

static int read_gpus(struct toml_reader *r, const struct doc *table, struct gpus *g)
{
    static const struct toml_key fields[] = {
        { "kind", TEXT, offsetof(struct gpus, kind) },
        { "count", WHOLE, offsetof(struct gpus, count), 0, GPUS_MOST },
        { "memory", MEMORY, offsetof(struct gpus, memory_mib) },
        {},
    };

    if (toml_read(r, table, "gpus", fields, g) < 0)
        return -1;
    if (table && g->count > 0 && !*g->kind)
        return toml_wrong(r, table, "gpus needs a kind, like { kind = \"A100\", count = 8 }");
    return 0;
}

static int read_pool(struct toml_reader *r, const struct doc *d, struct fleet_pool *pool)
{
    static const struct toml_key fields[] = {
        { "name", TEXT, offsetof(struct fleet_pool, name) },
        { "spares", WHOLE, offsetof(struct fleet_pool, spares), 0, NODES_MOST },
        { "accepts", OTHER },
        { "spot", OTHER },
        {},
    };
    static const char *const rules[] = { [SPOT_ALLOWED] = "allowed", [SPOT_NEVER] = "never", [SPOT_ONLY] = "only" };
    const struct doc *accepts = doc_get(d, "accepts"), *spot = doc_get(d, "spot");

    *pool = (struct fleet_pool){ .name = "" };
    if (toml_read(r, d, "pools", fields, pool) < 0)
        return -1;
    if (!*pool->name)
        return toml_wrong(r, d, "a pool needs a name");
    if (accepts) {
        pool->accepts = arena_array_of(r->arena, const char *, (size_t)accepts->count + 1);
        for (uint32_t i = 0; accepts->type == DOC_LIST && i < accepts->count; i++)
            pool->accepts[pool->accept_count++] = doc_value_text(accepts->items[i]);
        for (int i = 0; i < pool->accept_count; i++)
            if (!*pool->accepts[i])
                pool->accept_count = 0;
        if (pool->accept_count == 0)
            return toml_wrong(r, accepts,
                              "accepts is a list of patterns of instance types: [\"ml.p4d.*\", \"ml.g5.*\"]");
    }
    for (size_t i = 0; spot && i < sizeof rules / sizeof *rules; i++)
        if (strcmp(doc_value_text(spot), rules[i]) == 0) {
            pool->spot = (enum spot_rule)i;
            return 0;
        }
    return spot ? toml_wrong(r, spot, "spot of a pool is \"allowed\", \"never\" or \"only\"") : 0;
}

static int read_pools(struct toml_reader *r, const struct doc *d, struct fleet *fleet)
{
    const struct doc *items;
    uint32_t count;

    if (toml_items(r, d, "pools", &items, &count) < 0)
        return -1;
    if (count > POOLS_MOST - 1)
        return toml_wrong(r, items, "%u pools; %d at most", count, POOLS_MOST - 1);
    fleet->pools = arena_array_of(r->arena, struct fleet_pool, (size_t)count + 1);
    for (uint32_t i = 0; i < count; i++) {
        if (read_pool(r, items->items[i], &fleet->pools[i]) < 0)
            return -1;
        for (uint32_t j = 0; j < i; j++)
            if (strcmp(fleet->pools[i].name, fleet->pools[j].name) == 0)
                return toml_wrong(r, items->items[i], "the pool %s is there already, from line %d",
                                  fleet->pools[i].name, toml_line(items->items[j]));
    }
    fleet->pool_count = (int)count;
    if (count == 0)
        fleet->pools[fleet->pool_count++] = (struct fleet_pool){ .name = "default" };
    return 0;
}

struct node_text {
    struct fleet_nodes nodes;
    const char *pool, *like;
};

static int read_node(struct toml_reader *r, const struct doc *d, struct fleet *fleet, struct fleet_nodes *ret)
{
    static const struct toml_key fields[] = {
        { "name", TEXT, offsetof(struct node_text, nodes.name) },
        { "count", WHOLE, offsetof(struct node_text, nodes.count), 1, NODES_MOST },
        { "pool", TEXT, offsetof(struct node_text, pool) },
        { "like", TEXT, offsetof(struct node_text, like) },
        { "cores", WHOLE, offsetof(struct node_text, nodes.has.cores), 1, 1 << 20 },
        { "memory", MEMORY, offsetof(struct node_text, nodes.has.memory_mib), 1, 1LL << 40 },
        { "disk", DISK, offsetof(struct node_text, nodes.has.disk_mib), 0, 1LL << 40 },
        { "gpus", OTHER },
        { "labels", OTHER },
        {},
    };
    struct node_text t = { .nodes = { .name = "", .count = 1, .gpu = "", .has = { .disk_mib = DISK_UNCOUNTED } },
                           .pool = fleet->pools[0].name, .like = "" };
    struct gpus gpus = { .kind = "" };
    const struct doc *like = doc_get(d, "like");

    if (like) {
        const struct instance_type *type = instance_type(doc_value_text(like));

        if (!type)
            return toml_wrong(r, like, "the catalogue has no type %s; give cores, memory and gpus",
                              doc_value_text(like));
        t.nodes.has = fleet_catalogue_type(fleet, type).needs;
        if (!t.nodes.has.disk_mib) /* on AWS it has volumes of whatever size */
            t.nodes.has.disk_mib = DISK_UNCOUNTED;
        gpus = (struct gpus){ .kind = type->accelerator, .count = type->accelerators };
    }
    if (toml_read(r, d, "nodes", fields, &t) < 0 || read_gpus(r, doc_get(d, "gpus"), &gpus) < 0 ||
        read_labels(r, doc_get(d, "labels"), &t.nodes.labels) < 0)
        return -1;
    if (!*t.nodes.name)
        return toml_wrong(r, d, "nodes need a name; with count = 8 they are called name-1 to name-8");
    if (!t.nodes.has.cores || !t.nodes.has.memory_mib)
        return toml_wrong(r, d, "nodes need cores and memory, or like = \"ml.m5.4xlarge\" for those of a type");
    t.nodes.pool = -1;
    for (int i = 0; i < fleet->pool_count; i++)
        if (strcmp(fleet->pools[i].name, t.pool) == 0)
            t.nodes.pool = i;
    if (t.nodes.pool < 0)
        return toml_wrong(r, d, "there is no pool %s; add [[pools]] with this name", t.pool);
    t.nodes.numbered = doc_has(d, "count");
    t.nodes.has.gpus = gpus.count;
    t.nodes.gpu = gpus.count ? gpus.kind : "";
    *ret = t.nodes;
    return 0;
}

/* "n-1" is one of the nodes "n" that are counted. */
static bool is_one_of(const struct fleet_nodes *nodes, const char *name)
{
    size_t size = strlen(nodes->name);
    int64_t number;

    return nodes->numbered && strncmp(name, nodes->name, size) == 0 && name[size] == '-' && name[size + 1] >= '1' &&
           name[size + 1] <= '9' && str_to_int64(str_of(name + size + 1), &number) && number <= nodes->count;
}

/* Two nodes of one name would be told apart by nothing. */
static int check_names(struct toml_reader *r, const struct doc *list, const struct fleet_nodes *nodes, uint32_t last)
{
    const struct fleet_nodes *n = &nodes[last];
    struct doc *const *items = list->items;

    for (uint32_t i = 0; i < last; i++) {
        const char *twice = !n->numbered && is_one_of(&nodes[i], n->name) ? n->name
                            : !nodes[i].numbered && is_one_of(n, nodes[i].name) ? nodes[i].name : NULL;

        if (strcmp(n->name, nodes[i].name) == 0)
            return toml_wrong(r, items[last], "there are nodes called %s already, in line %d", n->name,
                              toml_line(items[i]));
        if (twice)
            return toml_wrong(r, items[last],
                              "there would be two nodes %s: those of line %d have this name, or get it by their count;"
                              " choose another", twice, toml_line(items[i]));
    }
    return 0;
}

static int read_nodes(struct toml_reader *r, const struct doc *d, struct fleet *fleet)
{
    const struct doc *items;
    uint32_t count;

    if (toml_items(r, d, "nodes", &items, &count) < 0)
        return -1;
    if (count == 0 && doc_has(d, "pools"))
        return toml_wrong(r, doc_get(d, "pools"),
                          "pools without nodes; add [[nodes]] with name, cores and memory, or take the pools out: a "
                          "file without both holds types, prices and rules");
    if (count == 0)
        return 0;
    fleet->nodes = arena_array_of(r->arena, struct fleet_nodes, count);
    for (uint32_t i = 0; i < count; i++) {
        if (read_node(r, items->items[i], fleet, &fleet->nodes[i]) < 0)
            return -1;
        if (check_names(r, items, fleet->nodes, i) < 0)
            return -1;
        fleet->node_count += fleet->nodes[i].count;
        if (fleet->node_count > NODES_MOST)
            return toml_wrong(r, items->items[i], "more than %d nodes", NODES_MOST);
    }
    fleet->node_group_count = (int)count;
    return 0;
}

static int read_type(struct toml_reader *r, const struct doc *d, struct fleet *fleet, struct fleet_type *ret)
{
    static const struct toml_key fields[] = {
        { "name", TEXT, offsetof(struct fleet_type, name) },
        { "vcpus", WHOLE, offsetof(struct fleet_type, needs.cores), 1, 1 << 20 },
        { "memory", MEMORY, offsetof(struct fleet_type, needs.memory_mib), 1, 1LL << 40 },
        { "disk", DISK, offsetof(struct fleet_type, needs.disk_mib), 0, 1LL << 40 },
        { "usd_hour", NUMBER, offsetof(struct fleet_type, usd_hour), 0, 1e6 },
        { "spot_usd_hour", NUMBER, offsetof(struct fleet_type, spot_usd_hour), 0, 1e6 },
        { "interruptions_per_hour", NUMBER, offsetof(struct fleet_type, interruptions_hour), 0, 3600 },
        { "gpus", OTHER },
        {},
    };
    const struct instance_type *known = instance_type(doc_text(d, "name"));
    struct gpus gpus = { .kind = "" };

    *ret = (struct fleet_type){ .name = "", .gpu = "", .spot_usd_hour = -1,
                                .interruptions_hour = instance_interruptions_hour("", "") };
    if (known) {
        *ret = fleet_catalogue_type(fleet, known);
        gpus = (struct gpus){ .kind = known->accelerator, .count = known->accelerators };
    }
    if (toml_read(r, d, "types", fields, ret) < 0 || read_gpus(r, doc_get(d, "gpus"), &gpus) < 0)
        return -1;
    if (!*ret->name)
        return toml_wrong(r, d, "a type needs a name, like \"box.1gpu\"");
    if (!ret->needs.cores || !ret->needs.memory_mib)
        return toml_wrong(r, d, "the catalogue has no type %s: say its vcpus and memory", ret->name);
    ret->needs.gpus = gpus.count;
    ret->gpu = gpus.count ? gpus.kind : "";
    return 0;
}

static int read_types(struct toml_reader *r, const struct doc *d, struct fleet *fleet)
{
    const struct doc *items;
    uint32_t count;

    if (toml_items(r, d, "types", &items, &count) < 0)
        return -1;
    fleet->types = arena_array_of(r->arena, struct fleet_type, (size_t)count + 1);
    for (uint32_t i = 0; i < count; i++) {
        if (read_type(r, items->items[i], fleet, &fleet->types[i]) < 0)
            return -1;
        for (uint32_t j = 0; j < i; j++)
            if (strcmp(fleet->types[i].name, fleet->types[j].name) == 0)
                return toml_wrong(r, items->items[i], "the type %s is there already, in line %d", fleet->types[i].name,
                                  toml_line(items->items[j]));
    }
    fleet->type_count = (int)count;
    return 0;
}

static int read_quotas(struct toml_reader *r, const struct doc *d, struct fleet *fleet)
{
    static const struct toml_key fields[] = {
        { "account", TEXT, offsetof(struct fleet_quota, account) },
        { "type", TEXT, offsetof(struct fleet_quota, type) },
        { "work", TEXT, offsetof(struct fleet_quota, work) },
        { "spot", FLAG, offsetof(struct fleet_quota, spot) },
        { "limit", WHOLE, offsetof(struct fleet_quota, limit), 0, 1e9 },
        {},
    };
    const struct doc *items;
    uint32_t count;

    if (toml_items(r, d, "quotas", &items, &count) < 0)
        return -1;
    fleet->quotas = arena_array_of(r->arena, struct fleet_quota, (size_t)count + 1);
    for (uint32_t i = 0; i < count; i++) {
        fleet->quotas[i] = (struct fleet_quota){ .account = "*", .type = "*", .work = "training job", .limit = -1 };
        if (toml_read(r, items->items[i], "quotas", fields, &fleet->quotas[i]) < 0)
            return -1;
        if (fleet->quotas[i].limit < 0)
            return toml_wrong(r, items->items[i],
                              "a quota needs a limit, the instances that an account may have of a type");
    }
    fleet->quota_count = (int)count;
    return 0;
}

static int read_owners(struct toml_reader *r, const struct doc *d, struct fleet *fleet)
{
    static const struct toml_key fields[] = {
        { "owner", TEXT, offsetof(struct fleet_owner, owner) },
        { "weight", NUMBER, offsetof(struct fleet_owner, weight), 1e-3, 1e6 },
        { "priority", WHOLE, offsetof(struct fleet_owner, priority), -1000, 1000 },
        {},
    };
    const struct doc *items;
    uint32_t count;

    if (toml_items(r, d, "owners", &items, &count) < 0)
        return -1;
    fleet->owners = arena_array_of(r->arena, struct fleet_owner, (size_t)count + 1);
    for (uint32_t i = 0; i < count; i++) {
        fleet->owners[i] = (struct fleet_owner){ .owner = "", .weight = 1 };
        if (toml_read(r, items->items[i], "owners", fields, &fleet->owners[i]) < 0)
            return -1;
        if (!*fleet->owners[i].owner)
            return toml_wrong(r, items->items[i], "owners need an owner, a pattern like \"*:role/research-*\"");
    }
    fleet->owner_count = (int)count;
    return 0;
}

static int read_point(struct toml_reader *r, const struct doc *d, int64_t least_ms, struct price_point *ret)
{
    const struct doc *price = d->type == DOC_LIST && d->count == 2 ? d->items[1] : NULL;

    if (!price || (price->type != DOC_REAL && price->type != DOC_INTEGER) ||
        !toml_time(doc_value_text(d->items[0]), &ret->at_ms))
        return toml_wrong(r, d, "a point of a trace is a time and a price an hour: [\"6h\", 0.42]");
    ret->usd_hour = price->type == DOC_REAL ? price->real : (double)price->integer;
    if (ret->usd_hour < 0 || ret->at_ms < least_ms)
        return toml_wrong(r, d, "the points of a trace go forward in time from \"0s\", and no price is negative");
    return 0;
}

static int read_trace(struct toml_reader *r, const struct doc *d, struct fleet_trace *ret)
{
    static const struct toml_key fields[] = {
        { "type", TEXT, offsetof(struct fleet_trace, type) },
        { "repeat", TIME, offsetof(struct fleet_trace, repeat_ms) },
        { "points", OTHER },
        {},
    };
    const struct doc *points = doc_get(d, "points");

    *ret = (struct fleet_trace){ .type = "" };
    if (toml_read(r, d, "spot.traces", fields, ret) < 0)
        return -1;
    if (!*ret->type || !points || points->type != DOC_LIST || points->count == 0)
        return toml_wrong(r, d, "a trace needs a type and points: [[\"0h\", 0.3], [\"6h\", 0.42]]");
    ret->points = arena_array_of(r->arena, struct price_point, points->count);
    for (uint32_t i = 0; i < points->count; i++)
        if (read_point(r, points->items[i], i ? ret->points[i - 1].at_ms + 1 : 0, &ret->points[ret->count++]) < 0)
            return -1;
    if (ret->points[0].at_ms != 0)
        return toml_wrong(r, points, "the first point of a trace is at \"0s\"");
    if (ret->repeat_ms && ret->repeat_ms <= ret->points[ret->count - 1].at_ms)
        return toml_wrong(r, d, "a trace repeats after its last point, not before");
    return 0;
}

static int read_spot(struct toml_reader *r, const struct doc *d, struct fleet *fleet)
{
    static const struct toml_key fields[] = {
        { "live", FLAG, offsetof(struct fleet, spot.live) },
        { "notice", TIME, offsetof(struct fleet, spot.notice_ms), 0, DAY_MS },
        { "price_most", NUMBER, offsetof(struct fleet, spot.price_most), 1e-3, 1e3 },
        { "rates", OTHER },
        { "traces", OTHER },
        {},
    };
    static const struct toml_key rate_fields[] = {
        { "type", TEXT, offsetof(struct fleet_rate, type) },
        { "per_hour", NUMBER, offsetof(struct fleet_rate, per_hour), 0, 3600 },
        {},
    };
    const struct doc *items;
    uint32_t count;

    if (!d)
        return 0;
    if (toml_read(r, d, "spot", fields, fleet) < 0 || toml_items(r, d, "rates", &items, &count) < 0)
        return -1;
    fleet->spot.rates = arena_array_of(r->arena, struct fleet_rate, (size_t)count + 1);
    for (uint32_t i = 0; i < count; i++) {
        fleet->spot.rates[i] = (struct fleet_rate){ .type = "*", .per_hour = -1 };
        if (toml_read(r, items->items[i], "spot.rates", rate_fields, &fleet->spot.rates[i]) < 0)
            return -1;
        if (fleet->spot.rates[i].per_hour < 0)
            return toml_wrong(r, items->items[i], "a rate needs per_hour, the interruptions of an instance in an hour");
    }
    fleet->spot.rate_count = (int)count;
    if (toml_items(r, d, "traces", &items, &count) < 0)
        return -1;
    fleet->spot.traces = arena_array_of(r->arena, struct fleet_trace, (size_t)count + 1);
    for (uint32_t i = 0; i < count; i++)
        if (read_trace(r, items->items[i], &fleet->spot.traces[i]) < 0)
            return -1;
    fleet->spot.trace_count = (int)count;
    return 0;
}

/* --- Names of the catalogue --- */

static int check_region(struct toml_reader *r, const struct doc *at, const struct fleet *fleet)
{
    const char **regions = instance_regions(r->arena), *all = "";

    for (int i = 0; regions[i]; i++) {
        if (strcmp(regions[i], fleet->region) == 0)
            return 0;
        all = arena_printf(r->arena, "%s%s%s", all, i ? ", " : "", regions[i]);
    }
    return toml_wrong(r, at, "the catalogue has no prices of the region %s; there are %s", fleet->region, all);
}

static const char *meant(struct toml_reader *r, const struct fleet *fleet, const char *type)
{
    size_t count;
    const char **names = instance_type_names(r->arena, (size_t)fleet->type_count, &count), *nearest;

    for (int i = 0; i < fleet->type_count; i++)
        names[count++] = fleet->types[i].name;
    nearest = text_nearest_of(type, names, count);
    return nearest ? arena_printf(r->arena, "; did you mean %s?", nearest)
                   : "; add [[types]] with this name, or write a pattern with a *";
}

/* A rule for a type that nobody can ask for is a typing mistake, and would never be seen. */
static int check_pattern(struct toml_reader *r, const struct doc *at, const struct fleet *fleet, const char *pattern)
{
    struct fleet_type ignored;

    if (strpbrk(pattern, "*?[") || fleet_type(fleet, pattern, &ignored))
        return 0;
    return toml_wrong(r, at, "neither this file nor the catalogue has a type %s%s", pattern, meant(r, fleet, pattern));
}

static int check_rules(struct toml_reader *r, const struct doc *rules, const struct fleet *fleet)
{
    for (size_t i = 0; i < doc_count(rules, ""); i++) {
        const struct doc *type = doc_get(rules->items[i], "type");

        if (type && check_pattern(r, type, fleet, doc_value_text(type)) < 0)
            return -1;
    }
    return 0;
}

/* When all types are known. */
static int check_types(struct toml_reader *r, const struct doc *d, const struct fleet *fleet)
{
    const struct doc *pools = doc_get(d, "pools"), *spot = doc_get(d, "spot");

    for (size_t i = 0; i < doc_count(pools, ""); i++) {
        const struct doc *accepts = doc_get(pools->items[i], "accepts");

        for (size_t j = 0; j < doc_count(accepts, ""); j++)
            if (check_pattern(r, accepts->items[j], fleet, doc_value_text(accepts->items[j])) < 0)
                return -1;
    }
    return check_rules(r, doc_get(d, "quotas"), fleet) < 0 || check_rules(r, doc_get(spot, "rates"), fleet) < 0 ||
                   check_rules(r, doc_get(spot, "traces"), fleet) < 0 ? -1 : 0;
}

static const struct toml_key top_fields[] = {
    { "region", TEXT, offsetof(struct fleet, region) },
    { "seed", WHOLE, offsetof(struct fleet, seed), 0, 9e15 },
    { "pools", OTHER },    { "nodes", OTHER }, { "types", OTHER }, { "quotas", OTHER },   { "owners", OTHER },
    { "share", OTHER },    { "queue", OTHER }, { "spot", OTHER },  { "failures", OTHER }, { "checkpoints", OTHER },
    {},
};
static const struct toml_key share_fields[] = {
    { "half_life", TIME, offsetof(struct fleet, share.half_life_ms), HOUR_MS, 3650.0 * DAY_MS },
    { "period", TIME, offsetof(struct fleet, share.period_ms), 1000, DAY_MS },
    {},
};
static const struct toml_key queue_fields[] = {
    { "patience", TIME, offsetof(struct fleet, queue.patience_ms), 0, 3650.0 * DAY_MS },
    { "depth", WHOLE, offsetof(struct fleet, queue.depth), 1, 1e6 },
    { "default_runtime", TIME, offsetof(struct fleet, queue.default_runtime_ms), 1000, 3650.0 * DAY_MS },
    {},
};
static const struct toml_key failure_fields[] = {
    { "mean_time_between", TIME, offsetof(struct fleet, failures.mean_ms), 0, 36500.0 * DAY_MS },
    { "repair", TIME, offsetof(struct fleet, failures.repair_ms), 0, 3650.0 * DAY_MS },
    { "lemon_after", WHOLE, offsetof(struct fleet, failures.lemon_after), 1, 1e6 },
    { "lemon_half_life", TIME, offsetof(struct fleet, failures.lemon_half_life_ms), HOUR_MS, 3650.0 * DAY_MS },
    {},
};
static const struct toml_key checkpoint_fields[] = {
    { "cost", TIME, offsetof(struct fleet, checkpoints.cost_ms), 0, DAY_MS },
    { "restart", TIME, offsetof(struct fleet, checkpoints.restart_ms), 0, DAY_MS },
    { "interval", TIME, offsetof(struct fleet, checkpoints.interval_ms), 0, 3650.0 * DAY_MS },
    {},
};

int fleet_read(struct arena *a, const char *name, struct str text, struct fleet *ret, struct err *err)
{
    struct toml_reader r = { .arena = a, .name = name, .err = err };
    struct fleet fleet = fleet_default();
    struct doc *d;

    fleet.from_file = true;
    if (toml_parse(a, name, text, &d, err) < 0 || toml_read(&r, d, "the fleet", top_fields, &fleet) < 0 ||
        read_pools(&r, d, &fleet) < 0 || read_nodes(&r, d, &fleet) < 0 || read_types(&r, d, &fleet) < 0 ||
        read_quotas(&r, d, &fleet) < 0 || read_owners(&r, d, &fleet) < 0 ||
        toml_read(&r, doc_get(d, "share"), "share", share_fields, &fleet) < 0 ||
        toml_read(&r, doc_get(d, "queue"), "queue", queue_fields, &fleet) < 0 ||
        read_spot(&r, doc_get(d, "spot"), &fleet) < 0 ||
        toml_read(&r, doc_get(d, "failures"), "failures", failure_fields, &fleet) < 0 ||
        toml_read(&r, doc_get(d, "checkpoints"), "checkpoints", checkpoint_fields, &fleet) < 0 ||
        check_region(&r, doc_get(d, "region"), &fleet) < 0 || check_types(&r, d, &fleet) < 0)
        return -1;
    *ret = fleet;
    return 0;
}
