/* waiting.c - the scheduler explains itself: why somebody waits, what the fleet holds, and whether the accounts add
 * up. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "fleet/scheduler_impl.h"

/* "2 ml.p4d.24xlarge and 1 ml.m5.large" */
static const char *wish_of(const struct scheduler *s, struct arena *a, const struct job *j)
{
    const char *text = "";

    for (int g = 0; g < j->demand->group_count; g++)
        text = arena_printf(a, "%s%s%" PRId64 " %s", text, g ? " and " : "", j->demand->groups[g].count,
                            s->nodes->shapes[j->demand->groups[g].shape].type.name);
    return arena_printf(a, "%s%s", text, j->demand->spot ? " (spot)" : "");
}

static const char *duration(struct arena *a, int64_t ms)
{
    int64_t minutes = ms / 60000;

    if (minutes < 1)
        return "a minute";
    if (minutes < 120)
        return arena_printf(a, "%" PRId64 " minute%s", minutes, minutes == 1 ? "" : "s");
    if (minutes < 48 * 60)
        return arena_printf(a, "%" PRId64 " hours", minutes / 60);
    return arena_printf(a, "%" PRId64 " days", minutes / 60 / 24);
}

/* Those of its own lane that came earlier: looked for from both ends, since who asks has most often just come. */
static int64_t count_in_lane(const struct job *j, double *fleet_ms)
{
    const struct list *front = j->lane->jobs.next, *back = j->lane->jobs.prev;
    double ahead_ms = 0, behind_ms = j->fleet_ms;
    int64_t ahead = 0, behind = 1;

    for (;;) {
        if (front == &j->link) {
            *fleet_ms += ahead_ms;
            return ahead;
        }
        if (back == &j->link) {
            *fleet_ms += j->lane->fleet_ms - behind_ms;
            return j->lane->count - behind;
        }
        ahead_ms += list_entry(front, struct job, link)->fleet_ms;
        behind_ms += list_entry(back, struct job, link)->fleet_ms;
        ahead++;
        behind++;
        front = front->next;
        back = back->prev;
    }
}

/* Those of its own lane that came earlier, and all of the lanes that go before it. */
static int64_t count_before(struct scheduler *s, struct job *j, double *ret_fleet_ms)
{
    int domain = domain_of_demand(s, j->demand);
    int64_t before = 0;

    *ret_fleet_ms = 0;
    for (size_t i = 0; i < s->queue->count; i++) {
        struct demand *d = s->queue->active[i];

        if (domain_of_demand(s, d) != domain)
            continue;
        for (size_t k = 0; k < d->count; k++) {
            const struct lane *lane = d->heap[k];

            if (lane != j->lane && lane_before(lane, j->lane)) {
                before += lane->count;
                *ret_fleet_ms += lane->fleet_ms;
            }
        }
    }
    return before + count_in_lane(j, ret_fleet_ms);
}

/* Nobody who runs says when he ends, or what is missing is a node. */
static const char *unknown_end(const struct scheduler *s, struct arena *a)
{
    const char *runs = s->running ? "; no end of what runs is known" : "", *name = NULL;
    int64_t out = 0;

    for (int64_t i = 0; i < s->nodes->count; i++) {
        const struct node *node = &s->nodes->all[i];

        if (node->state != NODE_FAILED && node->state != NODE_CORDONED)
            continue;
        name = node->name;
        out++;
    }
    if (!out)
        return "; no end of what runs is known";
    return out == 1 ? arena_printf(a, "%s; the node %s is out of use", runs, name)
                    : arena_printf(a, "%s; %" PRId64 " nodes are out of use", runs, out);
}

/* Instances of the group that there is room for now; what is held for it is its own. */
static int64_t room_of(struct scheduler *s, const struct job *j, int group)
{
    struct reservation *r = &s->domains[domain_of_demand(s, j->demand)].reservation;
    int shape = j->demand->groups[group].shape;

    return nodes_slots(s->nodes, LEFT, shape) + (r->job == j ? reservation_slots(s, r, shape, true) : 0);
}

