#include "agent/quiet.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

enum { LOOK_MS = 10000 };

static struct signs now = { .boot_ms = 5000, .wall_ms = 1700000000000 };

static int64_t after_look(struct quiet *q)
{
    now.boot_ms += LOOK_MS;
    now.wall_ms += LOOK_MS;
    quiet_look(q, &now);
    return quiet_ms(q);
}

static void nothing_is_quiet(void **state)
{
    struct quiet q = { .look_ms = LOOK_MS };

    quiet_look(&q, &now);
    assert_int_equal(quiet_ms(&q), 0);
    for (int i = 1; i <= 100; i++)
        assert_int_equal(after_look(&q), i * LOOK_MS);
    assert_int_equal(q.since_wall_ms, now.wall_ms - 100 * LOOK_MS);
}

static void each_sign_of_life_counts(void **state)
{
    struct quiet q = { .look_ms = LOOK_MS };

    after_look(&q);
    assert_int_equal(after_look(&q), LOOK_MS);
    now.output_bytes += 1;
    assert_int_equal(after_look(&q), 0);
    assert_int_equal(after_look(&q), LOOK_MS);
    now.cpu_ns += (int64_t)LOOK_MS * 1000000 / 50; /* two hundredths of a core */
    assert_int_equal(after_look(&q), 0);
    assert_int_equal(after_look(&q), LOOK_MS);
    /* The cores wait for the GPU. */
    now.gpu_busy = true;
    assert_int_equal(after_look(&q), 0);
    assert_int_equal(after_look(&q), 0);
    now.gpu_busy = false;
    assert_int_equal(after_look(&q), LOOK_MS);
}

static void to_wake_up_now_and_then_is_no_work(void **state)
{
    struct quiet q = { .look_ms = LOOK_MS };

    quiet_look(&q, &now);
    for (int i = 1; i <= 10; i++) {
        now.cpu_ns += 20 * 1000000; /* 20 ms in 10 s */
        assert_int_equal(after_look(&q), i * LOOK_MS);
    }
}

static void what_nobody_counts_is_not_missed(void **state)
{
    struct quiet q = { .look_ms = LOOK_MS };

    now.cpu_ns = -1;
    quiet_look(&q, &now);
    for (int i = 0; i < 10; i++)
        assert_int_equal(after_look(&q), 0);
    now.cpu_ns = 0;
}

/* Boot time counts: an hour that the wall clock went back or forth is no hour of quiet. */
static void the_wall_clock_may_jump(void **state)
{
    struct quiet q = { .look_ms = LOOK_MS };

    quiet_look(&q, &now);
    now.wall_ms += 3600000;
    assert_int_equal(after_look(&q), LOOK_MS);
}

/* A laptop that was closed over night finds its job as it left it. */
static void a_machine_that_stood_still_was_not_quiet(void **state)
{
    struct quiet q = { .look_ms = LOOK_MS };
    int64_t quiet;

    quiet_look(&q, &now);
    quiet = after_look(&q);
    now.boot_ms += 8 * 3600000;
    now.wall_ms += 8 * 3600000;
    assert_true(after_look(&q) <= quiet + 2 * LOOK_MS);
    assert_int_equal(q.since_wall_ms, now.wall_ms - quiet_ms(&q));
    /* It hangs, all the same. */
    for (int i = 0; i < 10; i++)
        quiet = after_look(&q);
    assert_true(quiet >= 10 * LOOK_MS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_quiet),
        cmocka_unit_test(each_sign_of_life_counts),
        cmocka_unit_test(to_wake_up_now_and_then_is_no_work),
        cmocka_unit_test(what_nobody_counts_is_not_missed),
        cmocka_unit_test(the_wall_clock_may_jump),
        cmocka_unit_test(a_machine_that_stood_still_was_not_quiet),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
