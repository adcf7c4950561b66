#include "serve/table.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/map.h"

enum { CONNECT_MS = 250, IDLE_MS = 30000 }; /* a container accepts within 250 ms, or is not asked */

/* One address, as long as a table has it. */
struct address {
    struct http_upstream *upstream;
    int tables;
    char name[200];
};

struct table {
    struct list link; /* of the old ones, the oldest first */
    struct tables *tables;
    struct arena *arena;
    struct route_snapshot snapshot;
    struct map *keys, *key_arns, *roles, *endpoints;
    struct address **addresses;
    size_t address_count;
    int64_t running;
    bool old;
};

struct tables {
    struct loop *loop;
    struct counters *counters;
    struct map *addresses;
    struct table *current; /* NULL: none yet */
    struct list old;
};

struct tables *tables_new(struct loop *loop, struct counters *counters)
{
    struct tables *ts = calloc(1, sizeof *ts);

    assert(ts && "out of memory");
    ts->loop = loop;
    ts->counters = counters;
    ts->addresses = map_new();
    list_init(&ts->old);
    return ts;
}

static void address_leave(struct tables *ts, struct address *a)
{
    if (--a->tables)
        return;
    map_remove(ts->addresses, str_of(a->name));
    http_upstream_free(a->upstream);
    free(a);
}

static void table_free(struct table *t)
{
    struct str key;
    void *value;

    for (size_t at = 0; t->endpoints && map_next(t->endpoints, &at, &key, &value);) {
        const struct table_endpoint *e = value;

        for (size_t i = 0; i < e->route->variant_count; i++)
            if (t->tables->counters)
                counters_release(t->tables->counters, e->variants[i].counters);
    }
    for (size_t i = 0; i < t->address_count; i++)
        address_leave(t->tables, t->addresses[i]);
    free(t->addresses);
    map_free(t->keys);
    map_free(t->key_arns);
    map_free(t->roles);
    map_free(t->endpoints);
    arena_free(t->arena);
    free(t);
}

void tables_free(struct tables *ts)
{
    if (!ts)
        return;
    if (ts->current)
        table_free(ts->current);
    list_each(node, &ts->old)
        table_free(list_entry(node, struct table, link));
    assert(map_count(ts->addresses) == 0);
    map_free(ts->addresses);
    free(ts);
}

static struct http_upstream *upstream_of(struct table *t, const struct route_instance *i)
{
    struct tables *ts = t->tables;
    char name[200];
    struct address *a;

    snprintf(name, sizeof name, "%d %s", i->port, i->address);
    a = map_get(ts->addresses, str_of(name));
    if (!a) {
        struct http_upstream_options options = {
            .loop = ts->loop,
            .address = i->port ? i->address : NULL,
            .path = i->port ? NULL : i->address,
            .port = i->port,
            .max_idle = 256,
            .idle_ms = IDLE_MS,
            .connect_ms = CONNECT_MS,
        };

        a = calloc(1, sizeof *a);
        assert(a && "out of memory");
        a->upstream = http_upstream_new(&options);
        memcpy(a->name, name, sizeof name);
        map_set(ts->addresses, str_of(name), a);
    }
    a->tables++;
    t->addresses = realloc(t->addresses, (t->address_count + 1) * sizeof *t->addresses);
    assert(t->addresses && "out of memory");
    t->addresses[t->address_count++] = a;
    return a->upstream;
}

static struct str host_of(struct arena *a, const struct route_instance *i)
{
    if (!i->port)
        return STR("localhost");
    return str_of(arena_printf(a, strchr(i->address, ':') ? "[%s]:%d" : "%s:%d", i->address, i->port));
}

/* Names of endpoints are one in any case, as in their ARN. An empty key: no endpoint has such a name. */
static struct str endpoint_key(char *ret, size_t size, const char *account, struct str region, struct str name)
{
    struct str parts[] = { str_of(account), region, name };
    size_t used = 0;

    for (size_t i = 0; i < 3; i++) {
        if (parts[i].size + 1 > size - used)
            return STR("");
        for (size_t j = 0; j < parts[i].size; j++) {
            char c = parts[i].data[j];

            ret[used++] = c >= 'A' && c <= 'Z' ? (char)(c | 32) : c;
        }
        ret[used++] = '/';
    }
    return (struct str){ ret, used };
}

