/* plane.c - the two files between control plane and data plane, in memory, and a data plane that keeps old requests. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/fd.h"
#include "doc/json.h"
#include "sim.h"

enum { GENERATIONS = 2048 };

static struct plane {
    struct arena *arena;
    const struct doc *snapshots[GENERATIONS]; /* that were applied, by generation; NULL: skipped, or drained */
    int64_t applied, drained;
} plane;

int __wrap_file_write_atomic(const char *path, const void *data, size_t size, mode_t mode, struct err *err);
int __wrap_file_read(struct arena *, const char *path, size_t limit_bytes, struct str *ret, struct err *err);

/* The linker gives us these calls of the code under test. */
int __wrap_file_write_atomic(const char *path, const void *data, size_t size, mode_t mode, struct err *err)
{
    struct buf *file = map_get(w.files, str_of(path));

    (void)mode;
    if (w.dying || w.boot_ms < w.full_until_boot_ms)
        return fail(err, ERR_UNAVAILABLE, "no room for %s", path);
    if (!file) {
        file = calloc(1, sizeof *file);
        assert(file);
        map_set(w.files, str_of(path), file);
    }
    buf_clear(file);
    buf_append(file, data, size);
    return 0;
}

int __wrap_file_read(struct arena *a, const char *path, size_t limit_bytes, struct str *ret, struct err *err)
{
    struct buf *file = map_get(w.files, str_of(path));

    if (!file)
        return fail(err, ERR_NOT_FOUND, "there is no %s", path);
    assert(file->size <= limit_bytes);
    *ret = (struct str){ str_dup(a, (struct str){ file->data, file->size }), file->size };
    return 0;
}

void plane_begin(void)
{
    plane = (struct plane){ .arena = arena_new() };
}

void plane_end(void)
{
    arena_free(plane.arena);
}

static const struct doc *published(void)
{
    struct buf *file = map_get(w.files, STR("/data/route.json"));
    struct doc *d;
    struct err err;

    if (!file)
        return NULL;
    if (json_parse(plane.arena, (struct str){ file->data, file->size }, &d, &err) < 0)
        broken("the snapshot is no JSON: %s", err.text);
    return d;
}

static void acknowledge(void)
{
    struct buf *file = map_get(w.files, STR("/data/route.ack"));

    if (!file) {
        file = calloc(1, sizeof *file);
        assert(file);
        map_set(w.files, STR("/data/route.ack"), file);
    }
    buf_clear(file);
    buf_printf(file, "{\"version\":1,\"applied\":%lld,\"drained\":%lld}", (long long)plane.applied,
               (long long)plane.drained);
}

void plane_move(void)
{
    const struct doc *d;
    int64_t generation;

    if (chance(F_PLANE, 800))
        return;
    d = published();
    generation = doc_int(d, "generation", 0);
    if (generation < plane.applied)
        broken("the snapshot went back from generation %lld to %lld", (long long)plane.applied, (long long)generation);
    if (generation > plane.applied) {
        if (generation >= GENERATIONS)
            broken("%lld snapshots in one story: something publishes without end", (long long)generation);
        plane.snapshots[generation] = d;
        plane.applied = generation;
    }
    /* The last requests of older generations end, the oldest first. */
    while (plane.drained < plane.applied - 1 && !chance(F_PLANE, 700))
        plane.snapshots[++plane.drained] = NULL;
    acknowledge();
}

static bool has(const struct doc *snapshot, const char *agent)
{
    const struct doc *endpoints = doc_get(snapshot, "endpoints");

    for (size_t i = 0; i < doc_count(endpoints, ""); i++)
        for (size_t j = 0; j < doc_count(endpoints->items[i], "variants"); j++) {
            const struct doc *instances = doc_get(doc_get(endpoints->items[i], "variants")->items[j], "instances");

            for (size_t k = 0; k < doc_count(instances, ""); k++)
                if (doc_is(instances->items[k], "uid", agent))
                    return true;
        }
    return false;
}

bool plane_may_ask(const char *agent)
{
    for (int64_t g = plane.drained + 1; g <= plane.applied; g++)
        if (plane.snapshots[g] && has(plane.snapshots[g], agent))
            return true;
    return has(published(), agent);
}

/* The entry of the snapshot that new requests use; NULL: none. */
static const struct doc *entry_of(const char *name)
{
    const struct doc *endpoints = plane.applied ? doc_get(plane.snapshots[plane.applied], "endpoints") : NULL;

    for (size_t i = 0; i < doc_count(endpoints, ""); i++)
        if (doc_is(endpoints->items[i], "name", name))
            return endpoints->items[i];
    return NULL;
}

bool plane_serves(const char *name)
{
    return entry_of(name) != NULL;
}

int plane_instances(const char *name)
{
    const struct doc *variants = doc_get(entry_of(name), "variants");
    size_t count = 0;

    for (size_t i = 0; i < doc_count(variants, ""); i++)
        count += doc_count(variants->items[i], "instances");
    return (int)count;
}
