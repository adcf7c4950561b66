/* sqlite_row.c - rows of resources, in core.db. */
#include "store/sqlite.h"

#include <string.h>

#include "base/buf.h"

#define ROW_COLUMNS \
    "uid, account, region, kind, name, arn, parent_uid, created_ms, modified_ms, state, next_at_ms, generation," \
    " observed_generation, revision, spec, want, status"

static int doc_column(struct arena *a, sqlite3_stmt *st, int at, const struct doc **ret, struct err *err)
{
    struct str text = { (const char *)sqlite3_column_text(st, at), 0 };
    struct doc *d;

    text.size = (size_t)sqlite3_column_bytes(st, at);
    if (doc_of_saved(a, text, &d, err) < 0)
        return -1;
    *ret = d;
    return 0;
}

static int read_row(struct arena *a, sqlite3_stmt *st, struct row *ret, struct err *err)
{
    struct row r = {
        .uid = column_text(a, st, 0), .account = column_text(a, st, 1), .region = column_text(a, st, 2),
        .kind = column_text(a, st, 3), .name = column_text(a, st, 4), .arn = column_text(a, st, 5),
        .parent_uid = column_text(a, st, 6), .created_ms = sqlite3_column_int64(st, 7),
        .modified_ms = sqlite3_column_int64(st, 8), .state = column_text(a, st, 9),
        .next_at_ms = sqlite3_column_int64(st, 10), .generation = sqlite3_column_int64(st, 11),
        .observed_generation = sqlite3_column_int64(st, 12), .revision = sqlite3_column_int64(st, 13),
    };

    if (doc_column(a, st, 14, &r.spec, err) < 0 || doc_column(a, st, 15, &r.want, err) < 0 ||
        doc_column(a, st, 16, &r.status, err) < 0)
        return -1;
    *ret = r;
    return 0;
}

/* The one row that the statement finds. 1: found, 0: not there. */
static int one_row(struct arena *a, struct database *d, sqlite3_stmt *st, struct row *ret, struct err *err)
{
    switch (sqlite3_step(st)) {
    case SQLITE_ROW:
        return read_row(a, st, ret, err) < 0 ? -1 : 1;
    case SQLITE_DONE:
        return 0;
    default:
        return database_failed(d, "reading a row", err);
    }
}

static int row_saved(struct arena *a, struct store *store, const char *uid, struct saved *ret, struct err *err)
{
    struct database *d = sqlite_of(store)->core;
    _cleanup_statement_ sqlite3_stmt *st =
        statement_of(d, "SELECT kind, name, state, generation, revision FROM resource WHERE uid = ?", err);

    if (!st)
        return -1;
    bind_text(st, 1, uid);
    switch (sqlite3_step(st)) {
    case SQLITE_ROW:
        *ret = (struct saved){ column_text(a, st, 0), column_text(a, st, 1), column_text(a, st, 2),
                               sqlite3_column_int64(st, 3), sqlite3_column_int64(st, 4) };
        return 0;
    case SQLITE_DONE:
        return fail(err, ERR_NOT_FOUND, "there is no row %s", uid);
    default:
        return database_failed(d, "reading a row", err);
    }
}

static int row_insert(struct store *store, const struct row *r, struct err *err)
{
    _cleanup_arena_ struct arena *a = arena_new();
    struct sqlite *s = sqlite_of(store);
    _cleanup_statement_ sqlite3_stmt *st = NULL;
    const char *const texts[] = { r->uid, r->account, r->region, r->kind, r->name, r->arn, r->parent_uid };

    if (sqlite_begin(s, s->core, err) < 0)
        return -1;
    st = statement_of(s->core, "INSERT INTO resource (" ROW_COLUMNS ", arn_key)"
                               " VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)", err);
    if (!st)
        return -1;
    for (int i = 0; i < 7; i++)
        bind_text(st, i + 1, texts[i]);
    bind_int(st, 8, r->created_ms);
    bind_int(st, 9, r->modified_ms);
    bind_text(st, 10, r->state);
    bind_int(st, 11, r->next_at_ms);
    bind_int(st, 12, r->generation);
    bind_int(st, 13, r->observed_generation);
    bind_int(st, 14, r->revision);
    bind_text(st, 15, doc_to_saved(a, r->spec));
    bind_text(st, 16, doc_to_saved(a, r->want));
    bind_text(st, 17, doc_to_saved(a, r->status));
    if (*r->arn) /* else NULL, of which there may be many */
        bind_text(st, 18, text_lower(a, r->arn));
    return database_finish(s->core, st, "saving a row", err);
}

