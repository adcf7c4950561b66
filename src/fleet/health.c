/* health.c - nodes that fail, what stood on them, and the memory of which fail often. */
#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "fleet/scheduler_impl.h"

/* Whoever has a plan with the node makes a new one. */
static void forget_plan(struct scheduler *s, const struct node *node)
{
    if (node->reserved)
        reservation_drop(s, &s->domains[domain_of(s, s->nodes->kinds[node->kind].pool)]);
}

static void set_state(struct scheduler *s, struct node *node, enum node_state state)
{
    forget_plan(s, node);
    node->state = state;
    node_shelve(s->nodes, node);
    domain_stir(s, node);
}

static double faded_strikes(const struct scheduler *s, const struct node *node, int64_t now_ms)
{
    return node->strikes *
           exp2(-(double)(now_ms - node->struck_ms) / (double)s->fleet->failures.lemon_half_life_ms);
}

/* Three failures in a row have faded a little by the third. */
static bool is_lemon(const struct scheduler *s, const struct node *node, int64_t now_ms)
{
    return faded_strikes(s, node, now_ms) > (double)s->fleet->failures.lemon_after - 0.5;
}

static int64_t spares_of(const struct scheduler *s, int pool, struct node **ret_first)
{
    int64_t count = 0;

    for (int64_t i = 0; i < s->nodes->count; i++) {
        struct node *node = &s->nodes->all[i];

        if (node->state != NODE_SPARE || s->nodes->kinds[node->kind].pool != pool)
            continue;
        if (count++ == 0 || ((*ret_first)->lemon && !node->lemon))
            *ret_first = node;
    }
    return count;
}

/* What runs goes before whoever waits: what is held for the first of the queue may be had, too. */
static struct node *node_elsewhere(struct scheduler *s, const struct grant *g)
{
    struct domain *domain = domain_of_job(s, g->job);
    struct shelf *shelf = nodes_best(s->nodes, LEFT, g->shape);

    if (!shelf && domain->reservation.job) {
        reservation_drop(s, domain);
        domain->stirred = true;
        shelf = nodes_best(s->nodes, LEFT, g->shape);
    }
    return shelf ? list_entry(shelf->nodes.next, struct node, on[LEFT].link) : NULL;
}

static bool can_stay(const struct scheduler *s, const struct node *node, int shape)
{
    return node && node->state == NODE_IN_USE && node_slots(s->nodes, node, &node->room[LEFT], shape) > 0;
}

/* Another node for one instance, or its own where there is no other and it is still in use; none: its job has lost
 * it. */
static void replace(struct scheduler *s, struct grant *g, struct node *old)
{
    struct job *j = g->job;
    struct decision d = { .kind = DECISION_REPLACE, .instance = g - j->grants, .node = old ? old->name : "" };
    struct node *node;

    grant_give(s, g);
    g->beside = 0;
    memcpy(d.uid, j->uid, sizeof d.uid);
    node = node_elsewhere(s, g);
    if (!node && can_stay(s, old, g->shape))
        node = old;
    if (node) {
        grant_take(s, g, node);
        place_gpus(s, j);
    } else {
        d.kind = DECISION_LOST;
        j->state = JOB_LOST;
    }
    decide_later(s, &d);
}

static void clear(struct scheduler *s, struct node *node, int64_t now_ms)
{
    while (!list_empty(&node->grants)) {
        struct grant *g = list_entry(node->grants.next, struct grant, on_node);

        switch (g->job->state) {
        case JOB_PROMISED: /* it had nothing yet */
            job_requeue(s, g->job, now_ms);
            break;
        case JOB_RUNNING:
            replace(s, g, node);
            break;
        default: /* it goes anyway, or has lost one already */
            grant_give(s, g);
        }
    }
}

bool scheduler_fail(struct scheduler *s, const char *name, int64_t now_ms)
{
    struct node *node = nodes_find(s->nodes, name), *spare = NULL;

    if (!node)
        return false;
    if (node->state == NODE_FAILED)
        return true;
    node->strikes = faded_strikes(s, node, now_ms) + 1;
    node->struck_ms = now_ms;
    node->lemon = is_lemon(s, node, now_ms);
    if (node->state == NODE_IN_USE && spares_of(s, s->nodes->kinds[node->kind].pool, &spare) > 0)
        set_state(s, spare, NODE_IN_USE);
    set_state(s, node, NODE_FAILED);
    clear(s, node, now_ms);
    return true;
}

