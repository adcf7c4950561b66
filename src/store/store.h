/* store.h - what outlives the process: rows (resources), ordered tables, and the events of every change.
 *
 * One writer, one thread: the loop. Writes of one loop turn share a transaction: each request brackets its own with
 * store_begin() and store_keep() or store_drop(), and the loop calls store_commit() once before any answer leaves,
 * so an answer that was sent is on disk. A read sees every write kept so far. Two implementations, sqlite and
 * memory, pass the same contract test; a simulation uses the second.
 *
 * Failures: ERR_NOT_FOUND, ERR_CONFLICT (see each), ERR_UNAVAILABLE when the disk is full or the file cannot be
 * written (everything of the turn is then dropped, nothing was answered), ERR_INTERNAL otherwise. */
#ifndef STORE_STORE_H
#define STORE_STORE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"
#include "doc/doc.h"

struct store;

/* A resource. Strings are never NULL when read; those that do not apply are "". */
struct row {
    const char *uid;     /* 26 letters and digits, unlike the name never used again */
    const char *account; /* 12 digits */
    const char *region;  /* "" for a global one */
    const char *kind;    /* the noun: "TrainingJob" */
    const char *name;
    const char *arn;        /* unique among the living, compared in lower case */
    const char *parent_uid; /* "" for none */
    int64_t created_ms, modified_ms; /* wall time; modified_ms is set by whoever saves */
    const char *state;               /* the state field's value, for filters */
    int64_t next_at_ms;              /* when reconcile looks again, wall time; INT64_MAX: not before a change */
    int64_t generation;              /* of want: +1 by every store_row_want */
    int64_t observed_generation;     /* the generation that reconcile last acted on */
    int64_t revision;                /* +1 by every save of any side */
    const struct doc *spec;          /* the Create request, as it came */
    const struct doc *want;          /* what is wanted beyond it: stop, delete, new weights */
    const struct doc *status;        /* what was seen: what Describe adds to the spec */
};

/* The folder is made when it is not there. A data directory of a newer version is refused with a clear text, an older
 * one is migrated; ERR_CONFLICT when another process has it open. */
int store_open_sqlite(const char *folder, struct store **ret, struct err *err);
struct store *store_new_memory(void);
void store_free(struct store *); /* NULL is fine; what was not committed is lost */

/* Of the memory store, for tests and simulations. 'full' is asked at every write and commit: true fails it as a full
 * disk would (NULL: never). A crash forgets what was not committed, brackets too, and keeps the rest. */
void store_memory_full(struct store *, bool (*full)(void *context), void *context);
void store_memory_crash(struct store *);

/* A request's own bracket; they do not nest deeper than 8. After store_drop nothing of it was ever there.
 *
 * When a write fails for want of disk, the turn is lost: it, every later write and every store_keep of the turn answer
 * ERR_UNAVAILABLE, reads see what was committed before, and store_commit says ERR_UNAVAILABLE once: nothing that was
 * answered in this turn may leave. After that the store is as good as new. */
int store_begin(struct store *, struct err *err);
int store_keep(struct store *, struct err *err);
void store_drop(struct store *);

/* Ends the turn: durable when it returns 0. Cheap when nothing was written. */
int store_commit(struct store *, struct err *err);
bool store_dirty(const struct store *); /* something was written since the last commit */

/* Rows. Insert: uid, account, region, kind, name, arn, parent, created_ms, state, next_at_ms, spec, want and status are
 * taken; generation and revision start at 1. ERR_CONFLICT when the living have that uid, arn, or (account, region,
 * kind, name, parent_uid). */
int store_row_insert(struct store *, const struct row *, struct err *err);
int store_row_by_uid(struct arena *, struct store *, const char *uid, struct row *ret, struct err *err);
int store_row_by_arn(struct arena *, struct store *, const char *arn, struct row *ret, struct err *err);
int store_row_by_name(struct arena *, struct store *, const char *account, const char *region, const char *kind,
                      const char *name, struct row *ret, struct err *err);

/* The API's side: want, and at most state, status, modified_ms and next_at_ms of *row; generation + 1. ERR_CONFLICT
 * when row->revision is no longer the saved one. On success *row carries the new generation and revision. */
int store_row_want(struct store *, struct row *row, struct err *err);

/* Reconcile's side: status, state, modified_ms, next_at_ms and observed_generation of *row, under the same rule. Want
 * is not touched. */
int store_row_observe(struct store *, struct row *row, struct err *err);

/* Its name may be used again. ERR_NOT_FOUND. */
int store_row_delete(struct store *, const char *uid, int64_t at_ms, struct err *err);

