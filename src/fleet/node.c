/* node.c - a node moves to another shelf whenever its room changes; a shelf without nodes is gone. */
#include "fleet/node.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { WORDS_MOST = 4096 };

static void *grown(void *array, size_t count, size_t size)
{
    void *more = realloc(array, (count ? count : 1) * size);

    assert(more && "memory");
    return more;
}

/* Whether the node's labels, sorted "a=x,b=y", have every one that is wanted. */
static bool has_labels(const char *labels, const char *wanted)
{
    struct str rest = str_of(wanted), one;

    while (rest.size > 0) {
        const char *at = labels;
        bool found = false;

        if (!str_cut(rest, ',', &one, &rest)) {
            one = rest;
            rest.size = 0;
        }
        while (!found && *at) {
            size_t size = strcspn(at, ",");

            found = str_eq((struct str){ at, size }, one);
            at += size + (at[size] == ',');
        }
        if (!found)
            return false;
    }
    return true;
}

/* A pool without a list takes every type whose GPUs its nodes have; one that names the type itself has been told
 * that its own GPUs will do. */
static enum fit pool_fit(const struct fleet_pool *pool, const struct kind *kind, const struct shape *s)
{
    bool same_gpu = s->type.needs.gpus == 0 || strcmp(kind->gpu, s->type.gpu) == 0;
    enum fit best = pool->accept_count ? FIT_POOL : same_gpu ? FIT_WELL : FIT_GPU;

    for (int i = 0; i < pool->accept_count && best != FIT_WELL; i++)
        if (glob_matches(pool->accepts[i], s->type.name))
            best = same_gpu || !strpbrk(pool->accepts[i], "*?[") ? FIT_WELL : FIT_GPU;
    return best;
}

enum fit kind_fit(const struct nodes *n, const struct kind *kind, const struct shape *s)
{
    const struct fleet_pool *pool = &n->fleet->pools[kind->pool];
    struct capacity diskless = s->type.needs;
    enum fit fit = pool_fit(pool, kind, s);

    if (!has_labels(kind->labels, s->labels))
        return FIT_LABELS;
    if (s->type.needs.gpus && !kind->has.gpus)
        return FIT_NO_GPUS;
    if (pool->spot == (s->spot ? SPOT_NEVER : SPOT_ONLY))
        return FIT_MARKET;
    if (fit != FIT_WELL || capacity_times(&kind->has, &s->type.needs) > 0)
        return fit;
    diskless.disk_mib = 0;
    return capacity_times(&kind->has, &diskless) > 0 ? FIT_DISK : FIT_SIZE;
}

int64_t node_slots(const struct nodes *n, const struct node *node, const struct capacity *room, int shape)
{
    const struct shape *s = &n->shapes[shape];

    return s->fits[node->kind] ? capacity_times(room, &s->type.needs) : 0;
}

static struct shelf *shelf_of(struct nodes *n, struct shelves *shelves, const struct kind_room *key)
{
    struct str text = { (const char *)key, sizeof *key };
    struct shelf *shelf = map_get(shelves->by_room, text);

    if (shelf)
        return shelf;
    shelf = calloc(1, sizeof *shelf);
    assert(shelf);
    shelf->key = *key;
    list_init(&shelf->nodes);
    shelf->slots = grown(NULL, (size_t)n->shape_capacity, sizeof *shelf->slots);
    for (int i = 0; i < n->shape_count; i++)
        shelf->slots[i] =
            n->shapes[i].fits[key->kind] ? (int32_t)capacity_times(&key->room, &n->shapes[i].type.needs) : 0;
    if (shelves->count == shelves->capacity) {
        shelves->capacity = shelves->capacity ? 2 * shelves->capacity : 16;
        shelves->all = grown(shelves->all, shelves->capacity, sizeof *shelves->all);
    }
    shelf->at = shelves->count++;
    shelves->all[shelf->at] = shelf;
    map_set(shelves->by_room, text, shelf);
    return shelf;
}

static void shelf_free(struct shelves *shelves, struct shelf *shelf)
{
    map_remove(shelves->by_room, (struct str){ (const char *)&shelf->key, sizeof shelf->key });
    shelves->all[shelf->at] = shelves->all[--shelves->count];
    shelves->all[shelf->at]->at = shelf->at;
    free(shelf->slots);
    free(shelf);
}

