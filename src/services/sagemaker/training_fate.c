#include "services/sagemaker/training_fate.h"

#include <inttypes.h>
#include <string.h>

#include "engine/engine.h"
#include "services/sagemaker/training.h"
#include "services/sagemaker/training_fleet.h"
#include "services/sagemaker/training_interrupt.h"

enum { REPLACEMENTS_MOST = 5 }; /* before a job has begun; then RetryStrategy counts */

static struct fate fails(const char *reason)
{
    return (struct fate){ .state = "Failed", .secondary = "Failed", .message = reason };
}

/* AWS's words, and what is to be known beside them. */
static struct fate stops(struct arena *a, const char *secondary, const char *words, const char *more)
{
    return (struct fate){ .state = "Stopped", .secondary = secondary,
                          .message = *more ? arena_printf(a, "%s. %s", words, more) : words };
}

static struct fate is_interrupted(const char *message, bool taken)
{
    return (struct fate){ .secondary = "Interrupted", .message = message, .leave = true, .taken = taken };
}

static const char *spot_taken(struct arena *a, const struct resource *r)
{
    const char *what = "its spot capacity was taken back", *by = training_interrupted_by(r);

    if (training_taken(r))
        return arena_printf(a, "%s (%s)", what, training_taken(r));
    return *by ? arena_printf(a, "%s (by %s)", what, by) : what;
}

static bool is_in_progress(const struct resource *r)
{
    return strcmp(get_state(r), "InProgress") == 0;
}

/* What whoever reads it should do is for a job that ended; this one does it by itself. */
static struct str without_advice(const char *reason)
{
    struct str words = str_of(reason), advice = STR(" Start the job again.");

    if (str_ends(words, advice.data))
        words.size -= advice.size;
    if (str_ends(words, "."))
        words.size--;
    return words;
}

/* It was not what ran there, or it may go better the next time: if RetryStrategy says so. */
static struct fate retries(struct arena *a, const struct resource *r, const char *reason)
{
    int64_t most = training_spec_of(r->row.spec).retries, so_far = doc_int(r->status, "_Retries", 0);
    struct str why = without_advice(reason);

    if (!is_in_progress(r) || so_far >= most)
        return fails(reason);
    return (struct fate){ .secondary = "Restarting", .counts = "_Retries",
                          .message = arena_printf(a, "Attempt %" PRId64 " of %" PRId64
                                                  " to restart the job: %.*s",
                                                  so_far + 1, most, (int)why.size, why.data) };
}

/* The platform's fault: the attempt costs nothing. */
static struct fate is_ours(struct arena *a, const struct resource *r, const char *reason)
{
    struct fate f = retries(a, r, reason);

    f.waived = reason;
    return f;
}

/* An instance failed: the others keep their places, and it gets another one where there is one. */
static struct fate heals(struct arena *a, const struct resource *r, const struct crew *crew, const struct ailment *ill)
{
    const char *words = str_dup(a, without_advice(ailment_words(a, crew, ill)));
    const char *reason = arena_printf(a, "InternalServerError: instance unhealthy: %s. Start the job again.", words);
    struct fate f = is_ours(a, r, reason);

    if (ill->before_work && is_in_progress(r) && doc_int(r->status, "_Replaced", 0) < REPLACEMENTS_MOST)
        f = (struct fate){ .secondary = "Starting", .counts = "_Replaced", .waived = reason,
                           .message = arena_printf(a, "Launched instance was unhealthy, replacing it! %s", words) };
    f.ill = ill;
    f.moves = ailment_moves(a, crew, ill);
    return f;
}

/* One that is to come may have been told before a death, by a clock that has gone back since. */
static bool was_interrupted(const struct resource *r, int64_t now_ms, bool otherwise_explained)
{
    return training_is_taken_back(r, now_ms) || (training_taken_back_ms(r) != INT64_MAX && !otherwise_explained);
}

/* "Stopping" is told at once, and has one good end: who asked for the stop, or set the limit, waits for that one. */
static struct fate ends_well(struct arena *a, const struct resource *r, bool asked, bool waited)
{
    const char *all = "It had ended by itself, and everything that it left was uploaded";

    if (is_in_progress(r))
        return (struct fate){ .state = "Completed", .secondary = "Completed", .message = "Training job completed" };
    if (asked)
        return stops(a, "Stopped", "Training job stopped", all);
    if (waited)
        return stops(a, "MaxWaitTimeExceeded", "Training job exceeded MaxWaitTimeInSeconds", all);
    return stops(a, "MaxRuntimeExceeded", "Training job runtime exceeded MaxRuntimeInSeconds", all);
}

/* The first that holds is the reason: what was asked for before what went wrong because of it. */
struct fate training_fate(struct arena *a, const struct resource *r, const struct crew *crew, int64_t now_ms)
{
    const struct mate *failed = crew_first_ended_as(crew, "Failed");
    const struct mate *overran = crew_first_ended_as(crew, "MaxRuntimeExceeded");
    const struct mate *evicted = crew_first_ended_as(crew, "Interrupted");
    const struct mate *stopped = crew_first_ended_as(crew, "Stopped");
    bool asked = doc_bool(r->row.want, "Stop", false), waited = doc_has(r->status, "_Waited");
    bool hung = doc_has(r->status, "_Hung");
    const char *otherwise = crew_ended_otherwise(a, crew);
    struct ailment *ill = arena_new_of(a, struct ailment);

    if (!stopped)
        stopped = evicted;
    if (stopped && !asked && !waited && was_interrupted(r, now_ms, failed || crew_first_lost(crew) || hung))
        return is_interrupted(training_interrupted_message(a, r, spot_taken(a, r)), training_taken(r));
    if (stopped && asked)
        return stops(a, "Stopped", "Training job stopped", stopped->report.message);
    if (crew_ailment(crew, ill))
        return heals(a, r, crew, ill);
    if (hung)
        return retries(a, r, doc_text(r->status, "_Hung"));
    if (failed && failure_is_ours(failed->report.failure_reason))
        return is_ours(a, r, failed->report.failure_reason);
    if (failed)
        return fails(failed->report.failure_reason);
    if (otherwise)
        return is_ours(a, r, otherwise);
    if (overran)
        return stops(a, "MaxRuntimeExceeded", "Training job runtime exceeded MaxRuntimeInSeconds",
                     overran->report.message);
    if (evicted && !asked && !waited)
        return is_interrupted(training_interrupted_message(a, r, "the cluster took its instances back"), true);
    if (stopped && waited)
        return stops(a, "MaxWaitTimeExceeded", "Training job exceeded MaxWaitTimeInSeconds",
                     stopped->report.message);
    if (stopped)
        return stops(a, "Stopped", "Training job stopped", stopped->report.message);
    return ends_well(a, r, asked, waited);
}
