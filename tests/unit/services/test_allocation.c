/* What is asked of the fleet counts when it is saved: each question, with the control plane killed before the commit
 * and after it, and with the pass lost. No reconcile runs: the passes are the test's own. */
#include "services/sagemaker/allocation_record.h"

#include "fleet_world.h"

static const char one_place[] = "[[nodes]]\nname = \"n\"\ncores = 2\nmemory = \"8GiB\"\n";
static const char two_places[] = "[[nodes]]\nname = \"n\"\ncount = 2\ncores = 2\nmemory = \"8GiB\"\n";
static const char four_places[] = "[[nodes]]\nname = \"n\"\ncount = 4\ncores = 2\nmemory = \"8GiB\"\n";

static int begin_one(void **state)
{
    return fleet_begin(one_place);
}

static int begin_two(void **state)
{
    return fleet_begin(two_places);
}

static int begin_four(void **state)
{
    return fleet_begin(four_places);
}

static void turn(void)
{
    assert_int_equal(engine_commit(w.engine, &w.err), 0);
    allocations_turn(w.engine);
}

static struct resource load(const char *job)
{
    struct resource r;

    assert_int_equal(resource_load(w.arena, w.engine, row_of(job).uid, &r, &w.err), 0);
    return r;
}

static struct pass pass(void)
{
    return (struct pass){ .engine = w.engine, .arena = w.arena, .runtime = w.runtime, .now_ms = w.now_ms };
}

static struct allocation take(const char *job)
{
    const struct resource r = load(job);
    const struct wish wish = training_wish(&r);
    struct pass p = pass();
    struct allocation at;

    assert_int_equal(allocation_take(&p, &r, &wish, &at, &w.err), 0);
    return at;
}

static struct allocation look(const char *job)
{
    const struct resource r = load(job);
    const struct wish wish = training_wish(&r);
    struct pass p = pass();
    struct allocation at;

    assert_int_equal(allocation_look(&p, &r, &wish, &at, &w.err), 0);
    return at;
}

static void give(const char *job)
{
    struct pass p = pass();

    assert_int_equal(allocation_give(&p, load(job).row.uid, &w.err), 0);
}

static void next_attempt(struct resource *r)
{
    doc_set_integer(w.arena, r->status, "_Attempt", training_attempt(r) + 1);
    r->row.status = r->status;
    assert_int_equal(store_row_observe(w.store, &r->row, &w.err), 0);
}

static void again_but(const char *job, const bool *moves)
{
    struct resource r = load(job);
    struct pass p = pass();

    assert_int_equal(allocation_again(&p, r.row.uid, moves, &w.err), 0);
    next_attempt(&r);
}

static void again(const char *job)
{
    again_but(job, NULL);
}

static void requeue(const char *job)
{
    struct resource r = load(job);
    struct pass p = pass();

    assert_int_equal(allocation_requeue(&p, r.row.uid, &w.err), 0);
    next_attempt(&r);
}

static bool inherit(const char *job, const char *from)
{
    const struct resource r = load(job);
    const struct wish wish = training_wish(&r);
    struct pass p = pass();
    bool done;

    assert_int_equal(allocation_inherit(&p, &r, &wish, load(from).row.uid, &done, &w.err), 0);
    return done;
}

/* How many places the record of the job has. */
static int recorded(const char *job)
{
    const struct placed *placed;
    int count;

    assert_int_equal(allocation_nodes(w.arena, w.engine, load(job).row.uid, &placed, &count, &w.err), 0);
    return count;
}

static void is_waiting(const char *job)
{
    const struct allocation at = take(job);

    assert_int_equal(at.state, ALLOCATION_WAITS);
    assert_string_not_equal(at.words, "");
    assert_true(at.look_at_ms >= w.now_ms);
    assert_int_equal(recorded(job), 0);
}

static void is_given(const char *job)
{
    assert_int_equal(take(job).state, ALLOCATION_NEW);
    turn();
    assert_int_equal(take(job).state, ALLOCATION_HELD);
}

static void die_and_decide(void)
{
    restart();
    allocations_turn(w.engine);
}

