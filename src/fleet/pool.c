#include "fleet/pool.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/list.h"
#include "base/map.h"
#include "fleet/instance_type.h"

enum { SLOTS_A_CORE = 4, LEAST_MEMORY_MIB = 512 };

struct place {
    struct list link; /* in the line, while it waits */
    bool has_slot;
    int count; /* of slots */
    char uid[64];
};

struct pool {
    int cores, slots, used, waiting;
    int64_t memory_bytes;
    struct map *places;
    struct list line;
};

struct pool *pool_new(int cores, int64_t memory_bytes, int slots)
{
    struct pool *p = calloc(1, sizeof *p);

    assert(p && cores > 0 && "a machine has a core");
    p->cores = cores;
    p->memory_bytes = memory_bytes;
    p->slots = slots;
    if (slots <= 0) {
        int64_t by_memory = memory_bytes / ((int64_t)LEAST_MEMORY_MIB << 20);

        p->slots = cores * SLOTS_A_CORE;
        if (by_memory < p->slots)
            p->slots = by_memory > 0 ? (int)by_memory : 1;
    }
    p->places = map_new();
    list_init(&p->line);
    return p;
}

void pool_free(struct pool *p)
{
    struct str key;
    void *place;

    if (!p)
        return;
    for (size_t at = 0; map_next(p->places, &at, &key, &place);)
        free(place);
    map_free(p->places);
    free(p);
}

/* There is room for whoever is at the head of the line. */
static bool has_room(const struct pool *p)
{
    return !list_empty(&p->line) && p->used + list_entry(p->line.next, struct place, link)->count <= p->slots;
}

bool pool_take(struct pool *p, const char *uid, bool running)
{
    return pool_take_all(p, uid, 1, running);
}

bool pool_take_all(struct pool *p, const char *uid, int count, bool running)
{
    struct place *place = map_get(p->places, str_of(uid));

    if (!place) {
        place = calloc(1, sizeof *place);
        assert(place && strlen(uid) < sizeof place->uid);
        assert(count > 0);
        strcpy(place->uid, uid);
        place->count = count;
        p->waiting++;
        list_append(&p->line, &place->link);
        map_set(p->places, str_of(uid), place);
    }
    if (!place->has_slot && (running || (p->line.next == &place->link && has_room(p)))) {
        list_remove(&place->link);
        place->has_slot = true;
        p->waiting--;
        p->used += place->count;
    }
    return place->has_slot;
}

const char *pool_give(struct pool *p, const char *uid)
{
    struct place *place = map_remove(p->places, str_of(uid));

    if (place) {
        if (place->has_slot) {
            p->used -= place->count;
        } else {
            list_remove(&place->link);
            p->waiting--;
        }
        free(place);
    }
    return has_room(p) ? list_entry(p->line.next, struct place, link)->uid : "";
}

int pool_waiting_before(const struct pool *p, const char *uid)
{
    const struct place *last = list_empty(&p->line) ? NULL : list_entry(p->line.prev, struct place, link);
    int before = 0;

    /* Who asks has most often just come, and thousands may wait. */
    if (last && strcmp(last->uid, uid) == 0)
        return p->waiting - 1;
    for (const struct list *node = p->line.next; node != &p->line; node = node->next, before++)
        if (strcmp(list_entry(node, struct place, link)->uid, uid) == 0)
            return before;
    return 0;
}

int pool_waiting(const struct pool *p)
{
    return p->waiting;
}

int pool_slots(const struct pool *p)
{
    return p->slots;
}

int pool_used(const struct pool *p)
{
    return p->used;
}

struct pool_limits pool_limits_of(const struct pool *p, const char *name)
{
    const struct instance_type *type = instance_type(name);
    /* A fifth stays for the platform itself and the page cache. */
    int64_t most = p->memory_bytes - p->memory_bytes / 5, wanted = most;
    struct pool_limits limits = { .cpus = p->cores, .cpu_weight = 100 };

    if (type) {
        wanted = (int64_t)(type->memory_gib * (1 << 30));
        limits.cpu_weight = type->vcpus * 25;
        if (type->vcpus < p->cores)
            limits.cpus = type->vcpus;
    }
    limits.memory_bytes = wanted < most ? wanted : most;
    if (limits.cpu_weight > 10000)
        limits.cpu_weight = 10000;
    return limits;
}
