/* test_report.c - what of an error FailureReason has room for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "agent/report.h"

#include <cmocka.h>

static void a_long_error_is_cut_to_what_a_failure_reason_holds(void **state)
{
    _cleanup_arena_ struct arena *a = arena_new();
    struct err err = { .kind = ERR_INVALID }, ours = { .kind = ERR_INTERNAL, .text = "no" };

    memset(err.text, 'x', sizeof err.text - 1);
    assert_in_range(strlen(report_blame(a, &err)), 900, 1024);
    assert_string_equal(report_blame(a, &ours), "InternalServerError: no");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_long_error_is_cut_to_what_a_failure_reason_holds),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
