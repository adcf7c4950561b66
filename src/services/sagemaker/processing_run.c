/* processing_run.c - ProcessingJob, the world's side: an agent for each instance, once.
 *
 * Agents are named by the job's uid and the host, so a restarted control plane finds those that were started. An agent
 * that is not there before anyone saw a report of it is started (again); once a report was saved (_Seen) it never is.
 * The instances live and die together: when one of them is lost, fails or ends before its time, the others are ended,
 * and the job is over when all are.
 *
 * Members of the status that begin with '_' are never shown: _Seen and _StartedMs (crew.h), _Quiet, _Silent
 * and _Hung (crew_life.h), _Warned (crew_health.h), _Waiting (what was told of why it waits, and when), _Swept (what
 * the agents left is gone). */
#include <string.h>

#include "base/str.h"
#include "engine/engine.h"
#include "run/runtime.h"
#include "services/logs/logs.h"
#include "services/sagemaker/crew_health.h"
#include "services/sagemaker/crew_life.h"
#include "services/sagemaker/instance_gpus.h"
#include "services/sagemaker/instance_uploads.h"
#include "services/sagemaker/instance_usage.h"
#include "services/sagemaker/kinds.h"
#include "services/sagemaker/processing.h"

enum {
    LOOK_MS = 1000, /* an agent pokes us; this is for the poke that was lost */
    LOOK_LATER_MS = 15000,
    TELL_AGAIN_MS = 10 * 60000, /* why it waits, where that has changed: places in a line do all the time */
    MESSAGE_MAX = 1024, /* of ExitMessage, in the API's model */
};

int processing_instances(const struct resource *r)
{
    return (int)processing_spec_of(r->row.spec).instance_count;
}

struct wish processing_wish(const struct resource *r)
{
    struct processing_spec s = processing_spec_of(r->row.spec);

    return (struct wish){ .key = r->row.uid, .usage = "processing job", .role_arn = s.role_arn,
                          .groups = { { s.instance_type, s.instance_count, s.volume_gb } }, .group_count = 1,
                          .max_runtime_ms = s.max_runtime_s * 1000 };
}

const char *processing_agent(struct arena *a, const struct resource *r, int instance)
{
    return arena_printf(a, "%s-0", child_uid(a, r->row.uid, crew_host(a, instance), 0));
}

bool processing_owns(struct arena *a, const struct resource *r, const char *agent)
{
    for (int i = 0; i < processing_instances(r); i++)
        if (strcmp(processing_agent(a, r, i), agent) == 0)
            return !doc_bool(r->status, "_Swept", false);
    return false;
}

static bool is_stopped(const struct resource *r)
{
    return doc_bool(r->row.want, "Stop", false);
}

static struct doc *usage_of(struct arena *a, const struct platform *platform, const struct resource *r, int instance)
{
    struct processing_spec s = processing_spec_of(r->row.spec);

    return instance_usage(a, platform,
                          &(struct instance_usage){ .owner = &r->row, .key = r->row.uid, .role_arn = s.role_arn,
                                                    .work = "processing", .instance_type = s.instance_type,
                                                    .instance = child_uid(a, r->row.uid, crew_host(a, instance), 0) });
}

/* --- Ends --- */

/* 'reason' also tells why a job was stopped that nobody had asked to stop; "" for none. */
static int end(struct pass *p, struct resource *r, const char *state, const char *reason, int64_t at_ms,
               struct err *err)
{
    if (allocation_give(p, r->row.uid, err) < 0)
        return -1;
    if (*reason)
        doc_set_string(p->arena, r->status, "FailureReason", reason);
    if (strcmp(state, "Stopped") == 0)
        set_state(r, "Stopping"); /* the only way there */
    set_state(r, state);
    doc_set_integer(p->arena, r->status, "ProcessingEndTime", at_ms);
    return 0;
}

/* Those of all hosts in a row, as much as there is room for. */
static void take_messages(struct arena *a, struct resource *r, const struct crew *crew)
{
    const char *all = "";
    size_t size;

    for (int i = 0; i < crew->count; i++)
        if (*crew->mates[i].report.exit_message)
            all = arena_printf(a, "%s%s%s", all, *all ? "\n" : "", crew->mates[i].report.exit_message);
    size = strlen(all);
    if (size > MESSAGE_MAX)
        for (size = MESSAGE_MAX; size && ((unsigned char)all[size] & 0xc0) == 0x80;)
            size--;
    if (size)
        doc_set_string(a, r->status, "ExitMessage", arena_strndup(a, all, size));
}

