/* ProcessingJob on the simulated runtime: what is asked of agents, what is told of their ends, and what is never
 * done. */
#include <string.h>

#include "base/str.h"
#include "base/rand.h"
#include "doc/json.h"
#include "engine/engine.h"
#include "run/runtime.h"
#include "services/platform.h"
#include "services/sagemaker/allocation.h"
#include "services/sagemaker/kinds.h"
#include "store/store.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#define ROLE "arn:aws:iam::111122223333:role/train-it-well"

static struct {
    struct clock clock;
    int64_t now_ms, next_ms;
    struct rand rand;
    struct store *store;
    struct runtime *runtime;
    struct platform platform;
    struct fleet fleet;
    struct engine *engine;
    struct arena *arena;
    struct err err;
} w;

static int64_t now(struct clock *c)
{
    return w.now_ms;
}

static bool never(void *context, const char *name, const struct doc *order)
{
    return false;
}

static bool not_yet(void *context, const char *name)
{
    return false;
}

static int assume_role(struct call *c, struct err *err)
{
    return 0;
}

static int begin(void **state)
{
    static const struct op sts_ops[] = { { "AssumeRole", assume_role, OP_RUN, NULL, OP_OPEN }, {} };
    static const struct service_ops sts = { "sts", sts_ops };
    static const struct service_ops *const services[] = { &sagemaker_ops, &sts, NULL };

    memset(&w, 0, sizeof w);
    w.clock = (struct clock){ now, now };
    w.now_ms = 1700000000000;
    w.rand = rand_seeded(1);
    w.store = store_new_memory();
    w.runtime = sim_runtime_new(&w.clock, &(struct sim_hooks){ .ends_at_once = never, .stops_at_once = not_yet });
    w.arena = arena_new();
    w.fleet = fleet_of_slots(w.arena, "local", *state ? 2 : 1, 0);
    w.platform = (struct platform){ .account = "111122223333", .default_region = "us-east-1", .api_socket = "/a",
                                    .admin_socket = "/b", .rand = &w.rand,
                                    .fleet = &w.fleet, .machine = { 2, (int64_t)8 << 30, 0 },
                                    .allocations = allocations_new(&w.fleet, &w.clock) };
    return engine_new(&(struct engine_world){ .store = w.store, .clock = &w.clock, .rand = &w.rand,
                                               .runtime = w.runtime, .services = services, .kinds = sagemaker_kinds,
                                               .default_region = "us-east-1", .account = "111122223333",
                                               .context = &w.platform },
                      &w.engine, &w.err);
}

static int end(void **state)
{
    engine_free(w.engine);
    allocations_free(w.platform.allocations);
    runtime_free(w.runtime);
    store_free(w.store);
    arena_free(w.arena);
    return 0;
}

static void settle(void)
{
    for (int i = 0; i < 20; i++) {
        assert_int_equal(engine_commit(w.engine, &w.err), 0);
        allocations_turn(w.engine);
        engine_reconcile(w.engine, 100, &w.next_ms);
        assert_int_equal(engine_commit(w.engine, &w.err), 0);
        if (w.next_ms > w.now_ms && allocations_due_ms(w.engine) > w.now_ms)
            return;
    }
    fail_msg("it does not come to rest");
}

static void later(int64_t ms)
{
    w.now_ms += ms;
    settle();
}

static int try(const char *operation, const char *json, const struct doc **ret)
{
    struct doc *input, *output = NULL;
    char *text = arena_strdup(w.arena, json);
    int r;

    for (char *p = text; *p; p++)
        *p = *p == '\'' ? '"' : *p;
    if (json_parse(w.arena, str_of(text), &input, &w.err) < 0)
        fail_msg("%s: %s", text, w.err.text);
    r = engine_call(w.arena, w.engine, NULL, "us-east-1", "sagemaker", operation, input, &output, &w.err);
    *ret = output;
    return r;
}

static const struct doc *call(const char *operation, const char *json)
{
    const struct doc *output;

    if (try(operation, json, &output) < 0)
        fail_msg("%s: %s", operation, w.err.text);
    return output;
}

#define RESOURCES "'ProcessingResources':{'ClusterConfig':{'InstanceType':'ml.m5.large','InstanceCount':1," \
                  "'VolumeSizeInGB':3}}"
#define RUN "'AppSpecification':{'ImageUri':'sagemaker-base-python','ContainerEntrypoint':['python3','x.py']," \
            "'ContainerArguments':['1']}"

