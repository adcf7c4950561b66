/* GPUs as a fake libnvidia-ml.so.1 (tests/fake/nvml.c) tells of them; LD_LIBRARY_PATH leads to it. */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "run/gpu.h"
#include "run/gpu_monitor.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static char file[40];

static void machine(const char *text)
{
    FILE *f = fopen(file, "w");

    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static int begin(void **state)
{
    int fd;

    strcpy(file, "/tmp/sagebrush-nvml-XXXXXX");
    fd = mkstemp(file);
    assert_true(fd >= 0);
    close(fd);
    return setenv("FAKE_NVML", file, 1);
}

static int end(void **state)
{
    return unlink(file);
}

static void lists_what_is_there(void **state)
{
    struct gpus *g;

    machine("gpus 2\nminor 1 5\n");
    g = gpus_open();
    assert_int_equal(gpus_count(g), 2);
    assert_string_equal(gpus_why(g), "");
    assert_string_equal(gpus_driver(g), "550.54.15");
    assert_non_null(strstr(gpus_library(g), "libnvidia-ml.so.1"));
    assert_int_equal(gpus_at(g, 0)->minor, 0);
    assert_int_equal(gpus_at(g, 1)->index, 1);
    assert_int_equal(gpus_at(g, 1)->minor, 5);
    assert_string_equal(gpus_at(g, 1)->uuid, "GPU-00000000-0000-0000-0000-000000000001");
    assert_string_equal(gpus_at(g, 1)->name, "NVIDIA Fake 40GB");
    assert_true(gpus_at(g, 1)->memory_bytes == INT64_C(40) << 30);
    gpus_close(g);
    gpus_close(NULL);
}

/* Every code of a driver that is not fit means a machine without GPUs, and says why. */
static void no_driver_is_no_gpu(void **state)
{
    static const struct {
        const char *text, *why;
    } rows[] = {
        { "gpus 2\nfail nvmlInit_v2 9\n", "the driver is not loaded (9)" },
        { "gpus 2\nfail nvmlInit_v2 12\n", "a library of the driver is missing (12)" },
        { "gpus 2\nfail nvmlInit_v2 4\n", "no permission (4)" },
        { "gpus 2\nfail nvmlInit_v2 3\n", "it is not supported (3)" },
        { "gpus 2\nfail nvmlInit_v2 18\n", "the machine has to be restarted (18)" },
        { "gpus 2\nfail nvmlInit_v2 999\n", "an unknown error (999)" },
        { "gpus 2\nfail nvmlDeviceGetCount_v2 13\n", "the driver is too old (13)" },
        { "gpus 2\nfail nvmlDeviceGetHandleByIndex_v2 15\n", "GPU 1: the GPU is lost (15)" },
        { "gpus 2\nfail nvmlDeviceGetUUID 16\n", "GPU 1: the GPU has to be reset (16)" },
        { "gpus 0\n", "the driver lists none" },
        { "", "the driver lists none" },
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct gpus *g;
        int place, xid;

        machine(rows[i].text);
        g = gpus_open();
        assert_int_equal(gpus_count(g), 0);
        if (!strstr(gpus_why(g), rows[i].why))
            fail_msg("\"%s\" has not \"%s\"", gpus_why(g), rows[i].why);
        assert_int_equal(gpus_wait(g, 0, &place, &xid), GPU_EVENT_NEVER);
        gpus_close(g);
    }
}

/* The others are there all the same, under their own indices. */
static void one_gpu_may_be_out_of_reach(void **state)
{
    struct gpus *g;

    machine("gpus 3\nfail nvmlDeviceGetHandleByIndex_v2 15 1\nfail nvmlDeviceGetName 3\n"
            "fail nvmlDeviceGetMinorNumber 3\nfail nvmlDeviceGetMemoryInfo 3\nfail nvmlSystemGetDriverVersion 999\n");
    g = gpus_open();
    assert_int_equal(gpus_count(g), 2);
    assert_string_equal(gpus_why(g), "");
    assert_int_equal(gpus_at(g, 0)->index, 0);
    assert_int_equal(gpus_at(g, 1)->index, 2);
    assert_int_equal(gpus_at(g, 1)->minor, 2);
    assert_string_equal(gpus_at(g, 1)->name, "GPU");
    assert_int_equal(gpus_at(g, 1)->memory_bytes, 0);
    assert_string_equal(gpus_driver(g), "");
    gpus_close(g);
}

static void samples_tell_all_that_is_told(void **state)
{
    struct gpu_sample s;
    struct gpus *g;

    machine("gpus 2\nset 1 utilization 87\nset 1 used_mib 20480\nset 1 ecc_uncorrected 2\nset 1 rows_uncorrectable 3\n"
            "set 1 row_failure 1\nset 1 throttle 64\n");
    g = gpus_open();
    gpus_sample(g, 1, &s);
    assert_false(s.lost);
    assert_int_equal(s.utilization_percent, 87);
    assert_int_equal(s.memory_utilization_percent, 20);
    assert_true(s.memory_used_bytes == INT64_C(20) << 30 && s.memory_reserved_bytes == INT64_C(512) << 20);
    assert_true(s.memory_free_bytes == s.memory_total_bytes - s.memory_used_bytes - s.memory_reserved_bytes);
    assert_int_equal(s.temperature_c, 61);
    assert_int_equal(s.power_mw, 250500);
    assert_int_equal(s.energy_mj, 123456789);
    assert_int_equal(s.sm_clock_mhz, 1410);
    assert_int_equal(s.memory_clock_mhz, 1593);
    assert_int_equal(s.throttle, GPU_THROTTLE_HARDWARE_HEAT); /* under the name of an old driver */
    assert_int_equal(s.ecc_uncorrected, 2);
    assert_int_equal(s.ecc_corrected, 0);
    assert_int_equal(s.rows_uncorrectable, 3);
    assert_int_equal(s.row_failure, 1);
    assert_int_equal(s.encoder_percent, GPU_ABSENT); /* the fake has no such function */
    assert_int_equal(s.pcie_replays, GPU_ABSENT);
    gpus_close(g);
}

static void what_is_not_told_is_absent(void **state)
{
    static const int codes[] = { 1, 2, 3, 4, 13, 14, 21, 999 };
    char text[1024];

    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
        struct gpu_sample s;
        struct gpus *g;

        snprintf(text, sizeof text,
                 "gpus 1\nfail nvmlDeviceGetUtilizationRates %d\nfail nvmlDeviceGetMemoryInfo_v2 %d\n"
                 "fail nvmlDeviceGetTemperature %d\nfail nvmlDeviceGetPowerUsage %d\nfail nvmlDeviceGetClockInfo %d\n"
                 "fail nvmlDeviceGetTotalEccErrors %d\nfail nvmlDeviceGetRemappedRows %d\n"
                 "fail nvmlDeviceGetCurrentClocksThrottleReasons %d\n",
                 codes[i], codes[i], codes[i], codes[i], codes[i], codes[i], codes[i], codes[i]);
        machine(text);
        g = gpus_open();
        gpus_sample(g, 0, &s);
        assert_false(s.lost);
        assert_int_equal(s.utilization_percent, GPU_ABSENT);
        assert_true(s.memory_used_bytes == INT64_C(4) << 30); /* of the older call */
        assert_int_equal(s.memory_reserved_bytes, GPU_ABSENT);
        assert_int_equal(s.temperature_c, GPU_ABSENT);
        assert_int_equal(s.power_mw, GPU_ABSENT);
        assert_int_equal(s.sm_clock_mhz, GPU_ABSENT);
        assert_int_equal(s.throttle, GPU_ABSENT);
        assert_int_equal(s.ecc_corrected, GPU_ABSENT);
        assert_int_equal(s.row_pending, GPU_ABSENT);
        assert_int_equal(s.energy_mj, 123456789);
        gpus_close(g);
    }
}