/* AWS has no retry of a processing job: who wants one starts it again. */
static int fail_job(struct pass *p, struct resource *r, const struct crew *crew, const char *reason, int64_t at_ms,
                    struct err *err)
{
    if (failure_is_ours(reason) && crew_waive(p, crew, reason, err) < 0)
        return -1;
    return end(p, r, "Failed", reason, at_ms, err);
}

/* No instance runs any more. */
static int conclude(struct pass *p, struct resource *r, const struct crew *crew, struct err *err)
{
    const struct mate *failed = crew_first_ended_as(crew, "Failed");
    const struct mate *overran = crew_first_ended_as(crew, "MaxRuntimeExceeded");
    const struct mate *stopped = crew_first_ended_as(crew, "Stopped");
    const char *overran_text = "Job runtime exceeded MaxRuntimeInSeconds";
    struct ailment ill;
    int64_t at_ms = crew_ended_ms(p, crew);

    if (!stopped)
        stopped = crew_first_ended_as(crew, "Interrupted");
    take_messages(p->arena, r, crew);
    /* Asked for is asked for: what goes wrong when one instance leaves before the other is not another reason. */
    if (stopped && is_stopped(r))
        return end(p, r, "Stopped", stopped->report.message, at_ms, err);
    if (crew_ailment(crew, &ill))
        return crew_blame(p, r, crew, &ill, err) < 0
                   ? -1 : fail_job(p, r, crew,
                                   arena_printf(p->arena, "InternalServerError: instance unhealthy: %s. Start the job "
                                                          "again.", ailment_words(p->arena, crew, &ill)), at_ms, err);
    /* It is paid for: what did nothing is the job's own program. */
    if (doc_has(r->status, "_Hung") && (failed || stopped))
        return end(p, r, "Failed", doc_text(r->status, "_Hung"), at_ms, err);
    if (failed)
        return fail_job(p, r, crew, failed->report.failure_reason, at_ms, err);
    if (crew_ended_otherwise(p->arena, crew))
        return fail_job(p, r, crew, crew_ended_otherwise(p->arena, crew), at_ms, err);
    if (overran)
        return end(p, r, "Stopped",
                   *overran->report.message
                       ? arena_printf(p->arena, "%s. %s", overran_text, overran->report.message) : overran_text, at_ms,
                   err);
    if (stopped)
        return end(p, r, "Stopped", stopped->report.message, at_ms, err);
    if (strcmp(get_state(r), "Stopping") == 0) /* it had ended by itself; but Stopping ends as Stopped */
        return end(p, r, "Stopped", "", at_ms, err);
    return end(p, r, "Completed", "", at_ms, err);
}

/* --- A job that does not run --- */

/* Where its first instance writes: what the platform has to say of it is there. */
static struct log_place log_of(struct arena *a, const struct resource *r)
{
    return (struct log_place){ .account = r->row.account, .region = r->row.region, .group = PROCESSING_LOG_GROUP,
                               .stream = processing_log_stream(a, r, 0) };
}

/* Describe has no word for a job that waits, on AWS neither: its log says why, where the SDK looks, too. */
static int tell_waiting(struct pass *p, struct resource *r, const char *words, struct err *err)
{
    struct doc *told = doc_member(p->arena, r->status, "_Waiting", DOC_MAP);
    const struct log_place log = log_of(p->arena, r);

    if (doc_is(told, "Words", words) ||
        (doc_has(told, "Words") && p->now_ms < doc_int(told, "AtMs", 0) + TELL_AGAIN_MS))
        return 0;
    doc_set_string(p->arena, told, "Words", words);
    doc_set_integer(p->arena, told, "AtMs", p->now_ms);
    return logs_say(p->arena, engine_world_of(p->engine)->store, &log, arena_printf(p->arena, "%s.", words), p->now_ms,
                    err);
}

static int start_missing(struct pass *p, const struct resource *r, const struct crew *crew, struct err *err)
{
    struct doc *order;

    for (int i = 0; i < crew->count; i++)
        if (mate_is_missing(&crew->mates[i]) &&
            (processing_order(p, r, i, &order, err) < 0 ||
             runtime_start(p->runtime, crew->mates[i].agent, order, err) < 0))
            return -1;
    return 0;
}

