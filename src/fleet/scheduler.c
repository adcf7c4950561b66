/* scheduler.c - from what happens to decisions. The order is queue.c's, the room node.c's, the reservation
 * backfill.c's.
 *
 * A look at a domain (pools that share demands) does one thing and returns: it starts the first of the queue, or has
 * spot work leave for it, or reserves for it, or lets somebody go before it. A domain is looked at only when something
 * happened to it; when all that happened is that somebody came, only at what came. */
#include "fleet/scheduler.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "fleet/scheduler_impl.h"

void decide_later(struct scheduler *s, const struct decision *d)
{
    struct pending *p = calloc(1, sizeof *p);

    assert(p && "memory");
    p->decision = *d;
    list_append(&s->pending, &p->link);
}

void domain_stir(struct scheduler *s, const struct node *node)
{
    struct domain *d = &s->domains[domain_of(s, s->nodes->kinds[node->kind].pool)];

    d->stirred = d->freed = true;
}

static void stir_all(struct scheduler *s)
{
    for (int i = 0; i < s->fleet->pool_count; i++)
        s->domains[domain_of(s, i)].stirred = true;
}

struct scheduler *scheduler_new(const struct fleet *fleet, int64_t now_ms)
{
    struct scheduler *s = calloc(1, sizeof *s);

    assert(s);
    s->fleet = fleet;
    s->nodes = nodes_new(fleet);
    s->share = share_new(fleet, now_ms);
    s->quotas = quotas_new(fleet);
    s->queue = queue_new();
    s->calendar = calendar_new();
    s->jobs = map_new();
    s->words = map_new();
    s->arena = arena_new();
    list_init(&s->pending);
    list_init(&s->promised);
    for (int i = 0; i < POOLS_MOST; i++) {
        s->parent[i] = i;
        s->domains[i].reservation.at_ms = INT64_MAX;
    }
    return s;
}

void scheduler_free(struct scheduler *s)
{
    struct str key;
    void *at;

    if (!s)
        return;
    queue_free(s->queue);
    for (size_t i = 0; map_next(s->jobs, &i, &key, &at);) {
        free(((struct job *)at)->grants);
        free(at);
    }
    list_each(l, &s->pending)
        free(list_entry(l, struct pending, link));
    for (int i = 0; i < POOLS_MOST; i++) {
        free(s->domains[i].reservation.nodes);
        free(s->domains[i].reservation.brief);
        free(s->domains[i].reservation.lasting);
    }
    calendar_free(s->calendar);
    quotas_free(s->quotas);
    share_free(s->share);
    nodes_free(s->nodes);
    map_free(s->jobs);
    map_free(s->words);
    arena_free(s->arena);
    free(s);
}

/* From now on it costs, and an end is known. */
void job_run(struct scheduler *s, struct job *j, int64_t now_ms)
{
    j->state = JOB_RUNNING;
    j->started_ms = now_ms;
    calendar_remove(s->calendar, &j->end);
    if (j->runtime_ms)
        calendar_add(s->calendar, &j->end, now_ms + j->runtime_ms, j->sequence);
    share_start(s->share, j->owner, j->usd_hour, now_ms);
    s->running++;
    s->spot_running += j->demand->spot;
}

static void start(struct scheduler *s, struct job *j, int64_t now_ms)
{
    struct decision d = { .kind = DECISION_START };

    job_run(s, j, now_ms);
    memcpy(d.uid, j->uid, sizeof d.uid);
    decide_later(s, &d);
}

/* What it is said to hold is what its types need, on nodes that are there. */
static int check_placed(const struct scheduler *s, const struct job *j, const struct placed *placed, int64_t count,
                        struct err *err)
{
    int64_t at = 0;

    if (count != j->instances)
        return fail(err, ERR_INVALID, "%s holds %lld instances, and asked for %lld", j->uid, (long long)count,
                    (long long)j->instances);
    for (int g = 0; g < j->demand->group_count; g++)
        for (int64_t i = 0; i < j->demand->groups[g].count; i++, at++) {
            const struct capacity *needs = &s->nodes->shapes[j->demand->groups[g].shape].type.needs;
            const struct node *node = nodes_find(s->nodes, placed[at].node);

            if (placed[at].left)
                continue;
            if (!node)
                return fail(err, ERR_NOT_FOUND, "%s runs on the node %s, which the fleet file no longer has", j->uid,
                            placed[at].node);
            if (__builtin_popcountll(placed[at].gpus) != needs->gpus ||
                64 - (placed[at].gpus ? __builtin_clzll(placed[at].gpus) : 64) > s->nodes->kinds[node->kind].has.gpus)
                return fail(err, ERR_INVALID, "%s holds other GPUs of %s than the fleet file now says", j->uid,
                            node->name);
        }
    return 0;
}