static int row_update(struct store *store, const struct row *r, bool want, struct err *err)
{
    _cleanup_arena_ struct arena *a = arena_new();
    struct sqlite *s = sqlite_of(store);
    _cleanup_statement_ sqlite3_stmt *st = NULL;

    if (sqlite_begin(s, s->core, err) < 0)
        return -1;
    st = statement_of(s->core,
                      want ? "UPDATE resource SET state = ?, modified_ms = ?, next_at_ms = ?, generation = ?,"
                             " revision = ?, status = ?, want = ? WHERE uid = ?"
                           : "UPDATE resource SET state = ?, modified_ms = ?, next_at_ms = ?, generation = ?,"
                             " revision = ?, status = ?, observed_generation = ? WHERE uid = ?", err);
    if (!st)
        return -1;
    bind_text(st, 1, r->state);
    bind_int(st, 2, r->modified_ms);
    bind_int(st, 3, r->next_at_ms);
    bind_int(st, 4, r->generation);
    bind_int(st, 5, r->revision);
    bind_text(st, 6, doc_to_saved(a, r->status));
    if (want)
        bind_text(st, 7, doc_to_saved(a, r->want));
    else
        bind_int(st, 7, r->observed_generation);
    bind_text(st, 8, r->uid);
    return database_finish(s->core, st, "saving a row", err);
}

static int row_delete(struct store *store, const char *uid, struct err *err)
{
    struct sqlite *s = sqlite_of(store);
    _cleanup_statement_ sqlite3_stmt *st = NULL;

    if (sqlite_begin(s, s->core, err) < 0)
        return -1;
    st = statement_of(s->core, "DELETE FROM resource WHERE uid = ?", err);
    if (!st)
        return -1;
    bind_text(st, 1, uid);
    return database_finish(s->core, st, "deleting a row", err);
}

static int row_by_uid(struct arena *a, struct store *store, const char *uid, struct row *ret, struct err *err)
{
    struct database *d = sqlite_of(store)->core;
    _cleanup_statement_ sqlite3_stmt *st = statement_of(d, "SELECT " ROW_COLUMNS " FROM resource WHERE uid = ?", err);
    int found;

    if (!st)
        return -1;
    bind_text(st, 1, uid);
    found = one_row(a, d, st, ret, err);
    return found > 0 ? 0 : found < 0 ? -1 : fail(err, ERR_NOT_FOUND, "there is no row %s", uid);
}

static int row_by_arn(struct arena *a, struct store *store, const char *arn_key, struct row *ret, struct err *err)
{
    struct database *d = sqlite_of(store)->core;
    _cleanup_statement_ sqlite3_stmt *st =
        statement_of(d, "SELECT " ROW_COLUMNS " FROM resource WHERE arn_key = ?", err);
    int found;

    if (!st)
        return -1;
    bind_text(st, 1, arn_key);
    found = one_row(a, d, st, ret, err);
    return found > 0 ? 0 : found < 0 ? -1 : fail(err, ERR_NOT_FOUND, "there is no row with the ARN %s", arn_key);
}

static int row_by_name(struct arena *a, struct store *store, const char *account, const char *region, const char *kind,
                       const char *name, const char *parent_uid, struct row *ret, struct err *err)
{
    struct database *d = sqlite_of(store)->core;
    _cleanup_statement_ sqlite3_stmt *st = NULL;
    int found;

    st = statement_of(d,
                      parent_uid ? "SELECT " ROW_COLUMNS " FROM resource INDEXED BY resource_name WHERE kind = ?"
                                   " AND account = ? AND region = ? AND name = ? AND parent_uid = ?"
                                 : "SELECT " ROW_COLUMNS " FROM resource INDEXED BY resource_name WHERE kind = ?"
                                   " AND account = ? AND region = ? AND name = ? ORDER BY parent_uid LIMIT 1", err);
    if (!st)
        return -1;
    bind_text(st, 1, kind);
    bind_text(st, 2, account);
    bind_text(st, 3, region);
    bind_text(st, 4, name);
    if (parent_uid)
        bind_text(st, 5, parent_uid);
    found = one_row(a, d, st, ret, err);
    return found > 0 ? 0 : found < 0 ? -1 : fail(err, ERR_NOT_FOUND, "there is no %s with the name %s", kind, name);
}

