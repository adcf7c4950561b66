/* A machine without the library: no GPU, and no more than that. */
#include <string.h>

#include "run/gpu.h"
#include "run/gpu_monitor.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

/* LD_LIBRARY_PATH leads to a file of that name which is no library. */
static void no_library_is_no_gpu(void **state)
{
    struct gpus *g = gpus_open();
    struct gpu_monitor *m = gpu_monitor_new(&(struct gpu_monitor_options){ 0 });
    int place, xid;

    assert_int_equal(gpus_count(g), 0);
    assert_non_null(strstr(gpus_why(g), "libnvidia-ml.so.1"));
    assert_string_equal(gpus_library(g), "");
    assert_int_equal(gpus_wait(g, 0, &place, &xid), GPU_EVENT_NEVER);
    gpus_close(g);
    assert_int_equal(gpu_monitor_count(m), 0);
    assert_non_null(strstr(gpu_monitor_why(m), "libnvidia-ml.so.1"));
    gpu_monitor_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(no_library_is_no_gpu) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
