/* Reports that no agent of ours writes, looked at by the reconcile of a training job: whatever stands in one, the job
 * goes on to an end, and can be described. */
#include "doc/json.h"
#include "services/admin/node_words.h"

#include "job_world.h"

enum { LOOK_MS = 16000, LOOKS_MOST = 20 };

static const char *const members[] = {
    "version", "sequence", "node", "noticed", "waiting", "started_ms", "ended_ms", "outcome", "failure_reason",
    "exit_message", "message", "exit_code", "overran_ms", "billable_ms", "final_metrics", "model_artifacts", "address",
    "port", "healthy", "checkpoint", "checks", "unhealthy", "quiet", "silent", "warned", "gpu_fault", "phases",
};

static const char *const values[] = {
    "null", "true", "-1", "0", "9223372036854775807", "-9223372036854775808", "1e300", "0.5", "\"\"", "\"x\\u0000y\"",
    "\"\\u001b[2J\\n%s%n\"", "[]", "{}", "[null,[],{},\"\",7]", "{\"a\":1,\"b\":{\"c\":[]}}",
    "{\"phase\":\"Ended\",\"at_ms\":9223372036854775807,\"why\":[],\"check\":{},\"blames\":\"algo-17\"}",
    "{\"since_ms\":9223372036854775807,\"why\":\"\",\"count\":-1,\"advice\":[],\"uuid\":{},\"broken\":true}",
    "[{\"phase\":\"Training\",\"at_ms\":\"x\",\"message\":7},{\"phase\":\"Starting\",\"at_ms\":-1,\"name\":[]}]",
};

static int begin(void **state)
{
    jobs_make();
    w.fleet = fleet_of_slots(w.arena, "local", 2, 0);
    jobs_start();
    return 0;
}

static void create(const char *name)
{
    call("CreateTrainingJob",
         arena_printf(w.arena,
                      "{'TrainingJobName':'%s','RoleArn':'" ROLE "','AlgorithmSpecification':{'TrainingImage':'x',"
                      "'TrainingInputMode':'File'},'OutputDataConfig':{'S3OutputPath':'s3://b/o'},"
                      "'ResourceConfig':{'InstanceType':'ml.m5.large','InstanceCount':1,'VolumeSizeInGB':1},"
                      "'StoppingCondition':{'MaxRuntimeInSeconds':3600,'MaxWaitTimeInSeconds':7200},"
                      "'EnableManagedSpotTraining':true}", name));
    settle();
}

static const char *state_of(const char *name)
{
    return doc_text(call("DescribeTrainingJob", arena_printf(w.arena, "{'TrainingJobName':'%s'}", name)),
                    "TrainingJobStatus");
}

/* As the door of the nodes has it. */
static const struct doc *value_of(const char *member, const char *text)
{
    struct doc *d;

    assert_int_equal(json_parse(w.arena, str_of(arena_printf(w.arena, "{\"%s\":%s}", member, text)), &d, &w.err), 0);
    node_words_bound(d, w.now_ms - 1000, w.now_ms);
    return doc_get(d, member);
}

static bool is_over(const char *name)
{
    int count;

    agents(&count);
    return strcmp(state_of(name), "InProgress") != 0 && count == 0;
}

/* What is told while it trains, or with its end; an attempt that comes after it is ended as it should be. */
static void live_through(const char *name, const char *member, const char *text, bool at_its_end)
{
    int looks = 0, count;

    create(name);
    sim_report(w.runtime, only_agent(), "Training", "");
    if (at_its_end)
        sim_end(w.runtime, only_agent(), "Completed", "", 0);
    sim_set(w.runtime, only_agent(), member, value_of(member, text));
    while (!is_over(name) && looks++ < LOOKS_MOST) {
        later(LOOK_MS);
        if (looks > 2 && (agents(&count), count == 1))
            sim_end(w.runtime, only_agent(), "Completed", "", 0);
    }
    if (!is_over(name))
        fail_msg("\"%s\":%s %s: the job does not end", member, text, at_its_end ? "at its end" : "while it trains");
}

static void whatever_stands_there(void **state)
{
    for (size_t m = 0; m < sizeof members / sizeof *members; m++)
        for (size_t v = 0; v < sizeof values / sizeof *values; v++)
            for (int end = 0; end < 2; end++)
                live_through(arena_printf(w.arena, "j-%zu-%zu-%d", m, v, end), members[m], values[v], end);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test_setup_teardown(whatever_stands_there, begin, jobs_end) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
