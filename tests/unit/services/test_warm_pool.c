/* Warm pools on the simulated runtime: who has one, who gets it, what it holds and what it costs. */
#include "services/sagemaker/warm_pool.h"

#include "job_world.h"

static int begin(void **state)
{
    jobs_make();
    w.goes_on = true;
    w.fleet = fleet_of_slots(w.arena, "local", 2, 0);
    jobs_start();
    return 0;
}

/* Where spot work makes way for work on demand. */
static int begin_on_nodes(void **state)
{
    static const char file[] = "[[nodes]]\nname = \"n\"\ncount = 2\ncores = 2\nmemory = \"8GiB\"\n";

    jobs_make();
    w.goes_on = true;
    jobs_fleet(file);
    jobs_start();
    return 0;
}

/* Killed, and started again on what was committed. */
static void restart(void)
{
    jobs_stop();
    store_memory_crash(w.store);
    jobs_start();
    settle();
}

static const char *input(const char *name, const char *resources, const char *more)
{
    return arena_printf(w.arena, "{'TrainingJobName':'%s','RoleArn':'" ROLE "',"
                        "'AlgorithmSpecification':{'TrainingImage':'sagemaker-xgboost:1.7-1',"
                        "'TrainingInputMode':'File'},'OutputDataConfig':{'S3OutputPath':'s3://b/out'},"
                        "'StoppingCondition':{'MaxRuntimeInSeconds':60},"
                        "'ResourceConfig':{'InstanceType':'ml.m5.large','InstanceCount':1,'VolumeSizeInGB':1%s}%s}",
                        name, resources, more);
}

static void create(const char *name, const char *resources, const char *more)
{
    call("CreateTrainingJob", input(name, resources, more));
    settle();
}

#define SPOT_TIMES "'StoppingCondition':{'MaxRuntimeInSeconds':60,'MaxWaitTimeInSeconds':90}"
#define KEPT       ",'KeepAlivePeriodInSeconds':600"

static const struct doc *describe(const char *name)
{
    return call("DescribeTrainingJob", arena_printf(w.arena, "{'TrainingJobName':'%s'}", name));
}

static void assert_pool(const char *name, const char *status, int64_t retained_s, const char *by)
{
    const struct doc *pool = doc_get(describe(name), "WarmPoolStatus");

    assert_string_equal(doc_text(pool, "Status"), status);
    assert_int_equal(doc_int(pool, "ResourceRetainedBillableTimeInSeconds", -1), retained_s);
    assert_string_equal(doc_text(pool, "ReusedByJob"), by);
}

/* The agent of that job, started or only standing by; "" when it has none. */
static const char *find_agent(const char *job, bool started)
{
    int count;
    const char *const *list = agents(&count);

    for (int i = 0; i < count; i++)
        if (doc_is(sim_order(w.runtime, list[i]), "job_name", job) && (sim_count(w.runtime, list[i]) > 0) == started)
            return list[i];
    return "";
}

static const char *agent_of(const char *job)
{
    return find_agent(job, true);
}

static const char *standing_by(const char *job)
{
    return find_agent(job, false);
}

static void run(const char *job, const char *outcome, const char *why)
{
    const char *agent = agent_of(job);

    assert_string_not_equal(agent, "");
    sim_report(w.runtime, agent, "Downloading", "");
    sim_report(w.runtime, agent, "Training", "");
    later(10000);
    sim_end(w.runtime, agent, outcome, why, 0);
    engine_touch(w.engine, doc_text(sim_order(w.runtime, agent), "uid"));
    settle();
}

static const struct doc *warm_usage(size_t count)
{
    const struct doc *all = usage();
    struct doc *warm = doc_list(w.arena);

    for (uint32_t i = 0; i < all->count; i++)
        if (doc_is(all->items[i], "work", "warm pool"))
            doc_append(w.arena, warm, all->items[i]);
    assert_int_equal(warm->count, count);
    return warm;
}

