/* agents.c - the folders of agents, in memory, and the agents themselves. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "base/program.h"
#include "base/str.h"
#include "run/agents.h"
#include "run/folder.h"
#include "world.h"

typeof(agents_accept) __wrap_agents_accept;
typeof(agents_look) __wrap_agents_look;
typeof(agents_kill) __wrap_agents_kill;
typeof(folder_read) __wrap_folder_read;
typeof(folder_write) __wrap_folder_write;
typeof(program_path) __wrap_program_path;
typeof(file_read) __wrap_file_read;
typeof(container_runtime_new) __wrap_container_runtime_new;

enum { LENT_MS = 60000 };

struct mate *mate_find(const char *name)
{
    for (int i = 0; i < JOBS * MATES; i++)
        if (strcmp(w.jobs[i / MATES].mates[i % MATES].name, name) == 0)
            return &w.jobs[i / MATES].mates[i % MATES];
    broken("nobody has the name %s", name);
}

bool mate_ended(const struct mate *m)
{
    return strcmp(m->report.phase, "Ended") == 0;
}

/* --- Folders --- */

static int disk(struct err *err)
{
    return chance(F_DISK, 20) ? fail(err, ERR_UNAVAILABLE, "the disk has a fault") : 0;
}

int __wrap_agents_accept(struct runtime *rt, const char *name, const char *kind, const struct doc *order,
                         struct err *err)
{
    struct mate *m = mate_find(name);
    struct doc *d;

    if (disk(err) < 0)
        return -1;
    if (m->forgotten)
        broken("%s is started, and was forgotten", name);
    if (m->order)
        return 0;
    d = doc_copy(w.arena, order);
    doc_set_string(w.arena, d, "runtime", kind);
    m->order = d;
    return 0;
}

static const struct doc *report_doc(struct arena *a, const struct report *r)
{
    struct doc *d = doc_map(a);

    if (*r->phase)
        doc_set_string(a, d, "phase", r->phase);
    if (*r->outcome)
        doc_set_string(a, d, "outcome", r->outcome);
    return d;
}

int __wrap_agents_look(struct runtime *rt, struct arena *a, const char *name, struct agents_look *ret,
                       struct err *err)
{
    struct mate *m = mate_find(name);
    struct doc *stop = doc_map(a);

    if (disk(err) < 0)
        return -1;
    m->seen_alive = m->lives && !w.remote;
    if (*m->stop.reason)
        doc_set_string(a, stop, "reason", m->stop.reason);
    *ret = (struct agents_look){ .folder = arena_printf(a, "/data/agents/%s", m->name), .there = m->order,
                                 .alive = m->seen_alive, .ended = mate_ended(m),
                                 .order = m->order ? m->order : doc_map(a),
                                 .report = report_doc(a, &m->report), .stop = stop };
    meanwhile();
    return 0;
}

int __wrap_agents_kill(struct runtime *rt, const char *name, struct err *err)
{
    struct mate *m = mate_find(name);

    if (disk(err) < 0)
        return -1;
    if (m->lives && !w.remote)
        mate_dies(m);
    meanwhile();
    return 0;
}

static bool has_failed(const struct submission *s)
{
    return s->state == NODE_FAIL && !s->completing;
}

/* The driver has concluded how it ended. */
static void check_verdict(const struct mate *m, const char *outcome, const char *reason, bool unhealthy)
{
    const struct submission *s = submission_of(m->job, submission_goes_on);
    bool failed = m->in && m->in->known && has_failed(m->in) && !m->job->orphaned;

    if (mate_ended(m))
        broken("%s is ended as %s, and had ended as %s", m->name, outcome, m->report.outcome);
    if (s)
        broken("%s is ended as %s, and Slurm's job %d goes on", m->name, outcome, s->number);
    if (!w.answered && !w.had_answered && m->job->submitted)
        broken("%s is ended as %s, and Slurm does not answer", m->name, outcome);
    if (strcmp(m->stop.reason, "StopTrainingJob") == 0 && strcmp(outcome, "Stopped") != 0)
        broken("%s was stopped, and is ended as %s", m->name, outcome);
    if (failed && strcmp(outcome, "Interrupted") == 0)
        broken("%s is ended as %s, and its node failed", m->name, outcome);
    if (strstr(reason, "does not take the job") && !m->job->refused)
        broken("%s is ended as one that Slurm does not take, and it would", m->name);
    if (unhealthy && !submission_of(m->job, has_failed))
        broken("%s is ended as %s for a bad node, and none failed", m->name, outcome);
}

int __wrap_folder_read(struct arena *a, const char *folder, const char *file, const struct doc **ret, struct err *err)
{
    if (disk(err) < 0)
        return -1;
    *ret = mate_find(strrchr(folder, '/') + 1)->notes;
    return 0;
}

int __wrap_folder_write(struct arena *a, const char *folder, const char *file, const struct doc *d, bool durable,
                        struct err *err)
{
    struct mate *m = mate_find(strrchr(folder, '/') + 1);

    if (disk(err) < 0)
        return -1;
    if (!m->order)
        return fail(err, ERR_INTERNAL, "write %s/%s: there is no such folder", folder, file);
    if (strcmp(file, FOLDER_REPORT) != 0) {
        m->notes = doc_copy(w.arena, d);
        return 0;
    }
    tell("%s is ended as %s: %s", m->name, doc_text(d, "outcome"), doc_text(d, "failure_reason"));
    check_verdict(m, doc_text(d, "outcome"), doc_text(d, "failure_reason"), doc_has(d, "unhealthy"));
    m->report = (struct report){ "Ended", arena_strdup(w.arena, doc_text(d, "outcome")) };
    w.ends++;
    return 0;
}

