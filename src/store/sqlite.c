/* sqlite.c - the store on disk; the only file that knows SQLite.
 *
 * One database file for each word that table names begin with; rows and events are in core.db. Each has at most one
 * open transaction: it begins at the first write of a turn and ends with the turn, so that all answers of a turn share
 * one fsync. Brackets are savepoints, made when something is written in them. In WAL mode the file is consistent after
 * a crash at any point; synchronous=FULL makes a commit durable before it returns.
 *
 * core.db is committed last: what a row says about another file's pairs is there when the row is. */
#include "store/impl.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/fd.h"
#include "base/map.h"

enum { APPLICATION_ID = 0x53614272 }; /* "SaBr", in the header of each file */

/* No other process looks into the files while we have them, so the index of the log stays in our memory. In a mapped
 * file beside the log, as is usual, a full disk is met as SIGBUS: in the middle of a commit, and at each start. */
static const char vfs[] = "unix-excl";

struct database {
    char word[48];
    sqlite3 *handle;
    bool open;               /* in a transaction */
    int depth;               /* savepoints that are open */
    struct map *statements;  /* by their text */
};

struct table {
    struct database *database;
    bool there; /* in the file; forgotten when a bracket or a turn is dropped */
    char *put, *get, *remove, *remove_range, *make, *find;
    char *scan[2][4]; /* by direction and by which ends are given */
};

struct sqlite {
    struct store store;
    char *folder;
    int lock;
    struct map *databases, *tables;
    struct database *core;
};

/* The schema of core.db, a step a version; a step that was ever released is never changed. */
static const char *const core_schema[] = {
    "CREATE TABLE resource ("
    " uid TEXT PRIMARY KEY NOT NULL, account TEXT NOT NULL, region TEXT NOT NULL, kind TEXT NOT NULL,"
    " name TEXT NOT NULL,"
    " arn TEXT NOT NULL, arn_key TEXT, parent_uid TEXT NOT NULL, created_ms INTEGER NOT NULL,"
    " modified_ms INTEGER NOT NULL, state TEXT NOT NULL, next_at_ms INTEGER NOT NULL, generation INTEGER NOT NULL,"
    " observed_generation INTEGER NOT NULL, revision INTEGER NOT NULL, spec TEXT NOT NULL, want TEXT NOT NULL,"
    " status TEXT NOT NULL);"
    "CREATE UNIQUE INDEX resource_arn ON resource (arn_key);"
    "CREATE INDEX resource_name ON resource (kind, account, region, name, uid);"
    "CREATE INDEX resource_created ON resource (kind, account, region, created_ms, uid);"
    "CREATE INDEX resource_modified ON resource (kind, account, region, modified_ms, uid);"
    "CREATE INDEX resource_state ON resource (kind, account, region, state, uid);"
    "CREATE INDEX resource_parent ON resource (parent_uid, uid) WHERE parent_uid <> '';"
    "CREATE INDEX resource_due ON resource (next_at_ms, uid) WHERE next_at_ms < 9223372036854775807;"
    /* AUTOINCREMENT: numbers of trimmed events are never given again. */
    "CREATE TABLE event (sequence INTEGER PRIMARY KEY AUTOINCREMENT, at_ms INTEGER NOT NULL, uid TEXT NOT NULL,"
    " kind TEXT NOT NULL, name TEXT NOT NULL, what TEXT NOT NULL, state_before TEXT NOT NULL,"
    " state_after TEXT NOT NULL);",
    /* What is in one state by age, and a few among a hundred thousand that have ended. */
    "CREATE INDEX resource_state_created ON resource (kind, state, account, region, created_ms, uid);",
    NULL,
};

/* Files of ordered tables make their tables as they are used. */
static const char *const table_schema[] = { "", NULL };

/* Their last turns may be lost with the machine: agents resend what they were not thanked for, and a line of a log is
 * not worth an fsync before each answer. */
static const char *const relaxed_words[] = { "logs", "metrics", NULL };

static struct sqlite *sqlite_of(struct store *s)
{
    return (struct sqlite *)s;
}

/* What went wrong, as the house says it. A full disk and a failing one are for the turn to be dropped; the rest is
 * ours. */
