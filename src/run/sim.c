/* sim.c - the simulated runtime: reports without anything behind them, chosen by the user or driven by a test.
 *
 * Every order has an arena of its own that goes with it. What was ever started is counted apart, so that a test can
 * say "never twice" after everything was forgotten. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/map.h"
#include "run/runtime.h"

struct job {
    bool prepared; /* and nothing more: no start yet */
    struct arena *arena;
    struct doc *order, *report, *phases;
};

struct sim {
    struct runtime base;
    struct clock *clock;
    struct sim_hooks hooks;
    struct map *jobs;   /* name -> struct job */
    struct map *counts; /* name -> int */
};

static struct sim *sim_of(struct runtime *rt)
{
    assert(strcmp(rt->kind, "sim") == 0);
    return (struct sim *)rt;
}

static int fault(struct sim *s, const char *verb, const char *name, struct err *err)
{
    return s->hooks.fault ? s->hooks.fault(s->hooks.context, verb, name, err) : 0;
}

static struct job *find(struct sim *s, const char *name)
{
    return map_get(s->jobs, str_of(name));
}

static void enter_phase(struct sim *s, struct job *j, const char *phase, const char *message)
{
    int64_t now_ms = clock_wall_ms(s->clock);
    struct doc *d = doc_map(j->arena);

    doc_set_string(j->arena, d, "phase", phase);
    doc_set_integer(j->arena, d, "at_ms", now_ms);
    doc_set_string(j->arena, d, "message", message);
    doc_append(j->arena, j->phases, d);
    doc_set_string(j->arena, j->report, "phase", phase);
    doc_set_integer(j->arena, j->report, "sequence", doc_int(j->report, "sequence", 0) + 1);
    if ((strcmp(phase, "Training") == 0 || strcmp(phase, "Processing") == 0 || strcmp(phase, "Serving") == 0) &&
        !doc_has(j->report, "started_ms"))
        doc_set_integer(j->arena, j->report, "started_ms", now_ms);
    if (strcmp(phase, "Serving") == 0) {
        doc_set_string(j->arena, j->report, "address", "127.0.0.1");
        doc_set_integer(j->arena, j->report, "port", 9); /* discard: nothing answers there */
        doc_set_boolean(j->arena, j->report, "healthy", true);
    }
}

static void end_job(struct sim *s, struct job *j, const char *outcome, const char *failure_reason, int exit_code)
{
    int64_t now_ms = clock_wall_ms(s->clock), started_ms = doc_int(j->report, "started_ms", now_ms);

    if (doc_is(j->report, "phase", "Ended"))
        return;
    doc_set_string(j->arena, j->report, "outcome", outcome);
    doc_set_string(j->arena, j->report, "failure_reason", failure_reason ? failure_reason : "");
    doc_set_integer(j->arena, j->report, "exit_code", exit_code);
    doc_set_boolean(j->arena, j->report, "oom_killed", false);
    doc_set_integer(j->arena, j->report, "ended_ms", now_ms);
    doc_set_integer(j->arena, j->report, "billable_ms", now_ms - started_ms);
    doc_set_boolean(j->arena, j->report, "healthy", false);
    enter_phase(s, j, "Ended", "");
}

static void run_at_once(struct sim *s, struct job *j)
{
    enter_phase(s, j, "Downloading", "Downloading input data");
    enter_phase(s, j, doc_is(j->order, "work", "process") ? "Processing" : "Training", "");
    enter_phase(s, j, "Uploading", "");
    if (doc_is(j->order, "work", "train"))
        doc_set_string(j->arena, j->report, "model_artifacts",
                       arena_printf(j->arena, "%s/output/model.tar.gz", doc_text(j->order, "output_s3_uri")));
    end_job(s, j, "Completed", "", 0);
}

static void job_free(struct job *j)
{
    arena_free(j->arena);
    free(j);
}

static struct job *add_job(struct sim *s, const char *name, const struct doc *order)
{
    struct job *j = calloc(1, sizeof *j);

    assert(j);
    j->arena = arena_new();
    j->order = doc_copy(j->arena, order);
    j->report = doc_map(j->arena);
    map_set(s->jobs, str_of(name), j);
    return j;
}

static int sim_prepare(struct runtime *rt, const char *name, const struct doc *order, const char *from, struct err *err)
{
    struct sim *s = sim_of(rt);

    if (fault(s, "prepare", name, err) < 0)
        return -1;
    if (!find(s, name))
        add_job(s, name, order)->prepared = true;
    return fault(s, "prepared", name, err);
}

static int sim_start(struct runtime *rt, const char *name, const struct doc *order, struct err *err)
{
    struct sim *s = sim_of(rt);
    struct job *j = find(s, name);
    int *count;

    if (fault(s, "start", name, err) < 0)
        return -1;
    if (j && !j->prepared)
        return fault(s, "started", name, err);
    if (j)
        job_free(map_remove(s->jobs, str_of(name)));
    count = map_get(s->counts, str_of(name));
    if (!count)
        count = calloc(1, sizeof *count);
    assert(count);
    ++*count;
    map_set(s->counts, str_of(name), count);
    j = add_job(s, name, order);
    j->phases = doc_list(j->arena);
    doc_set_integer(j->arena, j->report, "version", 1);
    doc_set(j->arena, j->report, "phases", j->phases);
    enter_phase(s, j, "Starting", "Preparing the instances for training");
    if (!s->hooks.ends_at_once || s->hooks.ends_at_once(s->hooks.context, name, j->order)) {
        if (doc_is(j->order, "work", "serve"))
            enter_phase(s, j, "Serving", "");
        else
            run_at_once(s, j);
        if (s->hooks.poke)
            s->hooks.poke(s->hooks.context, doc_text(j->order, "uid"));
    }
    return fault(s, "started", name, err);
}

