/* The driver against a Slurm of four shell scripts: what it knows is the file "jobs", and a file "away", "refuse" or
 * "lose" makes it behave like that; with "stall" squeue does not answer after the next submission, until "slow" is
 * removed. No agent ever runs; what one would have written, the tests write. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "run/folder.h"
#include "run/runtime.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static const char squeue[] =
    "#!/bin/sh\n"
    "[ ! -e $FAKE/away ] || { echo 'squeue: error: Unable to contact slurm controller' >&2; exit 1; }\n"
    "while [ -e $FAKE/slow ]; do sleep 0.01; done\n"
    "cat $FAKE/jobs\n";
static const char sbatch[] =
    "#!/bin/sh\n"
    "[ ! -e $FAKE/refuse ] || { echo 'sbatch: error: Batch job submission failed: Invalid account' >&2; exit 1; }\n"
    "for word; do case $word in --job-name=*) name=${word#--job-name=};; --exclude=*) exclude=${word#*=};; "
    "--test-only) exit 0;; esac; done\n"
    "[ ! -e $FAKE/shut ] || [ ! \"$exclude\" ] || { echo 'sbatch: error: Requested node configuration is not "
    "available' >&2; exit 1; }\n"
    "echo \"$name without $exclude\" >>$FAKE/excluded\n"
    "id=$(($(cat $FAKE/count) + 1)); echo $id >$FAKE/count\n"
    "echo \"$id|PENDING|Resources||2026-01-02T00:00:$(printf %02d $id)|$name\" >>$FAKE/jobs\n"
    "echo $name >>$FAKE/submitted\n"
    "[ ! -e $FAKE/stall ] || mv $FAKE/stall $FAKE/slow\n"
    "[ ! -e $FAKE/lose ] || { echo 'sbatch: error: Batch job submission failed: Socket timed out' >&2; exit 1; }\n"
    "echo $id\n";
static const char scancel[] = "#!/bin/sh\n"
                              "state='[A-Z]*'\n"
                              "for word; do case $word in --name=*) name=${word#--name=};; "
                              "--state=*) state=${word#--state=};; esac; done\n"
                              "sed -i \"/|$name\\$/s/|$state|/|CANCELLED|/\" $FAKE/jobs\n";

static const char sinfo[] = "#!/bin/sh\nprintf 'n1\\nn1\\nn2\\n'\n"; /* one in two partitions */

struct fixture {
    struct arena *arena;
    struct runtime *runtime;
    char folder[64];
    int nudges;
};

static const char *at(struct fixture *f, const char *name)
{
    return arena_printf(f->arena, "%s/%s", f->folder, name);
}

static void put(struct fixture *f, const char *name, const char *text, mode_t mode)
{
    struct err err;

    assert_int_equal(file_write_atomic(at(f, name), text, strlen(text), mode, &err), 0);
}

static const char *get(struct fixture *f, const char *name)
{
    struct str text;
    struct err err;

    return file_read(f->arena, at(f, name), 1 << 20, &text, &err) < 0 ? "" : text.data;
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    struct slurm_settings settings = { .notice_s = 30 };
    struct runtime_config config;
    struct err err;

    *state = f;
    f->arena = arena_new();
    strcpy(f->folder, "/tmp/sgb-slurm-XXXXXX");
    assert_non_null(mkdtemp(f->folder));
    put(f, "squeue", squeue, 0755);
    put(f, "sbatch", sbatch, 0755);
    put(f, "scancel", scancel, 0755);
    put(f, "sinfo", sinfo, 0755);
    put(f, "jobs", "", 0644);
    put(f, "count", "0\n", 0644);
    setenv("FAKE", f->folder, 1);
    setenv("PATH", arena_printf(f->arena, "%s:/usr/sbin:/usr/bin:/sbin:/bin", f->folder), 1);
    setenv("SAGEBRUSH_LIBEXEC", PROGRAMS, 1);
    config = (struct runtime_config){ .data_folder = at(f, "data"), .run_folder = at(f, "run") };
    assert_int_equal(folder_make(config.data_folder, 0755, &err), 0);
    if (slurm_runtime_new(&config, &settings, &f->runtime, &err) < 0)
        f->runtime = NULL; /* not root, or no runc */
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    struct err err;

    runtime_free(f->runtime);
    tree_remove(f->folder, &err);
    arena_free(f->arena);
    free(f);
    return 0;
}

