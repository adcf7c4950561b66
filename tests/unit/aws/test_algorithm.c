#include <string.h>

#include "aws/algorithm.h"
#include "aws/pattern.h"
#include "doc/json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static void images_are_found_by_their_repository(void **state)
{
    assert_ptr_equal(algorithm_of("683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:1.7-1"),
                     &algorithm_xgboost);
    assert_ptr_equal(algorithm_of("xgboost@sha256:00"), &algorithm_xgboost);
    assert_null(algorithm_of("sagemaker-xgboost-mine:1"));
    assert_null(algorithm_of("registry/sagemaker-xgboost/other"));
    assert_null(algorithm_of("oci-archive:/srv/sagemaker-xgboost.tar"));
    assert_null(algorithm_of(""));
}

static void an_image_that_is_nobodys_has_what_is_given(void **state)
{
    _cleanup_arena_ struct arena *a = arena_new();
    struct doc *given;
    struct err err;

    assert_null(algorithm_metrics(a, "mine:1", NULL));
    assert_int_equal(json_parse(a, STR("[{\"Name\":\"x\",\"Regex\":\"x=(.*)\"}]"), &given, &err), 0);
    assert_true(doc_equal(algorithm_metrics(a, "mine:1", given), given));
}

static void what_is_given_comes_first_and_wins(void **state)
{
    _cleanup_arena_ struct arena *a = arena_new();
    struct doc *given;
    const struct doc *all, *first = algorithm_metrics(a, "xgboost:1", NULL);
    struct err err;

    assert_int_equal(json_parse(a, STR("[{\"Name\":\"validation:auc\",\"Regex\":\"mine\"},{\"Name\":\"x\","
                                       "\"Regex\":\"x\"}]"), &given, &err), 0);
    all = algorithm_metrics(a, "xgboost:1", given);
    assert_string_equal(doc_text(all->items[0], "Regex"), "mine");
    assert_int_equal(all->count, first->count + 1);
    assert_int_equal(given->count, 2);
}

/* As the container's own table is checked: each line of the log gives each metric in it, and no other. */
static void every_metric_is_found_in_a_line_of_its_own_only(void **state)
{
    _cleanup_arena_ struct arena *a = arena_new();
    const struct doc *all = algorithm_metrics(a, "sagemaker-xgboost:1.7-1", NULL);

    assert_int_equal(all->count, 2 * (16 + 17));
    for (uint32_t i = 0; i < all->count; i++) {
        const char *name = doc_text(all->items[i], "Name"), *colon = strchr(name, ':');
        const char *line = arena_printf(a, "[12]#011train-x:1#011%.*s-%s:0.25#011validation-y:3", (int)(colon - name),
                                        name, colon + 1);
        int found = 0;

        for (uint32_t j = 0; j < all->count; j++) {
            struct pattern *p;
            struct str value;
            struct err err;

            assert_int_equal(pattern_new(doc_text(all->items[j], "Regex"), &p, &err), 0);
            if (pattern_find(p, str_of(line), &value)) {
                assert_int_equal(i, j);
                assert_true(str_is(value, "0.25"));
                found++;
            }
            pattern_free(p);
        }
        assert_int_equal(found, 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(images_are_found_by_their_repository),
        cmocka_unit_test(an_image_that_is_nobodys_has_what_is_given),
        cmocka_unit_test(what_is_given_comes_first_and_wins),
        cmocka_unit_test(every_metric_is_found_in_a_line_of_its_own_only),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
