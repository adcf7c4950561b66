/* Random fleets, work and mishaps against what must always be true. A failing seed is printed: give it as the first
 * argument to see it again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rand.h"
#include "fleet/scheduler.h"

#include <cmocka.h>

enum { JOBS = 150, STEPS = 600 };
enum phase { ABSENT, WAITS, RUNS, LEAVES, LOST, OVER };

struct known {
    struct work work;
    char uid[16];
    enum phase phase;
    int64_t started_ms, ends_ms, deadline_ms;
    int64_t promised_ms; /* while it has been first all the time: the earliest start it was told */
};

struct story {
    struct arena *arena;
    struct rand rand;
    uint64_t seed;
    struct fleet fleet;
    struct scheduler *scheduler;
    struct known jobs[JOBS];
    int job_count;
    int64_t now_ms;
    bool calm; /* no node fails, and nobody who comes later ranks higher: promises must hold */
    int started, interrupted, replaced, refused;
};

#define CHECK(story, condition, ...)                                                         \
    do {                                                                                     \
        if (!(condition)) {                                                                  \
            print_error("seed %llu: ", (unsigned long long)(story)->seed);                   \
            fail_msg(__VA_ARGS__);                                                           \
        }                                                                                    \
    } while (0)

static const char fleet_text[] =
    "[[pools]]\nname = \"cpu\"\n"
    "[[pools]]\nname = \"gpu\"\naccepts = [\"box.*\", \"ml.m5.*\"]\nspares = 1\n"
    "[[pools]]\nname = \"firm\"\nspot = \"never\"\n"
    "[[nodes]]\nname = \"c\"\npool = \"cpu\"\ncount = 6\ncores = 16\nmemory = \"64GiB\"\n"
    "disk = \"300GiB\"\n"
    "[[nodes]]\nname = \"g\"\npool = \"gpu\"\ncount = 4\ncores = 64\nmemory = \"512GiB\"\n"
    "gpus = { kind = \"A100\", count = 8 }\nlabels = { rack = \"a\" }\n"
    "[[nodes]]\nname = \"f\"\npool = \"firm\"\ncount = 2\ncores = 8\nmemory = \"32GiB\"\n"
    "disk = \"100GiB\"\n"
    "[[types]]\nname = \"box.1\"\nvcpus = 8\nmemory = \"60GiB\"\nusd_hour = 3\n"
    "gpus = { kind = \"A100\", count = 1 }\n"
    "[[types]]\nname = \"box.4\"\nvcpus = 32\nmemory = \"240GiB\"\nusd_hour = 12\n"
    "gpus = { kind = \"A100\", count = 4 }\n"
    "[[quotas]]\naccount = \"2\"\nlimit = 6\n"
    "[queue]\npatience = \"12h\"\n"
    "[share]\nhalf_life = \"6h\"\n";

static uint64_t below(struct story *s, uint64_t limit)
{
    return rand_below(&s->rand, limit);
}

static void new_job(struct story *s)
{
    static const char *const types[] = { "ml.m5.large", "ml.m5.xlarge", "ml.m5.4xlarge", "box.1", "box.4" };
    static const int64_t volumes_gb[] = { 0, 0, 0, 30, 100, 500 }; /* the last but on nodes that count none */
    static const char *const owners[] = { "ann", "bob", "cy" }, *const accounts[] = { "1", "2" };
    struct known *k = &s->jobs[s->job_count];
    int64_t volume_gb = volumes_gb[below(s, 6)];
    struct err err = { 0 };

    if (s->job_count == JOBS)
        return;
    snprintf(k->uid, sizeof k->uid, "job-%d", s->job_count);
    k->work = (struct work){
        .uid = k->uid,
        .account = accounts[below(s, 2)],
        .owner = owners[s->calm ? 0 : below(s, 3)],
        .kind = "training job",
        .group_count = below(s, 5) ? 1 : 2,
        .spot = below(s, 3) == 0,
        .priority = s->calm ? 0 : (int64_t)below(s, 2),
        .submitted_ms = s->now_ms,
        .max_runtime_ms = below(s, 20) ? 60000 * (1 + (int64_t)below(s, 600)) : 0,
    };
    for (int g = 0; g < k->work.group_count; g++)
        k->work.groups[g] = (struct work_group){ types[below(s, 5)], 1 + (int64_t)below(s, below(s, 4) ? 3 : 9),
                                                 volume_gb };
    if (scheduler_submit(s->scheduler, &k->work, &err) < 0) {
        CHECK(s, *err.text, "an error without words");
        s->refused++;
        return;
    }
    k->phase = WAITS;
    k->promised_ms = INT64_MAX;
    s->job_count++;
}