static struct fixture *fixture_of(void **state)
{
    struct fixture *f = *state;

    if (!f->runtime)
        skip();
    return f;
}

static struct doc *order_of(struct fixture *f, const char *name)
{
    struct doc *order = doc_map(f->arena);

    doc_set_string(f->arena, order, "name", name);
    doc_set_string(f->arena, order, "work", "train");
    doc_set_string(f->arena, order, "image", "sagemaker-xgboost:1.7-1");
    return order;
}

static void start(struct fixture *f, const char *name)
{
    struct err err;

    assert_int_equal(runtime_start(f->runtime, name, order_of(f, name), &err), 0);
}

static struct doc *look(struct fixture *f, const char *name)
{
    enum runtime_state there;
    const struct doc *report;
    struct err err;

    assert_int_equal(runtime_inspect(f->runtime, f->arena, name, &there, &report, &err), 0);
    assert_int_equal(there, RUNTIME_THERE);
    return doc_copy(f->arena, report);
}

/* A new job makes the thread look at once. */
static void nudge(struct fixture *f)
{
    char name[32];

    snprintf(name, sizeof name, "nudge-%d", ++f->nudges);
    start(f, name);
    for (int i = 0; i < 2000 && !strstr(get(f, "jobs"), name); i++)
        usleep(5000);
    assert_non_null(strstr(get(f, "jobs"), name));
}

/* Until the report says so; who waits in vain fails. */
static void wait_until(struct fixture *f, const char *name, const char *member, const char *has)
{
    for (int i = 0; i < 2000; i++, usleep(5000))
        if (strstr(doc_text(look(f, name), member), has))
            return;
    fail_msg("%s of %s never was \"%s\", but \"%s\"", member, name, has, doc_text(look(f, name), member));
}

static void slurm_says(struct fixture *f, const char *name, const char *job_state)
{
    char command[512];

    snprintf(command, sizeof command, "sed -i '/|%s$/s/PENDING/%s/' %s/jobs", name, job_state, f->folder);
    assert_int_equal(system(command), 0);
}

static void start_and_wait(struct fixture *f, const char *name)
{
    start(f, name);
    nudge(f);
    nudge(f); /* its reason is in the answer before this one's */
    wait_until(f, name, "waiting", "Resources");
}

static int times_submitted(struct fixture *f, const char *name)
{
    const char *text = get(f, "submitted");
    int count = 0;

    while ((text = strstr(text, name)) != NULL) {
        count++;
        text++;
    }
    return count;
}

static void agent_reported(struct fixture *f, const char *name, const char *phase)
{
    struct doc *report = doc_map(f->arena);
    struct err err;

    doc_set_string(f->arena, report, "phase", phase);
    assert_int_equal(folder_write(f->arena, arena_printf(f->arena, "%s/data/agents/%s", f->folder, name),
                                  FOLDER_REPORT, report, false, &err), 0);
}

/* --- */

static void a_job_waits_and_is_told_why(void **state)
{
    struct fixture *f = fixture_of(state);

    start(f, "a-0");
    start_and_wait(f, "a-0");
    wait_until(f, "a-0", "waiting", "no node of its partition has enough free");
    assert_int_equal(times_submitted(f, "a-0"), 1);
    assert_string_equal(doc_text(look(f, "a-0"), "phase"), "");
}

