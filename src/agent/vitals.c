/* vitals.c - looks every few seconds; what it asks the node for then costs nothing that the job would notice. */
#include "agent/vitals.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "agent/baseline.h"
#include "agent/check.h"
#include "agent/quiet.h"
#include "run/cgroup.h"
#include "run/folder.h"
#include "run/network_look.h"

enum {
    LOOK_MS = 10000,
    LOOK_LEAST_MS = 200,
    LOOKS = 8, /* at least, before it counts as quiet */
};

struct stillness {
    struct quiet quiet;
    int64_t after_ms; /* it is told of; 0: never */
    bool is_on;
    char words[160];
};

struct vitals {
    struct vitals_options o;
    struct loop_timer timer;
    int64_t look_ms;
    struct stillness quiet, silent;
    char trouble[512];
    const char *check;
    struct baseline before;
    const struct gpu *bad_gpu;
    char warning[512];
};

/* --- Its GPUs --- */

static void look_at_gpus(struct vitals *v, struct arena *a)
{
    const char *words = "";
    bool changed = false;

    for (int i = 0; i < gpu_monitor_count(v->o.gpus); i++) {
        int index = gpu_monitor_gpu(v->o.gpus, i)->index;
        struct gpu_sample s;
        const char *warning;

        if (gpu_monitor_sample(v->o.gpus, i, &s) && gpu_watch_look(&v->before.watched, i, &s))
            changed = true;
        warning = gpu_watch_warning(a, &v->before.watched, i, index);
        if (warning)
            words = arena_printf(a, "%s%s%s", words, *words ? "; " : "", warning);
    }
    if (!changed)
        return;
    snprintf(v->warning, sizeof v->warning, "%s", words);
    v->o.happened(v->o.data);
}

static const char *bad_gpu_words(struct vitals *v, struct arena *a)
{
    if (*v->before.gone.uuid) {
        v->bad_gpu = &v->before.gone;
        return arena_printf(a, "GPU %d: the driver does not tell of it any more", v->bad_gpu->index);
    }
    for (int i = 0; i < gpu_monitor_count(v->o.gpus); i++) {
        const struct gpu *gpu = gpu_monitor_gpu(v->o.gpus, i);
        const char *words = gpu_watch_trouble(a, &v->before.watched, i, gpu->index);

        if (words) {
            v->bad_gpu = gpu;
            return words;
        }
    }
    return "";
}

/* --- Is the instance fit? --- */

static bool is_fit(struct vitals *v, struct arena *a)
{
    const struct checked c = { .order = v->o.order, .folder = v->o.folder, .clock = v->o.clock, .cancel_fd = -1 };
    struct finding findings[CHECKS_MOST];
    int count = check_all(a, &c, false, findings);
    const char *words = "", *where;
    int64_t errors = ecc_errors(a, EDAC, &where);

    if (errors > v->before.memory_errors && v->before.memory_errors >= 0) {
        v->check = "memory errors";
        words = arena_printf(a, "%lld uncorrected memory errors since the container started, at %s",
                             (long long)(errors - v->before.memory_errors), where);
    } else if (!findings[count - 1].passed) {
        v->check = findings[count - 1].check;
        words = findings[count - 1].evidence;
    } else if (*bad_gpu_words(v, a)) {
        v->check = "GPU";
        words = bad_gpu_words(v, a);
    } else if (v->o.network && !network_stands(a, v->o.network, &words)) {
        v->check = "network";
    }
    snprintf(v->trouble, sizeof v->trouble, "%s", words);
    return !*words;
}

/* --- Does the container do anything? --- */

static bool gpu_busy(const struct vitals *v)
{
    for (int i = 0; i < gpu_monitor_count(v->o.gpus); i++) {
        struct gpu_sample s;

        if (gpu_monitor_sample(v->o.gpus, i, &s) && !s.lost && s.utilization_percent > 0)
            return true;
    }
    return false;
}

/* True: it is otherwise than before. */
static bool look_at(struct stillness *s, const struct signs *now)
{
    bool was_on = s->is_on;

    quiet_look(&s->quiet, now);
    s->is_on = s->after_ms && quiet_ms(&s->quiet) >= s->after_ms;
    return s->is_on != was_on;
}

