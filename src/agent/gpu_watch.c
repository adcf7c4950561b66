/* gpu_watch.c - what ends the work is what cannot be taken back: data in the GPU's memory was lost. A low clock, or
 * a row that waits for a reset (XID 63 says the same, and is noted, too), makes it slower at most. */
#include "agent/gpu_watch.h"

#include <stddef.h>

enum { TOO_HOT_C = 95 };

/* More than when the container started. What the driver did not tell then, or begins to count anew, starts now. */
static bool has_grown(int64_t *before, int64_t now)
{
    if (now == GPU_ABSENT)
        return false;
    if (*before == GPU_ABSENT || now < *before)
        *before = now;
    return now > *before;
}

static bool is_throttled(const struct gpu_sample *s, enum gpu_throttle by)
{
    return s->throttle != GPU_ABSENT && s->throttle & by;
}

static bool ecc(struct gpu_sample *before, const struct gpu_sample *s)
{
    return has_grown(&before->ecc_uncorrected, s->ecc_uncorrected);
}

static bool remap_failed(struct gpu_sample *before, const struct gpu_sample *s)
{
    return has_grown(&before->row_failure, s->row_failure);
}

static bool remap_waits(struct gpu_sample *before, const struct gpu_sample *s)
{
    return has_grown(&before->row_pending, s->row_pending);
}

static bool is_hot(struct gpu_sample *before, const struct gpu_sample *s)
{
    return s->temperature_c >= TOO_HOT_C;
}

static bool heat_brakes(struct gpu_sample *before, const struct gpu_sample *s)
{
    return is_throttled(s, GPU_THROTTLE_HARDWARE_HEAT);
}

static bool power_brakes(struct gpu_sample *before, const struct gpu_sample *s)
{
    return is_throttled(s, GPU_THROTTLE_POWER_BRAKE);
}

static const struct sign {
    bool (*is_seen)(struct gpu_sample *before, const struct gpu_sample *);
    const char *words;
    bool ends;
} signs[] = {
    { ecc, "uncorrected ECC errors since the container started", true },
    { remap_failed, "a row of its memory could not be remapped", true },
    { remap_waits, "a row of its memory is to be remapped at the next reset", false },
    { is_hot, "it is at 95 degrees Celsius or above", false },
    { heat_brakes, "its hardware slows down for heat", false },
    { power_brakes, "its hardware slows down for its power supply", false },
};
_Static_assert(sizeof signs / sizeof *signs == GPU_SIGNS, "a place for each sign");

bool gpu_watch_look(struct gpu_watch *w, int place, const struct gpu_sample *s)
{
    struct gpu_seen *g = &w->gpus[place];
    bool changed = false;

    if (s->lost)
        return false; /* that is told elsewhere, and nothing else is known of it */
    if (!g->known)
        g->before = *s;
    g->known = true;
    for (int i = 0; i < GPU_SIGNS; i++) {
        if (signs[i].is_seen(&g->before, s) == g->signs[i].on) {
            g->signs[i].changing = 0;
        } else if (++g->signs[i].changing >= GPU_LOOKS) {
            g->signs[i].on = !g->signs[i].on;
            g->signs[i].changing = 0;
            changed = true;
        }
    }
    return changed;
}

static const struct {
    const char *name;
    size_t offset;
} counted[] = {
    { "ecc_uncorrected", offsetof(struct gpu_sample, ecc_uncorrected) },
    { "row_failure", offsetof(struct gpu_sample, row_failure) },
    { "row_pending", offsetof(struct gpu_sample, row_pending) },
};

static int64_t *count_in(const struct gpu_seen *g, size_t which)
{
    return (int64_t *)(void *)((char *)&g->before + counted[which].offset);
}

struct doc *gpu_watch_before(struct arena *a, const struct gpu_watch *w, int place)
{
    const struct gpu_seen *g = &w->gpus[place];
    struct doc *d = doc_map(a);

    for (size_t i = 0; i < sizeof counted / sizeof *counted; i++)
        if (*count_in(g, i) != GPU_ABSENT)
            doc_set_integer(a, d, counted[i].name, *count_in(g, i));
    return g->known ? d : NULL;
}

void gpu_watch_recall(struct gpu_watch *w, int place, const struct doc *before)
{
    struct gpu_seen *g = &w->gpus[place];

    g->known = true;
    for (size_t i = 0; i < sizeof counted / sizeof *counted; i++)
        *count_in(g, i) = doc_int(before, counted[i].name, GPU_ABSENT);
}

static const char *said(struct arena *a, const struct gpu_watch *w, int place, int index, bool ends)
{
    const char *words = NULL;

    for (int i = 0; i < GPU_SIGNS; i++)
        if (w->gpus[place].signs[i].on && signs[i].ends == ends)
            words = words ? arena_printf(a, "%s, %s", words, signs[i].words)
                          : arena_printf(a, "GPU %d: %s", index, signs[i].words);
    return words;
}

const char *gpu_watch_trouble(struct arena *a, const struct gpu_watch *w, int place, int index)
{
    return said(a, w, place, index, true);
}

const char *gpu_watch_warning(struct arena *a, const struct gpu_watch *w, int place, int index)
{
    return said(a, w, place, index, false);
}
