/* training_run.c - TrainingJob, the world's side: attempts, one after the other, until the job has ended.
 *
 * An attempt is an agent, named by the job's uid and the attempt's number, so a restarted control plane finds the one
 * that was started. An agent that is not there before anyone saw a report of it is started (again); once a report was
 * saved (_Seen) it is never started a second time. When its instance is taken back or lost, and the job may go on, the
 * next attempt begins: after the last one's end was saved and what it left was swept.
 *
 * Members of the status that begin with '_' are never shown. Of the job: _Attempt (the present one, from 0), _Retired
 * (the one before it is not swept yet), _RanMs (how long the attempts before it ran), _Retries (how many were begun
 * because an instance was lost), _Swept. Of the present attempt: _SinceMs (when it began; not for the first), _Seen (a
 * report came), _Phases (how many of its phases are in SecondaryStatusTransitions), _StartedMs (of the user's code),
 * _Waited (it was ended for MaxWaitTimeInSeconds). */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "engine/engine.h"
#include "fleet/instance_type.h"
#include "fleet/pool.h"
#include "run/runtime.h"
#include "services/sagemaker/instance.h"
#include "services/sagemaker/kinds.h"
#include "services/sagemaker/training.h"

enum {
    GRACE_S = 120, /* SIGTERM to SIGKILL, "How SageMaker stops a training job" in the developer guide */
    LOOK_MS = 1000, /* an agent pokes us; this is for the poke that was lost */
    LOOK_LATER_MS = 15000,
};

static int64_t member(const struct resource *r, const char *name)
{
    return doc_int(r->status, name, 0);
}

int training_attempt(const struct resource *r)
{
    return (int)member(r, "_Attempt");
}

const char *training_agent(struct arena *a, const struct resource *r, int attempt)
{
    return arena_printf(a, "%s-%d", child_uid(a, r->row.uid, "algo-1", 0), attempt);
}

static const char *present_agent(struct pass *p, const struct resource *r)
{
    return training_agent(p->arena, r, training_attempt(r));
}

/* What was asked of the present attempt by training_job_interrupt(); one that is over has been heard. */
static bool is_interrupted(const struct resource *r)
{
    return doc_int(r->row.want, "Interrupt.Attempt", -1) == training_attempt(r);
}

