#include "services/sagemaker/training_saving.h"

#include <string.h>

#include "base/clock.h"
#include "fleet/checkpoint.h"
#include "fleet/fleet.h"
#include "fleet/spot.h"
#include "services/sagemaker/training_groups.h"

enum { HOUR_MS = 3600000, HOPELESS = 20 /* times the work */, NOTHING_MS = 50 /* would be shown as 0.0 s */ };

#define STARTING "Starting the training job"

double training_interrupted_every_ms(const struct fleet *fleet, const struct training_spec *s)
{
    double per_hour = 0;

    for (int i = 0; s->spot && i < training_group_count(s); i++) {
        struct training_group g = training_group(s, i);
        struct fleet_type type;

        /* What is interrupted by price has no rate. */
        if (!spot_trace(fleet, g.type) && fleet_type(fleet, g.type, &type))
            per_hour += type.interruptions_hour * (double)g.count;
    }
    return per_hour > 0 ? HOUR_MS / per_hour : 0;
}

static const char *expected_loss(struct arena *a, double work_ms, double every_ms)
{
    double loss_ms = checkpoint_loss_ms(work_ms, every_ms);

    if (loss_ms > HOPELESS * work_ms)
        return "it can hardly be expected to end";
    return arena_printf(a, "%s of work are expected to be lost", duration_text(a, loss_ms));
}

const char *training_start_message(struct arena *a, const struct fleet *fleet, const struct training_spec *s)
{
    double every_ms = training_interrupted_every_ms(fleet, s), work_ms = (double)s->max_runtime_s * 1e3;
    const char *who = "Its instance";

    if (s->instance_count > 1)
        who = arena_printf(a, "One of its %lld instances", (long long)s->instance_count);
    if (every_ms <= 0 || *s->checkpoint_uri || checkpoint_loss_ms(work_ms, every_ms) < NOTHING_MS)
        return STARTING;
    return arena_printf(a,
                        STARTING ". Warning: a spot job without CheckpointConfig begins anew after each interruption. "
                        "%s is interrupted about once in %s: if the job needs its MaxRuntimeInSeconds of %lld, %s. "
                        "Set CheckpointConfig, and save to it.",
                        who, duration_text(a, every_ms), (long long)s->max_runtime_s,
                        expected_loss(a, work_ms, every_ms));
}

void training_take_saving(struct arena *a, struct resource *r, const char *usual, const struct report *report)
{
    struct doc *all = doc_member(a, r->status, "SecondaryStatusTransitions", DOC_LIST), *last;
    const char *advice = doc_text(report->checkpoint, "advice");

    last = *advice && all->count ? all->items[all->count - 1] : NULL;
    if (last && doc_is(last, "Status", "Training"))
        doc_set_string(a, last, "StatusMessage", arena_printf(a, "%s %s", usual, advice));
}
