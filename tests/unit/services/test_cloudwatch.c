/* Metrics on a memory store: put in every form, got back as statistics. */
#include <math.h>

#include "services/cloudwatch/cloudwatch.h"

#include "world.h"

#define MINUTE INT64_C(60000)

static const char dimensions[] = "[{'Name':'b','Value':'2'},{'Name':'a','Value':'1'}]";

static void put(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void put(const char *format, ...)
{
    va_list ap;
    struct doc *data, *input = json("{'Namespace':'n'}");

    va_start(ap, format);
    data = vjson(format, ap);
    va_end(ap);
    doc_set(w.arena, input, "MetricData", data);
    must("cloudwatch", "PutMetricData", input);
}

/* NAN: no such data point. */
static double statistic(int64_t start_ms, int64_t end_ms, int period_s, const char *name, int at)
{
    bool extended = *name == 'p';
    const struct doc *o = must(
        "cloudwatch", "GetMetricStatistics",
        json("{'Namespace':'n','MetricName':'m','Dimensions':[{'Name':'a','Value':'1'},{'Name':'b','Value':'2'}],"
             "'StartTime':%lld,'EndTime':%lld,'Period':%d,'%s':['%s']}",
             (long long)start_ms, (long long)end_ms, period_s, extended ? "ExtendedStatistics" : "Statistics", name));
    const struct doc *point = doc_at(o, arena_printf(w.arena, "Datapoints[%d]", at));

    return doc_number(extended ? doc_get(doc_get(point, "ExtendedStatistics"), name) : doc_get(point, name), "", NAN);
}

static void test_every_form(void **state)
{
    put("[{'MetricName':'m','Dimensions':%s,'Timestamp':%lld,'Value':4,'Unit':'Seconds'}]", dimensions,
        (long long)NOON);
    put("[{'MetricName':'m','Dimensions':%s,'Timestamp':%lld,'Value':4}]", dimensions, (long long)NOON + 1);
    put("[{'MetricName':'m','Dimensions':%s,'Timestamp':%lld,'Values':[1,2.5],'Counts':[3,1]}]", dimensions,
        (long long)NOON + 2);
    assert_true(statistic(NOON, NOON + MINUTE, 60, "SampleCount", 0) == 6);
    assert_true(statistic(NOON, NOON + MINUTE, 60, "Sum", 0) == 13.5);
    assert_true(statistic(NOON, NOON + MINUTE, 60, "Average", 0) == 2.25);
    assert_true(statistic(NOON, NOON + MINUTE, 60, "Minimum", 0) == 1);
    assert_true(statistic(NOON, NOON + MINUTE, 60, "Maximum", 0) == 4);
    assert_true(statistic(NOON, NOON + MINUTE, 60, "p50", 0) == 1);
    assert_true(statistic(NOON, NOON + MINUTE, 60, "p66", 0) == 2.5);
    assert_true(statistic(NOON, NOON + MINUTE, 60, "p100", 0) == 4);
    assert_true(isnan(statistic(NOON, NOON + MINUTE, 60, "Sum", 1)));
    assert_true(isnan(statistic(NOON + MINUTE, NOON + 2 * MINUTE, 60, "Sum", 0)));
    /* Of many at once only the four numbers are known. */
    put("[{'MetricName':'m','Dimensions':%s,'Timestamp':%lld,'StatisticValues':{'SampleCount':2,'Sum':10,'Minimum':-1,"
        "'Maximum':11}}]", dimensions, (long long)NOON);
    assert_true(statistic(NOON, NOON + MINUTE, 60, "Sum", 0) == 23.5);
    assert_true(statistic(NOON, NOON + MINUTE, 60, "Minimum", 0) == -1);
    assert_true(isnan(statistic(NOON, NOON + MINUTE, 60, "p50", 0)));
}

static void test_periods(void **state)
{
    for (int i = 0; i < 120; i++)
        put("[{'MetricName':'m','Dimensions':%s,'Timestamp':%lld,'Value':%d}]", dimensions,
            (long long)NOON + i * MINUTE, i);
    assert_true(statistic(NOON, NOON + 120 * MINUTE, 3600, "Sum", 0) == 59 * 30);
    assert_true(statistic(NOON, NOON + 120 * MINUTE, 3600, "Average", 1) == 89.5);
    assert_true(statistic(NOON, NOON + 120 * MINUTE, 3600, "p90", 0) == 53);
    assert_true(statistic(NOON + 5 * MINUTE, NOON + 7 * MINUTE, 60, "Sum", 1) == 6);
    assert_true(isnan(statistic(NOON + 5 * MINUTE, NOON + 7 * MINUTE, 60, "Sum", 2)));
    /* High resolution keeps seconds apart. */
    for (int i = 0; i < 3; i++)
        put("[{'MetricName':'m','Dimensions':%s,'Timestamp':%lld,'Value':7,'StorageResolution':1}]", dimensions,
            (long long)NOON + 200 * MINUTE + i * 1000);
    assert_true(statistic(NOON + 200 * MINUTE, NOON + 201 * MINUTE, 1, "Sum", 2) == 7);
}

/* A day of percentiles over many different values is a matter of milliseconds. */
static void test_many_values(void **state)
{
    for (int m = 0; m < 300; m++) {
        _cleanup_buf_ struct buf b = { 0 };

        for (int i = 0; i < 140; i++)
            buf_printf(&b, "%s%d.5", i ? "," : "", m * 140 + i);
        put("[{'MetricName':'m','Dimensions':%s,'Timestamp':%lld,'Values':[%s]}]", dimensions,
            (long long)NOON + m * MINUTE, b.data);
    }
    assert_true(statistic(NOON, NOON + 300 * MINUTE, 86400, "p50", 0) == 20999.5);
}

static void test_refusals(void **state)
{
    refused("cloudwatch", "PutMetricData", json("{'Namespace':'AWS/x','MetricData':[{'MetricName':'m','Value':1}]}"),
            "InvalidParameterValue");
    refused("cloudwatch", "PutMetricData", json("{'Namespace':'n','MetricData':[{'MetricName':'m'}]}"),
            "InvalidParameterCombination");
    refused("cloudwatch", "PutMetricData",
            json("{'Namespace':'n','MetricData':[{'MetricName':'m','Value':1,'Values':[1]}]}"),
            "InvalidParameterCombination");
    refused("cloudwatch", "PutMetricData",
            json("{'Namespace':'n','MetricData':[{'MetricName':'m','Values':[1,2],'Counts':[1]}]}"),
            "InvalidParameterValue");
    refused("cloudwatch", "PutMetricData", json("{'Namespace':'n','MetricData':[{'MetricName':'m','Value':1e300}]}"),
            "InvalidParameterValue");
    refused("cloudwatch", "GetMetricStatistics",
            json("{'Namespace':'n','MetricName':'m','StartTime':0,'EndTime':60000,'Period':60}"), "MissingParameter");
    refused(
        "cloudwatch", "GetMetricStatistics",
        json("{'Namespace':'n','MetricName':'m','StartTime':60000,'EndTime':60000,'Period':60,'Statistics':['Sum']}"),
        "InvalidParameterValue");
    refused("cloudwatch", "GetMetricStatistics",
            json("{'Namespace':'n','MetricName':'m','StartTime':0,'EndTime':%lld,'Period':60,'Statistics':['Sum']}",
                 (long long)NOON),
            "InvalidParameterCombination");
    refused("cloudwatch", "GetMetricData",
            json("{'MetricDataQueries':[{'Id':'a','Expression':'b*2'}],'StartTime':0,'EndTime':60000}"),
            "ValidationError");
}

static void test_data_and_list(void **state)
{
    const struct doc *o;

    put("[{'MetricName':'m','Timestamp':%lld,'Value':1},{'MetricName':'m','Timestamp':%lld,'Value':2},"
        "{'MetricName':'k','Dimensions':%s,'Value':3}]", (long long)NOON, (long long)NOON + MINUTE, dimensions);
    o = must(
        "cloudwatch", "GetMetricData",
        json("{'MetricDataQueries':[{'Id':'a','MetricStat':{'Metric':{'Namespace':'n','MetricName':'m'},'Period':60,"
             "'Stat':'Sum'}},{'Id':'b','ReturnData':false,'MetricStat':{'Metric':{'Namespace':'n','MetricName':'m'},"
             "'Period':60,'Stat':'Sum'}}],'StartTime':%lld,'EndTime':%lld}",
             (long long)NOON, (long long)NOON + 10 * MINUTE));
    assert_int_equal(doc_count(o, "MetricDataResults"), 1);
    assert_int_equal(doc_int(o, "MetricDataResults[0].Timestamps[0]", 0), NOON + MINUTE); /* the newest first */
    assert_true(doc_number(o, "MetricDataResults[0].Values[1]", 0) == 1);
    o = must("cloudwatch", "ListMetrics", json("{'Namespace':'n'}"));
    assert_int_equal(doc_count(o, "Metrics"), 2);
    o = must("cloudwatch", "ListMetrics", json("{'Dimensions':[{'Name':'a'}]}"));
    assert_int_equal(doc_count(o, "Metrics"), 1);
    assert_string_equal(doc_text(o, "Metrics[0].MetricName"), "k");
    o = must("cloudwatch", "ListMetrics", json("{'Dimensions':[{'Name':'a','Value':'2'}]}"));
    assert_int_equal(doc_count(o, "Metrics"), 0);
    w.now_ms += 4 * 3600 * 1000;
    assert_int_equal(doc_count(must("cloudwatch", "ListMetrics", json("{'RecentlyActive':'PT3H'}")), "Metrics"), 0);
}

/* A token is a place in this list; one that was made up leads neither to another region's metrics nor outside. */
static void test_list_token(void **state)
{
    static const char elsewhere[] = ACCOUNT "\0eu-central-1\0n\0m";
    struct doc *output;
    const struct doc *o;

    for (int i = 0; i < 501; i++)
        put("[{'MetricName':'m%d','Value':1}]", i);
    o = must("cloudwatch", "ListMetrics", json("{}"));
    assert_int_equal(doc_count(o, "Metrics"), 500);
    o = must("cloudwatch", "ListMetrics", json("{'NextToken':'%s'}", doc_text(o, "NextToken")));
    assert_int_equal(doc_count(o, "Metrics"), 1);
    assert_false(doc_has(o, "NextToken"));
    assert_int_equal(engine_call(w.arena, w.engine, &w.root, "eu-central-1", "cloudwatch", "PutMetricData",
                                 json("{'Namespace':'n','MetricData':[{'MetricName':'m','Value':1}]}"), &output,
                                 &w.err),
                     0);
    refused("cloudwatch", "ListMetrics",
            json("{'NextToken':'%s'}", base64_encode(w.arena, elsewhere, sizeof elsewhere)), "InvalidParameterValue");
    refused("cloudwatch", "ListMetrics", json("{'NextToken':''}"), "InvalidParameterValue");
    refused("cloudwatch", "ListMetrics", json("{'NextToken':'#'}"), "InvalidParameterValue");
}

/* From agents: the same batch again changes nothing. */
static void test_append(void **state)
{
    const struct doc *batch =
        json("{'account':'" ACCOUNT "','region':'eu-west-1','namespace':'n','id':'i1','data':[{'name':'m',"
             "'value':2,'at_ms':%lld,'dimensions':{'b':'2','a':'1'}},{'name':'m','at_ms':%lld,'statistics':"
             "{'samples':3,'sum':9,'minimum':1,'maximum':5},'dimensions':{'a':'1','b':'2'}}]}",
             (long long)NOON, (long long)NOON);

    for (int i = 0; i < 3; i++)
        assert_int_equal(metrics_append(w.arena, w.store, batch, NOON, &w.err), 0);
    assert_true(statistic(NOON, NOON + MINUTE, 60, "Sum", 0) == 11);
    assert_true(statistic(NOON, NOON + MINUTE, 60, "SampleCount", 0) == 4);
    /* Ids are forgotten when nobody can send them again, the values are not. */
    assert_int_equal(metrics_expire(w.store, NOON + INT64_C(3) * 24 * 3600 * 1000, &w.err), 0);
    assert_true(statistic(NOON, NOON + MINUTE, 60, "Sum", 0) == 11);
    assert_int_equal(metrics_append(w.arena, w.store, json("{'id':'x'}"), NOON, &w.err), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_every_form, world_new, world_free),
        cmocka_unit_test_setup_teardown(test_periods, world_new, world_free),
        cmocka_unit_test_setup_teardown(test_many_values, world_new, world_free),
        cmocka_unit_test_setup_teardown(test_refusals, world_new, world_free),
        cmocka_unit_test_setup_teardown(test_data_and_list, world_new, world_free),
        cmocka_unit_test_setup_teardown(test_list_token, world_new, world_free),
        cmocka_unit_test_setup_teardown(test_append, world_new, world_free),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