/* Instances of the shape that all nodes would take, whomever they are held for. */
static int64_t room_at_all(const struct scheduler *s, const struct reservation *r, const struct shape *shape,
                           const struct capacity *needs)
{
    const struct shelves *shelves = &s->nodes->shelves[LEFT];
    int64_t slots = 0;

    for (size_t i = 0; i < shelves->count; i++)
        if (shape->fits[shelves->all[i]->key.kind])
            slots += shelves->all[i]->count * capacity_times(&shelves->all[i]->key.room, needs);
    for (int64_t i = 0; i < r->count; i++)
        if (shape->fits[r->nodes[i].node->kind])
            slots += capacity_times(&r->nodes[i].node->room[LEFT], needs);
    return slots;
}

/* Whether there would be room for the group, were it not for the disks. */
static bool lacks_disk(struct scheduler *s, const struct job *j, int group)
{
    const struct reservation *r = &s->domains[domain_of_demand(s, j->demand)].reservation;
    const struct shape *shape = &s->nodes->shapes[j->demand->groups[group].shape];
    struct capacity diskless = shape->type.needs;
    int64_t count = j->demand->groups[group].count;

    diskless.disk_mib = 0;
    return shape->type.needs.disk_mib && room_of(s, j, group) < count &&
           room_at_all(s, r, shape, &shape->type.needs) < count && room_at_all(s, r, shape, &diskless) >= count;
}

/* " for want of disk (100 GiB each)": so that nobody looks for cores. */
static const char *want_of_disk(struct scheduler *s, struct arena *a, const struct job *j)
{
    for (int g = 0; g < j->demand->group_count; g++)
        if (lacks_disk(s, j, g))
            return arena_printf(a, " for want of disk (%.4g GiB each)",
                                (double)s->nodes->shapes[j->demand->groups[g].shape].type.needs.disk_mib / 1024);
    return "";
}

/* Adds the room that there is for each group of 'j' when the instance goes, too. */
static void free_grant(struct scheduler *s, const struct job *j, const struct grant *g,
                       int64_t room[static GROUPS_MOST])
{
    struct node *node = g->node;

    if (!node || node->state != NODE_IN_USE)
        return;
    if (node->stamp != s->nodes->stamp) {
        node->stamp = s->nodes->stamp;
        node->then = node->room[LEFT];
    }
    for (int i = 0; i < j->demand->group_count; i++)
        room[i] -= node_slots(s->nodes, node, &node->then, j->demand->groups[i].shape);
    capacity_add(&node->then, &s->nodes->shapes[g->shape].type.needs, 1);
    for (int i = 0; i < j->demand->group_count; i++)
        room[i] += node_slots(s->nodes, node, &node->then, j->demand->groups[i].shape);
}

static bool has_room(const struct job *j, const int64_t room[static GROUPS_MOST])
{
    for (int i = 0; i < j->demand->group_count; i++)
        if (room[i] < j->demand->groups[i].count)
            return false;
    return true;
}

int scheduler_hindrance(struct scheduler *s, const char *uid, const char *const *holders, int count)
{
    const struct job *j = map_get(s->jobs, str_of(uid));
    int64_t room[GROUPS_MOST];

    if (!j || j->state != JOB_WAITING)
        return 0;
    for (int i = 0; i < j->demand->group_count; i++)
        room[i] = room_of(s, j, i);
    if (has_room(j, room))
        return 0;
    s->nodes->stamp++;
    for (int k = 0; k < count; k++) {
        const struct job *holder = map_get(s->jobs, str_of(holders[k]));

        if (!holder || holder->state != JOB_RUNNING)
            continue;
        for (int64_t i = 0; i < holder->instances; i++)
            free_grant(s, j, &holder->grants[i], room);
        if (has_room(j, room))
            return k + 1;
    }
    return 0;
}