/* An event about the row: "replaced". ERR_NOT_FOUND. */
int store_row_note(struct store *, const char *uid, const char *what, int64_t at_ms, struct err *err);

struct row_filter {
    const char *account, *region, *kind; /* NULL: any */
    const char *parent_uid, *state;      /* NULL: any */
    const char *name_contains;           /* NULL: any; case-insensitive */
    int64_t created_after_ms, created_before_ms, modified_after_ms, modified_before_ms; /* 0: no bound; exclusive */
    enum row_order { ROWS_BY_NAME, ROWS_BY_CREATED, ROWS_BY_MODIFIED, ROWS_BY_STATE } order;
    bool descending;
    const char *after; /* the place where the page before ended (ret_after), NULL: from the start */
    int limit;         /* rows at most */
};

/* *ret_after: where the next page starts, NULL when this was the last. ERR_INVALID when 'after' is not ours. */
int store_row_list(struct arena *, struct store *, const struct row_filter *, struct row **ret, int *ret_count,
                   const char **ret_after, struct err *err);

/* uids of all rows of a kind that are in a state (NULL: any), the oldest first. Reads an index alone, once: with a
 * hundred thousand rows a list by pages, of all accounts, sorts them for each page. */
int store_row_uids(struct arena *, struct store *, const char *kind, const char *state, const char ***ret_uids,
                   int *ret_count, struct err *err);

/* uids of rows with next_at_ms <= now_ms, the earliest first. */
int store_row_due(struct arena *, struct store *, int64_t now_ms, int limit, const char ***ret_uids, int *ret_count,
                  struct err *err);
int64_t store_row_next_due(struct store *); /* the earliest next_at_ms, INT64_MAX for none */

/* How many rows of each kind are in each state, by kind and state. Reads an index from end to end: for operators. */
struct state_count {
    const char *kind, *state;
    int64_t rows;
};
int store_row_states(struct arena *, struct store *, struct state_count **ret, int *ret_count, struct err *err);

/* Every insert, want, observe that changed the state, and delete of a row writes an event in the same transaction; so
 * does who notes what happened to a row without changing its state. */
struct event {
    int64_t sequence; /* 1, 2, 3... without holes among the committed */
    int64_t at_ms;
    const char *uid, *kind, *name, *what; /* "created", "wanted", "state", "deleted", or what was noted */
    const char *state_before, *state_after;
};
int store_event_scan(struct arena *, struct store *, int64_t after_sequence, int limit, struct event **ret,
                     int *ret_count, struct err *err);
int store_event_trim(struct store *, int64_t through_sequence, struct err *err);

/* Ordered tables: byte keys to byte values, in memcmp order. A table is made by its first use; its name is a C
 * identifier of at most 40 bytes. Tables whose name starts with the same word before '_' share a file
 * ("s3_objects", "s3_parts" -> s3.db), so that one service's fsync does not delay another's answer. Every file of a
 * turn is committed by store_commit; there is no atomicity between two files, but "core_..." tables share the file of
 * the rows, which is committed last. The files of "logs" and "metrics" may forget their last turns when the machine
 * (not the process) dies; all others are on disk when store_commit returns. */
int store_put(struct store *, const char *table, struct str key, struct str value, struct err *err);
int store_get(struct arena *, struct store *, const char *table, struct str key, struct str *ret, struct err *err);
int store_remove(struct store *, const char *table, struct str key, struct err *err); /* not there is fine */

struct pair {
    struct str key, value;
};

struct range {
    struct str from; /* inclusive; size 0: the start */
    struct str to;   /* exclusive; size 0: the end */
    bool reverse;    /* from the end of the range downwards */
    int limit;       /* pairs at most; 0: 1000 */
};
int store_scan(struct arena *, struct store *, const char *table, const struct range *, struct pair **ret,
               int *ret_count, struct err *err);
int store_remove_range(struct store *, const char *table, const struct range *, struct err *err); /* from, to only */

/* The smallest key greater than every key that starts with 'prefix' (size 0 when there is none). */
struct str store_after_prefix(struct arena *, struct str prefix);

/* Big-endian with the sign bit flipped: memcmp order is numeric order. */
void store_key_int64(char ret[static 8], int64_t);
int64_t store_int64_of_key(const char key[static 8]);

/* Copies everything committed into an empty folder, each file consistent in itself, while the store is in use (sqlite
 * only). May run on a worker thread. */
int store_backup(struct store *, const char *folder, struct err *err);

#endif
