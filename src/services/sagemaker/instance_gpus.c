#include "services/sagemaker/instance_gpus.h"

#include <inttypes.h>
#include <string.h>

#include "base/log.h"
#include "engine/engine.h"
#include "fleet/gpu_bank.h"
#include "fleet/instance_type.h"
#include "run/runtime.h"

static struct gpu_bank *bank_of(struct engine *e)
{
    return ((struct platform *)engine_context(e))->gpus;
}

/* None on a machine that has none. */
static int wanted(struct engine *e, const char *instance_type)
{
    return gpu_bank_count(bank_of(e)) ? instance_type_gpus(instance_type) : 0;
}

int instance_gpus_check(struct engine *e, const char *instance_type, int64_t instances, const char *usage,
                        struct err *err)
{
    int has = gpu_bank_count(bank_of(e)), wants = wanted(e, instance_type);

    if (!wants || instances <= has / wants)
        return 0;
    return fail_code(err, ERR_LIMIT, "ResourceLimitExceeded",
                     "The account-level service limit '%s for %s' is %d Instances, with current utilization of 0 "
                     "Instances and a request delta of %" PRId64 " Instances. An instance has %d GPUs, and this "
                     "machine has %d: use fewer instances, or a type with fewer.",
                     instance_type, usage, has / wants, instances, wants, has);
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

/* What ran before this control plane did, and whose end nobody had to tell us: an agent that no row knew any more. */
static void give_back_gone(struct pass *p, struct gpu_bank *b)
{
    struct err ignored;

    for (int i = 0; i < gpu_bank_count(b); i++) {
        const struct gpu_seat *seat = gpu_bank_seat(b, i);
        const struct doc *order;

        if (seat->adopted && runtime_order(p->runtime, p->arena, seat->holder, &order, &ignored) == 0 &&
            !doc_has(order, "name"))
            gpu_bank_give(b, arena_strdup(p->arena, seat->holder));
    }
}

static void tell_next(struct pass *p, const struct gpu_bank *b)
{
    const char *next = gpu_bank_next(b);

    if (*next)
        engine_touch(p->engine, next);
}

bool instance_gpus_take(struct pass *p, const struct gpu_wish *w)
{
    struct gpu_bank *b = bank_of(p->engine);
    int each = wanted(p->engine, w->instance_type);

    if (!each || !w->count)
        return true;
    if (!gpu_bank_take_all(b, w->agents, w->count, w->owner->uid, each, w->urgent)) {
        give_back_gone(p, b);
        if (!gpu_bank_take_all(b, w->agents, w->count, w->owner->uid, each, w->urgent))
            return false;
    }
    /* The next may be content with what is left. */
    tell_next(p, b);
    return true;
}

const char *instance_gpus_waits(struct pass *p, const struct gpu_wish *w)
{
    const struct gpu_bank *b = bank_of(p->engine);
    int cordoned = gpu_bank_cordoned(b), wants = wanted(p->engine, w->instance_type) * w->count;

    return arena_printf(p->arena, "Waiting for %d GPU%s: %d of %d are in use%s and %d came before this one", wants,
                        wants == 1 ? "" : "s", gpu_bank_count(b) - gpu_bank_unused(b) - cordoned, gpu_bank_count(b),
                        cordoned ? arena_printf(p->arena, ", %d cordoned,", cordoned) : "",
                        gpu_bank_waiting_before(b, w->agents[0]));
}

void instance_gpus_give(struct pass *p, const char *agent)
{
    struct gpu_bank *b = bank_of(p->engine);
    gpu_bank_give(b, agent);
    tell_next(p, b);
}

void instance_gpus_order(struct arena *a, struct engine *e, const char *agent, const char *instance_type,
                         struct doc *limits)
{
    uint64_t held = gpu_bank_held(bank_of(e), agent);
    int has = instance_type_gpus(instance_type);
    struct doc *list = doc_list(a);

    for (int i = 0; i < GPU_BANK_MOST; i++)
        if (held & UINT64_C(1) << i)
            doc_append(a, list, doc_integer(a, i));
    doc_set(a, limits, "gpus", list->count ? list : NULL);
    if (has && !list->count)
        doc_set_integer(a, limits, "gpus_absent", has);
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

int instance_gpus_fault(struct pass *p, const struct report *report, struct err *err)
{
    const struct doc *fault = report->gpu_fault;

    if (!fault || !doc_bool(fault, "broken", false))
        return 0;
    log_warning("gpu.cordoned", "uuid=%s why=%s", doc_text(fault, "uuid"), log_quote(p->arena, doc_text(fault, "why")));
    return gpu_bank_cordon(bank_of(p->engine), doc_text(fault, "uuid"), doc_text(fault, "why"), p->now_ms, err);
}
