#include <string.h>

#include "run/image.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static void ours_are_known_by_repository(void **state)
{
    _cleanup_arena_ struct arena *a = arena_new();
    struct image i;

    assert_true(image_is_hosted(a, "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:1.7-1", false, &i));
    assert_string_equal(i.program, "sagebrush-xgboost");
    assert_string_equal(i.title, "sagemaker-xgboost:1.7-1");
    assert_true(image_is_hosted(a, "sagemaker-xgboost:1.7-1", true, &i));
    assert_string_equal(i.program, "sagebrush-toolkit");
    assert_true(image_is_hosted(a, "1.dkr/pytorch-training:1.13@sha256:00", true, &i));
    assert_string_equal(i.title, "pytorch-training:1.13");
    assert_false(image_is_hosted(a, "me/my-sagemaker-xgboost:1", false, &i));
    assert_false(image_is_hosted(a, "", false, &i));
}

static void unknown_ones_say_what_to_do(void **state)
{
    _cleanup_arena_ struct arena *a = arena_new();
    struct err err = { 0 };

    assert_int_equal(image_check(a, "/nowhere", "example.com/x/mine:1", false, &err), -1);
    assert_int_equal(err.kind, ERR_INVALID);
    assert_non_null(strstr(err.text, "skopeo copy docker://example.com/x/mine:1 oci:/nowhere/images/oci:mine:1"));
    assert_int_equal(image_check(a, "/nowhere", "oci-archive:/nowhere/x.tar", false, &err), -1);
    assert_int_equal(image_check(a, "/nowhere", "oci-archive:relative.tar", false, &err), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ours_are_known_by_repository),
        cmocka_unit_test(unknown_ones_say_what_to_do),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
