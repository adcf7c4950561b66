/* Experiments on the simulated runtime and a clock turned by hand: who is interrupted, when, and what is told of it. */
#include "services/events/events.h"
#include "services/fis/fis.h"
#include "services/iam/identity.h"
#include "services/logs/logs.h"

#include "job_world.h"

#define ACCESS "arn:aws:iam::aws:policy/service-role/AWSFaultInjectionSimulatorEC2Access"

enum { MINUTE_MS = 60000 };

/* Calls and what follows from them at once. */
static const struct doc *done(const char *service, const char *operation, struct doc *input)
{
    const struct doc *output = must(service, operation, input);

    settle();
    return output;
}

/* In these words, among others. */
static void wrong(const char *operation, struct doc *input, const char *words)
{
    if (try("fis", operation, input))
        fail_msg("%s is done: %s", operation, words);
    if (!strstr(w.err.text, words))
        fail_msg("%s: %s", w.err.text, words);
}

/* As 'later', with a look whenever one is due. */
static void go_by(int64_t ms)
{
    for (int64_t until_ms = w.now_ms + ms; w.now_ms < until_ms;)
        later((w.next_ms < until_ms && w.next_ms > w.now_ms ? w.next_ms : until_ms) - w.now_ms);
}

/* The role that templates name. */
static void make_role(void)
{
    struct doc *role = json("{'RoleName':'train-it-well'}");

    doc_set_string(w.arena, role, "AssumeRolePolicyDocument",
                   "{\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":\"Allow\",\"Principal\":{\"Service\":"
                   "[\"fis.amazonaws.com\",\"sagemaker.amazonaws.com\"]},\"Action\":\"sts:AssumeRole\"}]}");
    done("iam", "CreateRole", role);
    done("iam", "AttachRolePolicy", json("{'RoleName':'train-it-well','PolicyArn':'" ACCESS "'}"));
}

static int begin(void **state)
{
    static const struct service_ops *const services[] = { &sagemaker_ops, &sts_ops, &fis_ops, &iam_ops, &events_ops,
                                                          &logs_ops, NULL };
    static const struct kind *kinds[3] = { &training_job };

    kinds[1] = fis_kinds[0];
    jobs_make();
    w.goes_on = true;
    w.fleet = fleet_of_slots(w.arena, "local", 4, 0);
    w.platform.machine.cores = 4;
    w.parts.services = services;
    w.parts.kinds = kinds;
    w.parts.changed = events_of_change;
    jobs_start();
    make_role();
    return 0;
}

/* --- Jobs --- */

static void train(const char *name, bool spot, const char *team)
{
    done("sagemaker", "CreateTrainingJob", json(
        "{'TrainingJobName':'%s','RoleArn':'" ROLE "','AlgorithmSpecification':{'TrainingImage':'x',"
        "'TrainingInputMode':'File'},'OutputDataConfig':{'S3OutputPath':'s3://b/o'},"
        "'ResourceConfig':{'InstanceType':'ml.m5.large','InstanceCount':1,'VolumeSizeInGB':1},"
        "'Tags':[{'Key':'team','Value':'%s'}],'StoppingCondition':{'MaxRuntimeInSeconds':36000%s", name, team,
        spot ? ",'MaxWaitTimeInSeconds':36000},'EnableManagedSpotTraining':true}" : "}}"));
}

static const char *agent_of(const char *job)
{
    const char *agent = agent_with("job_name", job);

    if (!agent)
        fail_msg("%s has no agent", job);
    return agent;
}

/* The jobs train. */
static void all_report(void)
{
    int count;
    const char *const *names = agents(&count);

    for (int i = 0; i < count; i++) {
        sim_report(w.runtime, names[i], "Starting", "");
        sim_report(w.runtime, names[i], "Training", "");
        engine_touch(w.engine, doc_text(sim_order(w.runtime, names[i]), "uid"));
    }
    settle();
}

static const char *secondary(const char *job)
{
    return doc_text(done("sagemaker", "DescribeTrainingJob", json("{'TrainingJobName':'%s'}", job)), "SecondaryStatus");
}

static void end_as_told(const char *job)
{
    const char *agent = agent_of(job), *uid = doc_text(sim_order(w.runtime, agent), "uid");

    sim_end(w.runtime, agent, "Stopped", "", 0);
    engine_touch(w.engine, uid);
    settle();
}

/* --- Experiments --- */

static const char *template(const char *targets, const char *actions, const char *more)
{
    static int token;

    return doc_text(done("fis", "CreateExperimentTemplate", json(
        "{'clientToken':'%d','description':'d','roleArn':'" ROLE "','stopConditions':[{'source':'none'}],'targets':%s,"
        "'actions':%s%s}", token++, targets, actions, more)), "experimentTemplate.id");
}