/* "first" holds the only place, "second" waits for it. */
static void one_holds(void)
{
    create("first", 1, false);
    turn();
    w.now_ms += SECOND_MS; /* who came first is known after a restart, too */
    create("second", 1, false);
    turn();
    is_given("first");
    is_waiting("second");
}

static void taken_when_saved(void **state)
{
    create("first", 1, false);
    turn();
    w.now_ms += SECOND_MS;
    create("second", 1, false);
    turn();
    assert_int_equal(take("first").state, ALLOCATION_NEW);
    assert_int_equal(recorded("first"), 1);
    die_and_decide();
    assert_int_equal(recorded("first"), 0); /* it was not saved: it stands in the line again, before the second */
    is_waiting("second");
    assert_int_equal(take("first").state, ALLOCATION_NEW);
    assert_int_equal(engine_commit(w.engine, &w.err), 0);
    die_and_decide();
    assert_int_equal(take("first").state, ALLOCATION_HELD);
    assert_string_equal(look("first").placed[0].node, "n");
    is_waiting("second");
    assert_int_equal(allocations_instances(w.platform.allocations), 1);
}

static void given_when_saved(void **state)
{
    one_holds();
    give("first");
    die_and_decide();
    assert_int_equal(take("first").state, ALLOCATION_HELD);
    is_waiting("second");
    call("StopTrainingJob", "{'TrainingJobName':'first'}");
    give("first");
    give("first"); /* twice is once */
    is_waiting("second"); /* free is what is on disk */
    turn();
    is_given("second");
    assert_int_equal(allocations_instances(w.platform.allocations), 1);
    die_and_decide();
    assert_int_equal(take("second").state, ALLOCATION_HELD);
    assert_int_equal(recorded("first"), 0);
}

static const char *arn_of(const char *job)
{
    return load(job).row.arn;
}

static void tag(const char *job, const char *key, const char *value)
{
    call("AddTags", arena_printf(w.arena, "{'ResourceArn':'%s','Tags':[{'Key':'%s','Value':'%s'}]}", arn_of(job), key,
                                 value));
}

static void untag(const char *job, const char *key)
{
    call("DeleteTags", arena_printf(w.arena, "{'ResourceArn':'%s','TagKeys':['%s']}", arn_of(job), key));
}

/* Whatever is before it in the line. */
static void again_keeps_the_place(void **state)
{
    one_holds();
    tag("second", "sagebrush:priority", "5");
    is_waiting("second");
    again("first");
    die_and_decide();
    assert_int_equal(take("first").state, ALLOCATION_HELD); /* not saved: the attempt goes on */
    again("first");
    turn();
    is_waiting("second");
    is_given("first");
    again("first");
    assert_int_equal(engine_commit(w.engine, &w.err), 0);
    die_and_decide();
    is_waiting("second");
    is_given("first");
}

/* It leaves to where it stood in the line: whoever is more urgent by now goes first. */
static void again_leaves(void **state)
{
    create("first", 1, true);
    turn();
    is_given("first");
    w.now_ms += SECOND_MS;
    create("second", 1, false);
    turn();
    assert_int_equal(look("first").state, ALLOCATION_LEAVING);
    assert_string_equal(look("first").cause, "capacity");
    assert_int_equal(look("first").deadline_ms, w.now_ms + w.fleet.spot.notice_ms);
    is_waiting("second");
    requeue("first");
    die_and_decide();
    assert_int_equal(look("first").state, ALLOCATION_LEAVING); /* not saved, and the second still wants it */
    requeue("first");
    turn();
    is_waiting("first");
    is_given("second");
}

static void inherited_when_saved(void **state)
{
    create("first", 1, false);
    create("pair", 2, false);
    create("heir", 1, false);
    turn();
    is_given("first");
    assert_false(inherit("pair", "first")); /* it wishes for something else */
    assert_false(inherit("first", "heir")); /* who holds nothing */
    turn();
    assert_int_equal(take("first").state, ALLOCATION_HELD);
    assert_true(inherit("heir", "first"));
    die_and_decide();
    assert_int_equal(recorded("heir"), 0);
    assert_int_equal(take("first").state, ALLOCATION_HELD);
    assert_true(inherit("heir", "first"));
    assert_int_equal(engine_commit(w.engine, &w.err), 0);
    die_and_decide();
    assert_int_equal(recorded("first"), 0);
    assert_int_equal(take("heir").state, ALLOCATION_HELD);
    assert_int_equal(recorded("heir"), 1);
}