static int sim_inspect(struct runtime *rt, struct arena *a, const char *name, enum runtime_state *ret_state,
                       const struct doc **ret_report, struct err *err)
{
    struct sim *s = sim_of(rt);
    struct job *j = find(s, name);

    if (fault(s, "inspect", name, err) < 0)
        return -1;
    *ret_state = j && !j->prepared ? RUNTIME_THERE : RUNTIME_NONE;
    *ret_report = j ? doc_copy(a, j->report) : doc_map(a);
    return 0;
}

static int sim_stop(struct runtime *rt, const char *name, int64_t grace_s, const char *reason, struct err *err)
{
    struct sim *s = sim_of(rt);
    struct job *j = find(s, name);

    if (fault(s, "stop", name, err) < 0)
        return -1;
    if (j && !j->prepared && (!s->hooks.stops_at_once || s->hooks.stops_at_once(s->hooks.context, name)))
        end_job(s, j, "Stopped", "", 143);
    return fault(s, "stopped", name, err);
}

static int sim_forget(struct runtime *rt, const char *name, struct err *err)
{
    struct sim *s = sim_of(rt);
    struct job *j = find(s, name);

    if (fault(s, "forget", name, err) < 0)
        return -1;
    if (j && !j->prepared && !doc_is(j->report, "phase", "Ended"))
        return fail(err, ERR_CONFLICT, "%s still runs", name);
    if (j) {
        map_remove(s->jobs, str_of(name));
        job_free(j);
    }
    return fault(s, "forgotten", name, err);
}

static int sim_list(struct runtime *rt, struct arena *a, const char *const **ret_names, int *ret_count, struct err *err)
{
    struct sim *s = sim_of(rt);
    const char **names;
    struct str name;
    void *value;
    int count = 0;

    if (fault(s, "list", "", err) < 0)
        return -1;
    names = arena_array_of(a, const char *, map_count(s->jobs) + 1);
    for (size_t at = 0; map_next(s->jobs, &at, &name, &value);)
        names[count++] = str_dup(a, name);
    *ret_names = names;
    *ret_count = count;
    return 0;
}

static int sim_order_of(struct runtime *rt, struct arena *a, const char *name, const struct doc **ret_order,
                        struct err *err)
{
    struct sim *s = sim_of(rt);
    struct job *j = find(s, name);

    if (fault(s, "inspect", name, err) < 0)
        return -1;
    *ret_order = j ? doc_copy(a, j->order) : doc_map(a);
    return 0;
}

static void sim_free(struct runtime *rt)
{
    struct sim *s = sim_of(rt);
    struct str name;
    void *value;

    for (size_t at = 0; map_next(s->jobs, &at, &name, &value);)
        job_free(value);
    for (size_t at = 0; map_next(s->counts, &at, &name, &value);)
        free(value);
    map_free(s->jobs);
    map_free(s->counts);
    free(s);
}

struct runtime *sim_runtime_new(struct clock *clock, const struct sim_hooks *hooks)
{
    struct sim *s = calloc(1, sizeof *s);

    assert(s);
    s->base = (struct runtime){ .kind = "sim", .start = sim_start, .prepare = sim_prepare, .inspect = sim_inspect,
                                .stop = sim_stop, .forget = sim_forget, .list = sim_list, .order = sim_order_of,
                                .free = sim_free };
    s->clock = clock;
    if (hooks)
        s->hooks = *hooks;
    s->jobs = map_new();
    s->counts = map_new();
    return &s->base;
}

void sim_report(struct runtime *rt, const char *name, const char *phase, const char *message)
{
    struct job *j = find(sim_of(rt), name);

    if (j && !j->prepared && !doc_is(j->report, "phase", "Ended"))
        enter_phase(sim_of(rt), j, phase, message);
}

void sim_set(struct runtime *rt, const char *name, const char *member, const struct doc *value)
{
    struct job *j = find(sim_of(rt), name);

    if (j && !doc_is(j->report, "phase", "Ended"))
        doc_set(j->arena, j->report, member, doc_copy(j->arena, value));
}

void sim_end(struct runtime *rt, const char *name, const char *outcome, const char *failure_reason, int exit_code)
{
    struct sim *s = sim_of(rt);
    struct job *j = find(s, name);

    if (!j || j->prepared)
        return;
    if (strcmp(outcome, "Failed") != 0 && doc_is(j->order, "work", "train"))
        doc_set_string(j->arena, j->report, "model_artifacts",
                       arena_printf(j->arena, "%s/output/model.tar.gz", doc_text(j->order, "output_s3_uri")));
    end_job(s, j, outcome, failure_reason, exit_code);
}

void sim_lose(struct runtime *rt, const char *name)
{
    struct job *j = map_remove(sim_of(rt)->jobs, str_of(name));

    if (j)
        job_free(j);
}

int sim_count(struct runtime *rt, const char *name)
{
    int *count = map_get(sim_of(rt)->counts, str_of(name));

    return count ? *count : 0;
}

const struct doc *sim_order(struct runtime *rt, const char *name)
{
    struct job *j = find(sim_of(rt), name);

    return j ? j->order : NULL;
}
