/* reconcile.c - rows are kept true.
 *
 * What must be looked at is on disk: each row has its next_at_ms, an API operation sets it to now. The list of touched
 * uids only makes it quicker, and a crash may forget it; after a restart every row that is on its way or waits is
 * looked at. A row whose pass fails comes again after a pause that doubles, by boot time; rows in trouble never keep
 * others waiting. */
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "engine/impl.h"
#include "store/store.h"

enum {
    PAUSE_MS = 1000,
    PAUSE_MAX_MS = 60 * 1000,
    EVENTS_KEPT = 20000,         /* for people who look; nobody in this process reads them later */
    HOUSEKEEPING_MS = 60 * 1000,
    EVENTS_A_TURN = 1000,
    WAITING_MAX = 1000000,
};

struct touch {
    struct list link;
    char uid[80]; /* a derived name may be longer than a uid */
};

struct trouble {
    int64_t retry_boot_ms, pause_ms;
    char text[256]; /* what was logged */
};

/* --- Touching --- */

static struct touch *touch_new(const char *uid)
{
    struct touch *t = calloc(1, sizeof *t);

    assert(t && "out of memory");
    snprintf(t->uid, sizeof t->uid, "%s", uid);
    return t;
}

void engine_touch(struct engine *e, const char *uid)
{
    struct touch *t;

    if (!*uid || strlen(uid) >= sizeof t->uid || map_get(e->touches, str_of(uid)))
        return;
    t = touch_new(uid);
    list_append(&e->touched, &t->link);
    map_set(e->touches, str_of(uid), t);
}

/* The oldest touched one; its place in the list is free for the next touch from now on. */
static bool next_touched(struct engine *e, char ret_uid[static 80])
{
    struct touch *t;

    if (list_empty(&e->touched))
        return false;
    t = list_entry(e->touched.next, struct touch, link);
    memcpy(ret_uid, t->uid, sizeof t->uid);
    map_remove(e->touches, str_of(t->uid));
    list_remove(&t->link);
    free(t);
    return true;
}

/* --- After a start --- */

/* A state that only Deleting can follow waits for the API alone, and the API sets the row's time. */
static bool is_on_its_way(const char *const state[2])
{
    return *state[1] && strcmp(state[1], "Deleting") != 0;
}

static int touch_rows(struct engine *e, const struct kind *k, const char *state, struct err *err)
{
    _cleanup_arena_ struct arena *a = arena_new();
    const char **uids;
    int count;

    if (store_row_uids(a, e->world.store, k->name, state, &uids, &count, err) < 0)
        return -1;
    for (int i = 0; i < count; i++)
        engine_touch(e, uids[i]);
    return 0;
}

static int touch_what_was_on_its_way(struct engine *e, struct err *err)
{
    for (const struct kind *const *k = e->world.kinds; *k; k++) {
        if (!(*k)->reconcile)
            continue;
        if (!(*k)->states && touch_rows(e, *k, NULL, err) < 0)
            return -1;
        for (const char *const(*s)[2] = (*k)->states; s && (*s)[0]; s++)
            if (is_on_its_way(*s) && touch_rows(e, *k, (*s)[0], err) < 0)
                return -1;
    }
    return 0;
}

/* Times of rows are the wall's, which may have gone back: all that wait for one look again, and set it anew. */
static int touch_what_waits(struct engine *e, struct err *err)
{
    _cleanup_arena_ struct arena *a = arena_new();
    const char **uids;
    int count;

    if (store_row_due(a, e->world.store, INT64_MAX - 1, WAITING_MAX, &uids, &count, err) < 0)
        return -1;
    for (int i = 0; i < count; i++)
        engine_touch(e, uids[i]);
    return 0;
}

int reconcile_begin(struct engine *e, struct err *err)
{
    return touch_what_was_on_its_way(e, err) < 0 || touch_what_waits(e, err) < 0 ? -1 : 0;
}

/* --- Trouble --- */

/* Logged when it begins and when it changes, not each time. */
static void trouble(struct engine *e, const char *uid, const struct err *err)
{
    struct trouble *t = map_get(e->troubles, str_of(uid));

    if (!t) {
        t = calloc(1, sizeof *t);
        assert(t && "out of memory");
        map_set(e->troubles, str_of(uid), t);
    }
    t->pause_ms = !t->pause_ms ? PAUSE_MS : t->pause_ms * 2 < PAUSE_MAX_MS ? t->pause_ms * 2 : PAUSE_MAX_MS;
    t->retry_boot_ms = clock_boot_ms(e->world.clock) + t->pause_ms;
    if (strncmp(t->text, err->text, sizeof t->text - 1) != 0) {
        _cleanup_arena_ struct arena *a = arena_new();

        snprintf(t->text, sizeof t->text, "%.*s", (int)sizeof t->text - 1, err->text);
        log_warning("resource.trouble", "uid=%s retry_ms=%" PRId64 " error=%s", uid, t->pause_ms,
                    log_quote(a, err->text));
    }
}

