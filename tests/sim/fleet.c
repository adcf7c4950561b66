/* fleet.c - what the machine of a story is shared out as: in one of seven it is a fleet of nodes, each with room for
 * one instance, on which spot work makes way, is taken back by chance, and nodes fail.
 *
 * Whatever happens: no node ever has two, nor is in the records of two, and the scheduler's accounts add up. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fleet/scheduler.h"
#include "services/sagemaker/allocation_record.h"
#include "services/sagemaker/node_health.h"
#include "sim.h"

/* Jobs alone may well wait for each other, and endpoints alone find no room; where there are both, a job would wait for
 * an endpoint without end. */
static int room(void)
{
    return w.seed % 3 == 0                      ? INSTANCES + (int)(w.seed % 2)
           : w.seed % 3 == 1 && w.seed % 5 == 0 ? 1 + (int)(w.seed % 4)
                                                : 2 * ENDPOINTS + INSTANCES - (int)(w.seed % 2);
}

void fleet_begin(void)
{
    static const char file[] = "[[nodes]]\nname = \"n\"\ncount = %d\ncores = 2\nmemory = \"8GiB\"\n"
                               "disk = \"40GiB\"\n" /* an endpoint's instance takes 30 */
                               "[spot]\nlive = true\nnotice = \"30s\"\n"
                               "[[spot.rates]]\ntype = \"*\"\nper_hour = %d\n";
    struct err err;

    w.room = room();
    w.fleet = fleet_of_slots(w.fleet_arena, "local", w.room, 0);
    if (HAS_NODES && fleet_read(w.fleet_arena, "fleet", str_of(arena_printf(w.fleet_arena, file, w.room,
                                                                             (int)(w.seed % 5) * 4)),
                                &w.fleet, &err) < 0)
        broken("%s", err.text);
    w.platform.fleet = &w.fleet;
    w.platform.machine = (struct machine){ 2, (int64_t)8 << 30, 0 };
}

const char *fleet_node(const char *agent)
{
    const struct doc *order = sim_order(w.runtime, agent);

    return order ? doc_text(order, "node") : "";
}

/* Some agent is started. */
void fleet_check_start(const struct agent *x)
{
    const char *node = fleet_node(x->name);

    if (!HAS_NODES || x->orphan)
        return;
    if (!*node)
        broken("%s was started, and stands on no node", x->name);
    for (int i = 0; i < w.agent_count; i++) {
        const struct agent *y = &w.agents[i];

        if (y != x && y->there && !y->ended && !y->orphan && strcmp(fleet_node(y->name), node) == 0)
            broken("%s was started on %s, where %s runs", x->name, node, y->name);
    }
}

/* The node goes with what runs on it, and nobody tells the control plane but that it is gone. */
static void fail_node(int number)
{
    _cleanup_arena_ struct arena *a = arena_new();
    const char *node = arena_printf(a, "n-%d", number + 1);

    tell("%s fails", node);
    for (int i = 0; i < w.agent_count; i++)
        if (w.agents[i].there && !w.agents[i].ended && strcmp(fleet_node(w.agents[i].name), node) == 0)
            agents_lose(&w.agents[i]);
}

/* As the handler of the admin socket does it. */
static void return_node(const char *node)
{
    _cleanup_arena_ struct arena *a = arena_new();
    bool ignored;
    struct err err;

    if (store_begin(w.store, &err) < 0)
        return;
    if (node_health_return(a, w.engine, node, &ignored, &err) < 0)
        store_drop(w.store);
    else
        store_keep(w.store, &err);
}

static void return_nodes(void)
{
    struct node_view node;

    for (int64_t i = 0; w.engine && scheduler_node(allocations_scheduler(w.platform.allocations), i, &node); i++)
        if (strcmp(node.state, "in use") != 0)
            return_node(node.name);
}

/* What is on disk: a restart would believe it. */
static int check_record(void *context, const struct allocation_record *r, struct err *err)
{
    char (*claims)[64] = context; /* by node: whose it is */

    for (int64_t i = 0; i < r->count; i++) {
        int number = atoi(strrchr(r->placed[i].node, '-') + 1) - 1;

        if (r->placed[i].left)
            continue;
        if (*claims[number])
            broken("%s is in the records of %s and of %s", r->placed[i].node, claims[number], r->work.uid);
        strcpy(claims[number], r->work.uid);
    }
    return 0;
}

void fleet_move(void)
{
    _cleanup_arena_ struct arena *a = arena_new();
    const char *faults;
    struct err err;

    if (!HAS_NODES)
        return;
    if (chance(F_LOST, 15))
        fail_node((int)roll((unsigned)w.room));
    if (w.calm || roll(10) == 0)
        return_nodes();
    if (!w.engine)
        return;
    faults = scheduler_faults(allocations_scheduler(w.platform.allocations), a);
    if (*faults)
        broken("the fleet's accounts: %s", faults);
    if (allocation_record_each(w.store, check_record, arena_alloc(a, (size_t)w.room * 64), &err) < 0)
        broken("%s", err.text);
}
