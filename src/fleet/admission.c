/* admission.c - what may stand in the queue: of known types, what can ever fit, and what the quotas allow. */
#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "fleet/scheduler_impl.h"
#include "fleet/unfit.h"

/* Accounts and kinds of work are few: one copy of each. */
static const char *word(struct scheduler *s, const char *text)
{
    char *known = map_get(s->words, str_of(text));

    if (!known) {
        known = arena_strdup(s->arena, text);
        map_set(s->words, str_of(text), known);
    }
    return known;
}

/* Two pools that one demand can use have one first of the queue from now on. */
static void join_domains(struct scheduler *s, uint32_t pools)
{
    int all = domain_of(s, __builtin_ctz(pools));

    for (uint32_t rest = pools & (pools - 1); rest; rest &= rest - 1) {
        int other = domain_of(s, __builtin_ctz(rest));

        if (other == all)
            continue;
        reservation_drop(s, &s->domains[all]);
        reservation_drop(s, &s->domains[other]);
        s->parent[other] = all;
        s->domains[all].stirred = true;
    }
}

static int refuse_type(const struct nodes *n, const struct shape *shape, struct err *err)
{
    _cleanup_arena_ struct arena *a = arena_new();
    const struct fleet_type *t = &shape->type;
    const char *needs = arena_printf(a, "%" PRId64 " vCPU%s, %s", t->needs.cores, t->needs.cores == 1 ? "" : "s",
                                     size_text(a, t->needs.memory_mib));

    if (n->fleet->slots && *shape->labels)
        return fail(err, ERR_INVALID,
                    "No node of this server has the labels %s: only the [[nodes]] of a fleet file have labels, and "
                    "here are none. Leave the tag sagebrush:labels out",
                    shape->labels);
    if (t->needs.disk_mib)
        needs = arena_printf(a, "%s, %s of disk", needs, size_text(a, t->needs.disk_mib));
    if (t->needs.gpus)
        needs = arena_printf(a, "%s, %" PRId64 " GPU%s of the kind %s", needs, t->needs.gpus,
                             t->needs.gpus == 1 ? "" : "s", t->gpu);
    return fail(err, ERR_INVALID,
                "No node of the fleet can hold a%s %s%s%s: it needs %s, and %s. %s",
                shape->spot ? " spot" : "n on-demand", t->name, *shape->labels ? " with the labels " : "",
                shape->labels, needs, unfit_why(a, n, shape), unfit_remedy(a, n, shape));
}

static const char *labels_of(const struct work *w)
{
    return w->labels ? w->labels : "";
}

static struct ask ask_of(const struct work *w, int group)
{
    const struct work_group *g = &w->groups[group];

    return (struct ask){ .type = g->type, .spot = w->spot, .labels = labels_of(w), .volume_gb = g->volume_gb };
}

/* What a group needs, as far as the empty fleet has it. */
static int group_shape(struct nodes *n, const struct work *w, int group, int *ret, struct err *err)
{
    const struct work_group *g = &w->groups[group];
    const struct ask ask = ask_of(w, group);
    _cleanup_arena_ struct arena *a = NULL;
    struct shape none;
    int64_t most;

    if (g->count < 1)
        return fail(err, ERR_INVALID, "A group of instances has at least one; %" PRId64 " of %s were asked for",
                    g->count, g->type);
    if (nodes_shape(n, &ask, ret, err) < 0)
        return -1;
    if (*ret < 0) {
        a = arena_new();
        return nodes_measure(n, a, &ask, &none, err) < 0 ? -1 : refuse_type(n, &none, err);
    }
    most = n->shapes[*ret].most;
    if (g->count > most)
        return fail(err, ERR_INVALID,
                    "The fleet can hold at most %" PRId64 " instances of %s at one time, and %" PRId64
                    " were asked for. Ask for fewer, or add nodes to the fleet file",
                    most, g->type, g->count);
    return 0;
}

static bool bigger(const struct capacity *a, const struct capacity *b)
{
    if (a->gpus != b->gpus)
        return a->gpus > b->gpus;
    return a->cores != b->cores ? a->cores > b->cores : a->memory_mib > b->memory_mib;
}

static void order_groups(const struct nodes *n, struct demand *d)
{
    for (int g = 0; g < d->group_count; g++) {
        int at = g;

        for (; at > 0 && bigger(&n->shapes[d->groups[g].shape].type.needs,
                                &n->shapes[d->groups[d->order[at - 1]].shape].type.needs);
             at--)
            d->order[at] = d->order[at - 1];
        d->order[at] = g;
    }
}