static struct known *known_of(struct story *s, const char *uid)
{
    return &s->jobs[atoi(uid + 4)];
}

/* All instances of it, each of its type, each on a node, in the order of the groups. */
static void check_gang(struct story *s, const struct known *k)
{
    int64_t count, at = 0;
    const struct placed *placed = scheduler_placed(s->scheduler, s->arena, k->uid, &count);

    for (int g = 0; g < k->work.group_count; g++)
        for (int64_t i = 0; i < k->work.groups[g].count; i++, at++) {
            CHECK(s, at < count && *placed[at].node, "%s started without its instance %d", k->uid, (int)at);
            CHECK(s, strcmp(placed[at].type, k->work.groups[g].type) == 0, "%s got a %s", k->uid, placed[at].type);
            CHECK(s, !k->work.spot || placed[at].node[0] != 'f', "%s is spot, and on %s", k->uid, placed[at].node);
        }
    CHECK(s, at == count, "%s has %d instances", k->uid, (int)count);
}

static void take_decision(struct story *s, const struct decision *d)
{
    struct known *k = known_of(s, d->uid);

    switch (d->kind) {
    case DECISION_START:
        CHECK(s, k->phase == WAITS, "%s starts in phase %d", k->uid, k->phase);
        check_gang(s, k);
        /* Spot work that came meanwhile has its notice. */
        CHECK(s, !s->calm || s->now_ms - s->fleet.spot.notice_ms <= k->promised_ms,
              "%s was promised %lld, and starts %lld", k->uid, (long long)k->promised_ms, (long long)s->now_ms);
        k->phase = RUNS;
        k->started_ms = s->now_ms;
        k->ends_ms = k->work.max_runtime_ms ? s->now_ms + 1 + (int64_t)below(s, (uint64_t)k->work.max_runtime_ms)
                                            : s->now_ms + 3600000;
        s->started++;
        break;
    case DECISION_INTERRUPT:
        CHECK(s, k->phase == RUNS && k->work.spot, "%s is told to go in phase %d", k->uid, k->phase);
        k->phase = LEAVES;
        k->deadline_ms = d->deadline_ms;
        s->interrupted++;
        break;
    case DECISION_REPLACE:
        CHECK(s, k->phase == RUNS, "%s gets another node in phase %d", k->uid, k->phase);
        s->replaced++;
        break;
    case DECISION_LOST:
        CHECK(s, k->phase == RUNS, "%s lost an instance in phase %d", k->uid, k->phase);
        k->phase = LOST;
        break;
    }
}

/* What each node gives by what the scheduler says of each job, against what the fleet file says it has. */
static void check_capacity(struct story *s)
{
    struct {
        struct capacity used;
        uint64_t gpus;
    } nodes[3][7] = { 0 };

    for (int i = 0; i < s->job_count; i++) {
        int64_t count;
        const struct placed *placed = scheduler_placed(s->scheduler, s->arena, s->jobs[i].uid, &count);

        for (int64_t k = 0; k < count; k++) {
            int group = *placed[k].node == 'c' ? 0 : *placed[k].node == 'g' ? 1 : 2;
            struct fleet_type type;

            if (!*placed[k].node)
                continue;
            fleet_type(&s->fleet, placed[k].type, &type);
            __typeof__(nodes[0][0]) *node = &nodes[group][atoi(placed[k].node + 2)];
            node->used.cores += type.needs.cores;
            node->used.memory_mib += type.needs.memory_mib;
            node->used.disk_mib += s->jobs[i].work.groups[0].volume_gb * 1024;
            CHECK(s, !(node->gpus & placed[k].gpus), "a GPU of %s is given twice", placed[k].node);
            CHECK(s, __builtin_popcountll(placed[k].gpus) == type.needs.gpus, "a wrong number of GPUs");
            node->gpus |= placed[k].gpus;
        }
    }
    for (int group = 0; group < 3; group++)
        for (int i = 0; i < 7; i++) {
            const struct capacity *has = &s->fleet.nodes[group].has;

            CHECK(s, nodes[group][i].used.cores <= has->cores && nodes[group][i].used.memory_mib <= has->memory_mib &&
                         nodes[group][i].used.disk_mib <= has->disk_mib &&
                         nodes[group][i].gpus < (uint64_t)1 << has->gpus,
                  "%s-%d gives more than it has", s->fleet.nodes[group].name, i);
        }
}