/* When a spot job has waited and run long enough; INT64_MAX: never. */
static int64_t waits_until_ms(const struct resource *r)
{
    struct training_spec s = training_spec_of(r->row.spec);

    return s.max_wait_s ? r->row.created_ms + s.max_wait_s * 1000 : INT64_MAX;
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* --- What was seen --- */

static const char *message_of(const char *phase)
{
    /* Words of AWS's own transitions, as printed by the SDK. */
    static const char *const messages[][2] = {
        { "Starting", "Preparing the instances for training" },
        { "Downloading", "Downloading input data" },
        { "Training", "Training image download completed. Training in progress." },
        { "Uploading", "Uploading generated training model" },
    };

    for (size_t i = 0; i < sizeof messages / sizeof *messages; i++)
        if (strcmp(messages[i][0], phase) == 0)
            return messages[i][1];
    return "";
}

/* Phases are steps of the secondary status while the job goes forward; a job that stops shows Stopping throughout. */
static void take_phases(struct arena *a, struct resource *r, const struct report *report)
{
    int64_t taken = member(r, "_Phases");

    for (; taken < (int64_t)doc_count(report->phases, ""); taken++) {
        const struct doc *phase = report->phases->items[taken];
        const char *name = doc_text(phase, "phase"), *message = doc_text(phase, "message");
        int64_t at_ms = doc_int(phase, "at_ms", 0);

        /* The download counts: "you are billed for the time interval between this time and TrainingEndTime". */
        if (strcmp(name, "Starting") != 0 && strcmp(name, "Ended") != 0) {
            if (!doc_has(r->status, "_StartedMs"))
                doc_set_integer(a, r->status, "_StartedMs", at_ms);
            if (!doc_has(r->status, "TrainingStartTime"))
                doc_set_integer(a, r->status, "TrainingStartTime", at_ms);
        }
        if (strcmp(get_state(r), "InProgress") == 0 && strcmp(name, "Ended") != 0)
            training_enter(a, r->status, name, *message ? message : message_of(name), at_ms);
    }
    doc_set_integer(a, r->status, "_Phases", taken);
}

static void take_metrics(struct arena *a, struct resource *r, const struct doc *seen)
{
    struct doc *list = doc_list(a);

    for (size_t i = 0; i < doc_count(seen, ""); i++) {
        struct doc *m = doc_map(a);

        doc_set_string(a, m, "MetricName", doc_text(seen->items[i], "name"));
        doc_set_real(a, m, "Value", doc_number(seen->items[i], "value", 0));
        doc_set_integer(a, m, "Timestamp", doc_int(seen->items[i], "at_ms", 0));
        doc_append(a, list, m);
    }
    doc_set(a, r->status, "FinalMetricDataList", list->count ? list : NULL);
}

/* --- Usage: an interval for each attempt --- */

/* What the job pays, as a part of the price on demand. */
static double price_share(const struct resource *r, const struct training_spec *s)
{
    return s->spot ? instance_spot_share(s->instance_type, r->row.region) : 1;
}

static int open_usage(struct pass *p, const struct resource *r, struct err *err)
{
    struct training_spec s = training_spec_of(r->row.spec);
    const struct instance_type *type = instance_type(s.instance_type);
    struct doc *attributes = doc_map(p->arena);

    doc_set_string(p->arena, attributes, "owner_arn", r->row.arn);
    doc_set_string(p->arena, attributes, "role_arn", s.role_arn);
    doc_set_string(p->arena, attributes, "instance_type", s.instance_type);
    doc_set_string(p->arena, attributes, "work", "training");
    doc_set_boolean(p->arena, attributes, "spot", s.spot);
    if (type && type->usd_hour >= 0)
        doc_set_real(p->arena, attributes, "usd_hour", type->usd_hour * price_share(r, &s));
    return usage_open(p->engine, present_agent(p, r), member(r, "_StartedMs"), attributes, err);
}

/* The present attempt is over: its time is counted, its slot is free. */
static int close_attempt(struct pass *p, struct resource *r, int64_t at_ms, struct err *err)
{
    struct platform *platform = engine_context(p->engine);
    int64_t started_ms = member(r, "_StartedMs");

    if (started_ms && at_ms > started_ms)
        doc_set_integer(p->arena, r->status, "_RanMs", member(r, "_RanMs") + at_ms - started_ms);
    if (usage_close(p->engine, present_agent(p, r), at_ms, err) < 0)
        return -1;
    engine_touch(p->engine, pool_give(platform->pool, r->row.uid));
    return 0;
}

/* --- Ends --- */

static int end(struct pass *p, struct resource *r, const char *state, const char *secondary, const char *message,
               int64_t at_ms, struct err *err)
{
    if (close_attempt(p, r, at_ms, err) < 0)
        return -1;
    if (strcmp(state, "Failed") == 0)
        doc_set_string(p->arena, r->status, "FailureReason", message);
    if (strcmp(state, "Stopped") == 0)
        set_state(r, "Stopping"); /* the only way there */
    set_state(r, state);
    training_enter(p->arena, r->status, secondary, message, at_ms);
    doc_set_integer(p->arena, r->status, "TrainingEndTime", at_ms);
    if (doc_has(r->status, "TrainingStartTime")) {
        struct training_spec s = training_spec_of(r->row.spec);
        int64_t seconds = (member(r, "_RanMs") + 999) / 1000;
        double billable = ceil((double)seconds * price_share(r, &s)); /* clients: spot saved 1 - billable / training */

        doc_set_integer(p->arena, r->status, "TrainingTimeInSeconds", seconds);
        doc_set_integer(p->arena, r->status, "BillableTimeInSeconds", (int64_t)billable);
    }
    return 0;
}

/* The job goes on with another attempt; what this one left is swept when that is saved. */
static int begin_again(struct pass *p, struct resource *r, const char *secondary, const char *message, int64_t at_ms,
                       struct err *err)
{
    static const char *const of_the_attempt[] = { "_Seen", "_Phases", "_StartedMs" };

    if (close_attempt(p, r, at_ms, err) < 0)
        return -1;
    training_enter(p->arena, r->status, secondary, message, at_ms);
    for (size_t i = 0; i < sizeof of_the_attempt / sizeof *of_the_attempt; i++)
        doc_set(p->arena, r->status, of_the_attempt[i], NULL);
    doc_set_integer(p->arena, r->status, "_Attempt", training_attempt(r) + 1);
    doc_set_integer(p->arena, r->status, "_SinceMs", p->now_ms);
    doc_set_boolean(p->arena, r->status, "_Retired", true);
    return 0;
}

/* The fault is ours or the machine's: the job has another attempt if its RetryStrategy says so. */
static int fail_or_retry(struct pass *p, struct resource *r, const char *reason, int64_t at_ms, struct err *err)
{
    struct training_spec s = training_spec_of(r->row.spec);
    int64_t retries = member(r, "_Retries");

    if (strcmp(get_state(r), "InProgress") != 0 || retries >= s.retries || !text_starts(reason, "InternalServerError"))
        return end(p, r, "Failed", "Failed", reason, at_ms, err);
    doc_set_integer(p->arena, r->status, "_Retries", retries + 1);
    return begin_again(p, r, "Restarting",
                       arena_printf(p->arena, "Attempt %" PRId64 " of %" PRId64 " to restart the job: %s", retries + 1,
                                    s.retries, reason),
                       at_ms, err);
}

/* AWS's words, and what is to be known beside them. */
static const char *ended_message(struct arena *a, const char *usual, const struct report *report)
{
    return *report->message ? arena_printf(a, "%s. %s", usual, report->message) : usual;
}

static int take_end(struct pass *p, struct resource *r, const struct report *report, struct err *err)
{
    int64_t at_ms = report->ended_ms ? report->ended_ms : p->now_ms;
    bool stopped = strcmp(report->outcome, "Stopped") == 0 || strcmp(report->outcome, "Interrupted") == 0;

    take_metrics(p->arena, r, report->final_metrics);
    if (stopped && is_interrupted(r) && strcmp(get_state(r), "InProgress") == 0 && !member(r, "_Waited"))
        return begin_again(p, r, "Interrupted",
                           "Training job interrupted: its spot capacity was taken back. It goes on from its "
                           "checkpoints when there is capacity again",
                           at_ms, err);
    if (*report->model_artifacts)
        doc_set_string(p->arena, doc_member(p->arena, r->status, "ModelArtifacts", DOC_MAP), "S3ModelArtifacts",
                       report->model_artifacts);
    if (strcmp(report->outcome, "Failed") == 0)
        return fail_or_retry(p, r, report->failure_reason, at_ms, err);
    if (strcmp(report->outcome, "MaxRuntimeExceeded") == 0)
        return end(p, r, "Stopped", "MaxRuntimeExceeded",
                   ended_message(p->arena, "Training job runtime exceeded MaxRuntimeInSeconds", report), at_ms, err);
    if (stopped && member(r, "_Waited"))
        return end(p, r, "Stopped", "MaxWaitTimeExceeded",
                   ended_message(p->arena, "Training job exceeded MaxWaitTimeInSeconds", report), at_ms, err);
    if (stopped)
        return end(p, r, "Stopped", "Stopped", ended_message(p->arena, "Training job stopped", report), at_ms, err);
    return end(p, r, "Completed", "Completed", "Training job completed", at_ms, err);
}

/* --- An attempt that does not run --- */

static void wait_in_line(struct pass *p, struct resource *r, int64_t *ret_next_ms)
{
    struct pool *pool = ((struct platform *)engine_context(p->engine))->pool;

    *ret_next_ms = least(p->now_ms + LOOK_LATER_MS, waits_until_ms(r));
    if (doc_count(r->status, "SecondaryStatusTransitions") == 1)
        training_enter(p->arena, r->status, "Pending",
                       arena_printf(p->arena,
                                    "Waiting for an instance: %d of %d are in use and %d jobs came before this one",
                                    pool_used(pool), pool_slots(pool), pool_waiting_before(pool, r->row.uid)),
                       p->now_ms);
}

static int start(struct pass *p, struct resource *r, int64_t *ret_next_ms, struct err *err)
{
    struct training_spec s = training_spec_of(r->row.spec);
    int64_t left_ms = s.max_runtime_s * 1000 - member(r, "_RanMs");
    int64_t since_ms = doc_int(r->status, "_SinceMs", r->row.created_ms);
    struct doc *order;

    if (left_ms <= 0)
        return end(p, r, "Stopped", "MaxRuntimeExceeded", "Training job runtime exceeded MaxRuntimeInSeconds",
                   p->now_ms, err);
    *ret_next_ms = p->now_ms + LOOK_MS;
    if (training_order(p, r, since_ms, (left_ms + 999) / 1000, &order, err) == 0 &&
        runtime_start(p->runtime, present_agent(p, r), order, err) == 0)
        return 0;
    if (err->kind != ERR_INVALID)
        return -1;
    /* No image of that name, or one that this machine can never run: the text is for the user. */
    return end(p, r, "Failed", "Failed", arena_printf(p->arena, "ClientError: %s", err->text), p->now_ms, err);
}

static int not_there(struct pass *p, struct resource *r, int64_t *ret_next_ms, struct err *err)
{
    struct platform *platform = engine_context(p->engine);

    if (doc_bool(r->status, "_Seen", false))
        return fail_or_retry(p, r,
                             "InternalServerError: the instance of the training job was lost, with its data. Start the "
                             "job again.", p->now_ms, err);
    if (doc_bool(r->row.want, "Stop", false))
        return end(p, r, "Stopped", "Stopped", "Training job stopped", p->now_ms, err);
    if (p->now_ms >= waits_until_ms(r))
        return end(p, r, "Stopped", "MaxWaitTimeExceeded",
                   "Training job exceeded MaxWaitTimeInSeconds while it waited for capacity", p->now_ms, err);
    if (pool_take(platform->pool, r->row.uid, false))
        return start(p, r, ret_next_ms, err);
    wait_in_line(p, r, ret_next_ms);
    return 0;
}

/* --- An attempt that runs --- */

static int there(struct pass *p, struct resource *r, const struct report *report, int64_t *ret_next_ms, struct err *err)
{
    struct platform *platform = engine_context(p->engine);
    const char *agent = present_agent(p, r);

    pool_take(platform->pool, r->row.uid, true);
    *ret_next_ms = least(p->now_ms + (*report->phase ? LOOK_LATER_MS : LOOK_MS), waits_until_ms(r));
    if (*report->phase)
        doc_set_boolean(p->arena, r->status, "_Seen", true);
    take_phases(p->arena, r, report);
    if (doc_has(r->status, "_StartedMs") && open_usage(p, r, err) < 0)
        return -1;
    if (strcmp(report->phase, "Ended") == 0)
        return take_end(p, r, report, err);
    if (doc_bool(r->row.want, "Stop", false))
        return runtime_stop(p->runtime, agent, GRACE_S, "StopTrainingJob", err);
    if (p->now_ms >= waits_until_ms(r)) {
        *ret_next_ms = p->now_ms + LOOK_LATER_MS;
        doc_set_integer(p->arena, r->status, "_Waited", 1);
        return runtime_stop(p->runtime, agent, GRACE_S, "MaxWaitTimeInSeconds", err);
    }
    return is_interrupted(r) ? runtime_stop(p->runtime, agent, GRACE_S, STOP_TAKEN_BACK, err) : 0;
}

/* --- After the end --- */

/* Everything is saved: what the agent left on the machine can go. */
static int sweep(struct pass *p, struct resource *r, bool *ret_row_goes, struct err *err)
{
    if (!doc_bool(r->status, "_Swept", false)) {
        if (runtime_forget(p->runtime, present_agent(p, r), err) < 0)
            return -1;
        doc_set_boolean(p->arena, r->status, "_Swept", true);
    }
    *ret_row_goes = strcmp(get_state(r), "Deleting") == 0;
    return 0;
}

/* The attempt before the present one. */
static int sweep_retired(struct pass *p, struct resource *r, struct err *err)
{
    if (!doc_bool(r->status, "_Retired", false))
        return 0;
    if (runtime_forget(p->runtime, training_agent(p->arena, r, training_attempt(r) - 1), err) < 0)
        return -1;
    doc_set(p->arena, r->status, "_Retired", NULL);
    return 0;
}

int training_reconcile(struct pass *p, struct resource *r, int64_t *ret_next_ms, bool *ret_row_goes, struct err *err)
{
    int attempt = training_attempt(r);
    enum runtime_state state;
    const struct doc *seen;
    int result;

    if (sweep_retired(p, r, err) < 0)
        return -1;
    if (strcmp(get_state(r), "InProgress") != 0 && strcmp(get_state(r), "Stopping") != 0)
        return sweep(p, r, ret_row_goes, err);
    /* "Cannot tell" is not "not there": conclude nothing and be called again. */
    if (runtime_inspect(p->runtime, p->arena, present_agent(p, r), &state, &seen, err) < 0)
        return -1;
    if (state == RUNTIME_NONE) {
        result = not_there(p, r, ret_next_ms, err);
    } else {
        struct report report = report_read(seen);

        result = there(p, r, &report, ret_next_ms, err);
    }
    /* An end is saved first; the sweep is another pass. */
    if (doc_has(r->status, "TrainingEndTime") || training_attempt(r) != attempt)
        *ret_next_ms = p->now_ms;
    return result;
}

bool training_owns(struct arena *a, const struct resource *r, const char *agent)
{
    int attempt = training_attempt(r);

    if (strcmp(training_agent(a, r, attempt), agent) == 0)
        return !doc_bool(r->status, "_Swept", false);
    return doc_bool(r->status, "_Retired", false) && strcmp(training_agent(a, r, attempt - 1), agent) == 0;
}

/* --- Interruption --- */

int training_job_interrupt(struct arena *a, struct engine *e, const char *arn, struct err *err)
{
    struct store *store = engine_world_of(e)->store;
    struct resource r;
    struct row row;

    if (store_row_by_arn(a, store, arn, &row, err) < 0)
        return err->kind == ERR_NOT_FOUND ? fail(err, ERR_NOT_FOUND, "there is no training job %s", arn) : -1;
    if (strcmp(row.kind, training_job.name) != 0 || resource_load(a, e, row.uid, &r, err) < 0)
        return fail(err, ERR_INVALID, "%s is no training job", arn);
    if (!training_spec_of(r.row.spec).spot)
        return fail(err, ERR_INVALID,
                    "%s is no spot job: only what was created with EnableManagedSpotTraining can be interrupted",
                    r.row.name);
    if (strcmp(get_state(&r), "InProgress") != 0)
        return fail(err, ERR_CONFLICT, "%s is %s: there is nothing to interrupt", r.row.name, get_state(&r));
    if (!doc_bool(r.status, "_Seen", false))
        return fail(err, ERR_CONFLICT, "%s has no instance at the moment: it is %s", r.row.name,
                    doc_text(r.status, "SecondaryStatus"));
    doc_set_integer(a, doc_member(a, r.want, "Interrupt", DOC_MAP), "Attempt", training_attempt(&r));
    return resource_want(e, &r, err);
}
