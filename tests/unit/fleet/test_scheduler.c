#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "fleet/scheduler.h"

#include <cmocka.h>

enum { MINUTE = 60 * 1000, HOUR = 60 * MINUTE };

struct place {
    struct arena *arena;
    struct fleet *fleet;
    struct scheduler *s;
    int64_t now;
    struct decision d;
};

static struct place begin(const char *text)
{
    struct place p = { .arena = arena_new(), .now = 1000 * (int64_t)HOUR };
    struct err err = { 0 };

    p.fleet = arena_new_of(p.arena, struct fleet);
    if (fleet_read(p.arena, "f", str_of(text), p.fleet, &err) < 0)
        fail_msg("%s", err.text);
    p.s = scheduler_new(p.fleet, p.now);
    return p;
}

static void end(struct place *p)
{
    assert_string_equal(scheduler_faults(p->s, p->arena), "");
    scheduler_free(p->s);
    arena_free(p->arena);
}

/* 'count' of a type for so many minutes. */
static struct work work_of(struct place *p, const char *uid, const char *type, int64_t count, int64_t minutes)
{
    return (struct work){ .uid = uid, .account = "1", .owner = "ann", .kind = "training job", .submitted_ms = p->now,
                          .groups = { { type, count } }, .group_count = 1, .max_runtime_ms = minutes * MINUTE };
}

static void submit(struct place *p, struct work w)
{
    struct err err = { 0 };

    if (scheduler_submit(p->s, &w, &err) < 0)
        fail_msg("%s", err.text);
}

/* All decisions, as "start a, interrupt b". */
static const char *decided(struct place *p)
{
    static const char *const kinds[] = { "start", "interrupt", "replace", "lost" };
    const char *all = "";

    while (scheduler_decide(p->s, p->now, &p->d))
        all = arena_printf(p->arena, "%s%s%s %s", all, *all ? ", " : "", kinds[p->d.kind], p->d.uid);
    return all;
}

static const char *node_of(struct place *p, const char *uid, int64_t i)
{
    int64_t count;
    const struct placed *all = scheduler_placed(p->s, p->arena, uid, &count);

    return i < count ? all[i].node : "none";
}

#define FOUR_NODES "[[nodes]]\nname = \"n\"\ncount = 4\ncores = 16\nmemory = \"64GiB\"\n"
#define WHOLE      "ml.m5.4xlarge"

static void a_gang_starts_whole_or_not_at_all(void **state)
{
    struct place p = begin(FOUR_NODES);

    submit(&p, work_of(&p, "a", WHOLE, 3, 60));
    submit(&p, work_of(&p, "b", WHOLE, 2, 60));
    assert_string_equal(decided(&p), "start a");
    assert_string_equal(node_of(&p, "b", 0), "none");
    scheduler_release(p.s, "a", p.now);
    assert_string_equal(decided(&p), "start b");
    scheduler_release(p.s, "b", p.now);
    scheduler_release(p.s, "b", p.now);
    end(&p);
}

static void a_small_one_goes_before_where_it_delays_nobody(void **state)
{
    struct place p = begin(FOUR_NODES);

    submit(&p, work_of(&p, "long", WHOLE, 3, 120));
    submit(&p, work_of(&p, "all", WHOLE, 4, 60));
    submit(&p, work_of(&p, "late", WHOLE, 1, 180)); /* would still run when the three are free */
    submit(&p, work_of(&p, "brief", WHOLE, 1, 110));
    assert_string_equal(decided(&p), "start long, start brief");
    p.now += 110 * MINUTE;
    scheduler_release(p.s, "brief", p.now);
    assert_string_equal(decided(&p), "");
    p.now += 5 * MINUTE;
    scheduler_release(p.s, "long", p.now);
    assert_string_equal(decided(&p), "start all");
    end(&p);
}

