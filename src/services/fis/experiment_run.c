/* experiment_run.c - an experiment's own passes: targets are found, actions begin when those before them are done, and
 * are done when what they ask for was seen to happen.
 *
 * An interruption asks each job that has one of the instances to give all of them up: the instances of an attempt live
 * and die together. It is asked in the transaction that notes it. */
#include <inttypes.h>
#include <string.h>

#include "engine/engine.h"
#include "services/fis/catalog.h"
#include "services/fis/experiment.h"
#include "services/iam/identity.h"
#include "services/sagemaker/training_interrupt.h"

enum { LOOK_MS = 1000, LOOK_LATER_MS = 15 * 1000, NOTICE_MS = 120 * 1000 };

static const int64_t kept_ms = INT64_C(120) * 24 * 3600 * 1000; /* "Quotas and limitations" in the FIS user guide */

static const struct doc *template_of(const struct resource *r)
{
    return doc_get(r->row.spec, "template");
}

static const struct doc *actions_of(const struct resource *r)
{
    return doc_get(template_of(r), "actions");
}

static struct doc *state_of_action(struct pass *p, struct resource *r, const char *name)
{
    return doc_member(p->arena, doc_member(p->arena, r->status, "actions", DOC_MAP), name, DOC_MAP);
}

static void enter(struct pass *p, struct resource *r, const char *state, const char *reason)
{
    set_state(r, state);
    doc_set_string(p->arena, r->status, "reason", reason);
}

static void enter_action(struct pass *p, struct doc *action, const char *status, const char *reason)
{
    static const char *const over[] = { "completed", "cancelled", "stopped", "failed", "skipped" };

    doc_set_string(p->arena, action, "status", status);
    doc_set_string(p->arena, action, "reason", reason);
    if (strcmp(status, "running") == 0)
        doc_set_integer(p->arena, action, "startTime", p->now_ms);
    for (size_t i = 0; i < sizeof over / sizeof *over; i++)
        if (strcmp(status, over[i]) == 0)
            doc_set_integer(p->arena, action, "endTime", p->now_ms);
}

/* Those that run are stopped, those that wait never begin. */
static void end_actions(struct pass *p, struct resource *r, const char *why)
{
    const struct doc *actions = actions_of(r);

    for (uint32_t i = 0; i < actions->count; i++) {
        struct doc *a = state_of_action(p, r, actions->members[i].key);

        if (doc_is(a, "status", "running"))
            enter_action(p, a, "stopped", why);
        else if (doc_is(a, "status", "pending"))
            enter_action(p, a, "cancelled", why);
    }
}

static void end(struct pass *p, struct resource *r, const char *state, const char *reason)
{
    enter(p, r, state, reason);
    doc_set_integer(p->arena, r->status, "endTime", p->now_ms);
}

/* --- Spot interruptions --- */

static const struct doc *instances_of(const struct resource *r, const struct doc *action)
{
    return doc_get(doc_get(r->status, "targets"), doc_value_text(doc_get(doc_get(action, "targets"), "SpotInstances")));
}

static int64_t duration_of(const struct doc *action)
{
    const char *name = fis_action(doc_text(action, "actionId"))->parameter.name;
    int64_t ms = 0;

    (void)fis_duration(doc_value_text(doc_get(doc_get(action, "parameters"), name)), &ms);
    return ms;
}

static int may_interrupt(struct pass *p, const struct resource *r, const struct doc *instance, struct err *err)
{
    const struct role_question q = { .role_arn = doc_text(template_of(r), "roleArn"), .session = "FIS",
                                     .action = "ec2:SendSpotInstanceInterruptions",
                                     .resource = doc_text(instance, "arn"), .region = r->row.region,
                                     .now_ms = p->now_ms };

    return identity_role_may(p->arena, engine_world_of(p->engine)->store, &q, err);
}

static bool is_told(const struct err *err)
{
    return err->kind == ERR_INVALID || err->kind == ERR_NOT_FOUND || err->kind == ERR_CONFLICT ||
           err->kind == ERR_DENIED;
}

/* A job that has no instance any more is no fault of the experiment's, as long as another one has. */
static int interrupt(struct pass *p, struct resource *r, const struct doc *action, struct doc *state, struct err *err)
{
    int64_t before_ms = duration_of(action) - NOTICE_MS;
    const struct interruption i = { p->now_ms, before_ms > 0 ? p->now_ms + before_ms : 0,
                                    arena_printf(p->arena, "the FIS experiment %s", r->row.name) };
    const struct doc *instances = instances_of(r, action);
    const char *why = NULL;
    bool any = false;

    for (size_t k = 0; k < doc_count(instances, ""); k++) {
        const struct doc *instance = instances->items[k];

        if (may_interrupt(p, r, instance, err) == 0 &&
            training_job_interrupt(p->arena, p->engine, doc_text(instance, "job_arn"), &i, err) == 0)
            any = true;
        else if (is_told(err))
            why = arena_strdup(p->arena, err->text);
        else
            return -1;
    }
    if (any)
        enter_action(p, state, "running", "Action is running.");
    else
        enter_action(p, state, "failed", arena_printf(p->arena, "Nothing could be interrupted: %s.", why));
    return 0;
}