static void leave(struct nodes *n, struct node *node, enum side side)
{
    struct shelves *shelves = &n->shelves[side];
    struct shelf *shelf = node->on[side].shelf;

    if (!shelf)
        return;
    list_remove(&node->on[side].link);
    for (int i = 0; i < n->shape_count; i++)
        shelves->slots[i] -= shelf->slots[i];
    if (--shelf->count == 0)
        shelf_free(shelves, shelf);
    node->on[side].shelf = NULL;
}

static void stand(struct nodes *n, struct node *node, enum side side)
{
    struct shelves *shelves = &n->shelves[side];
    struct kind_room key = { .kind = node->kind, .lemon = node->lemon, .room = node->room[side] };
    struct shelf *shelf = shelf_of(n, shelves, &key);

    shelf->count++;
    list_append(&shelf->nodes, &node->on[side].link);
    for (int i = 0; i < n->shape_count; i++)
        shelves->slots[i] += shelf->slots[i];
    node->on[side].shelf = shelf;
}

void node_shelve(struct nodes *n, struct node *node)
{
    for (int side = 0; side < SIDES; side++) {
        leave(n, node, side);
        if (node->state == NODE_IN_USE && !node->reserved && !node->aside)
            stand(n, node, side);
    }
}

static void change_side(struct nodes *n, struct node *node, enum side side, const struct capacity *by, int64_t times)
{
    capacity_add(&node->room[side], by, times);
    if (node->on[side].shelf) {
        leave(n, node, side);
        stand(n, node, side);
    }
}

static void change(struct nodes *n, struct node *node, int shape, int64_t times)
{
    const struct shape *s = &n->shapes[shape];

    change_side(n, node, LEFT, &s->type.needs, times);
    if (!s->spot)
        change_side(n, node, FIRM, &s->type.needs, times);
}

void node_take(struct nodes *n, struct node *node, int shape)
{
    change(n, node, shape, -1);
}

void node_give(struct nodes *n, struct node *node, int shape)
{
    change(n, node, shape, 1);
}

void node_idle_gpus(struct nodes *n, struct node *node, enum side side, int64_t idle)
{
    const struct capacity one = { .gpus = 1 };

    if (node->gpus_idle[side] != idle)
        change_side(n, node, side, &one, node->gpus_idle[side] - idle);
    node->gpus_idle[side] = idle;
}

uint64_t node_gpus(const struct nodes *n, const struct node *node, int64_t count)
{
    uint64_t mask = 0;

    for (int i = 0; i < (int)n->kinds[node->kind].has.gpus && count > 0; i++)
        if (!((node->gpus_taken | node->gpus_out) >> i & 1)) {
            mask |= (uint64_t)1 << i;
            count--;
        }
    assert(count == 0 && "the room was counted");
    return mask;
}

/* The better shelf for the shape: negative when a is. */
static int64_t compare(const struct nodes *n, const struct shape *s, const struct shelf *a, const struct shelf *b)
{
    bool plain = s->type.needs.gpus == 0;
    int64_t difference = a->key.lemon - b->key.lemon;

    if (!difference && plain)
        difference = n->kinds[a->key.kind].has.gpus - n->kinds[b->key.kind].has.gpus;
    if (!difference)
        difference = a->key.room.gpus - b->key.room.gpus;
    if (!difference)
        difference = a->key.room.cores - b->key.room.cores;
    if (!difference)
        difference = a->key.room.memory_mib - b->key.room.memory_mib;
    if (!difference)
        difference = a->key.kind - b->key.kind;
    return difference ? difference : a->key.room.disk_mib - b->key.room.disk_mib;
}

struct shelf *nodes_best(const struct nodes *n, enum side side, int shape)
{
    const struct shelves *shelves = &n->shelves[side];
    struct shelf *best = NULL;

    if (shelves->slots[shape] == 0)
        return NULL;
    for (size_t i = 0; i < shelves->count; i++) {
        struct shelf *shelf = shelves->all[i];

        if (shelf->slots[shape] > 0 && (!best || compare(n, &n->shapes[shape], shelf, best) < 0))
            best = shelf;
    }
    return best;
}

