/* train.c - Starting -> Downloading -> Training, or Processing -> Uploading -> Ended.
 *
 * The container runs once: whether it was started is read from its folder, not from the report, so an agent killed
 * between the deed and the note finds it. What was decided at its end (the verdict) is noted before anything is
 * uploaded, and that everything is uploaded before anything is removed. */
#include "agent/train.h"

#include <string.h>

#include "agent/cut.h"
#include "agent/handover.h"
#include "agent/savings.h"
#include "agent/verdict.h"
#include "base/log.h"
#include "base/str.h"

enum {
    LOOK_MS = 5000,
    RETRY_MS = 1000,
    STARTS_MAX = 3,
    OVERRUN_GRACE_S = 120,
    KILL_AGAIN_MS = 2000,
    LINGER_MS = 10000, /* whom it spoke to may be gone without a word */
    LINGER_LOOK_MS = 50,
};

static int64_t member(const struct train *t, const char *name)
{
    return doc_int(report_doc(t->report), name, 0);
}

/* While the container runs. */
static const char *running_phase(const struct train *t)
{
    return order_processes(t->order) ? "Processing" : "Training";
}

static bool save(struct train *t, bool durable)
{
    return !report_changed(t->report) || t->world->save(t->world, t->report, durable);
}

/* The verdict stands in the report under names of our own until everything is saved: "outcome" says that it is over. */
static void conclude(struct train *t, const struct verdict *v)
{
    report_set_text(t->report, "_outcome", v->outcome);
    report_set_text(t->report, "_reason", v->reason);
    report_set_int(t->report, "exit_code", v->exit_code);
    report_set_bool(t->report, "oom_killed", v->oom_killed);
}

static bool concluded(const struct train *t)
{
    return *doc_text(report_doc(t->report), "_outcome") != '\0';
}

/* Container and upload are over, and so is what the instance is paid for: a server that is away when the rest of the
 * log is to be told makes no job longer. */
static void note_saved(struct train *t)
{
    report_set_bool(t->report, "_saved", true);
    report_set_int(t->report, "_over_ms", t->world->wall_ms(t->world));
}

/* Without a container having run, or with nothing of it to be saved. */
static void conclude_early(struct train *t, const char *outcome, const char *reason)
{
    struct verdict v = { .outcome = outcome, .reason = reason };

    conclude(t, &v);
    note_saved(t);
}

static void enter(struct train *t, const char *phase, const char *message)
{
    report_enter(t->report, phase, message, t->world->wall_ms(t->world));
}

/* What the instance itself is to blame for, where nobody has looked closer. */
static void blame_instance(struct train *t, struct arena *a, const char *check, const char *why)
{
    struct doc *d = doc_map(a);

    if (doc_has(report_doc(t->report), "unhealthy"))
        return;
    doc_set_string(a, d, "check", check);
    doc_set_string(a, d, "why", why);
    report_set_doc(t->report, "unhealthy", d);
}

/* Whether the instance is fit, as far as it is to be looked at. An agent that was killed in the middle of the
 * collective check has left the others waiting: they are over it already, or fail by it. */
static bool is_fit(struct train *t, struct arena *a)
{
    struct world *w = t->world;
    struct err err = { 0 };
    bool begun = doc_bool(report_doc(t->report), "_checking", false);

    if (doc_bool(report_doc(t->report), "_checked", false))
        return true;
    if (w->task(w, TASK_CHECK, &err) == TASK_NONE) {
        if (begun && t->order->peers) {
            blame_instance(t, a, "agent", "the agent of the instance ended in the middle of the checks");
            conclude_early(t, "Failed", "InternalServerError: instance unhealthy: its agent ended in the middle of the "
                                        "checks. Start the job again.");
            return false;
        }
        if (t->order->infra_check) {
            report_set_bool(t->report, "_checking", true);
            save(t, false);
        }
        w->begin(w, TASK_CHECK);
    }
    switch (w->task(w, TASK_CHECK, &err)) {
    case TASK_NONE:
    case TASK_BUSY:
        return false;
    case TASK_FAILED:
        conclude_early(t, "Failed", report_blame(a, &err));
        return false;
    case TASK_DONE:
        break;
    }
    report_set_bool(t->report, "_checked", true);
    return true;
}