int scheduler_restore(struct scheduler *s, const struct work *w, const struct placed *placed, int64_t count,
                      int64_t started_ms, struct err *err)
{
    struct job *j;
    bool whole = true;

    assert(!map_get(s->jobs, str_of(w->uid)));
    if (job_new(s, w, &j, err) < 0)
        return -1;
    if (check_placed(s, j, placed, count, err) < 0) {
        job_free(s, j);
        return -1;
    }
    for (int g = 0; g < w->group_count; g++)
        quota_restore(s->quotas, w->account, w->kind, w->groups[g].type, w->spot, w->groups[g].count);
    map_set(s->jobs, str_of(j->uid), j);
    grants_new(s, j);
    for (int64_t i = 0; i < count; i++) {
        struct node *node = nodes_find(s->nodes, placed[i].node);

        whole = whole && !placed[i].left;
        if (placed[i].left)
            continue;
        /* A spare that is in use is none. */
        if (node->state == NODE_SPARE) {
            node->state = NODE_IN_USE;
            node_shelve(s->nodes, node);
        }
        grant_take(s, &j->grants[i], node);
        j->grants[i].gpus = placed[i].gpus;
        count_gpus(s, node);
    }
    job_run(s, j, started_ms);
    if (!whole)
        j->state = JOB_LOST;
    return 0;
}

static struct job *first_of(struct scheduler *s, int domain)
{
    struct job *first = NULL;

    for (size_t i = 0; i < s->queue->count; i++) {
        struct demand *d = s->queue->active[i];
        struct job *j;

        if (domain_of_demand(s, d) != domain)
            continue;
        j = demand_first(d);
        if (!first || lane_before(j->lane, first->lane))
            first = j;
    }
    return first;
}

/* Room for all groups of a demand, counted one by one. */
static bool has_room(struct scheduler *s, struct domain *domain, const struct demand *d, bool brief)
{
    for (int g = 0; g < d->group_count; g++) {
        int shape = d->groups[g].shape;
        int64_t slots = nodes_slots(s->nodes, LEFT, shape);

        if (slots < d->groups[g].count &&
            slots + reservation_slots(s, &domain->reservation, shape, brief) < d->groups[g].count)
            return false;
    }
    return true;
}

/* The same once spot work has gone. 'reserved': with the nodes that are held for it. */
static bool has_firm_room(struct scheduler *s, const struct domain *domain, const struct demand *d, bool reserved)
{
    const struct reservation *r = &domain->reservation;

    /* Without a fleet file nobody makes way. */
    if (d->spot || s->spot_running == 0 || s->fleet->slots)
        return false;
    for (int g = 0; g < d->group_count; g++) {
        int shape = d->groups[g].shape;
        int64_t slots = nodes_slots(s->nodes, FIRM, shape);

        for (int64_t i = 0; reserved && i < r->count && slots < d->groups[g].count; i++)
            slots += node_slots(s->nodes, r->nodes[i].node, &r->nodes[i].node->room[FIRM], shape);
        if (slots < d->groups[g].count)
            return false;
    }
    return true;
}

void start_promised(struct scheduler *s, int64_t now_ms)
{
    list_each(l, &s->promised) {
        struct job *j = list_entry(l, struct job, link);

        if (!promise_due(j))
            continue;
        list_remove(l);
        place_gpus(s, j);
        start(s, j, now_ms);
    }
}

/* Its nodes are its own, but spot work has to leave them first. */
static void promise(struct scheduler *s, struct job *j, int64_t now_ms)
{
    place_clear(s, j, now_ms);
    queue_remove(s->queue, j);
    j->state = JOB_PROMISED;
    j->deadline_ms = now_ms + s->fleet->spot.notice_ms;
    if (j->runtime_ms)
        calendar_add(s->calendar, &j->end, j->deadline_ms + j->runtime_ms, j->sequence);
    list_append(&s->promised, &j->link);
    start_promised(s, now_ms); /* all who must go may be gone already */
}