static void beside_the_first_there_is_room(void **state)
{
    struct place p = begin("[[nodes]]\nname = \"n\"\ncores = 128\nmemory = \"512GiB\"\n");

    submit(&p, work_of(&p, "a", WHOLE, 5, 60));            /* 80 cores of 128 */
    submit(&p, work_of(&p, "b", WHOLE, 6, 60));            /* 96: it waits for a, then 32 are left */
    submit(&p, work_of(&p, "c", WHOLE, 2, 600));           /* fits beside both, for as long as it likes */
    submit(&p, work_of(&p, "d", "ml.m5.large", 1, 600));   /* there is room now, and none beside b */
    assert_string_equal(decided(&p), "start a, start c");
    scheduler_release(p.s, "a", p.now);
    assert_string_equal(decided(&p), "start b");
    end(&p);
}

static void spot_leaves_for_work_on_demand(void **state)
{
    struct place p = begin(FOUR_NODES);
    struct work w = work_of(&p, "old", WHOLE, 2, 600);
    struct waiting waiting;

    w.spot = true;
    submit(&p, w);
    decided(&p);
    p.now += HOUR;
    w = work_of(&p, "new", WHOLE, 1, 600);
    w.spot = true;
    submit(&p, w);
    assert_string_equal(decided(&p), "start new");
    submit(&p, work_of(&p, "firm", WHOLE, 2, 60));
    /* One is free; of the others the younger goes. */
    assert_string_equal(decided(&p), "interrupt new");
    assert_int_equal(p.d.deadline_ms, p.now + 120 * 1000);
    assert_true(scheduler_waiting(p.s, p.arena, "firm", p.now, &waiting));
    assert_non_null(strstr(waiting.reason, "spot instances are leaving for this job"));
    assert_string_equal(node_of(&p, "firm", 0), "none");
    p.now += MINUTE;
    scheduler_requeue(p.s, "new", p.now);
    assert_string_equal(decided(&p), "start firm");
    p.now += HOUR;
    scheduler_release(p.s, "firm", p.now);
    assert_string_equal(decided(&p), "start new");
    end(&p);
}

static void a_drill_takes_spot_work_back_and_no_other(void **state)
{
    struct place p = begin(FOUR_NODES);
    struct work w = work_of(&p, "spot", WHOLE, 1, 60);

    w.spot = true;
    submit(&p, w);
    submit(&p, work_of(&p, "firm", WHOLE, 1, 60));
    decided(&p);
    scheduler_interrupt(p.s, "firm", p.now);
    scheduler_interrupt(p.s, "spot", p.now);
    scheduler_interrupt(p.s, "spot", p.now);
    scheduler_interrupt(p.s, "nobody", p.now);
    assert_string_equal(decided(&p), "interrupt spot");
    end(&p);
}

static void who_used_less_goes_first(void **state)
{
    struct place p = begin("[[nodes]]\nname = \"n\"\ncores = 16\nmemory = \"64GiB\"\n"
                           "[[owners]]\nowner = \"boss\"\npriority = 1\n");
    struct work w;

    submit(&p, work_of(&p, "a1", WHOLE, 1, 60));
    decided(&p);
    submit(&p, work_of(&p, "a2", WHOLE, 1, 60));
    w = work_of(&p, "b1", WHOLE, 1, 60);
    w.owner = "bob";
    submit(&p, w);
    w = work_of(&p, "boss", WHOLE, 1, 60);
    w.owner = "boss";
    submit(&p, w);
    assert_string_equal(decided(&p), "");
    p.now += HOUR;
    scheduler_release(p.s, "a1", p.now);
    assert_string_equal(decided(&p), "start boss");
    scheduler_release(p.s, "boss", p.now);
    assert_string_equal(decided(&p), "start b1");
    scheduler_release(p.s, "b1", p.now);
    assert_string_equal(decided(&p), "start a2");
    end(&p);
}