static void prepare(struct train *t, struct arena *a, int64_t *next_ms)
{
    struct world *w = t->world;
    struct exit_record record;
    struct err err = { 0 }, ignored;
    int64_t grace_s;

    if (w->stop_asked(w, &grace_s)) {
        w->cancel(w, TASK_CHECK);
        w->cancel(w, TASK_PREPARE);
        if (w->task(w, TASK_CHECK, &err) != TASK_BUSY && w->task(w, TASK_PREPARE, &err) != TASK_BUSY)
            conclude_early(t, w->taken_back(w) ? "Interrupted" : "Stopped", "");
        return;
    }
    if (!is_fit(t, a))
        return;
    if (w->task(w, TASK_PREPARE, &err) == TASK_NONE) {
        enter(t, "Downloading", "Downloading input data");
        save(t, false);
        w->begin(w, TASK_PREPARE);
    }
    switch (w->task(w, TASK_PREPARE, &err)) {
    case TASK_NONE:
    case TASK_BUSY:
        return;
    case TASK_FAILED:
        conclude_early(t, "Failed", report_blame(a, &err));
        return;
    case TASK_DONE:
        break;
    }
    if (w->start(w, &err) == 0)
        return;
    log_warning("container.not_started", "name=%s why=%s", t->order->name, log_quote(a, err.text));
    /* A start that failed may have started it all the same; only what is surely not there can be given up. */
    if (w->look(w, &record, &ignored) < 0)
        *next_ms = w->wall_ms(w) + RETRY_MS;
    else if (record.state != EXIT_NONE)
        return;
    else if (err.kind == ERR_INVALID || ++t->starts_failed >= STARTS_MAX)
        conclude_early(t, "Failed", report_blame(a, &err));
    else
        *next_ms = w->wall_ms(w) + RETRY_MS;
}

/* The container has filled its volume: nothing it does from here on can be let be. True: it was told to end. */
static bool end_overfull(struct train *t, struct arena *a, int64_t *next_ms)
{
    struct world *w = t->world;
    const char *why = w->overfull(w, a);
    struct err err = { 0 };

    if (*why && !*doc_text(report_doc(t->report), "_ended_by")) {
        report_set_text(t->report, "_ended_by", "disk");
        report_set_text(t->report, "_disk", why);
        if (!save(t, false))
            return false;
    }
    if (!*why && !doc_is(report_doc(t->report), "_ended_by", "disk"))
        return false;
    w->kill(w, BOX_KILL, &err);
    if (w->wall_ms(w) + KILL_AGAIN_MS < *next_ms)
        *next_ms = w->wall_ms(w) + KILL_AGAIN_MS;
    return true;
}

static void note_signs(struct train *t, const struct doc *signs)
{
    for (uint32_t i = 0; i < signs->count; i++) {
        const struct doc_item *m = &signs->members[i];

        if (m->value->count || doc_has(report_doc(t->report), m->key))
            report_set_doc(t->report, m->key, m->value);
    }
}

/* Ends the container when it was asked to, or has had its time. */
static void watch(struct train *t, struct arena *a, const struct exit_record *record, int64_t *next_ms)
{
    struct world *w = t->world;
    int64_t now_ms = w->wall_ms(w), boot_ms = w->boot_ms(w), grace_s, ended_by_us, wait_ms;
    struct err err = { 0 };
    bool stop = w->stop_asked(w, &grace_s), overrun = false;

    note_signs(t, w->signs(w, a));
    if (end_overfull(t, a, next_ms))
        return;
    /* Boot time of this boot: the container's start as wall time may have been jumped over since. An init that has only
     * just claimed its folder has not said when. */
    if (!member(t, "_started_boot_ms"))
        report_set_int(t->report, "_started_boot_ms",
                       boot_ms - (record->started_ms && now_ms > record->started_ms ? now_ms - record->started_ms : 0));
    if (t->order->max_runtime_s) {
        wait_ms = member(t, "_started_boot_ms") + t->order->max_runtime_s * 1000 - boot_ms;
        overrun = wait_ms <= 0;
        if (!overrun && now_ms + wait_ms < *next_ms)
            *next_ms = now_ms + wait_ms;
    }
    if (!stop && !overrun && !member(t, "_term_boot_ms"))
        return;
    if (!member(t, "_term_boot_ms")) {
        /* Noted first: a grace period is not started again by the next agent. */
        report_set_int(t->report, "_term_boot_ms", boot_ms);
        report_set_text(t->report, "_ended_by", stop ? "stop" : "overrun");
        if (!stop)
            report_set_int(t->report, "overran_ms", now_ms);
        if (!save(t, false))
            return;
        w->kill(w, BOX_TERMINATE, &err);
    }
    if (!stop)
        grace_s = OVERRUN_GRACE_S;
    ended_by_us = member(t, "_term_boot_ms") + grace_s * 1000;
    if (boot_ms >= ended_by_us) {
        w->kill(w, BOX_KILL, &err);
        wait_ms = KILL_AGAIN_MS;
    } else {
        wait_ms = ended_by_us - boot_ms;
    }
    if (now_ms + wait_ms < *next_ms)
        *next_ms = now_ms + wait_ms;
}