/* With the nodes that are held for it: as they fit best now, else, where groups stand in each other's way, as it was
 * planned. */
static bool start_first(struct scheduler *s, struct domain *domain, struct job *first, int64_t now_ms)
{
    struct reservation *r = &domain->reservation;
    bool now = has_room(s, domain, first->demand, true), firm = has_firm_room(s, domain, first->demand, true);

    if (!now && !firm)
        return false;
    reservation_open(s, r, true);
    now = now && (place_now(s, first) || place_planned(s, first, r, LEFT));
    firm = !now && firm && (place_promised(s, first) || place_planned(s, first, r, FIRM));
    if (!now && !firm) {
        reservation_open(s, r, false);
        return false;
    }
    reservation_drop(s, domain);
    if (firm) {
        promise(s, first, now_ms);
        return true;
    }
    queue_remove(s->queue, first);
    start(s, first, now_ms);
    return true;
}

enum way { NO_WAY, LASTING, BRIEF, PROMISE };

/* How a job may go before the first one without making it later. */
static enum way way_past(struct scheduler *s, struct domain *domain, struct demand *d, int64_t now_ms)
{
    const struct reservation *r = &domain->reservation;
    struct job *j;

    if (has_room(s, domain, d, false))
        return LASTING;
    if (r->count > 0 && has_room(s, domain, d, true)) {
        j = demand_first(d);
        if (j->runtime_ms && now_ms + j->runtime_ms <= r->at_ms)
            return BRIEF;
    }
    return has_firm_room(s, domain, d, false) ? PROMISE : NO_WAY;
}

static bool go_past(struct scheduler *s, struct domain *domain, struct job *j, enum way way, int64_t now_ms)
{
    if (way == PROMISE) {
        if (!place_promised(s, j))
            return false;
        promise(s, j, now_ms);
        return true;
    }
    if (!place_beside(s, j, domain, way == BRIEF))
        return false;
    queue_remove(s->queue, j);
    start(s, j, now_ms);
    return true;
}

static bool backfill(struct scheduler *s, int at, struct job *first, int64_t now_ms)
{
    struct domain *domain = &s->domains[at];

    s->looks++;
    first->demand->skipped = s->looks; /* the others of it want the same */
    for (int64_t tries = 0; tries < s->fleet->queue.depth; tries++) {
        struct job *best = NULL;
        enum way best_way = NO_WAY;

        for (size_t i = 0; i < s->queue->count; i++) {
            struct demand *d = s->queue->active[i];
            struct job *j;
            enum way way;

            if (d->skipped == s->looks || !(domain->stirred || d->fresh) || domain_of_demand(s, d) != at)
                continue;
            way = way_past(s, domain, d, now_ms);
            if (way == NO_WAY) {
                d->skipped = s->looks;
                continue;
            }
            j = demand_first(d);
            if (!best || lane_before(j->lane, best->lane)) {
                best = j;
                best_way = way;
            }
        }
        if (!best)
            return false;
        if (go_past(s, domain, best, best_way, now_ms))
            return true;
        best->demand->skipped = s->looks;
    }
    return false;
}

/* One step for one domain; false: nothing more to do. */
static bool look(struct scheduler *s, int at, int64_t now_ms)
{
    struct domain *domain = &s->domains[at];
    struct reservation *r = &domain->reservation;
    struct job *first = first_of(s, at);
    bool old;

    if (!first) {
        reservation_drop(s, domain);
        return false;
    }
    if (r->job && r->job != first) {
        reservation_drop(s, domain);
        domain->stirred = true;
    }
    /* What did not fit before does not fit because others came. */
    if ((domain->stirred || !r->job) && start_first(s, domain, first, now_ms)) {
        domain->stirred = true;
        return true;
    }
    old = domain->freed || r->at_ms == INT64_MAX || now_ms > r->at_ms;
    if (!r->job || (old && now_ms - r->made_ms >= LOOK_AGAIN_MS)) {
        reservation_make(s, domain, first, now_ms);
        domain->stirred = true;
    }
    return backfill(s, at, first, now_ms);
}

static void settle(struct scheduler *s, int at)
{
    s->domains[at].stirred = s->domains[at].fresh = false;
    for (size_t i = 0; i < s->queue->count; i++)
        if (domain_of_demand(s, s->queue->active[i]) == at)
            s->queue->active[i]->fresh = false;
}

