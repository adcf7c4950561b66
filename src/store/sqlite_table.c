/* sqlite_table.c - ordered tables of keys and values, each in the file that the first word of its name says. */
#include "store/sqlite.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/map.h"

struct table {
    struct database *database;
    bool there; /* in the file; forgotten when a bracket or a turn is dropped */
    char *put, *get, *remove, *remove_range, *make, *find;
    char *scan[2][4]; /* by direction and by which ends are given */
};

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
    if (sqlite_database(s, word, &d, err) < 0)
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

void sqlite_forget_tables(struct sqlite *s)
{
    struct str name;
    void *table;

    for (size_t at = 0; map_next(s->tables, &at, &name, &table);)
        ((struct table *)table)->there = false;
}

void sqlite_free_tables(struct sqlite *s)
{
    struct str name;
    void *table;

    for (size_t at = 0; map_next(s->tables, &at, &name, &table);)
        table_free(table);
    map_free(s->tables);
}

static int table_to_write(struct sqlite *s, const char *name, struct table **ret, struct err *err)
{
    struct table *t;

    if (table_open(s, name, &t, err) < 0 || sqlite_begin(s, t->database, err) < 0)
        return -1;
    if (!t->there && database_run(t->database, t->make, "making a table", err) < 0)
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
        _cleanup_statement_ sqlite3_stmt *st = statement_of(t->database, t->find, err);
        int rc = st ? sqlite3_step(st) : SQLITE_ERROR;

        if (!st)
            return -1;
        if (rc != SQLITE_ROW && rc != SQLITE_DONE)
            return database_failed(t->database, "looking for a table", err);
        t->there = rc == SQLITE_ROW;
    }
    *ret = t->there ? t : NULL;
    return 0;
}

static int put(struct store *store, const char *table, struct str key, struct str value, struct err *err)
{
    _cleanup_statement_ sqlite3_stmt *st = NULL;
    struct table *t;

    if (table_to_write(sqlite_of(store), table, &t, err) < 0 || !(st = statement_of(t->database, t->put, err)))
        return -1;
    bind_bytes(st, 1, key);
    bind_bytes(st, 2, value);
    return database_finish(t->database, st, "saving a pair", err);
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
        if (!(st = statement_of(t->database, t->get, err)))
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
        return database_failed(t->database, "reading a pair", err);
    }
}

static int remove_key(struct store *store, const char *table, struct str key, struct err *err)
{
    _cleanup_statement_ sqlite3_stmt *st = NULL;
    struct table *t;

    if (table_to_write(sqlite_of(store), table, &t, err) < 0 || !(st = statement_of(t->database, t->remove, err)))
        return -1;
    bind_bytes(st, 1, key);
    return database_finish(t->database, st, "removing a pair", err);
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
        st = statement_of(t->database, t->scan[r->reverse][(r->from.size ? 1 : 0) + (r->to.size ? 2 : 0)], err);
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
            return database_failed(t->database, "reading pairs", err);
    }
    *ret = pairs;
    *ret_count = count;
    return 0;
}

static int remove_range(struct store *store, const char *table, const struct range *r, struct err *err)
{
    _cleanup_statement_ sqlite3_stmt *st = NULL;
    struct table *t;

    if (table_to_write(sqlite_of(store), table, &t, err) < 0 || !(st = statement_of(t->database, t->remove_range, err)))
        return -1;
    bind_bytes(st, 1, r->from);
    if (r->to.size)
        bind_bytes(st, 2, r->to);
    return database_finish(t->database, st, "removing pairs", err);
}

const struct table_class sqlite_tables = {
    .put = put, .get = get, .remove = remove_key, .scan = scan, .remove_range = remove_range,
};