static void no_trouble(struct engine *e, const char *uid)
{
    struct trouble *t = map_remove(e->troubles, str_of(uid));

    if (t)
        log_info("resource.recovered", "uid=%s", uid);
    free(t);
}

static bool is_in_trouble(struct engine *e, const char *uid)
{
    return map_get(e->troubles, str_of(uid)) != NULL;
}

/* --- A pass --- */

static int save_pass(struct engine *e, struct arena *a, struct resource *r, const struct row *before, int64_t now_ms,
                     int64_t next_ms, struct err *err)
{
    bool changed, later;

    if (r->kind->state_member)
        doc_set_string(a, r->status, r->kind->state_member, r->row.state);
    if (next_ms < now_ms)
        next_ms = now_ms;
    changed = !doc_equal(r->status, before->status);
    later = next_ms != r->row.next_at_ms || r->row.observed_generation != r->row.generation;
    if (!changed && !later)
        return 0;
    if (changed)
        r->row.modified_ms = now_ms;
    r->row.status = r->status;
    r->row.next_at_ms = next_ms;
    r->row.observed_generation = r->row.generation;
    if (store_row_observe(e->world.store, &r->row, err) < 0)
        return -1;
    return changed ? resource_changed(e, a, before, &r->row, err) : 0;
}

static int look(struct engine *e, struct arena *a, const char *uid, struct err *err)
{
    struct pass pass = { e, a, e->world.runtime, engine_now_ms(e) };
    int64_t next_ms = INT64_MAX;
    struct resource r;
    struct row before;
    bool goes = false;

    if (resource_load(a, e, uid, &r, err) < 0)
        return err->kind == ERR_NOT_FOUND ? 0 : -1;
    if (!r.kind->reconcile)
        return 0;
    before = r.row;
    if (r.kind->reconcile(&pass, &r, &next_ms, &goes, err) < 0)
        return -1;
    if (goes)
        return resource_remove(e, &r.row, err);
    if (save_pass(e, a, &r, &before, pass.now_ms, next_ms, err) < 0)
        return -1;
    if (strcmp(before.state, r.row.state) != 0)
        engine_touch(e, r.row.parent_uid);
    return 0;
}

/* One row's pass, with all that it writes, or nothing of it. */
static void visit(struct engine *e, const char *uid)
{
    _cleanup_arena_ struct arena *a = arena_new();
    struct touch *t = touch_new(uid);
    struct err err;

    list_append(&e->visited, &t->link);
    if (store_begin(e->world.store, &err) < 0) {
        trouble(e, uid, &err);
        return;
    }
    if (look(e, a, uid, &err) < 0) {
        store_drop(e->world.store);
        trouble(e, uid, &err);
    } else if (store_keep(e->world.store, &err) < 0) {
        trouble(e, uid, &err);
    } else {
        no_trouble(e, uid);
    }
}

/* --- Which rows --- */

/* What may be visited in this call, beside what was touched. */
struct queue {
    const char **uids;
    int count, at;
};

static int collect(struct arena *a, struct engine *e, int64_t now_ms, int limit, struct queue *ret, struct err *err)
{
    int64_t boot_ms = clock_boot_ms(e->world.clock);
    int troubles = (int)map_count(e->troubles), due, kept = 0;
    const char **uids, **rows;
    struct str uid;
    void *t;

    /* Rows in trouble stay due: look past them. */
    if (store_row_due(a, e->world.store, now_ms, limit + troubles, &rows, &due, err) < 0)
        return -1;
    uids = arena_array_of(a, const char *, (size_t)(due + troubles));
    for (size_t at = 0; map_next(e->troubles, &at, &uid, &t);)
        if (((struct trouble *)t)->retry_boot_ms <= boot_ms)
            uids[kept++] = str_dup(a, uid);
    for (int i = 0; i < due; i++)
        if (!is_in_trouble(e, rows[i]))
            uids[kept++] = rows[i];
    *ret = (struct queue){ uids, kept, 0 };
    return 0;
}

/* Touched and due rows in turns, so that neither many pokes nor many timers keep the other waiting; each row at most
 * once, and what is touched meanwhile waits for the next call. */
