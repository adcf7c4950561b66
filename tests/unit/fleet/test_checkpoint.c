#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "fleet/checkpoint.h"

#include <cmocka.h>

enum { MINUTE = 60 * 1000, HOUR = 60 * MINUTE };

/* PyTorch's figures for a 7B model: 148.8 s a checkpoint, or 6.3 s where it blocks no longer; 7.9 h between. */
static void the_interval_is_youngs(void **state)
{
    assert_float_equal(checkpoint_young_ms(148.8e3, 7.9 * HOUR) / MINUTE, 48.5, 0.1);
    assert_float_equal(checkpoint_young_ms(6.3e3, 7.9 * HOUR) / MINUTE, 10.0, 0.1);
    /* Daly's takes the checkpoint itself off, and is shorter where it is dear. */
    assert_in_range(checkpoint_interval_ms(6.3e3, 7.9 * HOUR), 9.5 * MINUTE, 10 * MINUTE);
    assert_int_equal(checkpoint_interval_ms(3 * HOUR, HOUR), HOUR);
    assert_true(checkpoint_interval_ms(1000, 1e18) == INT64_MAX);
}

/* Half a day that is interrupted once in ten: e^(1/20) - 1 of ten days, less the half. */
static void without_checkpoints_all_is_lost(void **state)
{
    assert_float_equal(checkpoint_loss_ms(12.0 * HOUR, 240.0 * HOUR) / MINUTE, 18.3, 0.1);
    assert_float_equal(checkpoint_loss_ms(10.0 * HOUR, 10.0 * HOUR) / HOUR, 7.18, 0.01);
    assert_float_equal(checkpoint_loss_ms(0, HOUR), 0, 1e-9);
    assert_float_equal(checkpoint_loss_ms(HOUR, 1e18), 0, 1);
    assert_true(checkpoint_loss_ms(1e6 * HOUR, HOUR) > 1e300);
}

/* No other interval loses less. */
static void the_interval_is_the_best(void **state)
{
    double cost = 60e3, restart = 120e3, mean = 5.0 * HOUR;
    double best = (double)checkpoint_interval_ms(cost, mean);

    for (double factor = 0.3; factor < 3; factor *= 1.3)
        if (factor < 0.8 || factor > 1.25)
            assert_true(checkpoint_overhead(best, cost, restart, mean) <
                        checkpoint_overhead(best * factor, cost, restart, mean));
}

static void a_run_is_work_checkpoints_and_the_start(void **state)
{
    struct pace p = { .interval_ms = 100, .cost_ms = 10, .restart_ms = 5 }, never = { .restart_ms = 5 };

    assert_int_equal(pace_length_ms(&p, 100), 105);
    assert_int_equal(pace_length_ms(&p, 101), 116);
    assert_int_equal(pace_length_ms(&p, 0), 5);
    assert_int_equal(pace_length_ms(&never, 1000), 1005);
    for (int64_t at = 0; at < 500; at++) {
        int64_t done = pace_done_ms(&p, 333, at), saved = pace_saved_ms(&p, 333, at);

        assert_true(saved <= done && done <= 333 && done - saved <= 100);
        assert_true(done <= pace_done_ms(&p, 333, at + 1) && saved <= pace_saved_ms(&p, 333, at + 1));
        assert_int_equal(done == 333, at >= pace_length_ms(&p, 333));
    }
    assert_int_equal(pace_saved_ms(&p, 333, 114), 0);
    assert_int_equal(pace_saved_ms(&p, 333, 115), 100);
    assert_int_equal(pace_saved_ms(&never, 333, 300), 0);
    assert_int_equal(pace_done_ms(&never, 333, 300), 295);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_interval_is_youngs),
        cmocka_unit_test(the_interval_is_the_best),
        cmocka_unit_test(without_checkpoints_all_is_lost),
        cmocka_unit_test(a_run_is_work_checkpoints_and_the_start),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
