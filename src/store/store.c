/* store.c - the door of the store: checks, brackets, lost turns, events; the work is the implementation's.
 *
 * A turn is lost at its first write that finds no disk. Answers given earlier in the turn were promised on that disk
 * too, so all of it goes, and the loop is told at the commit that none of them may leave. */
#include "store/impl.h"

#include <assert.h>
#include <ctype.h>
#include <stdio.h>
#include <string.h>

enum { DEEPEST_BRACKET = 8, LONGEST_TABLE_NAME = 40 };

static int lost(const struct store *s, struct err *err)
{
    return fail(err, ERR_UNAVAILABLE, "%s", s->why_lost);
}

/* Every write passes here with its result. */
static int wrote(struct store *s, int result, struct err *err)
{
    if (result < 0 && err->kind == ERR_UNAVAILABLE && !s->lost) {
        snprintf(s->why_lost, sizeof s->why_lost, "%s", err->text);
        s->class->rollback(s);
        s->lost = true;
        s->dirty = false;
    }
    return result;
}

void store_free(struct store *s)
{
    if (s)
        s->class->free(s);
}

int store_begin(struct store *s, struct err *err)
{
    (void)err;
    assert(s->depth < DEEPEST_BRACKET);
    s->depth++;
    return 0;
}

int store_keep(struct store *s, struct err *err)
{
    int result;

    assert(s->depth > 0);
    result = s->lost ? lost(s, err) : wrote(s, s->class->keep(s, err), err);
    s->depth--;
    return result;
}

void store_drop(struct store *s)
{
    struct err err = { 0 };

    assert(s->depth > 0);
    if (!s->lost && s->class->drop(s, &err) < 0) {
        err.kind = ERR_UNAVAILABLE; /* a bracket that cannot be undone takes the whole turn with it */
        wrote(s, -1, &err);
    }
    s->depth--;
}

int store_commit(struct store *s, struct err *err)
{
    int result = 0;

    assert(s->depth == 0);
    if (!s->lost && s->dirty) {
        result = wrote(s, s->class->commit(s, err), err);
        if (result < 0 && !s->lost)
            s->class->rollback(s);
    }
    s->dirty = false;
    if (s->lost) {
        s->lost = false;
        return lost(s, err);
    }
    return result;
}

bool store_dirty(const struct store *s)
{
    return s->dirty || s->lost;
}

static int add_event(struct store *s, const char *uid, const struct saved *of, const char *what, const char *before,
                     const char *after, int64_t at_ms, struct err *err)
{
    struct event e = {
        .at_ms = at_ms, .uid = uid, .kind = of->kind, .name = of->name, .what = what,
        .state_before = before, .state_after = after,
    };

    return wrote(s, s->class->events->add(s, &e, err), err);
}

static const char *given(const char *text)
{
    return text ? text : "";
}

/* Said before anything is written, so that the caller's bracket need not be dropped for it. */
static int insert_conflict(struct arena *a, struct store *s, const struct row *r, struct err *err)
{
    struct row other;
    struct saved saved;

    if (s->class->rows->saved(a, s, r->uid, &saved, err) == 0)
        return fail(err, ERR_CONFLICT, "there is a row with the uid %s", r->uid);
    if (err->kind != ERR_NOT_FOUND)
        return -1;
    if (*given(r->arn)) {
        if (s->class->rows->by_arn(a, s, text_lower(a, r->arn), &other, err) == 0)
            return fail(err, ERR_CONFLICT, "there is a row with the ARN %s", r->arn);
        if (err->kind != ERR_NOT_FOUND)
            return -1;
    }
    if (s->class->rows->by_name(a, s, given(r->account), given(r->region), r->kind, given(r->name),
                                given(r->parent_uid), &other, err) == 0)
        return fail(err, ERR_CONFLICT, "there is a %s with the name %s", r->kind, r->name);
    return err->kind == ERR_NOT_FOUND ? 0 : -1;
}

