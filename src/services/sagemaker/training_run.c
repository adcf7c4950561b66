/* training_run.c - TrainingJob, the world's side: attempts, one after the other, until the job has ended.
 *
 * An attempt is an agent for each instance, named by the job's uid, the host and the attempt's number, so a restarted
 * control plane finds those that were started. An agent that is not there before anyone saw a report of it is started
 * (again); once a report was saved (_Seen) it is never started a second time. The instances of an attempt live and die
 * together: when one of them is lost, fails or ends before its time, the others are ended, and the attempt is over when
 * all are. When the job may go on, the next attempt begins: after the last one's end was saved and what it left was
 * swept.
 *
 * Members of the status that begin with '_' are never shown. Of the job: _Attempt (the present one, from 0), _Retired
 * (the one before it is not swept yet), _RanMs (how long the attempts before it ran), _WaivedMs (what of it is not
 * billed), _Retries and _Replaced (how many were begun because an instance was lost, or was not fit before it had
 * worked), _Swept. Of the present attempt: _SinceMs (when it began; not for the first), _Seen (by host: a report came),
 * _Phases (how many of them all instances have reached), _StartedMs (by host: of what is paid), _Checked (what was
 * found of the instances was told), _Waited (it was ended for MaxWaitTimeInSeconds), _Quiet and _Silent (since when it
 * does, or says, nothing), _Hung (it was ended for that, and why), _Warned (by host: what was told of it). */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "engine/engine.h"
#include "run/runtime.h"
#include "services/sagemaker/crew_health.h"
#include "services/sagemaker/crew_life.h"
#include "services/sagemaker/instance.h"
#include "services/sagemaker/instance_gpus.h"
#include "services/sagemaker/instance_uploads.h"
#include "services/sagemaker/kinds.h"
#include "services/sagemaker/spot_seen.h"
#include "services/sagemaker/training_crew.h"
#include "services/sagemaker/training_fate.h"
#include "services/sagemaker/training_fleet.h"
#include "services/sagemaker/training_interrupt.h"
#include "services/sagemaker/warm_pool.h"

enum {
    LOOK_MS = 1000, /* an agent pokes us; this is for the poke that was lost */
    LOOK_LATER_MS = 15000,
};

static int64_t noted(const struct resource *r, const char *name)
{
    return doc_int(r->status, name, 0);
}

int training_instances(const struct resource *r)
{
    return (int)training_spec_of(r->row.spec).instance_count;
}

int training_attempt(const struct resource *r)
{
    return (int)noted(r, "_Attempt");
}

const char *training_agent(struct arena *a, const struct resource *r, int instance, int attempt)
{
    if (attempt == 0 && doc_has(r->status, "_Claimed.From"))
        return warm_pool_agent(a, doc_text(r->status, "_Claimed.From"), instance);
    return arena_printf(a, "%s-%d", child_uid(a, r->row.uid, crew_host(a, instance), 0), attempt);
}

const char *training_present_agent(struct arena *a, const struct resource *r, int instance)
{
    return training_agent(a, r, instance, training_attempt(r));
}

static bool is_stopped(const struct resource *r)
{
    return doc_bool(r->row.want, "Stop", false);
}

/* When a spot job has waited and run long enough; INT64_MAX: never. */
static int64_t waits_until_ms(const struct resource *r)
{
    struct training_spec s = training_spec_of(r->row.spec);

    return s.max_wait_s ? r->row.created_ms + s.max_wait_s * 1000 : INT64_MAX;
}

