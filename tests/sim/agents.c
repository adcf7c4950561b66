/* agents.c - hosts and what runs on them: faults of the runtime, the steps of a job's life, and what must never be
 * asked of them. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim.h"

#define ORPHAN "orphan-0"

struct agent *agent_find(const char *name)
{
    for (int i = 0; i < w.agent_count; i++)
        if (strcmp(w.agents[i].name, name) == 0)
            return &w.agents[i];
    return NULL;
}

static const char *owner_of(const char *name)
{
    const struct doc *order = sim_order(w.runtime, name);

    return order ? doc_text(order, "uid") : "";
}

void agents_orphan(const char *work, const char *owner)
{
    _cleanup_arena_ struct arena *a = arena_new();
    struct doc *order = doc_map(a);
    bool dying = w.dying;
    struct err err;

    doc_set_string(a, order, "uid", owner);
    doc_set_string(a, order, "work", work);
    runtime_start(w.runtime, ORPHAN, order, &err);
    w.dying = dying; /* it is not the control plane that starts it */
}

static int attempt_of(const char *name)
{
    return atoi(strrchr(name, '-') + 1);
}

static bool has_ended(const struct row *job)
{
    return doc_has(job->status, "TrainingEndTime") || doc_has(job->status, "ProcessingEndTime");
}

/* What the saved row says of a job that is being started. */
static void check_start(const struct agent *x)
{
    _cleanup_arena_ struct arena *a = arena_new();
    struct err err;
    struct row row;

    if (x->orphan)
        return;
    if (x->starts > 1 && !x->lost)
        broken("%s was started again, and its host had not lost it", x->name);
    if (store_row_by_uid(a, w.store, x->owner, &row, &err) < 0)
        broken("%s was started for a row that is not there: %s", x->name, err.text);
    if (strcmp(row.kind, "TrainingJob") != 0 && strcmp(row.kind, "ProcessingJob") != 0)
        return;
    if (doc_int(row.status, "_Attempt", 0) != attempt_of(x->name))
        broken("%s was started, and its job is at attempt %d", x->name, (int)doc_int(row.status, "_Attempt", 0));
    if (doc_has(row.status, arena_printf(a, "_StartedMs.%s", x->host)) || has_ended(&row))
        broken("%s was started, and its job was seen running before", x->name);
    for (int i = 0; i < w.agent_count; i++)
        if (strcmp(w.agents[i].owner, x->owner) == 0 && w.agents[i].there &&
            attempt_of(w.agents[i].name) != attempt_of(x->name))
            broken("%s was started beside %s", x->name, w.agents[i].name);
    if (x->starts > 1 && doc_has(row.status, arena_printf(a, "_Seen.%s", x->host)))
        broken("%s was started again after a report of it was saved", x->name);
}

static int64_t kept_s(const struct row *job)
{
    return doc_int(job->want, "KeepAlive.Seconds", doc_int(job->spec, "ResourceConfig.KeepAlivePeriodInSeconds", 0));
}

/* What a warm pool keeps runs nothing, and is nobody else's all the same. */
static void check_room(const struct agent *x)
{
    _cleanup_arena_ struct arena *a = arena_new();
    struct row_filter jobs = { .kind = training_job.name, .limit = 1000 };
    const char *after;
    struct row *rows;
    struct err err;
    int count, taken = 0;

    /* A clock that went back ends what it cannot measure. */
    if (x->orphan || w.jumped)
        return;
    if (store_row_list(a, w.store, &jobs, &rows, &count, &after, &err) < 0)
        broken("jobs cannot be listed: %s", err.text);
    for (int i = 0; i < count; i++)
        if (doc_is(rows[i].status, "WarmPoolStatus.Status", "Available") && !doc_has(rows[i].want, "Reused") &&
            w.wall_ms < doc_int(rows[i].status, "_Pool.SinceMs", 0) + kept_s(&rows[i]) * 1000)
            taken += (int)doc_int(rows[i].spec, "ResourceConfig.InstanceCount", 0);
    for (int i = 0; i < w.agent_count; i++)
        taken += w.agents[i].there && !w.agents[i].ended && !w.agents[i].orphan;
    if (taken > w.room)
        broken("%s was started, and there is room for %d, not %d", x->name, w.room, taken);
}

