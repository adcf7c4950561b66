#include "agent/pace.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

static int64_t now_ms = 1000000;

static int64_t now(struct clock *c)
{
    return now_ms;
}

static struct clock fake = { now, now };

static void a_second_has_its_bytes(void **state)
{
    struct pace p;
    int64_t began_ms = now_ms, sent = 0;

    pace_init(&p, &fake, 1000000);
    for (int i = 0; i < 1000; i++) {
        now_ms += pace_take_ms(&p, 4096);
        sent += 4096;
    }
    /* A quarter of a second's worth came at once. */
    assert_in_range(now_ms - began_ms, sent / 1000 - 300, sent / 1000 - 200);
}

static void rest_is_not_saved_up(void **state)
{
    struct pace p;

    pace_init(&p, &fake, 1000000);
    pace_take_ms(&p, 1);
    now_ms += 3600000;
    assert_int_equal(pace_take_ms(&p, 1000000), 0);
    assert_in_range(pace_take_ms(&p, 1), 745, 755);
}

static void no_limit(void **state)
{
    struct pace p;

    pace_init(&p, &fake, 0);
    assert_int_equal(pace_take_ms(&p, INT64_C(1) << 40), 0);
    pace_init(&p, &fake, 1);
    pace_take_ms(&p, 1 << 20);
    assert_true(pace_take_ms(&p, 1) > 1000);
    pace_off(&p);
    assert_int_equal(pace_take_ms(&p, 1 << 20), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_second_has_its_bytes),
        cmocka_unit_test(rest_is_not_saved_up),
        cmocka_unit_test(no_limit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
