/* health.c - instances that fail by themselves, jobs that hang, and what neither may cost or start. */
#include <stdlib.h>
#include <string.h>

#include "sim.h"

enum { TRAINING = 2 /* phases behind it when it trains */ };

static bool of_one_attempt(const struct agent *x, const struct agent *y)
{
    return strcmp(x->owner, y->owner) == 0 && strcmp(strrchr(x->name, '-'), strrchr(y->name, '-')) == 0;
}

static bool may_hang(const struct agent *x)
{
    return doc_has(sim_order(w.runtime, x->name), "environment." HANG_VARIABLE);
}

static bool waits_for_hung(const struct agent *x)
{
    for (int i = 0; i < w.agent_count; i++)
        if (w.agents[i].hung && !w.agents[i].ended && w.agents[i].there && of_one_attempt(&w.agents[i], x))
            return true;
    return false;
}

static void say_quiet(struct agent *x)
{
    struct doc *d;
    _cleanup_arena_ struct arena *a = arena_new();

    d = doc_map(a);
    doc_set_integer(a, d, "since_ms", w.wall_ms);
    doc_set_string(a, d, "why", "it does nothing");
    sim_set(w.runtime, x->name, "quiet", d);
    tell("%s does nothing any more", x->name);
}

bool health_hangs(struct agent *x)
{
    if (x->hung)
        return true;
    if (x->phase != TRAINING || !may_hang(x))
        return false;
    x->hung = chance(F_HANG, 60) || waits_for_hung(x);
    if (x->hung)
        say_quiet(x);
    return x->hung;
}

bool health_fails(struct agent *x)
{
    _cleanup_arena_ struct arena *a = arena_new();
    struct doc *d = doc_map(a);

    if (!chance(F_SICK, 10))
        return false;
    doc_set_string(a, d, "check", "disk");
    doc_set_string(a, d, "why", "check of the disk failed: it is full");
    sim_set(w.runtime, x->name, "unhealthy", d);
    x->sick = true;
    return true;
}

void health_check_stop(const struct agent *x)
{
    for (int i = 0; i < w.agent_count; i++) {
        const struct agent *y = &w.agents[i];

        if (y->there && !y->ended && of_one_attempt(x, y) && !y->hung)
            broken("%s is ended because its job hangs, and %s works", x->name, y->name);
    }
}

static bool it_was_not_the_users(const struct agent *x)
{
    for (int i = 0; i < w.agent_count; i++)
        if (of_one_attempt(&w.agents[i], x) && (w.agents[i].sick || w.agents[i].lost || w.agents[i].internal))
            return true;
    return false;
}

/* Of a row that is gone nobody knows any more what was asked of it. */
static bool was_left_alone(struct arena *a, const struct agent *x)
{
    struct err err;
    struct row row;

    return store_row_by_uid(a, w.store, x->owner, &row, &err) == 0 && !doc_bool(row.want, "Stop", false) &&
           !doc_has(row.want, "Interrupt") && !doc_bool(row.spec, "EnableManagedSpotTraining", false);
}

void health_check_usage(const struct doc *interval, const struct agent *x)
{
    _cleanup_arena_ struct arena *a = arena_new();
    bool waived = doc_has(interval, "waived");

    if (x->serves)
        return;
    if (waived && !it_was_not_the_users(x))
        broken("%s is not billed, and what ran there has ended its job", x->name);
    if (!waived && (x->sick || x->lost) && was_left_alone(a, x))
        broken("%s failed because of its instance, and is billed", x->name);
}

/* The longest of an instance that is not billed: the attempt took at least that. */
static int64_t waived_ms(const struct doc *usage, const struct row *job)
{
    int64_t most_ms = 0;

    for (uint32_t i = 0; i < usage->count; i++) {
        const struct agent *x = agent_find(doc_text(usage->items[i], "uid"));
        int64_t ms = doc_int(usage->items[i], "to_ms", 0) - doc_int(usage->items[i], "from_ms", 0);

        if (x && strcmp(x->owner, job->uid) == 0 && doc_has(usage->items[i], "waived") && ms > most_ms)
            most_ms = ms;
    }
    return most_ms;
}

void health_check_bill(const struct doc *usage, const struct row *job)
{
    int64_t trained = doc_int(job->status, "TrainingTimeInSeconds", 0),
            billed = doc_int(job->status, "BillableTimeInSeconds", 0), ms = waived_ms(usage, job);

    if (strcmp(job->kind, training_job.name) != 0 || doc_bool(job->spec, "EnableManagedSpotTraining", false) ||
        w.jumped)
        return;
    if (billed > trained || (ms == 0 && billed != trained) || (ms >= 2000 && billed == trained))
        broken("%s trained %lld s, of which an instance's failure took %lld ms, and is billed %lld s", job->name,
               (long long)trained, (long long)ms, (long long)billed);
}
