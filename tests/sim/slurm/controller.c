/* controller.c - slurmctld, as sbatch, squeue and scancel show it, and what it does with jobs by itself. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/str.h"
#include "run/command.h"
#include "world.h"

typeof(command_run) __wrap_command_run;

enum { NOTICE_MS = 30000 };

static const char *const states[] = { "PENDING", "RUNNING", "COMPLETED", "FAILED", "NODE_FAIL", "PREEMPTED",
                                      "CANCELLED", "TIMEOUT" };

static bool goes_on(const struct submission *s)
{
    return s->known && (s->state <= RUNNING || s->completing);
}

bool submission_goes_on(const struct submission *s)
{
    return !s->orphan && goes_on(s);
}

struct submission *submission_of(const struct job *j, bool (*is)(const struct submission *))
{
    for (int i = w.submission_count - 1; i >= 0; i--)
        if (w.submissions[i].job == j && is(&w.submissions[i]))
            return &w.submissions[i];
    return NULL;
}

/* --- Commands --- */

static const char *option(const char *const *arguments, const char *name)
{
    for (; *arguments; arguments++)
        if (text_starts(*arguments, name))
            return *arguments + strlen(name);
    return NULL;
}

static int answer(struct arena *a, struct command_result *ret, int status, const char *output, const char *errors)
{
    *ret = (struct command_result){ status, str_of(arena_strdup(a, output)), str_of(arena_strdup(a, errors)) };
    return 0;
}

static bool is_told(const struct submission *s)
{
    return s->known && s->told;
}

static void check_submission(struct job *j)
{
    int open = 0;

    if (j->orphaned)
        return;
    if (submission_of(j, submission_goes_on))
        broken("job %d is submitted beside another", j->index);
    for (int i = 0; i < j->count; i++) {
        if (j->mates[i].forgotten)
            broken("%s is submitted, and was forgotten", j->mates[i].name);
        open += !mate_ended(&j->mates[i]);
    }
    /* One that goes on elsewhere, and that Slurm has forgotten, may end in the last moment. */
    if (!open && submission_of(j, is_told))
        broken("job %d is submitted, and has ended", j->index);
    if (j->wordless >= 3)
        broken("job %d is submitted, and ended %d times without a word", j->index, j->wordless);
}

static struct submission *submit(struct job *j)
{
    struct submission *s = &w.submissions[w.submission_count];

    if (w.submission_count++ == SUBMISSIONS)
        broken("job %d is submitted without end", j->index);
    *s = (struct submission){ .number = ++w.number, .job = j, .known = true, .submitted_ms = w.now_ms };
    j->submitted = true;
    tell("Slurm has job %d as %d", j->index, s->number);
    return s;
}

static int sbatch(struct arena *a, const char *const *arguments, struct command_result *ret)
{
    struct mate *m = mate_find(option(arguments, "--job-name="));

    if (option(arguments, "--exclude=") && w.cordoned)
        return answer(a, ret, 1, "", "sbatch: error: Requested node configuration is not available\n");
    if (m->job->refused)
        return answer(a, ret, 1, "", "sbatch: error: Batch job submission failed: Invalid qos specification\n");
    if (option(arguments, "--test-only"))
        return answer(a, ret, 0, "", "");
    check_submission(m->job);
    return answer(a, ret, 0, arena_printf(a, "%d\n", submit(m->job)->number), "");
}

static int squeue(struct arena *a, struct command_result *ret)
{
    struct buf b = { 0 };
    int result;

    buf_append_str(&b, "\n");
    for (int i = 0; i < w.submission_count; i++) {
        struct submission *s = &w.submissions[i];

        s->shown = s->known && !goes_on(s);
        if (s->known)
            buf_printf(&b, "%d|%s|None||%s|%s\n", s->number, s->completing ? "COMPLETING" : states[s->state],
                       time_iso8601(a, s->submitted_ms, false), s->job->mates[0].name);
    }
    result = answer(a, ret, 0, arena_strndup(a, b.data, b.size), "");
    buf_free(&b);
    return result;
}

