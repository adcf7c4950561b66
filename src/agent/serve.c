/* serve.c - Starting -> Downloading -> Serving -> Ended.
 *
 * A container that dies is started again, sooner the first time than the tenth, and one that answers no ping any more
 * is taken for dead. Only one that never became healthy ends the order by itself: when its time is up, or when it died
 * so often that it never will. */
#include "agent/serve.h"

#include <string.h>

#include "agent/verdict.h"
#include "base/log.h"
#include "base/str.h"

enum {
    LOOK_MS = 5000,
    RETRY_MS = 1000,
    PING_SOON_MS = 25, /* until it is healthy: a model server in C is up in 13 ms */
    PING_LATER_MS = 1000,
    PINGS_SOON = 40,
    PING_HEALTHY_MS = 30000,
    PING_DOUBT_MS = 10000,
    DEAF_MS = 180000, /* a server of one thread may be busy with an invocation, of 60 s at most, and another one */
    BACK_OFF_LEAST_MS = 500,
    BACK_OFF_MOST_MS = 300000,
    RELIABLE_MS = 600000, /* one that lived so long begins a new count of deaths */
    DEATHS_MAX = 5,       /* before it was ever healthy */
    KILL_AGAIN_MS = 2000,
};

static int64_t member(const struct serve *s, const char *name)
{
    return doc_int(report_doc(s->report), name, 0);
}

static bool flag(const struct serve *s, const char *name)
{
    return doc_bool(report_doc(s->report), name, false);
}

static bool save(struct serve *s, bool durable)
{
    return !report_changed(s->report) || s->world->save(s->world, s->report, durable);
}

static void enter(struct serve *s, const char *phase, const char *message)
{
    report_enter(s->report, phase, message, s->world->wall_ms(s->world));
}

static void sooner(int64_t *next_ms, int64_t at_ms)
{
    if (at_ms < *next_ms)
        *next_ms = at_ms;
}

static void conclude(struct serve *s, const char *outcome, const char *reason)
{
    if (flag(s, "_was_healthy") && *reason)
        s->world->say(s->world, reason);
    report_set_text(s->report, "_outcome", outcome);
    report_set_text(s->report, "_reason", reason);
    report_set_bool(s->report, "healthy", false);
}

static bool concluded(const struct serve *s)
{
    return *doc_text(report_doc(s->report), "_outcome") != '\0';
}

static void start_container(struct serve *s, struct arena *a, int64_t *next_ms)
{
    struct world *w = s->world;
    int64_t now_ms = w->wall_ms(w), boot_ms = w->boot_ms(w);
    struct exit_record record;
    struct err err = { 0 }, ignored;

    if (boot_ms < s->next_start_ms) {
        sooner(next_ms, now_ms + s->next_start_ms - boot_ms);
        return;
    }
    if (w->start(w, &err) == 0) {
        s->attached = true;
        s->next_ping_ms = 0;
        s->bad_pings = 0;
        s->bad_since_ms = 0;
        s->starts_failed = 0;
        return;
    }
    log_warning("container.not_started", "name=%s why=%s", s->order->name, log_quote(a, err.text));
    /* A start that failed may have started it all the same. */
    if (w->look(w, &record, &ignored) < 0 || record.state != EXIT_NONE) {
        sooner(next_ms, now_ms + RETRY_MS);
        return;
    }
    if (err.kind == ERR_INVALID || (++s->starts_failed >= DEATHS_MAX && !flag(s, "_was_healthy"))) {
        conclude(s, "Failed", report_blame(a, &err));
        return;
    }
    s->next_start_ms = boot_ms + RETRY_MS * (s->starts_failed < 30 ? s->starts_failed : 30);
    sooner(next_ms, now_ms + s->next_start_ms - boot_ms);
}