/* Quota of account 2: six instances of each type on demand, waiting ones included. */
static void check_quota(struct story *s)
{
    static const char *const types[] = { "ml.m5.large", "ml.m5.xlarge", "ml.m5.4xlarge", "box.1", "box.4" };

    for (int t = 0; t < 5; t++) {
        int64_t count = 0;

        for (int i = 0; i < s->job_count; i++)
            for (int g = 0; g < s->jobs[i].work.group_count; g++)
                if (s->jobs[i].phase != OVER && !s->jobs[i].work.spot && *s->jobs[i].work.account == '2' &&
                    strcmp(s->jobs[i].work.groups[g].type, types[t]) == 0)
                    count += s->jobs[i].work.groups[g].count;
        CHECK(s, count <= 6, "%d instances of %s", (int)count, types[t]);
    }
}

static void note_promises(struct story *s)
{
    for (int i = 0; i < s->job_count; i++) {
        struct known *k = &s->jobs[i];
        struct waiting w;

        if (k->phase != WAITS || k->work.spot)
            continue;
        CHECK(s, scheduler_waiting(s->scheduler, s->arena, k->uid, s->now_ms, &w) && *w.reason, "%s waits for nothing",
              k->uid);
        if (w.before > 0)
            k->promised_ms = INT64_MAX;
        else if (w.expected_ms < k->promised_ms)
            k->promised_ms = w.expected_ms;
    }
}

static void drain(struct story *s)
{
    struct decision d;
    const char *faults;

    for (int i = 0; scheduler_decide(s->scheduler, s->now_ms, &d); i++) {
        CHECK(s, i < 10000, "no end of decisions");
        take_decision(s, &d);
    }
    faults = scheduler_faults(s->scheduler, s->arena);
    CHECK(s, !*faults, "%s", faults);
}

static void end_job(struct story *s, struct known *k)
{
    k->phase = OVER;
    scheduler_release(s->scheduler, k->uid, s->now_ms);
    drain(s);
}

/* Time goes on by at most an hour, and what is due on the way happens when it is due. */
static void pass_time(struct story *s)
{
    int64_t until = s->now_ms + (int64_t)below(s, 3600000);

    for (;;) {
        struct known *next = NULL;
        int64_t at = scheduler_next_ms(s->scheduler);

        if (at > until)
            at = until;
        for (int i = 0; i < s->job_count; i++) {
            struct known *k = &s->jobs[i];
            int64_t due = k->phase == RUNS ? k->ends_ms : k->phase == LEAVES ? k->deadline_ms : INT64_MAX;

            if (due < at || (due == at && !next)) {
                next = k;
                at = due;
            }
        }
        s->now_ms = at > s->now_ms ? at : s->now_ms;
        if (next && next->phase == LEAVES) {
            next->phase = WAITS;
            next->promised_ms = INT64_MAX;
            scheduler_requeue(s->scheduler, next->uid, s->now_ms);
            drain(s);
        } else if (next) {
            end_job(s, next);
        } else {
            drain(s);
            if (at == until)
                return;
        }
        if (s->calm)
            note_promises(s);
    }
}

/* Some of its instances fail, and their nodes may stay in use. */
static void fail_instances(struct story *s)
{
    struct known *k = s->job_count ? &s->jobs[below(s, (uint64_t)s->job_count)] : NULL;
    const struct placed *now;
    struct placed *placed;
    int64_t count;
    bool stands;

    if (!k || k->phase != RUNS)
        return;
    now = scheduler_placed(s->scheduler, s->arena, k->uid, &count);
    placed = arena_array_of(s->arena, struct placed, (size_t)count);
    for (int64_t i = 0; i < count; i++) {
        placed[i] = now[i];
        placed[i].left = below(s, 3) == 0;
    }
    stands = scheduler_replace(s->scheduler, k->uid, placed, s->now_ms);
    now = scheduler_placed(s->scheduler, s->arena, k->uid, &count);
    for (int64_t i = 0; i < count; i++) {
        CHECK(s, placed[i].left || strcmp(now[i].node, placed[i].node) == 0, "a healthy instance of %s moved", k->uid);
        CHECK(s, !stands || *now[i].node, "%s stands without its instance %d", k->uid, (int)i);
    }
}

static void mishap(struct story *s)
{
    static const char groups[] = "cgf";
    static const int counts[] = { 6, 4, 2 };
    int group = (int)below(s, 3);
    const char *node = arena_printf(s->arena, "%c-%d", groups[group], 1 + (int)below(s, (uint64_t)counts[group]));

    switch (below(s, 5)) {
    case 4:
        fail_instances(s);
        break;
    case 0:
        scheduler_fail(s->scheduler, node, s->now_ms);
        break;
    case 1:
        scheduler_cordon(s->scheduler, node, s->now_ms);
        break;
    default:
        scheduler_return(s->scheduler, node, s->now_ms);
    }
    drain(s);
    for (int i = 0; i < s->job_count; i++)
        if (s->jobs[i].phase == LOST) {
            s->jobs[i].phase = WAITS;
            scheduler_requeue(s->scheduler, s->jobs[i].uid, s->now_ms);
            drain(s);
        }
}

