/* test_csv.c - what people call CSV, and the messages for what is none. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "algo/csv.h"
#include "algo/number.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static int parse(const char *text, bool labeled, bool weighted, struct matrix *m, struct err *err)
{
    return csv_parse(
        str_of(text),
        &(struct csv_options){ .name = labeled ? "a.csv" : NULL, .labeled = labeled, .weighted = weighted }, m, err);
}

static void test_plain(void **state)
{
    _cleanup_matrix_ struct matrix m = { 0 };
    struct err err = { 0 };

    (void)state;
    assert_int_equal(parse("1,2.5,-3e-2\n0,,nan\r\n\n1, 4 ,\"5\"", true, false, &m, &err), 0);
    assert_int_equal(m.rows, 3);
    assert_int_equal(m.columns, 2);
    assert_true(m.labels[0] == 1 && m.labels[1] == 0 && m.labels[2] == 1);
    assert_true(m.values[0] == 2.5f && m.values[1] == -0.03f);
    assert_true(isnan(m.values[2]) && isnan(m.values[3]));
    assert_true(m.values[4] == 4 && m.values[5] == 5);
    assert_null(m.weights);
    /* A second file goes below the first. */
    assert_int_equal(parse("7,8,9\n", true, false, &m, &err), 0);
    assert_int_equal(m.rows, 4);
    assert_true(m.labels[3] == 7 && m.values[7] == 9);
}

static void test_delimiters(void **state)
{
    static const char *const texts[] = { "1,2,3\n",
                                         "1;2;3\n",
                                         "1\t2\t3\n",
                                         "1 2 3\n",
                                         "1|2|3\n",
                                         "\xef\xbb\xbf"
                                         "1,2,3" };

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        _cleanup_matrix_ struct matrix m = { 0 };
        struct err err = { 0 };

        assert_int_equal(parse(texts[i], false, false, &m, &err), 0);
        assert_int_equal(m.rows, 1);
        assert_int_equal(m.columns, 3);
        assert_true(m.values[0] == 1 && m.values[2] == 3);
    }
}

static void test_weights_and_ends(void **state)
{
    _cleanup_matrix_ struct matrix m = { 0 }, empty = { 0 }, single = { 0 };
    struct err err = { 0 };

    (void)state;
    assert_int_equal(parse("1,0.5,9\n0,2,8\n", true, true, &m, &err), 0);
    assert_int_equal(m.columns, 1);
    assert_true(m.weights[0] == 0.5f && m.weights[1] == 2 && m.values[1] == 8);
    assert_int_equal(parse("", true, false, &empty, &err), 0);
    assert_int_equal(empty.rows, 0);
    assert_int_equal(parse("5\n6", false, false, &single, &err), 0);
    assert_int_equal(single.rows, 2);
    assert_true(single.values[1] == 6);
}

static void test_trailing_missing(void **state)
{
    _cleanup_matrix_ struct matrix m = { 0 };
    struct err err = { 0 };

    (void)state;
    assert_int_equal(parse("1,2,\n3,,\n", false, false, &m, &err), 0);
    assert_int_equal(m.rows, 2);
    assert_int_equal(m.columns, 3);
    assert_true(isnan(m.values[2]) && m.values[3] == 3 && isnan(m.values[4]) && isnan(m.values[5]));
}

static void test_refused(void **state)
{
    static const struct {
        const char *text, *said;
    } cases[] = {
        { "label,a\n1,2\n", "Non-numeric value 'label' found in the header line 'label,a...' of file 'a.csv'" },
        { "1,2\n1,x\n", "line 2 of file 'a.csv': value 'x' in column 2 is not a number" },
        { "1,2\n1,2,3\n", "line 2 of file 'a.csv' has 3 columns, the first line has 2" },
        { "1,2,3\n1,2\n", "line 2 of file 'a.csv' has 2 columns, the first line has 3" },
        { "1,2\n,2\n", "line 2 of file 'a.csv' has no label" },
        { "17\n", "Could not determine delimiter" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        _cleanup_matrix_ struct matrix m = { 0 };
        struct err err = { 0 };

        assert_int_equal(parse(cases[i].text, true, false, &m, &err), -1);
        assert_non_null(strstr(err.text, cases[i].said));
        assert_int_equal(m.rows, 0);
    }
}

static void test_numbers(void **state)
{
    static const char *const texts[] = { "0",
                                         "-0.0",
                                         "1e10",
                                         "1.17549435e-38",
                                         "3.4028235e38",
                                         "123456789012345678901234567890",
                                         "0.1",
                                         ".5",
                                         "5.",
                                         "1e-400",
                                         "9007199254740993",
                                         "0.000000000000000000000001",
                                         "16777217",
                                         "1.00000005960464477540",
                                         "2.5E+3" };

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        float mine = 99;
        const char *end = texts[i] + strlen(texts[i]);

        assert_ptr_equal(number_parse(texts[i], end, &mine), end);
        assert_true(mine == (float)strtod(texts[i], NULL));
    }
    float v;
    assert_null(number_parse("x", "x" + 1, &v));
    assert_null(number_parse("-", "-" + 1, &v));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain),
        cmocka_unit_test(test_delimiters),
        cmocka_unit_test(test_weights_and_ends),
        cmocka_unit_test(test_trailing_missing),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_numbers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
