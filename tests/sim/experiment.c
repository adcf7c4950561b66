/* experiment.c - experiments of AWS FIS on the spot jobs of a story: started and stopped at any moment, each comes to
 * an end, and so does each of its actions. */
#include <string.h>

#include "doc/json.h"
#include "services/fis/fis.h"
#include "sim.h"

/* All jobs by name, whether they are there or not; one action at once, one after a while. */
static const char template[] =
    "{'clientToken':'t','description':'d','roleArn':'arn:aws:iam::111122223333:role/r','stopConditions':[{'source':"
    "'none'}],'experimentOptions':{'emptyTargetResolutionMode':'skip'},'targets':{'t':{'resourceType':"
    "'aws:ec2:spot-instance','selectionMode':'PERCENT(60)','resourceArns':['arn:aws:sagemaker:us-east-1:111122223333:"
    "training-job/job-0','arn:aws:sagemaker:us-east-1:111122223333:training-job/job-1','arn:aws:sagemaker:us-east-1:"
    "111122223333:training-job/job-2','arn:aws:sagemaker:us-east-1:111122223333:training-job/job-3']}},'actions':{"
    "'now':{'actionId':'aws:ec2:send-spot-instance-interruptions','targets':{'SpotInstances':'t'},'parameters':{"
    "'durationBeforeInterruption':'PT2M'}},'pause':{'actionId':'aws:fis:wait','parameters':{'duration':'PT1M'}},"
    "'then':{'actionId':'aws:ec2:send-spot-instance-interruptions','targets':{'SpotInstances':'t'},'parameters':{"
    "'durationBeforeInterruption':'PT3M'},'startAfter':['pause']}}}";

static int ask(struct arena *a, const char *service, const char *operation, const char *single_quoted,
               const struct doc **ret, struct err *err)
{
    char *text = arena_strdup(a, single_quoted);
    struct doc *input, *output;

    for (char *p = text; *p; p++)
        *p = *p == '\'' ? '"' : *p;
    if (json_parse(a, str_of(text), &input, err) < 0)
        broken("%s: %s", text, err->text);
    if (doc_is(input, "AssumeRolePolicyDocument", "T"))
        doc_set_string(a, input, "AssumeRolePolicyDocument",
                       "{\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":\"Allow\",\"Principal\":{\"Service\":"
                       "\"fis.amazonaws.com\"},\"Action\":\"sts:AssumeRole\"}]}");
    if (engine_call(a, w.engine, NULL, "us-east-1", service, operation, input, &output, err) < 0)
        return -1;
    *ret = output;
    return 0;
}

void experiment_begin(void)
{
    _cleanup_arena_ struct arena *a = arena_new();
    const struct doc *output;
    struct err err;

    if (!EXPERIMENTS)
        return;
    if (ask(a, "iam", "CreateRole", "{'RoleName':'r','AssumeRolePolicyDocument':'T'}", &output, &err) < 0 ||
        ask(a, "iam", "AttachRolePolicy", "{'RoleName':'r','PolicyArn':"
            "'arn:aws:iam::aws:policy/service-role/AWSFaultInjectionSimulatorEC2Access'}", &output, &err) < 0 ||
        ask(a, "fis", "CreateExperimentTemplate", template, &output, &err) < 0 || store_commit(w.store, &err) < 0)
        broken("an experiment: %s", err.text);
    w.template = arena_strdup(w.fleet_arena, doc_text(output, "experimentTemplate.id"));
}

void experiment_move(void)
{
    _cleanup_arena_ struct arena *a = arena_new();
    const struct doc *output;
    struct err err;

    if (!EXPERIMENTS || !w.engine)
        return;
    if (chance(F_SPOT, 60) &&
        ask(a, "fis", "StartExperiment", arena_printf(a, "{'clientToken':'%d','experimentTemplateId':'%s'}",
                                                      w.experiments++, w.template), &output, &err) == 0) {
        w.experiment = arena_strdup(w.fleet_arena, doc_text(output, "experiment.id"));
        tell("the experiment %s begins", w.experiment);
    }
    if (w.experiment && chance(F_SPOT, 20) &&
        ask(a, "fis", "StopExperiment", arena_printf(a, "{'id':'%s'}", w.experiment), &output, &err) == 0)
        tell("the experiment %s is stopped", w.experiment);
}

static void rows_of(struct arena *a, struct row **ret, int *ret_count)
{
    struct row_filter all = { .kind = fis_kinds[0]->name, .limit = 1000 };
    struct err err;

    if (store_row_list(a, w.store, &all, ret, ret_count, &all.after, &err) < 0)
        broken("experiments cannot be listed: %s", err.text);
}

static bool has_ended(const char *status)
{
    static const char *const over[] = { "completed", "stopped", "failed", "cancelled", "skipped" };

    for (size_t i = 0; i < sizeof over / sizeof *over; i++)
        if (strcmp(status, over[i]) == 0)
            return true;
    return false;
}

bool experiment_settled(struct arena *a)
{
    struct row *rows;
    int count;

    rows_of(a, &rows, &count);
    for (int i = 0; i < count; i++)
        if (!has_ended(rows[i].state))
            return false;
    return true;
}

void experiment_check(struct arena *a)
{
    struct row *rows;
    int count;

    rows_of(a, &rows, &count);
    for (int i = 0; i < count; i++) {
        const struct doc *actions = doc_get(rows[i].status, "actions");

        if (!has_ended(rows[i].state))
            broken("the experiment %s is %s", rows[i].name, rows[i].state);
        for (size_t k = 0; k < doc_member_count(actions, ""); k++) {
            const struct doc *action = actions->members[k].value;

            if (!has_ended(doc_text(action, "status")) || !doc_has(action, "endTime"))
                broken("the experiment %s is %s and its action %s %s", rows[i].name, rows[i].state,
                       actions->members[k].key, doc_text(action, "status"));
            if (strcmp(rows[i].state, "completed") == 0 && !doc_is(action, "status", "completed") &&
                !doc_is(action, "status", "skipped"))
                broken("the experiment %s is completed, and its action %s is %s", rows[i].name,
                       actions->members[k].key, doc_text(action, "status"));
        }
    }
}
