/* test_metric.c - against figures of scikit-learn 1.2.1. */
#include <math.h>
#include <string.h>

#include "algo/metric.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static double of(const char *name, const float *labels, const float *margins, size_t rows, size_t width)
{
    struct err err = { 0 };
    double v = NAN;

    assert_int_equal(metric_compute(name, labels, margins, rows, width, &v, &err), 0);
    return v;
}

static void near(double a, double b)
{
    if (!(fabs(a - b) < 1e-9))
        fail_msg("%.12f is not %.12f", a, b);
}

static void test_binary(void **state)
{
    /* y = [0 0 1 1 1 0], seen = [0 1 1 0 1 0] */
    static const float labels[] = { 0, 0, 1, 1, 1, 0 }, margins[] = { -1, 1, 2, -0.5f, 3, 0 };

    (void)state;
    near(of("accuracy", labels, margins, 6, 1), 4.0 / 6);
    near(of("balanced_accuracy", labels, margins, 6, 1), 4.0 / 6);
    near(of("f1", labels, margins, 6, 1), 2.0 / 3);
    near(of("f1_binary", labels, margins, 6, 1), 2.0 / 3);
    near(of("precision", labels, margins, 6, 1), 2.0 / 3);
    near(of("recall", labels, margins, 6, 1), 2.0 / 3);
}

static void test_classes(void **state)
{
    /* y = [0 1 2 2 1], seen = [0 2 2 1 1] */
    static const float labels[] = { 0, 1, 2, 2, 1 };
    static const float margins[] = { 3, 1, 0, 0, 1, 2, 0, 0, 1, 0, 5, 1, 0, 1, 0 };
    struct err err = { 0 };
    double v;

    (void)state;
    near(of("accuracy", labels, margins, 5, 3), 0.6);
    near(of("f1_macro", labels, margins, 5, 3), 2.0 / 3);
    near(of("precision_macro", labels, margins, 5, 3), 2.0 / 3);
    near(of("recall_micro", labels, margins, 5, 3), 0.6);
    assert_int_equal(metric_compute("precision", labels, margins, 5, 3, &v, &err), -1);
    assert_non_null(strstr(err.text, "Target is multiclass but average='binary'"));
}

static void test_regression(void **state)
{
    static const float labels[] = { 3, -0.5f, 2, 7 }, margins[] = { 2.5f, 0, 2, 8 }, half[] = { 0.5f };
    struct err err = { 0 };
    double v;

    (void)state;
    near(of("mse", labels, margins, 4, 1), 0.375);
    near(of("r2", labels, margins, 4, 1), 0.9486081370449679);
    assert_int_equal(metric_compute("accuracy", half, half, 1, 1, &v, &err), -1);
    assert_true(metric_is_ours("mse") && !metric_is_ours("rmse"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_binary),
        cmocka_unit_test(test_classes),
        cmocka_unit_test(test_regression),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