/* It is shown whatever became of the job. */
static void take_exit_message(struct train *t, struct arena *a, struct verdict *v)
{
    const char *message;
    struct err err = { 0 };

    if (t->world->exit_message(t->world, a, &message, &err) == 0) {
        report_set_text(t->report, "exit_message", message);
        return;
    }
    if (strcmp(v->outcome, "Failed") == 0)
        return; /* its reason is the better one */
    v->outcome = "Failed";
    v->reason = report_blame(a, &err);
}

/* What checkpoints cost is told with the report, and how often to save once in the log. */
static void tell_saving(struct train *t, struct arena *a)
{
    const struct doc *saving = t->world->saving(t->world, a);

    if (!saving)
        return;
    report_set_doc(t->report, "checkpoint", saving);
    if (!savings_is_news(member(t, "_advised_ms"), saving))
        return;
    report_set_int(t->report, "_advised_ms", doc_int(saving, "interval_ms", 0));
    t->world->say(t->world, arena_printf(a, "sagebrush: %s", doc_text(saving, "advice")));
}

/* A job that Slurm has begun again on another node, when nobody can ask the first one any more: this one has not lost
 * anything. Slurm knows its nodes, and none is cordoned for it. */
static void blame_loss(struct train *t, struct arena *a)
{
    const char *node = doc_text(report_doc(t->report), "_was_on");

    if (*node)
        blame_instance(t, a, "Slurm", arena_printf(a, "the container was lost with its node %s, and Slurm began the "
                                                      "job again on another", node));
    else
        blame_instance(t, a, "container", "the container was lost: it was killed from outside, or the machine "
                                          "restarted");
}

static void judge(struct train *t, struct arena *a, const struct exit_record *record)
{
    struct world *w = t->world;
    const char *ended_by = doc_text(report_doc(t->report), "_ended_by");
    int64_t ignored;
    bool asked = w->stop_asked(w, &ignored), taken_back = asked && w->taken_back(w);
    struct verdict_facts facts = {
        .record = record,
        .words = w->words(w, a),
        .reason_file = order_reason_file(t->order),
        .out_of_memory = w->out_of_memory(w),
        .memory_bytes = t->order->memory_bytes,
        .instance_type = t->order->instance_type,
        /* A job that ends by itself while it is asked to has stopped; one that had ended before its instance was taken
         * back has just ended. */
        .stopped = strcmp(ended_by, "stop") == 0 || (asked && !taken_back && !*ended_by),
        .taken_back = taken_back,
        .overran = strcmp(ended_by, "overrun") == 0,
        .overfull = strcmp(ended_by, "disk") == 0 ? doc_text(report_doc(t->report), "_disk") : NULL,
    };
    struct verdict v = verdict_of(a, &facts);

    if (v.lost)
        blame_loss(t, a);
    if (order_processes(t->order))
        take_exit_message(t, a, &v);
    if (record->started_ms)
        report_set_int(t->report, "started_ms", record->started_ms);
    report_set_int(t->report, "_container_ended_ms", record->ended_ms ? record->ended_ms : w->wall_ms(w));
    conclude(t, &v);
}

static void fail_upload(struct train *t, struct arena *a, const struct err *err)
{
    struct err whole;

    /* Outputs are many: the text says which. */
    if (order_processes(t->order))
        fail(&whole, err->kind, "Output upload failed: %s", err->text);
    else
        fail(&whole, err->kind, "Artifact upload failed: %s: %s", t->order->output_s3_uri, err->text);
    report_set_text(t->report, "_outcome", "Failed");
    report_set_text(t->report, "_reason", report_blame(a, &whole));
}

/* It had ended well and waited for what other instances wrote, and one of them is lost or has failed: what it has is
 * not a model. */
