/* allocation.c - what kinds of resources ask of the fleet.
 *
 * The scheduler knows who wants and who holds what; the record, which is saved with the row, is what counts. Nothing
 * here changes what the scheduler gives out: that is done once a turn, when it is on disk (allocations.c). */
#include "services/sagemaker/allocation.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

#include "base/log.h"
#include "engine/engine.h"
#include "engine/own_tags.h"
#include "engine/tags.h"
#include "services/sagemaker/allocation_impl.h"
#include "services/sagemaker/waiting_words.h"

enum {
    LOOK_LATER_MS = 15000,
    URGENT = 10000,
    REQUEST_MOST = 1000, /* instances: each is told of all others. A cluster's queue would take any number */
};

static const char too_dear[] = "Waiting: the spot price is above what is paid at most";

static struct store *store_of(struct engine *e)
{
    return engine_world_of(e)->store;
}

/* --- Wishes --- */

static const char *tag_of(const struct doc *tags, const char *key)
{
    for (size_t i = 0; i < doc_count(tags, ""); i++)
        if (doc_is(tags->items[i], "Key", key))
            return doc_text(tags->items[i], "Value");
    return "";
}

/* Of "zone=b row=a" the scheduler's "row=a,zone=b", sorted. */
static const char *labels_of(struct arena *a, const char *text)
{
    const char *labels[OWN_LABELS_MOST], *joined = "";
    struct str rest = str_trim(str_of(text));
    int count = 0;

    while (rest.size && count < OWN_LABELS_MOST) {
        const char *label;
        struct str one;
        int at = count++;

        if (!str_cut(rest, ' ', &one, &rest)) {
            one = rest;
            rest.size = 0;
        }
        rest = str_trim(rest);
        label = str_dup(a, one);
        for (; at > 0 && strcmp(labels[at - 1], label) > 0; at--)
            labels[at] = labels[at - 1];
        labels[at] = label;
    }
    for (int i = 0; i < count; i++)
        joined = arena_printf(a, "%s%s%s", joined, i ? "," : "", labels[i]);
    return joined;
}

static struct work work_of(struct arena *a, const struct row *row, const struct wish *w, const struct doc *tags)
{
    const char *owner = tag_of(tags, OWN_TAG_OWNER);
    struct work work = {
        .uid = w->key, .account = row->account, .owner = *owner ? owner : w->role_arn, .kind = w->usage,
        .group_count = w->group_count, .spot = w->spot, .submitted_ms = row->created_ms,
        .max_runtime_ms = w->max_runtime_ms, .labels = labels_of(a, tag_of(tags, OWN_TAG_LABELS)),
    };

    memcpy(work.groups, w->groups, sizeof work.groups);
    if (!str_to_int64(str_of(tag_of(tags, OWN_TAG_PRIORITY)), &work.priority))
        work.priority = 0;
    if (w->urgent)
        work.priority += URGENT;
    return work;
}

int allocation_work(struct arena *a, struct engine *e, const struct row *row, const struct wish *w, struct work *ret,
                    struct err *err)
{
    struct doc *tags;

    if (tags_of(a, e, row->uid, &tags, err) < 0)
        return -1;
    *ret = work_of(a, row, w, tags);
    ret->admitted = true;
    return 0;
}

static int64_t instances_of(const struct wish *w)
{
    int64_t count = 0;

    for (int g = 0; g < w->group_count; g++)
        count += w->groups[g].count;
    return count;
}

/* What the scheduler refuses is the user's fault, and in words for him. */
static int refuse(struct err *err)
{
    struct err why = *err;

    if (why.kind != ERR_INVALID || *why.code)
        return -1;
    return fail_code(err, ERR_INVALID, "ValidationException", "%s", why.text);
}

