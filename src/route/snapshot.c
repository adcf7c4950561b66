/* snapshot.c - the routing snapshot, read and written.
 *
 * What is read becomes arrays of structs in the order of the document; whoever looks up by name makes its own index. */
#include "route/snapshot.h"

#include <arpa/inet.h>
#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/fd.h"
#include "doc/json.h"

enum { VERSION = 1, SNAPSHOT_MAX_BYTES = 256 << 20, ACK_MAX_BYTES = 4096 };

/* Where in the document we are, for the error: "endpoints[3].variants[0].weight". */
struct at {
    const struct at *above;
    const char *member;
    size_t place;
};

static void print_at(const struct at *at, char *ret, size_t size)
{
    char above[200] = "";

    if (at->above)
        print_at(at->above, above, sizeof above);
    snprintf(ret, size, "%.150s%s%.40s[%zu]", above, *above ? "." : "", at->member, at->place);
}

static int wrong(const struct at *at, const char *member, const char *what, struct err *err)
{
    char place[256] = "";

    if (at)
        print_at(at, place, sizeof place);
    fail(err, ERR_INVALID, "routing snapshot: %s%s%s %s", place, at ? "." : "", member, what);
    return -1;
}

static int read_text(const struct doc *d, const struct at *at, const char *member, const char **ret, struct err *err)
{
    const struct doc *value = doc_get(d, member);

    if (!value || value->type != DOC_STRING || !value->text.size)
        return wrong(at, member, "is missing, empty or no text", err);
    if (memchr(value->text.data, '\0', value->text.size))
        return wrong(at, member, "has a zero byte", err);
    *ret = value->text.data;
    return 0;
}

static int read_list(const struct doc *d, const struct at *at, const char *member, const struct doc **ret,
                     struct err *err)
{
    const struct doc *value = doc_get(d, member);

    if (value && value->type != DOC_LIST)
        return wrong(at, member, "is no list", err);
    *ret = value; /* NULL: an empty one */
    return 0;
}

static size_t count_of(const struct doc *list)
{
    return list ? list->count : 0;
}

static int read_policies(struct arena *a, const struct doc *d, const struct at *at, const struct doc **ret,
                         struct err *err)
{
    if (read_list(d, at, "policies", ret, err) < 0)
        return -1;
    /* A policy that is no document would allow nothing, and nobody would know why. */
    for (size_t i = 0; i < count_of(*ret); i++)
        if ((*ret)->items[i]->type != DOC_MAP)
            return wrong(at, "policies", "has an item that is no policy document", err);
    if (!*ret)
        *ret = doc_list(a);
    return 0;
}

static int read_key(struct arena *a, const struct doc *d, const struct at *at, struct route_key *ret, struct err *err)
{
    if (read_text(d, at, "id", &ret->id, err) < 0 || read_text(d, at, "secret", &ret->secret, err) < 0 ||
        read_text(d, at, "account", &ret->account, err) < 0 || read_text(d, at, "arn", &ret->arn, err) < 0 ||
        read_policies(a, d, at, &ret->policies, err) < 0)
        return -1;
    ret->user_id = doc_text(d, "user_id");
    ret->trusted = doc_bool(d, "trusted", false);
    return 0;
}

static int read_instance(const struct doc *d, const struct at *at, struct route_instance *ret, struct err *err)
{
    unsigned char bytes[16];
    int64_t port = doc_int(d, "port", -1);

    if (read_text(d, at, "uid", &ret->uid, err) < 0 || read_text(d, at, "address", &ret->address, err) < 0)
        return -1;
    if (port < 0 || port > 65535)
        return wrong(at, "port", "is no port", err);
    if (port == 0 && ret->address[0] != '/')
        return wrong(at, "address", "is no path of a socket", err);
    if (port && inet_pton(AF_INET, ret->address, bytes) != 1 && inet_pton(AF_INET6, ret->address, bytes) != 1)
        return wrong(at, "address", "is no numeric address", err);
    ret->port = (int)port;
    return 0;
}

static int read_variant(struct arena *a, const struct doc *d, const struct at *at, struct route_variant *ret,
                        struct err *err)
{
    const struct doc *list;

