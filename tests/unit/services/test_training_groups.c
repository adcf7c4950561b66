/* Instance groups: which instance is in which, which channel it has, and what the job pays. */
#include <string.h>

#include "doc/json.h"
#include "fleet/instance_type.h"
#include "services/platform.h"
#include "services/sagemaker/allocation.h"
#include "services/sagemaker/training_groups.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static struct arena *a;

static struct doc *json(const char *text)
{
    char *copy = arena_strdup(a, text);
    struct doc *d;
    struct err err;

    for (char *p = copy; *p; p++)
        *p = *p == '\'' ? '"' : *p;
    if (json_parse(a, str_of(copy), &d, &err) < 0)
        fail_msg("%s: %s", text, err.text);
    return d;
}

static const char mixed[] =
    "{'EnableManagedSpotTraining':true,'ResourceConfig':{'InstanceGroups':["
    "{'InstanceGroupName':'one','InstanceType':'ml.m5.large','InstanceCount':2},"
    "{'InstanceGroupName':'two','InstanceType':'ml.g5.xlarge','InstanceCount':1},"
    "{'InstanceGroupName':'three','InstanceType':'ml.m5.large','InstanceCount':3}]}}";
static const char plain[] = "{'ResourceConfig':{'InstanceType':'ml.m5.large','InstanceCount':4}}";

static void test_numbers(void **state)
{
    struct training_spec s = training_spec_of(json(mixed));

    assert_int_equal(s.instance_count, 6);
    assert_string_equal(s.instance_type, "ml.m5.large");
    for (int i = 0; i < 6; i++)
        assert_string_equal(training_group_of(&s, i).name, i < 2 ? "one" : i < 3 ? "two" : "three");
    assert_int_equal(training_group_of(&s, 5).first, 3);
    s = training_spec_of(json(plain));
    assert_string_equal(training_group_of(&s, 3).name, "homogeneousCluster");
    assert_int_equal(training_group_of(&s, 3).count, 4);
    assert_string_equal(json_text(a, training_groups_told(a, &s)),
                        "[{\"name\":\"homogeneousCluster\",\"instance_type\":\"ml.m5.large\","
                        "\"hosts\":[\"algo-1\",\"algo-2\",\"algo-3\",\"algo-4\"]}]");
}

static void test_channels(void **state)
{
    const struct doc *c = json("{'DataSource':{'S3DataSource':{'InstanceGroupNames':['two','one']}}}");
    struct training_spec s = training_spec_of(json(mixed));
    struct err err;

    assert_true(training_channel_is_for(c, "one"));
    assert_false(training_channel_is_for(c, "three"));
    assert_true(training_channel_is_for(json("{}"), "three"));
    assert_string_equal(json_text(a, training_channel_hosts(a, &s, c)), "[\"algo-1\",\"algo-2\",\"algo-3\"]");
    assert_null(training_channel_hosts(a, &s, json("{}")));
    assert_int_equal(training_check_channel_groups(&s, c, &err), 0);
    s = training_spec_of(json(plain));
    assert_int_equal(training_check_channel_groups(&s, c, &err), -1);
}

static void test_prices(void **state)
{
    const struct resource r = { .row = { .region = "us-east-1", .arn = "", .spec = json(mixed), .uid = "uid" } };
    const struct resource p = { .row = { .region = "us-east-1", .arn = "", .spec = json(plain) } };
    struct fleet fleet = fleet_of_slots(a, "local", 8, 0);
    const struct platform platform = { .fleet = &fleet, .allocations = allocations_new(&fleet, clock_system()) };
    double m5 = instance_type("ml.m5.large")->usd_hour, g5 = instance_type("ml.g5.xlarge")->usd_hour;
    double m5_spot = m5 * instance_spot_share("ml.m5.large", "us-east-1");
    double g5_spot = g5 * instance_spot_share("ml.g5.xlarge", "us-east-1");
    double share = (5 * m5_spot + g5_spot) / (5 * m5 + g5);

    assert_true(doc_number(training_usage(a, &platform, &r, 2), "usd_hour", 0) == g5_spot);
    assert_true(doc_number(training_usage(a, &platform, &r, 3), "usd_hour", 0) == m5_spot);
    assert_string_equal(doc_text(training_usage(a, &platform, &r, 2), "instance_type"), "ml.g5.xlarge");
    assert_string_equal(doc_text(training_usage(a, &platform, &r, 2), "instance"), child_uid(a, "uid", "algo-3", 0));
    assert_float_equal(training_price_share(&platform, &r), share, 1e-9);
    assert_true(training_price_share(&platform, &p) == 1);
    allocations_free(platform.allocations);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_numbers), cmocka_unit_test(test_channels),
                                        cmocka_unit_test(test_prices) };
    int failed;

    a = arena_new();
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    arena_free(a);
    return failed;
}