static bool is_given_up(struct train *t)
{
    struct world *w = t->world;
    struct err ignored;
    int64_t grace_s;

    return doc_is(report_doc(t->report), "_outcome", "Completed") && w->task(w, TASK_SAVE, &ignored) == TASK_NONE &&
           !w->others_saved(w) && w->stop_asked(w, &grace_s) && w->taken_back(w);
}

/* It had ended well, and its leader or its job does not want what it has any more. */
static bool is_turned_away(struct train *t, const struct err *err)
{
    struct world *w = t->world;
    int64_t grace_s;

    return err->kind == ERR_CONFLICT && !handover_leads(t->order) && w->stop_asked(w, &grace_s) && w->taken_back(w);
}

static void upload(struct train *t, struct arena *a, int64_t *next_ms)
{
    struct world *w = t->world;
    struct err err = { 0 };
    const char *outcome = doc_text(report_doc(t->report), "_outcome");
    bool interrupted, failed = strcmp(outcome, "Failed") == 0, cut = cut_has_begun(t);

    if (doc_bool(report_doc(t->report), "_saved", false))
        return;
    if (is_given_up(t)) {
        report_set_text(t->report, "_outcome", "Interrupted");
        outcome = "Interrupted";
        failed = false;
    }
    interrupted = strcmp(outcome, "Interrupted") == 0;
    /* Outputs of a processing job that failed are what is left of it. */
    w->to_save(w, interrupted ? SAVE_CHECKPOINTS : failed && !order_processes(t->order) ? SAVE_OUTPUT : SAVE_MODEL);
    switch (w->task(w, TASK_SAVE, &err)) {
    case TASK_NONE:
        if (cut) {
            cut_tell(t, a, "");
            break;
        }
        if (!interrupted)
            enter(t, "Uploading", order_processes(t->order) ? "" : "Uploading generated training model");
        if (!save(t, false))
            *next_ms = w->wall_ms(w) + RETRY_MS;
        else if (strcmp(outcome, "Failed") == 0 || interrupted || w->others_saved(w) || cut_is_due(t, next_ms))
            w->begin(w, TASK_SAVE);
        if (cut_is_due(t, next_ms))
            *next_ms = w->wall_ms(w) + RETRY_MS;
        return;
    case TASK_BUSY:
        if (!cut && !cut_is_due(t, next_ms))
            return;
        if (!cut)
            cut_begin(t);
        w->cancel(w, TASK_SAVE);
        *next_ms = w->wall_ms(w) + RETRY_MS;
        return;
    case TASK_FAILED:
        /* Only what had succeeded fails by this; another reason is the better one. */
        if (cut)
            cut_tell(t, a, err.text);
        else if (!failed && is_turned_away(t, &err))
            report_set_text(t->report, "_outcome", "Interrupted");
        else if (!failed)
            fail_upload(t, a, &err);
        break;
    case TASK_DONE:
        if (*w->model_artifacts(w))
            report_set_text(t->report, "model_artifacts", w->model_artifacts(w));
        break;
    }
    note_saved(t);
}

/* Whether other instances still get what its container sent before it ended, which goes with its network. Not of an
 * attempt that is lost anyway. */
static bool lingers(struct train *t, int64_t *next_ms)
{
    struct world *w = t->world;
    int64_t boot_ms = w->boot_ms(w), ignored;

    if (!doc_is(report_doc(t->report), "_outcome", "Completed") || w->stop_asked(w, &ignored))
        return false;
    if (!t->lingers_until_ms)
        t->lingers_until_ms = boot_ms + LINGER_MS;
    if (!w->undelivered(w))
        return false;
    if (boot_ms >= t->lingers_until_ms) {
        log_warning("instance.unheard", "name=%s after_ms=%d", t->order->name, LINGER_MS);
        return false;
    }
    *next_ms = w->wall_ms(w) + LINGER_LOOK_MS;
    return true;
}

