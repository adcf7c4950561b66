/* backfill.c - the reservation of the first in the queue (EASY: Lifka, "The ANL/IBM SP scheduling system", 1995).
 *
 * Going through what runs by the time when it must have ended, the first moment is found when the job has room; the
 * nodes that it will use then are taken off the shelves. So the shelves hold what anybody may have for as long as they
 * like, and only the few reserved nodes need a second look: until that moment all of what is left on them can be
 * used, and what the job will not need, for longer. For a job on demand, spot work counts as gone. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "fleet/scheduler_impl.h"

enum { PLANS_MOST = 64 }; /* attempts to lay several groups out; then the end is called unknown */

struct plan {
    struct scheduler *s;
    struct reservation *r;
    struct demand *demand;
    enum side side;
    int64_t missing[GROUPS_MOST]; /* instances without room yet */
    struct node **touched; /* nodes where something ends */
    size_t count, capacity;
    int64_t at_ms, now_ms;
    int attempts;
};

void reservation_changed(struct reservation *r)
{
    for (int i = 0; i < r->slot_capacity; i++)
        r->brief[i] = r->lasting[i] = -1;
}

static void slots_reset(struct scheduler *s, struct reservation *r)
{
    if (r->slot_capacity < s->nodes->shape_count) {
        r->slot_capacity = s->nodes->shape_capacity;
        r->brief = realloc(r->brief, (size_t)r->slot_capacity * sizeof *r->brief);
        r->lasting = realloc(r->lasting, (size_t)r->slot_capacity * sizeof *r->lasting);
        assert(r->brief && r->lasting);
    }
    reservation_changed(r);
}

int64_t reservation_slots(struct scheduler *s, struct reservation *r, int shape, bool brief)
{
    int64_t *known;

    if (!r->job || r->count == 0)
        return 0;
    if (shape >= r->slot_capacity)
        slots_reset(s, r);
    known = brief ? &r->brief[shape] : &r->lasting[shape];
    if (*known >= 0)
        return *known;
    *known = 0;
    for (int64_t i = 0; i < r->count; i++) {
        const struct reserved *at = &r->nodes[i];
        int64_t slots = node_slots(s->nodes, at->node, &at->node->room[LEFT], shape);

        if (!brief && slots > 0) {
            int64_t beside = node_slots(s->nodes, at->node, &at->spare, shape);

            slots = beside < slots ? beside : slots;
        }
        *known += slots;
    }
    return *known;
}

void reservation_open(struct scheduler *s, struct reservation *r, bool open)
{
    for (int64_t i = 0; i < r->count; i++) {
        r->nodes[i].node->reserved = open ? NULL : &r->nodes[i];
        node_shelve(s->nodes, r->nodes[i].node);
    }
}

void reservation_drop(struct scheduler *s, struct domain *domain)
{
    struct reservation *r = &domain->reservation;

    reservation_open(s, r, true);
    r->count = 0;
    r->job = NULL;
    r->number = 0;
    r->at_ms = INT64_MAX;
}

static void touch(struct plan *p, struct node *node)
{
    if (node->stamp == p->s->nodes->stamp)
        return;
    node->stamp = p->s->nodes->stamp;
    node->then = node->room[p->side];
    if (p->count == p->capacity) {
        p->capacity = p->capacity ? 2 * p->capacity : 64;
        p->touched = realloc(p->touched, p->capacity * sizeof(struct node *));
        assert(p->touched);
    }
    p->touched[p->count++] = node;
}

/* One group fills a node at once; another may come to it again. */
static struct reserved *reserved_of(const struct plan *p, const struct node *node)
{
    for (int64_t i = 0; p->demand->group_count > 1 && i < p->r->count; i++)
        if (p->r->nodes[i].node == node)
            return &p->r->nodes[i];
    return NULL;
}

static void reserve(struct plan *p, struct node *node, int group, const struct capacity *needs, int64_t times)
{
    struct reservation *r = p->r;
    struct reserved *at = reserved_of(p, node);

    if (!at) {
        if (r->count == r->capacity) {
            r->capacity = r->capacity ? 2 * r->capacity : 16;
            r->nodes = realloc(r->nodes, (size_t)r->capacity * sizeof *r->nodes);
            assert(r->nodes);
        }
        at = &r->nodes[r->count++];
        *at = (struct reserved){ .node = node };
    }
    at->counts[group] += times;
    capacity_add(&at->held, needs, times);
    capacity_add(&node->then, needs, -times);
}

/* As many of the group as the node will take; what is left of 'count'. */
static int64_t reserve_on(struct plan *p, struct node *node, int group, int64_t count)
{
    int shape = p->demand->groups[group].shape;
    int64_t slots = node_slots(p->s->nodes, node, &node->then, shape);

    if (slots > count)
        slots = count;
    if (slots > 0)
        reserve(p, node, group, &p->s->nodes->shapes[shape].type.needs, slots);
    return count - slots;
}

