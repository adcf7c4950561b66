/* processing_run.c - ProcessingJob, the world's side: one agent, once.
 *
 * The agent is named by the job's uid, so a restarted control plane finds the one that was started. An agent that is
 * not there before anyone saw a report of it is started (again); once a report was saved (_Seen) it never is.
 *
 * Members of the status that begin with '_' are never shown: _Seen (a report came), _StartedMs (since when it is paid
 * for), _Swept (what the agent left is gone). */
#include <string.h>

#include "engine/engine.h"
#include "fleet/instance_type.h"
#include "fleet/pool.h"
#include "run/runtime.h"
#include "services/sagemaker/instance.h"
#include "services/sagemaker/instance_gpus.h"
#include "services/sagemaker/kinds.h"
#include "services/sagemaker/processing.h"

enum {
    GRACE_S = 120,  /* SIGTERM to SIGKILL, as for training */
    LOOK_MS = 1000, /* an agent pokes us; this is for the poke that was lost */
    LOOK_LATER_MS = 15000,
};

const char *processing_agent(struct arena *a, const struct resource *r)
{
    return arena_printf(a, "%s-0", child_uid(a, r->row.uid, "algo-1", 0));
}

bool processing_owns(struct arena *a, const struct resource *r, const char *agent)
{
    return strcmp(processing_agent(a, r), agent) == 0 && !doc_bool(r->status, "_Swept", false);
}

/* --- What was seen --- */

/* The download counts, as in training. */
static void take_start(struct pass *p, struct resource *r, const struct report *report)
{
    if (doc_has(r->status, "_StartedMs"))
        return;
    for (size_t i = 0; i < doc_count(report->phases, ""); i++) {
        const struct doc *phase = report->phases->items[i];

        if (doc_is(phase, "phase", "Starting") || doc_is(phase, "phase", "Ended"))
            continue;
        doc_set_integer(p->arena, r->status, "_StartedMs", doc_int(phase, "at_ms", 0));
        doc_set_integer(p->arena, r->status, "ProcessingStartTime", doc_int(phase, "at_ms", 0));
        return;
    }
}

static int open_usage(struct pass *p, const struct resource *r, struct err *err)
{
    struct processing_spec s = processing_spec_of(r->row.spec);
    const struct instance_type *type = instance_type(s.instance_type);
    struct doc *attributes = doc_map(p->arena);

    doc_set_string(p->arena, attributes, "owner_arn", r->row.arn);
    doc_set_string(p->arena, attributes, "role_arn", s.role_arn);
    doc_set_string(p->arena, attributes, "instance_type", s.instance_type);
    doc_set_string(p->arena, attributes, "work", "processing");
    doc_set_boolean(p->arena, attributes, "spot", false);
    if (type && type->usd_hour >= 0)
        doc_set_real(p->arena, attributes, "usd_hour", type->usd_hour);
    return usage_open(p->engine, processing_agent(p->arena, r), doc_int(r->status, "_StartedMs", 0), attributes, err);
}

/* --- Ends --- */

/* 'reason' also tells why a job was stopped that nobody had asked to stop; "" for none. */
static int end(struct pass *p, struct resource *r, const char *state, const char *reason, int64_t at_ms,
               struct err *err)
{
    struct platform *platform = engine_context(p->engine);

    if (usage_close(p->engine, processing_agent(p->arena, r), at_ms, err) < 0)
        return -1;
    instance_gpus_give(p, processing_agent(p->arena, r));
    engine_touch(p->engine, pool_give(platform->pool, r->row.uid));
    if (*reason)
        doc_set_string(p->arena, r->status, "FailureReason", reason);
    if (strcmp(state, "Stopped") == 0)
        set_state(r, "Stopping"); /* the only way there */
    set_state(r, state);
    doc_set_integer(p->arena, r->status, "ProcessingEndTime", at_ms);
    return 0;
}

static int take_end(struct pass *p, struct resource *r, const struct report *report, struct err *err)
{
    int64_t at_ms = report->ended_ms ? report->ended_ms : p->now_ms;
    const char *overran = "Job runtime exceeded MaxRuntimeInSeconds";

    if (*report->exit_message)
        doc_set_string(p->arena, r->status, "ExitMessage", report->exit_message);
    if (strcmp(report->outcome, "Failed") == 0)
        return end(p, r, "Failed", report->failure_reason, at_ms, err);
    if (strcmp(report->outcome, "MaxRuntimeExceeded") == 0)
        return end(p, r, "Stopped",
                   *report->message ? arena_printf(p->arena, "%s. %s", overran, report->message) : overran, at_ms, err);
    if (strcmp(report->outcome, "Completed") == 0)
        return end(p, r, "Completed", "", at_ms, err);
    return end(p, r, "Stopped", report->message, at_ms, err);
}