static int64_t attempt_began_ms(const struct resource *r)
{
    return doc_int(r->status, "_SinceMs", r->row.created_ms);
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* --- Ends --- */

/* How long the present attempt has run, from its first instance's start on. */
static int64_t attempt_ms(const struct resource *r, int64_t at_ms)
{
    const struct doc *starts = doc_get(r->status, "_StartedMs");
    int64_t first_ms = INT64_MAX;

    for (uint32_t i = 0; starts && i < starts->count; i++)
        first_ms = least(first_ms, starts->members[i].value->integer);
    return at_ms > first_ms ? at_ms - first_ms : 0;
}

static void add_noted(struct pass *p, struct resource *r, const char *name, int64_t more)
{
    if (more)
        doc_set_integer(p->arena, r->status, name, noted(r, name) + more);
}

static int end(struct pass *p, struct resource *r, const char *state, const char *secondary, const char *message,
               int64_t at_ms, struct err *err)
{
    const struct wish warm = warm_pool_wish(r);
    /* A fault of the machine's or of ours leaves nothing that the next job should start on. */
    bool healthy = strcmp(state, "Failed") != 0 || !failure_is_ours(message);

    add_noted(p, r, "_RanMs", attempt_ms(r, at_ms));
    if ((warm_pool_keep(p, r, healthy, at_ms) ? allocation_keep(p, r, &warm, err)
                                              : allocation_give(p, r->row.uid, err)) < 0)
        return -1;
    if (strcmp(state, "Failed") == 0)
        doc_set_string(p->arena, r->status, "FailureReason", message);
    if (strcmp(state, "Stopped") == 0)
        set_state(r, "Stopping"); /* the only way there */
    set_state(r, state);
    training_enter(p->arena, r->status, secondary, message, at_ms);
    doc_set_integer(p->arena, r->status, "TrainingEndTime", at_ms);
    if (doc_has(r->status, "TrainingStartTime")) {
        int64_t seconds = (noted(r, "_RanMs") + 999) / 1000;
        int64_t paid = (noted(r, "_RanMs") - noted(r, "_WaivedMs") + 999) / 1000;
        /* Clients print: spot saved 1 - billable / training. */
        double billable = ceil((double)paid * training_price_share(engine_context(p->engine), r));

        doc_set_integer(p->arena, r->status, "TrainingTimeInSeconds", seconds);
        doc_set_integer(p->arena, r->status, "BillableTimeInSeconds", (int64_t)billable);
    }
    return 0;
}

/* The job goes on with another attempt; what this one left is swept when that is saved. */
static int begin_again(struct pass *p, struct resource *r, const struct fate *f, int64_t at_ms, struct err *err)
{
    static const char *const of_the_attempt[] = { "_Seen", "_Phases", "_StartedMs", "_Checked", "_Quiet", "_Hung",
                                                  "_Silent", "_Warned", "_Taken" };
    int64_t since_ms = attempt_began_ms(r);

    if ((f->leave ? allocation_requeue(p, r->row.uid, err) : allocation_again(p, r->row.uid, f->moves, err)) < 0)
        return -1;
    add_noted(p, r, "_RanMs", attempt_ms(r, at_ms));
    training_enter(p->arena, r->status, f->secondary, f->message, at_ms);
    for (size_t i = 0; i < sizeof of_the_attempt / sizeof *of_the_attempt; i++)
        doc_set(p->arena, r->status, of_the_attempt[i], NULL);
    doc_set_integer(p->arena, r->status, "_Attempt", training_attempt(r) + 1);
    /* Log streams are told apart by its second. */
    doc_set_integer(p->arena, r->status, "_SinceMs", p->now_ms - since_ms < 1000 ? since_ms + 1000 : p->now_ms);
    doc_set_boolean(p->arena, r->status, "_Retired", true);
    return 0;
}

/* No instance runs any more. */
static int conclude(struct pass *p, struct resource *r, const struct crew *crew, struct err *err)
{
    const struct fate f = training_fate(p->arena, r, crew, p->now_ms);
    const struct training_spec s = training_spec_of(r->row.spec);
    const char *artifacts = crew->mates[0].report.model_artifacts;
    int64_t at_ms = crew_ended_ms(p, crew);

    crew_take_metrics(p->arena, r, crew);
    if (s.spot && spot_seen_attempt(engine_world_of(p->engine)->store, &s, attempt_ms(r, at_ms), f.taken, p->now_ms,
                                    err) < 0)
        return -1;
    if (f.ill && crew_blame(p, r, crew, f.ill, err) < 0)
        return -1;
    if (f.waived && crew_waive(p, crew, f.waived, err) < 0)
        return -1;
    if (f.waived)
        add_noted(p, r, "_WaivedMs", attempt_ms(r, at_ms));
    else
        training_note_price(p->arena, engine_context(p->engine), r, at_ms - attempt_ms(r, at_ms), at_ms);
    if (f.counts)
        add_noted(p, r, f.counts, 1);
    if (!f.state)
        return begin_again(p, r, &f, at_ms, err);
    if (*artifacts)
        doc_set_string(p->arena, doc_member(p->arena, r->status, "ModelArtifacts", DOC_MAP), "S3ModelArtifacts",
                       artifacts);
    return end(p, r, f.state, f.secondary, f.message, at_ms, err);
}

/* --- An attempt that does not run --- */

static void wait_in_line(struct pass *p, struct resource *r, const struct allocation *at, int64_t *ret_next_ms)
{
    const struct platform *platform = engine_context(p->engine);

    *ret_next_ms = least(at->look_at_ms, least(waits_until_ms(r), training_pends_until_ms(platform->fleet, r)));
    if (doc_count(r->status, "SecondaryStatusTransitions") == 1)
        training_enter(p->arena, r->status, "Pending", at->words, p->now_ms);
}

static int64_t left_ms(const struct resource *r)
{
    return training_wish(r).max_runtime_ms;
}

static int start_missing(struct pass *p, const struct resource *r, const struct crew *crew, struct err *err)
{
    struct doc *order;

    for (int i = 0; i < crew->count; i++)
        if (mate_is_missing(&crew->mates[i]) &&
            (training_order(p, r, i, attempt_began_ms(r), (left_ms(r) + 999) / 1000, &order, err) < 0 ||
             runtime_start(p->runtime, crew->mates[i].agent, order, err) < 0))
            return -1;
    return 0;
}

static int give_up(struct pass *p, struct resource *r, const char *secondary, const char *message, struct err *err)
{
    training_begin_to_stop(p->arena, r, p->now_ms);
    return end(p, r, "Stopped", secondary, message, p->now_ms, err);
}

static int begin(struct pass *p, struct resource *r, const struct crew *crew, int64_t *ret_next_ms, struct err *err)
{
    const struct wish wish = training_wish(r);
    const struct platform *platform = engine_context(p->engine);
    struct allocation at;
    bool found;

    if (is_stopped(r))
        return end(p, r, "Stopped", "Stopped", "Training job stopped", p->now_ms, err);
    if (p->now_ms >= waits_until_ms(r))
        return give_up(p, r, "MaxWaitTimeExceeded",
                       "Training job exceeded MaxWaitTimeInSeconds while it waited for capacity", err);
    if (left_ms(r) <= 0)
        return give_up(p, r, "MaxRuntimeExceeded", "Training job runtime exceeded MaxRuntimeInSeconds", err);
    if (warm_pool_claim(p, r, &found, err) < 0)
        return -1;
    if (found) {
        *ret_next_ms = p->now_ms; /* saved first: nobody else may have it once something runs there */
        return 0;
    }
    if (allocation_take(p, r, &wish, &at, err) < 0)
        return -1;
    if (at.state == ALLOCATION_WAITS && p->now_ms >= training_pends_until_ms(platform->fleet, r))
        return give_up(p, r, "Stopped",
                       "Training job stopped: there was no capacity for it within MaxPendingTimeInSeconds", err);
    if (at.state == ALLOCATION_WAITS) {
        wait_in_line(p, r, &at, ret_next_ms);
        return 0;
    }
    *ret_next_ms = at.state == ALLOCATION_HELD ? p->now_ms + LOOK_MS : p->now_ms;
    if (at.state == ALLOCATION_NEW)
        return 0;
    if (at.state != ALLOCATION_HELD) /* nothing has begun there yet */
        return allocation_requeue(p, r->row.uid, err);
    warm_pool_begin(p->arena, r);
    if (start_missing(p, r, crew, err) == 0)
        return 0;
    if (err->kind != ERR_INVALID)
        return -1;
    /* No image of that name, or one that this machine can never run: the text is for the user. It says so of the first
     * instance, before any other is started. */
    return end(p, r, "Failed", "Failed", arena_printf(p->arena, "ClientError: %s", err->text), p->now_ms, err);
}

/* --- An attempt that runs --- */

static int look_for_life(struct pass *p, struct resource *r, const struct crew *crew, bool *ret_news, struct err *err)
{
    const struct log_place log = { .account = r->row.account, .region = r->row.region, .group = TRAINING_LOG_GROUP,
                                   .stream = training_log_stream(p->arena, r, 0, attempt_began_ms(r)) };

    if (crew_take_warnings(p, r, crew, &log, err) < 0)
        return -1;
    return crew_look_for_life(p, r, crew, training_spec_of(r->row.spec).environment, &log, ret_news, err);
}

static int go_on(struct pass *p, struct resource *r, const struct crew *crew, int64_t *ret_next_ms, struct err *err)
{
    bool waited = p->now_ms >= waits_until_ms(r);
    bool taken_back = training_is_taken_back(r, p->now_ms), hung = doc_has(r->status, "_Hung");
    bool ending = crew_is_doomed(crew) || is_stopped(r) || waited || taken_back || hung;
    bool taken, news = false;

    *ret_next_ms = p->now_ms + (noted(r, "_Phases") == 0 ? LOOK_MS : LOOK_LATER_MS);
    if (!waited)
        *ret_next_ms = least(*ret_next_ms, waits_until_ms(r));
    if (!taken_back)
        *ret_next_ms = least(*ret_next_ms, training_taken_back_ms(r));
    crew_take_starts(p->arena, r, crew, "TrainingStartTime");
    crew_take_phases(p->arena, r, crew);
    crew_take_waiting(p->arena, r, crew, p->now_ms);
    if (crew_take_checks(p, r, crew, err) < 0 || crew_take_gpu_faults(p, crew, err) < 0 ||
        crew_take_usage(p, r, crew, training_usage, err) < 0 || training_take_prices(p, r, crew, err) < 0)
        return -1;
    if (training_tell_eviction(p, r, crew, err) < 0)
        return -1;
    if (crew_is_over(crew, !ending))
        return conclude(p, r, crew, err);
    if (training_ask_fleet(p, r, &taken, err) < 0)
        return -1;
    if (taken) {
        *ret_next_ms = p->now_ms;
        return 0;
    }
    if (!ending && (training_recommend(p, r, crew, err) < 0 || look_for_life(p, r, crew, &news, err) < 0))
        return -1;
    if (news)
        *ret_next_ms = p->now_ms;
    if (!ending)
        return start_missing(p, r, crew, err);
    if (is_stopped(r))
        return crew_stop(p, crew, CREW_GRACE_S, "StopTrainingJob", err);
    if (waited) {
        doc_set_integer(p->arena, r->status, "_Waited", 1);
        training_begin_to_stop(p->arena, r, p->now_ms);
        return crew_stop(p, crew, CREW_GRACE_S, "MaxWaitTimeInSeconds", err);
    }
    if (taken_back)
        return training_take_back(p, r, crew, err);
    return crew_stop(p, crew, hung ? HUNG_GRACE_S : CREW_GRACE_S, STOP_TAKEN_BACK, err);
}

/* --- After the end --- */

static int forget_all(struct pass *p, const struct resource *r, int attempt, struct err *err)
{
    for (int i = 0; i < training_instances(r); i++) {
        const char *agent = training_agent(p->arena, r, i, attempt);

        if (instance_uploads_abandon(p, agent, err) < 0 || runtime_forget(p->runtime, agent, err) < 0)
            return -1;
        instance_gpus_give(p, agent);
    }
    return 0;
}

/* Everything is saved: what the agents left on the machine can go. */
static int sweep(struct pass *p, struct resource *r, bool *ret_row_goes, struct err *err)
{
    if (!doc_bool(r->status, "_Swept", false)) {
        if (forget_all(p, r, training_attempt(r), err) < 0)
            return -1;
        doc_set_boolean(p->arena, r->status, "_Swept", true);
    }
    *ret_row_goes = strcmp(get_state(r), "Deleting") == 0 && warm_pool_is_swept(r);
    return 0;
}

static int after_end(struct pass *p, struct resource *r, int64_t *ret_next_ms, bool *ret_row_goes, struct err *err)
{
    bool moved;

    if (warm_pool_step(p, r, ret_next_ms, &moved, err) < 0)
        return -1;
    if (!moved)
        return sweep(p, r, ret_row_goes, err);
    *ret_next_ms = p->now_ms;
    return 0;
}

/* The attempt before the present one. */
static int sweep_retired(struct pass *p, struct resource *r, struct err *err)
{
    if (!doc_bool(r->status, "_Retired", false))
        return 0;
    if (forget_all(p, r, training_attempt(r) - 1, err) < 0)
        return -1;
    doc_set(p->arena, r->status, "_Retired", NULL);
    return 0;
}

int training_reconcile(struct pass *p, struct resource *r, int64_t *ret_next_ms, bool *ret_row_goes, struct err *err)
{
    int attempt = training_attempt(r), result;
    bool runs = false;
    struct crew crew;

    if (sweep_retired(p, r, err) < 0)
        return -1;
    if (strcmp(get_state(r), "InProgress") != 0 && strcmp(get_state(r), "Stopping") != 0)
        return after_end(p, r, ret_next_ms, ret_row_goes, err);
    if (crew_look(p, r, &(struct crew_of){ training_instances(r), training_present_agent }, &crew, err) < 0)
        return -1;
    for (int i = 0; i < crew.count; i++)
        runs = runs || crew.mates[i].there || crew.mates[i].seen;
    result = runs ? go_on(p, r, &crew, ret_next_ms, err) : begin(p, r, &crew, ret_next_ms, err);
    /* An end is saved first; the sweep is another pass. */
    if (doc_has(r->status, "TrainingEndTime") || training_attempt(r) != attempt)
        *ret_next_ms = p->now_ms;
    return result;
}

bool training_owns(struct arena *a, const struct resource *r, const char *agent)
{
    int attempt = training_attempt(r);

    for (int i = 0; i < training_instances(r); i++) {
        if (strcmp(training_agent(a, r, i, attempt), agent) == 0)
            return !doc_bool(r->status, "_Swept", false);
        if (strcmp(training_agent(a, r, i, attempt - 1), agent) == 0)
            return doc_bool(r->status, "_Retired", false);
    }
    return warm_pool_owns(a, r, agent);
}