/* Without a fleet file the machine is the quota. */
static int check_machine(const struct fleet *f, const struct wish *w, struct err *err)
{
    int64_t slots = f->slots < REQUEST_MOST ? f->slots : REQUEST_MOST, count = instances_of(w);
    int has = (int)(f->slots ? f->nodes[0].has.gpus : 0), left;

    if (!f->slots)
        return 0;
    if (count > slots)
        return fail_code(err, ERR_LIMIT, "ResourceLimitExceeded",
                         "The account-level service limit '%s for %s usage' is %" PRId64 " Instances, with current "
                         "utilization of 0 Instances and a request delta of %" PRId64 " Instances. %s",
                         w->groups[0].type, w->usage, slots, count,
                         slots < REQUEST_MOST ? "This machine runs no more at a time."
                                              : "One request gets no more here.");
    left = has;
    for (int g = 0; has && g < w->group_count; g++) {
        int wants = (int)fleet_type_gpus(f, w->groups[g].type);

        if (wants && w->groups[g].count > left / wants)
            return fail_code(err, ERR_LIMIT, "ResourceLimitExceeded",
                             "The account-level service limit '%s for %s usage' is %d Instances, with current "
                             "utilization of 0 Instances and a request delta of %" PRId64 " Instances. An instance has "
                             "%d GPUs, and this machine has %d: use fewer instances, or a type with fewer.",
                             w->groups[g].type, w->usage, left / wants, w->groups[g].count, wants, has);
        left -= wants * (int)w->groups[g].count; /* all of them run at a time */
    }
    return 0;
}

int allocation_admit(struct call *c, const struct resource *r, const struct wish *w, struct err *err)
{
    struct allocations *all = allocations_of(c->engine);
    const struct doc *tags = doc_get(c->input, "Tags");
    struct stand *stand;
    struct work work;

    if (check_machine(all->fleet, w, err) < 0 || own_tags_check(tags, err) < 0)
        return -1;
    work = work_of(c->arena, &r->row, w, tags);
    work.submitted_ms = c->now_ms;
    if (scheduler_submit(all->scheduler, &work, err) < 0)
        return refuse(err);
    stand = stand_make(all, w->key, r->row.uid, work.submitted_ms);
    stand->fresh = true;
    stand_unsettle(all, stand);
    if (!market_allows(all, stand, &work))
        scheduler_release(all->scheduler, w->key, allocations_now_ms(all));
    return 0;
}

int allocation_check(struct call *c, const struct resource *r, const struct wish *wishes, int count, struct err *err)
{
    struct allocations *all = allocations_of(c->engine);
    const struct doc *tags = doc_get(c->input, "Tags");
    int done = 0, result = own_tags_check(tags, err);

    for (; result == 0 && done < count; done++) {
        struct work work = work_of(c->arena, &r->row, &wishes[done], tags);

        result = check_machine(all->fleet, &wishes[done], err) < 0 || scheduler_submit(all->scheduler, &work, err) < 0
                     ? refuse(err) : 0;
    }
    while (done-- > 0)
        scheduler_release(all->scheduler, wishes[done].key, allocations_now_ms(all));
    return result;
}

/* --- Where it is --- */

/* A copy, by instance, in words of the scheduler: it may be another one than the record's. */
static void fill_placed(struct arena *a, const struct allocations *all, const char *key, struct allocation *ret)
{
    int64_t count;

    ret->placed = scheduler_placed(all->scheduler, a, key, &count);
    ret->count = (int)count;
}

static const char *why_it_leaves(struct arena *a, const struct allocations *all, const struct stand *stand)
{
    if (stand->cause && strcmp(stand->cause, "chance") == 0)
        return "by the fleet's model of spot interruptions";
    if (stand->cause && strcmp(stand->cause, "asked") == 0)
        return "by a drill or an experiment";
    if (stand->cause)
        return "the spot price rose above what is paid at most";
    return arena_printf(a, "work on demand needs its place%s", all->fleet->slots ? " on this machine" : "");
}