static void instances_are_submitted_when_all_are_there(void **state)
{
    struct fixture *f = fixture_of(state);
    struct doc *orders[2];
    struct err err;

    for (int i = 0; i < 2; i++) {
        struct doc *o = orders[i] = order_of(f, i ? "m2-0" : "m1-0");

        for (int j = 1; j <= 2; j++) {
            const char *host = arena_printf(f->arena, "algo-%d", j);

            doc_append(f->arena, doc_member(f->arena, o, "hosts", DOC_LIST), doc_string(f->arena, host));
            doc_set_string(f->arena, doc_member(f->arena, o, "peers", DOC_MAP), host, j == 1 ? "m1-0" : "m2-0");
        }
    }
    assert_int_equal(runtime_start(f->runtime, "m1-0", orders[0], &err), 0);
    nudge(f);
    look(f, "m1-0");
    assert_int_equal(times_submitted(f, "m1-0"), 0);
    assert_int_equal(runtime_start(f->runtime, "m2-0", orders[1], &err), 0);
    nudge(f);
    nudge(f);
    wait_until(f, "m2-0", "waiting", "Resources");
    wait_until(f, "m1-0", "waiting", "Resources");
    assert_int_equal(times_submitted(f, "m1-0"), 1);
    assert_int_equal(times_submitted(f, "m2-0"), 0);
}

/* sbatch says that it failed, and it did not. */
static void a_lost_reply_makes_no_second_job(void **state)
{
    struct fixture *f = fixture_of(state);

    put(f, "lose", "", 0644);
    start(f, "a-0");
    wait_until(f, "a-0", "waiting", "Resources");
    assert_int_equal(times_submitted(f, "a-0"), 1);
}

static void a_refusal_ends_the_job(void **state)
{
    struct fixture *f = fixture_of(state);

    put(f, "refuse", "", 0644);
    start(f, "a-0");
    wait_until(f, "a-0", "failure_reason",
               "ClientError: Slurm does not take the job: Batch job submission failed: Invalid account (asked for: "
               "--nodes=1)");
    assert_string_equal(doc_text(look(f, "a-0"), "outcome"), "Failed");
}

static void silence_concludes_nothing(void **state)
{
    struct fixture *f = fixture_of(state);
    struct err err;

    start_and_wait(f, "a-0");
    put(f, "away", "", 0644);
    start(f, "b-0"); /* so that it is asked again */
    wait_until(f, "a-0", "waiting", "Slurm does not answer: Unable to contact slurm controller");
    assert_int_equal(runtime_stop(f->runtime, "a-0", 120, "StopTrainingJob", &err), 0);
    assert_string_equal(doc_text(look(f, "a-0"), "phase"), "");
    assert_int_equal(runtime_forget(f->runtime, "a-0", &err), -1);
    assert_int_equal(err.kind, ERR_CONFLICT);
    put(f, "jobs", "", 0644);
    unlink(at(f, "away"));
    wait_until(f, "a-0", "outcome", "Stopped");
    assert_int_equal(runtime_forget(f->runtime, "a-0", &err), 0);
}

static void what_was_never_submitted_is_stopped_in_silence(void **state)
{
    struct fixture *f = fixture_of(state);
    struct err err;

    put(f, "away", "", 0644);
    start(f, "b-0"); /* an answer of before may still have submitted this one */
    wait_until(f, "b-0", "waiting", "Slurm does not answer: Unable to contact slurm controller");
    start(f, "a-0");
    assert_string_equal(doc_text(look(f, "a-0"), "phase"), "");
    assert_int_equal(runtime_stop(f->runtime, "a-0", 120, "StopTrainingJob", &err), 0);
    assert_string_equal(doc_text(look(f, "a-0"), "outcome"), "Stopped");
    assert_int_equal(runtime_forget(f->runtime, "a-0", &err), 0);
    unlink(at(f, "away"));
    nudge(f);
    assert_int_equal(times_submitted(f, "a-0"), 0);
}