static void add_endpoint(struct table *t, const struct route_endpoint *route, int64_t now_minute)
{
    struct table_endpoint *e = arena_new_of(t->arena, struct table_endpoint);
    char key[256];
    struct str name = endpoint_key(key, sizeof key, route->account, str_of(route->region), str_of(route->name));

    if (!name.size)
        return;
    e->route = route;
    e->variants = arena_array_of(t->arena, struct table_variant, route->variant_count);
    for (size_t i = 0; i < route->variant_count; i++) {
        const struct route_variant *rv = &route->variants[i];
        struct table_variant *v = &e->variants[i];

        v->route = rv;
        v->instances = arena_array_of(t->arena, struct table_instance, rv->instance_count);
        for (size_t j = 0; j < rv->instance_count; j++)
            v->instances[j] = (struct table_instance){ &rv->instances[j], upstream_of(t, &rv->instances[j]),
                                                       host_of(t->arena, &rv->instances[j]) };
        if (rv->instance_count)
            e->weight += rv->weight;
        if (t->tables->counters)
            v->counters = counters_claim(t->tables->counters, route->account, route->region, route->name, rv->name,
                                         now_minute);
    }
    map_set(t->endpoints, name, e);
}

int tables_apply(struct tables *ts, struct str text, int64_t now_minute, struct err *err)
{
    struct table *t = calloc(1, sizeof *t), *before = ts->current;

    assert(t && "out of memory");
    t->tables = ts;
    t->arena = arena_new();
    if (route_snapshot_parse(t->arena, text, &t->snapshot, err) < 0) {
        table_free(t);
        return -1;
    }
    t->keys = map_new();
    t->key_arns = map_new();
    t->roles = map_new();
    t->endpoints = map_new();
    for (size_t i = 0; i < t->snapshot.key_count; i++) {
        map_set(t->keys, str_of(t->snapshot.keys[i].id), &t->snapshot.keys[i]);
        map_set(t->key_arns, str_of(t->snapshot.keys[i].arn), &t->snapshot.keys[i]);
    }
    for (size_t i = 0; i < t->snapshot.role_count; i++)
        map_set(t->roles, str_of(t->snapshot.roles[i].arn), &t->snapshot.roles[i]);
    for (size_t i = 0; i < t->snapshot.endpoint_count; i++)
        add_endpoint(t, &t->snapshot.endpoints[i], now_minute);
    ts->current = t;
    if (before && before->running) {
        before->old = true;
        list_append(&ts->old, &before->link);
    } else if (before) {
        table_free(before);
    }
    return 0;
}

struct route_ack tables_ack(const struct tables *ts)
{
    const struct table *oldest = list_empty(&ts->old) ? ts->current : list_entry(ts->old.next, struct table, link);

    if (!oldest)
        return (struct route_ack){ 0 };
    return (struct route_ack){ .applied = ts->current->snapshot.generation,
                                .drained = oldest->snapshot.generation - 1 };
}

struct table *tables_hold(struct tables *ts)
{
    if (ts->current)
        ts->current->running++;
    return ts->current;
}

bool tables_release(struct tables *ts, struct table *t)
{
    if (!t)
        return false;
    assert(t->running > 0);
    if (--t->running || !t->old)
        return false;
    list_remove(&t->link);
    table_free(t);
    return true;
}

const struct route_snapshot *table_snapshot(const struct table *t)
{
    return &t->snapshot;
}

const struct route_key *table_key(const struct table *t, struct str id)
{
    return map_get(t->keys, id);
}

const struct route_key *table_key_by_arn(const struct table *t, const char *arn)
{
    return map_get(t->key_arns, str_of(arn));
}

const struct route_role *table_role(const struct table *t, const char *arn)
{
    return map_get(t->roles, str_of(arn));
}

const struct table_endpoint *table_endpoint(const struct table *t, const char *account, struct str region,
                                            struct str name)
{
    char key[256];
    struct str full = endpoint_key(key, sizeof key, account, region, name);

    return full.size ? map_get(t->endpoints, full) : NULL;
}

const struct table_variant *endpoint_choose(const struct table_endpoint *e, struct rand *rand)
{
    double at = e->route->variant_count > 1 ? rand_unit(rand) * e->weight : 0;
    const struct table_variant *last = NULL;

    for (size_t i = 0; i < e->route->variant_count; i++) {
        const struct table_variant *v = &e->variants[i];

        if (!v->route->instance_count || (v->route->weight <= 0 && e->weight > 0))
            continue;
        last = v;
        at -= v->route->weight;
        if (at < 0)
            break;
    }
    return last;
}

const struct table_variant *endpoint_variant(const struct table_endpoint *e, struct str name)
{
    for (size_t i = 0; i < e->route->variant_count; i++)
        if (str_is(name, e->variants[i].route->name))
            return &e->variants[i];
    return NULL;
}

const struct table_instance *variant_choose(const struct table_variant *v, struct rand *rand,
                                            const struct table_instance *except)
{
    size_t count = v->route->instance_count;
    const struct table_instance *one, *other;

    if (count == 0)
        return NULL;
    if (count == 1)
        return &v->instances[0];
    one = &v->instances[rand_below(rand, count)];
    other = &v->instances[rand_below(rand, count)];
    if (one == except)
        one = other;
    if (one == except)
        return &v->instances[((size_t)(except - v->instances) + 1) % count];
    if (other == except)
        return one;
    return http_upstream_running(other->upstream) < http_upstream_running(one->upstream) ? other : one;
}