int nodes_measure(const struct nodes *n, struct arena *a, const struct ask *ask, struct shape *ret, struct err *err)
{
    struct shape s = { .spot = ask->spot, .labels = ask->labels, .volume_gb = ask->volume_gb,
                       .fits = arena_array_of(a, bool, (size_t)n->kind_count) };
    bool counted = false;

    if (!fleet_type(n->fleet, ask->type, &s.type))
        return fail(err, ERR_INVALID,
                    "Neither the catalogue nor the fleet file knows the instance type %s; add it as [[types]]",
                    ask->type);
    s.type.needs.disk_mib = fleet_type_disk_mib(&s.type, ask->volume_gb);
    s.usd_hour = ask->spot && s.type.spot_usd_hour >= 0 ? s.type.spot_usd_hour : s.type.usd_hour;
    for (int i = 0; i < n->kind_count; i++) {
        const struct kind *kind = &n->kinds[i];

        s.fits[i] = kind_fit(n, kind, &s) == FIT_WELL;
        if (s.fits[i]) {
            s.most += capacity_times(&kind->has, &s.type.needs) * kind->count;
            s.pools |= (uint32_t)1 << kind->pool;
            counted = counted || kind->has.disk_mib != DISK_UNCOUNTED;
        }
    }
    if (s.most && !counted)
        s.type.needs.disk_mib = 0;
    *ret = s;
    return 0;
}

static void shapes_grow(struct nodes *n)
{
    if (n->shape_count < n->shape_capacity)
        return;
    n->shape_capacity = 2 * n->shape_capacity;
    n->shapes = grown(n->shapes, (size_t)n->shape_capacity, sizeof *n->shapes);
    for (int side = 0; side < SIDES; side++) {
        struct shelves *shelves = &n->shelves[side];

        shelves->slots = grown(shelves->slots, (size_t)n->shape_capacity, sizeof *shelves->slots);
        for (size_t i = 0; i < shelves->count; i++)
            shelves->all[i]->slots =
                grown(shelves->all[i]->slots, (size_t)n->shape_capacity, sizeof *shelves->all[i]->slots);
    }
}

/* Its number, from now on. */
static int shape_keep(struct nodes *n, const struct shape *measured)
{
    struct shape s = *measured;
    int number = n->shape_count;

    s.type.name = arena_strdup(n->arena, s.type.name);
    s.labels = NULL;
    s.fits = arena_array_of(n->arena, bool, (size_t)n->kind_count);
    memcpy(s.fits, measured->fits, (size_t)n->kind_count * sizeof *s.fits);
    shapes_grow(n);
    n->shapes[n->shape_count++] = s;
    for (int side = 0; side < SIDES; side++) {
        struct shelves *shelves = &n->shelves[side];

        shelves->slots[number] = 0;
        for (size_t i = 0; i < shelves->count; i++) {
            struct shelf *shelf = shelves->all[i];

            shelf->slots[number] =
                s.fits[shelf->key.kind] ? (int32_t)capacity_times(&shelf->key.room, &s.type.needs) : 0;
            shelves->slots[number] += shelf->count * shelf->slots[number];
        }
    }
    return number;
}

/* What maps hold: 0 is none. */
static void *as_value(int number)
{
    return (void *)((uintptr_t)number + 1);
}

static int shape_find(struct nodes *n, const struct shape *s)
{
    _cleanup_buf_ struct buf key = { 0 };
    const void *known;
    int number;

    buf_printf(&key, "%s|%d|%" PRId64 "|", s->type.name, s->spot, s->type.needs.disk_mib);
    buf_append(&key, s->fits, (size_t)n->kind_count * sizeof *s->fits);
    known = map_get(n->shape_by_fit, (struct str){ key.data, key.size });
    if (known)
        return (int)((uintptr_t)known - 1);
    number = shape_keep(n, s);
    map_set(n->shape_by_fit, (struct str){ key.data, key.size }, as_value(number));
    return number;
}

/* By what words it was asked for; of those only so many are kept, they are people's. */
static void shape_note(struct nodes *n, struct str words, int number)
{
    if (map_count(n->shape_by_words) >= WORDS_MOST) {
        map_free(n->shape_by_words);
        n->shape_by_words = map_new();
    }
    map_set(n->shape_by_words, words, as_value(number));
}

/* Up, by less than a sixty-fourth: what people say as a rule stays as it is. */
static int64_t round_volume(int64_t gb)
{
    int64_t step = 1;

    while (gb > 128 * step)
        step *= 2;
    return (gb + step - 1) / step * step;
}

/* As 'ask' measures, of as few sizes of volumes as may be: where a larger one fits as often, that one. */
static int measure_rounded(struct nodes *n, struct arena *a, const struct ask *ask, struct shape *ret, struct err *err)
{
    struct ask rounded = *ask;
    struct shape larger;

    rounded.volume_gb = round_volume(ask->volume_gb);
    if (nodes_measure(n, a, ask, ret, err) < 0)
        return -1;
    if (rounded.volume_gb != ask->volume_gb && nodes_measure(n, a, &rounded, &larger, err) == 0 &&
        larger.most == ret->most)
        *ret = larger;
    return 0;
}