/* The attempt that was asked is over, however it came to that. */
static int is_over(struct pass *p, const struct doc *instance, bool *ret, struct err *err)
{
    struct resource job;

    *ret = true;
    if (resource_load(p->arena, p->engine, doc_text(instance, "job_uid"), &job, err) < 0)
        return err->kind == ERR_NOT_FOUND ? 0 : -1;
    *ret = training_attempt(&job) != doc_int(instance, "attempt", 0) || strcmp(get_state(&job), "InProgress") != 0;
    return 0;
}

static int look_at_interruption(struct pass *p, struct resource *r, const struct doc *action, struct doc *state,
                                int64_t *ret_next_ms, struct err *err)
{
    const struct doc *instances = instances_of(r, action);
    int64_t noticed_ms = doc_int(state, "startTime", 0) + duration_of(action) - NOTICE_MS;

    *ret_next_ms = p->now_ms + (noticed_ms > p->now_ms + LOOK_LATER_MS ? LOOK_LATER_MS : LOOK_MS);
    for (size_t k = 0; k < doc_count(instances, ""); k++) {
        bool over;

        if (is_over(p, instances->items[k], &over, err) < 0)
            return -1;
        if (!over)
            return 0;
    }
    enter_action(p, state, "completed", "Action was completed.");
    return 0;
}

static int spare(struct pass *p, struct resource *r, const struct doc *action, struct err *err)
{
    const struct doc *instances = instances_of(r, action);

    for (size_t k = 0; k < doc_count(instances, ""); k++)
        if (training_job_spare(p->arena, p->engine, doc_text(instances->items[k], "job_uid"),
                               (int)doc_int(instances->items[k], "attempt", 0), err) < 0 && err->kind != ERR_NOT_FOUND)
            return -1;
    return 0;
}

/* --- Waiting --- */

static int wait_begin(struct pass *p, struct resource *r, const struct doc *action, struct doc *state, struct err *err)
{
    enter_action(p, state, "running", "Action is running.");
    return 0;
}

static int wait_look(struct pass *p, struct resource *r, const struct doc *action, struct doc *state,
                     int64_t *ret_next_ms, struct err *err)
{
    /* The clock went back: nobody is to wait for the hour to come again. */
    if (p->now_ms < doc_int(state, "startTime", 0))
        doc_set_integer(p->arena, state, "startTime", p->now_ms);
    *ret_next_ms = doc_int(state, "startTime", 0) + duration_of(action);
    if (p->now_ms >= *ret_next_ms)
        enter_action(p, state, "completed", "Action was completed.");
    return 0;
}

static const struct deed {
    const char *action;
    int (*begin)(struct pass *, struct resource *, const struct doc *action, struct doc *state, struct err *);
    int (*look)(struct pass *, struct resource *, const struct doc *action, struct doc *state, int64_t *ret_next_ms,
                struct err *);
    int (*stop)(struct pass *, struct resource *, const struct doc *action, struct err *); /* NULL: nothing to undo */
} deeds[] = {
    { "aws:ec2:send-spot-instance-interruptions", interrupt, look_at_interruption, spare },
    { "aws:fis:wait", wait_begin, wait_look, NULL },
};

static const struct deed *deed_of(const struct doc *action)
{
    for (size_t i = 0; i < sizeof deeds / sizeof *deeds; i++)
        if (doc_is(action, "actionId", deeds[i].action))
            return &deeds[i];
    return NULL;
}

/* --- The experiment --- */

static void first_states(struct pass *p, struct resource *r, bool skipped)
{
    const struct doc *actions = actions_of(r);
    bool resolved = doc_has(r->status, "targets");

    for (uint32_t i = 0; i < actions->count; i++) {
        const struct doc *action = actions->members[i].value;
        struct doc *state = state_of_action(p, r, actions->members[i].key);
        bool empty = resolved && doc_member_count(action, "targets") && !doc_count(instances_of(r, action), "");

        if (skipped)
            enter_action(p, state, "skipped", "Action was skipped.");
        else if (empty)
            enter_action(p, state, "skipped", "Target resolution returned empty set.");
        else
            enter_action(p, state, "pending", "Initial state");
    }
}