static void create(const char *name, const char *more)
{
    call("CreateProcessingJob",
         arena_printf(w.arena, "{'ProcessingJobName':'%s','RoleArn':'" ROLE "'," RESOURCES ",%s}", name, more));
    settle();
}

static const struct doc *describe(const char *name)
{
    return call("DescribeProcessingJob", arena_printf(w.arena, "{'ProcessingJobName':'%s'}", name));
}

static void assert_state(const char *name, const char *state, const char *reason)
{
    const struct doc *d = describe(name);

    assert_string_equal(doc_text(d, "ProcessingJobStatus"), state);
    assert_string_equal(doc_text(d, "FailureReason"), reason);
    assert_int_equal(doc_has(d, "ProcessingEndTime"),
                     strcmp(state, "InProgress") != 0 && strcmp(state, "Stopping") != 0);
}

static void create_pair(const char *name)
{
    call("CreateProcessingJob",
         arena_printf(w.arena,
                      "{'ProcessingJobName':'%s','RoleArn':'" ROLE "'," RUN ",'ProcessingResources':{"
                      "'ClusterConfig':{'InstanceType':'ml.m5.large','InstanceCount':2,'VolumeSizeInGB':1}}}",
                      name));
    settle();
}

/* The agent of a host; NULL: it is not there. */
static const char *agent_of(const char *host)
{
    const char *const *list;
    int count;

    assert_int_equal(runtime_list(w.runtime, w.arena, &list, &count, &w.err), 0);
    for (int i = 0; i < count; i++)
        if (doc_is(sim_order(w.runtime, list[i]), "host_name", host))
            return list[i];
    return NULL;
}

/* The only agent that is there; "" for none. */
static const char *agent(void)
{
    const char *const *list;
    int count;

    assert_int_equal(runtime_list(w.runtime, w.arena, &list, &count, &w.err), 0);
    assert_in_range(count, 0, 1);
    return count ? list[0] : "";
}

static const struct doc *usage(void)
{
    struct doc *d;

    assert_int_equal(usage_scan(w.arena, w.engine, 0, INT64_MAX, &d, &w.err), 0);
    return d;
}

static void an_agent_is_told_what_to_do(void **state)
{
    const struct doc *order, *config;

    create("j", RUN ",'Environment':{'A':'1'},'ProcessingInputs':["
                    "{'InputName':'d','S3Input':{'S3Uri':'s3://b/d','LocalPath':'/opt/ml/processing/d','S3DataType':"
                    "'ManifestFile','S3DataDistributionType':'ShardedByS3Key'}},"
                    "{'InputName':'mine','AppManaged':true}],"
                    "'ProcessingOutputConfig':{'Outputs':[{'OutputName':'o','S3Output':{'S3Uri':'s3://b/o','LocalPath':"
                    "'/opt/ml/processing/o','S3UploadMode':'Continuous'}}]},"
                    "'NetworkConfig':{'EnableNetworkIsolation':true}");
    order = sim_order(w.runtime, agent());
    assert_string_equal(doc_text(order, "work"), "process");
    assert_string_equal(doc_text(order, "log_group"), "/aws/sagemaker/ProcessingJobs");
    assert_string_equal(doc_text(order, "log_stream"), "j/algo-1-1700000000");
    assert_string_equal(doc_value_text(doc_get(order, "entrypoint")->items[1]), "x.py");
    assert_true(doc_bool(order, "isolated", false));
    assert_int_equal(doc_int(order, "max_runtime_s", 0), 86400);
    assert_int_equal(doc_int(order, "limits.disk_bytes", 0), (int64_t)3 << 30);
    assert_int_equal(doc_count(order, "channels"), 1);
    assert_string_equal(doc_text(order, "channels[0].distribution"), "ShardedByS3Key");
    assert_string_equal(doc_text(order, "outputs[0].upload_mode"), "Continuous");
    config = doc_get(order, "job_config");
    assert_string_equal(doc_text(config, "ProcessingInputs[0].S3Input.S3DownloadMode"), "StartOfJob");
    assert_string_equal(doc_text(config, "ProcessingInputs[0].S3Input.S3InputMode"), "File");
    assert_int_equal(doc_int(config, "StoppingCondition.MaxRuntimeInSeconds", 0), 86400);
    assert_int_equal(doc_int(call("DescribeProcessingJob", "{'ProcessingJobName':'j'}"),
                             "StoppingCondition.MaxRuntimeInSeconds", 0), 86400);
    assert_string_equal(doc_text(config, "ProcessingJobArn"),
                        "arn:aws:sagemaker:us-east-1:111122223333:processing-job/j");
}