int __wrap_program_path(struct arena *a, const char *name, const char **ret, struct err *err)
{
    *ret = arena_printf(a, "/libexec/%s", name);
    return 0;
}

int __wrap_file_read(struct arena *a, const char *path, size_t limit, struct str *ret, struct err *err)
{
    *ret = str_of(arena_strdup(a, path));
    return 0;
}

/* --- The runtime of this host --- */

static int local_inspect(struct runtime *rt, struct arena *a, const char *name, enum runtime_state *ret_state,
                         const struct doc **ret_report, struct err *err)
{
    if (mate_find(name)->order)
        broken("%s is inspected as if it was no job of Slurm's", name);
    *ret_state = RUNTIME_NONE;
    *ret_report = doc_map(a);
    return 0;
}

static int local_stop(struct runtime *rt, const char *name, int64_t grace_s, const char *reason, struct err *err)
{
    struct mate *m = mate_find(name);

    if (disk(err) < 0)
        return -1;
    if (m->order && !*m->stop.reason)
        m->stop.reason = reason;
    return 0;
}

static int local_forget(struct runtime *rt, const char *name, struct err *err)
{
    struct mate *m = mate_find(name);

    if (disk(err) < 0)
        return -1;
    if (m->lives && !w.remote && !mate_ended(m))
        return fail(err, ERR_CONFLICT, "%s still runs", name);
    if (m->lives && !w.remote)
        mate_dies(m);
    m->order = NULL;
    m->forgotten = true;
    return 0;
}

static int local_order(struct runtime *rt, struct arena *a, const char *name, const struct doc **ret, struct err *err)
{
    *ret = mate_find(name)->order ? mate_find(name)->order : doc_map(a);
    return 0;
}

static int local_died(struct runtime *rt, struct arena *a, const char *const **ret)
{
    *ret = arena_array_of(a, const char *, 1);
    return 0;
}

static void local_free(struct runtime *rt)
{
}

int __wrap_container_runtime_new(const struct runtime_config *config, struct runtime **ret, struct err *err)
{
    static struct runtime local = { .kind = "container", .inspect = local_inspect, .stop = local_stop,
                                    .forget = local_forget, .order = local_order, .died = local_died,
                                    .free = local_free };

    *ret = &local;
    return 0;
}

/* --- Agents --- */

void mate_dies(struct mate *m)
{
    if (m->lives)
        tell("the agent of %s is gone", m->name);
    m->lives = false;
    m->died_ms = w.now_ms;
}

static void say(struct mate *m, const char *phase, const char *outcome)
{
    m->said = (struct report){ phase, outcome };
    tell("%s: %s %s", m->name, phase, outcome);
}

/* One that finds another at work goes away; on another machine it waits until the server lends it the name. */
bool mate_begins(struct mate *m, struct submission *s, enum task *ret)
{
    bool moved = m->in && m->in != s;

    if (!m->order || mate_ended(m)) {
        *ret = TASK_DONE;
        return true;
    }
    if (m->lives && !w.remote) {
        *ret = TASK_DONE;
        return true;
    }
    if (w.remote && (m->lives || !w.runtime || w.busy || (moved && w.now_ms < m->died_ms + LENT_MS)))
        return false;
    *ret = TASK_RUNS;
    m->lives = true;
    m->in = s;
    m->said = m->report;
    if (moved || !w.remote)
        m->heard = m->stop;
    tell("an agent of %s begins in %d", m->name, s->number);
    /* Its container is elsewhere, and nobody has it any more. */
    if (moved && strcmp(m->report.phase, "Training") == 0)
        say(m, "Ended", "Failed");
    return true;
}

void mate_notice(struct mate *m)
{
    if (!m->lives)
        return;
    if (!w.remote && !*m->stop.reason)
        m->stop.reason = STOP_TAKEN_BACK;
    if (!*m->heard.reason)
        m->heard.reason = STOP_TAKEN_BACK;
}

/* False: it was told that there is nothing to do here. */
static bool talk(struct mate *m)
{
    if (w.remote && (!w.runtime || w.busy || roll(3) == 0))
        return true;
    if (!m->order || mate_ended(m)) {
        mate_dies(m);
        return false;
    }
    if (!*m->heard.reason)
        m->heard = m->stop;
    m->report = m->said;
    return true;
}

static void agent_moves(struct mate *m)
{
    if (strcmp(m->said.phase, "Ended") == 0) {
        if (mate_ended(m) && roll(2))
            mate_dies(m);
    } else if (chance(F_AGENT, 20)) {
        mate_dies(m);
        return;
    } else if (*m->heard.reason) {
        if (roll(5) == 0)
            say(m, "Ended", strcmp(m->heard.reason, STOP_TAKEN_BACK) == 0 ? "Interrupted" : "Stopped");
    } else if (roll(6) == 0) {
        if (!*m->said.phase)
            say(m, "Downloading", "");
        else if (strcmp(m->said.phase, "Downloading") == 0)
            say(m, "Training", "");
        else if (roll(4) == 0)
            say(m, "Ended", roll(5) ? "Completed" : "Failed");
    }
}

void agents_move(void)
{
    for (int i = 0; i < JOBS * MATES; i++) {
        struct mate *m = &w.jobs[i / MATES].mates[i % MATES];

        if (m->lives && talk(m))
            agent_moves(m);
        if (m->lives && !w.remote && m->order && !mate_ended(m))
            m->report = m->said;
    }
}