static void a_pool_holds_and_costs_until_it_ends(void **state)
{
    create("a", KEPT, ",'Tags':[{'Key':'team','Value':'red'}]");
    assert_pool("a", "InUse", -1, "");
    run("a", "Completed", "");
    assert_pool("a", "Available", 0, "");
    call("AddTags", "{'ResourceArn':'arn:aws:sagemaker:us-east-1:111122223333:training-job/a',"
                    "'Tags':[{'Key':'team','Value':'blue'}]}");
    assert_int_equal(allocations_instances(w.platform.allocations), 1);
    assert_string_equal(agent_of("a"), "");
    assert_string_not_equal(standing_by("a"), "");
    later(599000);
    assert_pool("a", "Available", 599, "");
    assert_true(doc_bool(warm_usage(1)->items[0], "open", false));
    later(1000);
    assert_pool("a", "Terminated", 600, "");
    assert_int_equal(allocations_instances(w.platform.allocations), 0);
    assert_false(doc_bool(warm_usage(1)->items[0], "open", true));
    assert_int_equal(doc_int(warm_usage(1)->items[0], "to_ms", 0) - doc_int(warm_usage(1)->items[0], "from_ms", 0),
                     600000);
    assert_true(doc_number(warm_usage(1)->items[0], "usd_hour", 0) > 0);
    assert_true(doc_is(warm_usage(1)->items[0], "tags[0].Value", "blue"));
    assert_true(doc_is(usage()->items[0], "tags[0].Value", "red")); /* the job itself had ended */
    assert_string_equal(standing_by("a"), "");
}

static void the_next_job_like_it_takes_it(void **state)
{
    const char *ready;

    create("a", KEPT, "");
    run("a", "Completed", "");
    later(30000);
    ready = standing_by("a");
    create("b", KEPT, ",'HyperParameters':{'max_depth':'3'}");
    assert_string_equal(agent_of("b"), ready);
    assert_string_equal(standing_by("a"), "");
    assert_true(doc_bool(sim_order(w.runtime, ready), "warm_pool", false));
    assert_pool("a", "Reused", 30, "b");
    assert_pool("b", "InUse", -1, "");
    assert_int_equal(allocations_instances(w.platform.allocations), 1);
    run("b", "Completed", "");
    assert_pool("b", "Available", 0, "");
    /* Without a period of its own, what it took ends with it. */
    create("c", "", "");
    assert_pool("b", "Reused", 0, "c");
    run("c", "Completed", "");
    assert_pool("c", "Terminated", -1, "");
    assert_int_equal(allocations_instances(w.platform.allocations), 0);
}

static void what_differs_starts_cold(void **state)
{
    static const char *const others[][2] = {
        { ",'InstanceType':'ml.m5.xlarge'", "" }, { ",'VolumeSizeInGB':2", "" },
        { "", ",'EnableNetworkIsolation':true" },
        { "", ",'EnableInterContainerTrafficEncryption':true" },
        { "", ",'RoleArn':'arn:aws:iam::111122223333:role/another'" },
        { "", ",'EnableManagedSpotTraining':true," SPOT_TIMES },
    };

    create("a", KEPT, "");
    run("a", "Completed", "");
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        const char *name = arena_printf(w.arena, "other-%zu", i);

        create(name, others[i][0], others[i][1]);
        run(name, "Completed", "");
        assert_false(doc_has(describe(name), "WarmPoolStatus"));
    }
    assert_pool("a", "Available", 60, "");
    /* Said and left out are the same. */
    create("b", "", ",'EnableNetworkIsolation':false");
    assert_pool("a", "Reused", 60, "b");
}

static void only_healthy_instances_are_kept(void **state)
{
    create("a", KEPT, "");
    run("a", "Failed", "AlgorithmError: its own fault, exit code: 1");
    assert_pool("a", "Available", 0, "");
    create("b", KEPT, "");
    assert_pool("a", "Reused", 0, "b");
    run("b", "Failed", "InternalServerError: ours");
    assert_pool("b", "Terminated", -1, "");
    assert_int_equal(allocations_instances(w.platform.allocations), 0);
    warm_usage(1);
}

