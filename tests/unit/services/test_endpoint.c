/* Endpoints on the simulated runtime, with a data plane that acknowledges at once: what becomes of an instance that
 * ends, and of a deployment that finds no room. */
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "services/routes.h"
#include "services/sagemaker/endpoint_metrics.h"

#include "job_world.h"

static char folder[40];
static bool deaf; /* the data plane acknowledges nothing */

static struct row row_of(const char *endpoint_name)
{
    const char *arn = arena_printf(w.arena, "arn:aws:sagemaker:us-east-1:111122223333:endpoint/%s", endpoint_name);
    struct row row = { 0 };

    store_row_by_arn(w.arena, w.store, arn, &row, &w.err);
    return row;
}

static void acknowledge(void)
{
    const char *path = arena_printf(w.arena, "%s/route", folder);
    struct str text;
    struct doc *d;

    if (deaf)
        return;
    assert_int_equal(file_read(w.arena, arena_printf(w.arena, "%s.json", path), 1 << 20, &text, &w.err), 0);
    assert_int_equal(json_parse(w.arena, text, &d, &w.err), 0);
    text = str_of(arena_printf(w.arena, "{\"version\":1,\"applied\":%lld,\"drained\":%lld}",
                               (long long)doc_int(d, "generation", 0), (long long)doc_int(d, "generation", 0) - 1));
    assert_int_equal(file_write_atomic(arena_printf(w.arena, "%s.ack", path), text.data, text.size, 0600, &w.err), 0);
    routes_read_ack(w.platform.routes);
}

/* The data plane, and the control plane when it looks once more, as agents ask it to. */
static bool is_at_rest(void)
{
    static bool asked;

    if (w.next_ms > w.now_ms && !routes_changed(w.platform.routes)) {
        asked = !asked;
        if (asked)
            engine_touch(w.engine, row_of("e").uid ? row_of("e").uid : "");
        return !asked;
    }
    asked = false;
    assert_int_equal(routes_publish(w.platform.routes, &w.err), 0);
    acknowledge();
    w.now_ms += 50;
    return false;
}

static void begin(int slots)
{
    jobs_make();
    deaf = false;
    w.at_once = true;
    w.is_at_rest = is_at_rest;
    w.fleet = fleet_of_slots(w.arena, "local", slots, 0);
    strcpy(folder, "/tmp/sagebrush-endpoint-XXXXXX");
    assert_non_null(mkdtemp(folder));
    w.platform.data_folder = folder;
    assert_int_equal(routes_new(folder, &w.platform.routes, &w.err), 0);
    jobs_start();
}

static void end(void)
{
    unlink(arena_printf(w.arena, "%s/route.json", folder));
    unlink(arena_printf(w.arena, "%s/route.ack", folder));
    rmdir(folder);
    routes_free(w.platform.routes);
    jobs_end(NULL);
}

static void configure(const char *name, int instances)
{
    call("CreateEndpointConfig",
         arena_printf(w.arena,
                      "{'EndpointConfigName':'%s','ProductionVariants':[{'VariantName':'v','ModelName':'m',"
                      "'InstanceType':'ml.m5.large','InitialInstanceCount':%d}]}",
                      name, instances));
}

static const struct doc *describe(void)
{
    return call("DescribeEndpoint", "{'EndpointName':'e'}");
}

static void serve(int slots, int instances)
{
    begin(slots);
    call("CreateModel", "{'ModelName':'m','ExecutionRoleArn':'" ROLE "','PrimaryContainer':{'Image':'xgboost'}}");
    configure("c", instances);
    call("CreateEndpoint", "{'EndpointName':'e','EndpointConfigName':'c'}");
    settle();
}

static size_t routed(void)
{
    return doc_count(doc_at(row_of("e").status, "_Routes.variants[0]"), "instances");
}

static int events(const char *what)
{
    struct event *list;
    int count, found = 0;

    assert_int_equal(store_event_scan(w.arena, w.store, 0, 1000, &list, &count, &w.err), 0);
    for (int i = 0; i < count; i++)
        found += strcmp(list[i].what, what) == 0;
    return found;
}

