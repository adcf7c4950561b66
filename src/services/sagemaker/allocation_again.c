/* allocation_again.c - from one attempt of a job to the next: its instances keep their places, but for who failed.
 *
 * The record stays, and says of the attempt before. What is given up is marked in it ('left') before it is free: so no
 * place is ever in two records, and a restarted control plane knows what is kept, and for whom it has to find another
 * place. That is done in the turn (allocations.c), before the scheduler decides for those who wait; the next attempt
 * begins when the record says of it. Where there is no other place everything is given back: a job that held the rest
 * until somebody else's end might wait for one who does the same. */
#include "engine/engine.h"
#include "services/sagemaker/allocation_impl.h"
#include "services/sagemaker/crew.h"
#include "services/sagemaker/health_events.h"

static struct store *store_of(struct pass *p)
{
    return engine_world_of(p->engine)->store;
}

bool allocation_moves(const struct allocation_record *r)
{
    for (int64_t i = 0; i < r->count; i++)
        if (r->placed[i].left)
            return true;
    return false;
}

/* Those that are to get other places are marked. */
static void mark(struct arena *a, const struct allocations *all, const bool *moves, struct allocation_record *r)
{
    const char *key = r->work.uid;
    const struct placed *now = scheduler_placed(all->scheduler, a, key, &r->count);

    r->placed = arena_array_of(a, struct placed, (size_t)r->count);
    for (int64_t i = 0; i < r->count; i++) {
        r->placed[i] = now[i];
        r->placed[i].left = (moves && moves[i]) || !scheduler_stands_well(all->scheduler, key, i);
    }
}

static int put_marked(struct pass *p, struct allocations *all, struct stand *stand, const struct allocation_record *r,
                      struct err *err)
{
    stand->again = true;
    stand_unsettle(all, stand);
    return allocation_record_put(p->arena, store_of(p), r, err);
}

int allocation_requeue(struct pass *p, const char *key, struct err *err)
{
    struct allocations *all = allocations_of(p->engine);
    struct stand *stand = stand_find(all, key);

    if (allocation_drop(p, key, err) < 0)
        return -1;
    if (stand) {
        stand->again = true;
        stand_unsettle(all, stand);
    }
    return 0;
}

int allocation_again(struct pass *p, const char *key, const bool *moves, struct err *err)
{
    struct allocations *all = allocations_of(p->engine);
    struct stand *stand = stand_find(all, key);
    struct allocation_record record;
    int64_t ignored;
    bool there;

    if (allocation_record_get(p->arena, store_of(p), key, &there, &record, err) < 0)
        return -1;
    if (!there || !stand || scheduler_state(all->scheduler, key, &ignored) != WORK_RUNNING)
        return allocation_requeue(p, key, err);
    mark(p->arena, all, moves, &record);
    return allocation_moves(&record) ? put_marked(p, all, stand, &record, err) : 0;
}

/* Of each that had to move: where it failed, and where it begins anew. */
static int tell_moves(struct pass *p, const struct row *row, const struct placed *before, const struct allocation *now,
                      struct err *err)
{
    for (int i = 0; i < now->count; i++) {
        struct doc *d = doc_map(p->arena);

        if (!before[i].left)
            continue;
        doc_set_string(p->arena, d, "host", crew_host(p->arena, i));
        doc_set_string(p->arena, d, "from", before[i].node);
        doc_set_string(p->arena, d, "to", now->placed[i].node);
        if (health_tell(p->arena, p->engine, "Instance Replaced", row, d, err) < 0)
            return -1;
    }
    return 0;
}

int allocation_take_again(struct pass *p, struct allocations *all, struct stand *stand, const struct row *row,
                          const struct wish *w, struct allocation_record *record, struct allocation *ret,
                          struct err *err)
{
    const struct placed *before = record->placed;
    struct work work;
    int64_t ignored;

    *ret = (struct allocation){ .state = ALLOCATION_WAITS, .words = "Waiting for instances", .look_at_ms = p->now_ms };
    if (stand->again) /* a turn is needed to find them */
        return 0;
    if (allocation_work(p->arena, p->engine, row, w, &work, err) < 0)
        return -1;
    if (scheduler_state(all->scheduler, w->key, &ignored) != WORK_RUNNING || !market_allows(all, stand, &work))
        return allocation_requeue(p, w->key, err);
    mark(p->arena, all, NULL, record);
    if (allocation_moves(record)) /* a node of it was cordoned meanwhile */
        return put_marked(p, all, stand, record, err);
    ret->state = ALLOCATION_NEW;
    if (allocation_note(p, all, stand, row, w, &work, ret, err) < 0)
        return -1;
    return tell_moves(p, row, before, ret, err);
}
