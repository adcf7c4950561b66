#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "fleet/pool.h"

static void the_line_is_kept(void **state)
{
    struct pool *p = pool_new(2, (int64_t)8 << 30, 2);

    assert_true(pool_take(p, "a", false));
    assert_true(pool_take(p, "b", false));
    assert_true(pool_take(p, "a", false));
    assert_false(pool_take(p, "c", false));
    assert_false(pool_take(p, "d", false));
    assert_int_equal(pool_waiting_before(p, "d"), 1);
    assert_string_equal(pool_give(p, "a"), "c");
    /* d asks first, but c came first. */
    assert_false(pool_take(p, "d", false));
    assert_true(pool_take(p, "c", false));
    assert_string_equal(pool_give(p, "never"), "");
    assert_string_equal(pool_give(p, "b"), "d");
    assert_string_equal(pool_give(p, "d"), "");
    assert_int_equal(pool_used(p), 1);
    assert_int_equal(pool_waiting(p), 0);
    pool_free(p);
}

static void who_runs_already_is_let_in(void **state)
{
    struct pool *p = pool_new(1, (int64_t)1 << 30, 1);

    assert_true(pool_take(p, "a", true));
    assert_true(pool_take(p, "b", true));
    assert_int_equal(pool_used(p), 2);
    assert_string_equal(pool_give(p, "a"), "");
    assert_false(pool_take(p, "c", false));
    assert_string_equal(pool_give(p, "b"), "c");
    pool_free(p);
}

static void a_gang_has_all_or_nothing(void **state)
{
    struct pool *p = pool_new(2, (int64_t)8 << 30, 4);

    assert_true(pool_take(p, "a", false));
    assert_true(pool_take(p, "b", false));
    assert_false(pool_take_all(p, "gang", 3, false));
    assert_int_equal(pool_used(p), 2);
    /* One that would fit does not slip past. */
    assert_false(pool_take(p, "c", false));
    assert_string_equal(pool_give(p, "a"), "gang");
    assert_true(pool_take_all(p, "gang", 3, false));
    assert_int_equal(pool_used(p), 4);
    assert_int_equal(pool_waiting(p), 1);
    assert_string_equal(pool_give(p, "gang"), "c");
    assert_int_equal(pool_used(p), 1);
    pool_free(p);
}

static void limits_are_the_smaller_of_type_and_machine(void **state)
{
    struct pool *p = pool_new(2, (int64_t)20 << 30, 0);

    assert_int_equal(pool_slots(p), 8);
    assert_int_equal(pool_limits_of(p, "ml.m5.large").memory_bytes, (int64_t)8 << 30);
    assert_int_equal(pool_limits_of(p, "ml.p4d.24xlarge").memory_bytes, (int64_t)16 << 30);
    assert_int_equal(pool_limits_of(p, "ml.m5.xlarge").cpus, 2);
    assert_int_equal(pool_limits_of(p, "no.such").memory_bytes, (int64_t)16 << 30);
    pool_free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_line_is_kept),
        cmocka_unit_test(who_runs_already_is_let_in),
        cmocka_unit_test(a_gang_has_all_or_nothing),
        cmocka_unit_test(limits_are_the_smaller_of_type_and_machine),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
