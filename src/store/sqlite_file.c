/* sqlite_file.c - one database file and its statements.
 *
 * In WAL mode the file is consistent after a crash at any point; synchronous=FULL makes a commit durable before it
 * returns. */
#include "store/sqlite.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/map.h"

enum { APPLICATION_ID = 0x53614272 }; /* "SaBr", in the header of each file */

/* No other process looks into the files while we have them, so the index of the log stays in our memory. In a mapped
 * file beside the log, as is usual, a full disk is met as SIGBUS: in the middle of a commit, and at each start. */
int database_connect(const char *path, bool make, int busy_ms, sqlite3 **ret)
{
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | (make ? SQLITE_OPEN_CREATE : 0);
    int rc = sqlite3_open_v2(path, ret, flags, "unix-excl");

    return rc == SQLITE_OK ? sqlite3_busy_timeout(*ret, busy_ms) : rc;
}

/* What went wrong, as the house says it. A full disk and a failing one are for the turn to be dropped; the rest is
 * ours. */
int database_failed(const struct database *d, const char *doing, struct err *err)
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

void statement_done(sqlite3_stmt **statement)
{
    if (*statement) {
        sqlite3_reset(*statement);
        sqlite3_clear_bindings(*statement);
    }
}

sqlite3_stmt *statement_of(struct database *d, const char *sql, struct err *err)
{
    sqlite3_stmt *statement = map_get(d->statements, str_of(sql));

    if (statement)
        return statement;
    if (sqlite3_prepare_v3(d->handle, sql, -1, SQLITE_PREPARE_PERSISTENT, &statement, NULL) != SQLITE_OK) {
        database_failed(d, "reading a statement", err);
        return NULL;
    }
    map_set(d->statements, str_of(sql), statement);
    return statement;
}

int database_finish(struct database *d, sqlite3_stmt *st, const char *doing, struct err *err)
{
    return sqlite3_step(st) == SQLITE_DONE ? 0 : database_failed(d, doing, err);
}

int database_run(struct database *d, const char *sql, const char *doing, struct err *err)
{
    _cleanup_statement_ sqlite3_stmt *st = statement_of(d, sql, err);

    return st ? database_finish(d, st, doing, err) : -1;
}

void bind_text(sqlite3_stmt *st, int at, const char *text)
{
    int rc = sqlite3_bind_text(st, at, text ? text : "", -1, SQLITE_STATIC);

    assert(rc == SQLITE_OK || rc == SQLITE_TOOBIG);
}

void bind_bytes(sqlite3_stmt *st, int at, struct str bytes)
{
    int rc = sqlite3_bind_blob64(st, at, bytes.size ? bytes.data : "", bytes.size, SQLITE_STATIC);

    assert(rc == SQLITE_OK || rc == SQLITE_TOOBIG);
}

void bind_int(sqlite3_stmt *st, int at, int64_t number)
{
    int rc = sqlite3_bind_int64(st, at, number);

    assert(rc == SQLITE_OK);
}

const char *column_text(struct arena *a, sqlite3_stmt *st, int at)
{
    const char *text = (const char *)sqlite3_column_text(st, at);

    return text && *text ? arena_strdup(a, text) : "";
}

struct str column_bytes(struct arena *a, sqlite3_stmt *st, int at)
{
    const char *bytes = sqlite3_column_blob(st, at);
    size_t size = (size_t)sqlite3_column_bytes(st, at);
    char *copy = arena_alloc(a, size + 1);

    if (size)
        memcpy(copy, bytes, size);
    return (struct str){ copy, size };
}

static int pragma(struct database *d, const char *sql, int64_t *ret, struct err *err)
{
    _cleanup_statement_ sqlite3_stmt *st = statement_of(d, sql, err);
    int rc;

    if (!st)
        return -1;
    rc = sqlite3_step(st);
    if (rc != SQLITE_ROW && rc != SQLITE_DONE)
        return database_failed(d, sql, err);
    if (ret)
        *ret = rc == SQLITE_ROW ? sqlite3_column_int64(st, 0) : 0;
    return 0;
}

/* Scripts of several statements, without results. */
static int script(struct database *d, const char *sql, const char *doing, struct err *err)
{
    return sqlite3_exec(d->handle, sql, NULL, NULL, NULL) == SQLITE_OK ? 0 : database_failed(d, doing, err);
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

void database_free(struct database *d)
{
    struct str sql;
    void *statement;

    for (size_t at = 0; map_next(d->statements, &at, &sql, &statement);)
        sqlite3_finalize(statement);
    map_free(d->statements);
    sqlite3_close(d->handle); /* a NULL handle is fine; an open transaction is rolled back */
    free(d);
}

int database_open(const char *folder, const char *word, const char *const *schema, bool relaxed, struct database **ret,
                  struct err *err)
{
    _cleanup_buf_ struct buf path = { 0 };
    struct database *d = calloc(1, sizeof *d);

    assert(d && "out of memory");
    snprintf(d->word, sizeof d->word, "%s", word);
    d->statements = map_new();
    buf_printf(&path, "%s/%s.db", folder, word);
    if (database_connect(path.data, true, 2000 /* a backup's connection */, &d->handle) != SQLITE_OK) {
        database_failed(d, "opening", err);
        goto failed;
    }
    sqlite3_extended_result_codes(d->handle, 1);
    if (pragma(d, "PRAGMA journal_mode = WAL", NULL, err) < 0 ||
        pragma(d, relaxed ? "PRAGMA synchronous = NORMAL" : "PRAGMA synchronous = FULL", NULL, err) < 0 ||
        pragma(d, "PRAGMA temp_store = MEMORY", NULL, err) < 0 ||
        pragma(d, "PRAGMA cache_size = -16384", NULL, err) < 0 ||
        pragma(d, "PRAGMA journal_size_limit = 67108864", NULL, err) < 0 ||
        /* 32 MB of log between checkpoints, each of which has two fsyncs of its own: a page of an index that a burst of
         * creates touches a hundred times is then copied once. */
        pragma(d, "PRAGMA wal_autocheckpoint = 8192", NULL, err) < 0 ||
        migrate(d, schema, err) < 0)
        goto failed;
    *ret = d;
    return 0;
failed:
    database_free(d);
    return -1;
}
