/* Spot in a live server, by the fleet file's traces and rates: interrupted at the moment, not before and not later, and
 * neither by the death of a control plane. */
#include <math.h>

#include "fleet/price.h"
#include "fleet/spot.h"

#include "services/sagemaker/spot_seen.h"
#include "services/sagemaker/training_interrupt.h"

#include "fleet_world.h"

#define PLACE "[[nodes]]\nname = \"n\"\ncores = 2\nmemory = \"8GiB\"\n[[types]]\nname = \"ml.m5.large\"\nusd_hour = 1\n"
#define LIVE  "[spot]\nlive = true\nprice_most = 0.9\n"
#define DEAR  "[[spot.traces]]\ntype = \"ml.m5.*\"\nrepeat = \"1h\"\n" \
              "points = [[\"0m\", 0.4], [\"10m\", 0.9], [\"30m\", 0.91], [\"45m\", 0.4]]\n"

static int begin_priced(void **state)
{
    return fleet_begin(PLACE LIVE DEAR);
}

static int begin_still(void **state)
{
    return fleet_begin(PLACE "[spot]\n" DEAR);
}

static int begin_by_chance(void **state)
{
    return fleet_begin(PLACE LIVE "[[spot.rates]]\ntype = \"*\"\nper_hour = 4\n");
}

static int begin_on_two(void **state)
{
    return fleet_begin("[[nodes]]\nname = \"n\"\ncount = 2\ncores = 2\nmemory = \"8GiB\"\n");
}

/* As the program's loop does: it sleeps until something is due. */
static void go_to(int64_t until_ms)
{
    while (w.now_ms < until_ms) {
        int64_t due_ms = allocations_due_ms(w.engine);

        due_ms = w.next_ms < due_ms ? w.next_ms : due_ms;
        w.now_ms = due_ms < until_ms ? due_ms : until_ms;
        settle();
    }
}

static void die(void)
{
    restart();
    settle();
}

/* The agent of the only job that has one; NULL: none has. */
static const char *agent(void)
{
    int count;
    const char *const *names = agents(&count);

    assert_in_range(count, 0, 1);
    return count ? names[0] : NULL;
}

static void trains(void)
{
    const char *name = agent();

    assert_non_null(name);
    sim_report(w.runtime, name, "Training", "");
    engine_touch(w.engine, doc_text(sim_order(w.runtime, name), "uid"));
    settle();
}

static void ends_as_told(void)
{
    const char *name = agent(), *uid = doc_text(sim_order(w.runtime, name), "uid");

    sim_end(w.runtime, name, "Stopped", "", 0);
    engine_touch(w.engine, uid);
    settle();
}

static const struct doc *describe(const char *job)
{
    return call("DescribeTrainingJob", arena_printf(w.arena, "{'TrainingJobName':'%s'}", job));
}

static void is_at(const char *job, const char *secondary, const char *words)
{
    const struct doc *d = describe(job), *steps = doc_get(d, "SecondaryStatusTransitions");
    const char *told = doc_text(steps->items[steps->count - 1], "StatusMessage");

    assert_string_equal(doc_text(d, "SecondaryStatus"), secondary);
    if (!strstr(told, words))
        fail_msg("%s: %s", told, words);
}

static void begin(const char *job, bool spot)
{
    create(job, 1, spot);
    settle();
    trains();
    is_at(job, "Training", "");
}

/* At half past the price is above what is paid at most, which at ten past it was not; at a quarter to it is below. */
static void a_trace_interrupts_at_its_moment(void **state)
{
    begin("j", true);
    go_to(HOUR + 30 * MINUTE_MS - 1);
    assert_int_equal(w.stops, 0);
    go_to(HOUR + 30 * MINUTE_MS);
    assert_int_equal(w.stops, 1);
    ends_as_told();
    is_at("j", "Interrupted", "the spot price rose above what is paid at most");
    go_to(HOUR + 45 * MINUTE_MS - 1);
    assert_null(agent());
    is_at("j", "Interrupted", "Waiting: the spot price is above what is paid at most");
    go_to(HOUR + 45 * MINUTE_MS);
    trains();
    is_at("j", "Training", "");
    go_to(HOUR + 90 * MINUTE_MS - 1);
    assert_int_equal(w.stops, 1);
    go_to(HOUR + 90 * MINUTE_MS); /* the second attempt, in the trace's second round */
    assert_int_equal(w.stops, 2);
}