static bool step(struct scheduler *s, int64_t now_ms)
{
    for (int i = 0; i < s->fleet->pool_count; i++) {
        struct domain *d = &s->domains[i];

        if (s->parent[i] != i || !(d->stirred || d->fresh))
            continue;
        if (look(s, i, now_ms))
            return true;
        settle(s, i);
    }
    return false;
}

static void tick(struct scheduler *s, int64_t now_ms)
{
    double scale;

    if (share_tick(s->share, now_ms, &scale)) {
        if (scale != 1)
            queue_rescale(s->queue, scale);
        if (s->queue->waiting > 0)
            stir_all(s);
    }
    if (s->fleet->queue.patience_ms > 0 && queue_lose_patience(s->queue, now_ms - s->fleet->queue.patience_ms))
        stir_all(s);
}

bool scheduler_decide(struct scheduler *s, int64_t now_ms, struct decision *ret)
{
    struct pending *p;

    tick(s, now_ms);
    while (list_empty(&s->pending))
        if (!step(s, now_ms))
            return false;
    p = list_entry(s->pending.next, struct pending, link);
    *ret = p->decision;
    list_remove(&p->link);
    free(p);
    return true;
}

int64_t scheduler_next_ms(const struct scheduler *s)
{
    int64_t next = share_next_ms(s->share);

    if (s->queue->waiting == 0)
        return INT64_MAX;
    if (!list_empty(&s->queue->arrivals)) {
        int64_t patience = list_entry(s->queue->arrivals.next, struct job, arrival)->submitted_ms +
                           s->fleet->queue.patience_ms;

        next = patience < next ? patience : next;
    }
    return next;
}

static void leave_queue(struct scheduler *s, struct job *j)
{
    struct domain *domain = domain_of_job(s, j);

    if (domain->reservation.job == j)
        reservation_drop(s, domain);
    queue_remove(s->queue, j);
    domain->stirred = true;
}

/* It holds nothing any more, and is in no list. */
static void let_go(struct scheduler *s, struct job *j, int64_t now_ms)
{
    if (j->state == JOB_WAITING) {
        leave_queue(s, j);
        return;
    }
    if (j->state == JOB_PROMISED) {
        list_remove(&j->link);
    } else {
        share_stop(s->share, j->owner, j->usd_hour, now_ms);
        s->running--;
        s->spot_running -= j->demand->spot;
    }
    place_free(s, j);
    calendar_remove(s->calendar, &j->end);
    start_promised(s, now_ms);
}

static void forget_decisions(struct scheduler *s, const char *uid)
{
    list_each(l, &s->pending) {
        struct pending *p = list_entry(l, struct pending, link);

        if (strcmp(p->decision.uid, uid) == 0) {
            list_remove(l);
            free(p);
        }
    }
}

static void give_quotas(struct scheduler *s, const struct job *j)
{
    for (int g = 0; g < j->demand->group_count; g++)
        quota_give(s->quotas, j->account, j->work, s->nodes->shapes[j->demand->groups[g].shape].type.name,
                   j->demand->spot, j->demand->groups[g].count);
}

static void forget(struct scheduler *s, struct job *j)
{
    give_quotas(s, j);
    forget_decisions(s, j->uid);
    map_remove(s->jobs, str_of(j->uid));
    job_free(s, j);
}

void job_withdraw(struct scheduler *s, struct job *j)
{
    assert(j->state == JOB_WAITING);
    leave_queue(s, j);
    forget(s, j);
}

void scheduler_release(struct scheduler *s, const char *uid, int64_t now_ms)
{
    struct job *j = map_get(s->jobs, str_of(uid));

    if (!j)
        return;
    let_go(s, j, now_ms);
    forget(s, j);
}

static bool wants_the_same(const struct demand *a, const struct demand *b)
{
    bool same = a->group_count == b->group_count;

    for (int g = 0; same && g < a->group_count; g++)
        same = a->groups[g].shape == b->groups[g].shape && a->groups[g].count == b->groups[g].count;
    return same;
}