static void started(const char *name)
{
    struct agent *x = agent_find(name);

    if (!x) {
        assert(w.agent_count < AGENTS);
        x = &w.agents[w.agent_count++];
        *x = (struct agent){ .serves = doc_is(sim_order(w.runtime, name), "work", "serve"),
                              .orphan = strcmp(name, ORPHAN) == 0 };
        snprintf(x->name, sizeof x->name, "%s", name);
        snprintf(x->owner, sizeof x->owner, "%s", owner_of(name));
        snprintf(x->host, sizeof x->host, "%s", doc_text(sim_order(w.runtime, name), "host_name"));
    }
    if (sim_count(w.runtime, name) == x->starts)
        return; /* it ran already: harmless */
    x->starts = sim_count(w.runtime, name);
    check_start(x);
    tell("started %s", name);
    x->there = true;
    x->lost = x->ended = x->stopping = x->sick = x->hung = x->internal = false;
    x->phase = 0;
    check_room(x);
    fleet_check_start(x);
}

static bool has_waited(const struct row *job)
{
    int64_t wait_s = doc_int(job->spec, "StoppingCondition.MaxWaitTimeInSeconds", 0);

    return wait_s && w.wall_ms >= job->created_ms + wait_s * 1000;
}

/* Another instance of its attempt is lost, or ended otherwise than well. */
static bool is_alone(const struct agent *x)
{
    for (int i = 0; i < w.agent_count; i++) {
        const struct agent *y = &w.agents[i];

        if (y != x && strcmp(y->owner, x->owner) == 0 && attempt_of(y->name) == attempt_of(x->name) &&
            (y->lost || (y->ended && !y->well)))
            return true;
    }
    return false;
}

/* What the saved row says of a job that is being stopped. */
static void check_stop(const struct agent *x)
{
    _cleanup_arena_ struct arena *a = arena_new();
    struct err err;
    struct row row;

    if (store_row_by_uid(a, w.store, x->owner, &row, &err) < 0 || doc_bool(row.want, "Stop", false))
        return;
    if (doc_has(row.status, "_Hung") && !is_alone(x))
        health_check_stop(x);
    else if (doc_int(row.want, "Interrupt.Attempt", -1) != attempt_of(x->name) &&
             doc_int(row.status, "_Taken.Attempt", -1) != attempt_of(x->name) &&
             !doc_has(row.status, "_Broken") && !has_waited(&row) && !is_alone(x))
        broken("%s is told to stop, and nobody asked for it", x->name);
}

static void check_end(const char *verb, const char *name)
{
    struct agent *x = agent_find(name);

    if (x && x->orphan)
        return;
    if (strcmp(verb, "stop") == 0 && x && !x->serves && !x->ended)
        check_stop(x);
    if (x && x->there && !x->ended && plane_may_ask(name))
        broken("%s of %s, and the data plane may still send requests to it", verb, name);
    if (strcmp(verb, "forget") == 0 && x && !x->serves) {
        _cleanup_arena_ struct arena *a = arena_new();
        struct err err;
        struct row row;

        if (store_row_by_uid(a, w.store, x->owner, &row, &err) == 0 && !has_ended(&row) &&
            doc_int(row.status, "_Attempt", 0) <= attempt_of(name))
            broken("%s is forgotten, and how it ended is not saved", name);
    }
}

static int no_answer(const char *verb, const char *name, struct err *err)
{
    tell("no answer to %s %s", verb, name);
    return fail(err, ERR_UNAVAILABLE, "the host does not answer");
}

static int fault(void *context, const char *verb, const char *name, struct err *err)
{
    bool done = text_ends(verb, "ed") || text_ends(verb, "ten") || strcmp(verb, "stopped") == 0;
    unsigned which = strcmp(verb, "start") == 0 || strcmp(verb, "started") == 0 ||
                             text_starts(verb, "prepare")                          ? F_START
                     : strcmp(verb, "inspect") == 0 || strcmp(verb, "list") == 0 ? F_SILENT
                                                                                 : F_STOP;

    (void)context;
    if (!w.dying && strcmp(verb, "started") == 0)
        started(name);
    if (w.dying)
        return fail(err, ERR_UNAVAILABLE, "the control plane is dead");
    if (!done && (strcmp(verb, "stop") == 0 || strcmp(verb, "forget") == 0))
        check_end(verb, name);
    if (strcmp(verb, "forgotten") == 0 && agent_find(name)) {
        agent_find(name)->there = false;
        tell("forgotten %s", name);
    }
    if (chance(F_DIE, 6)) {
        tell("the control plane dies at %s %s", verb, name);
        w.dying = true;
        return fail(err, ERR_UNAVAILABLE, "the control plane is dead");
    }
    return chance(which, 120) ? no_answer(verb, name, err) : 0;
}