static int begin(struct pass *p, struct resource *r, struct err *err)
{
    const struct doc *targets = doc_get(template_of(r), "targets");
    bool may_be_empty = doc_is(template_of(r), "experimentOptions.emptyTargetResolutionMode", "skip");
    struct doc *chosen, *all = doc_map(p->arena);

    for (size_t i = 0; i < doc_member_count(targets, ""); i++) {
        if (target_resolve(p->arena, p->engine, &r->row, targets->members[i].value, &chosen, err) < 0)
            return -1;
        if (!chosen->count && !may_be_empty) {
            end_actions(p, r, "Experiment failed.");
            end(p, r, "failed", arena_printf(p->arena, "Target resolution returned empty set: no instance fits %s.",
                                             targets->members[i].key));
            return 0;
        }
        doc_set(p->arena, all, targets->members[i].key, chosen);
    }
    doc_set(p->arena, r->status, "targets", all);
    first_states(p, r, doc_is(r->row.spec, "actionsMode", "skip-all"));
    enter(p, r, "running", "Experiment is running.");
    return 0;
}

static bool may_begin(struct pass *p, struct resource *r, const struct doc *action)
{
    const struct doc *before = doc_get(action, "startAfter");

    for (size_t i = 0; i < doc_count(before, ""); i++) {
        const struct doc *state = state_of_action(p, r, doc_value_text(before->items[i]));

        if (!doc_is(state, "status", "completed") && !doc_is(state, "status", "skipped"))
            return false;
    }
    return true;
}

static int step_action(struct pass *p, struct resource *r, const char *name, const struct doc *action,
                       int64_t *ret_next_ms, struct err *err)
{
    struct doc *state = state_of_action(p, r, name);

    if (doc_is(state, "status", "running"))
        return deed_of(action)->look(p, r, action, state, ret_next_ms, err);
    *ret_next_ms = INT64_MAX;
    if (doc_is(state, "status", "pending") && may_begin(p, r, action))
        return deed_of(action)->begin(p, r, action, state, err);
    return 0;
}

static int go_on(struct pass *p, struct resource *r, int64_t *ret_next_ms, struct err *err)
{
    const struct doc *actions = actions_of(r);
    int64_t soonest_ms = INT64_MAX, next_ms;
    const char *failed = NULL;
    bool open = false;

    for (uint32_t i = 0; i < actions->count; i++) {
        const char *name = actions->members[i].key;
        const struct doc *state = state_of_action(p, r, name);
        const char *before = doc_text(state, "status");

        if (step_action(p, r, name, actions->members[i].value, &next_ms, err) < 0)
            return -1;
        /* What came to its end may be what another one waits for. */
        if (!doc_is(state, "status", before))
            next_ms = p->now_ms;
        soonest_ms = next_ms < soonest_ms ? next_ms : soonest_ms;
        open = open || doc_is(state, "status", "running") || doc_is(state, "status", "pending");
        failed = doc_is(state, "status", "failed") ? name : failed;
    }
    *ret_next_ms = soonest_ms;
    if (failed) {
        doc_set_string(p->arena, r->status, "reason",
                       arena_printf(p->arena, "Action %s failed: %s", failed,
                                    doc_text(state_of_action(p, r, failed), "reason")));
        set_state(r, "stopping");
        doc_set_boolean(p->arena, r->status, "_Failed", true);
    } else if (!open) {
        end(p, r, "completed", "Experiment completed.");
    }
    return 0;
}

static int stop(struct pass *p, struct resource *r, struct err *err)
{
    const struct doc *actions = actions_of(r);
    bool failed = doc_bool(r->status, "_Failed", false);

    if (!doc_has(r->status, "actions")) /* it was stopped before it began */
        first_states(p, r, false);
    for (uint32_t i = 0; i < actions->count; i++) {
        const struct doc *action = actions->members[i].value;

        if (doc_is(state_of_action(p, r, actions->members[i].key), "status", "running") && deed_of(action)->stop &&
            deed_of(action)->stop(p, r, action, err) < 0)
            return -1;
    }
    end_actions(p, r, failed ? "Experiment failed." : "Experiment was stopped.");
    end(p, r, failed ? "failed" : "stopped", failed ? doc_text(r->status, "reason") : "Experiment was stopped.");
    return 0;
}

int experiment_reconcile(struct pass *p, struct resource *r, int64_t *ret_next_ms, bool *ret_row_goes, struct err *err)
{
    const char *state = get_state(r);

    if (doc_has(r->status, "endTime")) {
        *ret_next_ms = doc_int(r->status, "endTime", 0) + kept_ms;
        *ret_row_goes = p->now_ms >= *ret_next_ms;
        return 0;
    }
    *ret_next_ms = p->now_ms;
    if (strcmp(state, "stopping") == 0)
        return stop(p, r, err);
    if (strcmp(state, "pending") == 0) {
        doc_set_integer(p->arena, r->status, "startTime", p->now_ms);
        first_states(p, r, false);
        enter(p, r, "initiating", "Experiment is initiating.");
        return 0;
    }
    if (strcmp(state, "initiating") == 0)
        return begin(p, r, err);
    if (go_on(p, r, ret_next_ms, err) < 0)
        return -1;
    if (strcmp(get_state(r), "running") != 0)
        *ret_next_ms = p->now_ms;
    return 0;
}
