/* sqlite_event.c - events of rows, in core.db, numbered by SQLite. */
#include "store/sqlite.h"

static int event_add(struct store *store, const struct event *e, struct err *err)
{
    struct sqlite *s = sqlite_of(store);
    const char *const texts[] = { e->uid, e->kind, e->name, e->what, e->state_before, e->state_after };
    _cleanup_statement_ sqlite3_stmt *st = NULL;

    if (sqlite_begin(s, s->core, err) < 0)
        return -1;
    st = statement_of(s->core, "INSERT INTO event (at_ms, uid, kind, name, what, state_before, state_after)"
                               " VALUES (?,?,?,?,?,?,?)", err);
    if (!st)
        return -1;
    bind_int(st, 1, e->at_ms);
    for (int i = 0; i < 6; i++)
        bind_text(st, i + 2, texts[i]);
    return database_finish(s->core, st, "saving an event", err);
}

static int event_scan(struct arena *a, struct store *store, int64_t after_sequence, int limit, struct event **ret,
                      int *ret_count, struct err *err)
{
    struct database *d = sqlite_of(store)->core;
    _cleanup_statement_ sqlite3_stmt *st =
        statement_of(d, "SELECT sequence, at_ms, uid, kind, name, what, state_before, state_after FROM event"
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
        return database_failed(d, "reading events", err);
    *ret = events;
    *ret_count = count;
    return 0;
}

static int event_trim(struct store *store, int64_t through_sequence, struct err *err)
{
    struct sqlite *s = sqlite_of(store);
    _cleanup_statement_ sqlite3_stmt *st = NULL;

    if (sqlite_begin(s, s->core, err) < 0)
        return -1;
    st = statement_of(s->core, "DELETE FROM event WHERE sequence <= ?", err);
    if (!st)
        return -1;
    bind_int(st, 1, through_sequence);
    return database_finish(s->core, st, "trimming events", err);
}

const struct event_class sqlite_events = { .add = event_add, .scan = event_scan, .trim = event_trim };