/* From the moment of the change on, and not before. */
static void what_runs_may_become_anothers(void **state)
{
    struct place p = begin("[[nodes]]\nname = \"n\"\ncores = 16\nmemory = \"64GiB\"\n");
    struct work ann = work_of(&p, "a1", WHOLE, 1, 60), bob;

    submit(&p, ann);
    decided(&p);
    bob = work_of(&p, "b1", WHOLE, 1, 60);
    bob.owner = "bob";
    submit(&p, bob);
    submit(&p, work_of(&p, "a2", WHOLE, 1, 60));
    p.now += HOUR;
    ann.owner = "bob";
    scheduler_retag(p.s, &ann, p.now);
    scheduler_retag(p.s, &ann, p.now);
    assert_string_equal(scheduler_owner(p.s, "a1"), "bob");
    bob.uid = "nobody";
    scheduler_retag(p.s, &bob, p.now);
    assert_string_equal(decided(&p), "");
    p.now += 3 * HOUR;
    assert_string_equal(decided(&p), "");
    scheduler_release(p.s, "a1", p.now);
    assert_string_equal(decided(&p), "start a2"); /* ann used an hour, and bob three */
    scheduler_retag(p.s, &(struct work){ .uid = "b1", .owner = "ann" }, p.now); /* it waits: by scheduler_submit() */
    assert_string_equal(scheduler_owner(p.s, "b1"), "bob");
    end(&p);
}

static void patience_ends(void **state)
{
    struct place p = begin("[queue]\npatience = \"2h\"\n[[nodes]]\nname = \"n\"\ncores = 16\nmemory = \"64GiB\"\n");
    struct work w;

    submit(&p, work_of(&p, "a", WHOLE, 1, 600));
    decided(&p);
    submit(&p, work_of(&p, "low", WHOLE, 1, 60));
    p.now += 3 * HOUR;
    w = work_of(&p, "high", WHOLE, 1, 60);
    w.priority = 100;
    submit(&p, w);
    scheduler_release(p.s, "a", p.now);
    assert_string_equal(decided(&p), "start low");
    end(&p);
}

static void a_failed_node_is_replaced(void **state)
{
    struct place p = begin("[[pools]]\nname = \"p\"\nspares = 1\n" FOUR_NODES);
    const char *failed;

    submit(&p, work_of(&p, "a", WHOLE, 3, 60));
    assert_string_equal(decided(&p), "start a");
    assert_string_equal(node_of(&p, "a", 2), "n-3");
    failed = node_of(&p, "a", 1);
    assert_true(scheduler_fail(p.s, failed, p.now));
    assert_string_equal(decided(&p), "replace a");
    assert_int_equal(p.d.instance, 1);
    assert_string_equal(p.d.node, failed);
    assert_string_equal(node_of(&p, "a", 1), "n-4");
    /* No spare is left. */
    assert_true(scheduler_fail(p.s, "n-4", p.now));
    assert_string_equal(decided(&p), "lost a");
    scheduler_requeue(p.s, "a", p.now);
    assert_string_equal(decided(&p), "");
    assert_true(scheduler_return(p.s, "n-4", p.now)); /* a spare again */
    assert_string_equal(decided(&p), "");
    assert_true(scheduler_return(p.s, failed, p.now));
    assert_string_equal(decided(&p), "start a");
    assert_false(scheduler_fail(p.s, "nowhere", p.now));
    end(&p);
}

/* What uid holds, with one instance that has failed. */
static const struct placed *but(struct place *p, const char *uid, int instance)
{
    int64_t count;
    const struct placed *now = scheduler_placed(p->s, p->arena, uid, &count);
    struct placed *placed = arena_array_of(p->arena, struct placed, (size_t)count);

    memcpy(placed, now, (size_t)count * sizeof *placed);
    placed[instance].left = true;
    return placed;
}