static void a_gpu_can_be_lost(void **state)
{
    static const int codes[] = { 15, 16 };

    for (int i = 0; i < 2; i++) {
        char text[100];
        struct gpu_sample s;
        struct gpus *g;

        machine("gpus 2\n");
        g = gpus_open();
        snprintf(text, sizeof text, "gpus 2\nfail nvmlDeviceGetUtilizationRates %d 1\n", codes[i]);
        machine(text);
        gpus_sample(g, 0, &s);
        assert_false(s.lost);
        gpus_sample(g, 1, &s);
        assert_true(s.lost);
        gpus_close(g);
    }
}

static void errors_are_told_once(void **state)
{
    struct gpus *g;
    int place, xid;

    machine("gpus 2\nxid 0 48\n"); /* before anybody listened */
    g = gpus_open();
    assert_int_equal(gpus_wait(g, 0, &place, &xid), GPU_EVENT_NONE);
    machine("gpus 2\nxid 0 48\nxid 1 79\nxid 0 13\n");
    assert_int_equal(gpus_wait(g, 1000, &place, &xid), GPU_EVENT_XID);
    assert_int_equal(place, 1);
    assert_int_equal(xid, 79);
    assert_int_equal(gpus_wait(g, 1000, &place, &xid), GPU_EVENT_XID);
    assert_int_equal(place, 0);
    assert_int_equal(xid, 13);
    assert_int_equal(gpus_wait(g, 0, &place, &xid), GPU_EVENT_NONE);
    machine("gpus 2\nfail nvmlEventSetWait_v2 15\n");
    assert_int_equal(gpus_wait(g, 0, &place, &xid), GPU_EVENT_NONE);
    machine("gpus 2\nfail nvmlEventSetWait_v2 1\n");
    assert_int_equal(gpus_wait(g, 0, &place, &xid), GPU_EVENT_NEVER);
    gpus_close(g);
    machine("gpus 2\nfail nvmlDeviceRegisterEvents 3\n");
    g = gpus_open();
    assert_int_equal(gpus_wait(g, 0, &place, &xid), GPU_EVENT_NEVER);
    gpus_close(g);
}

