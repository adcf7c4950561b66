#include "fleet/simulation.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fleet/checkpoint.h"
#include "fleet/spot.h"

enum { HOUR_MS = 3600 * 1000, SPOT_INTERVAL_MOST_MS = HOUR_MS };

enum event_kind { EVENT_ENDS, EVENT_TAKEN_BACK, EVENT_LEAVES, EVENT_WAITED_ENOUGH, EVENT_PRICE_FELL, EVENT_FAILS,
                  EVENT_RETURNS };

/* Of a job at an attempt, or of a node. An event of an attempt that is over is nothing. */
struct event {
    int64_t at_ms, sequence;
    enum event_kind kind;
    int64_t who, attempt;
};

enum job_phase { JOB_NOWHERE, JOB_QUEUED, JOB_HELD, JOB_ON, JOB_GOING, JOB_DONE };

struct running {
    enum job_phase phase;
    int64_t attempt, started_ms;
    int64_t left_ms; /* work to do, as of the last checkpoint */
    struct pace pace;
    bool by_model; /* who told it to go: the spot model, else on-demand work */
    double cores, gpus; /* of all its instances */
    double usd_hour, on_demand_usd_hour; /* without traces */
    double interruptions_hour;
};

struct world {
    struct simulation *out;
    struct scheduler *scheduler;
    struct running *jobs;
    struct event *heap;
    size_t count, capacity;
    int64_t sequence, now_ms, until_ms;
    int64_t next_job; /* of the workload, to be submitted */
    int64_t open; /* jobs that were submitted and have not ended */
    const char **node_names;
    int64_t *node_failures;
    double cores_on, gpus_on;
    int64_t waiting, running, spot_running;
    int64_t sample_every_ms, next_sample_ms;
    struct arena *arena;
};

static bool before(const struct event *a, const struct event *b)
{
    return a->at_ms != b->at_ms ? a->at_ms < b->at_ms : a->sequence < b->sequence;
}

static void plan(struct world *w, int64_t at_ms, enum event_kind kind, int64_t who, int64_t attempt)
{
    struct event e = { at_ms, ++w->sequence, kind, who, attempt };
    size_t at = w->count++;

    if (at_ms == INT64_MAX) {
        w->count--;
        return;
    }
    if (w->count > w->capacity) {
        w->capacity = w->capacity ? 2 * w->capacity : 1024;
        w->heap = realloc(w->heap, w->capacity * sizeof *w->heap);
        assert(w->heap);
    }
    for (; at > 0 && before(&e, &w->heap[(at - 1) / 2]); at = (at - 1) / 2)
        w->heap[at] = w->heap[(at - 1) / 2];
    w->heap[at] = e;
}

static struct event take_event(struct world *w)
{
    struct event first = w->heap[0], last = w->heap[--w->count];
    size_t at = 0;

    for (;;) {
        size_t child = 2 * at + 1;

        if (child >= w->count)
            break;
        if (child + 1 < w->count && before(&w->heap[child + 1], &w->heap[child]))
            child++;
        if (!before(&w->heap[child], &last))
            break;
        w->heap[at] = w->heap[child];
        at = child;
    }
    w->heap[at] = last;
    return first;
}

static const char *uid_of(int64_t job, char *into)
{
    sprintf(into, "j%lld", (long long)job);
    return into;
}

static const struct workload_job *spec_of(const struct world *w, int64_t job)
{
    return &w->out->workload->jobs[job];
}

/* The interval it saves at: what its row says, else Daly's for what interrupts it. Spot work also makes way for work
 * on demand, whose rate nobody knows, so it saves every hour at the latest. */
static struct pace pace_of(const struct world *w, const struct workload_job *j, double interruptions_hour)
{
    const struct fleet *f = w->out->fleet;
    struct pace pace = { .cost_ms = j->checkpoint_cost_ms, .restart_ms = f->checkpoints.restart_ms };
    double rate_ms = (j->spot ? interruptions_hour : 0) / HOUR_MS;
    int64_t instances = 0;

    for (int g = 0; g < j->group_count; g++)
        instances += j->groups[g].count;
    if (f->failures.mean_ms > 0)
        rate_ms += (double)instances / (double)f->failures.mean_ms;
    if (j->checkpoint_interval_ms == NO_CHECKPOINTS)
        return pace;
    pace.interval_ms = j->checkpoint_interval_ms;
    if (!pace.interval_ms && rate_ms > 0)
        pace.interval_ms = checkpoint_interval_ms((double)pace.cost_ms, 1 / rate_ms);
    if (!pace.interval_ms || pace.interval_ms == INT64_MAX)
        pace.interval_ms = j->spot ? SPOT_INTERVAL_MOST_MS : 0;
    if (j->spot && !j->checkpoint_interval_ms && pace.interval_ms > SPOT_INTERVAL_MOST_MS)
        pace.interval_ms = SPOT_INTERVAL_MOST_MS;
    return pace;
}

