#include "services/routes.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "base/map.h"
#include "doc/json.h"
#include "route/snapshot.h"

enum { SNAPSHOT_MAX_BYTES = 256 << 20 };

struct entry {
    struct arena *arena;
    const struct doc *endpoint; /* NULL: removed, and 'since' still counts */
    int64_t since;
};

struct routes {
    char *snapshot_path, *ack_path;
    struct map *entries;
    struct arena *identity_arena;
    const struct doc *identities;
    int64_t published; /* the newest generation on disk */
    bool ours;         /* it was written by this process: it has what is in 'entries', and nothing else */
    bool changed;
    struct route_ack ack;
};

int routes_new(const char *folder, struct routes **ret, struct err *err)
{
    _cleanup_arena_ struct arena *a = arena_new();
    struct routes *r = calloc(1, sizeof *r);
    struct str text;
    struct doc *old;

    assert(r && "out of memory");
    r->entries = map_new();
    if (asprintf(&r->snapshot_path, "%s/route.json", folder) < 0 || asprintf(&r->ack_path, "%s/route.ack", folder) < 0)
        assert(!"out of memory");
    if (file_read(a, r->snapshot_path, SNAPSHOT_MAX_BYTES, &text, err) == 0) {
        if (json_parse(a, text, &old, err) < 0) {
            routes_free(r);
            return fail(err, ERR_INTERNAL, "%s/route.json: %s", folder, err->text);
        }
        r->published = doc_int(old, "generation", 0);
    } else if (err->kind != ERR_NOT_FOUND) {
        routes_free(r);
        return -1;
    }
    /* The first snapshot after a start is always written: what changed while we were away is not known. */
    r->changed = true;
    routes_read_ack(r);
    *ret = r;
    return 0;
}

void routes_free(struct routes *r)
{
    struct str key;
    void *value;

    if (!r)
        return;
    for (size_t at = 0; map_next(r->entries, &at, &key, &value);) {
        arena_free(((struct entry *)value)->arena);
        free(value);
    }
    map_free(r->entries);
    arena_free(r->identity_arena);
    free(r->snapshot_path);
    free(r->ack_path);
    free(r);
}

static int64_t put(struct routes *r, const char *uid, const struct doc *endpoint)
{
    struct entry *e = map_get(r->entries, str_of(uid));

    if (!e && !endpoint) /* one from before a restart may have had it still */
        return r->published + (r->ours ? 0 : 1);
    if (e && (endpoint == e->endpoint || doc_equal(endpoint, e->endpoint)))
        return e->since;
    if (!e) {
        e = calloc(1, sizeof *e);
        assert(e && "out of memory");
        map_set(r->entries, str_of(uid), e);
    }
    arena_free(e->arena);
    e->arena = arena_new();
    e->endpoint = endpoint ? doc_copy(e->arena, endpoint) : NULL;
    e->since = r->published + 1;
    r->changed = true;
    return e->since;
}

int64_t routes_set(struct routes *r, const char *uid, const struct doc *endpoint)
{
    return put(r, uid, endpoint);
}

int64_t routes_remove(struct routes *r, const char *uid)
{
    return put(r, uid, NULL);
}

void routes_set_identities(struct routes *r, const struct doc *identities)
{
    if (doc_equal(identities, r->identities))
        return;
    arena_free(r->identity_arena);
    r->identity_arena = arena_new();
    r->identities = doc_copy(r->identity_arena, identities);
    r->changed = true;
}

bool routes_applied(const struct routes *r, int64_t generation)
{
    return r->ack.applied >= generation;
}

bool routes_drained(const struct routes *r, int64_t generation)
{
    return r->ack.applied >= generation && r->ack.drained >= generation - 1;
}

bool routes_changed(const struct routes *r)
{
    return r->changed;
}

int routes_publish(struct routes *r, struct err *err)
{
    _cleanup_arena_ struct arena *a = arena_new();
    _cleanup_buf_ struct buf text = { 0 };
    struct doc *snapshot = doc_map(a), *endpoints = doc_list(a);
    struct str key;
    void *value;

    if (!r->changed)
        return 0;
    doc_set_integer(a, snapshot, "version", 1);
    doc_set_integer(a, snapshot, "generation", r->published + 1);
    doc_merge(a, snapshot, r->identities);
    for (size_t at = 0; map_next(r->entries, &at, &key, &value);) {
        struct entry *e = value;

        if (e->endpoint) {
            doc_append(a, endpoints, doc_copy(a, e->endpoint));
        } else if (routes_drained(r, e->since)) {
            arena_free(e->arena);
            free(e);
            map_remove(r->entries, key);
        }
    }
    doc_set(a, snapshot, "endpoints", endpoints);
    json_print(&text, snapshot);
    if (file_write_atomic(r->snapshot_path, text.data, text.size, 0600, err) < 0)
        return -1;
    r->published++;
    r->ours = true;
    r->changed = false;
    return 0;
}

bool routes_read_ack(struct routes *r)
{
    struct route_ack ack;
    struct err err;

    /* Not there, or half a file of another time: the next one will tell. */
    if (route_ack_read(r->ack_path, &ack, &err) < 0 || (ack.applied == r->ack.applied && ack.drained == r->ack.drained))
        return false;
    r->ack = ack;
    return true;
}