static void who_waits_is_stopped_at_once(void **state)
{
    struct fixture *f = fixture_of(state);
    struct err err;

    start_and_wait(f, "a-0");
    assert_int_equal(runtime_stop(f->runtime, "a-0", 120, "StopTrainingJob", &err), 0);
    wait_until(f, "a-0", "outcome", "Stopped");
    assert_non_null(strstr(get(f, "jobs"), "CANCELLED"));
    assert_int_equal(times_submitted(f, "a-0"), 1);
}

static void who_runs_without_an_agent_is_stopped(void **state)
{
    struct fixture *f = fixture_of(state);
    struct err err;

    start_and_wait(f, "a-0");
    start_and_wait(f, "b-0");
    slurm_says(f, "a-0", "RUNNING");
    slurm_says(f, "b-0", "RUNNING");
    agent_reported(f, "b-0", "Downloading"); /* reads it by itself */
    assert_int_equal(runtime_stop(f->runtime, "b-0", 120, "StopTrainingJob", &err), 0);
    assert_int_equal(runtime_stop(f->runtime, "a-0", 120, "StopTrainingJob", &err), 0);
    wait_until(f, "a-0", "outcome", "Stopped");
    assert_non_null(strstr(get(f, "jobs"), "RUNNING"));
    assert_string_equal(doc_text(look(f, "b-0"), "outcome"), "");
}

/* It began and its node failed between two answers of squeue, and another instance's agent calls it taken back. */
static void what_no_answer_has_yet_is_not_gone(void **state)
{
    struct fixture *f = fixture_of(state);
    struct err err;

    put(f, "stall", "", 0644);
    start(f, "a-0");
    for (int i = 0; i < 2000 && access(at(f, "slow"), F_OK) < 0; i++)
        usleep(5000);
    agent_reported(f, "a-0", "Training");
    slurm_says(f, "a-0", "NODE_FAIL");
    assert_int_equal(runtime_stop(f->runtime, "a-0", 120, STOP_TAKEN_BACK, &err), 0);
    assert_string_equal(doc_text(look(f, "a-0"), "outcome"), "");
    unlink(at(f, "slow"));
    wait_until(f, "a-0", "outcome", "Failed");
    assert_true(doc_has(look(f, "a-0"), "unhealthy"));
    assert_int_equal(times_submitted(f, "a-0"), 1);
}

static void what_is_forgotten_is_submitted_again(void **state)
{
    struct fixture *f = fixture_of(state);

    start_and_wait(f, "a-0");
    put(f, "jobs", "", 0644);
    put(f, "count", "0\n", 0644);
    nudge(f);
    for (int i = 0; i < 2000 && times_submitted(f, "a-0") < 2; i++, usleep(5000))
        look(f, "a-0");
    nudge(f);
    wait_until(f, "a-0", "waiting", "Slurm job 2 waits"); /* its number was used before */
    assert_int_equal(times_submitted(f, "a-0"), 2);
}

/* Its agent runs, for all that Slurm knows: the lock says so. */
static void an_agent_that_lives_is_let_be(void **state)
{
    struct fixture *f = fixture_of(state);
    struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
    int ready[2], fd;
    pid_t agent;
    char c;

    start_and_wait(f, "a-0");
    agent_reported(f, "a-0", "Training");
    assert_int_equal(pipe(ready), 0);
    agent = fork();
    if (agent == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        fd = open(at(f, "data/agents/a-0/" FOLDER_AGENT), O_RDWR | O_CREAT, 0600);
        if (fcntl(fd, F_SETLK, &lock) == 0 && write(ready[1], "x", 1) == 1)
            pause();
        _exit(1);
    }
    assert_int_equal(read(ready[0], &c, 1), 1);
    put(f, "jobs", "", 0644);
    nudge(f);
    assert_string_equal(doc_text(look(f, "a-0"), "phase"), "Training");
    nudge(f); /* what that look had begun would be done by now */
    nudge(f);
    assert_int_equal(times_submitted(f, "a-0"), 1);
    kill(agent, SIGKILL);
    for (int i = 0; i < 2000 && times_submitted(f, "a-0") < 2; i++, usleep(5000))
        look(f, "a-0");
    assert_int_equal(times_submitted(f, "a-0"), 2);
    close(ready[0]);
    close(ready[1]);
}

