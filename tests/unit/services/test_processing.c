/* ProcessingJob on the simulated runtime: what is asked of agents, what is told of their ends, and what is never
 * done. */
#include "base/str.h"
#include "services/sagemaker/waiting_list.h"

#include "job_world.h"

static int begin(void **state)
{
    jobs_make();
    w.goes_on = true;
    w.fleet = fleet_of_slots(w.arena, "local", *state ? 2 : 1, 0);
    jobs_start();
    return 0;
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

static const char *agent_of(const char *host)
{
    return agent_with("host_name", host);
}

static void assert_no_agent(void)
{
    int count;

    agents(&count);
    assert_int_equal(count, 0);
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
    order = sim_order(w.runtime, only_agent());
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

    create("j", RUN ",'Tags':[{'Key':'sagebrush:owner','Value':'ann'},{'Key':'team','Value':'red'}]");
    name = only_agent();
    assert_state("j", "InProgress", "");
    assert_false(doc_has(describe("j"), "ProcessingStartTime"));
    w.now_ms += 1000;
    sim_report(w.runtime, name, "Downloading", "");
    later(20000);
    assert_int_equal(doc_int(describe("j"), "ProcessingStartTime", 0), 1700000001000);
    sim_report(w.runtime, name, "Processing", "");
    later(9000);
    assert_true(doc_is(usage()->items[0], "tags[1].Value", "red"));
    call("AddTags", "{'ResourceArn':'arn:aws:sagemaker:us-east-1:111122223333:processing-job/j',"
                    "'Tags':[{'Key':'team','Value':'blue'}]}");
    sim_end(w.runtime, name, "Completed", "", 0);
    later(20000);
    assert_state("j", "Completed", "");
    assert_no_agent();
    assert_int_equal(usage()->count, 1);
    assert_string_equal(doc_text(usage()->items[0], "work"), "processing");
    assert_string_equal(doc_text(usage()->items[0], "share"), "ann");
    assert_false(doc_bool(usage()->items[0], "open", true));
    assert_int_equal(doc_int(usage()->items[0], "to_ms", 0) - doc_int(usage()->items[0], "from_ms", 0), 29000);
    assert_int_equal(allocations_instances(w.platform.allocations), 0);
    call("DeleteProcessingJob", "{'ProcessingJobName':'j'}");
    settle();
    assert_int_equal(doc_count(call("ListProcessingJobs", "{}"), "ProcessingJobSummaries"), 0);
    assert_true(doc_is(usage()->items[0], "tags[1].Key", "team")); /* its bill stays what it was */
    assert_true(doc_is(usage()->items[0], "tags[1].Value", "blue"));
}

static void begin_upload(const char *key)
{
    must("s3", "CreateMultipartUpload", json("{'Bucket':'bucket','Key':'%s'}", key));
}

/* What an agent was uploading when it was killed takes room that nobody sees; what others are uploading stays. */
static void what_was_not_uploaded_to_its_end_goes(void **state)
{
    const struct doc *left;
    struct principal agent;

    must("s3", "CreateBucket", json("{'Bucket':'bucket'}"));
    create("j", RUN ",'ProcessingOutputConfig':{'Outputs':[{'OutputName':'o','S3Output':{'S3Uri':'s3://bucket/out',"
                    "'LocalPath':'/opt/ml/processing/o','S3UploadMode':'Continuous'}}]}");
    agent = w.root;
    agent.access_key_id = doc_text(sim_order(w.runtime, only_agent()), "role.access_key_id");
    assert_true(*agent.access_key_id);
    w.who = &agent;
    begin_upload("out/a");
    begin_upload("out/b/c");
    begin_upload("elsewhere");
    w.who = NULL;
    begin_upload("out/a");
    sim_report(w.runtime, only_agent(), "Processing", "");
    later(20000);
    assert_int_equal(doc_count(must("s3", "ListMultipartUploads", json("{'Bucket':'bucket'}")), "Uploads"), 4);
    sim_end(w.runtime, only_agent(), "Failed", "InternalServerError: x", 1);
    later(20000);
    assert_no_agent();
    left = doc_get(must("s3", "ListMultipartUploads", json("{'Bucket':'bucket'}")), "Uploads");
    assert_int_equal(left->count, 2);
    assert_string_equal(doc_text(left->items[0], "Key"), "elsewhere");
    assert_string_equal(doc_text(left->items[1], "Key"), "out/a");
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
        sim_report(w.runtime, only_agent(), "Processing", "");
        sim_end(w.runtime, only_agent(), ends[i].outcome, ends[i].reason, 1);
        later(20000);
        assert_state(job, ends[i].state, ends[i].told);
    }
}

