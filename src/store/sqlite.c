/* sqlite.c - the store on disk.
 *
 * One database file for each word that table names begin with; rows and events are in core.db. Each has at most one
 * open transaction: it begins at the first write of a turn and ends with the turn, so that all answers of a turn share
 * one fsync. Brackets are savepoints, made when something is written in them.
 *
 * core.db is committed last: what a row says about another file's pairs is there when the row is. */
#include "store/sqlite.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/fd.h"
#include "base/map.h"

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

static bool is_relaxed(const char *word)
{
    for (const char *const *w = relaxed_words; *w; w++)
        if (strcmp(*w, word) == 0)
            return true;
    return false;
}

int sqlite_database(struct sqlite *s, const char *word, struct database **ret, struct err *err)
{
    struct database *d = map_get(s->databases, str_of(word));
    bool core = strcmp(word, "core") == 0;

    if (!d) {
        if (database_open(s->folder, word, core ? core_schema : table_schema, is_relaxed(word), &d, err) < 0)
            return -1;
        map_set(s->databases, str_of(word), d);
    }
    *ret = d;
    return 0;
}

/* SQLite ends a transaction by itself after some I/O errors; what was written in it is then gone, and so must be the
 * turn. */
int sqlite_begin(struct sqlite *s, struct database *d, struct err *err)
{
    char sql[32];

    if (d->open && sqlite3_get_autocommit(d->handle))
        return fail(err, ERR_UNAVAILABLE, "%s.db gave up its transaction after a failure of the disk", d->word);
    if (!d->open) {
        if (database_run(d, "BEGIN IMMEDIATE", "beginning to write", err) < 0)
            return -1;
        d->open = true;
        d->depth = 0;
    }
    while (d->depth < s->store.depth) {
        snprintf(sql, sizeof sql, "SAVEPOINT s%d", d->depth + 1);
        if (database_run(d, sql, "opening a bracket", err) < 0)
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
            if (database_run(d, sql, "closing a bracket", err) < 0) {
                err->kind = ERR_UNAVAILABLE; /* half of the bracket may be released: the turn cannot be saved */
                return -1;
            }
            d->depth--;
        }
    return 0;
}

static int drop(struct store *store, struct err *err)
{
    struct sqlite *s = sqlite_of(store);
    char back[32], release[32];

    snprintf(back, sizeof back, "ROLLBACK TO s%d", store->depth);
    snprintf(release, sizeof release, "RELEASE s%d", store->depth);
    each_database(s, d)
        if (d->open && d->depth == store->depth) {
            if (database_run(d, back, "dropping a bracket", err) < 0 ||
                database_run(d, release, "dropping a bracket", err) < 0)
                return -1;
            d->depth--;
            sqlite_forget_tables(s);
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
            database_run(d, "ROLLBACK", "dropping a turn", &err);
        d->open = !sqlite3_get_autocommit(d->handle);
        d->depth = 0;
    }
    sqlite_forget_tables(s);
}

static int commit_one(struct database *d, struct err *err)
{
    if (!d->open)
        return 0;
    if (sqlite3_get_autocommit(d->handle))
        return fail(err, ERR_UNAVAILABLE, "%s.db gave up its transaction after a failure of the disk", d->word);
    if (database_run(d, "COMMIT", "the commit", err) < 0) {
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

static void sqlite_free(struct store *store)
{
    struct sqlite *s = sqlite_of(store);

    sqlite_free_tables(s);
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
    .free = sqlite_free, .keep = keep, .drop = drop, .rollback = rollback, .commit = commit, .backup = sqlite_backup,
    .rows = &sqlite_rows, .events = &sqlite_events, .tables = &sqlite_tables,
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
    if (folder_make(folder, 0700, err) < 0 || lock_folder(s, err) < 0 ||
        sqlite_database(s, "core", &s->core, err) < 0) {
        sqlite_free(&s->store);
        return -1;
    }
    *ret = &s->store;
    return 0;
}
