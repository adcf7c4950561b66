/* memory_row.c - rows of resources in memory: by uid, and their uids in one map for each order that a list may have. */
#include "store/memory.h"

#include <limits.h>
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"

static struct str str_of_buf(const struct buf *b)
{
    return (struct str){ b->data, b->size };
}

/* The key of a row in an index, after the parts that a query names exactly. A NUL ends each text, so that a shorter one
 * comes first. */
static void index_prefix(struct buf *b, const char *kind, const char *account, const char *region)
{
    buf_append(b, kind, strlen(kind) + 1);
    buf_append(b, account, strlen(account) + 1);
    buf_append(b, region, strlen(region) + 1);
}

static void index_sort(struct buf *b, enum row_order order, const char *text, int64_t number, const char *uid)
{
    char key[8];

    if (order_is_text(order)) {
        buf_append(b, text, strlen(text) + 1);
    } else {
        store_key_int64(key, number);
        buf_append(b, key, sizeof key);
    }
    buf_append_str(b, uid);
}

static const char *sort_text(const struct row *r, enum row_order order)
{
    return order == ROWS_BY_NAME ? r->name : r->state;
}

static int64_t sort_number(const struct row *r, enum row_order order)
{
    return order == ROWS_BY_CREATED ? r->created_ms : r->modified_ms;
}

/* false: the row is not in this index. */
static bool index_key(struct arena *a, const struct row *r, enum index which, struct buf *b)
{
    char key[8];

    buf_clear(b);
    switch (which) {
    case BY_NAME:
    case BY_CREATED:
    case BY_MODIFIED:
    case BY_STATE: {
        static const enum row_order orders[] = { ROWS_BY_NAME, ROWS_BY_CREATED, ROWS_BY_MODIFIED, ROWS_BY_STATE };
        enum row_order order = orders[which];

        index_prefix(b, r->kind, r->account, r->region);
        index_sort(b, order, sort_text(r, order), sort_number(r, order), r->uid);
        return true;
    }
    case BY_ARN:
        buf_append_str(b, text_lower(a, r->arn));
        return *r->arn;
    case BY_PARENT:
        buf_append(b, r->parent_uid, strlen(r->parent_uid) + 1);
        buf_append_str(b, r->uid);
        return *r->parent_uid;
    case BY_DUE:
        store_key_int64(key, r->next_at_ms);
        buf_append(b, key, sizeof key);
        buf_append_str(b, r->uid);
        return r->next_at_ms < INT64_MAX;
    default:
        assert(!"no such index");
    }
}

/* Either may be NULL. Entries that both have stay untouched. */
static void reindex(struct memory *m, const struct row *before, const struct row *after)
{
    _cleanup_arena_ struct arena *a = arena_new();
    _cleanup_buf_ struct buf old = { 0 }, new = { 0 };

    for (int i = 0; i < INDEXES; i++) {
        bool was = before && index_key(a, before, (enum index)i, &old);
        bool is = after && index_key(a, after, (enum index)i, &new);

        if (was && is && str_eq(str_of_buf(&old), str_of_buf(&new)))
            continue;
        if (was)
            memory_take(m, m->indexes[i], str_of_buf(&old));
        if (is)
            memory_set(m, m->indexes[i], str_of_buf(&new), cell_new_bytes(str_of(after->uid)));
    }
}

static const struct row *row_at(struct memory *m, const char *uid)
{
    struct cell *c = omap_get(m->rows, str_of(uid));

    return c ? &c->row : NULL;
}

static int no_row(const char *uid, struct err *err)
{
    return fail(err, ERR_NOT_FOUND, "there is no row %s", uid);
}

static int row_saved(struct arena *a, struct store *s, const char *uid, struct saved *ret, struct err *err)
{
    const struct row *r = row_at(memory_of(s), uid);

    if (!r)
        return no_row(uid, err);
    *ret = (struct saved){ arena_strdup(a, r->kind), arena_strdup(a, r->name), arena_strdup(a, r->state), r->generation,
                           r->revision };
    return 0;
}

static int row_insert(struct store *s, const struct row *r, struct err *err)
{
    struct memory *m = memory_of(s);

    if (memory_room(m, err) < 0)
        return -1;
    memory_set(m, m->rows, str_of(r->uid), cell_new_row(r));
    reindex(m, NULL, r);
    return 0;
}

static int row_update(struct store *s, const struct row *r, bool want, struct err *err)
{
    struct memory *m = memory_of(s);
    struct cell *before, *after;
    struct row row;

    if (memory_room(m, err) < 0)
        return -1;
    before = cell_hold(omap_get(m->rows, str_of(r->uid)));
    row = before->row;
    if (want)
        row.want = r->want;
    else
        row.observed_generation = r->observed_generation;
    row.status = r->status;
    row.state = r->state;
    row.modified_ms = r->modified_ms;
    row.next_at_ms = r->next_at_ms;
    row.generation = r->generation;
    row.revision = r->revision;
    after = cell_new_row(&row);
    memory_set(m, m->rows, str_of(r->uid), after);
    reindex(m, &before->row, &after->row);
    cell_release(before);
    return 0;
}

