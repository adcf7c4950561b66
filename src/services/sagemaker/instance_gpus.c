#include "services/sagemaker/instance_gpus.h"

#include <string.h>

#include "base/log.h"
#include "engine/engine.h"
#include "fleet/gpu_bank.h"
#include "run/runtime.h"
#include "services/sagemaker/allocation.h"

static struct platform *platform_of(struct engine *e)
{
    return engine_context(e);
}

/* The machine's first GPU that is the node's; -1: the fleet has no such node. */
static int64_t first_gpu_of(const struct scheduler *s, const char *name)
{
    struct node_view node;
    int64_t first = 0;

    for (int64_t i = 0; scheduler_node(s, i, &node); i++) {
        if (strcmp(node.name, name) == 0)
            return first;
        first += node.has.gpus;
    }
    return -1;
}

void instance_gpus_order(struct arena *a, struct engine *e, const char *agent, const char *instance_type,
                         const struct placed *placed, struct doc *limits)
{
    struct gpu_bank *bank = platform_of(e)->gpus;
    struct doc *list = doc_list(a);
    uint64_t gpus = 0;

    if (placed && placed->gpus) {
        int64_t first = first_gpu_of(allocations_scheduler(platform_of(e)->allocations), placed->node);

        for (int64_t i = 0; first >= 0 && i < GPU_BANK_MOST; i++)
            if (placed->gpus >> i & 1 && first + i < gpu_bank_count(bank)) {
                int index = gpu_bank_seat(bank, (int)(first + i))->index;

                doc_append(a, list, doc_integer(a, index));
                gpus |= UINT64_C(1) << index;
            }
    }
    gpu_bank_hold(bank, agent, gpus);
    doc_set(a, limits, "gpus", list->count ? list : NULL);
    if (!list->count && fleet_type_gpus(platform_of(e)->fleet, instance_type))
        doc_set_integer(a, limits, "gpus_absent", fleet_type_gpus(platform_of(e)->fleet, instance_type));
}

void instance_gpus_give(struct pass *p, const char *agent)
{
    gpu_bank_give(platform_of(p->engine)->gpus, agent);
}

static uint64_t gpus_of_order(const struct doc *order)
{
    const struct doc *list = doc_at(order, "limits.gpus");
    uint64_t gpus = 0;

    for (size_t i = 0; i < doc_count(list, ""); i++)
        if (list->items[i]->type == DOC_INTEGER && list->items[i]->integer >= 0 &&
            list->items[i]->integer < GPU_BANK_MOST)
            gpus |= UINT64_C(1) << list->items[i]->integer;
    return gpus;
}

int instance_gpus_adopt(struct arena *a, struct platform *platform, struct runtime *runtime, struct err *err)
{
    const char *const *names;
    int count;

    if (!gpu_bank_count(platform->gpus))
        return 0;
    if (runtime_list(runtime, a, &names, &count, err) < 0)
        return -1;
    for (int i = 0; i < count; i++) {
        const struct doc *order;

        if (runtime_order(runtime, a, names[i], &order, err) < 0)
            return -1;
        gpu_bank_hold(platform->gpus, names[i], gpus_of_order(order));
    }
    return 0;
}

/* Another machine's are that one's matter; of this machine's an agent speaks for those that serve it, or that Slurm
 * has given it, which serve nobody here. */
static bool may_speak_for(const struct gpu_bank *bank, const char *agent, const char *uuid)
{
    for (int i = 0; i < gpu_bank_count(bank); i++) {
        const struct gpu_seat *seat = gpu_bank_seat(bank, i);

        if (strcmp(seat->uuid, uuid) == 0)
            return !seat->cordoned && (!*seat->holder || strcmp(seat->holder, agent) == 0);
    }
    return false;
}

int instance_gpus_fault(struct pass *p, const char *agent, const struct report *report, struct err *err)
{
    const struct doc *fault = report->gpu_fault;

    if (!fault || !doc_bool(fault, "broken", false) ||
        !may_speak_for(platform_of(p->engine)->gpus, agent, doc_text(fault, "uuid")))
        return 0;
    log_warning("gpu.cordoned", "uuid=%s why=%s", doc_text(fault, "uuid"), log_quote(p->arena, doc_text(fault, "why")));
    return gpu_bank_cordon(platform_of(p->engine)->gpus, doc_text(fault, "uuid"), doc_text(fault, "why"), p->now_ms,
                           err);
}

/* An agent that no row knew was ended by nobody who could have told us. */
static bool is_gone(struct engine *e, const char *agent)
{
    _cleanup_arena_ struct arena *a = arena_new();
    const struct doc *order;
    struct err ignored;

    return runtime_order(engine_world_of(e)->runtime, a, agent, &order, &ignored) == 0 && !doc_has(order, "name");
}

/* It serves an agent to whom the scheduler does not give it. */
static bool serves_on(struct engine *e, struct gpu_bank *bank, const struct gpu_seat *seat)
{
    char holder[sizeof seat->holder];

    if (!*seat->holder)
        return false;
    memcpy(holder, seat->holder, sizeof holder);
    if (!is_gone(e, holder))
        return true;
    gpu_bank_give(bank, holder);
    return false;
}

bool instance_gpus_settle(struct engine *e, struct scheduler *s)
{
    struct gpu_bank *bank = platform_of(e)->gpus;
    struct node_view node;
    int64_t first = 0;
    bool leftover = false;

    for (int64_t i = 0; first < gpu_bank_count(bank) && scheduler_node(s, i, &node); i++, first += node.has.gpus) {
        uint64_t out = 0;

        for (int64_t k = 0; k < node.has.gpus && first + k < gpu_bank_count(bank); k++) {
            const struct gpu_seat *seat = gpu_bank_seat(bank, (int)(first + k));
            bool held = node.gpus_taken >> k & 1, left = !held && serves_on(e, bank, seat);

            leftover = leftover || left;
            if (seat->cordoned || left)
                out |= UINT64_C(1) << k;
        }
        scheduler_gpus_out(s, node.name, out);
    }
    return leftover;
}