/* Where something ends first, then the shelves. */
static bool lay_out_group(struct plan *p, int group)
{
    const struct demand_group *g = &p->demand->groups[group];
    const struct shelves *shelves = &p->s->nodes->shelves[p->side];
    int64_t left = g->count;
    size_t touched = p->count;

    for (size_t i = 0; i < touched && left > 0; i++)
        left = reserve_on(p, p->touched[i], group, left);
    for (size_t i = 0; i < shelves->count && left > 0; i++) {
        struct shelf *shelf = shelves->all[i];

        if (shelf->slots[g->shape] == 0)
            continue;
        for (struct list *l = shelf->nodes.next; l != &shelf->nodes && left > 0; l = l->next) {
            struct node *node = list_entry(l, struct node, on[p->side].link);

            if (node->stamp == p->s->nodes->stamp)
                continue;
            touch(p, node);
            left = reserve_on(p, node, group, left);
        }
    }
    return left == 0;
}

static bool lay_out(struct plan *p)
{
    bool whole = true;

    for (int g = 0; g < p->demand->group_count && whole; g++)
        whole = lay_out_group(p, p->demand->order[g]);
    if (whole)
        return true;
    /* Groups stood in each other's way: put back, and wait for more to end. */
    for (int64_t i = 0; i < p->r->count; i++)
        capacity_add(&p->r->nodes[i].node->then, &p->r->nodes[i].held, 1);
    p->r->count = 0;
    return false;
}

/* The room that comes back with one job; whether each group by itself has enough now. */
static bool take_end(struct plan *p, struct job *j)
{
    bool enough = true;

    for (int64_t i = 0; i < j->instances; i++) {
        struct grant *grant = &j->grants[i];
        const struct shape *shape = &p->s->nodes->shapes[grant->shape];
        struct node *node = grant->node;

        if (!node || node->state != NODE_IN_USE || (p->side == FIRM && shape->spot))
            continue;
        touch(p, node);
        for (int g = 0; g < p->demand->group_count; g++)
            p->missing[g] += node_slots(p->s->nodes, node, &node->then, p->demand->groups[g].shape);
        capacity_add(&node->then, &shape->type.needs, 1);
        for (int g = 0; g < p->demand->group_count; g++)
            p->missing[g] -= node_slots(p->s->nodes, node, &node->then, p->demand->groups[g].shape);
    }
    for (int g = 0; g < p->demand->group_count; g++)
        enough = enough && p->missing[g] <= 0;
    return enough;
}

enum { FOUND = 1, GAVE_UP };

static int visit(void *context, struct calendar_entry *e)
{
    struct plan *p = context;
    struct job *j = (struct job *)(void *)((char *)e - offsetof(struct job, end));

    if (!take_end(p, j))
        return 0;
    /* What is overdue is being stopped. */
    p->at_ms = e->at_ms > p->now_ms ? e->at_ms : p->now_ms + LOOK_AGAIN_MS;
    if (lay_out(p))
        return FOUND;
    return ++p->attempts < PLANS_MOST ? 0 : GAVE_UP;
}

/* What is held already is open to the new plan. */
static void open_reserved(struct plan *p, const struct reservation *old)
{
    for (int64_t i = 0; i < old->count; i++) {
        touch(p, old->nodes[i].node);
        for (int g = 0; g < p->demand->group_count; g++)
            p->missing[g] -=
                node_slots(p->s->nodes, old->nodes[i].node, &old->nodes[i].node->then, p->demand->groups[g].shape);
    }
}

static void adopt(struct scheduler *s, struct domain *domain, struct reservation *new)
{
    struct reservation *r = &domain->reservation;

    reservation_drop(s, domain);
    new->brief = r->brief;
    new->lasting = r->lasting;
    new->slot_capacity = r->slot_capacity;
    free(r->nodes);
    *r = *new;
    r->number = ++s->reservations;
    for (int64_t i = 0; i < r->count; i++)
        r->nodes[i].spare = r->nodes[i].node->then;
    reservation_open(s, r, false);
    slots_reset(s, r);
}

void reservation_make(struct scheduler *s, struct domain *domain, struct job *first, int64_t now_ms)
{
    struct reservation *r = &domain->reservation, new = { .job = first, .at_ms = INT64_MAX, .made_ms = now_ms };
    struct plan p = { .s = s, .r = &new, .demand = first->demand, .now_ms = now_ms,
                      .side = first->demand->spot ? LEFT : FIRM };
    bool kept = r->job == first && r->at_ms != INT64_MAX && r->at_ms > now_ms;

    domain->freed = false;
    s->nodes->stamp++;
    for (int g = 0; g < p.demand->group_count; g++)
        p.missing[g] = p.demand->groups[g].count - nodes_slots(s->nodes, p.side, p.demand->groups[g].shape);
    open_reserved(&p, r);
    if (calendar_walk(s->calendar, visit, &p) == FOUND)
        new.at_ms = p.at_ms;
    else
        new.count = 0;
    free(p.touched);
    /* Several groups are laid out greedily, and a new plan may come out worse: a promise is not taken back
     * while it can be kept. */
    if (kept && new.at_ms > r->at_ms) {
        r->made_ms = now_ms;
        free(new.nodes);
        return;
    }
    adopt(s, domain, &new);
}