    ret->weight = doc_number(d, "weight", -1);
    if (!(ret->weight >= 0) || !isfinite(ret->weight))
        return wrong(at, "weight", "is missing or below zero", err);
    if (read_text(d, at, "name", &ret->name, err) < 0 || read_list(d, at, "instances", &list, err) < 0)
        return -1;
    ret->uid = doc_text(d, "uid");
    ret->instance_count = count_of(list);
    ret->instances = arena_array_of(a, struct route_instance, ret->instance_count);
    for (size_t i = 0; i < ret->instance_count; i++)
        if (read_instance(list->items[i], &(struct at){ at, "instances", i }, &ret->instances[i], err) < 0)
            return -1;
    return 0;
}

static int read_endpoint(struct arena *a, const struct doc *d, const struct at *at, struct route_endpoint *ret,
                         struct err *err)
{
    const struct doc *list;

    if (read_text(d, at, "name", &ret->name, err) < 0 || read_text(d, at, "region", &ret->region, err) < 0 ||
        read_text(d, at, "account", &ret->account, err) < 0 || read_text(d, at, "arn", &ret->arn, err) < 0 ||
        read_list(d, at, "variants", &list, err) < 0)
        return -1;
    ret->variant_count = count_of(list);
    ret->variants = arena_array_of(a, struct route_variant, ret->variant_count);
    for (size_t i = 0; i < ret->variant_count; i++)
        if (read_variant(a, list->items[i], &(struct at){ at, "variants", i }, &ret->variants[i], err) < 0)
            return -1;
    return 0;
}

static int read_session_key(struct arena *a, const struct doc *d, struct str *ret, struct err *err)
{
    const struct doc *value = doc_get(d, "session_key");

    *ret = STR("");
    if (!value)
        return 0;
    if (value->type != DOC_STRING || !base64_decode(a, value->text, ret) || (ret->size != 32 && ret->size != 0))
        return wrong(NULL, "session_key", "is not 32 bytes in base64", err);
    return 0;
}

int route_snapshot_parse(struct arena *a, struct str text, struct route_snapshot *ret, struct err *err)
{
    struct route_snapshot s = { 0 };
    const struct doc *keys, *roles, *endpoints;
    struct doc *d;

    if (json_parse(a, text, &d, err) < 0)
        return -1;
    if (d->type != DOC_MAP || doc_int(d, "version", 0) != VERSION)
        return wrong(NULL, "version", "is not 1: it was written by another release", err);
    s.generation = doc_int(d, "generation", 0);
    if (s.generation < 1)
        return wrong(NULL, "generation", "is missing or below 1", err);
    if (read_text(d, NULL, "account", &s.account, err) < 0 ||
        read_text(d, NULL, "default_region", &s.default_region, err) < 0 ||
        read_session_key(a, d, &s.session_key, err) < 0 || read_list(d, NULL, "keys", &keys, err) < 0 ||
        read_list(d, NULL, "roles", &roles, err) < 0 || read_list(d, NULL, "endpoints", &endpoints, err) < 0)
        return -1;
    s.key_count = count_of(keys);
    s.keys = arena_array_of(a, struct route_key, s.key_count);
    for (size_t i = 0; i < s.key_count; i++)
        if (read_key(a, keys->items[i], &(struct at){ NULL, "keys", i }, &s.keys[i], err) < 0)
            return -1;
    s.role_count = count_of(roles);
    s.roles = arena_array_of(a, struct route_role, s.role_count);
    for (size_t i = 0; i < s.role_count; i++) {
        struct at at = { NULL, "roles", i };

        if (read_text(roles->items[i], &at, "arn", &s.roles[i].arn, err) < 0 ||
            read_policies(a, roles->items[i], &at, &s.roles[i].policies, err) < 0)
            return -1;
        s.roles[i].id = doc_text(roles->items[i], "id");
    }
    s.endpoint_count = count_of(endpoints);
    s.endpoints = arena_array_of(a, struct route_endpoint, s.endpoint_count);
    for (size_t i = 0; i < s.endpoint_count; i++)
        if (read_endpoint(a, endpoints->items[i], &(struct at){ NULL, "endpoints", i }, &s.endpoints[i], err) < 0)
            return -1;
    *ret = s;
    return 0;
}

int route_snapshot_read(struct arena *a, const char *path, struct route_snapshot *ret, struct err *err)
{
    struct str text;

    if (file_read(a, path, SNAPSHOT_MAX_BYTES, &text, err) < 0)
        return -1;
    return route_snapshot_parse(a, text, ret, err);
}

static struct doc *print_variant(struct arena *a, const struct route_variant *v)
{
    struct doc *d = doc_map(a), *instances = doc_list(a);

