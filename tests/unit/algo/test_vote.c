#include "algo/vote.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static void the_class_that_most_say(void **state)
{
    assert_float_equal(vote((const float[]){ 4 }, 1), 4, 0);
    assert_float_equal(vote((const float[]){ 1, 2, 2 }, 3), 2, 0);
    assert_float_equal(vote((const float[]){ 3, 1, 3, 1, 0 }, 5), 1, 0);
    assert_float_equal(vote((const float[]){ 2, 1, 0 }, 3), 0, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_class_that_most_say),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
