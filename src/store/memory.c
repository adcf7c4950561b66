/* memory.c - the store of simulations and tests: ordered maps, and a list of what to undo.
 *
 * Everything is an entry of some ordered map: rows by uid, their indexes, events, the pairs of tables. A write notes
 * what the entry was before; a dropped bracket, a lost turn and a crash play those notes backwards. */
#include "store/memory.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/map.h"

static void mark(struct memory *m)
{
    while (m->marked < m->store.depth)
        m->marks[m->marked++] = (struct mark){ m->undo_count, m->sequence };
}

int memory_room(struct memory *m, struct err *err)
{
    mark(m);
    if (m->full && m->full(m->context))
        return fail(err, ERR_UNAVAILABLE, "the memory store was told to be full");
    return 0;
}

static void note(struct memory *m, struct omap *map, struct str key, struct cell *before)
{
    char *copy = malloc(key.size + 1);

    assert(copy && "out of memory");
    memcpy(copy, key.data, key.size);
    if (m->undo_count == m->undo_capacity) {
        m->undo_capacity = m->undo_capacity ? m->undo_capacity * 2 : 64;
        m->undos = realloc(m->undos, m->undo_capacity * sizeof *m->undos);
        assert(m->undos && "out of memory");
    }
    m->undos[m->undo_count++] = (struct undo){ map, { copy, key.size }, before };
}

void memory_set(struct memory *m, struct omap *map, struct str key, struct cell *c)
{
    note(m, map, key, omap_set(map, key, c));
}

void memory_take(struct memory *m, struct omap *map, struct str key)
{
    struct cell *before = omap_take(map, key);

    if (before)
        note(m, map, key, before);
}

static void undo_to(struct memory *m, struct mark to)
{
    while (m->undo_count > to.undo_count) {
        struct undo *u = &m->undos[--m->undo_count];

        cell_release(u->before ? omap_set(u->map, u->key, u->before) : omap_take(u->map, u->key));
        free((void *)u->key.data);
    }
    m->sequence = to.sequence;
}

static int keep(struct store *s, struct err *err)
{
    struct memory *m = memory_of(s);

    (void)err;
    if (m->marked >= s->depth)
        m->marked = s->depth - 1;
    return 0;
}

static int drop(struct store *s, struct err *err)
{
    struct memory *m = memory_of(s);

    (void)err;
    if (m->marked >= s->depth) {
        m->marked = s->depth - 1;
        undo_to(m, m->marks[m->marked]);
    }
    return 0;
}

static void rollback(struct store *s)
{
    struct memory *m = memory_of(s);

    undo_to(m, (struct mark){ 0, m->committed_sequence });
    m->marked = 0;
}

static int commit(struct store *s, struct err *err)
{
    struct memory *m = memory_of(s);

    if (m->full && m->full(m->context))
        return fail(err, ERR_UNAVAILABLE, "the memory store was told to be full");
    for (size_t i = 0; i < m->undo_count; i++) {
        cell_release(m->undos[i].before);
        free((void *)m->undos[i].key.data);
    }
    m->undo_count = 0;
    m->committed_sequence = m->sequence;
    return 0;
}

static void memory_free(struct store *s)
{
    struct memory *m = memory_of(s);
    struct str name;
    void *table;

    rollback(s);
    for (size_t at = 0; map_next(m->tables, &at, &name, &table);)
        omap_free(table);
    map_free(m->tables);
    omap_free(m->rows);
    omap_free(m->events);
    for (int i = 0; i < INDEXES; i++)
        omap_free(m->indexes[i]);
    free(m->undos);
    free(m);
}

/* An event is kept as a row that borrows the fields: it is copied and shared the same way. */
static int event_add(struct store *s, const struct event *e, struct err *err)
{
    struct memory *m = memory_of(s);
    const struct row borrowed = {
        .uid = e->uid, .kind = e->kind, .name = e->name, .arn = e->what, .state = e->state_before,
        .parent_uid = e->state_after, .created_ms = e->at_ms,
    };
    char key[8];

    if (memory_room(m, err) < 0)
        return -1;
    store_key_int64(key, ++m->sequence);
    memory_set(m, m->events, (struct str){ key, sizeof key }, cell_new_row(&borrowed));
    return 0;
}

static int event_scan(struct arena *a, struct store *s, int64_t after_sequence, int limit, struct event **ret,
                      int *ret_count, struct err *err)
{
    struct event *events = arena_array_of(a, struct event, (size_t)limit);
    const struct onode *n;
    int count = 0;
    char key[8];

    (void)err;
    store_key_int64(key, after_sequence + 1);
    for (n = omap_seek(memory_of(s)->events, (struct str){ key, sizeof key }); n && count < limit; n = onode_next(n)) {
        struct row r = row_copy(a, &onode_cell(n)->row);

        events[count++] = (struct event){
            .sequence = store_int64_of_key(onode_key(n).data), .at_ms = r.created_ms, .uid = r.uid, .kind = r.kind,
            .name = r.name, .what = r.arn, .state_before = r.state, .state_after = r.parent_uid,
        };
    }
    *ret = events;
    *ret_count = count;
    return 0;
}

