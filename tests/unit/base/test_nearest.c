#include "base/nearest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

static void typos_are_counted(void **state)
{
    static const struct {
        const char *a, *b;
        int distance; /* 4: more than 3 */
    } cases[] = {
        { "", "", 0 },         { "a", "", 1 },          { "", "abcd", 4 },       { "status", "status", 0 },
        { "satus", "status", 1 }, { "statuss", "status", 1 }, { "stattus", "status", 1 }, { "sattus", "status", 1 },
        { "stxtus", "status", 1 }, { "xgbost", "xgboost", 1 }, { "abc", "cab", 2 },   { "kitten", "sitting", 3 },
        { "up", "operations", 4 }, { "abcdef", "ghijkl", 4 },
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (text_distance(cases[i].a, cases[i].b, 3) != cases[i].distance ||
            text_distance(cases[i].b, cases[i].a, 3) != cases[i].distance)
            fail_msg("%s %s: %d", cases[i].a, cases[i].b, text_distance(cases[i].a, cases[i].b, 3));
}

static void long_texts_are_far(void **state)
{
    char text[300];

    memset(text, 'a', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    assert_int_equal(text_distance(text, text, 3), 4);
    text[255] = '\0';
    assert_int_equal(text_distance(text, text, 3), 0);
}

static void the_nearest_is_found_or_nobody(void **state)
{
    static const char *const names[] = { "up", "status", "images", "sagemaker-xgboost", "xgboost", NULL };

    assert_string_equal(text_nearest("sagemaker-xgbost", names), "sagemaker-xgboost");
    assert_string_equal(text_nearest("xgbost", names), "xgboost");
    assert_string_equal(text_nearest("image", names), "images");
    assert_string_equal(text_nearest("status", names), "status");
    assert_null(text_nearest("tensorflow-training", names));
    assert_null(text_nearest("", names));
    assert_null(text_nearest("down", names));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(typos_are_counted),
        cmocka_unit_test(long_texts_are_far),
        cmocka_unit_test(the_nearest_is_found_or_nobody),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