/* "a" has three of four nodes, and the fourth is reserved for "boss", who wants two. */
static struct place begin_full(void)
{
    struct place p = begin(FOUR_NODES);
    struct work boss = work_of(&p, "boss", WHOLE, 2, 60);

    boss.priority = 100;
    submit(&p, work_of(&p, "a", WHOLE, 3, 60));
    assert_string_equal(decided(&p), "start a");
    submit(&p, boss);
    assert_string_equal(decided(&p), "");
    return p;
}

static void an_instance_is_replaced_before_who_waits(void **state)
{
    struct place p = begin_full();
    const struct placed *was = but(&p, "a", 1);

    assert_true(scheduler_replace(p.s, "a", was, p.now));
    assert_string_equal(decided(&p), "replace a");
    assert_string_equal(node_of(&p, "a", 0), was[0].node);
    assert_string_equal(node_of(&p, "a", 1), "n-4");
    assert_string_equal(node_of(&p, "a", 2), was[2].node);
    /* Its own, when it is in use and there is no other. */
    scheduler_cordon(p.s, was[1].node, p.now);
    assert_true(scheduler_replace(p.s, "a", but(&p, "a", 1), p.now));
    assert_string_equal(decided(&p), "replace a");
    assert_string_equal(node_of(&p, "a", 1), "n-4");
    end(&p);
}

static void without_another_node_an_instance_is_lost(void **state)
{
    struct place p = begin_full();
    const struct placed *was = but(&p, "a", 1);

    scheduler_cordon(p.s, "n-4", p.now);
    scheduler_cordon(p.s, was[1].node, p.now);
    assert_false(scheduler_replace(p.s, "a", was, p.now));
    assert_string_equal(decided(&p), "lost a");
    assert_int_equal(scheduler_counts(p.s).running, 1);
    scheduler_return(p.s, "n-4", p.now);
    assert_string_equal(decided(&p), ""); /* what it has kept is its own until it gives it up */
    assert_true(scheduler_replace(p.s, "a", was, p.now));
    assert_string_equal(decided(&p), "replace a");
    assert_false(scheduler_replace(p.s, "boss", NULL, p.now));
    assert_false(scheduler_replace(p.s, "nobody", NULL, p.now));
    end(&p);
}

static void a_restart_knows_what_was_left(void **state)
{
    struct place p = begin_full();
    const struct placed *was = but(&p, "a", 1);
    struct work boss = work_of(&p, "boss", WHOLE, 2, 60), a = work_of(&p, "a", WHOLE, 3, 60);
    struct scheduler *before = p.s; /* whose names the nodes have */
    struct err err;

    p.s = scheduler_new(p.fleet, p.now);
    assert_int_equal(scheduler_restore(p.s, &a, was, 3, p.now, &err), 0);
    submit(&p, boss);
    assert_int_equal(scheduler_counts(p.s).taken.cores, 32);
    assert_true(scheduler_replace(p.s, "a", was, p.now));
    assert_string_equal(decided(&p), "replace a");
    assert_string_equal(node_of(&p, "a", 0), was[0].node);
    assert_string_equal(node_of(&p, "a", 1), "n-4"); /* not where it failed */
    scheduler_free(before);
    end(&p);
}

static void a_cordoned_node_gets_nothing_new(void **state)
{
    struct place p = begin(FOUR_NODES);

    submit(&p, work_of(&p, "a", WHOLE, 1, 60));
    decided(&p);
    scheduler_cordon(p.s, node_of(&p, "a", 0), p.now);
    for (int i = 2; i <= 4; i++)
        scheduler_cordon(p.s, arena_printf(p.arena, "n-%d", i), p.now);
    submit(&p, work_of(&p, "b", WHOLE, 1, 60));
    assert_string_equal(decided(&p), "");
    assert_string_equal(node_of(&p, "a", 0), "n-1");
    scheduler_return(p.s, "n-3", p.now);
    assert_string_equal(decided(&p), "start b");
    assert_string_equal(node_of(&p, "b", 0), "n-3");
    end(&p);
}

