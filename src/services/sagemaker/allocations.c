/* allocations.c - the program's side: what a turn asked for is settled when the turn is on disk, then the scheduler
 * decides, and who is concerned is touched.
 *
 * The scheduler's clock is the boot clock, set to wall time at the start: a wall clock that jumps makes nobody's notice
 * or patience end. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "engine/engine.h"
#include "services/platform.h"
#include "services/sagemaker/allocation_impl.h"
#include "services/sagemaker/instance_gpus.h"
#include "services/sagemaker/kinds.h"
#include "services/sagemaker/processing.h"
#include "services/sagemaker/training.h"

enum { LOOK_AGAIN_MS = 1000 };

struct allocations *allocations_of(struct engine *e)
{
    return ((struct platform *)engine_context(e))->allocations;
}

int64_t allocations_now_ms(const struct allocations *all)
{
    return clock_boot_ms(all->clock) + all->boot_to_wall_ms;
}

int64_t allocations_wall_ms(const struct allocations *all, int64_t at_ms)
{
    return at_ms == INT64_MAX ? INT64_MAX : clock_wall_ms(all->clock) + at_ms - allocations_now_ms(all);
}

const struct scheduler *allocations_scheduler(const struct allocations *all)
{
    return all->scheduler;
}

int64_t allocations_instances(const struct allocations *all)
{
    struct node_view node;
    int64_t instances = 0;

    for (int64_t i = 0; scheduler_node(all->scheduler, i, &node); i++)
        instances += node.instances;
    return instances;
}

struct allocations *allocations_new(const struct fleet *fleet, struct clock *clock)
{
    struct allocations *all = calloc(1, sizeof *all);

    assert(all && "out of memory");
    all->fleet = fleet;
    all->clock = clock;
    all->boot_to_wall_ms = clock_wall_ms(clock) - clock_boot_ms(clock);
    all->scheduler = scheduler_new(fleet, allocations_now_ms(all));
    all->stands = map_new();
    all->market = calendar_new();
    all->market_due_ms = all->gpus_due_ms = INT64_MAX;
    list_init(&all->unsettled);
    return all;
}

void allocations_free(struct allocations *all)
{
    struct str key;
    void *stand;

    if (!all)
        return;
    calendar_free(all->market);
    for (size_t at = 0; map_next(all->stands, &at, &key, &stand);)
        free(stand);
    map_free(all->stands);
    scheduler_free(all->scheduler);
    free(all);
}

/* --- Stands --- */

struct stand *stand_find(const struct allocations *all, const char *key)
{
    return map_get(all->stands, str_of(key));
}

struct stand *stand_make(struct allocations *all, const char *key, const char *row_uid, int64_t since_ms)
{
    struct stand *stand = stand_find(all, key);

    if (stand)
        return stand;
    stand = calloc(1, sizeof *stand);
    assert(stand && strlen(key) < sizeof stand->key && strlen(row_uid) < sizeof stand->row_uid);
    strcpy(stand->key, key);
    strcpy(stand->row_uid, row_uid);
    stand->since_ms = since_ms;
    list_init(&stand->unsettled);
    list_init(&stand->due.link);
    map_set(all->stands, str_of(key), stand);
    return stand;
}

void stand_unsettle(struct allocations *all, struct stand *stand)
{
    list_remove(&stand->unsettled);
    list_append(&all->unsettled, &stand->unsettled);
}

void stand_free(struct allocations *all, struct stand *stand)
{
    market_forget(all, stand);
    list_remove(&stand->unsettled);
    map_remove(all->stands, str_of(stand->key));
    free(stand);
}

/* --- A turn --- */

static int row_is_there(struct arena *a, struct store *store, const char *uid, bool *ret, struct err *err)
{
    struct row row;

    *ret = store_row_by_uid(a, store, uid, &row, err) == 0;
    return *ret || err->kind == ERR_NOT_FOUND ? 0 : -1;
}

/* What it holds is another's by now, or another work's. Where the scheduler has lost it meanwhile, what is on disk
 * counts. */