static void explain(struct scheduler *s, struct arena *a, struct job *j, int64_t now_ms, struct waiting *ret)
{
    struct domain *domain = &s->domains[domain_of_demand(s, j->demand)];
    struct reservation *r = &domain->reservation;
    double fleet_ms;
    int64_t room = INT64_MAX;
    const char *when;

    ret->before = count_before(s, j, &fleet_ms);
    ret->expected_ms = r->at_ms;
    /* Where spot work stands then, it has to be told first. */
    if (r->at_ms != INT64_MAX && !j->demand->spot && s->spot_running > 0)
        ret->expected_ms += s->fleet->spot.notice_ms;
    if (r->job && r->job != j && r->at_ms != INT64_MAX)
        ret->expected_ms += (int64_t)fleet_ms;
    for (int g = 0; g < j->demand->group_count; g++) {
        int64_t slots = room_of(s, j, g);

        room = slots < room ? slots : room;
    }
    if (ret->expected_ms == INT64_MAX)
        when = unknown_end(s, a);
    else
        when = arena_printf(a, "; expected to start in about %s",
                            duration(a, ret->expected_ms > now_ms ? ret->expected_ms - now_ms : 0));
    ret->what = arena_printf(a, "Waiting for %s: room for %" PRId64 " now%s, %" PRId64 " %s before this one",
                             wish_of(s, a, j), room, want_of_disk(s, a, j), ret->before,
                             ret->before == 1 ? "job is" : "jobs are");
    ret->reason = arena_printf(a, "%s%s", ret->what, when);
}

bool scheduler_waiting(struct scheduler *s, struct arena *a, const char *uid, int64_t now_ms, struct waiting *ret)
{
    struct job *j = map_get(s->jobs, str_of(uid));

    if (!j || (j->state != JOB_WAITING && j->state != JOB_PROMISED))
        return false;
    if (j->state == JOB_WAITING) {
        explain(s, a, j, now_ms, ret);
        return true;
    }
    ret->before = 0;
    ret->expected_ms = j->deadline_ms;
    ret->what = arena_printf(a, "Waiting for %s", wish_of(s, a, j));
    ret->reason = arena_printf(a,
                               "Waiting for %s: spot instances are leaving for this job, expected to start in about %s",
                               wish_of(s, a, j),
                               duration(a, ret->expected_ms > now_ms ? ret->expected_ms - now_ms : 0));
    return true;
}

int64_t scheduler_waiting_count(const struct scheduler *s)
{
    return s->queue->waiting;
}

struct scheduler_counts scheduler_counts(const struct scheduler *s)
{
    struct scheduler_counts c = { .waiting = s->queue->waiting, .running = s->running };

    for (int64_t i = 0; i < s->nodes->count; i++) {
        const struct node *node = &s->nodes->all[i];
        const struct capacity *has = &s->nodes->kinds[node->kind].has;

        c.nodes_in_use += node->state == NODE_IN_USE;
        c.nodes_spare += node->state == NODE_SPARE;
        if (node->state == NODE_FAILED || node->state == NODE_CORDONED) {
            c.nodes_out++;
            continue;
        }
        capacity_add(&c.total, has, 1);
        capacity_add(&c.taken, has, 1);
        capacity_add(&c.taken, &node->room[LEFT], -1);
    }
    return c;
}

bool scheduler_node(const struct scheduler *s, int64_t number, struct node_view *ret)
{
    static const char *const states[] = {
        [NODE_IN_USE] = "in use", [NODE_SPARE] = "spare", [NODE_CORDONED] = "cordoned", [NODE_FAILED] = "failed",
    };
    const struct node *node = &s->nodes->all[number];
    const struct kind *kind;

    if (number >= s->nodes->count)
        return false;
    kind = &s->nodes->kinds[node->kind];
    *ret = (struct node_view){ .name = node->name, .pool = s->fleet->pools[kind->pool].name,
                               .gpu = kind->gpu, .labels = kind->labels,
                               .state = states[node->state], .lemon = node->lemon, .has = kind->has,
                               .left = node->room[LEFT], .gpus_taken = node->gpus_taken, .gpus_out = node->gpus_out };
    for (const struct list *l = node->grants.next; l != &node->grants; l = l->next)
        ret->instances++;
    return true;
}