static void lemons_are_used_last(void **state)
{
    struct place p = begin("[failures]\nlemon_after = 2\nlemon_half_life = \"10d\"\n" FOUR_NODES);

    for (int i = 0; i < 2; i++) {
        scheduler_fail(p.s, "n-1", p.now);
        scheduler_return(p.s, "n-1", p.now + HOUR);
        p.now += 2 * HOUR;
    }
    submit(&p, work_of(&p, "a", WHOLE, 3, 60));
    submit(&p, work_of(&p, "b", WHOLE, 1, 60));
    assert_string_equal(decided(&p), "start a, start b");
    assert_string_equal(node_of(&p, "b", 0), "n-1");
    end(&p);
}

static void what_cannot_be_is_refused_with_the_reason(void **state)
{
    struct place p = begin("[[quotas]]\ntype = \"ml.c5.*\"\nlimit = 1\n" FOUR_NODES);
    struct work w = work_of(&p, "a", WHOLE, 5, 60);
    struct err err = { 0 };

    assert_int_equal(scheduler_submit(p.s, &w, &err), -1);
    assert_non_null(strstr(err.text, "at most 4 instances of ml.m5.4xlarge at one time, and 5 were asked for"));
    w = work_of(&p, "a", "ml.p4d.24xlarge", 1, 60);
    assert_int_equal(scheduler_submit(p.s, &w, &err), -1);
    assert_non_null(strstr(err.text, "No node of the fleet can hold an on-demand ml.p4d.24xlarge"));
    w = work_of(&p, "a", "ml.m5.huge", 1, 60);
    assert_int_equal(scheduler_submit(p.s, &w, &err), -1);
    assert_non_null(strstr(err.text, "ml.m5.huge"));
    w = work_of(&p, "a", WHOLE, 3, 60);
    w.groups[1] = (struct work_group){ "ml.m5.2xlarge", 3 };
    w.group_count = 2;
    assert_int_equal(scheduler_submit(p.s, &w, &err), -1);
    assert_non_null(strstr(err.text, "not all at one time"));
    w = work_of(&p, "a", "ml.c5.xlarge", 2, 60);
    assert_int_equal(scheduler_submit(p.s, &w, &err), -1);
    assert_string_equal(err.code, "ResourceLimitExceeded");
    /* What was refused holds no quota. */
    w.groups[0].count = 1;
    assert_int_equal(scheduler_submit(p.s, &w, &err), 0);
    assert_int_equal(scheduler_submit(p.s, &w, &err), 0);
    assert_string_equal(decided(&p), "start a");
    end(&p);
}

static void the_reason_for_waiting_is_in_words(void **state)
{
    struct place p = begin(FOUR_NODES);
    struct waiting w;

    submit(&p, work_of(&p, "a", WHOLE, 4, 180));
    submit(&p, work_of(&p, "b", WHOLE, 2, 60));
    submit(&p, work_of(&p, "c", WHOLE, 4, 60));
    decided(&p);
    assert_true(scheduler_waiting(p.s, p.arena, "b", p.now, &w));
    assert_string_equal(w.reason, "Waiting for 2 ml.m5.4xlarge: room for 0 now, 0 jobs are before this one; expected "
                                  "to start in about 3 hours");
    assert_int_equal(w.expected_ms, p.now + 3 * HOUR);
    assert_true(scheduler_waiting(p.s, p.arena, "c", p.now, &w));
    assert_int_equal(w.before, 1);
    assert_true(w.expected_ms > p.now + 3 * HOUR);
    assert_false(scheduler_waiting(p.s, p.arena, "a", p.now, &w));
    end(&p);
}

static struct work with_volume(struct work w, int64_t gb)
{
    for (int g = 0; g < w.group_count; g++)
        w.groups[g].volume_gb = gb;
    return w;
}