static void settle_kept(struct allocations *all, struct stand *stand, const struct allocation_record *record)
{
    _cleanup_arena_ struct arena *a = arena_new();
    int64_t now_ms = allocations_now_ms(all);
    struct err err;

    if (scheduler_hand_over(all->scheduler, stand->inherits, &record->work, now_ms))
        return;
    scheduler_release(all->scheduler, stand->inherits, now_ms);
    scheduler_release(all->scheduler, stand->key, now_ms);
    if (scheduler_restore(all->scheduler, &record->work, record->placed, record->count, now_ms, &err) < 0)
        log_warning("fleet.outside", "key=%s why=%s", stand->key, log_quote(a, err.text));
}

static void settle(struct engine *e, struct allocations *all, struct stand *stand)
{
    _cleanup_arena_ struct arena *a = arena_new();
    struct store *store = engine_world_of(e)->store;
    int64_t now_ms = allocations_now_ms(all);
    struct allocation_record record;
    bool saved = true, holds;
    struct err err;

    if ((stand->fresh && row_is_there(a, store, stand->row_uid, &saved, &err) < 0) ||
        allocation_record_get(a, store, stand->key, &holds, &record, &err) < 0) {
        log_error("fleet.unsettled", "key=%s error=%s", stand->key, log_quote(a, err.text));
        return; /* the next turn may tell */
    }
    if (stand->kept && holds) {
        settle_kept(all, stand, &record);
    } else if (!saved || (stand->given && !holds)) {
        scheduler_release(all->scheduler, stand->key, now_ms);
        stand_free(all, stand);
        return;
    } else if (stand->again && !holds) {
        market_forget(all, stand);
        scheduler_requeue(all->scheduler, stand->key, now_ms);
        stand->cause = NULL;
    } else if (stand->again) {
        scheduler_replace(all->scheduler, stand->key, record.placed, now_ms);
    } else if (stand->retagged && holds) {
        scheduler_retag(all->scheduler, &record.work, now_ms);
    }
    stand->fresh = stand->given = stand->again = stand->kept = stand->retagged = false;
    list_remove(&stand->unsettled);
}

void allocations_turn(struct engine *e)
{
    struct allocations *all = allocations_of(e);
    int64_t now_ms = allocations_now_ms(all);
    struct decision d;

    instance_gpus_settle(e, all->scheduler); /* what was cordoned */
    /* What goes from hand to hand first: else it would be free in between. */
    list_each(l, &all->unsettled) {
        struct stand *stand = list_entry(l, struct stand, unsettled);

        if (stand->kept)
            settle(e, all, stand);
    }
    list_each(l, &all->unsettled)
        settle(e, all, list_entry(l, struct stand, unsettled));
    all->gpus_due_ms = instance_gpus_settle(e, all->scheduler) ? now_ms + LOOK_AGAIN_MS : INT64_MAX;
    while (market_move(e, all, now_ms))
        ;
    /* Those whom it concerns look for themselves. */
    while (scheduler_decide(all->scheduler, now_ms, &d)) {
        const struct stand *stand = stand_find(all, d.uid);

        if (stand)
            engine_touch(e, stand->row_uid);
    }
}

int64_t allocations_due_ms(struct engine *e)
{
    struct allocations *all = allocations_of(e);
    int64_t due_ms = scheduler_next_ms(all->scheduler);

    if (!list_empty(&all->unsettled))
        return clock_wall_ms(all->clock);
    due_ms = market_due_ms(all) < due_ms ? market_due_ms(all) : due_ms;
    return allocations_wall_ms(all, all->gpus_due_ms < due_ms ? all->gpus_due_ms : due_ms);
}

/* --- The start --- */

enum { HALF_LIVES = 5 }; /* of usage: a thirtieth is left then */

/* Whoever used much before the restart has used much. */
static int recall_interval(void *context, const char *uid, const struct doc *interval, struct err *err)
{
    struct allocations *all = context;
    const struct doc *attributes = doc_get(interval, "attributes");
    int64_t from_ms = doc_int(interval, "from_ms", 0), to_ms = doc_int(interval, "to_ms", 0);

    if (to_ms <= clock_wall_ms(all->clock)) /* else the clock was wrong then, or is now */
        scheduler_recall_usage(all->scheduler, doc_text_or(attributes, "share", doc_text(attributes, "role_arn")),
                               doc_number(attributes, "usd_hour", 0), from_ms, to_ms);
    return 0;
}

