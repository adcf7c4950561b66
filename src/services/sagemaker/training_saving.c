#include "services/sagemaker/training_saving.h"

#include "base/clock.h"
#include "engine/engine.h"
#include "fleet/checkpoint.h"
#include "services/platform.h"
#include "services/sagemaker/spot_seen.h"

enum { HOPELESS = 20 /* times the work */, NOTHING_MS = 50 /* would be shown as 0.0 s */ };

#define STARTING "Starting the training job"

static const char *expected_loss(struct arena *a, double work_ms, double every_ms)
{
    double loss_ms = checkpoint_loss_ms(work_ms, every_ms);

    if (loss_ms > HOPELESS * work_ms)
        return "it can hardly be expected to end";
    return arena_printf(a, "%s of work are expected to be lost", duration_text(a, loss_ms));
}

static const char *message(struct arena *a, const struct training_spec *s, double every_ms)
{
    double work_ms = (double)s->max_runtime_s * 1e3;
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

int training_start_message(struct call *c, const struct training_spec *s, const char **ret, struct err *err)
{
    const struct platform *platform = engine_context(c->engine);
    double every_ms;

    if (spot_interrupted_every_ms(engine_world_of(c->engine)->store, platform->fleet, s, c->now_ms, &every_ms, err) < 0)
        return -1;
    *ret = message(c->arena, s, every_ms);
    return 0;
}
