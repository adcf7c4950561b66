#include "base/map.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

struct slot {
    uint64_t hash;
    struct str key; /* data NULL: never used; value NULL: removed */
    void *value;
};

struct map {
    struct slot *slots;
    size_t capacity; /* a power of two */
    size_t used;     /* slots with a key, living or removed */
    size_t count;    /* living */
    uint64_t seed;   /* keys come from the network: nobody outside may choose collisions */
};

/* FNV-1a over the seed, finished as in MurmurHash3 so that the low bits depend on every byte. */
static uint64_t hash_of(const struct map *m, struct str key)
{
    uint64_t h = 14695981039346656037u ^ m->seed;

    for (size_t i = 0; i < key.size; i++)
        h = (h ^ (unsigned char)key.data[i]) * 1099511628211u;
    h ^= h >> 33;
    h *= 0xff51afd7ed558ccdu;
    h ^= h >> 33;
    return h;
}

static _Atomic uint64_t process_seed, made;

void map_reseed(uint64_t seed)
{
    process_seed = seed;
    made = 0;
}

/* One for all maps: small ones are made and freed with each turn of the loop. */
static uint64_t seed_of_process(void)
{
    uint64_t seed = process_seed;

    /* Without entropy maps still work; only the order of collisions is then predictable. */
    if (!seed && getrandom(&seed, sizeof seed, GRND_NONBLOCK) == (ssize_t)sizeof seed)
        process_seed = seed;
    return seed;
}

struct map *map_new(void)
{
    struct map *m = calloc(1, sizeof *m);

    assert(m && "out of memory");
    /* Each its own: what is copied from one into another in its order would collide there all the way. */
    m->seed = seed_of_process() ^ ++made * 0x9e3779b97f4a7c15u;
    return m;
}

void map_free(struct map *m)
{
    if (!m)
        return;
    for (size_t i = 0; i < m->capacity; i++)
        free((char *)m->slots[i].key.data);
    free(m->slots);
    free(m);
}

size_t map_count(const struct map *m)
{
    return m->count;
}

/* The slot of the key, or the first free one of its chain. */
static struct slot *find(const struct map *m, struct str key, uint64_t hash)
{
    size_t i = hash & (m->capacity - 1);

    while (m->slots[i].key.data && !(m->slots[i].hash == hash && str_eq(m->slots[i].key, key)))
        i = (i + 1) & (m->capacity - 1);
    return &m->slots[i];
}

static void resize(struct map *m)
{
    struct map old = *m;

    m->capacity = 16;
    while (m->capacity < old.count * 4)
        m->capacity *= 2;
    m->slots = calloc(m->capacity, sizeof *m->slots);
    assert(m->slots && "out of memory");
    m->used = m->count;
    for (size_t i = 0; i < old.capacity; i++) {
        if (old.slots[i].value)
            *find(m, old.slots[i].key, old.slots[i].hash) = old.slots[i];
        else
            free((char *)old.slots[i].key.data);
    }
    free(old.slots);
}

void *map_get(const struct map *m, struct str key)
{
    return m->capacity ? find(m, key, hash_of(m, key))->value : NULL;
}

void *map_set(struct map *m, struct str key, void *value)
{
    uint64_t hash = hash_of(m, key);
    struct slot *slot;
    void *old;

    assert(value);
    if ((m->used + 1) * 4 > m->capacity * 3)
        resize(m);
    slot = find(m, key, hash);
    old = slot->value;
    if (!slot->key.data) {
        char *copy = malloc(key.size + 1);

        assert(copy && "out of memory");
        if (key.size)
            memcpy(copy, key.data, key.size);
        copy[key.size] = '\0';
        *slot = (struct slot){ .hash = hash, .key = { copy, key.size } };
        m->used++;
    }
    if (!old)
        m->count++;
    slot->value = value;
    return old;
}

void *map_remove(struct map *m, struct str key)
{
    struct slot *slot = m->capacity ? find(m, key, hash_of(m, key)) : NULL;
    void *old = slot ? slot->value : NULL;

    if (old) {
        slot->value = NULL;
        m->count--;
    }
    return old;
}

int map_next(const struct map *m, size_t *at, struct str *ret_key, void **ret_value)
{
    for (; *at < m->capacity; (*at)++)
        if (m->slots[*at].value) {
            *ret_key = m->slots[*at].key;
            *ret_value = m->slots[*at].value;
            (*at)++;
            return 1;
        }
    return 0;
}
