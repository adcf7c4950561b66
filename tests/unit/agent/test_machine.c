/* The agent's logic in a world of dice: a seed is a story. The agent dies at any call, the disk is full now and then,
 * the container does what it likes. What must hold: the container is started once for a job, results are never saved
 * after they were tidied away, and when the faults are over every story ends. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/serve.h"
#include "agent/train.h"
#include "base/log.h"
#include "base/rand.h"
#include "doc/json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#undef fail /* cmocka has one too */

enum {
    FAULT_DIE = 1,
    FAULT_DISK = 2,
    FAULT_START = 4,
    FAULT_LOOK = 8,
    FAULT_TASK = 16,
    FAULT_STOP = 32,
    FAULT_LOST = 64,
    FAULT_EXIT = 128
};

struct story {
    struct world world;
    struct rand dice;
    unsigned faults;
    bool calm;
    bool dead; /* the agent: what it does from now on is not done, until its step returns */
    int64_t now_ms;
    /* What the machine holds, also when the agent dies. */
    struct exit_record record;
    int started, cleared, saved, tidied;
    int64_t tidied_ms; /* the first time: container and upload are over */
    enum saving saving;
    bool ready; /* the server in it answers */
    bool hangs; /* and will not again, this one */
    bool never; /* none ever will */
    char said[400]; /* last, into the log */
    int64_t term_at_ms;
    bool deaf; /* ignores SIGTERM */
    bool others, late; /* have given what they wrote; had not when they were asked for it */
    bool stop, spot; /* asked to end; asked because its instance is taken back */
    bool fills, full; /* its volume: it will, it has */
    bool stuck;       /* its upload never ends by itself */
    enum err_kind failure; /* of tasks; ERR_NONE: ERR_INVALID */
    bool mute;        /* what it says is no text */
    int64_t over_ms, heard_ms; /* since when it has ended, and when others have got what it sent them */
    struct arena *disk;
    struct doc *report; /* as on disk */
    /* The agent's memory, gone with it. */
    enum task_state task[TASK_COUNT];
    enum ping ping;
    bool attached;
};

static struct story *story_of(struct world *w)
{
    return (struct story *)w;
}

static bool chance(struct story *s, unsigned fault, unsigned percent)
{
    return !s->calm && (s->faults & fault) && rand_below(&s->dice, 100) < percent;
}

/* Before and after whatever is done. */
static bool dies(struct story *s)
{
    s->dead = s->dead || chance(s, FAULT_DIE, 2);
    return s->dead;
}

static int64_t wall_ms(struct world *w)
{
    return 1700000000000 + story_of(w)->now_ms;
}

static int64_t boot_ms(struct world *w)
{
    return story_of(w)->now_ms;
}

static int look(struct world *w, struct exit_record *ret, struct err *err)
{
    struct story *s = story_of(w);

    if (dies(s) || chance(s, FAULT_LOOK, 10))
        return fail(err, ERR_INTERNAL, "cannot tell");
    *ret = s->record;
    return 0;
}

static int start(struct world *w, struct err *err)
{
    struct story *s = story_of(w);

    if (dies(s) || chance(s, FAULT_START, 20))
        return fail(err, ERR_INTERNAL, "not started");
    if (s->record.state == EXIT_NONE) {
        s->record = (struct exit_record){ .state = EXIT_RUNNING, .started_ms = wall_ms(w), .problem = "" };
        s->started++;
        s->term_at_ms = 0;
        s->ready = s->hangs = false;
        s->deaf = rand_below(&s->dice, 2);
    }
    if (dies(s) || chance(s, FAULT_START, 20))
        return fail(err, ERR_INTERNAL, "started, but who knows");
    s->attached = true;
    return 0;
}

static int attach(struct world *w, struct err *err)
{
    story_of(w)->attached = true;
    return 0;
}

static void end_container(struct story *s, int code, int signal)
{
    if (s->record.state != EXIT_RUNNING)
        return;
    s->record.state = EXIT_ENDED;
    s->record.exit_code = code;
    s->record.signal = signal;
    s->record.ended_ms = wall_ms(&s->world);
    s->over_ms = s->now_ms;
    s->heard_ms = s->now_ms + (int64_t)rand_below(&s->dice, 20000);
}

static int kill_container(struct world *w, enum box_signal what, struct err *err)
{
    struct story *s = story_of(w);

    if (dies(s))
        return fail(err, ERR_INTERNAL, "dead");
    if (what == BOX_KILL)
        end_container(s, 137, 9);
    else if (!s->deaf)
        s->term_at_ms = s->now_ms + 1;
    return 0;
}

