/* place.c - all instances of a job on nodes, or none. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "fleet/scheduler_impl.h"

enum { NODES_COMPARED = 16 };

static struct shape *shape_of(struct scheduler *s, const struct grant *g)
{
    return &s->nodes->shapes[g->shape];
}

void grants_new(struct scheduler *s, struct job *j)
{
    int64_t at = 0;

    j->grants = calloc((size_t)j->instances, sizeof *j->grants);
    assert(j->grants && "memory");
    for (int g = 0; g < j->demand->group_count; g++)
        for (int64_t i = 0; i < j->demand->groups[g].count; i++, at++) {
            j->grants[at] = (struct grant){ .job = j, .shape = j->demand->groups[g].shape };
            list_init(&j->grants[at].on_node);
        }
}

void grant_take(struct scheduler *s, struct grant *g, struct node *node)
{
    g->node = node;
    node_take(s->nodes, node, g->shape);
    list_append(&node->grants, &g->on_node);
}

void count_gpus(struct scheduler *s, struct node *node)
{
    uint64_t held[SIDES] = { 0 };

    list_each(l, &node->grants) {
        const struct grant *g = list_entry(l, struct grant, on_node);

        held[LEFT] |= g->gpus;
        held[FIRM] |= s->nodes->shapes[g->shape].spot ? 0 : g->gpus;
    }
    node->gpus_taken = held[LEFT];
    for (int side = 0; side < SIDES; side++)
        node_idle_gpus(s->nodes, node, side, __builtin_popcountll(node->gpus_out & ~held[side]));
}

void grant_give(struct scheduler *s, struct grant *g)
{
    struct node *node = g->node;
    bool had_gpus = g->gpus;

    if (!node)
        return;
    g->node = NULL;
    g->gpus = 0;
    list_remove(&g->on_node);
    node_give(s->nodes, node, g->shape);
    if (had_gpus)
        count_gpus(s, node);
}

void place_gpus(struct scheduler *s, struct job *j)
{
    for (int64_t i = 0; i < j->instances; i++) {
        struct grant *g = &j->grants[i];

        if (g->gpus || !g->node)
            continue;
        g->gpus = node_gpus(s->nodes, g->node, shape_of(s, g)->type.needs.gpus);
        if (g->gpus)
            count_gpus(s, g->node);
    }
}

static void give_back(struct scheduler *s, struct job *j)
{
    for (int64_t i = 0; i < j->instances; i++)
        grant_give(s, &j->grants[i]);
    free(j->grants);
    j->grants = NULL;
}

/* When the spot work began on a node that has run for the longest time: what an interruption there would throw away. */
static int64_t oldest_spot(const struct scheduler *s, const struct node *node)
{
    int64_t oldest_ms = INT64_MAX;

    for (const struct list *l = node->grants.next; l != &node->grants; l = l->next) {
        const struct grant *g = list_entry(l, struct grant, on_node);

        if (s->nodes->shapes[g->shape].spot && g->job->state == JOB_RUNNING && g->job->started_ms < oldest_ms)
            oldest_ms = g->job->started_ms;
    }
    return oldest_ms;
}

/* Of nodes that are alike any will do; where spot work has to leave, the youngest of the first few. */
static struct node *choose(const struct scheduler *s, const struct shelf *shelf, enum side side)
{
    struct node *best = list_entry(shelf->nodes.next, struct node, on[side].link);
    int64_t best_ms = side == FIRM ? oldest_spot(s, best) : INT64_MAX;
    const struct list *l = shelf->nodes.next->next;

    for (int i = 1; side == FIRM && i < NODES_COMPARED && l != &shelf->nodes; i++, l = l->next) {
        struct node *node = list_entry(l, struct node, on[side].link);
        int64_t oldest_ms = oldest_spot(s, node);

        if (oldest_ms > best_ms) {
            best = node;
            best_ms = oldest_ms;
        }
    }
    return best;
}