static void a_job_that_was_stopped_before_its_start_keeps_nothing(void **state)
{
    create("a", KEPT, "");
    call("StopTrainingJob", "{'TrainingJobName':'a'}");
    settle();
    sim_end(w.runtime, agent_of("a"), "Stopped", "", 143);
    later(1000);
    assert_pool("a", "Terminated", -1, "");
    assert_int_equal(allocations_instances(w.platform.allocations), 0);
}

static const char *period(const char *name, int seconds)
{
    return arena_printf(w.arena, "{'TrainingJobName':'%s','ResourceConfig':{'KeepAlivePeriodInSeconds':%d}}", name,
                        seconds);
}

static size_t available(void)
{
    return doc_count(call("ListTrainingJobs", "{'WarmPoolStatusEquals':'Available'}"), "TrainingJobSummaries");
}

static void the_period_can_be_changed(void **state)
{
    create("a", KEPT, "");
    declined("UpdateTrainingJob", period("a", 0));
    assert_non_null(strstr(w.err.text, "its warm pool is InUse"));
    run("a", "Completed", "");
    declined("UpdateTrainingJob", "{'TrainingJobName':'a'}");
    declined("UpdateTrainingJob", "{'TrainingJobName':'a','ProfilerConfig':{}}");
    call("UpdateTrainingJob", period("a", 3600));
    later(3000000);
    assert_pool("a", "Available", 3000, "");
    assert_int_equal(doc_int(describe("a"), "ResourceConfig.KeepAlivePeriodInSeconds", 0), 3600);
    assert_int_equal(available(), 1);
    /* What was kept until it was ended is paid. */
    call("UpdateTrainingJob", period("a", 0));
    later(500);
    assert_pool("a", "Terminated", 3000, "");
    assert_int_equal(available(), 0);
    declined("UpdateTrainingJob", period("a", 9));
    create("b", "", "");
    assert_false(doc_has(describe("b"), "WarmPoolStatus"));
}

static void a_period_that_is_over_is_not_changed(void **state)
{
    create("a", KEPT, "");
    run("a", "Completed", "");
    w.now_ms += 700000; /* nobody has looked since */
    declined("UpdateTrainingJob", period("a", 3600));
    assert_non_null(strstr(w.err.text, "its warm pool is Terminated"));
    later(0);
    assert_pool("a", "Terminated", 600, "");
}

static void its_job_is_deleted_after_it(void **state)
{
    create("a", KEPT, "");
    run("a", "Completed", "");
    declined("DeleteTrainingJob", "{'TrainingJobName':'a'}");
    assert_string_equal(w.err.code, "ResourceInUse");
    later(600000);
    call("DeleteTrainingJob", "{'TrainingJobName':'a'}");
    settle();
    warm_usage(1);
}

static void a_restart_forgets_no_pool(void **state)
{
    create("a", KEPT, "");
    run("a", "Completed", "");
    restart();
    assert_int_equal(allocations_instances(w.platform.allocations), 1);
    create("b", KEPT, "");
    assert_pool("a", "Reused", 0, "b");
    restart();
    assert_int_equal(allocations_instances(w.platform.allocations), 1);
    run("b", "Completed", "");
    w.now_ms += 900000; /* it was down when the period ended */
    restart();
    assert_pool("b", "Terminated", 600, "");
    assert_int_equal(allocations_instances(w.platform.allocations), 0);
    warm_usage(2);
}

/* Both slots are taken: one by the pool, one by a job; a stranger waits, the job like it does not. */
static void what_is_kept_is_nobody_elses(void **state)
{
    create("a", KEPT, "");
    run("a", "Completed", "");
    create("busy", ",'VolumeSizeInGB':9", "");
    create("stranger", ",'VolumeSizeInGB':8", "");
    assert_string_equal(agent_of("stranger"), "");
    create("b", "", "");
    assert_string_not_equal(agent_of("b"), "");
    assert_pool("a", "Reused", 0, "b");
    assert_int_equal(allocations_instances(w.platform.allocations), 2);
}

