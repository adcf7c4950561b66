/* Warm pools on the simulated runtime: who has one, who gets it, what it holds and what it costs. */
#include <string.h>

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

static void start_engine(void)
{
    static const struct op sts_ops[] = { { "AssumeRole", assume_role, OP_RUN, NULL, OP_OPEN }, {} };
    static const struct service_ops sts = { "sts", sts_ops };
    static const struct service_ops *const services[] = { &sagemaker_ops, &sts, NULL };

    w.fleet = fleet_of_slots(w.arena, "local", 2, 0);
    w.platform.fleet = &w.fleet;
    w.platform.machine = (struct machine){ 2, (int64_t)8 << 30, 0 };
    w.platform.allocations = allocations_new(&w.fleet, &w.clock);
    assert_int_equal(engine_new(&(struct engine_world){ .store = w.store, .clock = &w.clock, .rand = &w.rand,
                                                         .runtime = w.runtime, .services = services,
                                                         .kinds = sagemaker_kinds, .default_region = "us-east-1",
                                                         .account = "111122223333", .context = &w.platform },
                                &w.engine, &w.err), 0);
    assert_int_equal(allocations_restore(w.engine, &w.err), 0);
}

static void stop_engine(void)
{
    engine_free(w.engine);
    allocations_free(w.platform.allocations);
}

static int begin(void **state)
{
    memset(&w, 0, sizeof w);
    w.clock = (struct clock){ now, now };
    w.now_ms = 1700000000000;
    w.rand = rand_seeded(1);
    w.store = store_new_memory();
    w.runtime = sim_runtime_new(&w.clock, &(struct sim_hooks){ .ends_at_once = never, .stops_at_once = not_yet });
    w.arena = arena_new();
    w.platform = (struct platform){ .account = "111122223333", .default_region = "us-east-1", .api_socket = "/a",
                                    .admin_socket = "/b", .rand = &w.rand };
    start_engine();
    return 0;
}

static int end(void **state)
{
    stop_engine();
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

/* Killed, and started again on what was committed. */
static void restart(void)
{
    stop_engine();
    store_memory_crash(w.store);
    start_engine();
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

static const char *input(const char *name, const char *resources, const char *more)
{
    return arena_printf(w.arena, "{'TrainingJobName':'%s','RoleArn':'arn:aws:iam::111122223333:role/train-it-well',"
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
    const char *const *list;
    int count;

    assert_int_equal(runtime_list(w.runtime, w.arena, &list, &count, &w.err), 0);
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
    struct doc *all, *warm = doc_list(w.arena);

    assert_int_equal(usage_scan(w.arena, w.engine, 0, INT64_MAX, &all, &w.err), 0);
    for (uint32_t i = 0; i < all->count; i++)
        if (doc_is(all->items[i], "work", "warm pool"))
            doc_append(w.arena, warm, all->items[i]);
    assert_int_equal(warm->count, count);
    return warm;
}

static void a_pool_holds_and_costs_until_it_ends(void **state)
{
    create("a", KEPT, "");
    assert_pool("a", "InUse", -1, "");
    run("a", "Completed", "");
    assert_pool("a", "Available", 0, "");
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
    return arena_printf(w.arena, "{'TrainingJobName':'%s','ResourceConfig':{'KeepAlivePeriodInSeconds':%d}}", name, seconds);
}

static size_t available(void)
{
    return doc_count(call("ListTrainingJobs", "{'WarmPoolStatusEquals':'Available'}"), "TrainingJobSummaries");
}

static void the_period_can_be_changed(void **state)
{
    const struct doc *none;

    create("a", KEPT, "");
    assert_int_not_equal(try("UpdateTrainingJob", period("a", 0), &none), 0);
    assert_non_null(strstr(w.err.text, "its warm pool is InUse"));
    run("a", "Completed", "");
    assert_int_not_equal(try("UpdateTrainingJob", "{'TrainingJobName':'a'}", &none), 0);
    assert_int_not_equal(try("UpdateTrainingJob", "{'TrainingJobName':'a','ProfilerConfig':{}}", &none), 0);
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
    assert_int_not_equal(try("UpdateTrainingJob", period("a", 9), &none), 0);
    create("b", "", "");
    assert_false(doc_has(describe("b"), "WarmPoolStatus"));
}

static void its_job_is_deleted_after_it(void **state)
{
    const struct doc *none;

    create("a", KEPT, "");
    run("a", "Completed", "");
    assert_int_not_equal(try("DeleteTrainingJob", "{'TrainingJobName':'a'}", &none), 0);
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

static void spot_has_no_pool(void **state)
{
    const struct doc *none;

    assert_int_not_equal(try("CreateTrainingJob",
                             input("a", KEPT, ",'EnableManagedSpotTraining':true," SPOT_TIMES), &none), 0);
    assert_non_null(strstr(w.err.text, "spot"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_pool_holds_and_costs_until_it_ends, begin, end),
        cmocka_unit_test_setup_teardown(the_next_job_like_it_takes_it, begin, end),
        cmocka_unit_test_setup_teardown(what_differs_starts_cold, begin, end),
        cmocka_unit_test_setup_teardown(only_healthy_instances_are_kept, begin, end),
        cmocka_unit_test_setup_teardown(a_job_that_was_stopped_before_its_start_keeps_nothing, begin, end),
        cmocka_unit_test_setup_teardown(the_period_can_be_changed, begin, end),
        cmocka_unit_test_setup_teardown(its_job_is_deleted_after_it, begin, end),
        cmocka_unit_test_setup_teardown(a_restart_forgets_no_pool, begin, end),
        cmocka_unit_test_setup_teardown(what_is_kept_is_nobody_elses, begin, end),
        cmocka_unit_test_setup_teardown(a_wait_for_accelerators_has_its_end, begin, end),
        cmocka_unit_test_setup_teardown(spot_has_no_pool, begin, end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