static int clear(struct world *w, struct err *err)
{
    struct story *s = story_of(w);

    if (dies(s))
        return fail(err, ERR_INTERNAL, "dead");
    assert(s->record.state != EXIT_RUNNING);
    s->record = (struct exit_record){ .problem = "" };
    s->cleared++;
    dies(s);
    return 0;
}

static void begin(struct world *w, enum task task)
{
    struct story *s = story_of(w);

    if (s->task[task] != TASK_NONE || dies(s))
        return;
    /* An empty model must not be laid over the saved one. */
    assert(task != TASK_SAVE || !s->tidied);
    s->task[task] = TASK_BUSY;
}

static enum task_state task(struct world *w, enum task t, struct err *err)
{
    struct story *s = story_of(w);

    if (dies(s))
        return TASK_BUSY;
    if (s->task[t] == TASK_FAILED)
        fail(err, s->failure ? s->failure : ERR_INVALID, "task %d failed", (int)t);
    return s->task[t];
}

static void cancel(struct world *w, enum task t)
{
    if (story_of(w)->task[t] == TASK_BUSY)
        story_of(w)->task[t] = TASK_FAILED;
}

static void ping(struct world *w)
{
    story_of(w)->ping = PING_BUSY;
}

static enum ping pinged(struct world *w)
{
    struct story *s = story_of(w);
    enum ping p = s->ping;

    if (p == PING_BUSY)
        p = s->record.state == EXIT_RUNNING && s->ready ? PING_HEALTHY : PING_BAD;
    s->ping = PING_NONE;
    return p;
}

static const char *ping_words(struct world *w)
{
    return "HTTP 503";
}

static void address(struct world *w, const char **ret_address, int *ret_port)
{
    *ret_address = "10.0.0.2";
    *ret_port = 8080;
}

static bool stop_asked(struct world *w, int64_t *ret_grace_s)
{
    *ret_grace_s = 30;
    return story_of(w)->stop;
}

static bool taken_back(struct world *w)
{
    return story_of(w)->spot;
}

static const char *overfull(struct world *w, struct arena *a)
{
    struct story *s = story_of(w);

    return s->full ? "ClientError: full" : "";
}

/* A checkpoint now and then. */
static struct doc *saving(struct world *w, struct arena *a)
{
    struct doc *d = doc_map(a);

    if (rand_below(&story_of(w)->dice, 5))
        return NULL;
    doc_set_integer(a, d, "count", (int64_t)rand_below(&story_of(w)->dice, 100));
    doc_set_integer(a, d, "interval_ms", 60000);
    doc_set_string(a, d, "advice", "save less");
    return d;
}

static struct doc *signs(struct world *w, struct arena *a)
{
    struct doc *all = doc_map(a), *d = doc_member(a, all, "quiet", DOC_MAP);

    if (rand_below(&story_of(w)->dice, 8) == 0)
        doc_set_integer(a, d, "since_ms", 1);
    return all;
}

static bool save(struct world *w, struct report *r, bool durable)
{
    struct story *s = story_of(w);
    const struct doc *d;
    const char *before = doc_text(s->report, "phase");

    if (dies(s) || chance(s, FAULT_DISK, 10))
        return false;
    d = report_next(r);
    assert(doc_int(d, "sequence", 0) > doc_int(s->report, "sequence", 0));
    assert(strcmp(before, "Ended") != 0 || doc_is(d, "phase", "Ended"));
    s->report = doc_copy(s->disk, d);
    report_saved(r);
    return !dies(s);
}

static void say(struct world *w, const char *line)
{
    snprintf(story_of(w)->said, sizeof story_of(w)->said, "%s", line);
}

static const char *words(struct world *w, struct arena *a)
{
    return "words";
}

static int exit_message(struct world *w, struct arena *a, const char **ret, struct err *err)
{
    *ret = "what it said";
    return story_of(w)->mute ? fail(err, ERR_INVALID, "no text") : 0;
}

static bool out_of_memory(struct world *w)
{
    return false;
}

static const char *model_artifacts(struct world *w)
{
    return "s3://m";
}

static void to_save(struct world *w, enum saving saving)
{
    story_of(w)->saving = saving;
}

static bool others_saved(struct world *w)
{
    struct story *s = story_of(w);

    /* The others take their time, and are not waited for without end. */
    s->others = s->others || s->calm || rand_below(&s->dice, 3) == 0;
    s->late = s->late || !s->others;
    return s->others;
}