static void lost(void (*pass_of)(void))
{
    assert_int_equal(store_begin(w.store, &w.err), 0);
    pass_of();
    store_drop(w.store);
    turn();
}

static void take_first(void)
{
    assert_int_equal(take("first").state, ALLOCATION_NEW);
}

static void give_first(void)
{
    give("first");
}

static void leave_first(void)
{
    requeue("first");
}

static void inherit_first(void)
{
    assert_true(inherit("second", "first"));
}

/* The control plane lives on, but the pass was not saved. */
static void a_pass_that_is_lost_has_asked_for_nothing(void **state)
{
    static void (*const passes[])(void) = { give_first, leave_first, inherit_first };

    create("first", 1, true);
    turn();
    lost(take_first);
    assert_int_equal(recorded("first"), 0);
    is_given("first");
    create("second", 1, true);
    turn();
    for (size_t i = 0; i < sizeof passes / sizeof *passes; i++) {
        lost(passes[i]);
        assert_int_equal(look("first").state, ALLOCATION_HELD);
        is_waiting("second");
        assert_int_equal(allocations_instances(w.platform.allocations), 1);
    }
}

/* The place goes from hand to hand: nobody who waits can have it in between. */
static void an_heir_goes_before_who_waits(void **state)
{
    one_holds();
    w.now_ms += SECOND_MS;
    create("heir", 1, false);
    turn();
    assert_true(inherit("heir", "first"));
    call("StopTrainingJob", "{'TrainingJobName':'first'}");
    turn();
    is_waiting("second");
    assert_int_equal(take("heir").state, ALLOCATION_HELD);
    assert_int_equal(allocations_instances(w.platform.allocations), 1);
}

static void the_next_attempt_stands_elsewhere(void **state)
{
    const char *node;

    create("first", 1, false);
    turn();
    is_given("first");
    node = look("first").placed[0].node;
    assert_int_equal(allocation_change_node(w.engine, node, NODE_CORDON, "test", &w.err), 0);
    turn();
    assert_int_equal(look("first").state, ALLOCATION_HELD); /* who stands there stays */
    again("first");
    turn();
    is_given("first");
    assert_string_not_equal(look("first").placed[0].node, node);
    assert_int_equal(allocation_change_node(w.engine, "n-3", NODE_CORDON, "test", &w.err), -1);
    assert_int_equal(w.err.kind, ERR_NOT_FOUND);
}

/* --- An instance that failed --- */

static const bool second_moves[] = { false, true, false };

static const char *node_of(const char *job, int instance)
{
    const struct placed *placed;
    int count;

    assert_int_equal(allocation_nodes(w.arena, w.engine, load(job).row.uid, &placed, &count, &w.err), 0);
    assert_true(instance < count);
    return placed[instance].node;
}

/* "first" has three of four places, and "boss", who sorts before it, waits for two. */
static void three_hold(void)
{
    create("first", 3, false);
    turn();
    is_given("first");
    w.now_ms += SECOND_MS;
    create("boss", 2, false);
    tag("boss", "sagebrush:priority", "100");
    turn();
    is_waiting("boss");
}

static void cordon(const char *node)
{
    assert_int_equal(allocation_change_node(w.engine, node, NODE_CORDON, "test", &w.err), 0);
}

static void the_healthy_ones_keep_their_places(void **state)
{
    const char *before[3];

    three_hold();
    for (int i = 0; i < 3; i++)
        before[i] = node_of("first", i);
    again_but("first", second_moves);
    die_and_decide();
    assert_int_equal(take("first").state, ALLOCATION_HELD); /* not saved */
    assert_string_equal(node_of("first", 1), before[1]);
    again_but("first", second_moves);
    assert_int_equal(take("first").state, ALLOCATION_WAITS); /* it is not found yet */
    turn();
    is_waiting("boss");
    is_given("first");
    is_waiting("boss");
    assert_string_equal(node_of("first", 0), before[0]);
    assert_string_equal(node_of("first", 2), before[2]);
    assert_string_not_equal(node_of("first", 1), before[1]);
    assert_int_equal(allocations_instances(w.platform.allocations), 3);
}