static int failed(const struct database *d, const char *doing, struct err *err)
{
    int code = sqlite3_extended_errcode(d->handle);

    switch (code & 0xff) {
    case SQLITE_FULL:
        return fail(err, ERR_UNAVAILABLE, "the disk that holds the store is full: %s in %s.db was not possible; nothing"
                                          " of it was kept, free some space and ask again", doing, d->word);
    case SQLITE_IOERR:
    case SQLITE_CANTOPEN:
    case SQLITE_READONLY:
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_PROTOCOL:
    case SQLITE_NOMEM:
    case SQLITE_INTERRUPT:
        return fail(err, ERR_UNAVAILABLE, "%s in %s.db failed: %s (%d)", doing, d->word, sqlite3_errmsg(d->handle),
                    code);
    default:
        return fail(err, ERR_INTERNAL, "%s in %s.db failed: %s (%d)", doing, d->word, sqlite3_errmsg(d->handle), code);
    }
}

static void statement_done(sqlite3_stmt **statement)
{
    if (*statement) {
        sqlite3_reset(*statement);
        sqlite3_clear_bindings(*statement);
    }
}
#define _cleanup_statement_ __attribute__((cleanup(statement_done)))

/* NULL when it cannot be prepared. Prepared once for the life of the process. */
static sqlite3_stmt *prepared(struct database *d, const char *sql, struct err *err)
{
    sqlite3_stmt *statement = map_get(d->statements, str_of(sql));

    if (statement)
        return statement;
    if (sqlite3_prepare_v3(d->handle, sql, -1, SQLITE_PREPARE_PERSISTENT, &statement, NULL) != SQLITE_OK) {
        failed(d, "reading a statement", err);
        return NULL;
    }
    map_set(d->statements, str_of(sql), statement);
    return statement;
}

static int run(struct database *d, const char *sql, const char *doing, struct err *err)
{
    _cleanup_statement_ sqlite3_stmt *st = prepared(d, sql, err);

    if (!st)
        return -1;
    return sqlite3_step(st) == SQLITE_DONE ? 0 : failed(d, doing, err);
}

/* Everything is bound by reference: it lives until the statement is done. */
static void bind_text(sqlite3_stmt *st, int at, const char *text)
{
    int rc = sqlite3_bind_text(st, at, text ? text : "", -1, SQLITE_STATIC);

    assert(rc == SQLITE_OK || rc == SQLITE_TOOBIG);
}

static void bind_bytes(sqlite3_stmt *st, int at, struct str bytes)
{
    int rc = sqlite3_bind_blob64(st, at, bytes.size ? bytes.data : "", bytes.size, SQLITE_STATIC);

    assert(rc == SQLITE_OK || rc == SQLITE_TOOBIG);
}

static void bind_int(sqlite3_stmt *st, int at, int64_t number)
{
    int rc = sqlite3_bind_int64(st, at, number);

    assert(rc == SQLITE_OK);
}

static const char *column_text(struct arena *a, sqlite3_stmt *st, int at)
{
    const char *text = (const char *)sqlite3_column_text(st, at);

    return text && *text ? arena_strdup(a, text) : "";
}

static struct str column_bytes(struct arena *a, sqlite3_stmt *st, int at)
{
    const char *bytes = sqlite3_column_blob(st, at);
    size_t size = (size_t)sqlite3_column_bytes(st, at);
    char *copy = arena_alloc(a, size + 1);

    if (size)
        memcpy(copy, bytes, size);
    return (struct str){ copy, size };
}

/* --- transactions ----------------------------------------------------------------------------------------------- */

/* Before each write: the transaction and the savepoints of the open brackets are there. SQLite ends a transaction by
 * itself after some I/O errors; what was written in it is then gone, and so must be the turn. */
static int writing(struct sqlite *s, struct database *d, struct err *err)
{
    char sql[32];

    if (d->open && sqlite3_get_autocommit(d->handle))
        return fail(err, ERR_UNAVAILABLE, "%s.db gave up its transaction after a failure of the disk", d->word);
    if (!d->open) {
        if (run(d, "BEGIN IMMEDIATE", "beginning to write", err) < 0)
            return -1;
        d->open = true;
        d->depth = 0;
    }
    while (d->depth < s->store.depth) {
        snprintf(sql, sizeof sql, "SAVEPOINT s%d", d->depth + 1);
        if (run(d, sql, "opening a bracket", err) < 0)
            return -1;
        d->depth++;
    }
    return 0;
}