static void a_job_completes_and_is_paid_for(void **state)
{
    const char *name;

    create("j", RUN);
    name = agent();
    assert_state("j", "InProgress", "");
    assert_false(doc_has(describe("j"), "ProcessingStartTime"));
    w.now_ms += 1000;
    sim_report(w.runtime, name, "Downloading", "");
    later(20000);
    assert_int_equal(doc_int(describe("j"), "ProcessingStartTime", 0), 1700000001000);
    sim_report(w.runtime, name, "Processing", "");
    later(9000);
    sim_end(w.runtime, name, "Completed", "", 0);
    later(20000);
    assert_state("j", "Completed", "");
    assert_string_equal(agent(), "");
    assert_int_equal(usage()->count, 1);
    assert_string_equal(doc_text(usage()->items[0], "work"), "processing");
    assert_false(doc_bool(usage()->items[0], "open", true));
    assert_int_equal(doc_int(usage()->items[0], "to_ms", 0) - doc_int(usage()->items[0], "from_ms", 0), 29000);
    assert_int_equal(allocations_instances(w.platform.allocations), 0);
    call("DeleteProcessingJob", "{'ProcessingJobName':'j'}");
    settle();
    assert_int_equal(doc_count(call("ListProcessingJobs", "{}"), "ProcessingJobSummaries"), 0);
}

static void ends_are_told(void **state)
{
    static const struct {
        const char *outcome, *reason, *state, *told;
    } ends[] = {
        { "Failed", "AlgorithmError: x, exit code: 1", "Failed", "AlgorithmError: x, exit code: 1" },
        { "MaxRuntimeExceeded", "", "Stopped", "Job runtime exceeded MaxRuntimeInSeconds" },
        { "Stopped", "", "Stopped", "" },
    };

    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        const char *job = arena_printf(w.arena, "j%zu", i);

        create(job, RUN);
        sim_report(w.runtime, agent(), "Processing", "");
        sim_end(w.runtime, agent(), ends[i].outcome, ends[i].reason, 1);
        later(20000);
        assert_state(job, ends[i].state, ends[i].told);
    }
}

static void a_stop_waits_for_the_outputs(void **state)
{
    const struct doc *ignored;

    create("j", RUN);
    sim_report(w.runtime, agent(), "Processing", "");
    later(20000);
    call("StopProcessingJob", "{'ProcessingJobName':'j'}");
    assert_state("j", "Stopping", "");
    settle();
    call("StopProcessingJob", "{'ProcessingJobName':'j'}");
    assert_int_equal(try("DeleteProcessingJob", "{'ProcessingJobName':'j'}", &ignored), -1);
    assert_string_equal(w.err.code, "ResourceInUse");
    later(20000);
    assert_state("j", "Stopping", "");
    sim_end(w.runtime, agent(), "Stopped", "", 143);
    later(20000);
    assert_state("j", "Stopped", "");
    assert_int_equal(try("StopProcessingJob", "{'ProcessingJobName':'j'}", &ignored), -1);
}

static void who_waits_in_line_can_be_stopped(void **state)
{
    const char *first;

    create("j", RUN); /* there is room for one */
    first = agent();
    create("k", RUN);
    assert_string_equal(agent(), first);
    call("StopProcessingJob", "{'ProcessingJobName':'k'}");
    settle();
    assert_state("k", "Stopped", "");
    create("l", RUN);
    sim_report(w.runtime, first, "Processing", "");
    sim_end(w.runtime, first, "Completed", "", 0);
    later(20000);
    assert_state("j", "Completed", "");
    assert_string_not_equal(agent(), first);
    assert_string_not_equal(agent(), "");
}

static void what_was_seen_is_never_started_again(void **state)
{
    const char *name;

    create("j", RUN);
    name = agent();
    sim_lose(w.runtime, name);
    later(20000);
    assert_int_equal(sim_count(w.runtime, name), 2); /* nobody had seen it */
    sim_report(w.runtime, name, "Processing", "");
    sim_end(w.runtime, name, "Completed", "", 0);
    later(20000);
    create("k", RUN);
    name = agent();
    sim_report(w.runtime, name, "Processing", "");
    later(20000);
    sim_lose(w.runtime, name);
    later(20000);
    assert_int_equal(sim_count(w.runtime, name), 1);
    assert_string_equal(agent(), "");
    assert_state("k", "Failed", "InternalServerError: instance unhealthy: the instance was lost, with its data. "
                                "Start the job again.");
    for (uint32_t i = 0; i < usage()->count; i++) {
        assert_false(doc_bool(usage()->items[i], "open", true));
        assert_int_equal(doc_has(usage()->items[i], "waived"),
                         text_ends(doc_text(usage()->items[i], "owner_arn"), "/k"));
    }
}

