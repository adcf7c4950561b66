#include "aws/cbor.h"
#include "doc/json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <math.h>
#include <string.h>
#include <cmocka.h>

static struct arena *arena;
static struct err err;

static int setup(void **state)
{
    arena = arena_new();
    return 0;
}

static int teardown(void **state)
{
    arena_free(arena);
    return 0;
}

/* Examples of RFC 8949, appendix A. */
static void rfc_examples_are_read(void **state)
{
    static const char *const examples[][2] = {
        { "00", "0" },
        { "17", "23" },
        { "1818", "24" },
        { "1903e8", "1000" },
        { "1b000000e8d4a51000", "1000000000000" },
        { "20", "-1" },
        { "3903e7", "-1000" },
        { "3b7fffffffffffffff", "-9223372036854775808" },
        { "f93c00", "1.0" },
        { "f90001", "5.9604644775390625e-08" },
        { "f97bff", "65504.0" },
        { "fa47c35000", "100000.0" },
        { "fb3ff199999999999a", "1.1" },
        { "f97c00", "\"Infinity\"" },
        { "f9fc00", "\"-Infinity\"" },
        { "f4", "false" },
        { "f5", "true" },
        { "f6", "null" },
        { "f7", "null" },
        { "c11a514b67b0", "1363896240" },
        { "4401020304", "\"AQIDBA==\"" },
        { "60", "\"\"" },
        { "6449455446", "\"IETF\"" },
        { "62c3bc", "\"ü\"" },
        { "80", "[]" },
        { "83010203", "[1,2,3]" },
        { "a0", "{}" },
        { "a26161016162820203", "{\"a\":1,\"b\":[2,3]}" },
        { "9f018202039f0405ffff", "[1,[2,3],[4,5]]" },
        { "bf61610161629f0203ffff", "{\"a\":1,\"b\":[2,3]}" },
        { "7f657374726561646d696e67ff", "\"streaming\"" },
        { "5f42010243030405ff", "\"AQIDBAU=\"" },
        { "a2616101616102", "{\"a\":2}" },
    };

    for (size_t i = 0; i < sizeof examples / sizeof examples[0]; i++) {
        char bytes[100];
        struct doc *d;

        assert_true(hex_decode(bytes, str_of(examples[i][0])));
        assert_int_equal(cbor_parse(arena, (struct str){ bytes, strlen(examples[i][0]) / 2 }, &d, &err), 0);
        assert_string_equal(json_text(arena, d), examples[i][1]);
    }
}

static void what_is_not_cbor_is_refused(void **state)
{
    static const char *const bad[] = {
        "",
        "18",
        "1b00",
        "1bffffffffffffffff",
        "61",
        "62c328",
        "7f",
        "7f4161ff",
        "5b7fffffffffffffff61",
        "81",
        "9b7fffffffffffffff",
        "bf6161",
        "a1",
        "a10101",
        "a1610001",
        "ff",
        "1f",
        "c2430102",
        "c0",
        "c1f5",
        "f8ff",
        "0000",
        "1c",
        "7f7f6161ffff",
    };

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        char bytes[100];
        struct doc *d;

        assert_true(hex_decode(bytes, str_of(bad[i])));
        err = (struct err){ 0 };
        if (cbor_parse(arena, (struct str){ bytes, strlen(bad[i]) / 2 }, &d, &err) == 0)
            fail_msg("%s was taken", bad[i]);
        assert_int_equal(err.kind, ERR_INVALID);
    }
}

static void nesting_is_bounded(void **state)
{
    char deep[1000];
    struct doc *d;

    memset(deep, 0x81, sizeof deep);
    assert_int_equal(cbor_parse(arena, (struct str){ deep, sizeof deep }, &d, &err), -1);
    memset(deep, 0xc1, sizeof deep);
    assert_int_equal(cbor_parse(arena, (struct str){ deep, sizeof deep }, &d, &err), -1);
}

static void a_shape_decides_how_it_is_printed(void **state)
{
    const struct shape *shape = model_operation(model_service("cloudwatch"), STR("GetMetricStatistics"))->output;
    _cleanup_buf_ struct buf b = { 0 };
    struct doc *d;
    char text[300];

    assert_int_equal(
        json_parse(
            arena,
            STR("{\"Label\":\"x\",\"Unknown\":1,\"Datapoints\":[{\"Timestamp\":1000,\"Sum\":2},{\"Timestamp\":1500}]}"),
            &d, &err),
        0);
    cbor_print(&b, shape, d);
    hex_encode(text, b.data, b.size);
    assert_string_equal(text,
                        "a2654c6162656c61786a44617461706f696e747382a26954696d657374616d70c1016353756dfb4000000000000000"
                        "a16954696d657374616d70c1fb3ff8000000000000");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rfc_examples_are_read),
        cmocka_unit_test(what_is_not_cbor_is_refused),
        cmocka_unit_test(nesting_is_bounded),
        cmocka_unit_test(a_shape_decides_how_it_is_printed),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