static int row_delete(struct store *s, const char *uid, struct err *err)
{
    struct memory *m = memory_of(s);
    struct cell *before;

    if (memory_room(m, err) < 0)
        return -1;
    before = cell_hold(omap_get(m->rows, str_of(uid)));
    reindex(m, &before->row, NULL);
    memory_take(m, m->rows, str_of(uid));
    cell_release(before);
    return 0;
}

static int row_by_uid(struct arena *a, struct store *s, const char *uid, struct row *ret, struct err *err)
{
    const struct row *r = row_at(memory_of(s), uid);

    if (!r)
        return no_row(uid, err);
    *ret = row_copy(a, r);
    return 0;
}

static int row_by_arn(struct arena *a, struct store *s, const char *arn_key, struct row *ret, struct err *err)
{
    struct cell *c = *arn_key ? omap_get(memory_of(s)->indexes[BY_ARN], str_of(arn_key)) : NULL;

    if (!c)
        return fail(err, ERR_NOT_FOUND, "there is no row with the ARN %s", arn_key);
    return row_by_uid(a, s, c->bytes, ret, err);
}

static int row_by_name(struct arena *a, struct store *s, const char *account, const char *region, const char *kind,
                       const char *name, const char *parent_uid, struct row *ret, struct err *err)
{
    struct memory *m = memory_of(s);
    _cleanup_buf_ struct buf key = { 0 };
    const struct row *found = NULL;

    index_prefix(&key, kind, account, region);
    buf_append(&key, name, strlen(name) + 1);
    for (const struct onode *n = omap_seek(m->indexes[BY_NAME], str_of_buf(&key));
         n && onode_key(n).size >= key.size && memcmp(onode_key(n).data, key.data, key.size) == 0; n = onode_next(n)) {
        const struct row *r = row_at(m, onode_cell(n)->bytes);

        if (parent_uid ? strcmp(parent_uid, r->parent_uid) == 0
                       : !found || strcmp(r->parent_uid, found->parent_uid) < 0)
            found = r;
    }
    if (!found)
        return fail(err, ERR_NOT_FOUND, "there is no %s with the name %s", kind, name);
    *ret = row_copy(a, found);
    return 0;
}

struct found {
    struct row *rows;
    int count, capacity;
};

static void add_row(struct arena *a, struct found *f, const struct row *r, bool deep)
{
    if (f->count == f->capacity) {
        struct row *more = arena_array_of(a, struct row, f->capacity ? (size_t)f->capacity * 2 : 16);

        if (f->count)
            memcpy(more, f->rows, (size_t)f->count * sizeof *more);
        f->rows = more;
        f->capacity = f->capacity ? f->capacity * 2 : 16;
    }
    f->rows[f->count++] = deep ? row_copy(a, r) : *r;
}

static int compare_rows(const void *x, const void *y, void *context)
{
    const struct row_filter *f = context;
    const struct row *a = x, *b = y;
    int order;

    if (order_is_text(f->order))
        order = strcmp(sort_text(a, f->order), sort_text(b, f->order));
    else
        order = sort_number(a, f->order) < sort_number(b, f->order)
                    ? -1
                    : sort_number(a, f->order) > sort_number(b, f->order);
    if (!order)
        order = strcmp(a->uid, b->uid);
    return f->descending ? -order : order;
}

/* The filter names kind, account and region: one index has the rows in their order. */
static void list_by_index(struct arena *a, struct memory *m, const struct row_filter *f, const struct place *from,
                          struct found *found)
{
    static const enum index indexes[] = { BY_NAME, BY_CREATED, BY_MODIFIED, BY_STATE };
    const struct omap *index = m->indexes[indexes[f->order]];
    _cleanup_buf_ struct buf prefix = { 0 }, start = { 0 };
    const struct onode *n;
    struct str end;

    index_prefix(&prefix, f->kind, f->account, f->region);
    buf_append(&start, prefix.data, prefix.size);
    end = store_after_prefix(a, str_of_buf(&prefix));
    if (from->set)
        index_sort(&start, f->order, from->text, from->number, from->uid);
    if (f->descending) {
        n = omap_before(index, omap_seek(index, from->set ? str_of_buf(&start) : end));
    } else {
        n = omap_seek(index, str_of_buf(&start));
        if (n && from->set && str_eq(onode_key(n), str_of_buf(&start)))
            n = onode_next(n);
    }
    for (; n && found->count <= f->limit && onode_key(n).size >= prefix.size &&
           memcmp(onode_key(n).data, prefix.data, prefix.size) == 0;
         n = f->descending ? omap_before(index, n) : onode_next(n)) {
        const struct row *r = row_at(m, onode_cell(n)->bytes);

        if (row_passes(r, f))
            add_row(a, found, r, true);
    }
}