static int visit_some(struct engine *e, struct queue *q, int limit)
{
    struct map *seen = map_new();
    size_t touched = map_count(e->touches);
    int count = 0;

    while (count < limit && (touched > 0 || q->at < q->count)) {
        char uid[80];

        if (touched > 0 && next_touched(e, uid)) {
            touched--;
            if (!map_set(seen, str_of(uid), e)) {
                visit(e, uid);
                count++;
            }
        }
        if (count < limit && q->at < q->count) {
            const char *due = q->uids[q->at++];

            if (!map_set(seen, str_of(due), e)) {
                visit(e, due);
                count++;
            }
        }
    }
    map_free(seen);
    return count;
}

/* When the next call has something to do. */
static int64_t next_visit(struct arena *a, struct engine *e, int64_t now_ms)
{
    int64_t boot_ms = clock_boot_ms(e->world.clock), next_ms = store_row_next_due(e->world.store);
    int64_t orphans_ms = orphans_due_ms(e, now_ms);
    struct err err;
    struct queue q;
    struct str uid;
    void *t;

    if (!list_empty(&e->touched))
        return now_ms;
    if (next_ms <= now_ms) {
        if (collect(a, e, now_ms, 1, &q, &err) == 0 && q.count > 0)
            return now_ms;
        next_ms = now_ms + PAUSE_MS; /* those in trouble hide when the next of the others is due */
    }
    for (size_t at = 0; map_next(e->troubles, &at, &uid, &t);) {
        int64_t retry_ms = now_ms + ((struct trouble *)t)->retry_boot_ms - boot_ms;

        next_ms = retry_ms < next_ms ? retry_ms : next_ms;
    }
    next_ms = orphans_ms < next_ms ? orphans_ms : next_ms;
    return next_ms < now_ms ? now_ms : next_ms;
}

static void trim_events(struct engine *e)
{
    _cleanup_arena_ struct arena *a = arena_new();
    struct event *events;
    struct err err;
    int64_t from;
    int count;

    e->housekeeping_boot_ms = clock_boot_ms(e->world.clock);
    if (store_event_scan(a, e->world.store, 0, 1, &events, &count, &err) < 0 || count == 0)
        return;
    from = events[0].sequence - 1 + EVENTS_KEPT;
    if (store_event_scan(a, e->world.store, from, EVENTS_A_TURN, &events, &count, &err) < 0 || count == 0)
        return;
    if (store_event_trim(e->world.store, events[count - 1].sequence - EVENTS_KEPT, &err) < 0)
        log_warning("engine.events", "error=%s", log_quote(a, err.text));
}

int engine_reconcile(struct engine *e, int limit, int64_t *ret_next_ms)
{
    _cleanup_arena_ struct arena *a = arena_new();
    int64_t now_ms = engine_now_ms(e);
    struct err err;
    struct queue q;
    int count;

    assert(limit > 0);
    if (eras_look(e) && touch_what_waits(e, &err) < 0)
        log_error("engine.clock", "error=%s", log_quote(a, err.text));
    orphans_end(e);
    /* Most turns only answer questions: nothing was written since the last look, and nothing is due. */
    if (e->settled && list_empty(&e->touched) && !store_dirty(e->world.store) && now_ms < e->next_ms) {
        *ret_next_ms = e->next_ms;
        return 0;
    }
    if (clock_boot_ms(e->world.clock) - e->housekeeping_boot_ms >= HOUSEKEEPING_MS)
        trim_events(e);
    if (collect(a, e, now_ms, limit, &q, &err) < 0) {
        log_error("engine.due", "error=%s", log_quote(a, err.text));
        *ret_next_ms = now_ms + PAUSE_MS;
        return 0;
    }
    count = visit_some(e, &q, limit);
    *ret_next_ms = e->next_ms = next_visit(a, e, now_ms);
    e->settled = count == 0 && map_count(e->troubles) == 0 && !store_dirty(e->world.store);
    return count;
}

/* What was visited was not saved, and the poke that asked for it is used up: look again, in a while. */
void reconcile_committed(struct engine *e, const struct err *failed)
{
    list_each(node, &e->visited) {
        struct touch *t = list_entry(node, struct touch, link);

        if (failed)
            trouble(e, t->uid, failed);
        free(t);
    }
    list_init(&e->visited);
}

/* --- Beginning and end --- */

void reconcile_new(struct engine *e)
{
    e->touches = map_new();
    e->troubles = map_new();
    list_init(&e->touched);
    list_init(&e->visited);
    e->housekeeping_boot_ms = clock_boot_ms(e->world.clock);
}

static void free_list(struct list *l)
{
    list_each(node, l)
        free(list_entry(node, struct touch, link));
    list_init(l);
}

void reconcile_free(struct engine *e)
{
    struct str uid;
    void *trouble;

    for (size_t at = 0; map_next(e->troubles, &at, &uid, &trouble);)
        free(trouble);
    map_free(e->troubles);
    map_free(e->touches);
    free_list(&e->touched);
    free_list(&e->visited);
}