static const char *start(const char *template_id, const char *more)
{
    return doc_text(done("fis", "StartExperiment", json("{'clientToken':'%s','experimentTemplateId':'%s'%s}",
                                                        template_id, template_id, more)), "experiment.id");
}

static const struct doc *look(const char *id, const char *path)
{
    return doc_at(done("fis", "GetExperiment", json("{'id':'%s'}", id)), path);
}

static void is_at(const char *id, const char *state)
{
    assert_string_equal(doc_value_text(look(id, "experiment.state.status")), state);
}

static void action_is_at(const char *id, const char *action, const char *state)
{
    const struct doc *actions = look(id, "experiment.actions");

    assert_string_equal(doc_text(doc_get(actions, action), "state.status"), state);
}

#define REDS      "{'reds':{'resourceType':'aws:ec2:spot-instance','selectionMode':'ALL'," \
                  "'resourceTags':{'team':'red'}}}"
#define INTERRUPT "'actionId':'aws:ec2:send-spot-instance-interruptions','targets':{'SpotInstances':'reds'}"

/* The types of EC2's events so far, and the states of the experiment's, one a line. */
static const char *heard(void)
{
    const struct doc *output;
    struct doc *event;
    char *all = "";

    settle();
    output = try("logs", "GetLogEvents", json("{'logGroupName':'g','logStreamName':'all/t','startFromHead':true}"));
    if (!output)
        return "";
    for (size_t i = 0; i < doc_count(output, "events"); i++) {
        assert_int_equal(json_parse(w.arena, str_of(doc_text(doc_get(output, "events")->items[i], "message")), &event,
                                    &w.err), 0);
        all = arena_printf(w.arena, "%s%s\n", all,
                           doc_is(event, "source", "aws.fis") ? doc_text(event, "detail.new-state.status")
                                                              : doc_text(event, "detail-type"));
    }
    return all;
}

static void listen_to_all(void)
{
    struct doc *rule = json("{'Name':'all'}");

    doc_set_string(w.arena, rule, "EventPattern", "{\"source\":[\"aws.ec2\",\"aws.fis\"]}");
    done("events", "PutRule", rule);
    done("events", "PutTargets",
         json("{'Rule':'all','Targets':[{'Id':'t','Arn':'arn:aws:logs:us-east-1:111122223333:log-group:g'}]}"));
}

/* A recommendation at once, the notice two minutes before, over a death of the control plane; then what came of it. */
static void test_a_job_is_interrupted_in_time(void **state)
{
    const char *id;

    listen_to_all();
    train("red-job", true, "red");
    train("blue-job", true, "blue");
    train("paid-job", false, "red");
    all_report();
    id = start(template(REDS, "{'a':{" INTERRUPT ",'parameters':{'durationBeforeInterruption':'PT5M'}}}", ""), "");
    is_at(id, "running");
    assert_string_equal(heard(), "initiating\nrunning\nEC2 Instance Rebalance Recommendation\n");
    go_by(2 * MINUTE_MS);
    jobs_stop();
    jobs_start();
    go_by(MINUTE_MS - 1000);
    assert_int_equal(w.stops, 0);
    go_by(1000);
    assert_true(w.stops > 0);
    assert_string_equal(heard(), "initiating\nrunning\nEC2 Instance Rebalance Recommendation\n"
                                 "EC2 Spot Instance Interruption Warning\n");
    is_at(id, "running"); /* it was told; nothing has ended yet */
    end_as_told("red-job");
    go_by(1000);
    is_at(id, "completed");
    action_is_at(id, "a", "completed");
    assert_string_equal(secondary("blue-job"), "Training");
    assert_string_equal(secondary("paid-job"), "Training");
    assert_true(doc_count(done("sagemaker", "DescribeTrainingJob", json("{'TrainingJobName':'red-job'}")),
                          "SecondaryStatusTransitions") > 3);
    assert_string_equal(heard(), "initiating\nrunning\nEC2 Instance Rebalance Recommendation\n"
                                 "EC2 Spot Instance Interruption Warning\ncompleted\n");
}

/* The role may do what its policies say; without it, nobody is interrupted. */
static void test_the_role_is_asked(void **state)
{
    const char *id;

    train("red-job", true, "red");
    all_report();
    done("iam", "DetachRolePolicy", json("{'RoleName':'train-it-well','PolicyArn':'" ACCESS "'}"));
    id = start(template(REDS, "{'a':{" INTERRUPT ",'parameters':{'durationBeforeInterruption':'PT2M'}}}", ""), "");
    is_at(id, "failed");
    action_is_at(id, "a", "failed");
    assert_non_null(strstr(doc_value_text(look(id, "experiment.state.reason")),
                           "is not authorized to perform: ec2:SendSpotInstanceInterruptions on resource: "
                           "arn:aws:ec2:"));
    assert_int_equal(w.stops, 0);
}