#define each_database(s, d) \
    struct str d##_word; \
    struct database *d; \
    for (size_t d##_at = 0; map_next((s)->databases, &d##_at, &d##_word, (void **)&d);)

static int keep(struct store *store, struct err *err)
{
    struct sqlite *s = sqlite_of(store);
    char sql[32];

    snprintf(sql, sizeof sql, "RELEASE s%d", store->depth);
    each_database(s, d)
        if (d->open && d->depth == store->depth) {
            if (run(d, sql, "closing a bracket", err) < 0) {
                err->kind = ERR_UNAVAILABLE; /* half of the bracket may be released: the turn cannot be saved */
                return -1;
            }
            d->depth--;
        }
    return 0;
}

static void forget_tables(struct sqlite *s)
{
    struct str name;
    void *table;

    for (size_t at = 0; map_next(s->tables, &at, &name, &table);)
        ((struct table *)table)->there = false;
}

static int drop(struct store *store, struct err *err)
{
    struct sqlite *s = sqlite_of(store);
    char back[32], release[32];

    snprintf(back, sizeof back, "ROLLBACK TO s%d", store->depth);
    snprintf(release, sizeof release, "RELEASE s%d", store->depth);
    each_database(s, d)
        if (d->open && d->depth == store->depth) {
            if (run(d, back, "dropping a bracket", err) < 0 || run(d, release, "dropping a bracket", err) < 0)
                return -1;
            d->depth--;
            forget_tables(s);
        }
    return 0;
}

static void rollback(struct store *store)
{
    struct sqlite *s = sqlite_of(store);

    each_database(s, d) {
        struct err err = { 0 };

        /* A rollback that fails leaves the transaction open only when nothing can be done to the file at all; the next
         * write then fails again, and so on until the disk answers. */
        if (!sqlite3_get_autocommit(d->handle))
            run(d, "ROLLBACK", "dropping a turn", &err);
        d->open = !sqlite3_get_autocommit(d->handle);
        d->depth = 0;
    }
    forget_tables(s);
}

static int commit_one(struct database *d, struct err *err)
{
    if (!d->open)
        return 0;
    if (sqlite3_get_autocommit(d->handle))
        return fail(err, ERR_UNAVAILABLE, "%s.db gave up its transaction after a failure of the disk", d->word);
    if (run(d, "COMMIT", "the commit", err) < 0) {
        err->kind = ERR_UNAVAILABLE;
        return -1;
    }
    d->open = false;
    return 0;
}

static int commit(struct store *store, struct err *err)
{
    struct sqlite *s = sqlite_of(store);

    each_database(s, d)
        if (d != s->core && commit_one(d, err) < 0)
            return -1;
    return commit_one(s->core, err);
}

/* --- opening ---------------------------------------------------------------------------------------------------- */

static int pragma(struct database *d, const char *sql, int64_t *ret, struct err *err)
{
    _cleanup_statement_ sqlite3_stmt *st = prepared(d, sql, err);
    int rc;

    if (!st)
        return -1;
    rc = sqlite3_step(st);
    if (rc != SQLITE_ROW && rc != SQLITE_DONE)
        return failed(d, sql, err);
    if (ret)
        *ret = rc == SQLITE_ROW ? sqlite3_column_int64(st, 0) : 0;
    return 0;
}

/* Scripts of several statements, without results. */
static int script(struct database *d, const char *sql, const char *doing, struct err *err)
{
    return sqlite3_exec(d->handle, sql, NULL, NULL, NULL) == SQLITE_OK ? 0 : failed(d, doing, err);
}

static int migrate(struct database *d, const char *const *steps, struct err *err)
{
    int64_t version, known = 0, id;
    char sql[80];

    while (steps[known])
        known++;
    if (pragma(d, "PRAGMA application_id", &id, err) < 0 || pragma(d, "PRAGMA user_version", &version, err) < 0)
        return -1;
    if (id != 0 && id != APPLICATION_ID)
        return fail(err, ERR_CONFLICT, "%s.db is not a file of Sagebrush; is this the right data directory?", d->word);
    if (version > known)
        return fail(err, ERR_CONFLICT,
                    "%s.db was written by a newer Sagebrush (schema %" PRId64 ", this one knows up to %" PRId64 "):"
                    " start the newer one again, or restore a backup made before the upgrade", d->word, version, known);
    if (version == known)
        return 0;
    if (script(d, "BEGIN IMMEDIATE", "migrating", err) < 0)
        return -1;
    snprintf(sql, sizeof sql, "PRAGMA application_id = %d; PRAGMA user_version = %" PRId64, APPLICATION_ID, known);
    for (int64_t i = version; i < known; i++)
        if (script(d, steps[i], "migrating", err) < 0)
            goto rollback;
    if (script(d, sql, "migrating", err) < 0 || script(d, "COMMIT", "migrating", err) < 0)
        goto rollback;
    return 0;
rollback:
    sqlite3_exec(d->handle, "ROLLBACK", NULL, NULL, NULL);
    return -1;
}

static void database_free(struct database *d)
{
    struct str sql;
    void *statement;

    for (size_t at = 0; map_next(d->statements, &at, &sql, &statement);)
        sqlite3_finalize(statement);
    map_free(d->statements);
    sqlite3_close(d->handle); /* a NULL handle is fine; an open transaction is rolled back */
    free(d);
}

static bool is_relaxed(const char *word)
{
    for (const char *const *w = relaxed_words; *w; w++)
        if (strcmp(*w, word) == 0)
            return true;
    return false;
}

static int database_open(struct sqlite *s, const char *word, struct database **ret, struct err *err)
{
    _cleanup_buf_ struct buf path = { 0 };
    struct database *d = map_get(s->databases, str_of(word));
    bool core = strcmp(word, "core") == 0;

    if (d) {
        *ret = d;
        return 0;
    }
    d = calloc(1, sizeof *d);
    assert(d && "out of memory");
    snprintf(d->word, sizeof d->word, "%s", word);
    d->statements = map_new();
    buf_printf(&path, "%s/%s.db", s->folder, word);
    if (sqlite3_open_v2(path.data, &d->handle, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX,
                        vfs) != SQLITE_OK) {
        failed(d, "opening", err);
        goto failed;
    }
    sqlite3_extended_result_codes(d->handle, 1);
    sqlite3_busy_timeout(d->handle, 2000); /* a backup's connection */
    if (pragma(d, "PRAGMA journal_mode = WAL", NULL, err) < 0 ||
        pragma(d, is_relaxed(word) ? "PRAGMA synchronous = NORMAL" : "PRAGMA synchronous = FULL", NULL, err) < 0 ||
        pragma(d, "PRAGMA temp_store = MEMORY", NULL, err) < 0 ||
        pragma(d, "PRAGMA cache_size = -16384", NULL, err) < 0 ||
        pragma(d, "PRAGMA journal_size_limit = 67108864", NULL, err) < 0 ||
        /* 32 MB of log between checkpoints, each of which has two fsyncs of its own: a page of an index that a burst of
         * creates touches a hundred times is then copied once. */
        pragma(d, "PRAGMA wal_autocheckpoint = 8192", NULL, err) < 0 ||
        migrate(d, core ? core_schema : table_schema, err) < 0)
        goto failed;
    map_set(s->databases, str_of(word), d);
    *ret = d;
    return 0;
failed:
    database_free(d);
    return -1;
}

/* --- rows ------------------------------------------------------------------------------------------------------- */

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
        return failed(d, "reading a row", err);
    }
}