static int begin(struct pass *p, struct resource *r, const struct crew *crew, int64_t *ret_next_ms, struct err *err)
{
    const struct wish wish = processing_wish(r);
    struct allocation at;

    if (is_stopped(r))
        return end(p, r, "Stopped", "", p->now_ms, err);
    if (allocation_take(p, r, &wish, &at, err) < 0)
        return -1;
    if (at.state == ALLOCATION_WAITS) {
        *ret_next_ms = at.look_at_ms;
        return tell_waiting(p, r, at.words, err);
    }
    *ret_next_ms = at.state == ALLOCATION_HELD ? p->now_ms + LOOK_MS : p->now_ms;
    if (at.state == ALLOCATION_NEW)
        return 0;
    if (at.state != ALLOCATION_HELD) /* nothing has begun there yet */
        return allocation_requeue(p, r->row.uid, err);
    if (start_missing(p, r, crew, err) == 0)
        return 0;
    if (err->kind != ERR_INVALID)
        return -1;
    /* No image of that name, or one that this machine can never run: the text is for the user. It says so of the first
     * instance, before any other is started. */
    return end(p, r, "Failed", arena_printf(p->arena, "ClientError: %s", err->text), p->now_ms, err);
}

/* --- A job that runs --- */

static int look_for_life(struct pass *p, struct resource *r, const struct crew *crew, bool *ret_news, struct err *err)
{
    const struct log_place log = log_of(p->arena, r);

    if (crew_take_warnings(p, r, crew, &log, err) < 0)
        return -1;
    return crew_look_for_life(p, r, crew, processing_spec_of(r->row.spec).environment, &log, ret_news, err);
}

static int go_on(struct pass *p, struct resource *r, const struct crew *crew, int64_t *ret_next_ms, struct err *err)
{
    const struct wish wish = processing_wish(r);
    bool hung = doc_has(r->status, "_Hung"), news = false;
    bool ending = crew_is_doomed(crew) || is_stopped(r) || hung;
    const char *queued = crew->mates[0].report.waiting;
    struct allocation ignored; /* it is on demand: nobody takes its place away */

    crew_take_starts(p->arena, r, crew, "ProcessingStartTime");
    if (crew_overran_ms(crew))
        set_state(r, "Stopping"); /* as one that was asked to */
    *ret_next_ms = p->now_ms + (doc_member_count(r->status, "_Seen") < (size_t)crew->count ? LOOK_MS : LOOK_LATER_MS);
    if (*queued && !doc_has(r->status, "ProcessingStartTime") && tell_waiting(p, r, queued, err) < 0)
        return -1;
    if (crew_take_gpu_faults(p, crew, err) < 0 || crew_take_usage(p, r, crew, usage_of, err) < 0)
        return -1;
    if (crew_is_over(crew, !ending))
        return conclude(p, r, crew, err);
    if (allocation_look(p, r, &wish, &ignored, err) < 0)
        return -1;
    if (!ending && look_for_life(p, r, crew, &news, err) < 0)
        return -1;
    if (news) {
        *ret_next_ms = p->now_ms;
        return 0;
    }
    if (!ending)
        return start_missing(p, r, crew, err);
    if (is_stopped(r))
        return crew_stop(p, crew, CREW_GRACE_S, "StopProcessingJob", err);
    if (hung)
        return crew_stop(p, crew, HUNG_GRACE_S, "the job hung", err);
    return crew_stop(p, crew, CREW_GRACE_S, "another instance ended", err);
}

/* Everything is saved: what the agents left on the machine can go. */
static int sweep(struct pass *p, struct resource *r, bool *ret_row_goes, struct err *err)
{
    if (!doc_bool(r->status, "_Swept", false)) {
        for (int i = 0; i < processing_instances(r); i++) {
            const char *agent = processing_agent(p->arena, r, i);

            if (instance_uploads_abandon(p, agent, err) < 0 || runtime_forget(p->runtime, agent, err) < 0)
                return -1;
            instance_gpus_give(p, agent);
        }
        doc_set_boolean(p->arena, r->status, "_Swept", true);
    }
    *ret_row_goes = strcmp(get_state(r), "Deleting") == 0;
    return 0;
}

int processing_reconcile(struct pass *p, struct resource *r, int64_t *ret_next_ms, bool *ret_row_goes, struct err *err)
{
    bool runs = false;
    struct crew crew;
    int result;

    if (strcmp(get_state(r), "InProgress") != 0 && strcmp(get_state(r), "Stopping") != 0)
        return sweep(p, r, ret_row_goes, err);
    if (crew_look(p, r, &(struct crew_of){ processing_instances(r), processing_agent }, &crew, err) < 0)
        return -1;
    for (int i = 0; i < crew.count; i++)
        runs = runs || crew.mates[i].there || crew.mates[i].seen;
    result = runs ? go_on(p, r, &crew, ret_next_ms, err) : begin(p, r, &crew, ret_next_ms, err);
    /* An end is saved first; the sweep is another pass. */
    if (doc_has(r->status, "ProcessingEndTime"))
        *ret_next_ms = p->now_ms;
    return result;
}