/* --- An agent that is not there --- */

static int start(struct pass *p, struct resource *r, int64_t *ret_next_ms, struct err *err)
{
    struct doc *order;

    *ret_next_ms = p->now_ms + LOOK_MS;
    if (processing_order(p, r, &order, err) == 0 &&
        runtime_start(p->runtime, processing_agent(p->arena, r), order, err) == 0)
        return 0;
    if (err->kind != ERR_INVALID)
        return -1;
    /* No image of that name, or one that this machine can never run: the text is for the user. */
    return end(p, r, "Failed", arena_printf(p->arena, "ClientError: %s", err->text), p->now_ms, err);
}

static int not_there(struct pass *p, struct resource *r, int64_t *ret_next_ms, struct err *err)
{
    struct platform *platform = engine_context(p->engine);
    const char *agent = processing_agent(p->arena, r);
    const struct gpu_wish gpus = { .owner = &r->row, .agents = &agent, .count = 1,
                                   .instance_type = processing_spec_of(r->row.spec).instance_type };

    if (doc_bool(r->status, "_Seen", false))
        return end(p, r, "Failed",
                   "InternalServerError: the instance of the processing job was lost, with its data. Start the job "
                   "again.", p->now_ms, err);
    if (doc_bool(r->row.want, "Stop", false))
        return end(p, r, "Stopped", "", p->now_ms, err);
    /* GPUs first, always: so nobody holds what the other waits for. */
    if (instance_gpus_take(p, &gpus) && pool_take(platform->pool, r->row.uid, false))
        return start(p, r, ret_next_ms, err);
    *ret_next_ms = p->now_ms + LOOK_LATER_MS; /* it stands in line */
    return 0;
}

/* --- An agent that is there --- */

static int there(struct pass *p, struct resource *r, const struct report *report, int64_t *ret_next_ms, struct err *err)
{
    struct platform *platform = engine_context(p->engine);

    pool_take(platform->pool, r->row.uid, true);
    *ret_next_ms = p->now_ms + (*report->phase ? LOOK_LATER_MS : LOOK_MS);
    if (*report->phase)
        doc_set_boolean(p->arena, r->status, "_Seen", true);
    take_start(p, r, report);
    if (doc_has(r->status, "_StartedMs") && open_usage(p, r, err) < 0)
        return -1;
    if (strcmp(report->phase, "Ended") == 0)
        return take_end(p, r, report, err);
    if (doc_bool(r->row.want, "Stop", false))
        return runtime_stop(p->runtime, processing_agent(p->arena, r), GRACE_S, "StopProcessingJob", err);
    return 0;
}

/* Everything is saved: what the agent left on the machine can go. */
static int sweep(struct pass *p, struct resource *r, bool *ret_row_goes, struct err *err)
{
    if (!doc_bool(r->status, "_Swept", false)) {
        if (runtime_forget(p->runtime, processing_agent(p->arena, r), err) < 0)
            return -1;
        instance_gpus_give(p, processing_agent(p->arena, r));
        doc_set_boolean(p->arena, r->status, "_Swept", true);
    }
    *ret_row_goes = strcmp(get_state(r), "Deleting") == 0;
    return 0;
}

int processing_reconcile(struct pass *p, struct resource *r, int64_t *ret_next_ms, bool *ret_row_goes, struct err *err)
{
    enum runtime_state state;
    const struct doc *seen;
    int result;

    if (strcmp(get_state(r), "InProgress") != 0 && strcmp(get_state(r), "Stopping") != 0)
        return sweep(p, r, ret_row_goes, err);
    /* "Cannot tell" is not "not there": conclude nothing and be called again. */
    if (runtime_inspect(p->runtime, p->arena, processing_agent(p->arena, r), &state, &seen, err) < 0)
        return -1;
    if (state == RUNTIME_NONE) {
        result = not_there(p, r, ret_next_ms, err);
    } else {
        struct report report = report_read(seen);

        result = there(p, r, &report, ret_next_ms, err);
    }
    /* An end is saved first; the sweep is another pass. */
    if (doc_has(r->status, "ProcessingEndTime"))
        *ret_next_ms = p->now_ms;
    return result;
}
