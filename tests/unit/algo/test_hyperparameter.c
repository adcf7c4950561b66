/* test_hyperparameter.c - every violation, in the container's words. */
#include <string.h>

#include "algo/hyperparameter.h"
#include "base/str.h"
#include "doc/json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static int read_text(struct arena *a, const char *text, struct hyperparameters *h, struct err *err)
{
    struct doc *d;

    assert_int_equal(json_parse(a, str_of(text), &d, err), 0);
    return hyperparameters_read(a, d, h, err);
}

static void test_read(void **state)
{
    _cleanup_arena_ struct arena *a = arena_new();
    struct hyperparameters h;
    struct err err = { 0 };

    (void)state;
    assert_int_equal(read_text(a,
                               "{\"num_round\":\"10\",\"learning_rate\":\"0.2\",\"objective\":\"multi:softprob\","
                               "\"num_class\":\"3\",\"eval_metric\":\"merror,accuracy\",\"max_depth\":\" +4\","
                               "\"_tuning_objective_metric\":\"validation:f1\",\"early_stopping_rounds\":\"5\"}",
                               &h, &err),
                     0);
    assert_int_equal(h.num_round, 10);
    assert_int_equal(h.num_class, 3);
    assert_int_equal(h.early_stopping_rounds, 5);
    assert_int_equal(h.fold_repeats, 1);
    assert_string_equal(h.passed[0].name, "eta");
    assert_int_equal(h.passed_count, 4); /* eta, objective, num_class, max_depth */
    assert_int_equal(h.metric_count, 3);
    assert_string_equal(h.metrics[0], "accuracy");
    assert_string_equal(h.metrics[1], "f1");
    assert_string_equal(h.metrics[2], "merror");
    assert_string_equal(h.last_metric, "accuracy");
    assert_string_equal(h.objective_metric, "f1");
    assert_true(metric_maximized("ndcg@5-") && metric_maximized("auc") && !metric_maximized("rmse"));
}

static void test_messages(void **state)
{
    static const struct {
        const char *config, *said;
    } cases[] = {
        { "{}", "Missing required hyperparameter: num_round" },
        { "{\"num_round\":\"1\",\"depth\":\"3\"}", "Extraneous hyperparameter found: depth" },
        { "{\"num_round\":\"1.5\"}", "Hyperparameter num_round: could not parse value (caused by ValueError)" },
        { "{\"num_round\":\"0\"}", "Hyperparameter num_round: 0 is not in [1, +inf)" },
        { "{\"num_round\":\"1\",\"eta\":\"1.5\"}", "Hyperparameter eta: 1.5 is not in [0, 1]" },
        { "{\"num_round\":\"1\",\"subsample\":\"0\"}", "Hyperparameter subsample: 0.0 is not in (0, 1]" },
        { "{\"num_round\":\"1\",\"booster\":\"tree\"}",
          "Hyperparameter booster: tree is not in ['gbtree', 'gblinear', 'dart']" },
        { "{\"num_round\":\"1\",\"eval_metric\":\"f9\"}", "Hyperparameter eval_metric: value ['f9'] not in range [" },
        { "{\"num_round\":\"1\",\"eval_metric\":\"auc@3\"}", "Metric 'auc@3' is not supported." },
        { "{\"num_round\":\"1\",\"eval_metric\":\"error@x\"}",
          "Threshold value 't' in 'error@t' expects float input." },
        { "{\"num_round\":\"1\",\"objective\":\"multi:softmax\"}",
          "Require input for parameter 'num_class' for multi-classification" },
        { "{\"num_round\":\"1\",\"eval_metric\":\"auc\"}",
          "Metric 'auc' can only be applied for classification and ranking problems." },
        { "{\"num_round\":\"1\",\"monotone_constraints\":\"(1,2)\"}", "not in range [-1, 0, 1]" },
        { "{\"num_round\":\"1\",\"monotone_constraints\":\"(1,0)\"}", "can be used only when the tree_method" },
        { "{\"num_round\":\"1\",\"interaction_constraints\":\"[[0,1\"}", "could not parse value" },
        { "{\"num_round\":\"1\",\"tree_method\":\"gpu_hist\"}", "has no GPU support" },
        { "{\"num_round\":\"1\",\"seed\":\"2147483648\"}", "is not in (-2147483648, 2147483647)" },
        { "{\"num_round\":\"1\",\"_tuning_objective_metric\":\"train:auc\"}",
          "Hyperparameter _tuning_objective_metric" },
        { "{\"num_round\":\"1\",\"updater\":\"grow_colmaker,grow_histmaker\"}",
          "Only one tree grow plugin can be selected" },
        { "{\"num_round\":\"1\",\"eta\":\"0.1\",\"learning_rate\":\"0.1\"}", "given twice" },
        { "{\"num_round\":[1]}", "Hyperparameter num_round: could not parse value" },
    };
    struct hyperparameters h;

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        _cleanup_arena_ struct arena *a = arena_new();
        struct err err = { 0 };

        assert_int_equal(read_text(a, cases[i].config, &h, &err), -1);
        assert_int_equal(err.kind, ERR_INVALID);
        if (!strstr(err.text, cases[i].said))
            fail_msg("'%s' gave '%s'", cases[i].config, err.text);
    }
}

static void test_all_at_once(void **state)
{
    _cleanup_arena_ struct arena *a = arena_new();
    struct hyperparameters h;
    struct err err = { 0 };

    (void)state;
    assert_int_equal(read_text(a, "{\"eta\":\"7\",\"what\":\"1\"}", &h, &err), -1);
    assert_string_equal(err.text, "Hyperparameter eta: 7.0 is not in [0, 1]\nExtraneous hyperparameter found: what\n"
                                  "Missing required hyperparameter: num_round");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_read),
        cmocka_unit_test(test_messages),
        cmocka_unit_test(test_all_at_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