static const char *last_words(const char *name)
{
    const struct doc *all = doc_get(describe(name), "SecondaryStatusTransitions");

    return doc_text(all->items[all->count - 1], "StatusMessage");
}

/* Of all pools, the last to end. */
static const char *kept_until(int count)
{
    struct kept_pool pools[4];
    int found;

    assert_int_equal(warm_pools_kept(w.arena, w.engine, 4, pools, &found, &w.err), 0);
    assert_int_equal(found, count);
    assert_in_range(pools[count - 1].until_ms, w.now_ms + 590000, w.now_ms + 900000);
    return time_iso8601(w.arena, pools[count - 1].until_ms, false);
}

static void who_waits_for_a_pool_is_told(void **state)
{
    const char *words;

    create("a", KEPT, "");
    create("b", ",'KeepAlivePeriodInSeconds':900", "");
    run("a", "Completed", "");
    words = arena_printf(w.arena, "; the warm pool of a keeps its place until %s", kept_until(1));
    create("stranger", ",'VolumeSizeInGB':8", "");
    assert_non_null(strstr(last_words("stranger"),
                           arena_printf(w.arena, "expected to start in about a minute%s", words)));
    run("b", "Completed", "");
    assert_string_equal(last_words("stranger"),
                        arena_printf(w.arena, "Waiting for 1 ml.m5.large: room for 0 now, 0 jobs are before this one%s",
                                     words));
    /* It needs both: named are both, and when the second ends. */
    create("two", ",'InstanceCount':2",
           ",'HyperParameters':{'sagemaker_program':'x.py','sagemaker_submit_directory':'s3://b/x'}");
    words = arena_printf(w.arena, "; the warm pools of a and b keep its place until %s", kept_until(2));
    assert_non_null(strstr(last_words("two"), words));
    call("UpdateTrainingJob", "{'TrainingJobName':'a','ResourceConfig':{'KeepAlivePeriodInSeconds':0}}");
    settle();
    assert_string_not_equal(agent_of("stranger"), "");
    assert_null(strstr(last_words("two"), "warm pool")); /* without b's there would not be room either */
}

#define PATIENCE ",'StoppingCondition':{'MaxRuntimeInSeconds':60,'MaxPendingTimeInSeconds':1800}"

/* As on AWS: a type without accelerators waits on. */
static void a_wait_for_accelerators_has_its_end(void **state)
{
    create("a", "", "");
    create("b", "", "");
    create("gpu", ",'InstanceType':'ml.g5.xlarge'", PATIENCE);
    create("cpu", "", PATIENCE);
    later(1799999);
    assert_string_equal(doc_text(describe("gpu"), "SecondaryStatus"), "Pending");
    later(1);
    assert_string_equal(doc_text(describe("gpu"), "TrainingJobStatus"), "Stopped");
    assert_false(doc_has(describe("gpu"), "TrainingTimeInSeconds"));
    assert_string_equal(doc_text(describe("cpu"), "SecondaryStatus"), "Pending");
    /* One that got its instances in time is not asked again. */
    create("late", ",'InstanceType':'ml.g5.xlarge'", PATIENCE);
    run("a", "Completed", "");
    run("cpu", "Completed", "");
    later(1800000);
    assert_string_equal(doc_text(describe("late"), "TrainingJobStatus"), "InProgress");
}

static const char *history(const char *job)
{
    const struct doc *all = doc_get(describe(job), "SecondaryStatusTransitions");
    const char *words = "";

    for (size_t i = 0; i < doc_count(all, ""); i++)
        words = arena_printf(w.arena, "%s%s%s", words, i ? " " : "", doc_text(all->items[i], "Status"));
    return words;
}