static struct doc *final_metrics(struct world *w, struct arena *a)
{
    return doc_list(a);
}

static bool undelivered(struct world *w)
{
    struct story *s = story_of(w);

    assert(s->record.state != EXIT_RUNNING);
    return s->now_ms < s->heard_ms;
}

static int tidy(struct world *w, struct err *err)
{
    struct story *s = story_of(w);

    if (dies(s))
        return fail(err, ERR_INTERNAL, "dead");
    /* What it said is waited for, for some time, where it matters. */
    assert(s->now_ms >= s->heard_ms || s->now_ms >= s->over_ms + 10000 || s->stop ||
           !doc_is(s->report, "_outcome", "Completed"));
    assert(s->record.state != EXIT_RUNNING);
    if (!s->tidied++)
        s->tidied_ms = wall_ms(w);
    /* It takes its time, and meanwhile the rest of the log goes out. */
    s->now_ms += (int64_t)rand_below(&s->dice, 100);
    if (rand_below(&s->dice, 2))
        s->task[TASK_DRAIN] = TASK_DONE;
    dies(s);
    return 0;
}

static const struct world functions = {
    wall_ms, boot_ms, look, start, attach, kill_container, clear, begin, task, cancel, ping, pinged, ping_words,
    address, stop_asked, taken_back, overfull, signs, saving, save, say, words, exit_message, out_of_memory,
    model_artifacts, to_save, others_saved, final_metrics, undelivered, tidy,
};

/* The world moves on by itself. True: something happened that wakes an agent. */
static bool go_on(struct story *s, bool serves)
{
    bool woken = false;

    s->now_ms += (int64_t)rand_below(&s->dice, s->stuck ? 30000 : 3000);
    if (!s->stop && (chance(s, FAULT_STOP, 2) || (s->calm && (serves || s->stuck))))
        s->stop = woken = true;
    if (s->ping == PING_BUSY)
        woken = true;
    for (int t = 0; t < TASK_COUNT; t++) {
        /* The container has filled the disk: before it is tidied away, the server has no room for the log. */
        bool has_room = t != TASK_DRAIN || s->tidied;

        if (s->task[t] == TASK_BUSY && !(t == TASK_SAVE && s->stuck) && has_room && rand_below(&s->dice, 2)) {
            s->task[t] = t != TASK_DRAIN && chance(s, FAULT_TASK, 15) ? TASK_FAILED : TASK_DONE;
            s->saved += t == TASK_SAVE;
            woken = true;
        }
    }
    if (s->record.state != EXIT_RUNNING)
        return woken;
    if (s->fills && !s->full && rand_below(&s->dice, 6) == 0)
        s->full = woken = true;
    if (s->term_at_ms && s->now_ms >= s->term_at_ms)
        end_container(s, 0, 0);
    else if (chance(s, FAULT_LOST, 1))
        s->record.state = EXIT_LOST;
    else if (!serves && rand_below(&s->dice, 8) == 0)
        end_container(s, chance(s, FAULT_EXIT, 50), 0);
    else if (serves && chance(s, FAULT_EXIT, 3))
        end_container(s, 7, 0);
    else if (!s->hangs && !s->never && rand_below(&s->dice, 4) == 0)
        s->ready = true;
    /* The folder is watched by who is attached; a container that is lost tells nobody. */
    return woken || (s->attached && s->record.state == EXIT_ENDED);
}