/* The first attempt has nothing to come up from. */
static struct pace pace_now(const struct running *r)
{
    struct pace pace = r->pace;

    if (r->attempt == 1)
        pace.restart_ms = 0;
    return pace;
}

static int64_t min(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int prepare(struct world *w, int64_t job, struct err *err)
{
    const struct workload_job *j = spec_of(w, job);
    struct running *r = &w->jobs[job];

    r->left_ms = j->run_ms;
    for (int g = 0; g < j->group_count; g++) {
        double count = (double)j->groups[g].count;
        struct fleet_type type;

        if (!fleet_type(w->out->fleet, j->groups[g].type, &type))
            return fail(err, ERR_INVALID,
                        "line %lld of the workload asks for %s, which neither the catalogue nor the fleet file knows; "
                        "add it as [[types]]",
                        (long long)j->line, j->groups[g].type);
        r->cores += count * (double)type.needs.cores;
        r->gpus += count * (double)type.needs.gpus;
        r->on_demand_usd_hour += count * type.usd_hour;
        r->usd_hour += count * (j->spot && type.spot_usd_hour >= 0 ? type.spot_usd_hour : type.usd_hour);
        if (!spot_trace(w->out->fleet, j->groups[g].type))
            r->interruptions_hour += count * type.interruptions_hour;
    }
    r->pace = pace_of(w, j, r->interruptions_hour);
    w->out->jobs[job] = (struct job_result){ .first_start_ms = -1, .ended_ms = -1 };
    return 0;
}

/* The moment from which all its traces allow it, or the first at which one does not. */
static int64_t price_moment(const struct world *w, const struct workload_job *j, bool above)
{
    int64_t moment = above ? INT64_MAX : w->now_ms;

    for (int g = 0; g < j->group_count; g++) {
        const struct fleet_trace *t = spot_trace(w->out->fleet, j->groups[g].type);
        struct fleet_type type;
        int64_t at;

        if (!t || !fleet_type(w->out->fleet, j->groups[g].type, &type))
            continue;
        at = above ? spot_next_above(t, w->out->fleet->spot.price_most * type.usd_hour, w->now_ms)
                   : spot_next_within(t, w->out->fleet->spot.price_most * type.usd_hour, w->now_ms);
        moment = above ? (at < moment ? at : moment) : (at > moment ? at : moment);
    }
    return moment;
}

static double cost_of(const struct world *w, int64_t job, int64_t from_ms, int64_t until_ms)
{
    const struct workload_job *j = spec_of(w, job);
    double usd = 0;
    bool traced = false;

    for (int g = 0; j->spot && g < j->group_count; g++) {
        const struct fleet_trace *t = spot_trace(w->out->fleet, j->groups[g].type);
        struct fleet_type type;

        fleet_type(w->out->fleet, j->groups[g].type, &type);
        traced = traced || t;
        usd += (double)j->groups[g].count *
               (t ? spot_cost(t, from_ms, until_ms)
                  : (type.spot_usd_hour >= 0 ? type.spot_usd_hour : type.usd_hour) * (double)(until_ms - from_ms) /
                        HOUR_MS);
    }
    return traced ? usd : w->jobs[job].usd_hour * (double)(until_ms - from_ms) / HOUR_MS;
}

static void submit(struct world *w, int64_t job)
{
    const struct workload_job *j = spec_of(w, job);
    struct running *r = &w->jobs[job];
    struct job_result *out = &w->out->jobs[job];
    struct err err = { 0 };
    char uid[64];
    struct work work = {
        .uid = uid_of(job, uid),
        .account = j->account,
        .owner = j->owner,
        .kind = "training job",
        .labels = j->labels,
        .group_count = j->group_count,
        .spot = j->spot,
        .priority = j->priority,
        .submitted_ms = j->submit_ms,
        .max_runtime_ms = j->max_run_ms,
    };
    int64_t price_ms = j->spot ? price_moment(w, j, false) : w->now_ms;

    if (price_ms > w->now_ms) {
        r->phase = JOB_HELD;
        plan(w, price_ms, EVENT_PRICE_FELL, job, r->attempt);
        return;
    }
    memcpy(work.groups, j->groups, sizeof work.groups);
    if (scheduler_submit(w->scheduler, &work, &err) < 0) {
        out->outcome = OUTCOME_REFUSED;
        out->refused = arena_strdup(w->arena, err.text);
        r->phase = JOB_DONE;
        w->open--;
        return;
    }
    r->phase = JOB_QUEUED;
    w->waiting++;
}

/* It is on its instances: when will it end, and when will it be taken back? */
static void begin(struct world *w, int64_t job)
{
    const struct workload_job *j = spec_of(w, job);
    struct running *r = &w->jobs[job];
    struct job_result *out = &w->out->jobs[job];
    int64_t allowed_ms = j->max_run_ms - out->held_ms, lifetime_ms;
    struct pace pace;
    char uid[64];

    r->phase = JOB_ON;
    r->started_ms = w->now_ms;
    r->attempt++;
    pace = pace_now(r);
    plan(w, w->now_ms + min(pace_length_ms(&pace, r->left_ms), allowed_ms), EVENT_ENDS, job, r->attempt);
    if (!j->spot)
        return;
    lifetime_ms = spot_lifetime_ms(r->interruptions_hour, spot_unit(w->out->seed, uid_of(job, uid), r->attempt));
    plan(w, lifetime_ms == INT64_MAX ? INT64_MAX : w->now_ms + lifetime_ms, EVENT_TAKEN_BACK, job, r->attempt);
    plan(w, price_moment(w, j, true), EVENT_TAKEN_BACK, job, r->attempt);
}

static void occupy(struct world *w, int64_t job, int sign)
{
    w->cores_on += sign * w->jobs[job].cores;
    w->gpus_on += sign * w->jobs[job].gpus;
    w->running += sign;
    w->spot_running += spec_of(w, job)->spot ? sign : 0;
}

/* What an attempt leaves behind. 'whole': it ended by itself; 'billed': what was lost is not, when a node failed. */
static void account_for(struct world *w, int64_t job, bool whole, bool failed)
{
    struct running *r = &w->jobs[job];
    struct job_result *out = &w->out->jobs[job];
    struct pace pace = pace_now(r);
    int64_t elapsed_ms = w->now_ms - r->started_ms, saved_ms, done_ms, unbilled_ms = 0;

    done_ms = pace_done_ms(&pace, r->left_ms, elapsed_ms);
    saved_ms = whole ? done_ms : pace_saved_ms(&pace, r->left_ms, elapsed_ms);
    out->held_ms += elapsed_ms;
    out->lost_ms += done_ms - saved_ms;
    out->saving_ms += elapsed_ms - done_ms;
    r->left_ms -= saved_ms;
    if (failed)
        unbilled_ms = done_ms - saved_ms;
    out->usd += cost_of(w, job, r->started_ms, w->now_ms - unbilled_ms);
    out->on_demand_usd += r->on_demand_usd_hour * (double)(elapsed_ms - unbilled_ms) / HOUR_MS;
}

static void end_job(struct world *w, int64_t job, enum outcome outcome)
{
    char uid[64];
    struct running *r = &w->jobs[job];

    if (r->phase == JOB_ON || r->phase == JOB_GOING) {
        account_for(w, job, outcome == OUTCOME_COMPLETED, false);
        occupy(w, job, -1);
    } else if (r->phase == JOB_QUEUED) {
        w->waiting--;
    }
    if (outcome != OUTCOME_COMPLETED) {
        const struct workload_job *j = spec_of(w, job);

        w->out->jobs[job].lost_ms += j->run_ms - r->left_ms; /* nobody gets the model */
    }
    w->out->jobs[job].outcome = outcome;
    w->out->jobs[job].ended_ms = w->now_ms;
    r->phase = JOB_DONE;
    w->open--;
    scheduler_release(w->scheduler, uid_of(job, uid), w->now_ms);
}

/* It leaves its instances and waits again: in the queue, or for a price. */
static void wait_again(struct world *w, int64_t job, bool failed)
{
    const struct workload_job *j = spec_of(w, job);
    char uid[64];

    account_for(w, job, false, failed);
    occupy(w, job, -1);
    if (j->spot && price_moment(w, j, false) > w->now_ms) {
        scheduler_release(w->scheduler, uid_of(job, uid), w->now_ms);
        submit(w, job);
        return;
    }
    w->jobs[job].phase = JOB_QUEUED;
    w->waiting++;
    scheduler_requeue(w->scheduler, uid_of(job, uid), w->now_ms);
}

static void take_decision(struct world *w, const struct decision *d)
{
    int64_t job = strtoll(d->uid + 1, NULL, 10);
    struct running *r = &w->jobs[job];
    struct job_result *out = &w->out->jobs[job];

    w->out->decisions++;
    switch (d->kind) {
    case DECISION_START:
        if (out->first_start_ms < 0)
            out->first_start_ms = w->now_ms;
        w->waiting--;
        occupy(w, job, 1);
        begin(w, job);
        break;
    case DECISION_INTERRUPT:
        r->phase = JOB_GOING;
        out->preempted += !r->by_model;
        out->interrupted += r->by_model;
        r->by_model = false;
        plan(w, d->deadline_ms, EVENT_LEAVES, job, r->attempt);
        break;
    case DECISION_REPLACE:
        /* The others stay, and all begin again from the last checkpoint. */
        out->failures++;
        w->out->replaced++;
        account_for(w, job, false, true);
        begin(w, job);
        break;
    case DECISION_LOST:
        out->failures++;
        wait_again(w, job, true);
        break;
    }
}

static void drain(struct world *w)
{
    struct decision d;

    while (scheduler_decide(w->scheduler, w->now_ms, &d))
        take_decision(w, &d);
}

static void fail_node(struct world *w, int64_t node)
{
    const struct fleet *f = w->out->fleet;
    int64_t next_ms = spot_lifetime_ms((double)HOUR_MS / (double)f->failures.mean_ms,
                                       spot_unit(w->out->seed, w->node_names[node], ++w->node_failures[node]));

    if (next_ms != INT64_MAX)
        plan(w, w->now_ms + next_ms, EVENT_FAILS, node, 0);
}

/* Not when the attempt, or the phase of it, that the event was planned for is over. */
static bool concerns(const struct running *r, const struct event *e)
{
    bool on = r->phase == JOB_ON, going = r->phase == JOB_GOING;

    if (e->kind == EVENT_WAITED_ENOUGH)
        return r->phase != JOB_DONE;
    if (e->attempt != r->attempt)
        return false;
    switch (e->kind) {
    case EVENT_ENDS:
        return on || going;
    case EVENT_TAKEN_BACK:
        return on;
    case EVENT_LEAVES:
        return going;
    default:
        return r->phase == JOB_HELD;
    }
}

static void happen(struct world *w, const struct event *e)
{
    struct running *r;
    struct pace pace;
    char uid[64];

    if (e->kind == EVENT_FAILS) {
        w->out->node_failures++;
        scheduler_fail(w->scheduler, w->node_names[e->who], w->now_ms);
        plan(w, w->now_ms + w->out->fleet->failures.repair_ms, EVENT_RETURNS, e->who, 0);
        return;
    }
    if (e->kind == EVENT_RETURNS) {
        scheduler_return(w->scheduler, w->node_names[e->who], w->now_ms);
        fail_node(w, e->who);
        return;
    }
    r = &w->jobs[e->who];
    if (!concerns(r, e))
        return;
    switch (e->kind) {
    case EVENT_ENDS:
        pace = pace_now(r);
        end_job(w, e->who,
                w->now_ms - r->started_ms >= pace_length_ms(&pace, r->left_ms) ? OUTCOME_COMPLETED : OUTCOME_MAX_RUN);
        break;
    case EVENT_TAKEN_BACK:
        r->by_model = true;
        scheduler_interrupt(w->scheduler, uid_of(e->who, uid), w->now_ms);
        break;
    case EVENT_LEAVES:
        wait_again(w, e->who, false);
        break;
    case EVENT_PRICE_FELL:
        submit(w, e->who);
        break;
    default:
        /* AWS counts from the submission; who runs then is stopped, too. */
        end_job(w, e->who, OUTCOME_MAX_WAIT);
    }
}

/* Samples of a simulation whose end is not known: when there are too many, every second goes. */
static void thin_samples(struct world *w)
{
    for (int i = 0; i < SAMPLES / 2; i++)
        w->out->samples[i] = w->out->samples[2 * i];
    w->out->sample_count = SAMPLES / 2;
    w->sample_every_ms *= 2;
    w->next_sample_ms = w->out->samples[SAMPLES / 2 - 1].at_ms + w->sample_every_ms;
}

/* Time goes on to 'at', with what is in use until then. */
static void advance(struct world *w, int64_t at_ms)
{
    while (w->next_sample_ms <= at_ms) {
        w->out->samples[w->out->sample_count++] = (struct sample){
            .at_ms = w->next_sample_ms,
            .cores = w->cores_on,
            .gpus = w->gpus_on,
            .waiting = w->waiting,
            .running = w->running,
            .spot_running = w->spot_running,
        };
        w->next_sample_ms += w->sample_every_ms;
        if (w->out->sample_count == SAMPLES)
            thin_samples(w);
    }
    w->out->core_ms += w->cores_on * (double)(at_ms - w->now_ms);
    w->out->gpu_ms += w->gpus_on * (double)(at_ms - w->now_ms);
    w->now_ms = at_ms;
}

/* The next moment at which anything happens, and what. */
static bool step(struct world *w)
{
    const struct workload *all = w->out->workload;
    int64_t event_ms = w->count ? w->heap[0].at_ms : INT64_MAX;
    int64_t job_ms = w->next_job < all->count ? all->jobs[w->next_job].submit_ms : INT64_MAX;
    int64_t wake_ms = w->waiting > 0 ? scheduler_next_ms(w->scheduler) : INT64_MAX;
    int64_t at_ms = min(job_ms, min(event_ms, wake_ms));

    /* Nodes fail and return for ever; that is no reason to go on. */
    if (w->open == 0 && job_ms == INT64_MAX)
        return false;
    /* Only the scheduler's own clock is left: nothing will ever free anything. */
    if (min(job_ms, event_ms) == INT64_MAX && w->running == 0)
        return false;
    if (at_ms > w->until_ms || at_ms == INT64_MAX) {
        if (w->until_ms != INT64_MAX)
            advance(w, w->until_ms);
        return false;
    }
    advance(w, at_ms > w->now_ms ? at_ms : w->now_ms);
    w->out->events++;
    if (job_ms == at_ms) {
        int64_t job = w->next_job++;
        const struct workload_job *j = spec_of(w, job);

        w->open++;
        submit(w, job);
        if (j->max_wait_ms > 0)
            plan(w, w->now_ms + j->max_wait_ms, EVENT_WAITED_ENOUGH, job, 0);
    } else if (event_ms == at_ms) {
        struct event e = take_event(w);

        happen(w, &e);
    }
    drain(w);
    return true;
}

static void name_nodes(struct world *w)
{
    const struct fleet *f = w->out->fleet;
    int64_t at = 0;

    w->node_names = arena_array_of(w->arena, const char *, (size_t)f->node_count);
    w->node_failures = arena_array_of(w->arena, int64_t, (size_t)f->node_count);
    for (int i = 0; i < f->node_group_count; i++) {
        const struct fleet_nodes *group = &f->nodes[i];

        w->out->core_total_ms += (double)(group->count * group->has.cores);
        w->out->gpu_total_ms += (double)(group->count * group->has.gpus);
        for (int64_t k = 0; k < group->count; k++, at++) {
            w->node_names[at] = group->numbered ? arena_printf(w->arena, "%s-%lld", group->name, (long long)k + 1)
                                                : group->name;
            if (f->failures.mean_ms > 0)
                fail_node(w, at);
        }
    }
}

/* What still waits or runs when the time is over. */
static void close_books(struct world *w)
{
    for (int64_t i = 0; i < w->out->workload->count; i++) {
        struct running *r = &w->jobs[i];

        if (r->phase == JOB_DONE)
            continue;
        w->out->jobs[i].outcome = r->phase == JOB_ON || r->phase == JOB_GOING ? OUTCOME_RUNNING : OUTCOME_WAITING;
        if (w->out->jobs[i].outcome == OUTCOME_RUNNING)
            account_for(w, i, true, false);
    }
}

int simulate(struct arena *a, const struct fleet *fleet, const struct workload *workload, int64_t seed, int64_t days,
             struct simulation *ret, struct err *err)
{
    struct world w = { .out = ret, .arena = a, .until_ms = days ? days * 24 * HOUR_MS : INT64_MAX };

    *ret = (struct simulation){ .fleet = fleet, .workload = workload, .seed = seed };
    ret->jobs = arena_array_of(a, struct job_result, (size_t)workload->count);
    w.jobs = arena_array_of(a, struct running, (size_t)workload->count);
    for (int64_t i = 0; i < workload->count; i++)
        if (prepare(&w, i, err) < 0)
            return -1;
    w.sample_every_ms = days ? days * 24 * HOUR_MS / (SAMPLES - 2) : 60 * 1000;
    w.scheduler = scheduler_new(fleet, 0);
    name_nodes(&w);
    while (step(&w))
        ;
    close_books(&w);
    ret->length_ms = w.now_ms;
    ret->core_total_ms *= (double)w.now_ms;
    ret->gpu_total_ms *= (double)w.now_ms;
    scheduler_free(w.scheduler);
    free(w.heap);
    return 0;
}