static void a_dead_instance_is_replaced(void **state)
{
    const char *first, *second;

    serve(2, 1);
    assert_string_equal(doc_text(describe(), "EndpointStatus"), "InService");
    first = only_agent();
    later(5000);
    sim_end(w.runtime, first, "Failed", "AlgorithmError: it is gone, exit code: 1", 1);
    settle();
    assert_string_equal(doc_text(describe(), "EndpointStatus"), "InService");
    second = only_agent();
    assert_string_not_equal(first, second);
    assert_string_equal(second + strlen(second) - 2, "-1");
    assert_int_equal(routed(), 1);
    assert_true(doc_is(row_of("e").status, "_Routes.variants[0].instances[0].uid", second));
    assert_int_equal(allocations_instances(w.platform.allocations), 1);
    assert_int_equal(events("replaced"), 1);

    /* Two intervals: the first is closed at its end. */
    assert_int_equal(usage()->count, 2);
    for (uint32_t i = 0; i < 2; i++)
        assert_int_equal(doc_bool(usage()->items[i], "open", false), doc_is(usage()->items[i], "uid", second));
    end();
}

static void a_lost_instance_is_another_one(void **state)
{
    const char *first;

    serve(2, 1);
    first = only_agent();
    sim_lose(w.runtime, first);
    later(20000);
    assert_string_not_equal(first, only_agent());
    assert_int_equal(usage()->count, 2);
    end();
}

/* What is tagged anew is paid for under the new tag from then on. */
static void tags_of_its_time_are_on_the_bill(void **state)
{
    serve(2, 1);
    later(2 * 3600 * 1000);
    call("AddTags", "{'ResourceArn':'arn:aws:sagemaker:us-east-1:111122223333:endpoint/e',"
                    "'Tags':[{'Key':'team','Value':'red'}]}");
    settle();
    later(60 * 1000);
    assert_int_equal(usage()->count, 2);
    assert_int_equal(doc_count(usage()->items[0], "tags"), 0);
    assert_false(doc_bool(usage()->items[0], "open", true));
    assert_true(doc_is(usage()->items[1], "tags[0].Value", "red"));
    assert_true(doc_bool(usage()->items[1], "open", false));
    assert_int_equal(doc_int(usage()->items[0], "to_ms", 0), w.now_ms - 60 * 1000);
    assert_int_equal(doc_int(usage()->items[1], "from_ms", 0), w.now_ms - 60 * 1000);
    end();
}

/* Until it dies again it serves, and each time it is away longer. */
static void a_crash_loop_does_not_spin(void **state)
{
    int64_t pauses[14];

    serve(2, 1);
    for (int i = 0; i < 14; i++) {
        int count;
        int64_t since_ms = w.now_ms;

        later(1000);
        sim_end(w.runtime, only_agent(), "Failed", "AlgorithmError: again, exit code: 1", 1);
        settle();
        since_ms = w.now_ms;
        for (agents(&count); count == 0 || routed() == 0; agents(&count)) {
            assert_string_equal(doc_text(describe(), "EndpointStatus"), "InService");
            assert_int_equal(allocations_instances(w.platform.allocations), 1); /* its place is kept */
            w.now_ms = w.next_ms;
            settle();
        }
        pauses[i] = w.now_ms - since_ms;
    }
    assert_true(pauses[0] < 500);
    assert_in_range(pauses[1], 500, 2000);
    assert_true(pauses[5] > pauses[2]);
    assert_in_range(pauses[13], 290000, 310000);

    /* One that lived long begins anew. */
    later(600000);
    sim_end(w.runtime, only_agent(), "Failed", "", 1);
    settle();
    assert_int_equal(routed(), 1);
    end();
}

static void during_an_update_too(void **state)
{
    const char *first;
    int count;

    serve(4, 1);
    first = only_agent();
    w.at_once = false;
    configure("d", 1);
    call("UpdateEndpoint", "{'EndpointName':'e','EndpointConfigName':'d'}");
    settle();
    agents(&count);
    assert_int_equal(count, 2);
    sim_end(w.runtime, first, "Failed", "", 1);
    settle();
    assert_int_equal(routed(), 0);
    w.at_once = true;
    later(20000);
    assert_string_equal(doc_text(describe(), "EndpointStatus"), "Updating");
    assert_string_equal(doc_text(describe(), "PendingDeploymentSummary.EndpointConfigName"), "d");
    end();
}