/* Of one that has a record. */
static void fill_held(struct pass *p, struct allocations *all, const struct stand *stand,
                      const struct allocation_record *record, struct allocation *ret)
{
    int64_t deadline_ms;
    enum work_state state = scheduler_state(all->scheduler, record->work.uid, &deadline_ms);

    *ret = (struct allocation){ .state = ALLOCATION_OUTSIDE, .words = "", .placed = record->placed,
                                .count = (int)record->count };
    if (state == WORK_RUNNING)
        ret->state = ALLOCATION_HELD;
    if (state != WORK_LEAVING)
        return;
    ret->state = ALLOCATION_LEAVING;
    ret->cause = stand->cause ? stand->cause : "capacity";
    ret->words = why_it_leaves(p->arena, all, stand);
    ret->deadline_ms = allocations_wall_ms(all, deadline_ms);
}

/* --- Asking --- */

static int put_record(struct pass *p, const struct row *row, const struct wish *w, const struct work *work,
                      const struct placed *placed, int64_t count, struct err *err)
{
    const struct allocation_record record = {
        .row_uid = row->uid, .work = *work, .placed = (struct placed *)placed, .count = count, .since_ms = p->now_ms,
        .attempt = w->attempt,
    };

    return allocation_record_put(p->arena, store_of(p->engine), &record, err);
}

int allocation_note(struct pass *p, struct allocations *all, struct stand *stand, const struct row *row,
                    const struct wish *w, const struct work *work, struct allocation *ret, struct err *err)
{
    fill_placed(p->arena, all, w->key, ret);
    if (put_record(p, row, w, work, ret->placed, ret->count, err) < 0)
        return -1;
    stand->retagged = true; /* its tags may have changed since it was put into the queue */
    stand_unsettle(all, stand);
    market_watch(all, stand, work, allocations_now_ms(all), w->attempt);
    return 0;
}

static void wait(struct pass *p, struct allocations *all, struct stand *stand, const struct work *work,
                 struct allocation *ret)
{
    const char *words;
    struct err err;

    ret->state = ALLOCATION_WAITS;
    /* The more wait, the rarer. */
    ret->look_at_ms = p->now_ms + LOOK_LATER_MS * (1 + scheduler_waiting_count(all->scheduler) / 100);
    if (!market_allows(all, stand, work)) {
        scheduler_release(all->scheduler, work->uid, allocations_now_ms(all));
        ret->words = too_dear;
    } else if (scheduler_submit(all->scheduler, work, &err) < 0) {
        ret->words = arena_printf(p->arena, "Waiting, and as things are for ever: %s", err.text);
    } else {
        words = waiting_words(p->arena, p->engine, work->uid);
        ret->words = *words ? words : "Waiting for instances";
    }
}

int allocation_take(struct pass *p, const struct resource *r, const struct wish *w, struct allocation *ret,
                    struct err *err)
{
    struct allocations *all = allocations_of(p->engine);
    struct stand *stand = stand_make(all, w->key, r->row.uid, r->row.created_ms);
    struct allocation_record record;
    enum work_state state;
    struct work work;
    int64_t ignored;
    bool there;

    *ret = (struct allocation){ .state = ALLOCATION_NEW, .words = "" };
    if (allocation_record_get(p->arena, store_of(p->engine), w->key, &there, &record, err) < 0)
        return -1;
    if (there && record.attempt != w->attempt)
        return allocation_take_again(p, all, stand, &r->row, w, &record, ret, err);
    if (there) {
        fill_held(p, all, stand, &record, ret);
        return 0;
    }
    if (allocation_work(p->arena, p->engine, &r->row, w, &work, err) < 0)
        return -1;
    state = scheduler_state(all->scheduler, w->key, &ignored);
    /* The scheduler knows of no prices: it may have started again at once what had to leave because of one. */
    if (state == WORK_RUNNING && market_allows(all, stand, &work))
        return allocation_note(p, all, stand, &r->row, w, &work, ret, err);
    if (state == WORK_LEAVING) /* between the decision and this pass */
        scheduler_requeue(all->scheduler, w->key, allocations_now_ms(all));
    if (state != WORK_WAITING)
        stand_unsettle(all, stand); /* it stands in the line from now on: a turn is needed to decide */
    wait(p, all, stand, &work, ret);
    return 0;
}

