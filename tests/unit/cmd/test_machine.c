#include "cmd/machine.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

static int64_t now_ms;

static int64_t wall_ms(struct clock *clock)
{
    return now_ms;
}

static void a_clock_that_cannot_be_right_is_refused(void **state)
{
    struct clock clock = { .wall_ms = wall_ms };
    struct settings s;
    struct err err = { 0 };

    settings_defaults(&s);
    s.runtime = "sim";
    now_ms = INT64_C(86400000);
    assert_int_equal(machine_check(&s, &clock, &err), -1);
    assert_non_null(strstr(err.text, "1970-01-02T00:00:00Z"));
    assert_non_null(strstr(err.text, "timedatectl set-ntp true"));
    now_ms = INT64_C(1800000000000);
    assert_int_equal(machine_check(&s, &clock, &err), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_clock_that_cannot_be_right_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