static void an_update_without_room_is_rolled_back(void **state)
{
    const struct doc *d;
    int count;

    serve(2, 2);
    configure("d", 1);
    call("UpdateEndpoint", "{'EndpointName':'e','EndpointConfigName':'d'}");
    settle();
    d = describe();
    assert_string_equal(doc_text(d, "EndpointStatus"), "InService");
    assert_string_equal(doc_text(d, "EndpointConfigName"), "c");
    assert_non_null(strstr(doc_text(d, "FailureReason"), "InsufficientInstanceCapacity"));
    assert_non_null(strstr(doc_text(d, "FailureReason"), "its 1 new beside the 2 old"));
    assert_false(doc_has(d, "PendingDeploymentSummary"));
    agents(&count);
    assert_int_equal(count, 2);
    end();
}

static void an_update_waits_a_while_and_says_so(void **state)
{
    const struct work somebody_else = { .uid = "somebody-else", .account = "", .owner = "", .kind = "training job",
                                        .groups = { { "ml.m5.large", 1 } }, .group_count = 1 };
    struct scheduler *fleet;
    const struct doc *d;

    serve(2, 1);
    fleet = (struct scheduler *)allocations_scheduler(w.platform.allocations);
    assert_int_equal(scheduler_submit(fleet, &somebody_else, &w.err), 0);
    allocations_turn(w.engine);
    configure("d", 1);
    call("UpdateEndpoint", "{'EndpointName':'e','EndpointConfigName':'d'}");
    settle();
    d = describe();
    assert_string_equal(doc_text(d, "EndpointStatus"), "Updating");
    assert_string_equal(doc_text(d, "EndpointConfigName"), "c");
    assert_non_null(strstr(doc_text(doc_at(d, "PendingDeploymentSummary.ProductionVariants[0].VariantStatus[0]"),
                                    "StatusMessage"),
                           "Waiting for 1 ml.m5.large: room for 0 now"));
    for (int i = 0; i < 31; i++)
        later(60000);
    d = describe();
    assert_string_equal(doc_text(d, "EndpointStatus"), "InService");
    assert_non_null(strstr(doc_text(d, "FailureReason"), "InsufficientInstanceCapacity"));

    /* With room it goes through, and the reason of before is gone. */
    scheduler_release(fleet, "somebody-else", w.now_ms);
    call("UpdateEndpoint", "{'EndpointName':'e','EndpointConfigName':'d'}");
    for (int i = 0; i < 5; i++)
        later(2000);
    d = describe();
    assert_string_equal(doc_text(d, "EndpointStatus"), "InService");
    assert_string_equal(doc_text(d, "EndpointConfigName"), "d");
    assert_false(doc_has(d, "FailureReason"));
    assert_string_not_equal(only_agent(), "");
    end();
}

/* Of two new instances one fails when both are published and no acknowledgement has come: requests may still go to the
 * other. */
static void what_was_published_is_drained_before_it_is_stopped(void **state)
{
    const char *const *all;
    const char *first, *one_of_two = NULL;
    int count;

    serve(4, 1);
    first = only_agent();
    deaf = true;
    configure("d", 2);
    call("UpdateEndpoint", "{'EndpointName':'e','EndpointConfigName':'d'}");
    settle();
    assert_int_equal(routed(), 2);
    all = agents(&count);
    assert_int_equal(count, 3);
    for (int i = 0; i < count; i++)
        if (strcmp(all[i], first) != 0)
            one_of_two = all[i];
    sim_end(w.runtime, one_of_two, "Failed", "The cause.", 1);
    settle();
    assert_string_equal(doc_text(describe(), "EndpointStatus"), "InService");
    assert_int_equal(routed(), 1);
    later(5000);
    agents(&count);
    assert_int_equal(count, 3);
    deaf = false;
    acknowledge();
    for (int i = 0; i < 5; i++)
        later(2000);
    only_agent();
    end();
}

