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

static void nodes_do_not_find_the_server_at_their_own_address(void **state)
{
    static const char *const bad[] = { "127.0.0.1", "::1", "0.0.0.0", "224.0.0.1", "server.example", "10.0.0.1:8443" };
    _cleanup_arena_ struct arena *a = arena_new();
    struct settings s;
    struct err err;

    settings_defaults(&s);
    assert_int_equal(settings_set(a, &s, "slurm-server", "10.0.0.1", &err), 0);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(settings_set(a, &s, "slurm-server", bad[i], &err), -1);
    assert_string_equal(s.slurm.server, "10.0.0.1");
}

static void types_of_gpus_are_pairs(void **state)
{
    static const char *const bad[] = { "a100", "ml.p4d", "ml.p4d:", ":a100", "ml.g5:a b:c", "ml.g5:a:2" };
    _cleanup_arena_ struct arena *a = arena_new();
    struct settings s;
    struct err err;

    settings_defaults(&s);
    assert_int_equal(settings_set(a, &s, "slurm-gpu-types", "ml.p4d:a100 ml.g5.xlarge:a10g", &err), 0);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(settings_set(a, &s, "slurm-gpu-types", bad[i], &err), -1);
    assert_string_equal(s.slurm.gpu_types, "ml.p4d:a100 ml.g5.xlarge:a10g");
    assert_int_equal(settings_set(a, &s, "slurm-gpu-types", "", &err), 0);
}

static void a_vpc_is_subnets_and_security_groups(void **state)
{
    static const char *const bad[] = { "vpc-1", "accept", "sg-", "subnet-1;sg-1", "subnet-1, all" };
    _cleanup_arena_ struct arena *a = arena_new();
    struct settings s;
    struct err err;

    settings_defaults(&s);
    assert_string_equal(s.vpc, "");
    assert_int_equal(settings_set(a, &s, "vpc", "subnet-0a1b, subnet-2 sg-1", &err), 0);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(settings_set(a, &s, "vpc", bad[i], &err), -1);
    assert_string_equal(s.vpc, "subnet-0a1b, subnet-2 sg-1");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_clock_that_cannot_be_right_is_refused),
        cmocka_unit_test(nodes_do_not_find_the_server_at_their_own_address),
        cmocka_unit_test(types_of_gpus_are_pairs),
        cmocka_unit_test(a_vpc_is_subnets_and_security_groups),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
