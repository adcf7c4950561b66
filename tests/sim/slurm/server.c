/* server.c - what the engine asks of the runtime, job by job: it may be killed between any two calls, and calls
 * again. */
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "run/slurm_cluster.h"
#include "world.h"

typeof(slurm_cluster_submit) __wrap_slurm_cluster_submit;

enum { GRACE_S = 120 };

static void happened(void *data)
{
}

void server_start(void)
{
    const struct runtime_config config = { .data_folder = "/data", .run_folder = "/run/x" };
    const struct slurm_settings settings = { .notice_s = 30, .happened = happened,
                                             .server = w.remote ? "10.0.0.1" : "" };
    struct err err;

    w.answered = false;
    w.eager = 0;
    if (slurm_runtime_new(&config, &settings, &w.runtime, &err) < 0)
        broken("the server does not start: %s", err.text);
}

void server_end(void)
{
    tell("the server ends");
    w.dying = true;
    runtime_free(w.runtime);
    w.dying = false;
    w.runtime = NULL;
    w.answered = false;
}

/* True: here it is killed. */
static bool dies(void)
{
    w.calls++;
    if (!chance(F_DEATH, 8))
        return false;
    server_end();
    w.deaths++;
    return true;
}

/* Who wants an agent has to be somebody without one. */
typeof(slurm_cluster_submit) __real_slurm_cluster_submit;
void __wrap_slurm_cluster_submit(struct slurm_cluster *c, const struct slurm_batch *batch, bool first)
{
    const struct job *j = mate_find(batch->name)->job;
    int wanted = 0;

    for (int i = 0; i < j->count; i++)
        wanted += !mate_ended(&j->mates[i]) && !j->mates[i].seen_alive;
    if (!wanted)
        broken("job %d is to be submitted, and each of its instances has ended or is at work", j->index);
    if (first && j->submitted && !j->orphaned)
        broken("job %d is taken for new", j->index);
    __real_slurm_cluster_submit(c, batch, first);
}

static struct doc *order_of(struct arena *a, const struct mate *m)
{
    const struct job *j = m->job;
    struct doc *d = doc_map(a);

    doc_set_string(a, d, "name", m->name);
    doc_set_string(a, d, "work", "train");
    for (int i = 0; i < j->count && j->count > 1; i++) {
        const char *host = arena_printf(a, "algo-%d", i + 1);

        doc_append(a, doc_member(a, d, "hosts", DOC_LIST), doc_string(a, host));
        doc_set_string(a, doc_member(a, d, "peers", DOC_MAP), host, j->mates[i].name);
    }
    return d;
}

static void count_endings(struct job *j)
{
    for (int i = 0; i < w.submission_count && w.answered; i++) {
        struct submission *s = &w.submissions[i];

        if (s->job == j && s->told && s->mute && s->state == FAILED && !s->counted) {
            s->counted = true;
            j->wordless++;
        }
    }
}

/* False: nothing more can be done in this pass. */
static bool look(struct arena *a, struct mate *m)
{
    long answers = w.answers;
    bool ended = mate_ended(m);
    enum runtime_state state;
    const struct doc *report;
    struct err err;

    w.had_answered = w.answered;
    if (dies() || runtime_inspect(w.runtime, a, m->name, &state, &report, &err) < 0)
        return false;
    if (m->seen && state == RUNTIME_NONE)
        broken("%s is not there any more", m->name);
    if (m->saved && !doc_is(report, "outcome", m->saved))
        broken("%s had ended as %s, and now as %s", m->name, m->saved, doc_text(report, "outcome"));
    if (doc_is(report, "phase", "Ended") && !m->saved) {
        m->saved = arena_strdup(w.arena, doc_text(report, "outcome"));
        tell("%s has ended as %s", m->name, m->saved);
    }
    m->seen = m->seen || *doc_text(report, "phase");
    if (!ended && !m->lives && answers == w.answers)
        count_endings(m->job);
    return true;
}

static bool is_doomed(const struct job *j)
{
    for (int i = 0; i < j->count; i++)
        if (j->mates[i].saved && strcmp(j->mates[i].saved, "Completed") != 0)
            return true;
    return j->taken;
}

static bool start(struct arena *a, struct mate *m)
{
    struct err err;

    return !dies() && runtime_start(w.runtime, m->name, order_of(a, m), &err) == 0;
}

static bool stop(struct mate *m, const char *reason)
{
    struct err err;

    return !dies() && runtime_stop(w.runtime, m->name, GRACE_S, reason, &err) == 0;
}

static bool waits(const struct submission *s)
{
    return s->known && s->state == PENDING && !s->orphan;
}

static void forget(struct job *j)
{
    struct err err;

    for (int i = 0; i < j->count; i++)
        if (!j->mates[i].forgotten && (dies() || runtime_forget(w.runtime, j->mates[i].name, &err) < 0))
            return;
    if (submission_of(j, waits))
        broken("job %d is forgotten, and waits in Slurm's queue", j->index);
    tell("job %d is forgotten", j->index);
    j->done = true;
}

/* As the engine does with what is nobody's. */
static void sweep(struct arena *a, struct job *j)
{
    int left = 0;
    struct err err;

    for (int i = 0; i < j->count; i++) {
        struct mate *m = &j->mates[i];

        if (!m->order)
            continue;
        if (!look(a, m) || (!m->saved && !stop(m, "its owner is gone")) ||
            (m->saved && (dies() || runtime_forget(w.runtime, m->name, &err) < 0)))
            return;
        left += m->order != NULL;
    }
    j->done = !left;
}

/* As crew.c and its friends do it. */
static void pass(struct arena *a, struct job *j)
{
    bool ends = j->stopped || is_doomed(j), over = true;

    if (j->over) {
        forget(j);
        return;
    }
    for (int i = 0; i < j->count; i++)
        if (j->mates[i].order && !look(a, &j->mates[i]))
            return;
    ends = ends || is_doomed(j);
    for (int i = 0; i < j->count; i++) {
        struct mate *m = &j->mates[i];

        if (!m->order && !ends && !start(a, m))
            return;
        if (m->order && ends && !m->saved && !stop(m, j->stopped ? "StopTrainingJob" : STOP_TAKEN_BACK))
            return;
        over = over && (m->saved || (ends && !m->order));
    }
    j->over = over;
}

static void avoid(void)
{
    static const char *const bad[] = { "n1" };

    runtime_avoid(w.runtime, bad, w.calm ? 0 : (int)roll(2));
}

void server_move(void)
{
    _cleanup_arena_ struct arena *a = arena_new();
    const char *const *names;
    struct job *j = &w.jobs[roll(JOBS)];

    if (!w.runtime) {
        if (w.calm || roll(4) == 0)
            server_start();
        return;
    }
    runtime_died(w.runtime, a, &names);
    if (roll(20) == 0 && (w.faults & F_CORDON))
        avoid();
    if (!j->created && (w.calm || roll(10) == 0)) {
        j->created = true;
        tell("job %d of %d", j->index, j->count);
    }
    if (chance(F_USER, 15) && j->created && !j->over)
        *(roll(3) ? &j->stopped : &j->taken) = true;
    if (chance(F_USER, 5) && j->created && !j->over)
        j->lost = true;
    if (j->created && !j->done)
        j->lost ? sweep(a, j) : pass(a, j);
}