static void prepare(struct serve *s, struct arena *a, int64_t *next_ms)
{
    struct world *w = s->world;
    struct err err = { 0 };

    if (w->task(w, TASK_PREPARE, &err) == TASK_NONE) {
        enter(s, "Downloading", "Downloading the model");
        save(s, false);
        w->begin(w, TASK_PREPARE);
    }
    switch (w->task(w, TASK_PREPARE, &err)) {
    case TASK_NONE:
    case TASK_BUSY:
        return;
    case TASK_FAILED:
        conclude(s, "Failed", report_blame(a, &err));
        return;
    case TASK_DONE:
        break;
    }
    start_container(s, a, next_ms);
}

/* AWS's words, and then what AWS leaves to the reader of the log. */
static void never_healthy(struct serve *s, struct arena *a, const char *cause)
{
    const char *stream = s->order->log_stream;

    conclude(s, "Failed",
             arena_printf(a,
                          "The primary container for production variant %.*s did not pass the ping health check. "
                          "Please check CloudWatch logs for this endpoint. %s",
                          (int)strcspn(stream, "/"), stream, cause));
}

static const char *without_blame(const char *reason)
{
    static const char blame[] = "AlgorithmError: ";

    return text_starts(reason, blame) ? reason + strlen(blame) : reason;
}

static int64_t back_off_ms(int64_t deaths)
{
    int64_t ms = BACK_OFF_LEAST_MS;

    while (--deaths > 0 && ms < BACK_OFF_MOST_MS)
        ms *= 2;
    return ms < BACK_OFF_MOST_MS ? ms : BACK_OFF_MOST_MS;
}

/* It has died: said, cleared away, and to be started again. */
static void bury(struct serve *s, struct arena *a, const struct exit_record *record, int64_t *next_ms)
{
    struct world *w = s->world;
    bool reliable = flag(s, "healthy") && record->started_ms && w->wall_ms(w) - record->started_ms >= RELIABLE_MS;
    int64_t deaths = (reliable ? 0 : member(s, "_deaths")) + 1, wait_ms = back_off_ms(deaths), boot_ms = w->boot_ms(w);
    struct verdict_facts facts = { .record = record, .words = w->words(w, a), .reason_file = "failure",
                                   .out_of_memory = w->out_of_memory(w),
                                   .memory_bytes = s->order->memory_bytes, .instance_type = s->order->instance_type };
    struct verdict v = verdict_of(a, &facts);
    const char *deaf = doc_text(report_doc(s->report), "_deaf"), *why = "the command ended by itself, exit code: 0";
    struct err err = { 0 };

    if (*deaf)
        why = arena_strdup(a, deaf);
    else if (record->state == EXIT_LOST && !v.oom_killed)
        why = "it was killed from outside, or the machine restarted";
    else if (*v.reason)
        why = without_blame(v.reason);

    report_set_bool(s->report, "healthy", false);
    report_set_int(s->report, "exit_code", v.exit_code);
    report_set_bool(s->report, "oom_killed", v.oom_killed);
    report_set_int(s->report, "_deaths", deaths);
    report_set_text(s->report, "_deaf", "");
    if (!flag(s, "_was_healthy") && deaths >= DEATHS_MAX) {
        never_healthy(
            s, a, arena_printf(a, "It ended %d times before it answered; the last time: %s", (int)deaths, why));
        return;
    }
    /* Not cleared away before it is noted: routing must not go to a container that is not there. */
    if (!save(s, false) || w->clear(w, &err) < 0) {
        log_warning("container.not_cleared", "name=%s why=%s", s->order->name, log_quote(a, err.text));
        sooner(next_ms, w->wall_ms(w) + RETRY_MS);
        return;
    }
    w->say(w, arena_printf(a, "sagebrush: the container ended (%s); it is started again in %.1f s", why,
                           (double)wait_ms / 1000));
    s->next_start_ms = boot_ms + wait_ms;
    sooner(next_ms, w->wall_ms(w) + wait_ms);
}

static void answered(struct serve *s)
{
    struct world *w = s->world;
    const char *address;
    int port;

    s->bad_since_ms = 0;
    s->next_ping_ms = w->boot_ms(w) + PING_HEALTHY_MS;
    if (flag(s, "healthy"))
        return;
    w->address(w, &address, &port);
    report_set_text(s->report, "address", address);
    report_set_int(s->report, "port", port);
    report_set_bool(s->report, "healthy", true);
    report_set_bool(s->report, "_was_healthy", true);
}

