#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "fleet/spot.h"

#include <cmocka.h>

enum { HOUR = 3600 * 1000 };

static void a_life_belongs_to_seed_uid_and_attempt(void **state)
{
    assert_true(spot_unit(1, "a", 1) == spot_unit(1, "a", 1));
    assert_true(spot_unit(1, "a", 1) != spot_unit(2, "a", 1));
    assert_true(spot_unit(1, "a", 1) != spot_unit(1, "b", 1));
    assert_true(spot_unit(1, "a", 1) != spot_unit(1, "a", 2));
}

/* Exponential: the mean is 1/rate, and so is what is left after any time. */
static void lives_are_as_long_as_the_rate_says(void **state)
{
    double sum = 0, rest = 0;
    int late = 0;
    enum { LIVES = 20000 };

    for (int i = 0; i < LIVES; i++) {
        char uid[16];
        double hours;

        snprintf(uid, sizeof uid, "job-%d", i);
        hours = (double)spot_lifetime_ms(0.25, spot_unit(7, uid, 1)) / HOUR;
        sum += hours;
        if (hours > 6) {
            late++;
            rest += hours - 6;
        }
    }
    assert_float_equal(sum / LIVES, 4, 0.15);
    assert_float_equal(rest / late, 4, 0.3);
    assert_true(spot_lifetime_ms(0, 0.5) == INT64_MAX);
}

static void a_price_comes_from_the_trace(void **state)
{
    struct price_point points[] = { { 0, 1 }, { 2 * HOUR, 3 }, { 3 * HOUR, 0.5 } };
    struct fleet_trace once = { "ml.*", points, 3, 0 }, daily = { "ml.*", points, 3, 24 * HOUR };
    struct fleet f = fleet_default();

    f.spot.traces = &once;
    f.spot.trace_count = 1;
    assert_ptr_equal(spot_trace(&f, "ml.p3.2xlarge"), &once);
    assert_null(spot_trace(&f, "box"));
    assert_true(spot_price(&once, 0) == 1 && spot_price(&once, 2 * HOUR) == 3 && spot_price(&once, 99 * HOUR) == 0.5);
    assert_true(spot_price(&daily, 26 * HOUR - 1) == 1 && spot_price(&daily, 26 * HOUR) == 3);
    assert_int_equal(spot_next_above(&once, 2, 0), 2 * HOUR);
    assert_int_equal(spot_next_above(&once, 2, 2 * HOUR + 5), 2 * HOUR + 5);
    assert_true(spot_next_above(&once, 2, 3 * HOUR) == INT64_MAX);
    assert_int_equal(spot_next_above(&daily, 2, 3 * HOUR), 26 * HOUR);
    assert_int_equal(spot_next_within(&daily, 2, 2 * HOUR), 3 * HOUR);
    assert_true(spot_next_within(&daily, 0.1, 0) == INT64_MAX);
    assert_float_equal(spot_cost(&daily, HOUR, 4 * HOUR), 1 + 3 + 0.5, 1e-9);
    assert_float_equal(spot_cost(&daily, 0, 48 * HOUR), 2 * (2 + 3 + 10.5), 1e-9);
}

/* Nothing was seen: what was expected; much was: what was seen; and nobody has to expect anything. */
static void a_rate_learns_from_what_was_seen(void **state)
{
    assert_float_equal(spot_rate(0.02, &(struct spot_seen){ 0 }), 0.02, 1e-12);
    assert_float_equal(spot_rate(0.02, &(struct spot_seen){ .hours = 100, .interruptions = 10 }), 0.06, 1e-12);
    assert_float_equal(spot_rate(0.02, &(struct spot_seen){ .hours = 1e6, .interruptions = 1e5 }), 0.1, 1e-4);
    assert_float_equal(spot_rate(4, &(struct spot_seen){ .hours = 300 }), 1, 1e-12);
    assert_float_equal(spot_rate(0, &(struct spot_seen){ .hours = 100, .interruptions = 10 }), 0.05, 1e-12);
    assert_true(spot_rate(0, &(struct spot_seen){ .hours = 100 }) == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_life_belongs_to_seed_uid_and_attempt),
        cmocka_unit_test(lives_are_as_long_as_the_rate_says),
        cmocka_unit_test(a_price_comes_from_the_trace),
        cmocka_unit_test(a_rate_learns_from_what_was_seen),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
