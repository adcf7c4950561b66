#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "fleet/example.h"
#include "fleet/simulation_report.h"

#include <cmocka.h>

enum { MINUTE = 60 * 1000, HOUR = 60 * MINUTE, DAY = 24 * HOUR };

static struct simulation simulated(struct arena *a, const char *fleet_text, const char *workload_text, int64_t days)
{
    struct fleet *f = arena_new_of(a, struct fleet);
    struct workload *w = arena_new_of(a, struct workload);
    struct simulation s;
    struct err err = { 0 };

    if (fleet_read(a, "f", str_of(fleet_text), f, &err) < 0 ||
        workload_read(a, f, "w", str_of(workload_text), w, &err) < 0 || simulate(a, f, w, f->seed, days, &s, &err) < 0)
        fail_msg("%s", err.text);
    return s;
}

#define NODE  "[[nodes]]\nname = \"n\"\ncores = 16\nmemory = \"64GiB\"\n"
#define PRICE "[[types]]\nname = \"t\"\nvcpus = 16\nmemory = \"64GiB\"\nusd_hour = 2\nspot_usd_hour = 0.5\n"
#define QUIET PRICE "interruptions_per_hour = 0\n"

static void waiting_and_cost_are_those_of_the_clock(void **state)
{
    _cleanup_arena_ struct arena *a = arena_new();
    struct simulation s = simulated(a, NODE QUIET, "submit,run,type\n0,1h,t\n10m,1h,t\n3h,30m,t\n", 0);

    assert_int_equal(s.jobs[0].first_start_ms, 0);
    assert_int_equal(s.jobs[1].first_start_ms, HOUR);
    assert_int_equal(s.jobs[1].ended_ms, 2 * HOUR);
    assert_int_equal(s.jobs[2].first_start_ms, 3 * HOUR);
    assert_float_equal(s.jobs[0].usd, 2, 1e-9);
    assert_int_equal(s.length_ms, 3 * HOUR + 30 * MINUTE);
    assert_float_equal(s.core_ms / s.core_total_ms, 2.5 / 3.5, 1e-9);
    for (int i = 0; i < 3; i++)
        assert_int_equal(s.jobs[i].outcome, OUTCOME_COMPLETED);
}

/* Spot works from 0 to 30 minutes, saves every ten for none, is told to go, and comes back after the other. */
static void an_interruption_loses_what_was_not_saved(void **state)
{
    _cleanup_arena_ struct arena *a = arena_new();
    struct simulation s = simulated(a,
                                    NODE QUIET "[checkpoints]\ncost = \"0s\"\nrestart = \"1m\"\n"
                                               "[spot]\nnotice = \"2m\"\n",
                                    "submit,run,type,spot,checkpoint_interval\n0,1h,t,1,10m\n33m,1h,t,0,\n", 0);

    assert_int_equal(s.jobs[0].preempted, 1);
    assert_int_equal(s.jobs[1].first_start_ms, 35 * MINUTE);
    /* 30 of 35 minutes were saved. */
    assert_int_equal(s.jobs[0].lost_ms, 5 * MINUTE);
    assert_int_equal(s.jobs[0].ended_ms, 95 * MINUTE + 31 * MINUTE);
    assert_int_equal(s.jobs[0].saving_ms, MINUTE);
    assert_float_equal(s.jobs[0].usd, 0.5 * 66 / 60, 1e-9);
    assert_float_equal(s.jobs[0].on_demand_usd, 2.0 * 66 / 60, 1e-9);
    assert_int_equal(s.jobs[0].outcome, OUTCOME_COMPLETED);
}

static void without_checkpoints_all_is_lost(void **state)
{
    _cleanup_arena_ struct arena *a = arena_new();
    struct simulation s = simulated(a, NODE QUIET "[spot]\nnotice = \"2m\"\n",
                                    "submit,run,type,spot,checkpoint_interval\n0,1h,t,1,none\n33m,1h,t,0,\n", 0);

    assert_int_equal(s.jobs[0].lost_ms, 35 * MINUTE);
}

static void limits_stop(void **state)
{
    _cleanup_arena_ struct arena *a = arena_new();
    struct simulation s = simulated(a, NODE QUIET "[[quotas]]\naccount = \"q\"\nlimit = 0\n",
                                    "submit,run,type,max_run,spot,max_wait,account\n0,2h,t,1h,0,,\n0,1h,t,,1,30m,\n"
                                    "0,1h,t,,0,,q\n", 0);

    assert_int_equal(s.jobs[0].outcome, OUTCOME_MAX_RUN);
    assert_int_equal(s.jobs[0].ended_ms, HOUR);
    assert_int_equal(s.jobs[1].outcome, OUTCOME_MAX_WAIT);
    assert_int_equal(s.jobs[1].ended_ms, 30 * MINUTE);
    assert_int_equal(s.jobs[2].outcome, OUTCOME_REFUSED);
    assert_non_null(strstr(s.jobs[2].refused, "service limit"));
}