/* Killed after every step: what was given up is not its own any more, and what was kept is. */
static void no_restart_forgets_who_is_to_move(void **state)
{
    const char *before[3];

    three_hold();
    for (int i = 0; i < 3; i++)
        before[i] = node_of("first", i);
    again_but("first", second_moves);
    assert_int_equal(engine_commit(w.engine, &w.err), 0);
    die_and_decide();
    is_waiting("boss");
    die_and_decide();
    assert_int_equal(take("first").state, ALLOCATION_NEW);
    die_and_decide();
    is_given("first");
    die_and_decide();
    assert_int_equal(take("first").state, ALLOCATION_HELD);
    assert_string_equal(node_of("first", 0), before[0]);
    assert_string_equal(node_of("first", 2), before[2]);
    assert_string_not_equal(node_of("first", 1), before[1]);
    is_waiting("boss");
}

/* What it holds would be of use to nobody until there is a fourth. */
static void without_another_place_it_waits_in_line(void **state)
{
    const char *failed;

    three_hold();
    failed = node_of("first", 1);
    cordon("n-4");
    cordon(failed);
    again_but("first", second_moves);
    turn();
    is_waiting("first");
    assert_int_equal(allocations_instances(w.platform.allocations), 2); /* free when that is saved */
    restart();
    cordon("n-4");
    cordon(failed);
    turn();
    is_waiting("first");
    turn();
    is_given("boss");
    is_waiting("first");
    give("boss");
    turn();
    is_waiting("first");
    assert_int_equal(allocation_change_node(w.engine, "n-4", NODE_RETURN, "test", &w.err), 0);
    turn();
    is_given("first");
}

/* The checks take only so many nodes out: a place that is in use is better than none. */
static void without_another_place_it_stays_where_that_is_in_use(void **state)
{
    const char *before;

    three_hold();
    before = node_of("first", 1);
    cordon("n-4");
    again_but("first", second_moves);
    turn();
    is_waiting("boss");
    is_given("first");
    assert_string_equal(node_of("first", 1), before);
}

/* What is tagged while it waits counts, and is gone with the tag. */
static void tags_are_followed(void **state)
{
    one_holds();
    w.now_ms += SECOND_MS;
    create("third", 1, false);
    turn();
    assert_non_null(strstr(take("third").words, "1 job is before this one"));
    tag("third", "sagebrush:priority", "5");
    assert_non_null(strstr(take("third").words, "0 jobs are before this one"));
    tag("third", "sagebrush:priority", "-5");
    assert_non_null(strstr(take("third").words, "1 job is before this one"));
    tag("second", "sagebrush:priority", "-10");
    assert_non_null(strstr(take("second").words, "1 job is before this one"));
    untag("second", "sagebrush:priority");
    assert_non_null(strstr(take("second").words, "0 jobs are before this one")); /* it came first all the same */
    tag("second", "sagebrush:labels", "row=a");
    assert_non_null(strstr(take("second").words, "for ever: No node of the fleet can hold"));
    assert_non_null(strstr(take("third").words, "0 jobs are before this one"));
    untag("second", "sagebrush:labels");
    is_waiting("second");
    tag("second", "sagebrush:owner", "who has used nothing");
    is_waiting("second");
    give("first");
    turn();
    is_given("second");
    is_waiting("third");
}

static const char *owner_of(const char *job)
{
    return scheduler_owner(allocations_scheduler(w.platform.allocations), load(job).row.uid);
}

