/* vitals.c - looks every few seconds; what it asks the node for then costs nothing that the job would notice. */
#include "agent/vitals.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "agent/check.h"
#include "agent/gpu_watch.h"
#include "agent/quiet.h"
#include "run/cgroup.h"
#include "run/folder.h"
#include "run/network_look.h"

enum {
    LOOK_MS = 10000,
    LOOK_LEAST_MS = 200,
    LOOKS = 8, /* at least, before it counts as quiet */
};

struct vitals {
    struct vitals_options o;
    struct loop_timer timer;
    struct quiet quiet;
    bool is_quiet;
    char quiet_words[160], trouble[512];
    const char *check;
    struct gpu_watch watched;
    const struct gpu *bad_gpu;
    char warning[512];
    int64_t ecc_errors; /* that were counted before the container started; -1: nobody counts them */
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

        if (gpu_monitor_sample(v->o.gpus, i, &s) && gpu_watch_look(&v->watched, i, &s))
            changed = true;
        warning = gpu_watch_warning(a, &v->watched, i, index);
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
    for (int i = 0; i < gpu_monitor_count(v->o.gpus); i++) {
        const struct gpu *gpu = gpu_monitor_gpu(v->o.gpus, i);
        const char *words = gpu_watch_trouble(a, &v->watched, i, gpu->index);

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

    if (errors > v->ecc_errors && v->ecc_errors >= 0) {
        v->check = "memory errors";
        words = arena_printf(a, "%lld uncorrected memory errors since the container started, at %s",
                             (long long)(errors - v->ecc_errors), where);
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

static void look_for_life(struct vitals *v, struct arena *a)
{
    struct signs now = { .boot_ms = clock_boot_ms(v->o.clock), .wall_ms = clock_wall_ms(v->o.clock),
                         .gpu_busy = gpu_busy(v) };
    bool was_quiet = v->is_quiet;
    struct cgroup_usage u;
    struct stat st;

    cgroup_read(a, v->o.order->name, &u);
    now.cpu_ns = u.cpu_ns;
    if (stat(arena_printf(a, "%s/" FOLDER_OUTPUT, v->o.folder), &st) == 0)
        now.output_bytes = st.st_size;
    quiet_look(&v->quiet, &now);
    v->is_quiet = v->o.order->quiet_after_s && quiet_ms(&v->quiet) >= v->o.order->quiet_after_s * 1000;
    if (v->is_quiet && !was_quiet)
        snprintf(v->quiet_words, sizeof v->quiet_words,
                 "no line of its log after %lld bytes, %.1f s of CPU in all and no more%s",
                 (long long)now.output_bytes, (double)now.cpu_ns / 1e9,
                 gpu_monitor_count(v->o.gpus) ? ", its GPUs idle" : "");
    if (v->is_quiet != was_quiet)
        v->o.happened(v->o.data);
}

static void due(struct loop_timer *timer)
{
    struct vitals *v = (struct vitals *)(void *)((char *)timer - offsetof(struct vitals, timer));
    _cleanup_arena_ struct arena *a = arena_new();

    look_for_life(v, a);
    look_at_gpus(v, a);
    if (is_fit(v, a))
        loop_timer_set(v->o.loop, timer, loop_now_ms(v->o.loop) + v->quiet.look_ms);
    else
        v->o.happened(v->o.data);
}

struct vitals *vitals_new(const struct vitals_options *options)
{
    struct vitals *v = calloc(1, sizeof *v);
    _cleanup_arena_ struct arena *a = arena_new();
    const char *where;

    assert(v);
    v->o = *options;
    v->ecc_errors = ecc_errors(a, EDAC, &where);
    v->timer.run = due;
    v->quiet.look_ms = LOOK_MS;
    if (v->o.order->quiet_after_s && v->o.order->quiet_after_s * 1000 / LOOKS < LOOK_MS)
        v->quiet.look_ms = v->o.order->quiet_after_s * 1000 / LOOKS;
    if (v->quiet.look_ms < LOOK_LEAST_MS)
        v->quiet.look_ms = LOOK_LEAST_MS;
    loop_timer_set(v->o.loop, &v->timer, loop_now_ms(v->o.loop) + v->quiet.look_ms);
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

int64_t vitals_quiet_since_ms(const struct vitals *v, const char **ret_words)
{
    *ret_words = v && v->is_quiet ? v->quiet_words : "";
    return v && v->is_quiet ? v->quiet.since_wall_ms : 0;
}