static const struct {
    const char *column, *index;
} orders[] = {
    [ROWS_BY_NAME] = { "name", "resource_name" },
    [ROWS_BY_CREATED] = { "created_ms", "resource_created" },
    [ROWS_BY_MODIFIED] = { "modified_ms", "resource_modified" },
    [ROWS_BY_STATE] = { "state", "resource_state" },
};

/* The statement of a filter: the same shape gives the same text, so the cache stays small. The index is named, for
 * without statistics SQLite might sort a hundred thousand rows to give ten. */
static void list_sql(struct buf *sql, const struct row_filter *f, bool after)
{
    const char *column = orders[f->order].column;
    const char *more = f->descending ? "<" : ">", *way = f->descending ? " DESC" : "";
    const char *index = f->parent_uid && *f->parent_uid       ? "resource_parent"
                        : !f->kind                            ? NULL
                        : f->account && f->region &&
                                !(f->state && f->order == ROWS_BY_CREATED) ? orders[f->order].index
                        : f->state                            ? "resource_state_created"
                                                              : NULL;
    const struct {
        bool given;
        const char *text;
    } terms[] = {
        { f->kind, " AND kind = ?1" },
        { f->account, " AND account = ?2" },
        { f->region, " AND region = ?3" },
        { f->parent_uid, " AND parent_uid = ?4" },
        { f->parent_uid && *f->parent_uid, " AND parent_uid <> ''" }, /* the condition of its index */
        { f->state, " AND state = ?5" },
        { f->name_contains, " AND instr(lower(name), ?6) > 0" },
        { f->created_after_ms, " AND created_ms > ?7" },
        { f->created_before_ms, " AND created_ms < ?8" },
        { f->modified_after_ms, " AND modified_ms > ?9" },
        { f->modified_before_ms, " AND modified_ms < ?10" },
    };

    buf_append_str(sql, "SELECT " ROW_COLUMNS " FROM resource");
    if (index)
        buf_printf(sql, " INDEXED BY %s", index);
    buf_append_str(sql, " WHERE 1");
    for (size_t i = 0; i < sizeof terms / sizeof *terms; i++)
        if (terms[i].given)
            buf_append_str(sql, terms[i].text);
    if (after)
        buf_printf(sql, " AND (%s, uid) %s (?11, ?12)", column, more);
    buf_printf(sql, " ORDER BY %s%s, uid%s LIMIT ?13", column, way, way);
}

static int row_list(struct arena *a, struct store *store, const struct row_filter *f, const struct place *from,
                    struct row **ret, int *ret_count, struct err *err)
{
    struct database *d = sqlite_of(store)->core;
    _cleanup_statement_ sqlite3_stmt *st = NULL;
    _cleanup_buf_ struct buf sql = { 0 };
    const char *const texts[] = { f->kind, f->account, f->region, f->parent_uid, f->state,
                                  f->name_contains ? text_lower(a, f->name_contains) : NULL };
    const int64_t bounds[] = { f->created_after_ms, f->created_before_ms, f->modified_after_ms, f->modified_before_ms };
    int count = 0, capacity = f->limit < 64 ? f->limit + 1 : 64, rc;
    struct row *rows = arena_array_of(a, struct row, (size_t)capacity);

    list_sql(&sql, f, from->set);
    st = statement_of(d, sql.data, err);
    if (!st)
        return -1;
    for (int i = 0; i < 6; i++)
        if (texts[i])
            bind_text(st, i + 1, texts[i]);
    for (int i = 0; i < 4; i++)
        if (bounds[i])
            bind_int(st, i + 7, bounds[i]);
    if (from->set) {
        if (order_is_text(f->order))
            bind_text(st, 11, from->text);
        else
            bind_int(st, 11, from->number);
        bind_text(st, 12, from->uid);
    }
    bind_int(st, 13, (int64_t)f->limit + 1);
    while ((rc = sqlite3_step(st)) == SQLITE_ROW) {
        if (count == capacity) {
            struct row *more = arena_array_of(a, struct row, (size_t)capacity * 2);

            memcpy(more, rows, (size_t)count * sizeof *rows);
            rows = more;
            capacity *= 2;
        }
        if (read_row(a, st, &rows[count++], err) < 0)
            return -1;
    }
    if (rc != SQLITE_DONE)
        return database_failed(d, "listing rows", err);
    *ret = rows;
    *ret_count = count;
    return 0;
}

