/* user.c - users: what they ask for, what they were told, and that it stays true. */
#include <stdio.h>
#include <string.h>

#include "sim.h"

enum { KEEP_MOST_S = 100 };

#define KEPT_SUFFIX "-warm"

static struct doc *text_input(struct arena *a, const char *key, const char *value)
{
    struct doc *d = doc_map(a);

    doc_set_string(a, d, key, value);
    return d;
}

static struct doc *by_name(struct arena *a, void *of)
{
    struct noun *n = of;

    return text_input(a, n->kind->name_member, n->name);
}

static bool is_state(const char *state, const char *list)
{
    return *state && strstr(list, state) != NULL;
}

static bool not_answered(const struct err *err)
{
    return err && (err->kind == ERR_UNAVAILABLE || err->kind == ERR_INTERNAL);
}

static bool is_missing(const struct err *err)
{
    return err && err->kind == ERR_NOT_FOUND;
}

/* --- What was told ----------------------------------------------------------------------------------------------- */

static void created(void *context, const struct doc *output, const struct err *err)
{
    struct noun *n = context;

    if (not_answered(err)) {
        n->exists = n->exists == NOTHING ? MAYBE : n->exists;
        return;
    }
    /* An endpoint's configuration may be gone meanwhile. */
    if (err && n->exists == NOTHING && (err->kind != ERR_INVALID || n->kind != &endpoint))
        broken("Create of the new %s was refused: %s", n->name, err->text);
    if (!err) { /* a new one: what was asked of one before it counts no more */
        n->stop_answered = n->delete_answered = n->delete_unsure = false;
        n->last[0] = '\0';
    }
    if (!err || err->kind == ERR_CONFLICT)
        n->exists = SURE;
    tell("answered: %s was created", n->name);
}

static void stopped(void *context, const struct doc *output, const struct err *err)
{
    struct noun *n = context;

    if (err)
        return;
    n->stop_answered = true;
    tell("answered: %s stops", n->name);
}

static void deleted(void *context, const struct doc *output, const struct err *err)
{
    struct noun *n = context;

    n->delete_unsure = n->delete_unsure || not_answered(err);
    if (err)
        return;
    n->delete_answered = true;
    tell("answered: %s is deleted", n->name);
}

static void updated(void *context, const struct doc *output, const struct err *err)
{
    (void)context, (void)output, (void)err;
}

static void check_transitions(const struct noun *n, const struct doc *d)
{
    const struct doc *all = doc_get(d, "SecondaryStatusTransitions");
    bool over = is_state(doc_text(d, "TrainingJobStatus"), "Completed Failed Stopped");

    for (size_t i = 0; i < doc_count(all, ""); i++) {
        if (!*doc_text(all->items[i], "StatusMessage") && !doc_is(all->items[i], "Status", "Failed"))
            broken("%s has a transition to %s without a message", n->name, doc_text(all->items[i], "Status"));
        if (i + 1 < doc_count(all, "") && !doc_has(all->items[i], "EndTime"))
            broken("%s left %s without an end", n->name, doc_text(all->items[i], "Status"));
    }
    if (over != doc_has(d, "TrainingEndTime"))
        broken("%s is %s and %s TrainingEndTime", n->name, doc_text(d, "TrainingJobStatus"), over ? "has no" : "has a");
    if (doc_has(d, "FailureReason") != doc_is(d, "TrainingJobStatus", "Failed") && over)
        broken("%s is %s with the FailureReason '%s'", n->name, doc_text(d, "TrainingJobStatus"),
               doc_text(d, "FailureReason"));
    if (!doc_is(all->items[doc_count(all, "") - 1], "Status", doc_text(d, "SecondaryStatus")))
        broken("%s shows another SecondaryStatus than its last transition", n->name);
}

static void check_processing(const struct noun *n, const struct doc *d)
{
    const char *state = doc_text(d, "ProcessingJobStatus");
    bool over = is_state(state, "Completed Failed Stopped");

    if (over != doc_has(d, "ProcessingEndTime"))
        broken("%s is %s and %s ProcessingEndTime", n->name, state, over ? "has no" : "has a");
    if (doc_has(d, "FailureReason") != (strcmp(state, "Failed") == 0) && strcmp(state, "Stopped") != 0)
        broken("%s is %s with the FailureReason '%s'", n->name, state, doc_text(d, "FailureReason"));
}