/* A share is no reason not to start. */
static void recall_usage(struct engine *e, struct allocations *all)
{
    _cleanup_arena_ struct arena *a = arena_new();
    int64_t since_ms = engine_now_ms(e) - HALF_LIVES * all->fleet->share.half_life_ms;
    struct err err;

    if (usage_each_closed(e, since_ms, recall_interval, all, &err) < 0)
        log_error("fleet.usage", "error=%s", log_quote(a, err.text));
}

struct restoring {
    struct engine *engine;
    struct allocations *all;
};

static int restore_record(void *context, const struct allocation_record *r, struct err *err)
{
    struct restoring *x = context;
    _cleanup_arena_ struct arena *a = arena_new();
    struct store *store = engine_world_of(x->engine)->store;
    struct stand *stand;
    struct err why;
    bool there;

    if (row_is_there(a, store, r->row_uid, &there, err) < 0)
        return -1;
    if (!there) {
        log_warning("fleet.nobodys", "key=%s row=%s", r->work.uid, r->row_uid);
        return allocation_record_remove(store, r->work.uid, err);
    }
    stand = stand_make(x->all, r->work.uid, r->row_uid, r->work.submitted_ms);
    stand->again = allocation_moves(r);
    if (stand->again)
        stand_unsettle(x->all, stand);
    if (scheduler_restore(x->all->scheduler, &r->work, r->placed, r->count, r->since_ms, &why) < 0)
        log_warning("fleet.outside", "key=%s why=%s", r->work.uid, log_quote(a, why.text));
    else
        market_watch(x->all, stand, &r->work, r->since_ms, r->attempt);
    return 0;
}

/* Kinds whose rows wait in the line, and what they wish. */
static const struct {
    const struct kind *kind;
    struct wish (*wish)(const struct resource *);
} waiting_kinds[] = {
    { &training_job, training_wish },
    { &processing_job, processing_wish },
};

static int restore_waiting_row(struct restoring *x, const char *uid, struct wish (*wish)(const struct resource *),
                               struct err *err)
{
    _cleanup_arena_ struct arena *a = arena_new();
    struct stand *stand;
    struct resource r;
    struct work work;
    struct wish w;
    struct err why;

    if (resource_load(a, x->engine, uid, &r, err) < 0)
        return -1;
    w = wish(&r);
    if (stand_find(x->all, w.key))
        return 0;
    if (allocation_work(a, x->engine, &r.row, &w, &work, err) < 0)
        return -1;
    stand = stand_make(x->all, w.key, r.row.uid, r.row.created_ms);
    /* What can have no place any more says so when its row is looked at. */
    if (market_allows(x->all, stand, &work) && scheduler_submit(x->all->scheduler, &work, &why) < 0)
        log_warning("fleet.waits_in_vain", "key=%s why=%s", w.key, log_quote(a, why.text));
    return 0;
}

/* The oldest first. */
static int restore_waiting(struct restoring *x, size_t which, struct err *err)
{
    _cleanup_arena_ struct arena *a = arena_new();
    const char **uids;
    int count;

    if (store_row_uids(a, engine_world_of(x->engine)->store, waiting_kinds[which].kind->name, "InProgress", &uids,
                       &count, err) < 0)
        return -1;
    for (int i = 0; i < count; i++)
        if (restore_waiting_row(x, uids[i], waiting_kinds[which].wish, err) < 0)
            return -1;
    return 0;
}

int allocations_restore(struct engine *e, struct err *err)
{
    struct restoring x = { e, allocations_of(e) };

    recall_usage(e, x.all);
    if (allocation_record_each(engine_world_of(e)->store, restore_record, &x, err) < 0)
        return -1;
    for (size_t i = 0; i < sizeof waiting_kinds / sizeof *waiting_kinds; i++)
        if (restore_waiting(&x, i, err) < 0)
            return -1;
    return 0;
}
