#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#undef fail /* ours is a function */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "doc/json.h"
#include "route/snapshot.h"

static char folder[64], path[96];

static int set_up(void **state)
{
    snprintf(folder, sizeof folder, "/tmp/sb-route-XXXXXX");
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/route.json", folder);
    return 0;
}

static int tear_down(void **state)
{
    struct err err;

    return tree_remove(folder, &err);
}

static void test_round_trip(void **state)
{
    _cleanup_arena_ struct arena *a = arena_new();
    struct doc *policies = doc_list(a);
    struct route_instance instances[] = { { "i1", "127.0.0.1", 8080 }, { "i2", "/run/x.sock", 0 } };
    struct route_variant variants[] = { { "AllTraffic", "v1", 0.25, instances, 2 }, { "Other", "v2", 0, NULL, 0 } };
    struct route_endpoint endpoint = { "E", "us-east-1", "123456789012", "arn:e", variants, 2 };
    struct route_key key = { "AKIA", "s", "123456789012", "arn:k", "AIDA", policies, true };
    struct route_role role = { "arn:r", "AROA", policies };
    struct route_snapshot s = {
        7, { "0123456789abcdef0123456789abcdef", 32 }, "123456789012", "us-east-1", &key, 1, &role, 1, &endpoint, 1
    };
    struct route_snapshot got;
    struct stat st;
    struct err err = { 0 };

    doc_append(a, policies, doc_map(a));
    assert_int_equal(route_snapshot_write(path, &s, &err), 0);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(route_snapshot_read(a, path, &got, &err), 0);
    assert_int_equal(got.generation, 7);
    assert_int_equal(got.session_key.size, 32);
    assert_memory_equal(got.session_key.data, s.session_key.data, 32);
    assert_string_equal(got.keys[0].secret, "s");
    assert_true(got.keys[0].trusted);
    assert_int_equal(got.keys[0].policies->count, 1);
    assert_string_equal(got.roles[0].arn, "arn:r");
    assert_string_equal(got.roles[0].id, "AROA");
    assert_int_equal(got.endpoints[0].variant_count, 2);
    assert_true(got.endpoints[0].variants[0].weight == 0.25);
    assert_int_equal(got.endpoints[0].variants[0].instances[0].port, 8080);
    assert_string_equal(got.endpoints[0].variants[0].instances[1].address, "/run/x.sock");
    assert_int_equal(got.endpoints[0].variants[1].instance_count, 0);
}

static void test_refuses(void **state)
{
#define HEAD "{\"version\":1,\"generation\":1,\"account\":\"1\",\"default_region\":\"r\""
    static const struct {
        const char *text, *says;
    } cases[] = {
        { "", "" },
        { "[]", "version" },
        { "{\"version\":2,\"generation\":1}", "version" },
        { "{\"version\":1,\"generation\":0}", "generation" },
        { HEAD ",\"session_key\":\"AAAA\"}", "session_key" },
        { HEAD ",\"keys\":{}}", "keys" },
        { HEAD ",\"keys\":[{\"id\":\"A\"}]}", "keys[0].secret" },
        { HEAD ",\"keys\":[7]}", "keys[0].id" },
        { HEAD ",\"roles\":[{\"arn\":\"a\",\"policies\":[\"x\"]}]}", "roles[0].policies" },
        { HEAD ",\"endpoints\":[{\"name\":\"\"}]}", "endpoints[0].name" },
        { HEAD ",\"endpoints\":[{\"name\":\"e\",\"region\":\"r\",\"account\":\"1\",\"arn\":\"a\",\"variants\":[{"
               "\"name\":\"v\","
               "\"weight\":-1}]}]}",
          "endpoints[0].variants[0].weight" },
        { HEAD ",\"endpoints\":[{\"name\":\"e\",\"region\":\"r\",\"account\":\"1\",\"arn\":\"a\",\"variants\":[{"
               "\"name\":\"v\","
               "\"weight\":1,\"instances\":[{\"uid\":\"u\",\"address\":\"localhost\",\"port\":80}]}]}]}",
          "endpoints[0].variants[0].instances[0].address" },
        { HEAD ",\"endpoints\":[{\"name\":\"e\",\"region\":\"r\",\"account\":\"1\",\"arn\":\"a\",\"variants\":[{"
               "\"name\":\"v\","
               "\"weight\":1,\"instances\":[{\"uid\":\"u\",\"address\":\"::1\",\"port\":65536}]}]}]}",
          "port" },
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        _cleanup_arena_ struct arena *a = arena_new();
        struct route_snapshot s;
        struct err err = { 0 };

        assert_int_equal(route_snapshot_parse(a, str_of(cases[i].text), &s, &err), -1);
        assert_int_equal(err.kind, ERR_INVALID);
        assert_non_null(strstr(err.text, cases[i].says));
    }
}

static void test_missing(void **state)
{
    _cleanup_arena_ struct arena *a = arena_new();
    struct route_snapshot s;
    struct route_ack ack;
    struct err err;

    assert_int_equal(route_snapshot_read(a, path, &s, &err), -1);
    assert_int_equal(err.kind, ERR_NOT_FOUND);
    assert_int_equal(route_ack_read(path, &ack, &err), -1);
    assert_int_equal(err.kind, ERR_NOT_FOUND);
}

static void test_ack(void **state)
{
    struct route_ack ack;
    struct err err;

    assert_int_equal(route_ack_write(path, &(struct route_ack){ 9, 7 }, &err), 0);
    assert_int_equal(route_ack_read(path, &ack, &err), 0);
    assert_int_equal(ack.applied, 9);
    assert_int_equal(ack.drained, 7);
    assert_int_equal(file_write_atomic(path, "{\"version\":1}", 13, 0600, &err), 0);
    assert_int_equal(route_ack_read(path, &ack, &err), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_round_trip, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_refuses, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_missing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_ack, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