static void described(void *context, const struct doc *output, const struct err *err)
{
    struct noun *n = context;
    const char *state;

    if (not_answered(err))
        return;
    if (is_missing(err)) {
        if (n->exists == SURE && !n->delete_answered && !n->delete_unsure && strcmp(n->last, "Deleting") != 0)
            broken("%s was created, and is not there", n->name);
        n->exists = NOTHING; /* its name may be used again */
        n->stop_answered = n->delete_answered = n->delete_unsure = false;
        n->last[0] = '\0';
        return;
    }
    if (err)
        broken("Describe of %s: %s", n->name, err->text);
    state = doc_text(output, n->kind->state_member);
    if (n->stop_answered && strcmp(state, "InProgress") == 0)
        broken("%s was told to stop, and is InProgress", n->name);
    if (n->stop_answered && strcmp(state, "Completed") == 0)
        broken("%s was told to stop, and is Completed", n->name);
    if (n->delete_answered && strcmp(state, "Deleting") != 0)
        broken("%s was deleted, and is %s", n->name, state);
    if (n->kind != &endpoint) {
        if (is_state(n->last, "Completed Failed Stopped") && strcmp(state, n->last) != 0 &&
            strcmp(state, "Deleting") != 0)
            broken("%s was %s, and is %s", n->name, n->last, state);
        if (strcmp(state, "Deleting") != 0 && n->kind == &training_job)
            check_transitions(n, output);
        if (strcmp(state, "Deleting") != 0 && n->kind == &processing_job)
            check_processing(n, output);
    }
    snprintf(n->last, sizeof n->last, "%s", state);
    n->exists = SURE;
}

/* --- What is asked ----------------------------------------------------------------------------------------------- */

static struct doc *job_input(struct arena *a, void *of)
{
    struct noun *n = of;
    struct doc *d = by_name(a, n), *m;

    m = doc_member(a, d, "AlgorithmSpecification", DOC_MAP);
    doc_set_string(a, m, "TrainingImage", "pytorch-training:1.13");
    doc_set_string(a, m, "TrainingInputMode", "File");
    doc_set_string(a, d, "RoleArn", "arn:aws:iam::111122223333:role/train-it-well");
    doc_set_string(a, doc_member(a, d, "OutputDataConfig", DOC_MAP), "S3OutputPath", "s3://bucket/out");
    m = doc_member(a, d, "ResourceConfig", DOC_MAP);
    doc_set_string(a, m, "InstanceType", "ml.m5.large");
    doc_set_integer(a, m, "InstanceCount", n->instances);
    doc_set_integer(a, m, "VolumeSizeInGB", 1);
    if (n->keep_s)
        doc_set_integer(a, m, "KeepAlivePeriodInSeconds", n->keep_s);
    m = doc_member(a, d, "StoppingCondition", DOC_MAP);
    doc_set_integer(a, m, "MaxRuntimeInSeconds", n->patient ? 3600 : 60);
    if (n->spot) {
        doc_set_boolean(a, d, "EnableManagedSpotTraining", true);
        doc_set_integer(a, m, "MaxWaitTimeInSeconds", n->patient ? 30 * 86400 : 90);
    }
    if (HAS_NODES) {
        struct doc *tag = doc_map(a);

        doc_set_string(a, tag, "Key", "sagebrush:priority");
        doc_set_string(a, tag, "Value", arena_printf(a, "%d", n->retries));
        doc_append(a, doc_member(a, d, "Tags", DOC_LIST), tag);
    }
    if (n->hangs)
        doc_set_string(a, doc_member(a, d, "Environment", DOC_MAP), HANG_VARIABLE, "20s");
    if (n->retries)
        doc_set_integer(a, doc_member(a, d, "RetryStrategy", DOC_MAP), "MaximumRetryAttempts", n->retries);
    return d;
}

/* Longer, shorter or at once. */
static struct doc *keep_input(struct arena *a, void *of)
{
    struct doc *d = by_name(a, of);

    doc_set_integer(a, doc_member(a, d, "ResourceConfig", DOC_MAP), "KeepAlivePeriodInSeconds",
                    roll(3) * (KEEP_MOST_S / 2));
    return d;
}

static struct doc *processing_input(struct arena *a, void *of)
{
    struct noun *n = of;
    struct doc *d = by_name(a, n), *m;

    m = doc_member(a, d, "AppSpecification", DOC_MAP);
    doc_set_string(a, m, "ImageUri", "sagemaker-base-python");
    doc_append(a, doc_member(a, m, "ContainerEntrypoint", DOC_LIST), doc_string(a, "python3"));
    doc_set_string(a, d, "RoleArn", "arn:aws:iam::111122223333:role/train-it-well");
    m = doc_member(a, doc_member(a, d, "ProcessingResources", DOC_MAP), "ClusterConfig", DOC_MAP);
    doc_set_string(a, m, "InstanceType", "ml.m5.large");
    doc_set_integer(a, m, "InstanceCount", n->instances);
    doc_set_integer(a, m, "VolumeSizeInGB", 1);
    return d;
}

