/* What comes over a GPU while a container runs: what ends it, what is only told, and what a single look is worth. */
#include "agent/gpu_watch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

static struct arena *a;
static struct gpu_watch w;

static struct gpu_sample good(void)
{
    return (struct gpu_sample){ .utilization_percent = 99, .temperature_c = 71, .throttle = GPU_THROTTLE_POWER_CAP };
}

static int begin(void **state)
{
    const struct gpu_sample s = good();

    w = (struct gpu_watch){ 0 };
    assert_false(gpu_watch_look(&w, 1, &s));
    return 0;
}

/* True: the last of them changed something, and none before. */
static bool looks(int times, struct gpu_sample s)
{
    bool changed = false;

    for (int i = 0; i < times; i++) {
        assert_false(changed);
        changed = gpu_watch_look(&w, 1, &s);
    }
    return changed;
}

static const char *trouble(void)
{
    return gpu_watch_trouble(a, &w, 1, 4);
}

static const char *warning(void)
{
    return gpu_watch_warning(a, &w, 1, 4);
}

static void lost_data_ends_it(void **state)
{
    struct gpu_sample s = good();

    s.ecc_uncorrected = 1;
    assert_false(looks(GPU_LOOKS - 1, s));
    assert_null(trouble());
    assert_true(looks(1, s));
    assert_string_equal(trouble(), "GPU 4: uncorrected ECC errors since the container started");
    assert_null(warning());
    assert_null(gpu_watch_trouble(a, &w, 0, 3)); /* another one */
    s.row_failure = 1;
    assert_true(looks(GPU_LOOKS, s));
    assert_non_null(strstr(trouble(), ", a row of its memory could not be remapped"));
}

static void what_was_there_before_is_not_new(void **state)
{
    struct gpu_sample s = good();

    w = (struct gpu_watch){ 0 };
    s.ecc_uncorrected = 7;
    s.row_failure = s.row_pending = 1;
    assert_false(looks(5 * GPU_LOOKS, s));
    assert_null(trouble());
    assert_null(warning());
    s.ecc_uncorrected = 0; /* the driver was loaded anew, and counts from there */
    assert_false(looks(GPU_LOOKS, s));
    s.ecc_uncorrected = 1;
    assert_true(looks(GPU_LOOKS, s));
    assert_non_null(trouble());
}

static void what_only_slows_down_is_told_and_passes(void **state)
{
    struct gpu_sample s = good();

    s.throttle |= GPU_THROTTLE_HARDWARE_HEAT;
    s.temperature_c = 96;
    assert_true(looks(GPU_LOOKS, s));
    assert_null(trouble());
    assert_string_equal(warning(), "GPU 4: it is at 95 degrees Celsius or above, its hardware slows down for heat");
    assert_false(looks(GPU_LOOKS - 1, good()));
    assert_non_null(warning());
    assert_true(looks(1, good()));
    assert_null(warning());
    s = good();
    s.row_pending = 1;
    assert_true(looks(GPU_LOOKS, s));
    assert_string_equal(warning(), "GPU 4: a row of its memory is to be remapped at the next reset");
}

static void a_sign_that_comes_and_goes_is_none(void **state)
{
    struct gpu_sample s = good();

    s.throttle = GPU_THROTTLE_POWER_BRAKE;
    for (int i = 0; i < 10; i++) {
        assert_false(looks(GPU_LOOKS - 1, s));
        assert_false(looks(1, good()));
    }
    assert_null(warning());
}

static void what_is_not_told_is_no_sign(void **state)
{
    const struct gpu_sample silent = { .temperature_c = GPU_ABSENT, .throttle = GPU_ABSENT,
                                       .ecc_uncorrected = GPU_ABSENT, .row_failure = GPU_ABSENT,
                                       .row_pending = GPU_ABSENT };
    struct gpu_sample s = silent;

    assert_false(looks(2 * GPU_LOOKS, silent));
    s.lost = true;
    assert_false(looks(2 * GPU_LOOKS, s));
    w = (struct gpu_watch){ 0 };
    assert_false(looks(1, silent));
    s = good();
    s.ecc_uncorrected = 3; /* that it begins to tell of: nobody knows since when */
    assert_false(looks(2 * GPU_LOOKS, s));
    assert_null(trouble());
}

static void another_agent_compares_with_the_same(void **state)
{
    struct gpu_sample s = good();
    struct doc *before;

    s.ecc_uncorrected = 2;
    s.row_failure = GPU_ABSENT;
    w = (struct gpu_watch){ 0 };
    assert_null(gpu_watch_before(a, &w, 1));
    assert_false(looks(1, s));
    before = gpu_watch_before(a, &w, 1);
    w = (struct gpu_watch){ 0 };
    gpu_watch_recall(&w, 1, before);
    assert_true(doc_equal(gpu_watch_before(a, &w, 1), before));
    assert_false(looks(2 * GPU_LOOKS, s));
    s.row_failure = 1; /* nobody knows since when */
    assert_false(looks(2 * GPU_LOOKS, s));
    s.ecc_uncorrected = 3;
    assert_true(looks(GPU_LOOKS, s));
    assert_string_equal(trouble(), "GPU 4: uncorrected ECC errors since the container started");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(lost_data_ends_it, begin),
        cmocka_unit_test_setup(what_was_there_before_is_not_new, begin),
        cmocka_unit_test_setup(what_only_slows_down_is_told_and_passes, begin),
        cmocka_unit_test_setup(a_sign_that_comes_and_goes_is_none, begin),
        cmocka_unit_test_setup(what_is_not_told_is_no_sign, begin),
        cmocka_unit_test_setup(another_agent_compares_with_the_same, begin),
    };
    int r;

    a = arena_new();
    r = cmocka_run_group_tests(tests, NULL, NULL);
    arena_free(a);
    return r;
}