/* The steps are told, and killed when they do not end. */
static void end(struct submission *s, enum state state)
{
    tell("Slurm's job %d is %s", s->number, states[state]);
    s->completing = s->state == RUNNING;
    s->state = state;
    s->ended_ms = w.now_ms;
    s->kill_ms = w.now_ms + NOTICE_MS;
    for (int i = 0; i < s->job->count && s->completing; i++)
        if (s->tasks[i] == TASK_RUNS && s->job->mates[i].in == s)
            mate_notice(&s->job->mates[i]);
        else if (s->tasks[i] == TASK_WAITS)
            s->tasks[i] = TASK_DONE;
}

static int scancel(struct arena *a, const char *const *arguments, struct command_result *ret)
{
    struct mate *m = mate_find(option(arguments, "--name="));
    bool waits = option(arguments, "--state=PENDING");

    for (int i = 0; i < w.submission_count; i++) {
        struct submission *s = &w.submissions[i];

        if (s->job == m->job && s->known && (s->state == PENDING || (s->state == RUNNING && !waits)))
            end(s, CANCELLED);
    }
    return answer(a, ret, 0, "", "");
}

static int carry_out(struct arena *a, const char *const *arguments, struct command_result *ret)
{
    if (strcmp(arguments[0], "sbatch") == 0)
        return sbatch(a, arguments, ret);
    if (strcmp(arguments[0], "squeue") == 0)
        return squeue(a, ret);
    if (strcmp(arguments[0], "scancel") == 0)
        return scancel(a, arguments, ret);
    return answer(a, ret, 0, "n1\n", "");
}

/* What the server knows from here on. */
static void note_answer(bool answered)
{
    w.answered = answered;
    w.answers += answered;
    for (int i = 0; i < w.submission_count && answered; i++)
        w.submissions[i].told = w.submissions[i].shown;
}

static void before_squeue(void)
{
    if (!w.answered && ++w.eager > 2) /* what came while it was asked may make it ask once more */
        broken("Slurm is asked without a pause");
}

/* The command is a process of its own, and goes on without its server. */
static void outlive(struct arena *a, const char *const *arguments)
{
    struct command_result ignored;

    if (w.now_ms >= w.away_until_ms && roll(2)) {
        carry_out(a, arguments, &ignored);
    } else if (strcmp(arguments[0], "sbatch") == 0 && !option(arguments, "--test-only") && !w.orphan && roll(2)) {
        w.orphan = mate_find(option(arguments, "--job-name="))->job;
        w.orphan->orphaned = true;
        w.orphan_ms = w.now_ms + roll(10000);
    }
}

int __wrap_command_run(struct arena *a, const char *const *arguments, struct str input, int64_t limit_ms,
                       struct command_result *ret, struct err *err)
{
    bool asks = strcmp(arguments[0], "squeue") == 0, lost;

    if (w.dying)
        return fail(err, ERR_UNAVAILABLE, "the server is dead");
    w.commands++;
    tell("%s begins", arguments[0]);
    if (asks)
        before_squeue();
    thread_yield();
    if (w.dying) {
        outlive(a, arguments);
        return fail(err, ERR_UNAVAILABLE, "the server is dead");
    }
    lost = chance(F_LOST, 150);
    if (w.now_ms < w.away_until_ms)
        answer(a, ret, 1, "", "error: Unable to contact slurm controller (connect failure)\n");
    else
        carry_out(a, arguments, ret);
    thread_yield();
    if (lost)
        tell("the answer of %s is lost", arguments[0]);
    if (asks)
        note_answer(!lost && ret->status == 0);
    if (lost && roll(2))
        return answer(a, ret, 1, "", "error: Socket timed out on send/recv operation\n");
    return lost ? fail(err, ERR_UNAVAILABLE, "%s did not answer within 60 s", arguments[0]) : 0;
}

/* --- What it does --- */

