#include <string.h>

#include "agent/ml.h"
#include "agent/order.h"
#include "doc/json.h"
#include "run/tunnel_device.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static const struct doc *parse(struct arena *a, const char *text)
{
    struct doc *d;
    struct err err;

    assert_int_equal(json_parse(a, str_of(text), &d, &err), 0);
    return d;
}

#define BASE "\"version\":1,\"name\":\"n-0\",\"image\":\"i:1\",\"data_folder\":\"/d\",\"run_folder\":\"/r\","

static void fields_have_defaults(void **state)
{
    _cleanup_arena_ struct arena *a = arena_new();
    struct order o;
    struct err err = { 0 };

    assert_int_equal(order_read(parse(a, "{" BASE "\"work\":\"serve\",\"limits\":{\"memory_bytes\":5}}"), &o, &err), 0);
    assert_string_equal(o.job_name, "");
    assert_string_equal(o.host_name, "algo-1");
    assert_string_equal(o.checkpoint_path, "/opt/ml/checkpoints");
    assert_int_equal(o.port, 8080);
    assert_int_equal(o.memory_bytes, 5);
    assert_false(order_trains(&o));
    assert_null(o.entrypoint);
}

static void bad_orders_are_refused(void **state)
{
    static const char *const bad[] = {
        "{}",
        "[]",
        "{" BASE "\"work\":\"play\"}",
        "{" BASE "\"work\":\"train\",\"port\":70000}",
        "{" BASE "\"work\":\"train\",\"channels\":[{\"name\":\"../x\"}]}",
        "{" BASE "\"work\":\"train\",\"channels\":[{\"name\":\"..\"}]}",
        "{" BASE "\"work\":\"train\",\"channels\":[{}]}",
        "{" BASE "\"work\":\"train\",\"entrypoint\":[1]}",
        "{" BASE "\"work\":\"train\",\"arguments\":[\"a\\u0000b\"]}",
        "{" BASE "\"work\":\"train\",\"max_runtime_s\":-1}",
        "{" BASE "\"work\":\"train\",\"host_name\":\"a b\"}",
        "{" BASE "\"work\":\"train\",\"outputs\":[{\"local_path\":\"/opt/ml/output/../input\"}]}",
        "{" BASE "\"work\":\"train\",\"outputs\":[{\"local_path\":\"/opt/ml/processing/a\"}]}",
        "{" BASE "\"work\":\"process\",\"outputs\":[{\"local_path\":\"/opt/ml/output/a\"}]}",
        "{\"version\":1,\"work\":\"train\"}",
        "{\"version\":2,\"work\":\"train\"}",
    };
    _cleanup_arena_ struct arena *a = arena_new();
    struct order o;

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct err err = { 0 };

        if (order_read(parse(a, bad[i]), &o, &err) == 0)
            fail_msg("accepted: %s", bad[i]);
        assert_int_equal(err.kind, ERR_INVALID);
    }
}

static const char *joined(struct arena *a, const char *const *list)
{
    const char *text = "";

    for (; *list; list++)
        text = arena_printf(a, "%s|%s", text, *list);
    return text;
}

static void commands_follow_the_contract(void **state)
{
    _cleanup_arena_ struct arena *a = arena_new();
    static const char *const entry[] = { "/own", "x", NULL };
    struct image oci = { .kind = IMAGE_OCI, .entrypoint = entry }, ours = { .kind = IMAGE_HOST };
    struct order o;
    struct err err = { 0 };

    assert_int_equal(order_read(parse(a, "{" BASE "\"work\":\"train\"}"), &o, &err), 0);
    assert_string_equal(joined(a, ml_command(a, &o, &oci, NULL)), "|/own|x|train");
    assert_string_equal(joined(a, ml_command(a, &o, &ours, "/p")), "|/p|train");
    assert_int_equal(order_read(parse(a, "{" BASE "\"work\":\"train\",\"entrypoint\":[\"e\"]}"), &o, &err), 0);
    assert_string_equal(joined(a, ml_command(a, &o, &oci, NULL)), "|e");
    assert_int_equal(order_read(parse(a, "{" BASE "\"work\":\"train\",\"arguments\":[\"b\"]}"), &o, &err), 0);
    assert_string_equal(joined(a, ml_command(a, &o, &oci, NULL)), "|/own|x|b");
    assert_int_equal(
        order_read(parse(a, "{" BASE "\"work\":\"train\",\"entrypoint\":[\"e\"],\"arguments\":[\"b\"]}"), &o, &err), 0);
    assert_string_equal(joined(a, ml_command(a, &o, &oci, NULL)), "|e|b");
    assert_int_equal(order_read(parse(a, "{" BASE "\"work\":\"serve\"}"), &o, &err), 0);
    assert_string_equal(joined(a, ml_command(a, &o, &oci, NULL)), "|/own|x|serve");
}