static void instances_know_each_other(void **state)
{
    const struct doc *ignored, *order;

    create_pair("j");
    order = sim_order(w.runtime, agent_of("algo-2"));
    assert_int_equal(doc_count(order, "hosts"), 2);
    assert_string_equal(doc_text(order, "log_stream"), "j/algo-2-1700000000");
    assert_string_equal(doc_text(doc_get(order, "peers"), "algo-1"), agent_of("algo-1"));
    assert_string_equal(doc_text(doc_get(order, "peers"), "algo-2"), agent_of("algo-2"));
    assert_int_equal(allocations_instances(w.platform.allocations), 2);
    assert_int_equal(try("CreateProcessingJob",
                         "{'ProcessingJobName':'k','RoleArn':'" ROLE "'," RUN ",'ProcessingResources':{"
                         "'ClusterConfig':{'InstanceType':'ml.m5.large','InstanceCount':3,'VolumeSizeInGB':1}}}", &ignored), -1);
    assert_string_equal(w.err.code, "ResourceLimitExceeded");
}

static void a_job_is_over_when_all_are(void **state)
{
    create_pair("j");
    sim_report(w.runtime, agent_of("algo-1"), "Downloading", "");
    sim_report(w.runtime, agent_of("algo-2"), "Downloading", "");
    later(20000);
    sim_end(w.runtime, agent_of("algo-1"), "Completed", "", 0);
    later(20000);
    assert_state("j", "InProgress", "");
    assert_int_equal(usage()->count, 2);
    assert_int_not_equal(doc_bool(usage()->items[0], "open", false), doc_bool(usage()->items[1], "open", false));
    sim_end(w.runtime, agent_of("algo-2"), "Completed", "", 0);
    later(20000);
    assert_state("j", "Completed", "");
    assert_int_equal(allocations_instances(w.platform.allocations), 0);
    assert_string_equal(agent(), "");
}

/* The others are told to end, and the job waits for them. */
static void one_that_fails_ends_all(void **state)
{
    create_pair("j");
    sim_report(w.runtime, agent_of("algo-1"), "Processing", "");
    sim_report(w.runtime, agent_of("algo-2"), "Processing", "");
    later(20000);
    sim_end(w.runtime, agent_of("algo-2"), "Failed", "AlgorithmError: two, exit code: 2", 2);
    later(20000);
    assert_state("j", "InProgress", "");
    sim_end(w.runtime, agent_of("algo-1"), "Stopped", "", 143);
    later(20000);
    assert_state("j", "Failed", "AlgorithmError: two, exit code: 2");
    assert_string_equal(agent(), "");
}

static void what_can_never_run_fails(void **state)
{
    create("j", "'AppSpecification':{'ImageUri':'sagemaker-scikit-learn:1.2-1'}");
    assert_string_equal(agent(), "");
    assert_non_null(strstr(doc_text(describe("j"), "FailureReason"),
                           "ClientError: The image sagemaker-scikit-learn:1.2-1 has no entry point for processing"));
    assert_int_equal(allocations_instances(w.platform.allocations), 0);
    assert_int_equal(usage()->count, 0);
    /* Arguments are the entry point's, of which there is none. */
    create("k", "'AppSpecification':{'ImageUri':'sagemaker-xgboost:1.7-1','ContainerArguments':['x']}");
    assert_string_equal(doc_text(describe("k"), "ProcessingJobStatus"), "Failed");
}

int main(void)
{
    static int two = 2;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(an_agent_is_told_what_to_do, begin, end),
        cmocka_unit_test_setup_teardown(a_job_completes_and_is_paid_for, begin, end),
        cmocka_unit_test_setup_teardown(ends_are_told, begin, end),
        cmocka_unit_test_setup_teardown(a_stop_waits_for_the_outputs, begin, end),
        cmocka_unit_test_setup_teardown(who_waits_in_line_can_be_stopped, begin, end),
        cmocka_unit_test_setup_teardown(what_was_seen_is_never_started_again, begin, end),
        cmocka_unit_test_setup_teardown(what_can_never_run_fails, begin, end),
        cmocka_unit_test_prestate_setup_teardown(instances_know_each_other, begin, end, &two),
        cmocka_unit_test_prestate_setup_teardown(a_job_is_over_when_all_are, begin, end, &two),
        cmocka_unit_test_prestate_setup_teardown(one_that_fails_ends_all, begin, end, &two),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