static void test_order_and_stop(void **state)
{
    const char *id;

    train("red-job", true, "red");
    all_report();
    id = start(template(REDS, "{'first':{'actionId':'aws:fis:wait','parameters':{'duration':'PT1M'}},"
                              "'then':{" INTERRUPT ",'startAfter':['first'],'parameters':{"
                              "'durationBeforeInterruption':'PT10M'}},'last':{'actionId':'aws:fis:wait',"
                              "'startAfter':['then'],'parameters':{'duration':'PT1H'}}}", ""), "");
    action_is_at(id, "first", "running");
    action_is_at(id, "then", "pending");
    go_by(MINUTE_MS);
    action_is_at(id, "first", "completed");
    action_is_at(id, "then", "running");
    done("fis", "StopExperiment", json("{'id':'%s'}", id));
    is_at(id, "stopped");
    action_is_at(id, "then", "stopped");
    action_is_at(id, "last", "cancelled");
    go_by(30 * MINUTE_MS);
    assert_int_equal(w.stops, 0); /* the notice that had not come does not come */
    wrong("StopExperiment", json("{'id':'%s'}", id), "there is nothing to stop");
}

static void test_a_job_that_has_ended_by_itself(void **state)
{
    const char *id, *agent;

    train("red-job", true, "red");
    all_report();
    id = start(template(REDS, "{'a':{" INTERRUPT ",'parameters':{'durationBeforeInterruption':'PT5M'}}}", ""), "");
    agent = agent_of("red-job");
    sim_end(w.runtime, agent, "Completed", "", 0);
    engine_touch(w.engine, doc_text(sim_order(w.runtime, agent), "uid"));
    go_by(15000);
    is_at(id, "completed");
    assert_int_equal(w.stops, 0);
}

static void test_nobody_fits(void **state)
{
    const char *actions = "{'a':{" INTERRUPT ",'parameters':{'durationBeforeInterruption':'PT2M'}}}", *id;

    train("blue-job", true, "blue");
    all_report();
    id = start(template(REDS, actions, ""), "");
    is_at(id, "failed");
    action_is_at(id, "a", "cancelled");
    id = start(template(REDS, actions, ",'experimentOptions':{'emptyTargetResolutionMode':'skip'}"), "");
    is_at(id, "completed");
    action_is_at(id, "a", "skipped");
}

static void test_how_many(void **state)
{
    const struct doc *o;
    const char *id;

    for (int i = 0; i < 4; i++)
        train(arena_printf(w.arena, "red-%d", i), true, "red");
    all_report();
    id = start(template("{'reds':{'resourceType':'aws:ec2:spot-instance','selectionMode':'PERCENT(75)','resourceTags':{"
                        "'team':'red'},'filters':[{'path':'State.Name','values':['running']}]},'one':{'resourceType':"
                        "'aws:ec2:spot-instance','selectionMode':'COUNT(1)','resourceArns':["
                        "'arn:aws:sagemaker:us-east-1:111122223333:training-job/red-1']}}",
                        "{'a':{" INTERRUPT ",'parameters':{'durationBeforeInterruption':'PT2M'}}}", ""),
               ",'experimentOptions':{'actionsMode':'skip-all'}");
    is_at(id, "completed");
    action_is_at(id, "a", "skipped");
    o = done("fis", "ListExperimentResolvedTargets", json("{'experimentId':'%s','targetName':'reds'}", id));
    assert_int_equal(doc_count(o, "resolvedTargets"), 3);
    o = done("fis", "ListExperimentResolvedTargets", json("{'experimentId':'%s'}", id));
    assert_int_equal(doc_count(o, "resolvedTargets"), 4);
    assert_int_equal(w.stops, 0);
}

static void test_templates(void **state)
{
    const char *id = template(REDS, "{'a':{" INTERRUPT ",'parameters':{'durationBeforeInterruption':'PT2M'}}}",
                              ",'tags':{'k':'v'}"), *arn;
    const struct doc *o = done("fis", "GetExperimentTemplate", json("{'id':'%s'}", id));

    arn = doc_text(o, "experimentTemplate.arn");
    assert_string_equal(doc_text(o, "experimentTemplate.experimentOptions.emptyTargetResolutionMode"), "fail");
    done("fis", "UpdateExperimentTemplate", json("{'id':'%s','description':'other'}", id));
    o = done("fis", "ListExperimentTemplates", json("{}"));
    assert_string_equal(doc_text(o, "experimentTemplates[0].description"), "other");
    done("fis", "TagResource", json("{'resourceArn':'%s','tags':{'l':'w'}}", arn));
    done("fis", "UntagResource", json("{'resourceArn':'%s','tagKeys':['k']}", arn));
    o = done("fis", "ListTagsForResource", json("{'resourceArn':'%s'}", arn));
    assert_string_equal(json_text(w.arena, doc_get(o, "tags")), "{\"l\":\"w\"}");
    done("fis", "DeleteExperimentTemplate", json("{'id':'%s'}", id));
    wrong("GetExperimentTemplate", json("{'id':'%s'}", id), "does not exist");
    wrong("StartExperiment", json("{'clientToken':'x','experimentTemplateId':'%s'}", id), "does not exist");
}