/* Otherwise: gather, sort, cut. */
static void list_by_sort(struct arena *a, struct memory *m, const struct row_filter *f, const struct place *from,
                         struct found *found)
{
    struct row last = { .uid = from->uid, .name = from->text, .state = from->text, .created_ms = from->number,
                        .modified_ms = from->number };
    struct found all = { 0 };

    if (f->parent_uid && *f->parent_uid) {
        _cleanup_buf_ struct buf key = { 0 };

        buf_append(&key, f->parent_uid, strlen(f->parent_uid) + 1);
        for (const struct onode *n = omap_seek(m->indexes[BY_PARENT], str_of_buf(&key));
             n && onode_key(n).size >= key.size && memcmp(onode_key(n).data, key.data, key.size) == 0;
             n = onode_next(n)) {
            const struct row *r = row_at(m, onode_cell(n)->bytes);

            if (row_passes(r, f))
                add_row(a, &all, r, false);
        }
    } else {
        for (const struct onode *n = omap_first(m->rows); n; n = onode_next(n))
            if (row_passes(&onode_cell(n)->row, f))
                add_row(a, &all, &onode_cell(n)->row, false);
    }
    if (all.count)
        qsort_r(all.rows, (size_t)all.count, sizeof *all.rows, compare_rows, (void *)f);
    for (int i = 0; i < all.count && found->count <= f->limit; i++)
        if (!from->set || compare_rows(&all.rows[i], &last, (void *)f) > 0)
            add_row(a, found, &all.rows[i], true);
}

static int row_list(struct arena *a, struct store *s, const struct row_filter *f, const struct place *from,
                    struct row **ret, int *ret_count, struct err *err)
{
    struct found found = { 0 };

    (void)err;
    if (f->kind && f->account && f->region && !f->parent_uid)
        list_by_index(a, memory_of(s), f, from, &found);
    else
        list_by_sort(a, memory_of(s), f, from, &found);
    *ret = found.rows;
    *ret_count = found.count;
    return 0;
}

static int row_uids(struct arena *a, struct store *s, const char *kind, const char *state, const char ***ret_uids,
                    int *ret_count, struct err *err)
{
    const struct row_filter f = { .kind = kind, .state = state, .order = ROWS_BY_CREATED, .limit = INT_MAX - 1 };
    struct found found = { 0 };
    const char **uids = NULL;

    (void)err;
    list_by_sort(a, memory_of(s), &f, &(struct place){ 0 }, &found);
    for (int i = 0; i < found.count; i++) {
        uids = uids_with_room(a, uids, i);
        uids[i] = found.rows[i].uid;
    }
    *ret_uids = uids;
    *ret_count = found.count;
    return 0;
}

static int row_due(struct arena *a, struct store *s, int64_t now_ms, int limit, const char ***ret_uids, int *ret_count,
                   struct err *err)
{
    const char **uids = NULL;
    int count = 0;

    (void)err;
    for (const struct onode *n = omap_first(memory_of(s)->indexes[BY_DUE]);
         n && count < limit && store_int64_of_key(onode_key(n).data) <= now_ms; n = onode_next(n)) {
        uids = uids_with_room(a, uids, count);
        uids[count++] = arena_strdup(a, onode_cell(n)->bytes);
    }
    *ret_uids = uids;
    *ret_count = count;
    return 0;
}

static int64_t row_next_due(struct store *s)
{
    const struct onode *n = omap_first(memory_of(s)->indexes[BY_DUE]);

    return n ? store_int64_of_key(onode_key(n).data) : INT64_MAX;
}

static int compare_states(const void *a, const void *b)
{
    const struct state_count *x = a, *y = b;
    int kinds = strcmp(x->kind, y->kind);

    return kinds ? kinds : strcmp(x->state, y->state);
}

static int row_states(struct arena *a, struct store *s, struct state_count **ret, int *ret_count, struct err *err)
{
    struct state_count *states = NULL;
    int count = 0;

    (void)err;
    for (const struct onode *n = omap_first(memory_of(s)->rows); n; n = onode_next(n)) {
        const struct row *r = &onode_cell(n)->row;
        int at = 0;

        while (at < count && (strcmp(states[at].kind, r->kind) != 0 || strcmp(states[at].state, r->state) != 0))
            at++;
        if (at == count) {
            states = states_with_room(a, states, count);
            states[count++] = (struct state_count){ .kind = arena_strdup(a, r->kind),
                                                    .state = arena_strdup(a, r->state) };
        }
        states[at].rows++;
    }
    if (count)
        qsort(states, (size_t)count, sizeof *states, compare_states);
    *ret = states;
    *ret_count = count;
    return 0;
}

const struct row_class memory_rows = {
    .saved = row_saved, .insert = row_insert, .update = row_update, .delete = row_delete,
    .by_uid = row_by_uid, .by_arn = row_by_arn, .by_name = row_by_name, .list = row_list,
    .uids = row_uids, .due = row_due, .next_due = row_next_due, .states = row_states,
};