/* Something runs that nobody wrote down: it was started before there were records. */
static int adopt(struct pass *p, struct allocations *all, struct stand *stand, const struct row *row,
                 const struct wish *w, struct allocation *ret, struct err *err)
{
    int64_t count = instances_of(w), ignored;
    struct placed *placed = arena_array_of(p->arena, struct placed, (size_t)count);
    enum work_state state = scheduler_state(all->scheduler, w->key, &ignored);
    struct work work;
    struct err unable;

    if (allocation_work(p->arena, p->engine, row, w, &work, err) < 0)
        return -1;
    if (state != WORK_RUNNING && all->fleet->slots) {
        scheduler_release(all->scheduler, w->key, allocations_now_ms(all));
        for (int64_t i = 0; i < count; i++)
            placed[i].node = all->fleet->nodes[0].name;
        if (scheduler_restore(all->scheduler, &work, placed, count, allocations_now_ms(all), &unable) == 0)
            state = WORK_RUNNING;
    }
    if (state != WORK_RUNNING) {
        *ret = (struct allocation){ .state = ALLOCATION_OUTSIDE, .words = "" };
        return 0;
    }
    ret->state = ALLOCATION_HELD;
    return allocation_note(p, all, stand, row, w, &work, ret, err);
}

/* Its tags may have changed since it was written down. What it stands on was chosen by its labels, which count again
 * when it waits. */
static int follow_tags(struct pass *p, struct allocations *all, struct stand *stand, const struct row *row,
                       const struct wish *w, struct allocation_record *record, struct err *err)
{
    struct work work;

    if (allocation_work(p->arena, p->engine, row, w, &work, err) < 0)
        return -1;
    if (strcmp(work.owner, record->work.owner) == 0 && work.priority == record->work.priority)
        return 0;
    record->work.owner = work.owner;
    record->work.priority = work.priority;
    if (allocation_record_put(p->arena, store_of(p->engine), record, err) < 0)
        return -1;
    stand->retagged = true;
    stand_unsettle(all, stand);
    return 0;
}

int allocation_look(struct pass *p, const struct resource *r, const struct wish *w, struct allocation *ret,
                    struct err *err)
{
    struct allocations *all = allocations_of(p->engine);
    struct stand *stand = stand_make(all, w->key, r->row.uid, r->row.created_ms);
    struct allocation_record record;
    bool there;

    *ret = (struct allocation){ .words = "" };
    if (allocation_record_get(p->arena, store_of(p->engine), w->key, &there, &record, err) < 0)
        return -1;
    if (!there)
        return adopt(p, all, stand, &r->row, w, ret, err);
    if (follow_tags(p, all, stand, &r->row, w, &record, err) < 0)
        return -1;
    fill_held(p, all, stand, &record, ret);
    return 0;
}

/* --- Giving --- */

/* Nothing is written where there is nothing: an endpoint that ends gives again and again. */
int allocation_drop(struct pass *p, const char *key, struct err *err)
{
    struct allocation_record record;
    bool there;

    if (allocation_record_get(p->arena, store_of(p->engine), key, &there, &record, err) < 0)
        return -1;
    return there ? allocation_record_remove(store_of(p->engine), key, err) : 0;
}

int allocation_give(struct pass *p, const char *key, struct err *err)
{
    struct allocations *all = allocations_of(p->engine);
    struct stand *stand = stand_find(all, key);

    if (allocation_drop(p, key, err) < 0)
        return -1;
    if (stand) {
        stand->given = true;
        stand_unsettle(all, stand);
    }
    return 0;
}

void allocation_leave(struct pass *p, const char *key)
{
    struct allocations *all = allocations_of(p->engine);
    struct stand *stand = stand_find(all, key);
    int64_t ignored;

    if (!stand || scheduler_state(all->scheduler, key, &ignored) != WORK_RUNNING)
        return;
    stand->cause = "asked";
    scheduler_interrupt(all->scheduler, key, allocations_now_ms(all));
    stand_unsettle(all, stand); /* a turn is needed: somebody may wait */
}