/* Grants of one shape, from 'at' on, on the nodes of the shelves that fit best. How many could be placed. */
static int64_t place_group(struct scheduler *s, enum side side, struct grant *grants, int64_t count)
{
    int64_t done = 0;

    while (done < count) {
        int shape = grants[done].shape;
        struct shelf *shelf = nodes_best(s->nodes, side, shape);
        int64_t nodes, a_node;

        if (!shelf)
            break;
        /* All its nodes are alike: the best stays the best until it is empty. The shelf goes with its last node. */
        nodes = shelf->count;
        a_node = shelf->slots[shape];
        while (nodes-- > 0 && done < count) {
            struct node *node = choose(s, shelf, side);

            for (int64_t i = 0; i < a_node && done < count; i++)
                grant_take(s, &grants[done++], node);
        }
    }
    return done;
}

/* The k-th group to be placed: its grants, and how many. */
static struct grant *group_of(const struct job *j, int k, int64_t *ret_count)
{
    struct grant *grants = j->grants;
    int group = j->demand->order[k];

    for (int g = 0; g < group; g++)
        grants += j->demand->groups[g].count;
    *ret_count = j->demand->groups[group].count;
    return grants;
}

bool place_now(struct scheduler *s, struct job *j)
{
    for (int g = 0; g < j->demand->group_count; g++)
        if (nodes_slots(s->nodes, LEFT, j->demand->groups[g].shape) < j->demand->groups[g].count)
            return false;
    grants_new(s, j);
    for (int k = 0; k < j->demand->group_count; k++) {
        int64_t count;
        struct grant *grants = group_of(j, k, &count);

        if (place_group(s, LEFT, grants, count) < count) {
            give_back(s, j);
            return false;
        }
    }
    place_gpus(s, j);
    return true;
}

/* On reserved nodes: a brief job may have whatever is left until the reservation begins, another only what is left
 * beside it. */
static int64_t place_on_reserved(struct scheduler *s, struct reservation *r, struct grant *grants, int64_t count,
                                 bool brief)
{
    int64_t done = 0;

    for (int64_t i = 0; i < r->count && done < count; i++) {
        struct reserved *at = &r->nodes[i];
        const struct shape *shape = shape_of(s, grants);
        int64_t slots = node_slots(s->nodes, at->node, &at->node->room[LEFT], grants->shape);
        int64_t beside = brief ? slots : node_slots(s->nodes, at->node, &at->spare, grants->shape);

        for (int64_t k = 0; k < slots && k < beside && done < count; k++) {
            if (!brief) {
                capacity_add(&at->spare, &shape->type.needs, -1);
                grants[done].beside = r->number;
            }
            grant_take(s, &grants[done++], at->node);
        }
    }
    return done;
}

bool place_beside(struct scheduler *s, struct job *j, struct domain *domain, bool brief)
{
    struct reservation *r = &domain->reservation;
    bool whole = true;

    grants_new(s, j);
    for (int k = 0; k < j->demand->group_count && whole; k++) {
        int64_t count;
        struct grant *grants = group_of(j, k, &count);
        int64_t done = place_group(s, LEFT, grants, count);

        if (done < count)
            done += place_on_reserved(s, r, grants + done, count - done, brief);
        whole = done == count;
    }
    if (whole) {
        place_gpus(s, j);
    } else {
        for (int64_t i = 0; i < j->instances; i++)
            if (j->grants[i].beside == r->number && j->grants[i].node)
                capacity_add(&j->grants[i].node->reserved->spare, &shape_of(s, &j->grants[i])->type.needs, 1);
        give_back(s, j);
    }
    reservation_changed(r);
    return whole;
}

void tell_to_go(struct scheduler *s, struct job *victim, int64_t now_ms)
{
    struct decision d = { .kind = DECISION_INTERRUPT };

    victim->state = JOB_LEAVING;
    victim->deadline_ms = now_ms + s->fleet->spot.notice_ms;
    calendar_remove(s->calendar, &victim->end);
    calendar_add(s->calendar, &victim->end, victim->deadline_ms, victim->sequence);
    d.deadline_ms = victim->deadline_ms;
    memcpy(d.uid, victim->uid, sizeof d.uid);
    decide_later(s, &d);
}

/* The spot job on the node that has run for the shortest time, and so has the least to lose. */
static struct job *next_victim(const struct scheduler *s, const struct node *node)
{
    struct job *best = NULL;