static void not_answered(struct serve *s, struct arena *a)
{
    struct world *w = s->world;
    int64_t boot_ms = w->boot_ms(w);

    if (!flag(s, "healthy")) {
        s->bad_pings++;
        s->next_ping_ms = boot_ms + (s->bad_pings < PINGS_SOON ? PING_SOON_MS : PING_LATER_MS);
        return;
    }
    s->next_ping_ms = boot_ms + PING_DOUBT_MS;
    if (!s->bad_since_ms)
        s->bad_since_ms = boot_ms;
    if (boot_ms - s->bad_since_ms < DEAF_MS)
        return;
    report_set_bool(s->report, "healthy", false);
    report_set_text(s->report, "_deaf",
                    arena_printf(a, "it has not answered the ping health check for %d s: %s",
                                 (int)((boot_ms - s->bad_since_ms) / 1000), w->ping_words(w)));
}

/* Nobody is sent there any more, and it is ended; its death is then as any other. */
static void end_deaf(struct serve *s, int64_t *next_ms)
{
    struct world *w = s->world;
    struct err err = { 0 };

    if (save(s, false))
        w->kill(w, BOX_KILL, &err);
    sooner(next_ms, w->wall_ms(w) + KILL_AGAIN_MS);
}

static void check_health(struct serve *s, struct arena *a, int64_t *next_ms)
{
    struct world *w = s->world;
    int64_t now_ms = w->wall_ms(w), boot_ms = w->boot_ms(w);

    /* Here, where an agent that came after a killed one passes too. */
    if (!member(s, "_first_boot_ms"))
        report_set_int(s->report, "_first_boot_ms", boot_ms);
    switch (w->pinged(w)) {
    case PING_HEALTHY:
        answered(s);
        break;
    case PING_BUSY:
        sooner(next_ms, now_ms + PING_LATER_MS);
        return;
    case PING_BAD:
        not_answered(s, a);
        break;
    case PING_NONE:
        break;
    }
    if (*doc_text(report_doc(s->report), "_deaf")) {
        end_deaf(s, next_ms);
        return;
    }
    if (!flag(s, "_was_healthy") && boot_ms - member(s, "_first_boot_ms") > s->order->startup_timeout_s * 1000) {
        const char *words = w->words(w, a);

        never_healthy(s, a,
                      arena_printf(a, "In %d s it never answered GET /ping on port %d with 200; the last time: %s.%s%s",
                                   (int)s->order->startup_timeout_s, (int)s->order->port, w->ping_words(w),
                                   *words ? " The last line of its log: " : "", words));
        return;
    }
    if (boot_ms >= s->next_ping_ms)
        w->ping(w);
    else
        sooner(next_ms, now_ms + s->next_ping_ms - boot_ms);
}

/* SIGTERM, the grace period, SIGKILL. */
static void end_container(struct serve *s, int64_t grace_s, int64_t *next_ms)
{
    struct world *w = s->world;
    int64_t boot_ms = w->boot_ms(w), wait_ms = KILL_AGAIN_MS;
    struct err err = { 0 };

    if (!member(s, "_term_boot_ms")) {
        report_set_int(s->report, "_term_boot_ms", boot_ms);
        if (!save(s, false)) {
            sooner(next_ms, w->wall_ms(w) + RETRY_MS);
            return;
        }
        w->kill(w, BOX_TERMINATE, &err);
    }
    if (boot_ms >= member(s, "_term_boot_ms") + grace_s * 1000)
        w->kill(w, BOX_KILL, &err);
    else
        wait_ms = member(s, "_term_boot_ms") + grace_s * 1000 - boot_ms;
    sooner(next_ms, w->wall_ms(w) + wait_ms);
}

