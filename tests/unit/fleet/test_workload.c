#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "fleet/workload.h"

#include <cmocka.h>

static void a_line_is_a_job(void **state)
{
    _cleanup_arena_ struct arena *a = arena_new();
    struct fleet f = fleet_default();
    struct workload w;
    struct err err = { 0 };
    const char *text = "# c\n\nsubmit,type,run,count,owner,spot,max_run,max_wait,checkpoint_interval,priority\r\n"
                       "2h,ml.m5.large,90,3,ann,1,1d,2d,none,5\n"
                       "5,ml.p3.2xlarge:2+ml.m5.large:4,1.5h,,,,,,,\n"
                       "5,ml.m5.xlarge,60,,bob,0,,,10m,-1\n";

    assert_int_equal(workload_read(a, &f, "w.csv", str_of(text), &w, &err), 0);
    assert_int_equal(w.count, 3);
    /* By time, and of one time by line. */
    assert_int_equal(w.jobs[0].submit_ms, 5000);
    assert_int_equal(w.jobs[0].group_count, 2);
    assert_string_equal(w.jobs[0].groups[1].type, "ml.m5.large");
    assert_int_equal(w.jobs[0].groups[1].count, 4);
    assert_int_equal(w.jobs[0].run_ms, 5400000);
    assert_int_equal(w.jobs[0].max_run_ms, 86400000);
    assert_string_equal(w.jobs[0].owner, "anybody");
    assert_int_equal(w.jobs[0].checkpoint_cost_ms, f.checkpoints.cost_ms);
    assert_int_equal(w.jobs[1].checkpoint_interval_ms, 600000);
    assert_int_equal(w.jobs[1].priority, -1);
    assert_int_equal(w.jobs[2].groups[0].count, 3);
    assert_true(w.jobs[2].spot);
    assert_int_equal(w.jobs[2].max_wait_ms, 2 * 86400000);
    assert_int_equal(w.jobs[2].checkpoint_interval_ms, NO_CHECKPOINTS);
    assert_int_equal(w.jobs[2].groups[0].volume_gb, 0);
}

static void a_volume_is_each_instances(void **state)
{
    _cleanup_arena_ struct arena *a = arena_new();
    struct fleet f = fleet_default();
    struct workload w;
    struct err err = { 0 };

    assert_int_equal(workload_read(a, &f, "w.csv", str_of("volume,submit,type,run\n100,5,a:2+b,60\n,6,a,1\n"), &w,
                                   &err), 0);
    assert_int_equal(w.jobs[0].groups[0].volume_gb, 100);
    assert_int_equal(w.jobs[0].groups[1].volume_gb, 100);
    assert_int_equal(w.jobs[1].groups[0].volume_gb, 0);
}

static void a_mistake_is_told_with_its_line(void **state)
{
    static const struct {
        const char *text, *words;
    } cases[] = {
        { "", "w.csv is empty" },
        { "submit,run,type\n", "names columns and no jobs" },
        { "submit,type\n", "w.csv:1: the first line names the columns, and run is missing" },
        { "submit,run,type,colour\n", "w.csv:1: no column is called colour; there are submit" },
        { "submit,run,type,run\n", "the column run stands there twice" },
        { "submit,run,type\n1,2\n", "w.csv:2: 2 fields, and the first line names 3 columns" },
        { "submit,run,type\n#\n1,soon,ml.m5.large\n", "w.csv:3: soon is no time" },
        { "submit,run,type\n1,-5,ml.m5.large\n", "is no time" },
        { "submit,run,type\n1,5,\n", "type is empty" },
        { "submit,run,type,count\n1,5,a,0\n", "count is a whole number from 1" },
        { "submit,run,type,volume\n1,5,a,30GB\n", "volume is a whole number of GB from 1 to 16384, and not 30GB" },
        { "submit,run,type,spot\n1,5,a,maybe\n", "spot is 0 or 1" },
        { "submit,run,type,priority\n1,5,a,1001\n", "priority is a whole number" },
        { "submit,run,type\n1,5,\"a\"\n", "a quote" },
        { "submit,run,type\n1,5,a+b+c+d+e+f\n", "more than 5 groups" },
        { "submit,run,type\n1,5,a:x\n", "after the : of a:x comes a number" },
        { "submit,run,type,max_run\n1,5,a,0\n", "max_run is at least one second" },
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        _cleanup_arena_ struct arena *a = arena_new();
        struct fleet f = fleet_default();
        struct workload w;
        struct err err = { 0 };

        if (workload_read(a, &f, "w.csv", str_of(cases[i].text), &w, &err) == 0)
            fail_msg("%s\nis accepted", cases[i].text);
        if (!strstr(err.text, cases[i].words))
            fail_msg("%s\nsays %s\nand not %s", cases[i].text, err.text, cases[i].words);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_is_a_job), cmocka_unit_test(a_volume_is_each_instances),
        cmocka_unit_test(a_mistake_is_told_with_its_line),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