static void a_restart_keeps_the_moment(void **state)
{
    begin("j", true);
    go_to(HOUR + 20 * MINUTE_MS);
    die();
    assert_int_equal(allocations_due_ms(w.engine), HOUR + 30 * MINUTE_MS);
    go_to(HOUR + 30 * MINUTE_MS - 1);
    assert_int_equal(w.stops, 0);
    go_to(HOUR + 30 * MINUTE_MS);
    ends_as_told();
    die(); /* while it waits for the price */
    assert_null(agent());
    go_to(HOUR + 45 * MINUTE_MS - 1);
    assert_null(agent());
    go_to(HOUR + 45 * MINUTE_MS);
    trains();
}

/* The price rose and fell while nobody looked: the instance was gone. */
static void a_moment_that_was_slept_through_counts(void **state)
{
    begin("j", true);
    w.now_ms = HOUR + 50 * MINUTE_MS;
    die();
    assert_true(w.stops > 0);
    ends_as_told();
    trains(); /* the price has fallen since: it goes on at once */
    is_at("j", "Training", "");
}

static void nothing_begins_while_it_is_dear(void **state)
{
    w.now_ms = HOUR + 31 * MINUTE_MS;
    create("j", 1, true);
    settle();
    assert_null(agent());
    is_at("j", "Pending", "Waiting: the spot price is above what is paid at most");
    go_to(HOUR + 45 * MINUTE_MS - 1);
    assert_null(agent());
    go_to(HOUR + 45 * MINUTE_MS);
    trains();
}

static void work_on_demand_is_never_asked(void **state)
{
    begin("j", false);
    go_to(HOUR + 120 * MINUTE_MS);
    assert_int_equal(w.stops, 0);
}

static void what_is_not_live_is_for_simulations(void **state)
{
    begin("j", true);
    go_to(HOUR + 120 * MINUTE_MS);
    assert_int_equal(w.stops, 0);
}

static int stoppings_of(const char *job)
{
    const struct doc *steps = doc_get(describe(job), "SecondaryStatusTransitions");
    int count = 0;

    for (uint32_t i = 0; i < steps->count; i++)
        count += doc_is(steps->items[i], "Status", "Stopping");
    return count;
}

static void what_has_waited_and_run_long_enough_shows_that_it_stops(void **state)
{
    int64_t over_ms = HOUR + 72000 * SECOND_MS;

    begin("j", true);
    go_to(over_ms - 1);
    assert_int_equal(w.stops, 0);
    is_at("j", "Training", "");
    go_to(over_ms);
    assert_true(w.stops > 0);
    is_at("j", "Stopping", "Stopping the training job");
    assert_true(doc_is(describe("j"), "TrainingJobStatus", "Stopping"));
    die();
    go_to(over_ms + MINUTE_MS);
    is_at("j", "Stopping", "");
    ends_as_told();
    is_at("j", "MaxWaitTimeExceeded", "Training job exceeded MaxWaitTimeInSeconds");
    assert_true(doc_is(describe("j"), "TrainingJobStatus", "Stopped"));
    assert_int_equal(stoppings_of("j"), 1);
}

static int64_t drawn_ms(const char *job, int64_t attempt)
{
    return spot_lifetime_ms(4, spot_unit(w.fleet.seed, row_of(job).uid, attempt));
}

static void chance_is_drawn_once_for_each_attempt(void **state)
{
    int64_t moment_ms;

    begin("j", true);
    moment_ms = HOUR + drawn_ms("j", 0);
    go_to(HOUR + (moment_ms - HOUR) / 2);
    die();
    go_to(moment_ms - 1);
    assert_int_equal(w.stops, 0);
    go_to(moment_ms);
    assert_int_equal(w.stops, 1);
    ends_as_told();
    trains(); /* there is room: the next attempt begins, with another luck */
    moment_ms += drawn_ms("j", 1);
    assert_true(drawn_ms("j", 0) != drawn_ms("j", 1));
    go_to(moment_ms - 1);
    assert_int_equal(w.stops, 1);
    go_to(moment_ms);
    assert_int_equal(w.stops, 2);
    ends_as_told();
    trains();
}

