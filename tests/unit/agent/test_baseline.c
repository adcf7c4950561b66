/* What was there when the container started, over the death of an agent. The GPUs are those of a fake libnvidia-ml.so.1
 * (tests/fake/nvml.c); LD_LIBRARY_PATH leads to it. */
#include "agent/baseline.h"

#include <time.h>
#include <unistd.h>

#include "agent/vitals.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "folder_test.h"

#define UUID "GPU-00000000-0000-0000-0000-000000000001"

static struct gpu_monitor *monitor;
static struct baseline b;

/* The second GPU of this machine, as an agent that has just started sees it. */
static void begin_on(const char *machine)
{
    const struct timespec pause = { .tv_nsec = 5000000 };
    struct gpu_sample s;

    put("machine", machine);
    gpu_monitor_free(monitor);
    monitor = gpu_monitor_new(&(struct gpu_monitor_options){ .only = 1 << 1 });
    while (gpu_monitor_count(monitor) && !gpu_monitor_sample(monitor, 0, &s))
        nanosleep(&pause, NULL);
    b = (struct baseline){ .folder = base, .memory_errors = 7 };
    baseline_recall(&b, monitor);
}

static bool look(void)
{
    struct gpu_sample s;

    assert_true(gpu_monitor_sample(monitor, 0, &s));
    return gpu_watch_look(&b.watched, 0, &s);
}

static const char *trouble(void)
{
    return gpu_watch_trouble(arena, &b.watched, 0, 1);
}

static int begin(void **state)
{
    base_make("/tmp");
    return setenv("FAKE_NVML", at("machine"), 1);
}

static int end(void **state)
{
    gpu_monitor_free(monitor);
    monitor = NULL;
    base_remove();
    return 0;
}

static void the_next_agent_compares_with_the_same(void **state)
{
    begin_on("gpus 2\nset 1 ecc_uncorrected 3\n");
    look();
    b.memory_errors = 2;
    baseline_keep(&b, monitor);
    begin_on("gpus 2\nset 1 ecc_uncorrected 3\n");
    assert_int_equal(b.memory_errors, 2);
    for (int i = 0; i < 2 * GPU_LOOKS; i++)
        assert_false(look());
    begin_on("gpus 2\nset 1 ecc_uncorrected 4\n");
    for (int i = 0; i < GPU_LOOKS; i++)
        look();
    assert_string_equal(trouble(), "GPU 1: uncorrected ECC errors since the container started");
    baseline_keep(&b, monitor); /* which is no new beginning */
    begin_on("gpus 2\nset 1 ecc_uncorrected 4\n");
    for (int i = 0; i < GPU_LOOKS; i++)
        look();
    assert_non_null(trouble());
}

static void another_container_begins_anew(void **state)
{
    begin_on("gpus 2\n");
    look();
    baseline_keep(&b, monitor);
    baseline_forget(base);
    baseline_forget(base);
    begin_on("gpus 2\nset 1 ecc_uncorrected 4\n");
    assert_int_equal(b.memory_errors, 7);
    for (int i = 0; i < 2 * GPU_LOOKS; i++)
        assert_false(look());
}

static void one_that_went_is_missed(void **state)
{
    begin_on("gpus 2\n");
    assert_string_equal(b.gone.uuid, "");
    look();
    baseline_keep(&b, monitor);
    begin_on("gpus 2\nfail nvmlInit_v2 9\n"); /* nobody knows */
    assert_string_equal(b.gone.uuid, "");
    baseline_keep(&b, monitor);
    for (int i = 0; i < 2; i++) { /* whoever comes next misses it, too */
        begin_on("gpus 2\nfail nvmlDeviceGetHandleByIndex_v2 15 1\n");
        assert_string_equal(b.gone.uuid, UUID);
        assert_int_equal(b.gone.index, 1);
        baseline_keep(&b, monitor);
    }
}

static void a_torn_file_is_none(void **state)
{
    put("baseline.json", "{\"gpus\":{\"" UUID "\":{\"ecc_unc");
    begin_on("gpus 2\nset 1 ecc_uncorrected 4\n");
    for (int i = 0; i < 2 * GPU_LOOKS; i++)
        assert_false(look());
    put("baseline.json", "{\"gpus\":[1],\"memory_errors\":\"x\"}");
    begin_on("gpus 2\n");
    assert_int_equal(b.memory_errors, 7);
}

/* Not after the first look of many seconds later: what comes in between is new. */
static void it_is_taken_when_the_container_starts(void **state)
{
    const struct order order = { 0 };
    struct loop *loop;
    struct vitals *v;
    struct err err;

    begin_on("gpus 2\nset 1 ecc_uncorrected 3\n");
    assert_int_equal(loop_new(&loop, &err), 0);
    v = vitals_new(&(struct vitals_options){ .loop = loop, .clock = clock_system(), .order = &order, .folder = base,
                                             .gpus = monitor });
    vitals_free(v);
    loop_free(loop);
    begin_on("gpus 2\nset 1 ecc_uncorrected 4\n");
    for (int i = 0; i < GPU_LOOKS; i++)
        look();
    assert_non_null(trouble());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_next_agent_compares_with_the_same, begin, end),
        cmocka_unit_test_setup_teardown(another_container_begins_anew, begin, end),
        cmocka_unit_test_setup_teardown(one_that_went_is_missed, begin, end),
        cmocka_unit_test_setup_teardown(a_torn_file_is_none, begin, end),
        cmocka_unit_test_setup_teardown(it_is_taken_when_the_container_starts, begin, end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