static void look_for_life(struct vitals *v, struct arena *a)
{
    struct signs now = { .boot_ms = clock_boot_ms(v->o.clock), .wall_ms = clock_wall_ms(v->o.clock),
                         .gpu_busy = gpu_busy(v) };
    struct signs lines = { .boot_ms = now.boot_ms, .wall_ms = now.wall_ms };
    struct cgroup_usage u;
    struct stat st;
    bool changed;

    cgroup_read(a, v->o.order->name, &u);
    now.cpu_ns = u.cpu_ns;
    if (stat(arena_printf(a, "%s/" FOLDER_OUTPUT, v->o.folder), &st) == 0)
        now.output_bytes = lines.output_bytes = st.st_size;
    changed = look_at(&v->quiet, &now);
    if (changed && v->quiet.is_on)
        snprintf(v->quiet.words, sizeof v->quiet.words,
                 "no line of its log after %lld bytes, %.1f s of CPU in all and no more%s",
                 (long long)now.output_bytes, (double)now.cpu_ns / 1e9,
                 gpu_monitor_count(v->o.gpus) ? ", its GPUs idle" : "");
    if (look_at(&v->silent, &lines)) {
        changed = true;
        snprintf(v->silent.words, sizeof v->silent.words, "no line of its log after %lld bytes, though it works",
                 (long long)now.output_bytes);
    }
    if (changed)
        v->o.happened(v->o.data);
}

static void due(struct loop_timer *timer)
{
    struct vitals *v = (struct vitals *)(void *)((char *)timer - offsetof(struct vitals, timer));
    _cleanup_arena_ struct arena *a = arena_new();

    look_for_life(v, a);
    look_at_gpus(v, a);
    baseline_keep(&v->before, v->o.gpus);
    if (is_fit(v, a))
        loop_timer_set(v->o.loop, timer, loop_now_ms(v->o.loop) + v->look_ms);
    else
        v->o.happened(v->o.data);
}

/* Often enough for the shorter of both. */
static int64_t look_ms(const struct vitals *v)
{
    const int64_t after_ms[] = { v->quiet.after_ms, v->silent.after_ms };
    int64_t ms = LOOK_MS;

    for (size_t i = 0; i < sizeof after_ms / sizeof *after_ms; i++)
        if (after_ms[i] && after_ms[i] / LOOKS < ms)
            ms = after_ms[i] / LOOKS;
    return ms > LOOK_LEAST_MS ? ms : LOOK_LEAST_MS;
}

struct vitals *vitals_new(const struct vitals_options *options)
{
    struct vitals *v = calloc(1, sizeof *v);
    _cleanup_arena_ struct arena *a = arena_new();
    const char *where;

    assert(v);
    v->o = *options;
    v->before.folder = v->o.folder;
    v->before.memory_errors = ecc_errors(a, EDAC, &where);
    baseline_recall(&v->before, v->o.gpus);
    look_at_gpus(v, a); /* the first look tells nothing yet: it is what the others are compared with */
    baseline_keep(&v->before, v->o.gpus);
    v->timer.run = due;
    v->quiet.after_ms = v->o.order->quiet_after_s * 1000;
    v->silent.after_ms = v->o.order->silent_after_s * 1000;
    v->look_ms = v->quiet.quiet.look_ms = v->silent.quiet.look_ms = look_ms(v);
    loop_timer_set(v->o.loop, &v->timer, loop_now_ms(v->o.loop) + v->look_ms);
    return v;
}

void vitals_free(struct vitals *v)
{
    if (!v)
        return;
    loop_timer_stop(v->o.loop, &v->timer);
    free(v);
}

const char *vitals_trouble(const struct vitals *v, const char **ret_check)
{
    *ret_check = v && v->check ? v->check : "";
    return v ? v->trouble : "";
}

const struct gpu *vitals_bad_gpu(const struct vitals *v)
{
    return v ? v->bad_gpu : NULL;
}

const char *vitals_warning(const struct vitals *v)
{
    return v ? v->warning : "";
}

static int64_t since_ms(const struct stillness *s, const char **ret_words)
{
    *ret_words = s && s->is_on ? s->words : "";
    return s && s->is_on ? s->quiet.since_wall_ms : 0;
}

int64_t vitals_quiet_since_ms(const struct vitals *v, const char **ret_words)
{
    return since_ms(v ? &v->quiet : NULL, ret_words);
}

int64_t vitals_silent_since_ms(const struct vitals *v, const char **ret_words)
{
    return since_ms(v ? &v->silent : NULL, ret_words);
}
