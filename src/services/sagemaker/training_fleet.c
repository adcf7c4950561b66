#include "services/sagemaker/training_fleet.h"

#include <string.h>

#include "fleet/fleet.h"
#include "fleet/instance_type.h"
#include "services/sagemaker/training_groups.h"
#include "services/sagemaker/training_interrupt.h"

struct wish training_wish(const struct resource *r)
{
    struct training_spec s = training_spec_of(r->row.spec);
    struct wish w = { .key = r->row.uid, .usage = "training job", .role_arn = s.role_arn, .spot = s.spot,
                      .group_count = training_group_count(&s), .attempt = training_attempt(r),
                      .max_runtime_ms = s.max_runtime_s * 1000 - doc_int(r->status, "_RanMs", 0) };

    for (int i = 0; i < w.group_count; i++)
        w.groups[i] = (struct work_group){ training_group(&s, i).type, training_group(&s, i).count, s.volume_gb };
    return w;
}

static bool is_accelerated(const struct fleet *fleet, const char *name)
{
    const struct instance_type *type = instance_type(name);
    struct fleet_type own;

    return (type && type->accelerators > 0) || (fleet_type(fleet, name, &own) && own.needs.gpus > 0);
}

/* As on AWS, where it is for accelerated instances and has no effect on others. */
int64_t training_pends_until_ms(const struct fleet *fleet, const struct resource *r)
{
    struct training_spec s = training_spec_of(r->row.spec);

    for (int i = 0; s.max_pending_s && training_attempt(r) == 0 && i < training_group_count(&s); i++)
        if (is_accelerated(fleet, training_group(&s, i).type))
            return r->row.created_ms + s.max_pending_s * 1000;
    return INT64_MAX;
}

static const struct doc *taken_of(const struct resource *r)
{
    const struct doc *taken = doc_get(r->row.status, "_Taken");

    return doc_int(taken, "Attempt", -1) == training_attempt(r) ? taken : NULL;
}

const char *training_taken(const struct resource *r)
{
    return taken_of(r) ? doc_text(taken_of(r), "Words") : NULL;
}

int training_ask_fleet(struct pass *p, struct resource *r, bool *ret_taken, struct err *err)
{
    const struct wish wish = training_wish(r);
    struct allocation at;
    struct doc *taken;

    *ret_taken = false;
    if (allocation_look(p, r, &wish, &at, err) < 0)
        return -1;
    if (taken_of(r) || at.state != ALLOCATION_LEAVING)
        return 0;
    if (training_is_taken_back(r, p->now_ms))
        return 0; /* it was asked to, and the fleet was told of it */
    taken = doc_map(p->arena);
    doc_set_integer(p->arena, taken, "Attempt", training_attempt(r));
    doc_set_string(p->arena, taken, "Words", at.words);
    doc_set(p->arena, r->status, "_Taken", taken);
    *ret_taken = true;
    return 0;
}

static bool saves(const struct resource *r)
{
    return *training_spec_of(r->row.spec).checkpoint_uri;
}

const char *training_interrupted_message(struct arena *a, const struct resource *r, const char *why)
{
    return arena_printf(a, "Training job interrupted: %s. %s when there is capacity again", why,
                        saves(r) ? "It goes on from its checkpoints"
                                          : "Without CheckpointConfig, it starts again from the beginning");
}