static void effects(void **state)
{
    static const int program[] = { 13, 31, 43, 45, 68, 109 }, broken[] = { 48, 64, 74, 79, 95, 119, 777 };

    for (size_t i = 0; i < sizeof program / sizeof *program; i++)
        assert_int_equal(xid_of(program[i])->effect, XID_PROGRAM);
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++)
        assert_int_equal(xid_of(broken[i])->effect, XID_BROKEN);
    assert_int_equal(xid_of(63)->effect, XID_NOTED);
    assert_int_equal(xid_of(94)->effect, XID_RESTART);
}

static void rang(void *data)
{
    const char one = 1;

    assert_int_equal(write(*(int *)data, &one, 1), 1);
}

static struct gpu_fault next_fault(struct gpu_monitor *m, int bell)
{
    struct gpu_fault f = { .index = -1 };
    struct pollfd p = { .fd = bell, .events = POLLIN };
    char one;

    /* For a monitor that is broken, not for a machine that is slow. */
    assert_int_equal(poll(&p, 1, 60000), 1);
    assert_int_equal(read(bell, &one, 1), 1);
    assert_true(gpu_monitor_fault(m, &f));
    return f;
}

static void the_monitor_tells_of_its_own(void **state)
{
    struct gpu_monitor *m;
    struct gpu_fault f;
    struct gpu_sample s;
    int bell[2];

    assert_int_equal(pipe(bell), 0);
    machine("gpus 3\n");
    m = gpu_monitor_new(&(struct gpu_monitor_options){ .only = 6, .happened = rang, .data = &bell[1] });
    assert_int_equal(gpu_monitor_count(m), 2);
    assert_int_equal(gpu_monitor_gpu(m, 0)->index, 1);
    assert_false(gpu_monitor_fault(m, &f));
    while (!gpu_monitor_sample(m, 1, &s)) /* by then it listens */
        usleep(1000);
    assert_int_equal(s.utilization_percent, 50);
    machine("gpus 3\nxid 0 79\nxid 2 79\n");
    f = next_fault(m, bell[0]);
    assert_int_equal(f.index, 2);
    assert_int_equal(f.xid, 79);
    assert_int_equal(f.effect, XID_BROKEN);
    assert_string_equal(f.words, "GPU 2 reported XID 79 (the GPU has fallen off the bus)");
    assert_string_equal(f.uuid, "GPU-00000000-0000-0000-0000-000000000002");
    assert_int_equal(gpu_monitor_last_xid(m, 1), 79);
    assert_int_equal(gpu_monitor_last_xid(m, 0), 0);
    machine("gpus 3\nxid 0 79\nxid 2 79\nfail nvmlDeviceGetUtilizationRates 15 1\nfail nvmlEventSetWait_v2 15\n");
    f = next_fault(m, bell[0]);
    assert_int_equal(f.index, 1);
    assert_int_equal(f.xid, 0);
    assert_non_null(strstr(f.words, "GPU 1 is lost"));
    gpu_monitor_free(m);
    assert_false(gpu_monitor_fault(NULL, &f));
    assert_int_equal(gpu_monitor_count(NULL), 0);
    close(bell[0]);
    close(bell[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lists_what_is_there),        cmocka_unit_test(no_driver_is_no_gpu),
        cmocka_unit_test(one_gpu_may_be_out_of_reach), cmocka_unit_test(samples_tell_all_that_is_told),
        cmocka_unit_test(what_is_not_told_is_absent), cmocka_unit_test(a_gpu_can_be_lost),
        cmocka_unit_test(errors_are_told_once),       cmocka_unit_test(effects),
        cmocka_unit_test(the_monitor_tells_of_its_own),
    };

    return cmocka_run_group_tests(tests, begin, end);
}