static int event_trim(struct store *s, int64_t through_sequence, struct err *err)
{
    struct memory *m = memory_of(s);
    const struct onode *n;

    if (memory_room(m, err) < 0)
        return -1;
    while ((n = omap_first(m->events)) && store_int64_of_key(onode_key(n).data) <= through_sequence) {
        char key[8];

        memcpy(key, onode_key(n).data, sizeof key);
        memory_take(m, m->events, (struct str){ key, sizeof key });
    }
    return 0;
}

static struct omap *table_at(struct memory *m, const char *name)
{
    struct omap *table = map_get(m->tables, str_of(name));

    if (!table) {
        table = omap_new();
        map_set(m->tables, str_of(name), table);
    }
    return table;
}

static int put(struct store *s, const char *table, struct str key, struct str value, struct err *err)
{
    struct memory *m = memory_of(s);

    if (memory_room(m, err) < 0)
        return -1;
    memory_set(m, table_at(m, table), key, cell_new_bytes(value));
    return 0;
}

static int get(struct arena *a, struct store *s, const char *table, struct str key, struct str *ret, struct err *err)
{
    struct cell *c = omap_get(table_at(memory_of(s), table), key);

    if (!c)
        return fail(err, ERR_NOT_FOUND, "there is no such key in %s", table);
    *ret = (struct str){ arena_copy(a, c->bytes, c->size + 1), c->size };
    return 0;
}

static int remove_key(struct store *s, const char *table, struct str key, struct err *err)
{
    struct memory *m = memory_of(s);

    if (memory_room(m, err) < 0)
        return -1;
    memory_take(m, table_at(m, table), key);
    return 0;
}

static const struct onode *range_start(const struct omap *table, const struct range *r)
{
    if (!r->reverse)
        return omap_seek(table, r->from);
    return r->to.size ? omap_before(table, omap_seek(table, r->to)) : omap_last(table);
}

static bool in_range(const struct onode *n, const struct range *r)
{
    return str_compare(onode_key(n), r->from) >= 0 && (!r->to.size || str_compare(onode_key(n), r->to) < 0);
}

static struct str copy_str(struct arena *a, struct str s)
{
    return (struct str){ str_dup(a, s), s.size };
}

static int scan(struct arena *a, struct store *s, const char *table, const struct range *r, struct pair **ret,
                int *ret_count, struct err *err)
{
    const struct omap *map = table_at(memory_of(s), table);
    int count = 0, capacity = 0;
    struct pair *pairs = NULL;

    (void)err;
    for (const struct onode *n = range_start(map, r); n && count < r->limit && in_range(n, r);
         n = r->reverse ? omap_before(map, n) : onode_next(n)) {
        if (count == capacity) {
            struct pair *more = arena_array_of(a, struct pair, capacity ? (size_t)capacity * 2 : 16);

            if (count)
                memcpy(more, pairs, (size_t)count * sizeof *more);
            pairs = more;
            capacity = capacity ? capacity * 2 : 16;
        }
        pairs[count++] = (struct pair){
            copy_str(a, onode_key(n)), copy_str(a, (struct str){ onode_cell(n)->bytes, onode_cell(n)->size })
        };
    }
    *ret = pairs;
    *ret_count = count;
    return 0;
}

static int remove_range(struct store *s, const char *table, const struct range *r, struct err *err)
{
    _cleanup_arena_ struct arena *a = arena_new();
    struct memory *m = memory_of(s);
    struct omap *map = table_at(m, table);
    const struct onode *n;

    if (memory_room(m, err) < 0)
        return -1;
    while ((n = omap_seek(map, r->from)) && in_range(n, r)) {
        memory_take(m, map, copy_str(a, onode_key(n)));
        arena_reset(a);
    }
    return 0;
}

static int backup(struct store *s, const char *folder, struct err *err)
{
    (void)s, (void)folder;
    return fail(err, ERR_INVALID, "a store in memory has nothing to back up");
}

void store_memory_full(struct store *s, bool (*full)(void *context), void *context)
{
    memory_of(s)->full = full;
    memory_of(s)->context = context;
}

void store_memory_crash(struct store *s)
{
    rollback(s);
    s->depth = 0;
    s->dirty = s->lost = false;
}

static const struct event_class events = { .add = event_add, .scan = event_scan, .trim = event_trim };

static const struct table_class tables = {
    .put = put, .get = get, .remove = remove_key, .scan = scan, .remove_range = remove_range,
};

static const struct store_class class = {
    .free = memory_free, .keep = keep, .drop = drop, .rollback = rollback, .commit = commit, .backup = backup,
    .rows = &memory_rows, .events = &events, .tables = &tables,
};

struct store *store_new_memory(void)
{
    struct memory *m = calloc(1, sizeof *m);

    assert(m && "out of memory");
    m->store.class = &class;
    m->rows = omap_new();
    m->events = omap_new();
    for (int i = 0; i < INDEXES; i++)
        m->indexes[i] = omap_new();
    m->tables = map_new();
    return &m->store;
}