/* Too dear from the second hour to the fourth. */
static void a_price_takes_back_and_lets_in_again(void **state)
{
    _cleanup_arena_ struct arena *a = arena_new();
    struct simulation s =
        simulated(a,
                  NODE QUIET "[checkpoints]\ncost = \"0s\"\nrestart = \"0s\"\n[spot]\nnotice = \"0s\"\n"
                             "[[spot.traces]]\ntype = \"t\"\npoints = [[\"0h\", 1], [\"2h\", 9], [\"4h\", 0.25]]\n",
                  "submit,run,type,spot,checkpoint_interval\n0,3h,t,1,1h\n3h,1h,t,1,\n", 0);

    assert_int_equal(s.jobs[0].interrupted, 1);
    assert_int_equal(s.jobs[0].ended_ms, 5 * HOUR);
    assert_float_equal(s.jobs[0].usd, 2.25, 1e-9);
    assert_int_equal(s.jobs[1].first_start_ms, 5 * HOUR);
}

static void what_is_left_at_the_end_is_told(void **state)
{
    _cleanup_arena_ struct arena *a = arena_new();
    struct simulation s = simulated(a, NODE QUIET, "submit,run,type,max_run\n0,2d,t,3d\n0,1h,t,\n", 1);

    assert_int_equal(s.jobs[0].outcome, OUTCOME_RUNNING);
    assert_int_equal(s.jobs[1].outcome, OUTCOME_WAITING);
    assert_int_equal(s.length_ms, DAY);
    assert_float_equal(s.jobs[0].usd, 48, 1e-9);
    assert_float_equal(s.core_ms / s.core_total_ms, 1, 1e-9);
}

static void nodes_fail_and_work_goes_on(void **state)
{
    _cleanup_arena_ struct arena *a = arena_new();
    struct simulation s = simulated(a,
                                    "[[nodes]]\nname = \"n\"\ncount = 4\ncores = 16\nmemory = \"64GiB\"\n" QUIET
                                    "[failures]\nmean_time_between = \"2d\"\nrepair = \"1h\"\n",
                                    "submit,run,type,count,max_run\n0,10d,t,3,28d\n", 0);

    assert_int_equal(s.jobs[0].outcome, OUTCOME_COMPLETED);
    assert_true(s.jobs[0].failures > 3 && s.replaced > 0);
    assert_true(s.jobs[0].lost_ms > 0);
    /* What a failed node threw away is not billed. */
    assert_true(s.jobs[0].usd < 6.0 * (double)s.jobs[0].held_ms / HOUR - 1);
}

static void print_all(struct buf *b, int64_t seed)
{
    _cleanup_arena_ struct arena *a = arena_new();
    _cleanup_buf_ struct buf fleet = { 0 }, workload = { 0 };
    struct simulation s;

    example_fleet(&fleet, 40);
    example_workload(&workload, 40, 2000, 5, 0.9, seed);
    s = simulated(a, fleet.data, workload.data, 0);
    simulation_text(&s, b);
    simulation_svg(&s, b);
    for (int i = 0; i < 2000; i++)
        assert_int_equal(s.jobs[i].outcome, OUTCOME_COMPLETED);
    assert_true(s.core_ms <= s.core_total_ms && s.gpu_ms <= s.gpu_total_ms);
}

static void the_same_seed_gives_the_same_bytes(void **state)
{
    _cleanup_buf_ struct buf one = { 0 }, two = { 0 }, three = { 0 };

    print_all(&one, 1);
    print_all(&two, 1);
    print_all(&three, 2);
    assert_int_equal(one.size, two.size);
    assert_memory_equal(one.data, two.data, one.size);
    assert_true(three.size != one.size || memcmp(three.data, one.data, one.size) != 0);
    assert_non_null(strstr(one.data, "Waiting until the first start"));
    assert_non_null(strstr(one.data, "saved by spot"));
    assert_non_null(strstr(one.data, "</svg>"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(waiting_and_cost_are_those_of_the_clock),
        cmocka_unit_test(an_interruption_loses_what_was_not_saved),
        cmocka_unit_test(without_checkpoints_all_is_lost),
        cmocka_unit_test(limits_stop),
        cmocka_unit_test(a_price_takes_back_and_lets_in_again),
        cmocka_unit_test(what_is_left_at_the_end_is_told),
        cmocka_unit_test(nodes_fail_and_work_goes_on),
        cmocka_unit_test(the_same_seed_gives_the_same_bytes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