static void create_trains(const char *job, bool spot)
{
    create(job, 1, spot);
    settle();
    sim_report(w.runtime, agent_with("job_name", job), "Training", "");
    engine_touch(w.engine, row_of(job).uid);
    settle();
}

static enum work_state state_of(const char *job)
{
    int64_t ignored;

    return scheduler_state(allocations_scheduler(w.platform.allocations), row_of(job).uid, &ignored);
}

/* Its place is coming free: nobody else has to go for who waits, and who waits has it before it may come back. */
static void what_a_drill_takes_goes_to_who_waits(void **state)
{
    const struct interruption at_once = { 0 };

    create_trains("one", true);
    w.now_ms += SECOND_MS;
    create_trains("two", true);
    assert_int_equal(training_job_interrupt(w.arena, w.engine, row_of("one").arn, &at_once, &w.err), 0);
    settle();
    create("firm", 1, false);
    settle();
    assert_int_equal(state_of("one"), WORK_LEAVING);
    assert_int_equal(state_of("two"), WORK_RUNNING);
    assert_null(agent_with("job_name", "firm"));
    sim_end(w.runtime, agent_with("job_name", "one"), "Stopped", "", 0);
    engine_touch(w.engine, row_of("one").uid);
    settle();
    is_at("one", "Interrupted", "");
    assert_non_null(agent_with("job_name", "firm"));
    assert_null(agent_with("job_name", "one"));
    assert_int_equal(state_of("two"), WORK_RUNNING);
}

/* What one instance is thought to be interrupted in an hour. */
static double rate(void)
{
    const struct training_spec s = { .spot = true, .instance_type = "ml.m5.large", .instance_count = 1 };
    double every_ms;

    assert_int_equal(spot_interrupted_every_ms(w.store, &w.fleet, &s, w.now_ms, &every_ms, &w.err), 0);
    return every_ms > 0 ? 3600e3 / every_ms : 0;
}

static double rate_of(double expected, double hours, double interruptions)
{
    return spot_rate(expected, &(struct spot_seen){ hours, interruptions });
}

static void what_chance_did_is_learned(void **state)
{
    double hours;

    begin("j", true);
    assert_float_equal(rate(), 4, 1e-9);
    hours = (double)drawn_ms("j", 0) / 3600e3;
    go_to(HOUR + drawn_ms("j", 0));
    assert_float_equal(rate(), 4, 1e-9); /* it has not ended yet */
    ends_as_told();
    assert_float_equal(rate(), rate_of(4, hours, 1), 1e-9);
    die();
    assert_float_equal(rate(), rate_of(4, hours, 1), 1e-9);
    w.now_ms += (int64_t)30 * 24 * 60 * MINUTE_MS; /* half forgotten */
    assert_float_equal(rate(), rate_of(4, hours / 2, 0.5), 1e-9);
    w.now_ms -= (int64_t)60 * 24 * 60 * MINUTE_MS; /* the clock was wrong */
    assert_float_equal(rate(), rate_of(4, hours, 1), 1e-9);
}

/* A type with a trace has no rate but what was seen. */
static void what_a_price_did_is_learned(void **state)
{
    begin("j", true);
    assert_true(rate() == 0);
    go_to(HOUR + 30 * MINUTE_MS);
    ends_as_told();
    assert_float_equal(rate(), rate_of(0, 0.5, 1), 1e-9);
}