static void run_story(uint64_t seed, const char *work)
{
    bool serves = strcmp(work, "serve") == 0, processes = strcmp(work, "process") == 0;
    struct story s = {
        .world = functions, .dice = rand_seeded(seed), .disk = arena_new(), .record = { .problem = "" }
    };
    struct report *report = NULL;
    struct train train;
    struct serve serve;
    int64_t next_ms = 0;
    struct order order = { .name = "n",
                           .work = work,
                           .instance_type = "",
                           .output_s3_uri = "s3://o",
                           .log_stream = "v/i-1",
                           .max_runtime_s = seed % 3 ? 60 : 0,
                           .startup_timeout_s = 600 };

    s.faults = (unsigned)rand_below(&s.dice, 256);
    s.spot = !serves && !processes && seed % 4 == 1;
    s.mute = processes && seed % 11 == 4;
    s.fills = !serves && seed % 5 == 2;
    s.stuck = !serves && !s.spot && seed % 7 == 3;
    s.report = doc_map(s.disk);
    for (int step = 0; step < 2000; step++) {
        bool over;

        s.calm = step > 300;
        if (!go_on(&s, serves) && report && wall_ms(&s.world) < next_ms)
            continue;
        if (!report) {
            report = report_new(s.report);
            train = (struct train){ .world = &s.world, .order = &order, .report = report };
            serve = (struct serve){ .world = &s.world, .order = &order, .report = report };
        }
        over = serves ? serve_step(&serve, &next_ms) : train_step(&train, &next_ms);
        if (s.dead) {
            /* Its memory is gone, what it began goes nowhere. */
            report_free(report);
            report = NULL;
            memset(s.task, 0, sizeof s.task);
            s.ping = PING_NONE;
            s.attached = s.dead = false;
            continue;
        }
        /* Whoever is told "look then" must not be told "in the past, for ever". */
        assert(over || next_ms > wall_ms(&s.world) - 10000);
        if (s.record.state == EXIT_RUNNING && !over)
            assert(next_ms != INT64_MAX);
        if (over)
            break;
    }
    if (!doc_is(s.report, "phase", "Ended"))
        print_error("seed %llu does not end: %s\n", (unsigned long long)seed, json_text(s.disk, s.report));
    assert_true(doc_is(s.report, "phase", "Ended"));
    if (serves) {
        assert_false(doc_bool(s.report, "healthy", false));
    } else {
        assert_in_range(s.started, 0, 1);
        if (doc_is(s.report, "outcome", "Completed"))
            assert_true(s.started == 1 && s.record.exit_code == 0 && doc_is(s.report, "model_artifacts", "s3://m"));
        /* A model of half the work must not take the place of the one that the next attempt makes. */
        if (doc_is(s.report, "outcome", "Interrupted"))
            assert_true(s.stop && s.spot && (s.saved == 0 || s.saving == SAVE_CHECKPOINTS));
        else if (s.saved && (processes || !doc_is(s.report, "outcome", "Failed")))
            assert_int_equal(s.saving, SAVE_MODEL);
        if (processes && s.started && !s.mute)
            assert_true(doc_is(s.report, "exit_message", "what it said"));
        if (s.mute)
            assert_false(doc_is(s.report, "outcome", "Completed") || doc_has(s.report, "exit_message"));
        /* An upload that is cut off is nobody's success, and is told. */
        if (s.stuck && s.started && doc_is(s.report, "outcome", "Failed"))
            assert_non_null(strstr(doc_text(s.report, "failure_reason"), "What it left was not uploaded to "));
        else if (s.stuck && s.started)
            assert_true(!doc_is(s.report, "outcome", "Completed") && *doc_text(s.report, "message"));
        else
            assert_true(s.stuck || s.late || !*doc_text(s.report, "message"));
        if (text_starts(doc_text(s.report, "failure_reason"), "ClientError: full"))
            assert_true(s.full);
        else if (s.full && !s.stop && !order.max_runtime_s)
            assert_true(s.record.signal != 9);
        if (s.spot)
            assert_false(doc_is(s.report, "outcome", "Stopped"));
    }
    assert_true(*doc_text(s.report, "outcome"));
    assert_true(doc_is(s.report, "outcome", "Failed") == (*doc_text(s.report, "failure_reason") != '\0'));
    assert_true(s.tidied >= 1);
    assert_true(doc_int(s.report, "ended_ms", 0) >= s.record.ended_ms);
    /* Nobody pays for what is done after the upload, such as waiting for a server that takes the log. An endpoint's end
     * may be forgotten, with the agent that could not write it down. */
    assert_true((serves && (s.faults & FAULT_DISK)) || doc_int(s.report, "ended_ms", 0) <= s.tidied_ms);
    report_free(report);
    arena_free(s.disk);
}

static int stories(void)
{
    return getenv("STORIES") ? atoi(getenv("STORIES")) : 3000;
}

static void jobs_end_once(void **state)
{
    for (int i = 0; i < stories(); i++)
        run_story((uint64_t)i, "train");
}

static void processing_ends_once(void **state)
{
    for (int i = 0; i < stories(); i++)
        run_story((uint64_t)i, "process");
}

static void endpoints_end_when_asked(void **state)
{
    for (int i = 0; i < stories(); i++)
        run_story((uint64_t)i, "serve");
}

/* --- One agent without faults, turned by hand --- */

struct turn {
    struct story s;
    struct report *report;
    struct serve serve;
    int64_t next_ms;
    bool over;
};