const char *allocation_waits(struct arena *a, struct engine *e, const char *key)
{
    const struct stand *stand = stand_find(allocations_of(e), key);

    return stand && market_forbids(stand) ? too_dear : waiting_words(a, e, key);
}

int allocation_nodes(struct arena *a, struct engine *e, const char *key, const struct placed **ret, int *ret_count,
                     struct err *err)
{
    struct allocation_record record = { .count = 0 };
    bool there;

    if (allocation_record_get(a, store_of(e), key, &there, &record, err) < 0)
        return -1;
    *ret = record.placed;
    *ret_count = (int)record.count;
    return 0;
}

/* --- From hand to hand --- */

static bool wants_the_same(const struct work *a, const struct work *b)
{
    bool same = a->group_count == b->group_count && a->spot == b->spot;

    for (int g = 0; same && g < a->group_count; g++)
        same = a->groups[g].count == b->groups[g].count && strcmp(a->groups[g].type, b->groups[g].type) == 0;
    return same;
}

/* The record of 'from' becomes the wish's. */
static int rewrite(struct pass *p, const struct resource *r, const struct wish *w, const char *from, bool *ret,
                   struct err *err)
{
    struct allocations *all = allocations_of(p->engine);
    struct stand *stand = stand_make(all, w->key, r->row.uid, r->row.created_ms);
    struct allocation_record record;
    struct work work;

    assert(strlen(from) < sizeof stand->inherits);
    if (allocation_record_get(p->arena, store_of(p->engine), from, ret, &record, err) < 0)
        return -1;
    if (!*ret)
        return 0;
    if (allocation_work(p->arena, p->engine, &r->row, w, &work, err) < 0)
        return -1;
    *ret = wants_the_same(&work, &record.work);
    if (!*ret)
        return 0;
    if (allocation_record_remove(store_of(p->engine), from, err) < 0 ||
        put_record(p, &r->row, w, &work, record.placed, record.count, err) < 0)
        return -1;
    stand->kept = true;
    strcpy(stand->inherits, from);
    stand_unsettle(all, stand);
    return 0;
}

int allocation_inherit(struct pass *p, const struct resource *r, const struct wish *w, const char *other_key, bool *ret,
                       struct err *err)
{
    return rewrite(p, r, w, other_key, ret, err);
}

int allocation_keep(struct pass *p, const struct resource *r, const struct wish *w, struct err *err)
{
    bool ignored;

    return rewrite(p, r, w, w->key, &ignored, err);
}

/* --- Nodes --- */

int allocation_change_node(struct engine *e, const char *node, enum node_change change, const char *why,
                           struct err *err)
{
    static bool (*const changes[])(struct scheduler *, const char *node, int64_t now_ms) = {
        [NODE_CORDON] = scheduler_cordon, [NODE_RETURN] = scheduler_return,
    };
    _cleanup_arena_ struct arena *a = arena_new();
    static const char *const names[] = { [NODE_CORDON] = "cordoned", [NODE_RETURN] = "returned" };
    struct allocations *all = allocations_of(e);

    if (!changes[change](all->scheduler, node, allocations_now_ms(all)))
        return fail(err, ERR_NOT_FOUND, "there is no node %s; `sagebrush nodes` lists them", node);
    log_warning("fleet.node", "node=%s is=%s why=%s", node, names[change], log_quote(a, why));
    return 0;
}

int allocation_recall_node(struct engine *e, const char *node, enum node_change state, double strikes,
                           int64_t struck_ms, struct err *err)
{
    struct allocations *all = allocations_of(e);

    if (!scheduler_recall(all->scheduler, node, state, strikes, struck_ms, allocations_now_ms(all)))
        return fail(err, ERR_NOT_FOUND, "the fleet has no node %s any more", node);
    return 0;
}
