/* sqlite.h - the inside of the store on disk; hides SQLite in sqlite*.c.
 *
 * sqlite.c is the store: its files, and the turn that goes over all of them. sqlite_file.c is one file and its
 * statements. The rest are what the files hold: rows, events, ordered tables. */
#ifndef STORE_SQLITE_H
#define STORE_SQLITE_H

#include <sqlite3.h>

#include "store/impl.h"

struct database { /* one file */
    char word[48];
    sqlite3 *handle;
    bool open;               /* in a transaction */
    int depth;               /* savepoints that are open */
    struct map *statements;  /* by their text */
};

struct sqlite {
    struct store store;
    char *folder;
    int lock;
    struct map *databases, *tables;
    struct database *core;
};

static inline struct sqlite *sqlite_of(struct store *s)
{
    return (struct sqlite *)s;
}

/* The file of the tables whose names begin with this word; made when it is not there. */
int sqlite_database(struct sqlite *, const char *word, struct database **ret, struct err *err);

/* Before each write: the transaction and the savepoints of the open brackets are there. */
int sqlite_begin(struct sqlite *, struct database *, struct err *err);

extern const struct row_class sqlite_rows;
extern const struct event_class sqlite_events;
extern const struct table_class sqlite_tables;
void sqlite_forget_tables(struct sqlite *); /* which tables there are: what made them may have been dropped */
void sqlite_free_tables(struct sqlite *);
int sqlite_backup(struct store *, const char *folder, struct err *err); /* into a new folder */

/* One file. 'schema' is a script a version; 'relaxed': its last turns may be lost with the machine. */
int database_open(const char *folder, const char *word, const char *const *schema, bool relaxed, struct database **ret,
                  struct err *err);
void database_free(struct database *);
int database_connect(const char *path, bool make, int busy_ms, sqlite3 **ret); /* SQLite's code */
int database_failed(const struct database *, const char *doing, struct err *err); /* says what went wrong; -1 */

/* Prepared once for the life of the process; NULL when it cannot be. Everything is bound by reference: it lives until
 * the statement is done. */
sqlite3_stmt *statement_of(struct database *, const char *sql, struct err *err);
int database_run(struct database *, const char *sql, const char *doing, struct err *err);
int database_finish(struct database *, sqlite3_stmt *, const char *doing, struct err *err); /* one without results */
void statement_done(sqlite3_stmt **);
#define _cleanup_statement_ __attribute__((cleanup(statement_done)))

void bind_text(sqlite3_stmt *, int at, const char *text); /* NULL is "" */
void bind_bytes(sqlite3_stmt *, int at, struct str bytes);
void bind_int(sqlite3_stmt *, int at, int64_t number);
const char *column_text(struct arena *, sqlite3_stmt *, int at);
struct str column_bytes(struct arena *, sqlite3_stmt *, int at);

#endif
