/* scheduler.c - what a decision of the fleet's scheduler costs, by how many jobs wait: scheduler NODES QUEUED...
 *
 * The fleet is full from the start. Measured for each number of waiting jobs: to submit one more, which has to wait; to
 * take the next decision after a job has ended, while for each that starts another comes; and to work the whole queue
 * off. Jobs are of 5 types, 4 gang sizes, 40 runtimes, 20 owners, 3 priorities, a third of them spot. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/rand.h"
#include "fleet/example.h"
#include "fleet/scheduler.h"

enum { JOBS_MOST = 4000000 };

struct bench {
    struct scheduler *s;
    struct rand rand;
    int64_t now_ms, submitted;
    int64_t *running, count; /* numbers of jobs that run */
    int64_t *place; /* of a job among them */
};

/* Of the processor: other work on the machine does not count. */
static double seconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void submit(struct bench *b)
{
    static const char *const types[] = { "ml.m5.xlarge", "ml.m5.4xlarge", "ml.c5.9xlarge", "box.1gpu",
                                         "ml.p4d.24xlarge" };
    char uid[32], owner[32];
    struct err err = { 0 };
    struct work w = {
        .uid = uid,
        .account = "1",
        .owner = owner,
        .kind = "training job",
        .groups = { { types[rand_below(&b->rand, 5)], (int64_t)1 << rand_below(&b->rand, 4) } },
        .group_count = 1,
        .spot = rand_below(&b->rand, 3) == 0,
        .priority = (int64_t)rand_below(&b->rand, 3),
        .submitted_ms = b->now_ms,
        .max_runtime_ms = 600000 * (1 + (int64_t)rand_below(&b->rand, 40)),
    };

    snprintf(uid, sizeof uid, "j%lld", (long long)b->submitted++);
    snprintf(owner, sizeof owner, "owner-%d", (int)rand_below(&b->rand, 20));
    if (scheduler_submit(b->s, &w, &err) < 0) {
        fprintf(stderr, "%s\n", err.text);
        exit(1);
    }
}

static void now_runs(struct bench *b, int64_t job)
{
    b->place[job] = b->count;
    b->running[b->count++] = job;
}

static void runs_no_more(struct bench *b, int64_t job)
{
    int64_t last = b->running[--b->count];

    b->running[b->place[job]] = last;
    b->place[last] = b->place[job];
}

/* All decisions that are due; who must leave leaves at once. */
static int64_t drain(struct bench *b)
{
    struct decision d;
    int64_t decisions = 0;

    for (; scheduler_decide(b->s, b->now_ms, &d); decisions++) {
        if (d.kind == DECISION_START) {
            now_runs(b, strtoll(d.uid + 1, NULL, 10));
        } else if (d.kind == DECISION_INTERRUPT) {
            runs_no_more(b, strtoll(d.uid + 1, NULL, 10));
            scheduler_requeue(b->s, d.uid, b->now_ms);
        }
    }
    return decisions;
}

static void end_one(struct bench *b)
{
    int64_t job = b->running[rand_below(&b->rand, (uint64_t)b->count)];
    char uid[32];

    snprintf(uid, sizeof uid, "j%lld", (long long)job);
    runs_no_more(b, job);
    b->now_ms += 200;
    scheduler_release(b->s, uid, b->now_ms);
}

/* Until a hundred in a row find no room; who does is withdrawn. */
static void fill(struct bench *b)
{
    char uid[32];

    for (int misses = 0; misses < 100; misses++) {
        int64_t before = b->count;

        submit(b);
        drain(b);
        if (b->count > before) {
            misses = 0;
            continue;
        }
        snprintf(uid, sizeof uid, "j%lld", (long long)b->submitted - 1);
        scheduler_release(b->s, uid, b->now_ms);
        drain(b);
    }
}

static void measure(const struct fleet *fleet, int64_t queued)
{
    struct bench b = { .s = scheduler_new(fleet, 0), .rand = rand_seeded(1) };
    double start, submit_s, turn_s = 0, worst_s = 0, drain_s;
    int64_t decisions = 0, submits = 0, rest;
    enum { TURNS = 5000 };

    b.running = calloc(JOBS_MOST, sizeof *b.running);
    b.place = calloc(JOBS_MOST, sizeof *b.place);
    fill(&b);
    while (scheduler_counts(b.s).waiting < queued) {
        for (int64_t i = scheduler_counts(b.s).waiting; i < queued; i++)
            submit(&b);
        drain(&b);
    }
    start = seconds();
    for (; submits < 1000; submits++) {
        submit(&b);
        drain(&b);
    }
    submit_s = seconds() - start;
    for (int i = 0; i < TURNS; i++) {
        double begin = seconds(), took;
        int64_t made;

        end_one(&b);
        made = drain(&b);
        took = seconds() - begin;
        turn_s += took;
        decisions += made;
        if (made && took / (double)made > worst_s)
            worst_s = took / (double)made;
        for (int64_t k = 0; k < 1 || k < made; k++)
            submit(&b);
        decisions += drain(&b);
    }
    rest = scheduler_counts(b.s).waiting;
    start = seconds();
    while (b.count > 0) {
        end_one(&b);
        drain(&b);
    }
    drain_s = seconds() - start;
    printf("%8lld %12.1f %14.1f %14.1f %12.2f %16.1f\n", (long long)queued, 1e6 * submit_s / (double)submits,
           1e6 * turn_s / (double)(decisions ? decisions : 1), 1e6 * worst_s, drain_s, 1e6 * drain_s / (double)rest);
    fflush(stdout);
    free(b.running);
    free(b.place);
    scheduler_free(b.s);
}

int main(int argc, char **argv)
{
    struct arena *a = arena_new();
    struct buf text = { 0 };
    struct fleet fleet;
    struct err err = { 0 };

    if (argc < 3) {
        fprintf(stderr, "usage: scheduler NODES QUEUED...\n");
        return 2;
    }
    example_fleet(&text, strtoll(argv[1], NULL, 10));
    if (fleet_read(a, "example", (struct str){ text.data, text.size }, &fleet, &err) < 0) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    printf("%s nodes, all in use\n%8s %12s %14s %14s %12s %16s\n", argv[1], "queued", "submit us", "decision us",
           "worst us", "work off s", "us a queued job");
    for (int i = 2; i < argc; i++)
        measure(&fleet, strtoll(argv[i], NULL, 10));
    buf_free(&text);
    arena_free(a);
    return 0;
}