/* As on AWS: also a job that never ran stops before it is stopped. */
static void a_wait_for_spot_capacity_has_its_end(void **state)
{
    create("a", "", "");
    create("b", "", "");
    create("spot", "", ",'EnableManagedSpotTraining':true," SPOT_TIMES);
    later(89999);
    assert_string_equal(history("spot"), "Starting Pending");
    later(1);
    assert_string_equal(history("spot"), "Starting Pending Stopping MaxWaitTimeExceeded");
    assert_string_equal(doc_text(describe("spot"), "TrainingJobStatus"), "Stopped");
}

/* Also when nobody looked between that and the upload. */
static void a_job_that_has_had_its_time_stops(void **state)
{
    const char *agent;

    create("a", KEPT, "");
    agent = agent_of("a");
    sim_report(w.runtime, agent, "Downloading", "");
    sim_report(w.runtime, agent, "Training", "");
    sim_set(w.runtime, agent, "overran_ms", doc_integer(w.arena, w.now_ms));
    sim_report(w.runtime, agent, "Uploading", "");
    later(20000);
    assert_string_equal(doc_text(describe("a"), "TrainingJobStatus"), "Stopping");
    sim_end(w.runtime, agent, "MaxRuntimeExceeded", "", 143);
    later(20000);
    assert_string_equal(doc_text(describe("a"), "TrainingJobStatus"), "Stopped");
    assert_string_equal(history("a"), "Starting Starting Downloading Training Stopping MaxRuntimeExceeded");
}

static void spot_has_no_pool(void **state)
{
    declined("CreateTrainingJob", input("a", KEPT, ",'EnableManagedSpotTraining':true," SPOT_TIMES));
    assert_non_null(strstr(w.err.text, "spot"));
}

static void nobody_makes_way_for_who_takes_a_pool(void **state)
{
    create("a", KEPT, "");
    run("a", "Completed", "");
    create("spot", "", ",'EnableManagedSpotTraining':true," SPOT_TIMES);
    assert_string_not_equal(agent_of("spot"), "");
    create("b", "", "");
    assert_pool("a", "Reused", 0, "b");
    assert_int_equal(w.stops, 0);
    create("c", "", ""); /* which has no pool to take */
    assert_int_equal(w.stops, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_pool_holds_and_costs_until_it_ends, begin, jobs_end),
        cmocka_unit_test_setup_teardown(the_next_job_like_it_takes_it, begin, jobs_end),
        cmocka_unit_test_setup_teardown(what_differs_starts_cold, begin, jobs_end),
        cmocka_unit_test_setup_teardown(only_healthy_instances_are_kept, begin, jobs_end),
        cmocka_unit_test_setup_teardown(a_job_that_was_stopped_before_its_start_keeps_nothing, begin, jobs_end),
        cmocka_unit_test_setup_teardown(the_period_can_be_changed, begin, jobs_end),
        cmocka_unit_test_setup_teardown(a_period_that_is_over_is_not_changed, begin, jobs_end),
        cmocka_unit_test_setup_teardown(its_job_is_deleted_after_it, begin, jobs_end),
        cmocka_unit_test_setup_teardown(a_restart_forgets_no_pool, begin, jobs_end),
        cmocka_unit_test_setup_teardown(what_is_kept_is_nobody_elses, begin, jobs_end),
        cmocka_unit_test_setup_teardown(who_waits_for_a_pool_is_told, begin, jobs_end),
        cmocka_unit_test_setup_teardown(a_wait_for_accelerators_has_its_end, begin, jobs_end),
        cmocka_unit_test_setup_teardown(a_wait_for_spot_capacity_has_its_end, begin, jobs_end),
        cmocka_unit_test_setup_teardown(a_job_that_has_had_its_time_stops, begin, jobs_end),
        cmocka_unit_test_setup_teardown(spot_has_no_pool, begin, jobs_end),
        cmocka_unit_test_setup_teardown(nobody_makes_way_for_who_takes_a_pool, begin_on_nodes, jobs_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