static bool ends_at_once(void *context, const char *name, const struct doc *order)
{
    (void)context, (void)name, (void)order;
    return false;
}

static bool stops_at_once(void *context, const char *name)
{
    struct agent *x = agent_find(name);

    (void)context;
    assert(x);
    if (!x->stopping)
        tell("%s is asked to stop", name);
    x->stopping = true;
    return false; /* it takes at least until the agent's next step */
}

struct runtime *agents_runtime(void)
{
    return sim_runtime_new(&w.clock, &(struct sim_hooks){ fault, ends_at_once, stops_at_once, NULL });
}

static void end(struct agent *x, const char *outcome, const char *reason, int exit_code)
{
    tell("%s ends: %s", x->name, outcome);
    sim_end(w.runtime, x->name, outcome, reason, exit_code);
    x->ended = true;
    x->well = strcmp(outcome, "Completed") == 0;
    x->ended_boot_ms = w.boot_ms;
}

static void report(struct agent *x, const char *phase)
{
    tell("%s is %s", x->name, phase);
    sim_report(w.runtime, x->name, phase, "");
    /* The download of a job's input is paid for, the start of an endpoint's instance is not. */
    if (strcmp(phase, x->serves ? "Serving" : "Downloading") == 0)
        x->started_boot_ms = w.boot_ms;
}

static void train(struct agent *x)
{
    static const char *const phases[] = { "Downloading", "Training", "Uploading" };

    if (health_fails(x)) {
        end(x, "Failed", "InternalServerError: instance unhealthy: check of the disk failed: it is full", 1);
        return;
    }
    if (x->stopping && !chance(F_SLOW, 700)) {
        if (chance(F_SLOW, 200)) /* it was about to end anyway */
            end(x, "Completed", "", 0);
        else if (roll(2)) /* as an agent says it whose instance is taken back: what was asked is what counts */
            end(x, "Interrupted", "", 143);
        else
            end(x, "Stopped", "", 143);
        return;
    }
    if (health_hangs(x))
        return;
    /* It waits for one that does not answer any more. */
    if (roll(w.calm ? 2 : 12) || is_alone(x))
        return;
    if (chance(F_FAIL, 150)) {
        x->internal = roll(2);
        end(x, "Failed",
            x->internal ? "InternalServerError: told to fail" : "AlgorithmError: told to fail, exit code: 1", 1);
        return;
    }
    if (x->phase < 3)
        report(x, phases[x->phase++]);
    else if (chance(F_FAIL, 100))
        end(x, "MaxRuntimeExceeded", "", 143);
    else
        end(x, "Completed", "", 0);
}

static void serve(struct agent *x)
{
    if (x->stopping && !chance(F_SLOW, 700)) {
        end(x, "Stopped", "", 143);
        return;
    }
    if (x->phase >= 2 && chance(F_FAIL, 15)) { /* it served, and does no more */
        end(x, "Failed", "ClientError: the image is not there any more", 1);
        return;
    }
    if (x->phase >= 2 || roll(w.calm ? 2 : 8))
        return;
    if (chance(F_FAIL, 200)) {
        end(x, "Failed", "The primary container did not pass the ping health check.", 1);
        return;
    }
    report(x, x->phase++ == 0 ? "Downloading" : "Serving");
}

void agents_lose(struct agent *x)
{
    sim_lose(w.runtime, x->name);
    x->there = false;
    x->lost = true;
    x->ended_boot_ms = w.boot_ms;
}

void agents_move(void)
{
    for (int i = 0; i < w.agent_count; i++) {
        struct agent *x = &w.agents[i];
        int phase = x->phase;
        bool ended = x->ended;

        if (!x->there || x->ended)
            continue;
        if (chance(F_LOST, 4)) {
            tell("%s is lost", x->name);
            agents_lose(x);
            continue;
        }
        if (x->serves)
            serve(x);
        else
            train(x);
        if ((x->phase != phase || x->ended != ended) && w.engine && !chance(F_POKE, 500))
            engine_touch(w.engine, x->owner);
    }
}