static void the_request_wins_in_the_environment(void **state)
{
    _cleanup_arena_ struct arena *a = arena_new();
    static const char *const env[] = { "PATH=/img", "A=1", NULL };
    struct image oci = { .kind = IMAGE_OCI, .environment = env };
    const char *text;
    struct order o;
    struct err err = { 0 };

    assert_int_equal(
        order_read(parse(a,
                         "{" BASE "\"work\":\"train\",\"job_name\":\"j\",\"environment\":{\"A\":\"2\",\"B=C\":\"x\"},"
                         "\"isolated\":true}"),
                   &o, &err),
        0);
    text = joined(a, ml_environment(a, &o, &oci, NULL, 0));
    assert_non_null(strstr(text, "|PATH=/img|"));
    assert_non_null(strstr(text, "|A=2|"));
    assert_null(strstr(text, "A=1"));
    assert_null(strstr(text, "B=C"));
    assert_null(strstr(text, "AWS_CONTAINER"));
    assert_non_null(strstr(text, "|TRAINING_JOB_NAME=j|"));
}

#define CREW "\"work\":\"train\",\"hosts\":[\"algo-1\",\"algo-2\"],\"peers\":{\"algo-1\":\"a-0\",\"algo-2\":\"b-0\"}"

static void instances_on_different_machines_have_a_tunnel(void **state)
{
    _cleanup_arena_ struct arena *a = arena_new();
    static const char *const bad[] = {
        "{" BASE CREW ",\"mesh\":{\"server\":\"10.0.0.1\"}}",
        "{" BASE CREW ",\"mesh\":{\"server\":\"10.0.0.1\"},\"tunnel\":{\"secret\":\"s\"},\"host_name\":\"algo-3\"}",
        "{" BASE "\"work\":\"train\",\"mesh\":{\"server\":\"10.0.0.1\"},\"tunnel\":{\"secret\":\"s\"}}",
    };
    struct order o;
    struct err err = { 0 };

    assert_int_equal(order_read(parse(a, "{" BASE CREW "}"), &o, &err), 0);
    assert_false(order_spans_machines(&o));
    assert_int_equal(order_read(parse(a, "{" BASE CREW ",\"mesh\":{\"server\":\"10.0.0.1\"},\"tunnel\":{\"secret\":"
                                         "\"s\"},\"host_name\":\"algo-2\",\"remote\":{\"token\":\"t\"}}"),
                                &o, &err), 0);
    assert_true(order_spans_machines(&o));
    assert_string_equal(o.token, "t");
    assert_int_equal(order_number(&o, "algo-2"), 2);
    assert_int_equal(order_number(&o, "algo-3"), 0);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(order_read(parse(a, bad[i]), &o, &err), -1);
    assert_string_equal(tunnel_address(a, 1), "10.214.0.1");
    assert_string_equal(tunnel_address(a, 4095), "10.214.15.255");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fields_have_defaults),
        cmocka_unit_test(bad_orders_are_refused),
        cmocka_unit_test(commands_follow_the_contract),
        cmocka_unit_test(the_request_wins_in_the_environment),
        cmocka_unit_test(instances_on_different_machines_have_a_tunnel),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