/* From the hour on 0.4 for ten minutes, 0.9 for twenty, 0.91 of the notice; on demand it is 1. */
static void a_trace_is_paid(void **state)
{
    begin("j", true);
    go_to(HOUR + 5 * MINUTE_MS);
    assert_float_equal(doc_number(usage()->items[0], "usd_hour", 0), 0.4, 1e-9);
    go_to(HOUR + 20 * MINUTE_MS);
    assert_float_equal(doc_number(usage()->items[0], "usd_hour", 0), (0.4 + 0.9) / 2, 1e-2); /* some seconds ago */
    go_to(HOUR + 30 * MINUTE_MS);
    go_to(HOUR + 32 * MINUTE_MS);
    ends_as_told();
    assert_float_equal(doc_number(usage()->items[0], "usd_hour", 0), (4 + 18 + 1.82) / 32, 1e-9);
    go_to(HOUR + 45 * MINUTE_MS);
    trains();
    go_to(HOUR + 60 * MINUTE_MS);
    die();
    sim_end(w.runtime, agent(), "Completed", "", 0);
    engine_touch(w.engine, row_of("j").uid);
    settle();
    assert_float_equal(doc_number(usage()->items[1], "usd_hour", 0), 0.4, 1e-9);
    assert_int_equal(doc_int(describe("j"), "TrainingTimeInSeconds", 0), 47 * 60);
    assert_int_equal(doc_int(describe("j"), "BillableTimeInSeconds", 0), ceil((4 + 18 + 1.82 + 6) * 60));
}

/* One that takes nothing back is not paid either. */
static void a_still_trace_is_not_paid(void **state)
{
    struct price price;

    begin("j", true);
    go_to(HOUR + 20 * MINUTE_MS);
    price = fleet_price(&w.fleet, "ml.m5.large", w.platform.default_region);
    assert_float_equal(doc_number(usage()->items[0], "usd_hour", 0), price_paid(&price, true), 1e-9);
    sim_end(w.runtime, agent(), "Completed", "", 0);
    engine_touch(w.engine, row_of("j").uid);
    settle();
    assert_int_equal(doc_int(describe("j"), "BillableTimeInSeconds", 0), ceil(1200 * price.spot_share));
}

static void leaves(const char *job)
{
    sim_end(w.runtime, agent_with("job_name", job), "Stopped", "", 0);
    engine_touch(w.engine, row_of(job).uid);
    settle();
}

/* Work on demand took its place: that counts, and a drill does not; nor does who ends by himself, but for his hours. */
static void what_demand_took_is_learned(void **state)
{
    double expected = rate();

    create_trains("one", true);
    w.now_ms += SECOND_MS;
    create_trains("two", true);
    w.now_ms += 60 * MINUTE_MS;
    create("firm", 1, false);
    settle();
    assert_int_equal(state_of("two"), WORK_LEAVING);
    leaves("two");
    assert_float_equal(rate(), rate_of(expected, 1, 1), 1e-9);
    w.now_ms += 59 * MINUTE_MS + 59 * SECOND_MS;
    assert_int_equal(training_job_interrupt(w.arena, w.engine, row_of("one").arn, &(struct interruption){ 0 }, &w.err),
                     0);
    settle();
    leaves("one");
    is_at("one", "Interrupted", "");
    assert_float_equal(rate(), rate_of(expected, 3, 1), 2e-5); /* an hour fades a little */
}

#define PRICED(test) cmocka_unit_test_setup_teardown(test, begin_priced, jobs_end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        PRICED(a_trace_interrupts_at_its_moment),
        PRICED(a_restart_keeps_the_moment),
        PRICED(a_moment_that_was_slept_through_counts),
        PRICED(nothing_begins_while_it_is_dear),
        PRICED(work_on_demand_is_never_asked),
        cmocka_unit_test_setup_teardown(what_is_not_live_is_for_simulations, begin_still, jobs_end),
        cmocka_unit_test_setup_teardown(what_has_waited_and_run_long_enough_shows_that_it_stops, begin_still, jobs_end),
        cmocka_unit_test_setup_teardown(what_a_drill_takes_goes_to_who_waits, begin_on_two, jobs_end),
        cmocka_unit_test_setup_teardown(chance_is_drawn_once_for_each_attempt, begin_by_chance, jobs_end),
        cmocka_unit_test_setup_teardown(what_chance_did_is_learned, begin_by_chance, jobs_end),
        PRICED(what_a_price_did_is_learned),
        PRICED(a_trace_is_paid),
        cmocka_unit_test_setup_teardown(a_still_trace_is_not_paid, begin_still, jobs_end),
        cmocka_unit_test_setup_teardown(what_demand_took_is_learned, begin_on_two, jobs_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