int store_row_insert(struct store *s, const struct row *r, struct err *err)
{
    _cleanup_arena_ struct arena *a = arena_new();
    struct row row = *r;
    struct saved about = { .kind = r->kind, .name = given(r->name) };
    struct err ignored;

    assert(r->uid && *r->uid && r->kind && *r->kind);
    if (doc_can_be_saved(r->spec, "the spec", err) < 0 || doc_can_be_saved(r->want, "the want", err) < 0 ||
        doc_can_be_saved(r->status, "the status", err) < 0)
        return -1;
    if (s->lost)
        return lost(s, err);
    if (insert_conflict(a, s, r, &ignored) < 0) {
        *err = ignored;
        return -1;
    }
    row.generation = row.revision = 1;
    row.observed_generation = 0;
    if (!row.modified_ms)
        row.modified_ms = row.created_ms;
    row.account = given(r->account);
    row.region = given(r->region);
    row.name = given(r->name);
    row.arn = given(r->arn);
    row.parent_uid = given(r->parent_uid);
    row.state = given(r->state);
    row.spec = r->spec ? r->spec : doc_map(a);
    row.want = r->want ? r->want : doc_map(a);
    row.status = r->status ? r->status : doc_map(a);
    s->dirty = true;
    if (wrote(s, s->class->rows->insert(s, &row, err), err) < 0)
        return -1;
    return add_event(s, row.uid, &about, "created", "", row.state, row.created_ms, err);
}

static int save(struct store *s, struct row *r, bool want, struct err *err)
{
    _cleanup_arena_ struct arena *a = arena_new();
    struct saved saved;
    struct row row;

    if ((want && doc_can_be_saved(r->want, "the want", err) < 0) || doc_can_be_saved(r->status, "the status", err) < 0)
        return -1;
    if (s->lost)
        return lost(s, err);
    if (s->class->rows->saved(a, s, r->uid, &saved, err) < 0)
        return -1;
    if (saved.revision != r->revision)
        return fail(err, ERR_CONFLICT, "%s %s was changed meanwhile", saved.kind, saved.name);
    row = *r;
    row.generation = saved.generation + (want ? 1 : 0);
    row.revision = saved.revision + 1;
    s->dirty = true;
    if (wrote(s, s->class->rows->update(s, &row, want, err), err) < 0)
        return -1;
    if ((want || strcmp(saved.state, given(r->state)) != 0) &&
        add_event(s, r->uid, &saved, want ? "wanted" : "state", saved.state, given(r->state), r->modified_ms, err) < 0)
        return -1;
    r->generation = row.generation;
    r->revision = row.revision;
    return 0;
}

int store_row_want(struct store *s, struct row *r, struct err *err)
{
    return save(s, r, true, err);
}

int store_row_observe(struct store *s, struct row *r, struct err *err)
{
    return save(s, r, false, err);
}

int store_row_delete(struct store *s, const char *uid, int64_t at_ms, struct err *err)
{
    _cleanup_arena_ struct arena *a = arena_new();
    struct saved saved;

    if (s->lost)
        return lost(s, err);
    if (s->class->rows->saved(a, s, uid, &saved, err) < 0)
        return -1;
    s->dirty = true;
    if (wrote(s, s->class->rows->delete(s, uid, err), err) < 0)
        return -1;
    return add_event(s, uid, &saved, "deleted", saved.state, "", at_ms, err);
}

int store_row_note(struct store *s, const char *uid, const char *what, int64_t at_ms, struct err *err)
{
    _cleanup_arena_ struct arena *a = arena_new();
    struct saved saved;

    if (s->lost)
        return lost(s, err);
    if (s->class->rows->saved(a, s, uid, &saved, err) < 0)
        return -1;
    s->dirty = true;
    return add_event(s, uid, &saved, what, saved.state, saved.state, at_ms, err);
}

int store_row_by_uid(struct arena *a, struct store *s, const char *uid, struct row *ret, struct err *err)
{
    return s->class->rows->by_uid(a, s, uid, ret, err);
}

int store_row_by_arn(struct arena *a, struct store *s, const char *arn, struct row *ret, struct err *err)
{
    return s->class->rows->by_arn(a, s, text_lower(a, arn), ret, err);
}

int store_row_by_name(struct arena *a, struct store *s, const char *account, const char *region, const char *kind,
                      const char *name, struct row *ret, struct err *err)
{
    return s->class->rows->by_name(a, s, account, region, kind, name, NULL, ret, err);
}