static void a_stop_waits_for_the_outputs(void **state)
{
    create("j", RUN);
    sim_report(w.runtime, only_agent(), "Processing", "");
    later(20000);
    call("StopProcessingJob", "{'ProcessingJobName':'j'}");
    assert_state("j", "Stopping", "");
    settle();
    call("StopProcessingJob", "{'ProcessingJobName':'j'}");
    declined("DeleteProcessingJob", "{'ProcessingJobName':'j'}");
    assert_string_equal(w.err.code, "ResourceInUse");
    later(20000);
    assert_state("j", "Stopping", "");
    sim_end(w.runtime, only_agent(), "Stopped", "", 143);
    later(20000);
    assert_state("j", "Stopped", "");
    declined("StopProcessingJob", "{'ProcessingJobName':'j'}");
}

static void a_stop_that_comes_late_is_a_stop(void **state)
{
    create("j", RUN);
    sim_report(w.runtime, only_agent(), "Processing", "");
    later(20000);
    call("StopProcessingJob", "{'ProcessingJobName':'j'}");
    sim_end(w.runtime, only_agent(), "Completed", "", 0);
    later(20000);
    assert_state("j", "Stopped", "");
}

static void one_that_has_had_its_time_stops(void **state)
{
    create("j", RUN);
    sim_report(w.runtime, only_agent(), "Processing", "");
    sim_set(w.runtime, only_agent(), "overran_ms", doc_integer(w.arena, w.now_ms));
    later(20000);
    assert_state("j", "Stopping", "");
    sim_end(w.runtime, only_agent(), "MaxRuntimeExceeded", "", 143);
    later(20000);
    assert_state("j", "Stopped", "Job runtime exceeded MaxRuntimeInSeconds");
}

static void who_waits_in_line_can_be_stopped(void **state)
{
    const char *first;

    create("j", RUN); /* there is room for one */
    first = only_agent();
    create("k", RUN);
    assert_string_equal(only_agent(), first);
    call("StopProcessingJob", "{'ProcessingJobName':'k'}");
    settle();
    assert_state("k", "Stopped", "");
    create("l", RUN);
    sim_report(w.runtime, first, "Processing", "");
    sim_end(w.runtime, first, "Completed", "", 0);
    later(20000);
    assert_state("j", "Completed", "");
    assert_string_not_equal(only_agent(), first);
}

static const struct doc *log_of(const char *job)
{
    return doc_get(must("logs", "GetLogEvents", json("{'logGroupName':'/aws/sagemaker/ProcessingJobs','logStreamName':"
                                                     "'%s/algo-1-1700000000','startFromHead':true}", job)), "events");
}

