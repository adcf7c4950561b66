/* test_libsvm.c - sparse text. */
#include <math.h>
#include <string.h>

#include "algo/libsvm.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static const struct libsvm_options file = { .name = "a.libsvm", .labeled = true }, request = { 0 };

static void test_plain(void **state)
{
    _cleanup_matrix_ struct matrix m = { 0 };
    struct err err = { 0 };
    float dense[12];

    (void)state;
    assert_int_equal(libsvm_parse(STR("1 0:1.5 3:-2\n# a comment\n0 2:7 # the rest\r\n-1\n"), &file, &m, &err), 0);
    assert_int_equal(m.rows, 3);
    assert_int_equal(m.columns, 4);
    assert_true(m.labels[0] == 1 && m.labels[1] == 0 && m.labels[2] == -1);
    assert_int_equal(m.row_start[1], 2);
    assert_int_equal(m.row_start[3], 3);
    matrix_to_dense(&m, 4, dense);
    assert_true(dense[0] == 1.5f && isnan(dense[1]) && dense[3] == -2 && dense[6] == 7 && isnan(dense[8]));
    /* A second file goes below the first. */
    assert_int_equal(libsvm_parse(STR("5 9:1\n"), &file, &m, &err), 0);
    assert_int_equal(m.rows, 4);
    assert_int_equal(m.columns, 10);
}

static void test_weights_and_queries(void **state)
{
    _cleanup_matrix_ struct matrix m = { 0 }, q = { 0 };
    struct err err = { 0 };

    (void)state;
    assert_int_equal(libsvm_parse(STR("1 0:1\n0:0.25 0:2\n1 1:1\n"), &file, &m, &err), 0);
    assert_true(m.weights[0] == 1 && m.weights[1] == 0.25f && m.weights[2] == 1);
    assert_int_equal(libsvm_parse(STR("1 qid:7 0:1\n0 qid:7 0:2\n1 qid:9 0:3\n"), &file, &q, &err), 0);
    assert_int_equal(q.queries[1], 7);
    assert_int_equal(q.queries[2], 9);
}

static void test_request(void **state)
{
    _cleanup_matrix_ struct matrix m = { 0 };
    struct err err = { 0 };

    (void)state;
    assert_int_equal(libsvm_parse(STR("0:1 1:2\n3 1:4\n"), &request, &m, &err), 0); /* with a label and without */
    assert_int_equal(m.rows, 2);
    assert_int_equal(m.row_start[1], 2);
    assert_int_equal(m.row_start[2], 3);
    assert_null(m.labels);
}

static void test_refused(void **state)
{
    static const char *const texts[] = { "a 0:1\n",          "1 0\n",   "1 0:x\n",   "1 -1:2\n",
                                         "1 4294967296:2\n", "1,2,3\n", "1 0:1:2\n", "1 qid:1 0:1\n1 0:1\n",
                                         "1: 0:1\n" };

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        _cleanup_matrix_ struct matrix m = { 0 };
        struct err err = { 0 };

        assert_int_equal(libsvm_parse(str_of(texts[i]), &file, &m, &err), -1);
        assert_non_null(strstr(err.text, "is not 'LIBSVM' format"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain),
        cmocka_unit_test(test_weights_and_queries),
        cmocka_unit_test(test_request),
        cmocka_unit_test(test_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