static int row_uids(struct arena *a, struct store *store, const char *kind, const char *state, const char ***ret_uids,
                    int *ret_count, struct err *err)
{
    struct database *d = sqlite_of(store)->core;
    _cleanup_statement_ sqlite3_stmt *st = statement_of(
        d, state ? "SELECT uid FROM resource INDEXED BY resource_state_created WHERE kind = ? AND state = ?"
                   " ORDER BY created_ms, uid"
                 : "SELECT uid FROM resource INDEXED BY resource_created WHERE kind = ? ORDER BY created_ms, uid", err);
    const char **uids = NULL;
    int count = 0, rc;

    if (!st)
        return -1;
    bind_text(st, 1, kind);
    if (state)
        bind_text(st, 2, state);
    while ((rc = sqlite3_step(st)) == SQLITE_ROW) {
        uids = uids_with_room(a, uids, count);
        uids[count++] = column_text(a, st, 0);
    }
    if (rc != SQLITE_DONE)
        return database_failed(d, "listing rows", err);
    *ret_uids = uids;
    *ret_count = count;
    return 0;
}

static int row_due(struct arena *a, struct store *store, int64_t now_ms, int limit, const char ***ret_uids,
                   int *ret_count, struct err *err)
{
    struct database *d = sqlite_of(store)->core;
    _cleanup_statement_ sqlite3_stmt *st =
        statement_of(d, "SELECT uid FROM resource INDEXED BY resource_due WHERE next_at_ms <= ?"
                        " AND next_at_ms < 9223372036854775807 ORDER BY next_at_ms, uid LIMIT ?", err);
    const char **uids = NULL;
    int count = 0, rc;

    if (!st)
        return -1;
    bind_int(st, 1, now_ms);
    bind_int(st, 2, limit);
    while ((rc = sqlite3_step(st)) == SQLITE_ROW) {
        uids = uids_with_room(a, uids, count);
        uids[count++] = column_text(a, st, 0);
    }
    if (rc != SQLITE_DONE)
        return database_failed(d, "looking for due rows", err);
    *ret_uids = uids;
    *ret_count = count;
    return 0;
}

static int64_t row_next_due(struct store *store)
{
    struct database *d = sqlite_of(store)->core;
    struct err err;
    _cleanup_statement_ sqlite3_stmt *st =
        statement_of(d, "SELECT next_at_ms FROM resource INDEXED BY resource_due WHERE next_at_ms < 9223372036854775807"
                        " ORDER BY next_at_ms LIMIT 1", &err);

    return st && sqlite3_step(st) == SQLITE_ROW ? sqlite3_column_int64(st, 0) : INT64_MAX;
}

static int row_states(struct arena *a, struct store *store, struct state_count **ret, int *ret_count, struct err *err)
{
    struct database *d = sqlite_of(store)->core;
    _cleanup_statement_ sqlite3_stmt *st =
        statement_of(d, "SELECT kind, state, sum(n) FROM (SELECT kind, account, region, state, count(*) AS n"
                        " FROM resource INDEXED BY resource_state GROUP BY 1, 2, 3, 4) GROUP BY 1, 2 ORDER BY 1, 2",
                     err);
    struct state_count *states = NULL;
    int count = 0, rc;

    if (!st)
        return -1;
    while ((rc = sqlite3_step(st)) == SQLITE_ROW) {
        states = states_with_room(a, states, count);
        states[count++] = (struct state_count){ .kind = column_text(a, st, 0), .state = column_text(a, st, 1),
                                                .rows = sqlite3_column_int64(st, 2) };
    }
    if (rc != SQLITE_DONE)
        return database_failed(d, "counting rows", err);
    *ret = states;
    *ret_count = count;
    return 0;
}

const struct row_class sqlite_rows = {
    .saved = row_saved, .insert = row_insert, .update = row_update, .delete = row_delete,
    .by_uid = row_by_uid, .by_arn = row_by_arn, .by_name = row_by_name, .list = row_list,
    .uids = row_uids, .due = row_due, .next_due = row_next_due, .states = row_states,
};
