#include "agent/cut.h"

#include <string.h>

#include "base/str.h"

enum {
    LOOK_MS = 5000,
    KEPT_MS = 3600000, /* of a job that was stopped or had no more time: the results are what is left of it */
    FAILED_MS = 600000,
    REASON_MAX = 1024,
};

static int64_t member(const struct train *t, const char *name)
{
    return doc_int(report_doc(t->report), name, 0);
}

static bool ends_as(const struct train *t, const char *outcome)
{
    return doc_is(report_doc(t->report), "_outcome", outcome);
}

static void plan(struct train *t, int64_t at_boot_ms, const char *by)
{
    report_set_int(t->report, "_cut_boot_ms", at_boot_ms);
    if (*by)
        report_set_text(t->report, "_cut_by", by);
}

/* A stop that comes while the results are uploaded has its grace, as the container would have had. */
static void plan_cut(struct train *t)
{
    struct world *w = t->world;
    int64_t grace_s, boot_ms = w->boot_ms(w), limit_ms = t->order->max_runtime_s * 1000, begun_ms;

    if (!member(t, "_save_boot_ms"))
        report_set_int(t->report, "_save_boot_ms", boot_ms);
    begun_ms = member(t, member(t, "_started_boot_ms") ? "_started_boot_ms" : "_save_boot_ms");
    if (member(t, "_cut_boot_ms"))
        return;
    if (ends_as(t, "Failed"))
        plan(t, member(t, "_save_boot_ms") + FAILED_MS, "");
    else if (ends_as(t, "Stopped") || ends_as(t, "MaxRuntimeExceeded"))
        plan(t, member(t, "_save_boot_ms") + KEPT_MS, "");
    else if (w->stop_asked(w, &grace_s) && !w->taken_back(w))
        plan(t, boot_ms + grace_s * 1000, "Stopped");
    else if (limit_ms && boot_ms - begun_ms > limit_ms)
        plan(t, boot_ms + KEPT_MS, "MaxRuntimeExceeded");
}

bool cut_is_due(struct train *t, int64_t *next_ms)
{
    struct world *w = t->world;
    int64_t wait_ms = LOOK_MS;

    plan_cut(t);
    if (member(t, "_cut_boot_ms")) {
        int64_t left_ms = member(t, "_cut_boot_ms") - w->boot_ms(w);

        if (left_ms <= 0)
            return true;
        wait_ms = left_ms < LOOK_MS ? left_ms : LOOK_MS;
    }
    if (w->wall_ms(w) + wait_ms < *next_ms)
        *next_ms = w->wall_ms(w) + wait_ms;
    return false;
}

bool cut_has_begun(const struct train *t)
{
    return doc_bool(report_doc(t->report), "_cut", false);
}

void cut_begin(struct train *t)
{
    const char *by = doc_text(report_doc(t->report), "_cut_by");

    report_set_bool(t->report, "_cut", true);
    if (*by && !ends_as(t, "Failed"))
        report_set_text(t->report, "_outcome", by);
}

/* Behind the reason for the job's failure, which is the better one. */
static void tell_failed(struct train *t, struct arena *a, const char *target, const char *why)
{
    const char *more = arena_printf(a, " What it left was not uploaded to %.200s in 10 minutes%s%.300s.", target,
                                    *why ? ": " : "", why);
    struct str reason = utf8_first(str_of(doc_text(report_doc(t->report), "_reason")), REASON_MAX - strlen(more) - 1);

    report_set_text(t->report, "_reason",
                    arena_printf(a, STR_FMT "%s%s", STR_ARG(reason), str_ends(reason, ".") ? "" : ".", more));
}

void cut_tell(struct train *t, struct arena *a, const char *why)
{
    const char *target = order_processes(t->order) ? "S3" : t->order->output_s3_uri;
    bool by_time = doc_is(report_doc(t->report), "_cut_by", "MaxRuntimeExceeded");

    if (ends_as(t, "Failed")) {
        tell_failed(t, a, target, why);
        return;
    }
    report_set_text(t->report, "message",
                    arena_printf(a, "The upload of the results to %s took too long after the %s, and was ended"
                                    "%s%.300s. They are not complete there.", target,
                                 by_time ? "end of MaxRuntimeInSeconds" : "stop", *why ? ": " : "", why));
}