static void disks_are_shared_out(void **state)
{
    struct place p = begin("[[nodes]]\nname = \"n\"\ncores = 16\nmemory = \"64GiB\"\ndisk = \"200GiB\"\n");
    struct err err = { 0 };
    struct waiting w;
    struct work work;

    submit(&p, with_volume(work_of(&p, "a", "ml.m5.large", 1, 60), 100));
    submit(&p, with_volume(work_of(&p, "b", "ml.m5.large", 1, 60), 100));
    submit(&p, with_volume(work_of(&p, "c", "ml.m5.large", 1, 60), 100));
    submit(&p, with_volume(work_of(&p, "none", "ml.m5.large", 1, 60), 0));
    assert_string_equal(decided(&p), "start a, start b, start none");
    assert_true(scheduler_waiting(p.s, p.arena, "c", p.now, &w));
    assert_string_equal(w.reason, "Waiting for 1 ml.m5.large: room for 0 now for want of disk (100 GiB each), 0 jobs "
                                  "are before this one; expected to start in about 60 minutes");
    /* Cores are missing, too. */
    submit(&p, with_volume(work_of(&p, "wide", WHOLE, 1, 60), 1));
    decided(&p);
    assert_true(scheduler_waiting(p.s, p.arena, "wide", p.now, &w));
    assert_null(strstr(w.reason, "disk"));
    scheduler_release(p.s, "wide", p.now);
    scheduler_release(p.s, "a", p.now);
    assert_string_equal(decided(&p), "start c");
    /* Of spot work, too. */
    work = with_volume(work_of(&p, "spot", "ml.m5.large", 1, 60), 100);
    work.spot = true;
    scheduler_release(p.s, "b", p.now);
    submit(&p, work);
    assert_string_equal(decided(&p), "start spot");
    submit(&p, with_volume(work_of(&p, "firm", "ml.m5.large", 1, 60), 50));
    assert_string_equal(decided(&p), "interrupt spot");
    scheduler_requeue(p.s, "spot", p.now);
    assert_string_equal(decided(&p), "start firm");
    work = with_volume(work_of(&p, "never", "ml.m5.large", 1, 60), 201);
    assert_int_equal(scheduler_submit(p.s, &work, &err), -1);
    end(&p);
}

/* The nodes have room for one WHOLE each. */
static void what_stands_in_the_way_is_found(void **state)
{
    static const char *const holders[] = { "half", "one", "nobody", "two" };
    struct place p = begin(FOUR_NODES);
    struct waiting w;

    submit(&p, work_of(&p, "one", WHOLE, 1, 0));
    submit(&p, work_of(&p, "two", WHOLE, 2, 0));
    submit(&p, work_of(&p, "half", "ml.m5.2xlarge", 1, 0));
    decided(&p);
    submit(&p, work_of(&p, "b", WHOLE, 1, 60));
    submit(&p, work_of(&p, "c", WHOLE, 2, 60));
    submit(&p, work_of(&p, "all", WHOLE, 4, 60));
    submit(&p, work_of(&p, "small", "ml.m5.2xlarge", 1, 60));
    assert_int_equal(scheduler_hindrance(p.s, "b", holders, 4), 1);
    assert_int_equal(scheduler_hindrance(p.s, "b", holders + 1, 3), 1);
    assert_int_equal(scheduler_hindrance(p.s, "c", holders, 4), 2);
    assert_int_equal(scheduler_hindrance(p.s, "c", holders + 1, 3), 3);
    assert_int_equal(scheduler_hindrance(p.s, "all", holders, 4), 4);
    assert_int_equal(scheduler_hindrance(p.s, "all", holders, 3), 0); /* not enough */
    assert_int_equal(scheduler_hindrance(p.s, "small", holders, 4), 0); /* there is room */
    assert_int_equal(scheduler_hindrance(p.s, "one", holders, 4), 0);
    assert_true(scheduler_waiting(p.s, p.arena, "c", p.now, &w));
    assert_string_equal(w.what, "Waiting for 2 ml.m5.4xlarge: room for 0 now, 1 job is before this one");
    end(&p);
}