static void task_moves(struct submission *s, int i)
{
    struct mate *m = &s->job->mates[i];

    if (s->tasks[i] == TASK_WAITS && roll(3) == 0) {
        if (s->mute)
            s->tasks[i] = TASK_FAILED;
        else
            mate_begins(m, s, &s->tasks[i]);
    } else if (s->tasks[i] == TASK_RUNS && !m->lives && mate_ended(m)) {
        s->tasks[i] = TASK_DONE;
    } else if (s->tasks[i] == TASK_RUNS && !m->lives && roll(3) == 0) { /* its shell starts it again */
        if (++s->kills[i] == 5 || s->completing)
            s->tasks[i] = TASK_FAILED;
        else
            mate_begins(m, s, &s->tasks[i]);
    }
    if (s->kill_ms && w.now_ms > s->kill_ms && s->tasks[i] < TASK_DONE) {
        if (s->tasks[i] == TASK_RUNS && m->in == s)
            mate_dies(m);
        s->tasks[i] = TASK_DONE;
    }
}

static void tasks_move(struct submission *s)
{
    int done = 0, failed = 0;

    for (int i = 0; i < s->job->count; i++) {
        task_moves(s, i);
        done += s->tasks[i] >= TASK_DONE;
        failed += s->tasks[i] == TASK_FAILED;
    }
    if (done < s->job->count)
        return;
    if (s->state == RUNNING) {
        s->state = failed ? FAILED : COMPLETED;
        s->completing = roll(2);
        s->ended_ms = w.now_ms;
        tell("Slurm's job %d is %s", s->number, states[s->state]);
    } else if (s->completing && (w.calm || roll(3) == 0)) {
        s->completing = false;
        s->ended_ms = w.now_ms;
    }
}

/* Nobody is told of a node's end but those on the others. */
static void node_fails(struct submission *s)
{
    int dead = (int)roll((unsigned)s->job->count);

    end(s, NODE_FAIL);
    if (s->tasks[dead] == TASK_RUNS && s->job->mates[dead].in == s)
        mate_dies(&s->job->mates[dead]);
    s->tasks[dead] = TASK_DONE;
}

static void submission_moves(struct submission *s)
{
    if (s->known && s->state == PENDING && roll(4) == 0) {
        s->state = RUNNING;
        s->mute = s->job->mute > 0;
        s->job->mute -= s->mute;
        tell("Slurm's job %d is RUNNING", s->number);
    }
    if (s->state == PENDING)
        return;
    if (s->state == RUNNING && s->known && chance(F_NODE, 25))
        node_fails(s);
    if (s->state == RUNNING && s->known && chance(F_TAKE, 25))
        end(s, PREEMPTED);
    if (s->state == RUNNING && s->known && chance(F_OTHERS, 25))
        end(s, roll(2) ? CANCELLED : TIMEOUT);
    if (s->state == RUNNING || s->completing)
        tasks_move(s);
    if (s->known && !goes_on(s) && w.now_ms > s->ended_ms + w.min_age_ms)
        s->known = false;
}

/* Its nodes end what it does not know, sooner or later. */
static void forget_all(void)
{
    tell("Slurm forgets everything");
    w.number = 0;
    for (int i = 0; i < w.submission_count; i++) {
        struct submission *s = &w.submissions[i];

        if (s->known && s->state == RUNNING && !s->kill_ms)
            s->kill_ms = w.now_ms + roll(60000);
        s->known = false;
        for (int k = 0; k < MATES; k++)
            s->tasks[k] = s->tasks[k] == TASK_WAITS ? TASK_DONE : s->tasks[k];
    }
}

static void orphan_moves(void)
{
    if (!w.orphan || w.now_ms < w.orphan_ms || w.now_ms < w.away_until_ms)
        return;
    if (!w.orphan->refused)
        submit(w.orphan)->orphan = true;
    w.orphan = NULL;
}

void controller_move(void)
{
    orphan_moves();
    if (chance(F_AWAY, 25)) {
        w.away_until_ms = w.now_ms + 1000 + roll(60000);
        tell("Slurm is away for %lld s", (long long)(w.away_until_ms - w.now_ms) / 1000);
    }
    if (w.calm)
        w.away_until_ms = 0;
    if (chance(F_CORDON, 50))
        w.cordoned = !w.cordoned;
    if (chance(F_FORGET, 10))
        forget_all();
    for (int i = 0; i < w.submission_count; i++)
        submission_moves(&w.submissions[i]);
}