static const struct order endpoint_order = { .name = "n", .work = "serve", .instance_type = "", .output_s3_uri = "",
                                             .log_stream = "AllTraffic/i-1", .port = 8080, .startup_timeout_s = 600 };

static void turn_begin(struct turn *t)
{
    *t = (struct turn){ .s = { .world = functions, .dice = rand_seeded(1), .disk = arena_new(),
                               .record = { .problem = "" }, .calm = false } };
    t->s.report = doc_map(t->s.disk);
    t->report = report_new(NULL);
    t->serve = (struct serve){ .world = &t->s.world, .order = &endpoint_order, .report = t->report };
}

/* Until so much time has passed, or the server is healthy (or not). */
static void turn_until(struct turn *t, int64_t ms, int healthy)
{
    int64_t until_ms = t->s.now_ms + ms;

    while (!t->over && t->s.now_ms < until_ms && doc_bool(t->s.report, "healthy", false) != healthy)
        if (go_on(&t->s, true) || wall_ms(&t->s.world) >= t->next_ms)
            t->over = serve_step(&t->serve, &t->next_ms);
}

static void turn_end(struct turn *t)
{
    report_free(t->report);
    arena_free(t->s.disk);
}

enum { EITHER = -1 };

static void a_server_that_hangs_is_started_again(void **state)
{
    struct turn t;

    turn_begin(&t);
    turn_until(&t, 60000, true);
    assert_true(doc_bool(t.s.report, "healthy", false));
    turn_until(&t, 3600000, EITHER);
    assert_int_equal(t.s.started, 1);

    /* Busy for two minutes: that is no death. */
    t.s.ready = false;
    t.s.hangs = true;
    turn_until(&t, 120000, EITHER);
    t.s.hangs = false;
    turn_until(&t, 600000, EITHER);
    assert_int_equal(t.s.started, 1);
    assert_true(doc_bool(t.s.report, "healthy", false));

    t.s.ready = false;
    t.s.hangs = true;
    turn_until(&t, 400000, false);
    assert_false(doc_bool(t.s.report, "healthy", true));
    turn_until(&t, 60000, true);
    assert_int_equal(t.s.started, 2);
    assert_true(doc_bool(t.s.report, "healthy", false));
    assert_string_equal(doc_text(t.s.report, "_deaf"), "");
    turn_end(&t);
}

static void one_that_dies_again_and_again_waits_longer(void **state)
{
    int64_t longest_ms = 0;
    struct turn t;

    turn_begin(&t);
    turn_until(&t, 60000, true);
    for (int i = 0; i < 15; i++) {
        int64_t since_ms = t.s.now_ms;

        end_container(&t.s, 1, 0);
        turn_until(&t, 60000, false);
        turn_until(&t, 900000, true);
        assert_true(doc_bool(t.s.report, "healthy", false));
        longest_ms = t.s.now_ms - since_ms;
        assert_true(i > 0 || longest_ms < 60000);
    }
    assert_in_range(longest_ms, 300000, 380000);

    /* It lived long: the next death is a first one. */
    turn_until(&t, 700000, EITHER);
    end_container(&t.s, 1, 0);
    turn_until(&t, 60000, false);
    assert_int_equal(doc_int(t.s.report, "_deaths", 0), 1);
    assert_string_equal(t.s.said, "sagebrush: the container ended (words, exit code: 1); it is started again in 0.5 s");
    turn_until(&t, 60000, true);
    t.s.record.state = EXIT_LOST;
    turn_until(&t, 60000, false);
    assert_string_equal(t.s.said, "sagebrush: the container ended (it was killed from outside, or the machine "
                                  "restarted); it is started again in 1.0 s");
    turn_end(&t);
}

static void the_reason_has_the_cause(void **state)
{
    const char *reason;
    struct turn t;

    turn_begin(&t);
    t.s.never = true;
    for (int i = 0; i < 5; i++) {
        turn_until(&t, 60000, EITHER);
        end_container(&t.s, 3, 0);
    }
    turn_until(&t, 60000, EITHER);
    assert_true(t.over);
    reason = doc_text(t.s.report, "failure_reason");
    assert_string_equal(reason, "The primary container for production variant AllTraffic did not pass the ping health "
                                "check. Please check CloudWatch logs for this endpoint. It ended 5 times before it "
                                "answered; the last time: words, exit code: 3");
    turn_end(&t);

    turn_begin(&t);
    t.s.never = true;
    turn_until(&t, 1000000, EITHER);
    assert_true(t.over);
    reason = doc_text(t.s.report, "failure_reason");
    assert_non_null(strstr(reason, "In 600 s it never answered GET /ping on port 8080 with 200; the last time: HTTP "
                                   "503. The last line of its log: words"));
    turn_end(&t);
}