int store_row_list(struct arena *a, struct store *s, const struct row_filter *f, struct row **ret, int *ret_count,
                   const char **ret_after, struct err *err)
{
    struct place place;
    struct row *rows;
    int count;

    assert(f->limit > 0);
    if (place_of_token(a, f, &place, err) < 0 || s->class->rows->list(a, s, f, &place, &rows, &count, err) < 0)
        return -1;
    *ret_after = NULL;
    if (count > f->limit) {
        count = f->limit;
        *ret_after = place_to_token(a, f, &rows[count - 1]);
    }
    *ret = rows;
    *ret_count = count;
    return 0;
}

int store_row_uids(struct arena *a, struct store *s, const char *kind, const char *state, const char ***ret_uids,
                   int *ret_count, struct err *err)
{
    return s->class->rows->uids(a, s, kind, state, ret_uids, ret_count, err);
}

int store_row_due(struct arena *a, struct store *s, int64_t now_ms, int limit, const char ***ret_uids, int *ret_count,
                  struct err *err)
{
    return s->class->rows->due(a, s, now_ms, limit, ret_uids, ret_count, err);
}

int64_t store_row_next_due(struct store *s)
{
    return s->class->rows->next_due(s);
}

int store_row_states(struct arena *a, struct store *s, struct state_count **ret, int *ret_count, struct err *err)
{
    return s->class->rows->states(a, s, ret, ret_count, err);
}

int store_event_scan(struct arena *a, struct store *s, int64_t after_sequence, int limit, struct event **ret,
                     int *ret_count, struct err *err)
{
    return s->class->events->scan(a, s, after_sequence, limit, ret, ret_count, err);
}

int store_event_trim(struct store *s, int64_t through_sequence, struct err *err)
{
    if (s->lost)
        return lost(s, err);
    s->dirty = true;
    return wrote(s, s->class->events->trim(s, through_sequence, err), err);
}

static void check_table(const char *table)
{
    size_t size = strlen(table);

    assert(size > 0 && size <= LONGEST_TABLE_NAME && (isalpha((unsigned char)table[0])));
    for (size_t i = 0; i < size; i++)
        assert(isalnum((unsigned char)table[i]) || table[i] == '_');
}

int store_put(struct store *s, const char *table, struct str key, struct str value, struct err *err)
{
    check_table(table);
    assert(key.size > 0); /* a range that starts at "" would not be told from one that starts nowhere */
    if (s->lost)
        return lost(s, err);
    s->dirty = true;
    return wrote(s, s->class->tables->put(s, table, key, value, err), err);
}

int store_get(struct arena *a, struct store *s, const char *table, struct str key, struct str *ret, struct err *err)
{
    check_table(table);
    return s->class->tables->get(a, s, table, key, ret, err);
}

int store_remove(struct store *s, const char *table, struct str key, struct err *err)
{
    check_table(table);
    if (s->lost)
        return lost(s, err);
    s->dirty = true;
    return wrote(s, s->class->tables->remove(s, table, key, err), err);
}

int store_scan(struct arena *a, struct store *s, const char *table, const struct range *r, struct pair **ret,
               int *ret_count, struct err *err)
{
    struct range range = *r;

    check_table(table);
    if (range.limit <= 0)
        range.limit = 1000;
    return s->class->tables->scan(a, s, table, &range, ret, ret_count, err);
}

int store_remove_range(struct store *s, const char *table, const struct range *r, struct err *err)
{
    check_table(table);
    if (s->lost)
        return lost(s, err);
    s->dirty = true;
    return wrote(s, s->class->tables->remove_range(s, table, r, err), err);
}

struct str store_after_prefix(struct arena *a, struct str prefix)
{
    char *after = arena_copy(a, prefix.data, prefix.size);
    size_t size = prefix.size;

    while (size && (unsigned char)after[size - 1] == 0xff)
        size--;
    if (size)
        after[size - 1]++;
    return (struct str){ after, size };
}

void store_key_int64(char ret[static 8], int64_t number)
{
    uint64_t bits = (uint64_t)number ^ (uint64_t)1 << 63;

    for (int i = 0; i < 8; i++)
        ret[i] = (char)(bits >> (56 - 8 * i));
}

int64_t store_int64_of_key(const char key[static 8])
{
    uint64_t bits = 0;

    for (int i = 0; i < 8; i++)
        bits = bits << 8 | (unsigned char)key[i];
    return (int64_t)(bits ^ (uint64_t)1 << 63);
}

int store_backup(struct store *s, const char *folder, struct err *err)
{
    return s->class->backup(s, folder, err);
}