static void test_templates_that_are_wrong(void **state)
{
    static const struct {
        const char *targets, *actions, *more, *words;
    } cases[] = {
        { "{}", "{}", "", "needs an action" },
        { "{}", "{'a':{'actionId':'aws:ec2:stop-instances'}}", "", "is not here. Actions that are: aws:ec2:send-spot" },
        { "{}", "{'a':{'actionId':'aws:fis:wait'}}", "", "requires the parameter duration" },
        { "{}", "{'a':{'actionId':'aws:fis:wait','parameters':{'duration':'1m'}}}", "", "duration is 1m" },
        { "{}", "{'a':{'actionId':'aws:fis:wait','parameters':{'duration':'PT13H'}}}", "", "PT1M to PT12H" },
        { REDS, "{'a':{" INTERRUPT ",'parameters':{'durationBeforeInterruption':'PT16M'}}}", "", "PT2M to PT15M" },
        { "{}", "{'a':{" INTERRUPT ",'parameters':{'durationBeforeInterruption':'PT2M'}}}", "", "has no target reds" },
        { "{}", "{'a':{'actionId':'aws:fis:wait','parameters':{'duration':'PT1M'},'startAfter':['b']}}", "",
          "starts after one that" },
        { "{}", "{'a':{'actionId':'aws:fis:wait','parameters':{'duration':'PT1M'},'startAfter':['b']},"
                "'b':{'actionId':'aws:fis:wait','parameters':{'duration':'PT1M'},'startAfter':['a']}}", "",
          "starts after itself" },
        { "{'t':{'resourceType':'aws:ec2:instance','selectionMode':'ALL','resourceTags':{'a':'b'}}}",
          "{'a':{'actionId':'aws:fis:wait','parameters':{'duration':'PT1M'}}}", "", "aws:ec2:instance is not here" },
        { "{'t':{'resourceType':'aws:ec2:spot-instance','selectionMode':'SOME','resourceTags':{'a':'b'}}}",
          "{'a':{'actionId':'aws:fis:wait','parameters':{'duration':'PT1M'}}}", "", "must be ALL, COUNT(n)" },
        { "{'t':{'resourceType':'aws:ec2:spot-instance','selectionMode':'ALL'}}",
          "{'a':{'actionId':'aws:fis:wait','parameters':{'duration':'PT1M'}}}", "",
          "either resourceArns or resourceTags" },
        { "{}", "{'a':{'actionId':'aws:fis:wait','parameters':{'duration':'PT1M'}}}",
          ",'logConfiguration':{'logSchemaVersion':2}", "logConfiguration is not here" },
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        wrong("CreateExperimentTemplate",
                json("{'clientToken':'w%zu','description':'d','roleArn':'" ROLE "',"
                     "'stopConditions':[{'source':'none'}],'targets':%s,'actions':%s%s}", i, cases[i].targets,
                     cases[i].actions, cases[i].more),
                cases[i].words);
    wrong("CreateExperimentTemplate",
            json("{'clientToken':'alarm','description':'d','roleArn':'" ROLE "','stopConditions':[{'source':"
                 "'aws:cloudwatch:alarm','value':'arn:aws:cloudwatch:us-east-1:111122223333:alarm:a'}],'actions':{'a':{"
                 "'actionId':'aws:fis:wait','parameters':{'duration':'PT1M'}}}}"),
            "CloudWatch alarms are not");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_job_is_interrupted_in_time, begin, jobs_end),
        cmocka_unit_test_setup_teardown(test_the_role_is_asked, begin, jobs_end),
        cmocka_unit_test_setup_teardown(test_order_and_stop, begin, jobs_end),
        cmocka_unit_test_setup_teardown(test_a_job_that_has_ended_by_itself, begin, jobs_end),
        cmocka_unit_test_setup_teardown(test_nobody_fits, begin, jobs_end),
        cmocka_unit_test_setup_teardown(test_how_many, begin, jobs_end),
        cmocka_unit_test_setup_teardown(test_templates, begin, jobs_end),
        cmocka_unit_test_setup_teardown(test_templates_that_are_wrong, begin, jobs_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