static struct doc *model_input(struct arena *a, void *of)
{
    struct doc *d = text_input(a, "ModelName", "model");

    (void)of;
    doc_set_string(a, doc_member(a, d, "PrimaryContainer", DOC_MAP), "Image", "sagemaker-xgboost:1.7-1");
    doc_set_string(a, d, "ExecutionRoleArn", "arn:aws:iam::111122223333:role/train-it-well");
    return d;
}

static void model_made(void *context, const struct doc *output, const struct err *err)
{
    if (!err || err->kind == ERR_CONFLICT)
        w.model_made = true;
}

static struct doc *config_input(struct arena *a, void *of)
{
    struct doc *d = text_input(a, "EndpointConfigName", arena_printf(a, "config-%d", w.configs_made)), *v = doc_map(a);

    (void)of;
    doc_set_string(a, v, "VariantName", "AllTraffic");
    doc_set_string(a, v, "ModelName", "model");
    doc_set_string(a, v, "InstanceType", "ml.m5.large");
    doc_set_integer(a, v, "InitialInstanceCount", 1);
    doc_append(a, doc_member(a, d, "ProductionVariants", DOC_LIST), v);
    return d;
}

static void config_made(void *context, const struct doc *output, const struct err *err)
{
    if ((!err || err->kind == ERR_CONFLICT) && w.configs_made == (intptr_t)context)
        w.configs_made++;
}

static struct doc *endpoint_input(struct arena *a, void *of)
{
    struct doc *d = by_name(a, of);

    doc_set_string(a, d, "EndpointConfigName", arena_printf(a, "config-%d", w.configs_made - 1));
    return d;
}

void user_begin(void)
{
    bool kept = w.seed % 7 < 4 && !PROCESSES;

    for (int i = 0; i < JOBS; i++) {
        bool spot = i % 2 == 1 && !PROCESSES && w.seed % 7 != 0;

        w.jobs[i] = (struct noun){ .kind = PROCESSES ? &processing_job : &training_job,
                                   .instances = i % 2 == 0 ? 1 : INSTANCES,
                                   .spot = spot,
                                   .keep_s = kept && !spot ? 1 + (int)(w.seed % KEEP_MOST_S) : 0,
                                   .patient = w.seed % 5 != 0,
                                   .hangs = !PROCESSES && (w.seed + (unsigned)i) % 4 == 2,
                                   .retries = (int)(w.seed + (unsigned)i) % 3 };
        snprintf(w.jobs[i].name, sizeof w.jobs[i].name, "job-%d", i);
    }
    for (int i = 0; i < ENDPOINTS; i++) {
        w.endpoints[i] = (struct noun){ .kind = &endpoint };
        snprintf(w.endpoints[i].name, sizeof w.endpoints[i].name, "endpoint-%d", i);
    }
}

static void describe_job(struct noun *n)
{
    control_call(n->kind == &training_job ? "DescribeTrainingJob" : "DescribeProcessingJob", by_name, n, described, n);
}

static void ask_about_job(struct noun *n)
{
    bool trains = n->kind == &training_job;
    unsigned what = roll(100);

    if (n->exists != SURE && what < 30)
        control_call(trains ? "CreateTrainingJob" : "CreateProcessingJob", trains ? job_input : processing_input, n,
                     created, n);
    else if (what < 80)
        describe_job(n);
    else if (what < 84 && n->keep_s && chance(F_USER, 500))
        control_call("UpdateTrainingJob", keep_input, n, updated, n);
    else if (what < 92 && chance(F_USER, 500))
        control_call(trains ? "StopTrainingJob" : "StopProcessingJob", by_name, n, stopped, n);
    else if (chance(F_USER, 500))
        control_call(trains ? "DeleteTrainingJob" : "DeleteProcessingJob", by_name, n, deleted, n);
}

static void ask_about_endpoint(struct noun *n)
{
    unsigned what = roll(100);

    if (!w.model_made)
        control_call("CreateModel", model_input, n, model_made, NULL);
    else if (w.configs_made == 0 || what < 5)
        control_call("CreateEndpointConfig", config_input, n, config_made, (void *)(intptr_t)w.configs_made);
    else if (n->exists != SURE && what < 40)
        control_call("CreateEndpoint", endpoint_input, n, created, n);
    else if (what < 80)
        control_call("DescribeEndpoint", by_name, n, described, n);
    else if (what < 90 && chance(F_USER, 500))
        control_call("UpdateEndpoint", endpoint_input, n, updated, n);
    else if (chance(F_USER, 300))
        control_call("DeleteEndpoint", by_name, n, deleted, n);
}