    for (size_t i = 0; i < v->instance_count; i++) {
        struct doc *instance = doc_map(a);

        doc_set_string(a, instance, "uid", v->instances[i].uid);
        doc_set_string(a, instance, "address", v->instances[i].address);
        doc_set_integer(a, instance, "port", v->instances[i].port);
        doc_append(a, instances, instance);
    }
    doc_set_string(a, d, "name", v->name);
    doc_set_real(a, d, "weight", v->weight);
    doc_set_string(a, d, "uid", v->uid);
    doc_set(a, d, "instances", instances);
    return d;
}

int route_snapshot_write(const char *path, const struct route_snapshot *s, struct err *err)
{
    _cleanup_arena_ struct arena *a = arena_new();
    _cleanup_buf_ struct buf text = { 0 };
    struct doc *d = doc_map(a), *keys = doc_list(a), *roles = doc_list(a), *endpoints = doc_list(a);

    assert(s->generation >= 1);
    for (size_t i = 0; i < s->key_count; i++) {
        struct doc *key = doc_map(a);

        doc_set_string(a, key, "id", s->keys[i].id);
        doc_set_string(a, key, "secret", s->keys[i].secret);
        doc_set_string(a, key, "account", s->keys[i].account);
        doc_set_string(a, key, "arn", s->keys[i].arn);
        doc_set_string(a, key, "user_id", s->keys[i].user_id);
        if (s->keys[i].policies)
            doc_set(a, key, "policies", doc_copy(a, s->keys[i].policies));
        doc_set_boolean(a, key, "trusted", s->keys[i].trusted);
        doc_append(a, keys, key);
    }
    for (size_t i = 0; i < s->role_count; i++) {
        struct doc *role = doc_map(a);

        doc_set_string(a, role, "arn", s->roles[i].arn);
        doc_set_string(a, role, "id", s->roles[i].id);
        if (s->roles[i].policies)
            doc_set(a, role, "policies", doc_copy(a, s->roles[i].policies));
        doc_append(a, roles, role);
    }
    for (size_t i = 0; i < s->endpoint_count; i++) {
        const struct route_endpoint *e = &s->endpoints[i];
        struct doc *endpoint = doc_map(a), *variants = doc_list(a);

        for (size_t j = 0; j < e->variant_count; j++)
            doc_append(a, variants, print_variant(a, &e->variants[j]));
        doc_set_string(a, endpoint, "name", e->name);
        doc_set_string(a, endpoint, "region", e->region);
        doc_set_string(a, endpoint, "account", e->account);
        doc_set_string(a, endpoint, "arn", e->arn);
        doc_set(a, endpoint, "variants", variants);
        doc_append(a, endpoints, endpoint);
    }
    doc_set_integer(a, d, "version", VERSION);
    doc_set_integer(a, d, "generation", s->generation);
    doc_set_string(a, d, "session_key", base64_encode(a, s->session_key.data, s->session_key.size));
    doc_set_string(a, d, "account", s->account);
    doc_set_string(a, d, "default_region", s->default_region);
    doc_set(a, d, "keys", keys);
    doc_set(a, d, "roles", roles);
    doc_set(a, d, "endpoints", endpoints);
    json_print(&text, d);
    return file_write_atomic(path, text.data, text.size, 0600, err);
}

int route_ack_read(const char *path, struct route_ack *ret, struct err *err)
{
    _cleanup_arena_ struct arena *a = arena_new();
    struct str text;
    struct doc *d;

    if (file_read(a, path, ACK_MAX_BYTES, &text, err) < 0 || json_parse(a, text, &d, err) < 0)
        return -1;
    if (doc_int(d, "version", 0) != VERSION || doc_int(d, "applied", -1) < 0 || doc_int(d, "drained", -1) < 0)
        return fail(err, ERR_INVALID, "%s: no acknowledgement of a routing snapshot", path);
    *ret = (struct route_ack){ doc_int(d, "applied", 0), doc_int(d, "drained", 0) };
    return 0;
}

int route_ack_write(const char *path, const struct route_ack *ack, struct err *err)
{
    char text[128];
    int n = snprintf(text, sizeof text, "{\"version\":%d,\"applied\":%" PRId64 ",\"drained\":%" PRId64 "}\n", VERSION,
                     ack->applied, ack->drained);

    return file_write_atomic(path, text, (size_t)n, 0600, err);
}
