/* What speaks against a node, and what does not. */
#include "agent/check.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/fd.h"

static struct arena *a;

static struct gpu_sample good_gpu(void)
{
    return (struct gpu_sample){ .utilization_percent = 99, .temperature_c = 71, .throttle = GPU_THROTTLE_POWER_CAP,
                                .ecc_corrected = 17, .rows_correctable = 1, .ecc_uncorrected = GPU_ABSENT,
                                .row_failure = GPU_ABSENT, .row_pending = GPU_ABSENT };
}

static void a_gpu_that_works_is_let_be(void **state)
{
    struct gpu_sample s = good_gpu();

    assert_null(gpu_trouble(a, 0, &s, 0));
    assert_null(gpu_trouble(a, 0, &s, 43)); /* the program's own fault */
    s.throttle = GPU_THROTTLE_HEAT;         /* by software: how such machines are run */
    assert_null(gpu_trouble(a, 0, &s, 0));
    s = (struct gpu_sample){ .utilization_percent = GPU_ABSENT, .temperature_c = GPU_ABSENT, .throttle = GPU_ABSENT,
                             .ecc_uncorrected = GPU_ABSENT, .row_failure = GPU_ABSENT, .row_pending = GPU_ABSENT };
    assert_null(gpu_trouble(a, 0, &s, 0));  /* it tells of nothing */
}

static void each_sign_of_a_bad_gpu_is_told(void **state)
{
    static const struct {
        size_t at;
        int64_t value;
        const char *words;
    } signs[] = {
        { offsetof(struct gpu_sample, ecc_uncorrected), 2, "GPU 3: 2 uncorrected ECC errors" },
        { offsetof(struct gpu_sample, row_failure), 1, "GPU 3: a row of its memory could not be remapped" },
        { offsetof(struct gpu_sample, row_pending), 1, "to be remapped at the next reset" },
        { offsetof(struct gpu_sample, temperature_c), 95, "GPU 3: it is at 95 degrees Celsius" },
        { offsetof(struct gpu_sample, throttle), GPU_THROTTLE_HARDWARE_HEAT, "slows down for heat" },
        { offsetof(struct gpu_sample, throttle), GPU_THROTTLE_POWER_BRAKE, "slows down for its power supply" },
    };
    struct gpu_sample s = good_gpu();

    for (size_t i = 0; i < sizeof signs / sizeof *signs; i++) {
        s = good_gpu();
        *(int64_t *)(void *)((char *)&s + signs[i].at) = signs[i].value;
        assert_non_null(gpu_trouble(a, 3, &s, 0));
        assert_non_null(strstr(gpu_trouble(a, 3, &s, 0), signs[i].words));
    }
    s = good_gpu();
    assert_non_null(strstr(gpu_trouble(a, 3, &s, 79), "GPU 3 reported XID 79 (the GPU has fallen off the bus)"));
    s.lost = true;
    assert_non_null(gpu_trouble(a, 3, &s, 0));
}

static void write_count(const char *root, const char *controller, const char *count)
{
    const char *folder = arena_printf(a, "%s/%s", root, controller);
    struct err err;

    assert_int_equal(folder_make(folder, 0700, &err), 0);
    assert_int_equal(file_write_atomic(arena_printf(a, "%s/ue_count", folder), count, strlen(count), 0600, &err), 0);
}

static void uncorrected_errors_are_counted_where_they_are(void **state)
{
    char root[] = "/tmp/sagebrush-edac-XXXXXX";
    const char *where;
    struct err err;

    assert_non_null(mkdtemp(root));
    assert_int_equal(ecc_errors(a, arena_printf(a, "%s/not there", root), &where), -1);
    assert_int_equal(ecc_errors(a, root, &where), -1);
    write_count(root, "mc0", "0\n");
    write_count(root, "power", "5\n");
    assert_int_equal(ecc_errors(a, root, &where), 0);
    assert_string_equal(where, "");
    write_count(root, "mc1", "3\n");
    assert_int_equal(ecc_errors(a, root, &where), 3);
    assert_string_equal(where, "mc1");
    tree_remove(root, &err);
}

static void a_clock_is_judged_by_what_can_be_known(void **state)
{
    assert_true(clock_is_right(0, 0));
    assert_true(clock_is_right(-999, 2));
    assert_false(clock_is_right(1500, 2));
    assert_false(clock_is_right(-1500, 2));
    assert_true(clock_is_right(1500, 1200)); /* the way there may have taken all of it */
    assert_false(clock_is_right(86400000, 1200));
}

static void a_clock_that_nobody_can_be_asked_about_is_not_measured(void **state)
{
    struct order order = { .name = "check", .admin_socket = "/not/there" };
    struct checked c = { &order, "/tmp", clock_system(), -1 };
    struct finding f = { .passed = true, .evidence = "" };

    check_clock(a, &c, &f);
    assert_true(f.passed && f.unmeasured);
    assert_non_null(strstr(f.evidence, "not measured: cannot reach the server at /not/there"));
}

static void this_disk_and_memory_keep_what_they_are_given(void **state)
{
    char folder[] = "/tmp/sagebrush-check-XXXXXX";
    struct order order = { .memory_bytes = 8 << 20, .name = "check", .runtime = "process",
                           .admin_socket = "/not/there" };
    struct checked c = { &order, folder, clock_system(), -1 };
    struct finding findings[CHECKS_MOST], f = { .passed = true, .evidence = "" };
    struct err err;

    assert_non_null(mkdtemp(folder));
    check_disk(a, &c, &f);
    print_message("disk: %s\n", f.evidence);
    assert_true(f.passed);
    assert_non_null(strstr(f.evidence, "16 MiB written"));
    check_memory(a, &c, &f);
    print_message("memory: %s\n", f.evidence);
    assert_true(f.passed);
    assert_non_null(strstr(f.evidence, "8 MiB kept"));
    assert_int_equal(rmdir(folder), 0); /* nothing was left there */

    /* The first that has not passed is the last that was made. */
    f = (struct finding){ .passed = true };
    check_filesystem(a, &c, &f);
    assert_false(f.passed);
    assert_int_equal(check_all(a, &c, true, findings), 1);
    assert_string_equal(findings[0].check, "file system");
    assert_non_null(strstr(findings[0].evidence, "No such file"));
    tree_remove(folder, &err);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_gpu_that_works_is_let_be),
        cmocka_unit_test(each_sign_of_a_bad_gpu_is_told),
        cmocka_unit_test(uncorrected_errors_are_counted_where_they_are),
        cmocka_unit_test(a_clock_is_judged_by_what_can_be_known),
        cmocka_unit_test(a_clock_that_nobody_can_be_asked_about_is_not_measured),
        cmocka_unit_test(this_disk_and_memory_keep_what_they_are_given),
    };
    int r;

    a = arena_new();
    r = cmocka_run_group_tests(tests, NULL, NULL);
    arena_free(a);
    return r;
}