static void take_capacity_back(void)
{
    const struct noun *n = &w.jobs[roll(JOBS)];

    if (chance(F_SPOT, 300))
        control_interrupt(n);
}

void user_move(void)
{
    if (w.calm) {
        for (int i = 0; i < JOBS; i++)
            if (w.jobs[i].exists != NOTHING && roll(4) == 0)
                describe_job(&w.jobs[i]);
        return;
    }
    take_capacity_back();
    experiment_move();
    for (unsigned n = roll(3); n > 0; n--) {
        if (w.seed % 3 == 0 || (w.seed % 3 == 2 && roll(2)))
            ask_about_job(&w.jobs[roll(JOBS)]);
        else
            ask_about_endpoint(&w.endpoints[roll(ENDPOINTS)]);
    }
}

void user_orphan(void)
{
    _cleanup_arena_ struct arena *a = arena_new();
    const struct row_filter one = { .kind = endpoint.name, .limit = 1 };
    const char *after;
    struct row *rows;
    struct err err;
    int count;

    if (store_row_list(a, w.store, &one, &rows, &count, &after, &err) == 0 && count > 0)
        agents_orphan("serve", rows[0].uid);
}

/* --- The end of the story ---------------------------------------------------------------------------------------- */

static bool is_routed(const char *agent)
{
    return plane_may_ask(agent);
}

/* Of instances that were kept: as long as their job says, and no longer than was asked. */
static void check_kept(const struct doc *interval, const struct agent *x)
{
    _cleanup_arena_ struct arena *a = arena_new();
    int64_t kept_ms = doc_int(interval, "to_ms", 0) - doc_int(interval, "from_ms", 0);
    struct err err;
    struct row row;

    if (doc_bool(interval, "open", false))
        broken("the instance of %s is still kept", x->name);
    if (!w.jumped && kept_ms > KEEP_MOST_S * 1000)
        broken("the instance of %s was kept for %lld ms", x->name, (long long)kept_ms);
    if (store_row_by_uid(a, w.store, x->owner, &row, &err) < 0)
        return;
    if (!is_state(doc_text(row.status, "WarmPoolStatus.Status"), doc_has(row.want, "Reused") ? "Reused" : "Terminated"))
        broken("the pool of %s is %s, and was%s reused", row.name, doc_text(row.status, "WarmPoolStatus.Status"),
               doc_has(row.want, "Reused") ? "" : " not");
    if (!w.jumped && doc_has(row.want, "Reused") &&
        doc_int(row.want, "Reused.AtMs", 0) != doc_int(interval, "to_ms", 0))
        broken("the pool of %s is paid for longer than until it was reused", row.name);
    if (doc_int(row.status, "WarmPoolStatus.ResourceRetainedBillableTimeInSeconds", -1) != (kept_ms + 999) / 1000)
        broken("the pool of %s was kept for %lld ms, and says something else", row.name, (long long)kept_ms);
}

/* The agent's name, also of the interval in which its instance was kept. */
static const struct agent *agent_of(struct arena *a, const char *uid)
{
    return agent_find(text_ends(uid, KEPT_SUFFIX) ? arena_strndup(a, uid, strlen(uid) - strlen(KEPT_SUFFIX)) : uid);
}

static void check_usage(struct arena *a)
{
    struct doc *list;
    struct err err;

    if (usage_scan(a, w.engine, 0, INT64_MAX, &list, &err) < 0)
        broken("usage cannot be read: %s", err.text);
    for (uint32_t i = 0; i < list->count; i++) {
        const char *uid = doc_text(list->items[i], "uid");
        int64_t billed_ms = doc_int(list->items[i], "to_ms", 0) - doc_int(list->items[i], "from_ms", 0), ran_ms;
        const struct agent *x = agent_of(a, uid);

        for (int j = 0; j < w.agent_count && !x; j++)
            if (strcmp(w.agents[j].owner, uid) == 0)
                x = &w.agents[j];
        /* Of a job that failed before its last instance began, that one is kept, too. */
        if (!x && text_ends(uid, KEPT_SUFFIX))
            continue;
        if (!x)
            broken("usage of %s, which never ran", uid);
        for (uint32_t j = 0; j < i; j++)
            if (doc_is(list->items[j], "uid", uid))
                broken("%s has two intervals", uid);
        if (text_ends(uid, KEPT_SUFFIX)) {
            check_kept(list->items[i], x);
            continue;
        }
        if (doc_bool(list->items[i], "open", false)) {
            if (!x->serves || !x->there)
                broken("the interval of %s was never closed", uid);
            continue;
        }
        health_check_usage(list->items[i], x);
        ran_ms = x->ended_boot_ms - x->started_boot_ms;
        if (x->lost || x->starts > 1)
            continue; /* nobody knows when it ended */
        if (billed_ms > ran_ms || (!w.jumped && billed_ms != ran_ms))
            broken("%s ran %lld ms and is billed %lld ms", uid, (long long)ran_ms, (long long)billed_ms);
    }
}