static bool finish(struct serve *s, struct arena *a, int64_t *next_ms)
{
    struct world *w = s->world;
    int64_t started_ms = member(s, "started_ms"), ended_ms;
    const struct doc *d = report_doc(s->report);
    struct err err = { 0 };

    /* What the instance is paid for ends here: a server that is away when the rest of the log is to be told makes it no
     * dearer. */
    if (!member(s, "_over_ms")) {
        report_set_int(s->report, "_over_ms", w->wall_ms(w));
        save(s, false);
    }
    w->begin(w, TASK_DRAIN);
    /* Not after the drain: the container's files may be what fills the disk on which the server is to keep the log. */
    if (!s->tidied && w->tidy(w, &err) < 0) {
        log_warning("instance.untidy", "name=%s why=%s", s->order->name, log_quote(a, err.text));
        sooner(next_ms, w->wall_ms(w) + RETRY_MS);
        return false;
    }
    s->tidied = true;
    if (w->task(w, TASK_DRAIN, &err) == TASK_BUSY)
        return false;
    ended_ms = member(s, "_over_ms");
    report_set_text(s->report, "failure_reason", doc_text(d, "_reason"));
    report_set_int(s->report, "ended_ms", ended_ms);
    report_set_int(s->report, "billable_ms", started_ms && ended_ms > started_ms ? ended_ms - started_ms : 0);
    report_set_text(s->report, "outcome", doc_text(d, "_outcome"));
    enter(s, "Ended", "");
    if (w->save(w, s->report, true))
        return true;
    sooner(next_ms, w->wall_ms(w) + RETRY_MS);
    return false;
}

static void watch(struct serve *s, struct arena *a, const struct exit_record *record, int64_t *next_ms)
{
    struct world *w = s->world;
    struct err err;

    sooner(next_ms, w->wall_ms(w) + LOOK_MS);
    enter(s, "Serving", "");
    if (record->started_ms && !member(s, "started_ms"))
        report_set_int(s->report, "started_ms", record->started_ms);
    if (!s->attached && w->attach(w, &err) < 0)
        log_warning("container.not_attached", "name=%s why=%s", s->order->name, log_quote(a, err.text));
    s->attached = true;
    if (*w->overfull(w, a))
        conclude(s, "Failed", w->overfull(w, a));
    else
        check_health(s, a, next_ms);
}

bool serve_step(struct serve *s, int64_t *ret_next_ms)
{
    _cleanup_arena_ struct arena *a = arena_new();
    struct world *w = s->world;
    struct exit_record record = { 0 };
    struct err err = { 0 };
    int64_t grace_s = 0;
    bool stop = w->stop_asked(w, &grace_s);

    *ret_next_ms = INT64_MAX;
    if (strcmp(report_phase(s->report), "Ended") == 0) {
        /* In memory only, when the last save failed. */
        *ret_next_ms = w->wall_ms(w) + RETRY_MS;
        return save(s, true);
    }
    if (!*report_phase(s->report)) {
        enter(s, "Starting", "");
        save(s, false);
    }
    if (w->look(w, &record, &err) < 0) {
        *ret_next_ms = w->wall_ms(w) + RETRY_MS;
        return false;
    }
    if (stop && !concluded(s))
        conclude(s, "Stopped", "");
    if (!concluded(s) && record.state == EXIT_NONE) {
        prepare(s, a, ret_next_ms);
        if (!concluded(s) && w->look(w, &record, &err) < 0) {
            record.state = EXIT_NONE;
            sooner(ret_next_ms, w->wall_ms(w) + RETRY_MS);
        }
    }
    if (!concluded(s) && record.state == EXIT_RUNNING) {
        watch(s, a, &record, ret_next_ms);
    } else if (!concluded(s) && record.state != EXIT_NONE) {
        bury(s, a, &record, ret_next_ms);
    }
    if (!save(s, record.state == EXIT_RUNNING)) {
        *ret_next_ms = w->wall_ms(w) + RETRY_MS;
        return false;
    }
    if (!concluded(s))
        return false;
    w->cancel(w, TASK_PREPARE);
    if (w->task(w, TASK_PREPARE, &err) == TASK_BUSY)
        return false;
    if (record.state == EXIT_RUNNING) {
        /* One that failed to become healthy has no grace to ask for. */
        end_container(s, stop ? grace_s : 0, ret_next_ms);
        return false;
    }
    return finish(s, a, ret_next_ms);
}