static void what_slurm_ended_has_ended(void **state)
{
    static const struct {
        const char *name, *state, *outcome, *reason;
        bool unhealthy;
    } cases[] = {
        { "n-0", "NODE_FAIL", "Failed", "InternalServerError: the instance was lost: Slurm job", true },
        { "p-0", "PREEMPTED", "Interrupted", "", false },
        { "c-0", "CANCELLED", "Failed", "ended as CANCELLED", false },
        { "t-0", "TIMEOUT", "Failed", "ended as TIMEOUT", false },
    };
    struct fixture *f = fixture_of(state);

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        start_and_wait(f, cases[i].name);
        agent_reported(f, cases[i].name, "Training");
        slurm_says(f, cases[i].name, cases[i].state);
    }
    nudge(f);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        wait_until(f, cases[i].name, "outcome", cases[i].outcome);
        assert_non_null(strstr(doc_text(look(f, cases[i].name), "failure_reason"), cases[i].reason));
        assert_int_equal(doc_has(look(f, cases[i].name), "unhealthy"), cases[i].unhealthy);
        assert_int_equal(times_submitted(f, cases[i].name), 1);
    }
}

/* An agent that cannot even begin, on whatever node. */
static void three_ends_without_a_word_are_enough(void **state)
{
    struct fixture *f = fixture_of(state);

    start_and_wait(f, "a-0");
    for (int i = 1; i <= 3; i++) {
        for (int j = 0; j < 2000 && times_submitted(f, "a-0") < i; j++, usleep(5000))
            look(f, "a-0");
        slurm_says(f, "a-0", "FAILED");
        nudge(f);
        nudge(f);
    }
    wait_until(f, "a-0", "failure_reason", "ended as FAILED without a word of its agent, 3 times");
    assert_int_equal(times_submitted(f, "a-0"), 3);
}

#define with_slurm(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

static void nodes_that_are_avoided(void **state)
{
    static const char *const bad[] = { "n1" };
    struct fixture *f = fixture_of(state);
    const char *const *names;

    runtime_avoid(f->runtime, bad, 1);
    start_and_wait(f, "first");
    assert_non_null(strstr(get(f, "excluded"), "first without n1\n"));
    assert_int_equal(runtime_nodes(f->runtime, f->arena, &names), 2);
    assert_string_equal(names[0], "n1");
    assert_string_equal(names[1], "n2");
    /* None of the others could take it: it waits for one of those to come back, and does not fail. */
    put(f, "shut", "", 0644);
    start(f, "second");
    wait_until(f, "second", "waiting", "only nodes that are cordoned could: n1");
    assert_int_equal(times_submitted(f, "second"), 0);
    runtime_avoid(f->runtime, NULL, 0);
    wait_until(f, "second", "waiting", "Resources");
    assert_non_null(strstr(get(f, "excluded"), "second without \n"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_slurm(nodes_that_are_avoided),
        with_slurm(a_job_waits_and_is_told_why),
        with_slurm(instances_are_submitted_when_all_are_there),
        with_slurm(a_lost_reply_makes_no_second_job),
        with_slurm(a_refusal_ends_the_job),
        with_slurm(silence_concludes_nothing),
        with_slurm(what_was_never_submitted_is_stopped_in_silence),
        with_slurm(who_waits_is_stopped_at_once),
        with_slurm(who_runs_without_an_agent_is_stopped),
        with_slurm(what_no_answer_has_yet_is_not_gone),
        with_slurm(what_is_forgotten_is_submitted_again),
        with_slurm(an_agent_that_lives_is_let_be),
        with_slurm(what_slurm_ended_has_ended),
        with_slurm(three_ends_without_a_word_are_enough),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