static void check_rows(struct arena *a)
{
    struct row_filter all = { .limit = 1000 };
    const char *after;
    struct row *rows;
    struct err err;
    int count;

    if (store_row_list(a, w.store, &all, &rows, &count, &after, &err) < 0)
        broken("rows cannot be listed: %s", err.text);
    for (int i = 0; i < count; i++) {
        const struct row *r = &rows[i];

        if ((strcmp(r->kind, "TrainingJob") == 0 || strcmp(r->kind, "ProcessingJob") == 0) &&
            !is_state(r->state, "Completed Failed Stopped"))
            broken("%s did not end: it is %s. %s", r->name, r->state, allocation_waits(a, w.engine, r->uid));
        if (strcmp(r->kind, "Endpoint") == 0 && !is_state(r->state, "InService Failed"))
            broken("%s did not settle: it is %s", r->name, r->state);
        if (strcmp(r->kind, "Endpoint") == 0 && is_state(r->state, "InService") && !plane_serves(r->name))
            broken("%s is InService and the data plane does not know it", r->name);
        if (strcmp(r->kind, "Endpoint") == 0 && is_state(r->state, "InService") && plane_instances(r->name) != 1 &&
            !(HAS_NODES && w.room < ENDPOINTS)) /* another one may have the only node, once it is repaired */
            broken("%s is InService with %d instances", r->name, plane_instances(r->name));
    }
}

static void check_bills(struct arena *a)
{
    struct row_filter jobs = { .kind = training_job.name, .limit = 1000 };
    struct doc *usage;
    const char *after;
    struct row *rows;
    struct err err;
    int count;

    if (store_row_list(a, w.store, &jobs, &rows, &count, &after, &err) < 0 ||
        usage_scan(a, w.engine, 0, INT64_MAX, &usage, &err) < 0)
        broken("bills cannot be read: %s", err.text);
    for (int i = 0; i < count; i++)
        health_check_bill(usage, &rows[i]);
}

bool user_settled(void)
{
    _cleanup_arena_ struct arena *a = arena_new();
    struct row_filter endpoints = { .kind = endpoint.name, .limit = 1000 };
    const char *after;
    struct row *rows;
    struct err err;
    int count;

    if (store_row_list(a, w.store, &endpoints, &rows, &count, &after, &err) < 0)
        broken("endpoints cannot be listed: %s", err.text);
    for (int i = 0; i < count; i++)
        if (!is_state(rows[i].state, "InService Failed"))
            return false;
    return experiment_settled(a);
}

static void check_world(struct arena *a)
{
    const char *const *names;
    int count, routed = 0;
    struct err err;

    if (runtime_list(w.runtime, a, &names, &count, &err) < 0)
        broken("the runtime does not list: %s", err.text);
    for (int i = 0; i < count; i++) {
        const struct agent *x = agent_find(names[i]);

        if (!x)
            broken("%s stands by for nobody", names[i]);
        if (!x->serves || !is_routed(names[i]))
            broken("%s was left behind", names[i]);
        routed += x->serves;
    }
    if (allocations_instances(w.platform.allocations) != routed)
        broken("the fleet says that %lld run, and %d do", (long long)allocations_instances(w.platform.allocations),
               routed);
}

void user_check_all(void)
{
    _cleanup_arena_ struct arena *a = arena_new();

    check_rows(a);
    check_world(a);
    check_usage(a);
    check_bills(a);
    listener_check(a);
    experiment_check(a);
    for (int i = 0; i < JOBS; i++)
        if (w.jobs[i].exists == SURE)
            describe_job(&w.jobs[i]);
    for (int i = 0; i < ENDPOINTS; i++)
        if (w.endpoints[i].exists == SURE)
            control_call("DescribeEndpoint", by_name, &w.endpoints[i], described, &w.endpoints[i]);
    control_move();
}