static void a_failure_tells_its_cause_and_where_the_log_is(void **state)
{
    char words[2001] = "";
    const char *reason;

    begin(2);
    w.at_once = false;
    call("CreateModel", "{'ModelName':'m','ExecutionRoleArn':'" ROLE "','PrimaryContainer':{'Image':'xgboost'}}");
    configure("c", 1);
    call("CreateEndpoint", "{'EndpointName':'e','EndpointConfigName':'c'}");
    settle();
    memset(words, 'x', 2000);
    memcpy(words, "The cause.", 10);
    /* Its container ran, as that of a training job does: serving, to the simulation, is to be healthy. */
    sim_report(w.runtime, only_agent(), "Training", "");
    sim_end(w.runtime, only_agent(), "Failed", words, 1);
    settle();
    assert_string_equal(doc_text(describe(), "EndpointStatus"), "Failed");
    reason = doc_text(describe(), "FailureReason");
    assert_int_equal(strlen(reason), 1024);
    assert_int_equal(strncmp(reason, "The cause.", 10), 0);
    assert_non_null(strstr(reason, "/aws/sagemaker/Endpoints/e, stream v/i-"));

    /* It is among the old ones and is what was wanted: each step towards its end is taken once. */
    call("DeleteEndpoint", "{'EndpointName':'e'}");
    later(5000);
    assert_null(row_of("e").uid);

    /* One whose container never ran has no log. */
    call("CreateEndpoint", "{'EndpointName':'e','EndpointConfigName':'c'}");
    settle();
    sim_end(w.runtime, only_agent(), "Failed", "There is no such archive", 1);
    settle();
    assert_string_equal(doc_text(describe(), "FailureReason"), "There is no such archive.");
    end();
}

static const struct doc *metric(const struct doc *batch, const char *name)
{
    const struct doc *data = doc_get(batch, "data");

    for (size_t i = 0; i < doc_count(data, ""); i++)
        if (doc_is(data->items[i], "name", name))
            return data->items[i];
    return NULL;
}

/* Names, units and dimensions of "Monitor Amazon SageMaker with Amazon CloudWatch". */
static void the_metrics_are_sagemakers(void **state)
{
    static const struct {
        const char *name, *unit;
        double sum, minimum, maximum;
    } expected[] = {
        { "Invocations", "None", 4, 1, 1 },          { "InvocationsPerInstance", "None", 2, 0.5, 0.5 },
        { "Invocation4XXErrors", "None", 1, 0, 1 },  { "Invocation5XXErrors", "None", 2, 0, 1 },
        { "InvocationModelErrors", "None", 3, 0, 1 }, { "ModelLatency", "Microseconds", 60, 10, 30 },
        { "OverheadLatency", "Microseconds", 9, 1, 5 },
    };
    struct counters_reading r = { .account = "1", .region = "r", .endpoint = "e", .variant = "v", .invocations = 4,
                                  .per_instance_ppm = 2000000, .errors_4xx = 1, .errors_5xx = 2,
                                  .model = { 3, 60, 10, 30 }, .overhead = { 3, 9, 1, 5 } };
    struct arena *a = arena_new();
    const struct doc *batch = endpoint_metrics(a, &r, 60000);

    assert_string_equal(doc_text(batch, "namespace"), "AWS/SageMaker");
    assert_int_equal(doc_count(batch, "data"), sizeof expected / sizeof *expected);
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
        const struct doc *m = metric(batch, expected[i].name);

        assert_string_equal(doc_text(m, "unit"), expected[i].unit);
        assert_string_equal(doc_text(m, "dimensions.EndpointName"), "e");
        assert_string_equal(doc_text(m, "dimensions.VariantName"), "v");
        assert_int_equal(doc_member_count(m, "dimensions"), 2);
        assert_true(doc_number(m, "statistics.sum", -1) == expected[i].sum);
        assert_true(doc_number(m, "statistics.minimum", -1) == expected[i].minimum);
        assert_true(doc_number(m, "statistics.maximum", -1) == expected[i].maximum);
    }
    /* Nobody answered: there is no latency. */
    r.model.count = r.overhead.count = 0;
    assert_int_equal(doc_count(endpoint_metrics(a, &r, 60000), "data"), 5);
    arena_free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_dead_instance_is_replaced),
        cmocka_unit_test(a_lost_instance_is_another_one),
        cmocka_unit_test(tags_of_its_time_are_on_the_bill),
        cmocka_unit_test(a_crash_loop_does_not_spin),
        cmocka_unit_test(during_an_update_too),
        cmocka_unit_test(an_update_without_room_is_rolled_back),
        cmocka_unit_test(an_update_waits_a_while_and_says_so),
        cmocka_unit_test(what_was_published_is_drained_before_it_is_stopped),
        cmocka_unit_test(a_failure_tells_its_cause_and_where_the_log_is),
        cmocka_unit_test(the_metrics_are_sagemakers),
    };

    log_setup("test", LOG_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