/* Of what runs, too, and over a restart; where it stands was chosen before. */
static void tags_of_what_runs_are_followed(void **state)
{
    one_holds();
    assert_string_equal(owner_of("first"), ROLE);
    tag("first", "sagebrush:owner", "blue");
    tag("first", "sagebrush:labels", "row=nowhere");
    tag("first", "sagebrush:priority", "7");
    assert_int_equal(look("first").state, ALLOCATION_HELD);
    turn();
    assert_string_equal(owner_of("first"), "blue");
    assert_int_equal(look("first").state, ALLOCATION_HELD);
    die_and_decide();
    assert_string_equal(owner_of("first"), "blue");
    assert_int_equal(look("first").state, ALLOCATION_HELD);
    untag("first", "sagebrush:owner");
    look("first");
    turn();
    assert_string_equal(owner_of("first"), ROLE);
    is_waiting("second");
}

/* Who used much before the restart has used much. */
static void usage_outlives_a_restart(void **state)
{
    struct doc *attributes = doc_map(w.arena);

    doc_set_string(w.arena, attributes, "role_arn", ROLE);
    doc_set_string(w.arena, attributes, "share", "much");
    doc_set_real(w.arena, attributes, "usd_hour", 3);
    assert_int_equal(usage_open(w.engine, "u", w.now_ms, attributes, &w.err), 0);
    assert_int_equal(engine_commit(w.engine, &w.err), 0);
    w.now_ms += 2 * 60 * MINUTE_MS;
    assert_int_equal(usage_close(w.engine, "u", w.now_ms, &w.err), 0);
    one_holds();
    tag("second", "sagebrush:owner", "much");
    w.now_ms += SECOND_MS;
    create("third", 1, false);
    tag("third", "sagebrush:owner", "little");
    turn();
    die_and_decide();
    is_waiting("second");
    give("first");
    turn();
    is_given("third");
    is_waiting("second");
}

static void who_waits_for_a_node_is_told(void **state)
{
    assert_int_equal(allocation_change_node(w.engine, "n", NODE_CORDON, "test", &w.err), 0);
    create("first", 1, false);
    turn();
    assert_non_null(strstr(take("first").words, "; the node n is out of use"));
}

/* A cluster has room for any number; what each instance is told of the others has not. */
static void a_request_has_a_thousand_instances_at_most(void **state)
{
    jobs_stop();
    w.fleet = fleet_of_slots(w.arena, "slurm", 1000000, 0);
    jobs_start();
    create("j", 1000, false);
    declined("CreateTrainingJob",
             "{'TrainingJobName':'k','RoleArn':'" ROLE "','AlgorithmSpecification':{'TrainingImage':'x',"
             "'TrainingInputMode':'File'},'OutputDataConfig':{'S3OutputPath':'s3://b/o'},'StoppingCondition':{},"
             "'ResourceConfig':{'InstanceType':'ml.m5.large','InstanceCount':1001,'VolumeSizeInGB':1}}");
    assert_string_equal(w.err.code, "ResourceLimitExceeded");
    assert_non_null(strstr(w.err.text, "usage' is 1000 Instances"));
}

#define ON_ONE(test) cmocka_unit_test_setup_teardown(test, begin_one, jobs_end)
#define ON_TWO(test) cmocka_unit_test_setup_teardown(test, begin_two, jobs_end)
#define ON_FOUR(test) cmocka_unit_test_setup_teardown(test, begin_four, jobs_end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_ONE(taken_when_saved),
        ON_ONE(given_when_saved),
        ON_ONE(again_keeps_the_place),
        ON_ONE(again_leaves),
        ON_TWO(inherited_when_saved),
        ON_ONE(a_pass_that_is_lost_has_asked_for_nothing),
        ON_ONE(an_heir_goes_before_who_waits),
        ON_ONE(tags_are_followed),
        ON_ONE(tags_of_what_runs_are_followed),
        ON_ONE(usage_outlives_a_restart),
        ON_ONE(who_waits_for_a_node_is_told),
        ON_ONE(a_request_has_a_thousand_instances_at_most),
        ON_TWO(the_next_attempt_stands_elsewhere),
        ON_FOUR(the_healthy_ones_keep_their_places),
        ON_FOUR(no_restart_forgets_who_is_to_move),
        ON_FOUR(without_another_place_it_waits_in_line),
        ON_FOUR(without_another_place_it_stays_where_that_is_in_use),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