static void after_a_restart_all_is_as_it_was(void **state)
{
    struct place p = begin("[[nodes]]\nname = \"g\"\ncores = 96\nmemory = \"1TiB\"\n"
                           "gpus = { kind = \"V100\", count = 4 }\n");
    struct placed there[] = { { "g", "ml.p3.2xlarge", 4 }, { "g", "ml.p3.2xlarge", 1 } };
    struct work w = work_of(&p, "a", "ml.p3.2xlarge", 2, 60);
    struct err err = { 0 };
    int64_t count;

    assert_int_equal(scheduler_restore(p.s, &w, there, 2, p.now - HOUR, &err), 0);
    submit(&p, work_of(&p, "b", "ml.p3.2xlarge", 2, 60));
    assert_string_equal(decided(&p), "start b");
    assert_int_equal(scheduler_placed(p.s, p.arena, "b", &count)[0].gpus, 2);
    assert_int_equal(scheduler_placed(p.s, p.arena, "b", &count)[1].gpus, 8);
    there[0].node = "gone";
    w.uid = "c";
    assert_int_equal(scheduler_restore(p.s, &w, there, 2, p.now, &err), -1);
    assert_non_null(strstr(err.text, "which the fleet file no longer has"));
    end(&p);
}

static void without_a_file_every_instance_is_a_slot(void **state)
{
    struct place p = { .arena = arena_new(), .now = 1000 * (int64_t)HOUR };
    struct fleet fleet = fleet_of_slots(p.arena, "here", 3, 0);
    struct work w;
    struct err err = { 0 };

    p.s = scheduler_new(&fleet, p.now);
    submit(&p, work_of(&p, "a", "ml.p5.48xlarge", 2, 60));
    submit(&p, work_of(&p, "b", "ml.unheard.of", 2, 60));
    submit(&p, work_of(&p, "c", "ml.m5.large", 1, 60));
    assert_string_equal(decided(&p), "start a, start c");
    assert_string_equal(node_of(&p, "a", 1), "here");
    scheduler_release(p.s, "a", p.now);
    assert_string_equal(decided(&p), "start b");
    w = work_of(&p, "d", "ml.m5.large", 4, 60);
    assert_int_equal(scheduler_submit(p.s, &w, &err), -1);
    assert_non_null(strstr(err.text, "at most 3 instances"));
    end(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_gang_starts_whole_or_not_at_all),
        cmocka_unit_test(a_small_one_goes_before_where_it_delays_nobody),
        cmocka_unit_test(beside_the_first_there_is_room),
        cmocka_unit_test(spot_leaves_for_work_on_demand),
        cmocka_unit_test(a_drill_takes_spot_work_back_and_no_other),
        cmocka_unit_test(who_used_less_goes_first), cmocka_unit_test(what_runs_may_become_anothers),
        cmocka_unit_test(patience_ends),
        cmocka_unit_test(a_failed_node_is_replaced),
        cmocka_unit_test(an_instance_is_replaced_before_who_waits),
        cmocka_unit_test(without_another_node_an_instance_is_lost),
        cmocka_unit_test(a_restart_knows_what_was_left),
        cmocka_unit_test(a_cordoned_node_gets_nothing_new),
        cmocka_unit_test(lemons_are_used_last),
        cmocka_unit_test(what_cannot_be_is_refused_with_the_reason),
        cmocka_unit_test(the_reason_for_waiting_is_in_words),
        cmocka_unit_test(disks_are_shared_out),
        cmocka_unit_test(what_stands_in_the_way_is_found),
        cmocka_unit_test(after_a_restart_all_is_as_it_was),
        cmocka_unit_test(without_a_file_every_instance_is_a_slot),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