/* The traces, the rest of the log, the last report. */
static bool finish(struct train *t, struct arena *a, int64_t *next_ms)
{
    struct world *w = t->world;
    struct err err = { 0 };
    int64_t started_ms = member(t, "started_ms"), ended_ms;
    const struct doc *d = report_doc(t->report);

    w->begin(w, TASK_DRAIN);
    if (!t->tidied && lingers(t, next_ms))
        return false;
    /* Not after the drain: the container's files may be what fills the disk on which the server is to keep the log. */
    if (!t->tidied && w->tidy(w, &err) < 0) {
        log_warning("instance.untidy", "name=%s why=%s", t->order->name, log_quote(a, err.text));
        *next_ms = w->wall_ms(w) + RETRY_MS;
        return false;
    }
    t->tidied = true;
    if (w->task(w, TASK_DRAIN, &err) == TASK_BUSY)
        return false;
    ended_ms = member(t, "_over_ms") ? member(t, "_over_ms") : w->wall_ms(w); /* an older agent did not note it */
    report_set_doc(t->report, "final_metrics", w->final_metrics(w, a));
    report_set_text(t->report, "failure_reason", doc_text(d, "_reason"));
    report_set_int(t->report, "ended_ms", ended_ms);
    report_set_int(t->report, "billable_ms", started_ms && ended_ms > started_ms ? ended_ms - started_ms : 0);
    report_set_text(t->report, "outcome", doc_text(d, "_outcome"));
    enter(t, "Ended", "");
    if (w->save(w, t->report, true))
        return true;
    /* Not said, so not over: the disk may have room again. */
    *next_ms = w->wall_ms(w) + RETRY_MS;
    return false;
}

/* The container, from before its start to its end. False: the report could not be saved, or nothing could be seen. */
static bool run(struct train *t, struct arena *a, int64_t *next_ms)
{
    struct world *w = t->world;
    struct exit_record record = { 0 };
    struct err err = { 0 };

    if (w->look(w, &record, &err) < 0)
        return false;
    /* The report reached the disk after the start, the container's traces may not have: then the machine went down. */
    if (record.state == EXIT_NONE && strcmp(report_phase(t->report), running_phase(t)) == 0)
        record = (struct exit_record){ .state = EXIT_LOST, .problem = "", .started_ms = member(t, "started_ms") };
    if (record.state == EXIT_NONE) {
        prepare(t, a, next_ms);
        if (!concluded(t) && w->look(w, &record, &err) < 0) {
            record.state = EXIT_NONE;
            *next_ms = w->wall_ms(w) + RETRY_MS;
        }
    }
    if (record.state != EXIT_NONE && strcmp(report_phase(t->report), running_phase(t)) != 0) {
        enter(t, running_phase(t),
              order_processes(t->order) ? "" : "Training image download completed. Training in progress.");
        if (record.started_ms)
            report_set_int(t->report, "started_ms", record.started_ms);
        if (doc_has(report_doc(t->report), "_was_on"))
            report_set_text(t->report, "_was_on", "");
    }
    if (record.state == EXIT_RUNNING) {
        *next_ms = w->wall_ms(w) + LOOK_MS;
        if (!t->attached && w->attach(w, &err) < 0)
            log_warning("container.not_attached", "name=%s why=%s", t->order->name, log_quote(a, err.text));
        t->attached = true;
        watch(t, a, &record, next_ms);
        tell_saving(t, a);
    } else if (record.state != EXIT_NONE) {
        judge(t, a, &record);
    }
    /* On disk only now, after the start: it costs more than the start itself. */
    return save(t, record.state != EXIT_NONE);
}

bool train_step(struct train *t, int64_t *ret_next_ms)
{
    _cleanup_arena_ struct arena *a = arena_new();
    struct world *w = t->world;

    *ret_next_ms = INT64_MAX;
    if (strcmp(report_phase(t->report), "Ended") == 0) {
        /* In memory only, when the last save failed. */
        *ret_next_ms = w->wall_ms(w) + RETRY_MS;
        return save(t, true);
    }
    if (!*report_phase(t->report)) {
        enter(t, "Starting", t->order->gpus_absent
                                 ? "Preparing the instances for training. This machine has no GPU: the job runs on the "
                                   "CPU"
                                 : "Preparing the instances for training");
        save(t, false);
    }
    if (!concluded(t)) {
        if (!run(t, a, ret_next_ms))
            *ret_next_ms = w->wall_ms(w) + RETRY_MS;
        if (!concluded(t))
            return false;
    }
    upload(t, a, ret_next_ms);
    if (!save(t, false)) {
        *ret_next_ms = w->wall_ms(w) + RETRY_MS;
        return false;
    }
    return doc_bool(report_doc(t->report), "_saved", false) && finish(t, a, ret_next_ms);
}