    list_each(l, &node->grants) {
        struct grant *g = list_entry(l, struct grant, on_node);

        if (s->nodes->shapes[g->shape].spot && g->job->state == JOB_RUNNING &&
            (!best || g->job->started_ms > best->started_ms ||
             (g->job->started_ms == best->started_ms && g->job->sequence > best->sequence)))
            best = g->job;
    }
    return best;
}

/* What the node will have when everybody who was told to go has gone. */
static struct capacity room_to_come(const struct scheduler *s, const struct node *node)
{
    struct capacity room = node->room[LEFT];

    list_each(l, &node->grants) {
        struct grant *g = list_entry(l, struct grant, on_node);

        if (g->job->state == JOB_LEAVING || g->job->state == JOB_LOST)
            capacity_add(&room, &s->nodes->shapes[g->shape].type.needs, 1);
    }
    return room;
}

static void clear_node(struct scheduler *s, const struct node *node, int64_t now_ms)
{
    for (;;) {
        struct capacity room = room_to_come(s, node);
        struct job *victim;

        if (capacity_holds(&room))
            return;
        victim = next_victim(s, node);
        assert(victim && "what is firm was counted without spot work");
        tell_to_go(s, victim, now_ms);
    }
}

bool place_promised(struct scheduler *s, struct job *j)
{
    for (int g = 0; g < j->demand->group_count; g++)
        if (nodes_slots(s->nodes, FIRM, j->demand->groups[g].shape) < j->demand->groups[g].count)
            return false;
    grants_new(s, j);
    for (int k = 0; k < j->demand->group_count; k++) {
        int64_t count;
        struct grant *grants = group_of(j, k, &count);
        int64_t done = place_group(s, LEFT, grants, count);

        done += place_group(s, FIRM, grants + done, count - done);
        if (done < count) {
            give_back(s, j);
            return false;
        }
    }
    return true;
}

void place_clear(struct scheduler *s, struct job *j, int64_t now_ms)
{
    for (int64_t i = 0; i < j->instances; i++)
        clear_node(s, j->grants[i].node, now_ms);
}

bool place_planned(struct scheduler *s, struct job *j, const struct reservation *r, enum side side)
{
    if (r->job != j || r->count == 0)
        return false;
    for (int64_t i = 0; i < r->count; i++) {
        struct capacity room = r->nodes[i].node->room[side];

        capacity_add(&room, &r->nodes[i].held, -1);
        if (!capacity_holds(&room))
            return false;
    }
    grants_new(s, j);
    for (int g = 0, at = 0; g < j->demand->group_count; g++)
        for (int64_t i = 0; i < r->count; i++)
            for (int64_t k = 0; k < r->nodes[i].counts[g]; k++)
                grant_take(s, &j->grants[at++], r->nodes[i].node);
    if (side == LEFT)
        place_gpus(s, j);
    return true;
}

bool promise_due(const struct job *j)
{
    for (int64_t i = 0; i < j->instances; i++)
        if (j->grants[i].node->state == NODE_FAILED || !capacity_holds(&j->grants[i].node->room[LEFT]))
            return false;
    return true;
}

/* Whether the reservation's plan still counts on the room as taken when its time comes. */
static bool was_not_planned(struct scheduler *s, const struct reservation *r, const struct job *j,
                            const struct grant *g)
{
    if (g->beside == r->number)
        return true;
    if (s->nodes->shapes[g->shape].spot && !r->job->demand->spot)
        return false; /* it would have had to go */
    return !j->end.link.next || j->end.at_ms > r->at_ms;
}

void place_free(struct scheduler *s, struct job *j)
{
    for (int64_t i = 0; i < j->instances; i++) {
        struct grant *g = &j->grants[i];
        struct reserved *r = g->node ? g->node->reserved : NULL;
        struct domain *domain;

        if (!g->node)
            continue;
        domain = &s->domains[domain_of(s, s->nodes->kinds[g->node->kind].pool)];
        if (r) {
            if (was_not_planned(s, &domain->reservation, j, g))
                capacity_add(&r->spare, &shape_of(s, g)->type.needs, 1);
            reservation_changed(&domain->reservation);
        }
        domain->stirred = domain->freed = true;
    }
    give_back(s, j);
}