static int row_saved(struct arena *a, struct store *store, const char *uid, struct saved *ret, struct err *err)
{
    struct database *d = sqlite_of(store)->core;
    _cleanup_statement_ sqlite3_stmt *st =
        prepared(d, "SELECT kind, name, state, generation, revision FROM resource WHERE uid = ?", err);

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
        return failed(d, "reading a row", err);
    }
}

static int finish(struct database *d, sqlite3_stmt *st, const char *doing, struct err *err)
{
    return sqlite3_step(st) == SQLITE_DONE ? 0 : failed(d, doing, err);
}

static int row_insert(struct store *store, const struct row *r, struct err *err)
{
    _cleanup_arena_ struct arena *a = arena_new();
    struct sqlite *s = sqlite_of(store);
    _cleanup_statement_ sqlite3_stmt *st = NULL;
    const char *const texts[] = { r->uid, r->account, r->region, r->kind, r->name, r->arn, r->parent_uid };

    if (writing(s, s->core, err) < 0)
        return -1;
    st = prepared(s->core, "INSERT INTO resource (" ROW_COLUMNS ", arn_key)"
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
    return finish(s->core, st, "saving a row", err);
}

static int row_update(struct store *store, const struct row *r, bool want, struct err *err)
{
    _cleanup_arena_ struct arena *a = arena_new();
    struct sqlite *s = sqlite_of(store);
    _cleanup_statement_ sqlite3_stmt *st = NULL;

    if (writing(s, s->core, err) < 0)
        return -1;
    st = prepared(s->core,
                  want ? "UPDATE resource SET state = ?, modified_ms = ?, next_at_ms = ?, generation = ?, revision = ?,"
                         " status = ?, want = ? WHERE uid = ?"
                       : "UPDATE resource SET state = ?, modified_ms = ?, next_at_ms = ?, generation = ?, revision = ?,"
                         " status = ?, observed_generation = ? WHERE uid = ?", err);
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
    return finish(s->core, st, "saving a row", err);
}

static int row_delete(struct store *store, const char *uid, struct err *err)
{
    struct sqlite *s = sqlite_of(store);
    _cleanup_statement_ sqlite3_stmt *st = NULL;

    if (writing(s, s->core, err) < 0)
        return -1;
    st = prepared(s->core, "DELETE FROM resource WHERE uid = ?", err);
    if (!st)
        return -1;
    bind_text(st, 1, uid);
    return finish(s->core, st, "deleting a row", err);
}

static int row_by_uid(struct arena *a, struct store *store, const char *uid, struct row *ret, struct err *err)
{
    struct database *d = sqlite_of(store)->core;
    _cleanup_statement_ sqlite3_stmt *st = prepared(d, "SELECT " ROW_COLUMNS " FROM resource WHERE uid = ?", err);
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
    _cleanup_statement_ sqlite3_stmt *st = prepared(d, "SELECT " ROW_COLUMNS " FROM resource WHERE arn_key = ?", err);
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

    st = prepared(d,
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
    st = prepared(d, sql.data, err);
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
        return failed(d, "listing rows", err);
    *ret = rows;
    *ret_count = count;
    return 0;
}

static int row_due(struct arena *a, struct store *store, int64_t now_ms, int limit, const char ***ret_uids,
                   int *ret_count, struct err *err)
{
    struct database *d = sqlite_of(store)->core;
    _cleanup_statement_ sqlite3_stmt *st =
        prepared(d, "SELECT uid FROM resource INDEXED BY resource_due WHERE next_at_ms <= ?"
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
        return failed(d, "looking for due rows", err);
    *ret_uids = uids;
    *ret_count = count;
    return 0;
}

static int64_t row_next_due(struct store *store)
{
    struct database *d = sqlite_of(store)->core;
    struct err err;
    _cleanup_statement_ sqlite3_stmt *st =
        prepared(d, "SELECT next_at_ms FROM resource INDEXED BY resource_due WHERE next_at_ms < 9223372036854775807"
                    " ORDER BY next_at_ms LIMIT 1", &err);

    return st && sqlite3_step(st) == SQLITE_ROW ? sqlite3_column_int64(st, 0) : INT64_MAX;
}

static int row_states(struct arena *a, struct store *store, struct state_count **ret, int *ret_count, struct err *err)
{
    struct database *d = sqlite_of(store)->core;
    _cleanup_statement_ sqlite3_stmt *st =
        prepared(d, "SELECT kind, state, sum(n) FROM (SELECT kind, account, region, state, count(*) AS n FROM resource"
                    " INDEXED BY resource_state GROUP BY 1, 2, 3, 4) GROUP BY 1, 2 ORDER BY 1, 2", err);
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
        return failed(d, "counting rows", err);
    *ret = states;
    *ret_count = count;
    return 0;
}

/* --- events ----------------------------------------------------------------------------------------------------- */

static int event_add(struct store *store, const struct event *e, struct err *err)
{
    struct sqlite *s = sqlite_of(store);
    const char *const texts[] = { e->uid, e->kind, e->name, e->what, e->state_before, e->state_after };
    _cleanup_statement_ sqlite3_stmt *st = NULL;

    if (writing(s, s->core, err) < 0)
        return -1;
    st = prepared(s->core, "INSERT INTO event (at_ms, uid, kind, name, what, state_before, state_after)"
                           " VALUES (?,?,?,?,?,?,?)", err);
    if (!st)
        return -1;
    bind_int(st, 1, e->at_ms);
    for (int i = 0; i < 6; i++)
        bind_text(st, i + 2, texts[i]);
    return finish(s->core, st, "saving an event", err);
}

static int event_scan(struct arena *a, struct store *store, int64_t after_sequence, int limit, struct event **ret,
                      int *ret_count, struct err *err)
{
    struct database *d = sqlite_of(store)->core;
    _cleanup_statement_ sqlite3_stmt *st =
        prepared(d, "SELECT sequence, at_ms, uid, kind, name, what, state_before, state_after FROM event"
                    " WHERE sequence > ? ORDER BY sequence LIMIT ?", err);
    struct event *events = arena_array_of(a, struct event, (size_t)limit);
    int count = 0, rc;

    if (!st)
        return -1;
    bind_int(st, 1, after_sequence);
    bind_int(st, 2, limit);
    while ((rc = sqlite3_step(st)) == SQLITE_ROW)
        events[count++] = (struct event){
            .sequence = sqlite3_column_int64(st, 0), .at_ms = sqlite3_column_int64(st, 1), .uid = column_text(a, st, 2),
            .kind = column_text(a, st, 3), .name = column_text(a, st, 4), .what = column_text(a, st, 5),
            .state_before = column_text(a, st, 6), .state_after = column_text(a, st, 7),
        };
    if (rc != SQLITE_DONE)
        return failed(d, "reading events", err);
    *ret = events;
    *ret_count = count;
    return 0;
}

static int event_trim(struct store *store, int64_t through_sequence, struct err *err)
{
    struct sqlite *s = sqlite_of(store);
    _cleanup_statement_ sqlite3_stmt *st = NULL;

    if (writing(s, s->core, err) < 0)
        return -1;
    st = prepared(s->core, "DELETE FROM event WHERE sequence <= ?", err);
    if (!st)
        return -1;
    bind_int(st, 1, through_sequence);
    return finish(s->core, st, "trimming events", err);
}

/* --- ordered tables --------------------------------------------------------------------------------------------- */

static char *sql_text(const char *format, const char *table)
{
    struct buf b = { 0 };

    for (const char *c = format; *c; c++)
        if (*c == '@')
            buf_printf(&b, "\"t_%s\"", table);
        else
            buf_append_char(&b, *c);
    return buf_steal(&b);
}

static int table_open(struct sqlite *s, const char *name, struct table **ret, struct err *err)
{
    static const char *const ends[] = { "", " WHERE key >= ?1", " WHERE key < ?2", " WHERE key >= ?1 AND key < ?2" };
    struct table *t = map_get(s->tables, str_of(name));
    struct database *d;
    char word[48];

    if (t) {
        *ret = t;
        return 0;
    }
    snprintf(word, sizeof word, "%.*s", (int)strcspn(name, "_"), name);
    if (database_open(s, word, &d, err) < 0)
        return -1;
    t = calloc(1, sizeof *t);
    assert(t && "out of memory");
    t->database = d;
    t->make = sql_text(
        "CREATE TABLE IF NOT EXISTS @ (key BLOB PRIMARY KEY NOT NULL, value BLOB NOT NULL) WITHOUT ROWID", name);
    t->find = sql_text("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND '\"' || name || '\"' = '@'", name);
    t->put = sql_text("INSERT INTO @ (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
                      name);
    t->get = sql_text("SELECT value FROM @ WHERE key = ?", name);
    t->remove = sql_text("DELETE FROM @ WHERE key = ?", name);
    t->remove_range = sql_text("DELETE FROM @ WHERE key >= ?1 AND (?2 IS NULL OR key < ?2)", name);
    for (int i = 0; i < 4; i++) {
        struct buf up = { 0 }, down = { 0 };

        buf_printf(&up, "SELECT key, value FROM @%s ORDER BY key LIMIT ?3", ends[i]);
        buf_printf(&down, "SELECT key, value FROM @%s ORDER BY key DESC LIMIT ?3", ends[i]);
        t->scan[0][i] = sql_text(up.data, name);
        t->scan[1][i] = sql_text(down.data, name);
        buf_free(&up);
        buf_free(&down);
    }
    map_set(s->tables, str_of(name), t);
    *ret = t;
    return 0;
}

static void table_free(struct table *t)
{
    free(t->make);
    free(t->find);
    free(t->put);
    free(t->get);
    free(t->remove);
    free(t->remove_range);
    for (int i = 0; i < 4; i++) {
        free(t->scan[0][i]);
        free(t->scan[1][i]);
    }
    free(t);
}

static int table_to_write(struct sqlite *s, const char *name, struct table **ret, struct err *err)
{
    struct table *t;

    if (table_open(s, name, &t, err) < 0 || writing(s, t->database, err) < 0)
        return -1;
    if (!t->there && run(t->database, t->make, "making a table", err) < 0)
        return -1;
    t->there = true;
    *ret = t;
    return 0;
}

/* *ret NULL: nobody has written to it yet. */
static int table_to_read(struct sqlite *s, const char *name, struct table **ret, struct err *err)
{
    struct table *t;

    if (table_open(s, name, &t, err) < 0)
        return -1;
    if (!t->there) {
        _cleanup_statement_ sqlite3_stmt *st = prepared(t->database, t->find, err);
        int rc = st ? sqlite3_step(st) : SQLITE_ERROR;

        if (!st)
            return -1;
        if (rc != SQLITE_ROW && rc != SQLITE_DONE)
            return failed(t->database, "looking for a table", err);
        t->there = rc == SQLITE_ROW;
    }
    *ret = t->there ? t : NULL;
    return 0;
}

static int put(struct store *store, const char *table, struct str key, struct str value, struct err *err)
{
    _cleanup_statement_ sqlite3_stmt *st = NULL;
    struct table *t;

    if (table_to_write(sqlite_of(store), table, &t, err) < 0 || !(st = prepared(t->database, t->put, err)))
        return -1;
    bind_bytes(st, 1, key);
    bind_bytes(st, 2, value);
    return finish(t->database, st, "saving a pair", err);
}

static int get(struct arena *a, struct store *store, const char *table, struct str key, struct str *ret,
               struct err *err)
{
    _cleanup_statement_ sqlite3_stmt *st = NULL;
    struct table *t;
    int rc = SQLITE_DONE;

    if (table_to_read(sqlite_of(store), table, &t, err) < 0)
        return -1;
    if (t) {
        if (!(st = prepared(t->database, t->get, err)))
            return -1;
        bind_bytes(st, 1, key);
        rc = sqlite3_step(st);
    }
    switch (rc) {
    case SQLITE_ROW:
        *ret = column_bytes(a, st, 0);
        return 0;
    case SQLITE_DONE:
        return fail(err, ERR_NOT_FOUND, "there is no such key in %s", table);
    default:
        return failed(t->database, "reading a pair", err);
    }
}

static int remove_key(struct store *store, const char *table, struct str key, struct err *err)
{
    _cleanup_statement_ sqlite3_stmt *st = NULL;
    struct table *t;

    if (table_to_write(sqlite_of(store), table, &t, err) < 0 || !(st = prepared(t->database, t->remove, err)))
        return -1;
    bind_bytes(st, 1, key);
    return finish(t->database, st, "removing a pair", err);
}

static int scan(struct arena *a, struct store *store, const char *table, const struct range *r, struct pair **ret,
                int *ret_count, struct err *err)
{
    _cleanup_statement_ sqlite3_stmt *st = NULL;
    int count = 0, capacity = 16, rc;
    struct pair *pairs = arena_array_of(a, struct pair, (size_t)capacity);
    struct table *t;

    if (table_to_read(sqlite_of(store), table, &t, err) < 0)
        return -1;
    if (t) {
        st = prepared(t->database, t->scan[r->reverse][(r->from.size ? 1 : 0) + (r->to.size ? 2 : 0)], err);
        if (!st)
            return -1;
        if (r->from.size)
            bind_bytes(st, 1, r->from);
        if (r->to.size)
            bind_bytes(st, 2, r->to);
        bind_int(st, 3, r->limit);
        while ((rc = sqlite3_step(st)) == SQLITE_ROW) {
            if (count == capacity) {
                struct pair *more = arena_array_of(a, struct pair, (size_t)capacity * 2);

                memcpy(more, pairs, (size_t)count * sizeof *pairs);
                pairs = more;
                capacity *= 2;
            }
            pairs[count].key = column_bytes(a, st, 0);
            pairs[count++].value = column_bytes(a, st, 1);
        }
        if (rc != SQLITE_DONE)
            return failed(t->database, "reading pairs", err);
    }
    *ret = pairs;
    *ret_count = count;
    return 0;
}

static int remove_range(struct store *store, const char *table, const struct range *r, struct err *err)
{
    _cleanup_statement_ sqlite3_stmt *st = NULL;
    struct table *t;

    if (table_to_write(sqlite_of(store), table, &t, err) < 0 || !(st = prepared(t->database, t->remove_range, err)))
        return -1;
    bind_bytes(st, 1, r->from);
    if (r->to.size)
        bind_bytes(st, 2, r->to);
    return finish(t->database, st, "removing pairs", err);
}

/* --- backup ----------------------------------------------------------------------------------------------------- */

/* Through a connection of its own: it sees what was committed, and the loop may go on writing. */
static int backup_file(const char *from, const char *to, struct err *err)
{
    struct database d = { .word = "backup" };
    sqlite3_stmt *st = NULL;
    int result = 0;

    if (sqlite3_open_v2(from, &d.handle, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, vfs) != SQLITE_OK ||
        sqlite3_busy_timeout(d.handle, 10000) != SQLITE_OK ||
        sqlite3_prepare_v2(d.handle, "VACUUM INTO ?", -1, &st, NULL) != SQLITE_OK ||
        sqlite3_bind_text(st, 1, to, -1, SQLITE_STATIC) != SQLITE_OK || sqlite3_step(st) != SQLITE_DONE)
        result = fail(err, ERR_UNAVAILABLE, "%s could not be copied to %s: %s", from, to, sqlite3_errmsg(d.handle));
    sqlite3_finalize(st);
    sqlite3_close(d.handle);
    if (result == 0) {
        _cleanup_fd_ int fd = open(to, O_RDONLY | O_CLOEXEC);

        if (fd < 0 || fsync(fd) < 0)
            return fail_errno(err, errno, "writing %s", to);
    }
    return result;
}

static void folder_close(DIR **folder)
{
    if (*folder)
        closedir(*folder);
}

static int backup(struct store *store, const char *folder, struct err *err)
{
    struct sqlite *s = sqlite_of(store);
    __attribute__((cleanup(folder_close))) DIR *from = NULL, *to = NULL;

    if (folder_make(folder, 0700, err) < 0)
        return -1;
    from = opendir(s->folder);
    if (!from)
        return fail_errno(err, errno, "reading the folder %s", s->folder);
    to = opendir(folder);
    if (!to)
        return fail_errno(err, errno, "reading the folder %s", folder);
    for (struct dirent *e; (e = readdir(to));)
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            return fail(err, ERR_CONFLICT, "%s is not empty: a backup goes into a new folder", folder);
    for (struct dirent *e; (e = readdir(from));) {
        _cleanup_buf_ struct buf source = { 0 }, target = { 0 };

        if (!text_ends(e->d_name, ".db"))
            continue;
        buf_printf(&source, "%s/%s", s->folder, e->d_name);
        buf_printf(&target, "%s/%s", folder, e->d_name);
        if (backup_file(source.data, target.data, err) < 0)
            return -1;
    }
    return folder_sync(folder, err);
}

/* --- the door --------------------------------------------------------------------------------------------------- */

static void sqlite_free(struct store *store)
{
    struct sqlite *s = sqlite_of(store);
    struct str name;
    void *table;

    for (size_t at = 0; map_next(s->tables, &at, &name, &table);)
        table_free(table);
    map_free(s->tables);
    {
        each_database(s, d)
            database_free(d);
    }
    map_free(s->databases);
    free(s->folder);
    if (s->lock >= 0)
        close(s->lock);
    free(s);
}

/* SQLite would let two processes write in turns; the loop relies on being the only one. */
static int lock_folder(struct sqlite *s, struct err *err)
{
    _cleanup_buf_ struct buf path = { 0 };

    buf_printf(&path, "%s/lock", s->folder);
    s->lock = open(path.data, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (s->lock < 0)
        return fail_errno(err, errno, "opening %s", path.data);
    if (flock(s->lock, LOCK_EX | LOCK_NB) < 0)
        return fail(err, ERR_CONFLICT, "the store in %s is in use by another process; is a server running on it?",
                    s->folder);
    return 0;
}

static const struct store_class class = {
    .free = sqlite_free, .keep = keep, .drop = drop, .rollback = rollback, .commit = commit,
    .row_saved = row_saved, .row_insert = row_insert, .row_update = row_update, .row_delete = row_delete,
    .row_by_uid = row_by_uid, .row_by_arn = row_by_arn, .row_by_name = row_by_name, .row_list = row_list,
    .row_due = row_due, .row_next_due = row_next_due, .row_states = row_states,
    .event_add = event_add, .event_scan = event_scan, .event_trim = event_trim,
    .put = put, .get = get, .remove = remove_key, .scan = scan, .remove_range = remove_range, .backup = backup,
};

int store_open_sqlite(const char *folder, struct store **ret, struct err *err)
{
    struct sqlite *s = calloc(1, sizeof *s);

    assert(s && "out of memory");
    s->store.class = &class;
    s->folder = strdup(folder);
    assert(s->folder && "out of memory");
    s->lock = -1;
    s->databases = map_new();
    s->tables = map_new();
    if (folder_make(folder, 0700, err) < 0 || lock_folder(s, err) < 0 || database_open(s, "core", &s->core, err) < 0) {
        sqlite_free(&s->store);
        return -1;
    }
    *ret = &s->store;
    return 0;
}
