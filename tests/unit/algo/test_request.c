/* test_request.c - what an invocation may bring. */
#include <math.h>
#include <string.h>

#include "algo/request.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static int parse(const char *type, const char *body, struct matrix *m, struct err *err)
{
    const char *format;

    return request_parse(str_of(type), str_of(body), m, &format, err);
}

static void test_forms(void **state)
{
    static const struct {
        const char *type, *body;
    } cases[] = {
        { "", "1,2,\n3,4,5\n" },
        { "text/csv; charset=utf-8", "1;2;nan\n3;4;5" },
        { "TEXT/CSV", " 1,2,NA\r\n3,4,5\r\n" },
        { "text/libsvm", "0:1 1:2\n0:3 1:4 2:5" },
        { "application/json", "{\"instances\":[{\"features\":[1,2,null]},{\"features\":[3,4,5]}]}" },
        { "application/json", "{\"instances\":[[1,2.0,null],[3,4,5]]}" },
        { "application/json", "[[1,2,null],[3,4,5]]" },
        { "application/json", "{\"instances\":[{\"data\":{\"features\":{\"values\":[1,2,null]}}},[3,4,5]]}" },
        { "application/json",
          "{\"instances\":[{\"data\":{\"features\":{\"keys\":[0,1],\"shape\":[3],\"values\":[1,2]}}},"
          "{\"data\":{\"features\":{\"keys\":[2,1,0],\"shape\":[3],\"values\":[5,4,3]}}}]}" },
        { "application/jsonlines", "{\"features\":[1,2,null]}\n\n[3,4,5]\n" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        _cleanup_matrix_ struct matrix m = { 0 };
        struct err err = { 0 };
        float rows[6];

        if (parse(cases[i].type, cases[i].body, &m, &err) < 0)
            fail_msg("%s: %s", cases[i].body, err.text);
        assert_int_equal(m.rows, 2);
        assert_int_equal(m.columns, 3);
        matrix_to_dense(&m, 3, rows);
        assert_true(rows[0] == 1 && rows[1] == 2 && isnan(rows[2]) && rows[3] == 3 && rows[4] == 4 && rows[5] == 5);
    }
}

static void test_refused(void **state)
{
    static const struct {
        const char *type, *body, *said;
    } cases[] = {
        { "image/png", "x", "image/png is not an accepted ContentType" },
        { "text/csv", "a,b", "Loading csv data failed with Exception, please ensure data is in csv format" },
        { "text/csv", " \n", "there are no rows" },
        { "application/json", "{\"instances\":[]}", "there are no instances" },
        { "application/json", "{\"instances\":[{\"other\":1}]}", "instance 1 is neither" },
        { "application/json", "[[1,2],[3]]", "instance 2 has 1 features, those before it have 2" },
        { "application/json", "[[1,\"2\"]]", "feature 1 of instance 1 is not a number" },
        { "application/json", "[[1,2],{\"features\":{\"keys\":[1],\"values\":[2]}}]",
          "is sparse, those before it are dense" },
        { "application/json", "[{\"features\":{\"keys\":[-1],\"values\":[2]}}]", "is no column number" },
        { "application/json", "7", "is neither a list" },
        { "application/json", "[[1,2]", "Loading json data failed" },
        { "application/x-recordio-protobuf", "x", "is cut off in its header" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        _cleanup_matrix_ struct matrix m = { 0 };
        struct err err = { 0 };

        assert_int_equal(parse(cases[i].type, cases[i].body, &m, &err), -1);
        if (!strstr(err.text, cases[i].said))
            fail_msg("%s gave: %s", cases[i].body, err.text);
        assert_null(m.values);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forms),
        cmocka_unit_test(test_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
