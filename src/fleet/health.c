/* health.c - nodes that fail, what stood on them, and the memory of which fail often. */
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

/* A node of the same shape for one instance; none: its job has lost it. */
static void replace(struct scheduler *s, struct grant *g, const char *failed)
{
    struct job *j = g->job;
    struct decision d = { .kind = DECISION_REPLACE, .instance = g - j->grants, .node = failed };
    struct shelf *shelf = nodes_best(s->nodes, LEFT, g->shape);

    grant_give(s, g);
    g->beside = 0;
    memcpy(d.uid, j->uid, sizeof d.uid);
    if (shelf) {
        grant_take(s, g, list_entry(shelf->nodes.next, struct node, on[LEFT].link));
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
            replace(s, g, node->name);
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

bool scheduler_stands_well(const struct scheduler *s, const char *uid)
{
    const struct job *j = map_get(s->jobs, str_of(uid));

    for (int64_t i = 0; j && j->grants && i < j->instances; i++)
        if (!j->grants[i].node || j->grants[i].node->state != NODE_IN_USE ||
            (j->grants[i].gpus & j->grants[i].node->gpus_out))
            return false;
    return true;
}