/* Describe has no word for it, on AWS neither. */
static void why_it_waits_is_in_its_log(void **state)
{
    struct doc *waiting;
    struct err err;

    create("j", RUN ",'StoppingCondition':{'MaxRuntimeInSeconds':3600}");
    sim_report(w.runtime, only_agent(), "Processing", "");
    create("k", RUN);
    create("l", RUN);
    assert_int_equal(doc_count(log_of("k"), ""), 1);
    assert_string_equal(doc_text(log_of("k"), "[0].message"),
                        "Waiting for 1 ml.m5.large: room for 0 now, 0 jobs are before this one; expected to start in "
                        "about 60 minutes.");
    assert_int_equal(waiting_list(w.arena, w.engine, 1, &waiting, &err), 0);
    assert_int_equal(waiting->count, 1);
    assert_string_equal(doc_text(waiting, "[0].kind"), "ProcessingJob");
    assert_string_equal(doc_text(waiting, "[0].name"), "k");
    assert_true(text_starts(doc_text(waiting, "[0].why"), "Waiting for 1 ml.m5.large: room for 0 now, 0 jobs are"));
    assert_int_equal(doc_int(waiting, "[0].expected_start_ms", 0), 1700000000000 + 3600000);
    later(5 * 60000); /* its words are others by now */
    assert_int_equal(doc_count(log_of("k"), ""), 1);
    for (int i = 0; i < 6; i++)
        later(60000);
    assert_int_equal(doc_count(log_of("k"), ""), 2);
    sim_end(w.runtime, only_agent(), "Completed", "", 0);
    later(20000);
    assert_int_equal(waiting_list(w.arena, w.engine, 9, &waiting, &err), 0);
    assert_int_equal(waiting->count, 1);
    assert_string_equal(doc_text(waiting, "[0].name"), "l");
}

/* As a cluster's queue says it. */
static void why_it_is_queued_is_in_its_log(void **state)
{
    create("j", RUN);
    sim_set(w.runtime, only_agent(), "waiting", doc_string(w.arena, "Slurm job 7 waits: Priority"));
    later(20000);
    assert_string_equal(doc_text(log_of("j"), "[0].message"), "Slurm job 7 waits: Priority.");
    sim_set(w.runtime, only_agent(), "waiting", doc_string(w.arena, ""));
    sim_report(w.runtime, only_agent(), "Processing", "");
    later(20 * 60000);
    assert_int_equal(doc_count(log_of("j"), ""), 1);
}

static void what_was_seen_is_never_started_again(void **state)
{
    const char *name;

    create("j", RUN);
    name = only_agent();
    sim_lose(w.runtime, name);
    later(20000);
    assert_int_equal(sim_count(w.runtime, name), 2); /* nobody had seen it */
    sim_report(w.runtime, name, "Processing", "");
    sim_end(w.runtime, name, "Completed", "", 0);
    later(20000);
    create("k", RUN);
    name = only_agent();
    sim_report(w.runtime, name, "Processing", "");
    later(20000);
    sim_lose(w.runtime, name);
    later(20000);
    assert_int_equal(sim_count(w.runtime, name), 1);
    assert_no_agent();
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
    const struct doc *order;

    create_pair("j");
    order = sim_order(w.runtime, agent_of("algo-2"));
    assert_int_equal(doc_count(order, "hosts"), 2);
    assert_string_equal(doc_text(order, "log_stream"), "j/algo-2-1700000000");
    assert_string_equal(doc_text(doc_get(order, "peers"), "algo-1"), agent_of("algo-1"));
    assert_string_equal(doc_text(doc_get(order, "peers"), "algo-2"), agent_of("algo-2"));
    assert_int_equal(allocations_instances(w.platform.allocations), 2);
    declined("CreateProcessingJob",
             "{'ProcessingJobName':'k','RoleArn':'" ROLE "'," RUN ",'ProcessingResources':{"
             "'ClusterConfig':{'InstanceType':'ml.m5.large','InstanceCount':3,'VolumeSizeInGB':1}}}");
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
    assert_no_agent();
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
    assert_no_agent();
}

static void what_can_never_run_fails(void **state)
{
    create("j", "'AppSpecification':{'ImageUri':'sagemaker-scikit-learn:1.2-1'}");
    assert_no_agent();
    assert_non_null(strstr(doc_text(describe("j"), "FailureReason"),
                           "ClientError: The image sagemaker-scikit-learn:1.2-1 has no entry point for processing"));
    assert_int_equal(allocations_instances(w.platform.allocations), 0);
    assert_int_equal(usage()->count, 0);
    /* Arguments are the entry point's, of which there is none. */
    create("k", "'AppSpecification':{'ImageUri':'sagemaker-xgboost:1.7-1','ContainerArguments':['x']}");
    assert_string_equal(doc_text(describe("k"), "ProcessingJobStatus"), "Failed");
}