/* A new scheduler is told who runs and who waits, and knows the same. */
static void restart(struct story *s)
{
    struct scheduler *new = scheduler_new(&s->fleet, s->now_ms);
    struct err err = { 0 };

    for (int i = 0; i < s->job_count; i++) {
        struct known *k = &s->jobs[i];
        int64_t count;
        const struct placed *placed = scheduler_placed(s->scheduler, s->arena, k->uid, &count);

        if (k->phase == LEAVES)
            k->phase = RUNS;
        if (k->phase == RUNS)
            CHECK(s, scheduler_restore(new, &k->work, placed, count, k->started_ms, &err) == 0, "%s", err.text);
    }
    for (int i = 0; i < s->job_count; i++) {
        s->jobs[i].promised_ms = INT64_MAX;
        if (s->jobs[i].phase == WAITS)
            CHECK(s, scheduler_submit(new, &s->jobs[i].work, &err) == 0, "%s", err.text);
    }
    scheduler_free(s->scheduler);
    s->scheduler = new;
    drain(s);
}

static void act(struct story *s)
{
    switch (below(s, 12)) {
    case 0:
    case 1:
        pass_time(s);
        break;
    case 2:
        if (!s->calm)
            mishap(s);
        break;
    case 3:
        if (s->job_count > 0 && !s->calm) {
            struct known *k = &s->jobs[below(s, (uint64_t)s->job_count)];

            scheduler_interrupt(s->scheduler, k->uid, s->now_ms);
            drain(s);
        }
        break;
    case 4:
        if (s->job_count > 0 && below(s, 4) == 0) {
            struct known *k = &s->jobs[below(s, (uint64_t)s->job_count)];

            if (k->phase != OVER)
                end_job(s, k);
        }
        break;
    case 5:
        if (s->calm && below(s, 10) == 0)
            restart(s);
        break;
    default:
        for (int i = 0, count = 1 + (int)below(s, 4); i < count; i++)
            new_job(s);
        drain(s);
    }
    if (s->calm)
        note_promises(s);
    check_capacity(s);
    check_quota(s);
}

/* In the end everybody who waits starts, as long as nodes are whole and everybody ends. */
static void finish(struct story *s)
{
    for (int group = 0; group < 3; group++)
        for (int i = 1; i <= s->fleet.nodes[group].count; i++)
            scheduler_return(s->scheduler, arena_printf(s->arena, "%s-%d", s->fleet.nodes[group].name, i), s->now_ms);
    drain(s);
    for (int rounds = 0;; rounds++) {
        struct scheduler_counts now = scheduler_counts(s->scheduler);

        if (now.waiting + now.running == 0)
            break;
        CHECK(s, rounds < 5000, "%d jobs wait for ever", (int)now.waiting);
        pass_time(s);
    }
}

static void tell(uint64_t seed, int *totals)
{
    struct err err = { 0 };
    struct story s = { .arena = arena_new(), .rand = rand_seeded(seed), .seed = seed, .now_ms = 1700000000000,
                       .calm = seed % 2 };

    assert_int_equal(fleet_read(s.arena, "fleet.toml", str_of(fleet_text), &s.fleet, &err), 0);
    s.scheduler = scheduler_new(&s.fleet, s.now_ms);
    for (int i = 0; i < STEPS; i++)
        act(&s);
    finish(&s);
    check_capacity(&s);
    totals[0] += s.started;
    totals[1] += s.interrupted;
    totals[2] += s.replaced;
    totals[3] += s.refused;
    scheduler_free(s.scheduler);
    arena_free(s.arena);
}

static uint64_t first_seed = 1, last_seed = 60;

static void the_promises_hold(void **state)
{
    int totals[4] = { 0 };

    for (uint64_t seed = first_seed; seed <= last_seed; seed++)
        tell(seed, totals);
    if (getenv("VERBOSE"))
        print_message("%d starts, %d interruptions, %d replacements, %d refusals\n", totals[0], totals[1], totals[2],
                      totals[3]);
    /* The stories are about something. */
    assert_true(first_seed == last_seed || (totals[0] > 1000 && totals[1] > 50 && totals[2] > 20 && totals[3] > 50));
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_promises_hold),
    };

    if (argc > 1) {
        first_seed = strtoull(argv[1], NULL, 10);
        last_seed = argc > 2 ? strtoull(argv[2], NULL, 10) : first_seed;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