bool scheduler_hand_over(struct scheduler *s, const char *uid, const struct work *to, int64_t now_ms)
{
    struct job *from = map_get(s->jobs, str_of(uid)), *j;
    struct err err;

    if (!from || from->state != JOB_RUNNING || job_new(s, to, &j, &err) < 0)
        return false;
    if (!wants_the_same(from->demand, j->demand)) {
        job_free(s, j);
        return false;
    }
    if (strcmp(uid, to->uid) != 0)
        scheduler_release(s, to->uid, now_ms); /* its place in the queue */
    j->grants = from->grants;
    from->grants = NULL;
    for (int64_t i = 0; i < j->instances; i++)
        j->grants[i].job = j;
    share_stop(s->share, from->owner, from->usd_hour, now_ms);
    s->running--;
    s->spot_running -= from->demand->spot;
    calendar_remove(s->calendar, &from->end);
    forget(s, from);
    for (int g = 0; g < to->group_count; g++)
        quota_restore(s->quotas, to->account, to->kind, to->groups[g].type, to->spot, to->groups[g].count);
    map_set(s->jobs, str_of(j->uid), j);
    job_run(s, j, now_ms);
    if (!j->runtime_ms) { /* who counted on the end of the other has to plan anew */
        reservation_drop(s, domain_of_job(s, j));
        domain_of_job(s, j)->stirred = true;
    }
    return true;
}

void scheduler_retag(struct scheduler *s, const struct work *to, int64_t now_ms)
{
    struct job *j = map_get(s->jobs, str_of(to->uid));
    struct owner *owner = share_owner(s->share, to->owner);

    if (!j || j->state == JOB_WAITING || j->state == JOB_PROMISED)
        return;
    if (owner != j->owner) {
        share_stop(s->share, j->owner, j->usd_hour, now_ms);
        share_start(s->share, owner, j->usd_hour, now_ms);
        j->owner = owner;
        stir_all(s); /* somebody else may be first now */
    }
    j->priority = to->priority + owner->priority;
}

void job_requeue(struct scheduler *s, struct job *j, int64_t now_ms)
{
    if (j->state == JOB_WAITING)
        return;
    let_go(s, j, now_ms);
    j->state = JOB_WAITING;
    queue_add(s->queue, j);
    domain_of_job(s, j)->fresh = true;
}

void scheduler_requeue(struct scheduler *s, const char *uid, int64_t now_ms)
{
    struct job *j = map_get(s->jobs, str_of(uid));

    if (j)
        job_requeue(s, j, now_ms);
}

void scheduler_recall_usage(struct scheduler *s, const char *owner, double usd_hour, int64_t from_ms, int64_t to_ms)
{
    share_recall(s->share, share_owner(s->share, owner), usd_hour, from_ms, to_ms);
}

const char *scheduler_owner(const struct scheduler *s, const char *uid)
{
    const struct job *j = map_get(s->jobs, str_of(uid));

    return j ? j->owner->name : NULL;
}

void scheduler_interrupt(struct scheduler *s, const char *uid, int64_t now_ms)
{
    struct job *j = map_get(s->jobs, str_of(uid));

    if (j && j->state == JOB_RUNNING && j->demand->spot)
        tell_to_go(s, j, now_ms);
}

const struct placed *scheduler_placed(const struct scheduler *s, struct arena *a, const char *uid, int64_t *ret_count)
{
    const struct job *j = map_get(s->jobs, str_of(uid));
    struct placed *all;

    *ret_count = 0;
    if (!j || j->state == JOB_WAITING || j->state == JOB_PROMISED)
        return NULL;
    all = arena_array_of(a, struct placed, (size_t)j->instances);
    for (int64_t i = 0; i < j->instances; i++) {
        const struct grant *g = &j->grants[i];

        all[i] = (struct placed){ g->node ? g->node->name : "", s->nodes->shapes[g->shape].type.name, g->gpus };
    }
    *ret_count = j->instances;
    return all;
}

enum work_state scheduler_state(const struct scheduler *s, const char *uid, int64_t *ret_deadline_ms)
{
    static const enum work_state states[] = {
        [JOB_WAITING] = WORK_WAITING, [JOB_PROMISED] = WORK_WAITING, [JOB_RUNNING] = WORK_RUNNING,
        [JOB_LEAVING] = WORK_LEAVING, [JOB_LOST] = WORK_LOST,
    };
    const struct job *j = map_get(s->jobs, str_of(uid));

    *ret_deadline_ms = j ? j->deadline_ms : 0;
    return j ? states[j->state] : WORK_NONE;
}
