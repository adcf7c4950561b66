/* measure.c - a listing tells a thousand sizes at a time, but the role may not be allowed to list, and few may be named
 * of very many: whatever it leaves open is asked of each object. */
#include "agent/measure.h"

#include <stdlib.h>
#include <string.h>

#include "agent/fetch.h"

enum { LISTED_PER_NAMED = 4, LISTED_AT_LEAST = 1000 };

struct measured {
    struct channel_object *objects;
    const uint32_t *order;
    size_t count;
};

/* What the keys of all of them begin with. */
static const char *common_prefix(struct arena *a, const struct measured *m)
{
    const char *first = m->objects[m->order[0]].key;
    size_t size = strlen(first);

    for (size_t i = 1; i < m->count; i++) {
        const char *key = m->objects[m->order[i]].key;
        size_t same = 0;

        while (same < size && key[same] == first[same])
            same++;
        size = same;
    }
    return arena_strndup(a, first, size);
}

static int by_key(const void *key, const void *object)
{
    return strcmp(key, ((const struct s3_object *)object)->key);
}

/* Nobody is told when it fails: then each is asked for. */
static void take_listed(const struct measured *m, struct s3 *s3)
{
    _cleanup_arena_ struct arena *a = arena_new();
    size_t most = m->count * LISTED_PER_NAMED + LISTED_AT_LEAST;
    struct s3_object *listed;
    struct err ignored;
    int count;

    if (s3_list(s3, a, m->objects[m->order[0]].bucket, common_prefix(a, m),
                most < FETCH_OBJECTS_MAX ? (int)most : FETCH_OBJECTS_MAX, &listed, &count, &ignored) < 0)
        return;
    for (size_t i = 0; i < m->count; i++) {
        struct channel_object *o = &m->objects[m->order[i]];
        const struct s3_object *found = bsearch(o->key, listed, (size_t)count, sizeof *listed, by_key);

        if (found)
            o->size_bytes = found->size_bytes;
    }
}

static int ask(void *data, int number, struct s3 *s3, struct err *err)
{
    const struct measured *m = data;
    struct channel_object *o = &m->objects[m->order[number]];
    _cleanup_buf_ struct buf first = { 0 };

    return o->size_bytes >= 0 ? 0 : s3_get_range(s3, o->bucket, o->key, 0, 1, &first, &o->size_bytes, err);
}

int measure_objects(const struct transfer *t, struct s3 *s3, const struct channel *c, struct channel_object *objects,
                    const uint32_t *order, size_t count, struct err *err)
{
    struct measured m = { objects, order, count };

    if (c->type != CHANNEL_MANIFEST || count == 0)
        return 0;
    take_listed(&m, s3);
    return fetch_each(t, (int)count, ask, &m, err);
}
