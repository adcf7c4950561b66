/* check_gpu.c - the GPUs that were granted, as their driver tells of them (NVML).
 *
 * The limits are NVIDIA's own advice: uncorrected ECC errors since the driver was loaded, a failed or pending remap of
 * rows ("GPU Memory Error Management"), and the reasons of low clocks that the hardware itself gives. Software that
 * holds the clocks back because of heat or power (0x20, 0x4) is how such machines are run. */
#include <inttypes.h>
#include <time.h>

#include "agent/check.h"
#include "run/gpu_monitor.h"

enum {
    TOO_HOT_C = 95,
    SAMPLE_MS = 5000,
    LOOK_MS = 20,
};

static const struct {
    int64_t bit;
    const char *words;
} brakes[] = {
    { GPU_THROTTLE_HARDWARE_HEAT, "its hardware slows down for heat" },
    { GPU_THROTTLE_POWER_BRAKE, "its hardware slows down for its power supply" },
};

const char *gpu_trouble(struct arena *a, int index, const struct gpu_sample *s, int xid)
{
    const char *what = NULL;

    if (s->lost)
        return arena_printf(a, "GPU %d: the driver cannot reach it, or it has to be reset", index);
    if (xid && (xid_of(xid)->effect == XID_BROKEN || xid_of(xid)->effect == XID_RESTART))
        return arena_printf(a, "GPU %d reported XID %d (%s)", index, xid, xid_of(xid)->words);
    if (s->ecc_uncorrected > 0)
        what = arena_printf(a, "%" PRId64 " uncorrected ECC errors", s->ecc_uncorrected);
    else if (s->row_failure > 0)
        what = "a row of its memory could not be remapped";
    else if (s->row_pending > 0)
        what = "a row of its memory is to be remapped at the next reset";
    else if (s->temperature_c >= TOO_HOT_C)
        what = arena_printf(a, "it is at %" PRId64 " degrees Celsius", s->temperature_c);
    for (size_t i = 0; !what && s->throttle != GPU_ABSENT && i < sizeof brakes / sizeof *brakes; i++)
        if (s->throttle & brakes[i].bit)
            what = brakes[i].words;
    return what ? arena_printf(a, "GPU %d: %s", index, what) : NULL;
}

static bool sampled(struct gpu_monitor *m, int place, struct clock *clock, struct gpu_sample *ret)
{
    const struct timespec pause = { .tv_nsec = LOOK_MS * 1000000 };
    int64_t until_ms = clock_boot_ms(clock) + SAMPLE_MS;

    while (!gpu_monitor_sample(m, place, ret)) {
        if (clock_boot_ms(clock) >= until_ms)
            return false;
        nanosleep(&pause, NULL);
    }
    return true;
}

static void look(struct arena *a, struct gpu_monitor *m, const struct checked *c, struct finding *ret)
{
    int granted = (int)list_count(c->order->gpus);

    if (gpu_monitor_count(m) < granted) {
        ret->passed = false;
        ret->evidence = arena_printf(a, "%d GPUs were granted, and the driver tells of %d of them", granted,
                                     gpu_monitor_count(m));
        return;
    }
    for (int i = 0; i < granted; i++) {
        const struct gpu *gpu = gpu_monitor_gpu(m, i);
        const char *trouble = "its driver does not answer";
        struct gpu_sample s;

        if (sampled(m, i, c->clock, &s))
            trouble = gpu_trouble(a, gpu->index, &s, gpu_monitor_last_xid(m, i));
        if (trouble) {
            ret->passed = false;
            ret->evidence = trouble;
            ret->gpu = arena_copy(a, gpu, sizeof *gpu);
            return;
        }
        ret->evidence = arena_printf(a, "%s%sGPU %d (%s) at %" PRId64 " degrees", i ? ret->evidence : "", i ? ", " : "",
                                     gpu->index, gpu->uuid, s.temperature_c);
    }
}

void check_gpu(struct arena *a, const struct checked *c, struct finding *ret)
{
    struct gpu_monitor *m;

    if (!order_gpus(c->order)) {
        ret->evidence = "it has none";
        return;
    }
    m = gpu_monitor_new(&(struct gpu_monitor_options){ .only = order_gpus(c->order) });
    look(a, m, c, ret);
    gpu_monitor_free(m);
}