/* What a node must have left by what stands on it. */
static const char *node_fault(const struct scheduler *s, struct arena *a, const struct node *node)
{
    struct capacity room[SIDES] = { s->nodes->kinds[node->kind].has, s->nodes->kinds[node->kind].has };
    uint64_t gpus = 0;
    bool leaving = false;
    int64_t on_shelf = node->state == NODE_IN_USE && !node->reserved;

    for (const struct list *l = node->grants.next; l != &node->grants; l = l->next) {
        const struct grant *g = list_entry(l, struct grant, on_node);
        const struct shape *shape = &s->nodes->shapes[g->shape];

        leaving = leaving || g->job->state == JOB_PROMISED;
        if (g->gpus & gpus)
            return arena_printf(a, "%s gives a GPU to two instances", node->name);
        if (g->job->state != JOB_PROMISED && __builtin_popcountll(g->gpus) != shape->type.needs.gpus)
            return arena_printf(a, "%s gives the instance of %s another number of GPUs", node->name, g->job->uid);
        gpus |= g->gpus;
        capacity_add(&room[LEFT], &shape->type.needs, -1);
        if (!shape->spot)
            capacity_add(&room[FIRM], &shape->type.needs, -1);
    }
    for (int side = 0; side < SIDES; side++)
        room[side].gpus -= node->gpus_idle[side];
    if (gpus != node->gpus_taken)
        return arena_printf(a, "%s has GPUs taken that nobody has", node->name);
    if (memcmp(room, node->room, sizeof room) != 0)
        return arena_printf(a, "%s has another room than what stands on it leaves", node->name);
    if (!capacity_holds(&room[FIRM]) || (!leaving && !capacity_holds(&room[LEFT])))
        return arena_printf(a, "%s is overdrawn", node->name);
    for (int side = 0; side < SIDES; side++)
        if ((node->on[side].shelf != NULL) != on_shelf ||
            (on_shelf && memcmp(&node->on[side].shelf->key.room, &room[side], sizeof *room) != 0))
            return arena_printf(a, "%s stands on a wrong shelf", node->name);
    return "";
}

static const char *job_fault(const struct scheduler *s, struct arena *a, const struct job *j)
{
    bool waits = j->state == JOB_WAITING;

    if (waits != (j->lane != NULL) || waits != (j->grants == NULL))
        return arena_printf(a, "%s waits and has, or neither", j->uid);
    for (int64_t i = 0; !waits && j->state != JOB_LOST && j->state != JOB_LEAVING && i < j->instances; i++)
        if (!j->grants[i].node)
            return arena_printf(a, "%s runs without its instance %" PRId64, j->uid, i);
    return "";
}

const char *scheduler_faults(const struct scheduler *s, struct arena *a)
{
    int64_t *slots = arena_array_of(a, int64_t, (size_t)s->nodes->shape_count * SIDES + 1);
    struct str uid;
    void *job;

    for (int64_t i = 0; i < s->nodes->count; i++) {
        const struct node *node = &s->nodes->all[i];
        const char *fault = node_fault(s, a, node);

        if (*fault)
            return fault;
        for (int k = 0; node->on[LEFT].shelf && k < s->nodes->shape_count * SIDES; k++)
            slots[k] += node_slots(s->nodes, node, &node->room[k % SIDES], k / SIDES);
    }
    for (int k = 0; k < s->nodes->shape_count * SIDES; k++)
        if (slots[k] != nodes_slots(s->nodes, (enum side)(k % SIDES), k / SIDES))
            return arena_printf(a, "the room for %s is counted wrong", s->nodes->shapes[k / SIDES].type.name);
    for (size_t at = 0; map_next(s->jobs, &at, &uid, &job);)
        if (*job_fault(s, a, job))
            return job_fault(s, a, job);
    return "";
}