/* Groups that each fit may not fit together: tried on an empty fleet. */
static int check_together(struct scheduler *s, const struct work *w, struct err *err)
{
    struct scheduler empty = { .fleet = s->fleet, .nodes = nodes_new(s->fleet) };
    struct demand demand = { .group_count = w->group_count };
    struct job trial = { .demand = &demand };
    bool fits;

    for (int g = 0; g < w->group_count; g++) {
        const struct ask ask = ask_of(w, g);

        nodes_shape(empty.nodes, &ask, &demand.groups[g].shape, err);
        demand.groups[g].count = w->groups[g].count;
        trial.instances += w->groups[g].count;
    }
    order_groups(empty.nodes, &demand);
    fits = place_now(&empty, &trial);
    free(trial.grants);
    nodes_free(empty.nodes);
    if (!fits)
        return fail(err, ERR_INVALID,
                    "Each of the %d groups of instances fits into the fleet, but not all at one time. Ask for fewer "
                    "instances, or add nodes to the fleet file",
                    w->group_count);
    return 0;
}

int job_new(struct scheduler *s, const struct work *w, struct job **ret, struct err *err)
{
    struct demand_group groups[GROUPS_MOST] = { 0 };
    struct job *j;
    double fleet_part = 0;

    assert(w->group_count >= 1 && w->group_count <= GROUPS_MOST && strlen(w->uid) < sizeof j->uid);
    for (int g = 0; g < w->group_count; g++) {
        if (group_shape(s->nodes, w, g, &groups[g].shape, err) < 0)
            return -1;
        groups[g].count = w->groups[g].count;
        fleet_part += (double)groups[g].count / (double)s->nodes->shapes[groups[g].shape].most;
    }
    if (w->group_count > 1 && check_together(s, w, err) < 0)
        return -1;
    j = calloc(1, sizeof *j);
    assert(j);
    strcpy(j->uid, w->uid);
    j->account = word(s, w->account);
    j->work = word(s, w->kind);
    j->owner = share_owner(s->share, w->owner);
    j->priority = w->priority + j->owner->priority;
    j->sequence = ++s->sequence;
    j->submitted_ms = w->submitted_ms;
    j->runtime_ms = w->max_runtime_ms;
    j->patient = s->fleet->queue.patience_ms > 0;
    j->fleet_ms = fleet_part * (double)(w->max_runtime_ms ? w->max_runtime_ms : s->fleet->queue.default_runtime_ms);
    j->demand = queue_demand(s->queue, groups, w->group_count, w->spot, w->max_runtime_ms);
    order_groups(s->nodes, j->demand);
    for (int g = 0; g < w->group_count; g++) {
        const struct shape *shape = &s->nodes->shapes[groups[g].shape];

        j->demand->pools |= shape->pools;
        j->instances += groups[g].count;
        j->usd_hour += shape->usd_hour * (double)groups[g].count;
    }
    join_domains(s, j->demand->pools);
    *ret = j;
    return 0;
}

void job_free(struct scheduler *s, struct job *j)
{
    demand_drop(s->queue, j->demand);
    free(j->grants);
    free(j);
}

static int take_quotas(struct scheduler *s, const struct work *w, struct err *err)
{
    for (int g = 0; g < w->group_count; g++) {
        const struct work_group *group = &w->groups[g];

        if (w->admitted) {
            quota_restore(s->quotas, w->account, w->kind, group->type, w->spot, group->count);
            continue;
        }
        if (quota_take(s->quotas, w->account, w->kind, group->type, w->spot, group->count, err) < 0) {
            while (g-- > 0)
                quota_give(s->quotas, w->account, w->kind, w->groups[g].type, w->spot, w->groups[g].count);
            return -1;
        }
    }
    return 0;
}

static bool is_as(struct scheduler *s, const struct job *j, const struct work *w)
{
    const struct owner *owner = share_owner(s->share, w->owner);
    bool same = j->owner == owner && j->priority == w->priority + owner->priority;
    struct err ignored;
    int shape;

    for (int g = 0; same && g < w->group_count; g++) {
        const struct ask ask = ask_of(w, g);

        same = nodes_shape(s->nodes, &ask, &shape, &ignored) == 0 && j->demand->groups[g].shape == shape;
    }
    return same;
}

int scheduler_submit(struct scheduler *s, const struct work *w, struct err *err)
{
    struct job *j = map_get(s->jobs, str_of(w->uid));
    int64_t sequence = j ? j->sequence : 0;

    if (j && (j->state != JOB_WAITING || is_as(s, j, w)))
        return 0;
    if (j)
        job_withdraw(s, j);
    if (take_quotas(s, w, err) < 0)
        return -1;
    if (job_new(s, w, &j, err) < 0) {
        for (int g = 0; g < w->group_count; g++)
            quota_give(s->quotas, w->account, w->kind, w->groups[g].type, w->spot, w->groups[g].count);
        return -1;
    }
    if (sequence)
        j->sequence = sequence;
    map_set(s->jobs, str_of(j->uid), j);
    queue_add(s->queue, j);
    domain_of_job(s, j)->fresh = true;
    return 0;
}