/* One of several instances has ended well, and what it left goes nowhere: that was cancelled. */
static const char *outcome_of_one_turned_away(struct arena *a, const char *host, bool taken_back)
{
    struct story s = { .world = functions, .dice = rand_seeded(1), .disk = arena_new(), .others = true,
                       .failure = ERR_CONFLICT,
                       .record = { .state = EXIT_ENDED, .problem = "", .started_ms = 1700000000000 } };
    struct doc *hosts = doc_list(a), *peers = doc_map(a);
    struct order order = { .name = "n", .work = "train", .instance_type = "", .output_s3_uri = "s3://o",
                           .host_name = host, .hosts = hosts, .peers = peers };
    struct report *report = report_new(NULL);
    struct train train = { .world = &s.world, .order = &order, .report = report };
    const char *outcome;
    int64_t next_ms;

    doc_append(a, hosts, doc_string(a, "algo-1"));
    doc_append(a, hosts, doc_string(a, "algo-2"));
    s.report = doc_map(s.disk);
    train_step(&train, &next_ms);
    train_step(&train, &next_ms);
    assert_int_equal(s.task[TASK_SAVE], TASK_BUSY);
    s.stop = s.spot = taken_back;
    s.task[TASK_SAVE] = TASK_FAILED;
    train_step(&train, &next_ms);
    outcome = arena_strdup(a, doc_text(report_doc(report), "_outcome"));
    report_free(report);
    arena_free(s.disk);
    return outcome;
}

static void whom_nobody_waits_for_has_not_failed(void **state)
{
    _cleanup_arena_ struct arena *a = arena_new();

    assert_string_equal(outcome_of_one_turned_away(a, "algo-2", true), "Interrupted");
    assert_string_equal(outcome_of_one_turned_away(a, "algo-2", false), "Failed");
    assert_string_equal(outcome_of_one_turned_away(a, "algo-1", true), "Failed");
}

/* Whom the report blames when there is no container; 'was_on' NULL: the node is the first. */
static const char *blamed_for_a_loss(struct arena *a, const char *phase, const char *was_on)
{
    struct story s = { .world = functions, .dice = rand_seeded(1), .disk = arena_new(), .record = { .problem = "" } };
    struct order order = { .name = "n", .work = "train", .instance_type = "", .output_s3_uri = "s3://o" };
    struct doc *before = doc_map(a);
    struct train train = { .world = &s.world, .order = &order };
    const char *check;
    int64_t next_ms;

    doc_set_string(a, before, "phase", phase);
    doc_set_string(a, before, "_was_on", was_on);
    train.report = report_new(before);
    s.report = doc_map(s.disk);
    for (int i = 0; i < 20 && !doc_has(report_doc(train.report), "_outcome"); i++) {
        train_step(&train, &next_ms);
        for (int task = 0; task < TASK_COUNT; task++)
            s.task[task] = s.task[task] == TASK_BUSY ? TASK_DONE : s.task[task];
        if (s.record.state == EXIT_RUNNING)
            s.record.state = EXIT_LOST;
    }
    check = arena_strdup(a, doc_text(report_doc(train.report), "unhealthy.check"));
    report_free(train.report);
    arena_free(s.disk);
    return check;
}

static void a_node_is_blamed_for_what_it_had(void **state)
{
    _cleanup_arena_ struct arena *a = arena_new();

    assert_string_equal(blamed_for_a_loss(a, "Training", NULL), "container");
    assert_string_equal(blamed_for_a_loss(a, "Training", "n1"), "Slurm");
    /* It began here. */
    assert_string_equal(blamed_for_a_loss(a, "Downloading", "n1"), "container");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(jobs_end_once),
        cmocka_unit_test(processing_ends_once),
        cmocka_unit_test(endpoints_end_when_asked),
        cmocka_unit_test(a_server_that_hangs_is_started_again),
        cmocka_unit_test(one_that_dies_again_and_again_waits_longer),
        cmocka_unit_test(the_reason_has_the_cause),
        cmocka_unit_test(whom_nobody_waits_for_has_not_failed),
        cmocka_unit_test(a_node_is_blamed_for_what_it_had),
    };

    log_setup("test", LOG_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