static void set_aside(struct scheduler *s, struct node *node, bool aside)
{
    forget_plan(s, node);
    node->aside = aside;
    node_shelve(s->nodes, node);
}

/* Where the instance stands, or stood before a restart; NULL: on a node that the fleet no longer has. */
static struct node *left_node(const struct scheduler *s, const struct grant *g, const struct placed *placed)
{
    return g->node ? g->node : nodes_find(s->nodes, placed->node);
}

bool scheduler_replace(struct scheduler *s, const char *uid, const struct placed *placed, int64_t now_ms)
{
    struct job *j = map_get(s->jobs, str_of(uid));
    struct node **old;

    if (!j || (j->state != JOB_RUNNING && j->state != JOB_LOST))
        return false;
    old = calloc((size_t)j->instances, sizeof(struct node *));
    assert(old && "memory");
    for (int64_t i = 0; i < j->instances; i++) {
        old[i] = placed[i].left ? left_node(s, &j->grants[i], &placed[i]) : NULL;
        if (!old[i])
            continue;
        set_aside(s, old[i], true);
        grant_give(s, &j->grants[i]);
        domain_stir(s, old[i]);
    }
    j->state = JOB_RUNNING;
    for (int64_t i = 0; i < j->instances && j->state == JOB_RUNNING; i++)
        if (placed[i].left)
            replace(s, &j->grants[i], old[i]);
    for (int64_t i = 0; i < j->instances; i++)
        if (old[i])
            set_aside(s, old[i], false);
    free(old);
    start_promised(s, now_ms);
    return j->state == JOB_RUNNING;
}

bool scheduler_cordon(struct scheduler *s, const char *name, int64_t now_ms)
{
    struct node *node = nodes_find(s->nodes, name), *spare = NULL;

    if (!node)
        return false;
    if (node->state == NODE_IN_USE && spares_of(s, s->nodes->kinds[node->kind].pool, &spare) > 0)
        set_state(s, spare, NODE_IN_USE);
    if (node->state != NODE_FAILED)
        set_state(s, node, NODE_CORDONED);
    return true;
}

bool scheduler_return(struct scheduler *s, const char *name, int64_t now_ms)
{
    struct node *node = nodes_find(s->nodes, name), *spare = NULL;
    int pool;

    if (!node)
        return false;
    if (node->state == NODE_IN_USE || node->state == NODE_SPARE)
        return true;
    pool = s->nodes->kinds[node->kind].pool;
    node->lemon = is_lemon(s, node, now_ms);
    set_state(s, node,
              list_empty(&node->grants) && spares_of(s, pool, &spare) < s->fleet->pools[pool].spares ? NODE_SPARE
                                                                                                     : NODE_IN_USE);
    return true;
}

bool scheduler_recall(struct scheduler *s, const char *name, enum node_change state, double strikes,
                      int64_t struck_ms, int64_t now_ms)
{
    struct node *node = nodes_find(s->nodes, name);

    if (!node)
        return false;
    node->strikes = strikes;
    node->struck_ms = struck_ms;
    node->lemon = is_lemon(s, node, now_ms);
    set_state(s, node, node->state); /* a lemon stands on another shelf */
    if (state == NODE_CORDON)
        return scheduler_cordon(s, name, now_ms);
    return true;
}

bool scheduler_gpus_out(struct scheduler *s, const char *name, uint64_t gpus)
{
    struct node *node = nodes_find(s->nodes, name);

    if (!node)
        return false;
    if (node->gpus_out == gpus)
        return true;
    forget_plan(s, node);
    node->gpus_out = gpus;
    count_gpus(s, node);
    domain_stir(s, node);
    return true;
}

bool scheduler_stands_well(const struct scheduler *s, const char *uid, int64_t instance)
{
    const struct job *j = map_get(s->jobs, str_of(uid));
    const struct grant *g = j && j->grants && instance < j->instances ? &j->grants[instance] : NULL;

    return g && g->node && g->node->state == NODE_IN_USE && !(g->gpus & g->node->gpus_out);
}
