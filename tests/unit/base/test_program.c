/* Where the programs are: beside this one, or where SAGEBRUSH_LIBEXEC says. */
#include "base/program.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void found_beside(void **state)
{
    _cleanup_arena_ struct arena *a = arena_new();
    const char *path = NULL;
    struct err err = { 0 };

    assert_int_equal(program_path(a, "test_program", &path, &err), 0);
    assert_string_equal(strrchr(path, '/'), "/test_program");
}

static void missing_is_said(void **state)
{
    _cleanup_arena_ struct arena *a = arena_new();
    const char *path = "untouched";
    struct err err = { 0 };

    assert_int_equal(program_path(a, "no-such-program", &path, &err), -1);
    assert_string_equal(path, "untouched");
    assert_int_equal(err.kind, ERR_NOT_FOUND);
    assert_non_null(strstr(err.text, "no-such-program"));
}

static void fixed_by_environment(void **state)
{
    _cleanup_arena_ struct arena *a = arena_new();
    const char *path = "untouched";
    struct err err = { 0 };

    setenv("SAGEBRUSH_LIBEXEC", "/usr/bin", 1);
    assert_int_equal(program_path(a, "env", &path, &err), 0);
    assert_string_equal(path, "/usr/bin/env");
    assert_int_equal(program_path(a, "test_program", &path, &err), -1);
    unsetenv("SAGEBRUSH_LIBEXEC");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(found_beside),
        cmocka_unit_test(missing_is_said),
        cmocka_unit_test(fixed_by_environment),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