int nodes_shape(struct nodes *n, const struct ask *ask, int *ret, struct err *err)
{
    _cleanup_arena_ struct arena *a = NULL;
    _cleanup_buf_ struct buf words = { 0 };
    const void *known;
    struct shape s;

    buf_printf(&words, "%s|%d|%" PRId64 "|%s", ask->type, ask->spot, ask->volume_gb, ask->labels);
    known = map_get(n->shape_by_words, (struct str){ words.data, words.size });
    if (known) {
        *ret = (int)((uintptr_t)known - 1);
        return 0;
    }
    a = arena_new();
    if (measure_rounded(n, a, ask, &s, err) < 0)
        return -1;
    *ret = s.most ? shape_find(n, &s) : -1;
    if (s.most)
        shape_note(n, (struct str){ words.data, words.size }, *ret);
    return 0;
}

/* Groups of the file that are alike are one kind. */
static int kind_of(struct nodes *n, const struct fleet_nodes *group)
{
    for (int i = 0; i < n->kind_count; i++) {
        const struct kind *k = &n->kinds[i];

        if (k->pool == group->pool && memcmp(&k->has, &group->has, sizeof k->has) == 0 &&
            strcmp(k->gpu, group->gpu) == 0 && strcmp(k->labels, group->labels) == 0)
            return i;
    }
    n->kinds[n->kind_count] = (struct kind){ group->pool, group->has, group->gpu, group->labels, 0 };
    return n->kind_count++;
}

static void add_group(struct nodes *n, const struct fleet_nodes *group)
{
    int kind = kind_of(n, group);

    for (int64_t i = 0; i < group->count; i++) {
        struct node *node = &n->all[n->count++];

        node->name = group->numbered ? arena_printf(n->arena, "%s-%lld", group->name, (long long)i + 1) : group->name;
        node->kind = kind;
        node->room[LEFT] = node->room[FIRM] = group->has;
        list_init(&node->grants);
        for (int side = 0; side < SIDES; side++)
            list_init(&node->on[side].link);
        map_set(n->by_name, str_of(node->name), node);
        n->kinds[kind].count++;
    }
}

/* The last nodes of a pool are its spares, and count for nobody. */
static void set_spares(struct nodes *n)
{
    int64_t left[POOLS_MOST];

    for (int i = 0; i < n->fleet->pool_count; i++)
        left[i] = n->fleet->pools[i].spares;
    for (int64_t i = n->count - 1; i >= 0; i--)
        if (left[n->kinds[n->all[i].kind].pool]-- > 0) {
            n->all[i].state = NODE_SPARE;
            n->kinds[n->all[i].kind].count--;
        }
}

struct nodes *nodes_new(const struct fleet *fleet)
{
    struct nodes *n = calloc(1, sizeof *n);

    assert(n);
    n->fleet = fleet;
    n->arena = arena_new();
    n->by_name = map_new();
    n->shape_by_fit = map_new();
    n->shape_by_words = map_new();
    n->all = arena_array_of(n->arena, struct node, (size_t)fleet->node_count);
    n->kinds = arena_array_of(n->arena, struct kind, (size_t)fleet->node_group_count);
    n->shape_capacity = 16;
    n->shapes = grown(NULL, (size_t)n->shape_capacity, sizeof *n->shapes);
    for (int side = 0; side < SIDES; side++) {
        n->shelves[side].by_room = map_new();
        n->shelves[side].slots = grown(NULL, (size_t)n->shape_capacity, sizeof *n->shelves[side].slots);
    }
    for (int i = 0; i < fleet->node_group_count; i++)
        add_group(n, &fleet->nodes[i]);
    set_spares(n);
    for (int64_t i = 0; i < n->count; i++)
        node_shelve(n, &n->all[i]);
    return n;
}

void nodes_free(struct nodes *n)
{
    if (!n)
        return;
    for (int side = 0; side < SIDES; side++) {
        struct shelves *shelves = &n->shelves[side];

        while (shelves->count > 0)
            shelf_free(shelves, shelves->all[shelves->count - 1]);
        map_free(shelves->by_room);
        free(shelves->all);
        free(shelves->slots);
    }
    free(n->shapes);
    map_free(n->by_name);
    map_free(n->shape_by_fit);
    map_free(n->shape_by_words);
    arena_free(n->arena);
    free(n);
}

struct node *nodes_find(const struct nodes *n, const char *name)
{
    return map_get(n->by_name, str_of(name));
}