/* Its only instance says that it does nothing. */
static void falls_silent(const char *name)
{
    struct doc *quiet = doc_map(w.arena);

    sim_report(w.runtime, name, "Processing", "");
    later(60000);
    doc_set_integer(w.arena, quiet, "since_ms", w.now_ms - 50000);
    doc_set_string(w.arena, quiet, "why", "no line of its log");
    sim_set(w.runtime, name, "quiet", quiet);
    later(20000);
}

static void a_job_that_hangs_is_ended_and_paid_for(void **state)
{
    const char *name;

    create("j", RUN ",'Environment':{'SAGEBRUSH_HANG_AFTER':'50s'}");
    name = only_agent();
    assert_int_equal(doc_int(sim_order(w.runtime, name), "quiet_after_s", 0), 50);
    falls_silent(name);
    assert_true(w.stops > 0);
    assert_state("j", "InProgress", "");
    sim_end(w.runtime, name, "Stopped", "", 0);
    later(20000);
    assert_state("j", "Failed", "InternalServerError: the job hung: for 70 s it wrote no line and used neither a "
                                "core nor a GPU (algo-1: no line of its log)");
    assert_false(doc_has(usage()->items[0], "waived"));
}

static void a_job_that_may_do_nothing_does(void **state)
{
    create("j", RUN);
    assert_int_equal(doc_int(sim_order(w.runtime, only_agent()), "quiet_after_s", 0), 1800);
    falls_silent(only_agent());
    assert_int_equal(w.stops, 0);
    declined("CreateProcessingJob", "{'ProcessingJobName':'k','RoleArn':'" ROLE "'," RESOURCES "," RUN
                                    ",'Environment':{'SAGEBRUSH_HANG_AFTER':'soon'}}");
    assert_non_null(strstr(w.err.text, "SAGEBRUSH_HANG_AFTER"));
}

int main(void)
{
    static int two = 2;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(an_agent_is_told_what_to_do, begin, jobs_end),
        cmocka_unit_test_setup_teardown(a_job_completes_and_is_paid_for, begin, jobs_end),
        cmocka_unit_test_setup_teardown(what_was_not_uploaded_to_its_end_goes, begin, jobs_end),
        cmocka_unit_test_setup_teardown(ends_are_told, begin, jobs_end),
        cmocka_unit_test_setup_teardown(a_stop_waits_for_the_outputs, begin, jobs_end),
        cmocka_unit_test_setup_teardown(a_stop_that_comes_late_is_a_stop, begin, jobs_end),
        cmocka_unit_test_setup_teardown(one_that_has_had_its_time_stops, begin, jobs_end),
        cmocka_unit_test_setup_teardown(who_waits_in_line_can_be_stopped, begin, jobs_end),
        cmocka_unit_test_setup_teardown(why_it_waits_is_in_its_log, begin, jobs_end),
        cmocka_unit_test_setup_teardown(why_it_is_queued_is_in_its_log, begin, jobs_end),
        cmocka_unit_test_setup_teardown(what_was_seen_is_never_started_again, begin, jobs_end),
        cmocka_unit_test_setup_teardown(what_can_never_run_fails, begin, jobs_end),
        cmocka_unit_test_setup_teardown(a_job_that_hangs_is_ended_and_paid_for, begin, jobs_end),
        cmocka_unit_test_setup_teardown(a_job_that_may_do_nothing_does, begin, jobs_end),
        cmocka_unit_test_prestate_setup_teardown(instances_know_each_other, begin, jobs_end, &two),
        cmocka_unit_test_prestate_setup_teardown(a_job_is_over_when_all_are, begin, jobs_end, &two),
        cmocka_unit_test_prestate_setup_teardown(one_that_fails_ends_all, begin, jobs_end, &two),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
