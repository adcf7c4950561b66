/* sim.c - stories: each seed is one, with faults in its first part and none in its last, in which everything must end.
 *
 *     sim N [first-seed]      runs N stories; the first that breaks ends it, with its seed
 *     sim 1 SEED -v           tells one story */
#include <malloc.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/log.h"
#include "sim.h"

enum {
    BUSY_STEPS = 120,
    CALM_STEPS = 4000, /* an update waits half an hour for room, about a second a step */
    SETTLED_MS = 11 * 60 * 1000, /* longer than the longest pause, which is that between two looks for orphans */
};

struct world w;

unsigned roll(unsigned sides)
{
    return (unsigned)(rand_u64(&w.dice) >> 33) % sides;
}

/* The dice are rolled in any case, so that a fault more or less does not change the rest of the story too much. */
bool chance(unsigned fault, unsigned per_mille)
{
    return roll(1000) < per_mille && !w.calm && (w.faults & fault);
}

void tell(const char *format, ...)
{
    va_list ap;

    if (!w.verbose)
        return;
    printf("%8.1f s  ", (double)w.boot_ms / 1000);
    va_start(ap, format);
    vprintf(format, ap);
    va_end(ap);
    printf("\n");
}

void broken(const char *format, ...)
{
    va_list ap;

    fflush(stdout);
    fprintf(stderr, "\nseed %llu: ", (unsigned long long)w.seed);
    va_start(ap, format);
    vfprintf(stderr, format, ap);
    va_end(ap);
    fprintf(stderr, "\n");
    exit(1);
}

/* An assertion of the code under test. */
static void aborted(int number)
{
    char text[80];
    int size = snprintf(text, sizeof text, "\nseed %llu: an assertion failed\n", (unsigned long long)w.seed);

    (void)number;
    if (write(STDERR_FILENO, text, (size_t)size) < 0)
        _exit(2);
    _exit(1);
}

static int64_t wall(struct clock *c)
{
    (void)c;
    return w.wall_ms;
}

static int64_t boot(struct clock *c)
{
    (void)c;
    return w.boot_ms;
}

static void begin(uint64_t seed, bool verbose)
{
    map_reseed(seed + 0x5eed);
    w = (struct world){
        .seed = seed, .verbose = verbose, .dice = rand_seeded(seed * 2 + 1), .rand = rand_seeded(seed * 2),
        .clock = { wall, boot }, .wall_ms = 1700000000000, .boot_ms = 1000000,
    };
    w.faults = roll(F_ALL + 1);
    w.fleet_arena = arena_new();
    w.files = map_new();
    w.states = map_new();
    w.store = store_new_memory();
    w.platform = (struct platform){ .account = "111122223333", .default_region = "us-east-1", .data_folder = "/data",
                                    .api_socket = "/data/run/api.sock", .admin_socket = "/data/run/admin.sock",
                                    .rand = &w.rand };
    w.runtime = agents_runtime();
    fleet_begin();
    tell("seed %llu, faults %x", (unsigned long long)seed, w.faults);
    plane_begin();
    user_begin();
    if (seed % 4 == 1)
        agents_orphan(seed % 8 == 1 ? "train" : "serve", "a row that is not there");
    control_start();
}

static void end(void)
{
    struct str key;
    void *value;

    control_end();
    plane_end();
    runtime_free(w.runtime);
    store_free(w.store);
    for (size_t at = 0; map_next(w.files, &at, &key, &value);) {
        buf_free(value);
        free(value);
    }
    for (size_t at = 0; map_next(w.states, &at, &key, &value);)
        free(value);
    arena_free(w.fleet_arena);
    map_free(w.files);
    map_free(w.states);
}

static void time_passes(void)
{
    static const int64_t jumps[] = { 3600000, -3600000, 60000, -60000, 86400000 };
    int64_t ms = roll(8) == 0 ? 5000 + roll(20000) : 100 + roll(3000);

    if (w.calm) {
        ms = w.engine ? w.next_ms - w.wall_ms : 1000;
        ms = ms < 50 ? 50 : ms > 30000 ? 30000 : ms;
    }
    w.wall_ms += ms;
    w.boot_ms += ms;
    /* One jump at a time: of two that nobody saw, each alone cannot be told from the other. */
    if (chance(F_CLOCK, 15) && !w.jump_unseen) {
        int64_t jump = jumps[roll(5)];

        tell("the wall clock jumps by %lld s", (long long)jump / 1000);
        w.wall_ms += jump;
        w.jumped = w.jump_unseen = true;
    }
    if (chance(F_FULL, 20)) {
        w.full_until_boot_ms = w.boot_ms + roll(15000);
        tell("the disk is full for %lld s", (long long)(w.full_until_boot_ms - w.boot_ms) / 1000);
    }
    if (w.calm)
        w.full_until_boot_ms = 0;
}

static void step(void)
{
    time_passes();
    agents_move();
    fleet_move();
    plane_move();
    user_move();
    control_move();
}

static bool agents_settled(void)
{
    for (int i = 0; i < w.agent_count; i++)
        if (w.agents[i].there && !w.agents[i].ended &&
            (!w.agents[i].serves || w.agents[i].phase < 2 || w.agents[i].stopping))
            return false;
    return true;
}

static void story(void)
{
    int64_t since_ms;

    for (int i = 0; i < BUSY_STEPS; i++) {
        if (i == BUSY_STEPS / 2 && w.seed % 4 == 2)
            user_orphan();
        step();
    }
    w.calm = true;
    tell("calm");
    since_ms = w.boot_ms;
    for (int i = 0; w.boot_ms - since_ms < SETTLED_MS; i++) {
        step();
        if (!w.engine || !agents_settled() || (w.boot_ms - since_ms >= SETTLED_MS && !user_settled()))
            since_ms = w.boot_ms;
        if (i == CALM_STEPS)
            broken("it does not come to an end");
    }
    user_check_all();
}

int main(int argc, char **argv)
{
    uint64_t stories = argc > 1 ? strtoull(argv[1], NULL, 10) : 2000,
             first = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
    bool verbose = argc > 3 && strcmp(argv[3], "-v") == 0;
    long passes = 0, calls = 0, deaths = 0, jobs = 0;
    clock_t start = clock();

    signal(SIGABRT, aborted);
    mallopt(M_TRIM_THRESHOLD, 1 << 28); /* a story's memory is the next one's: the kernel need not clear it again */
    mallopt(M_TOP_PAD, 1 << 24);
    log_setup("sim", verbose ? LOG_WARNING : LOG_ERROR + 1);
    for (uint64_t seed = first; seed < first + stories; seed++) {
        begin(seed, verbose);
        story();
        passes += w.passes;
        calls += w.calls;
        jobs += w.agent_count;
        deaths += w.deaths;
        end();
    }
    printf("%llu stories: %ld calls, %ld passes, %ld instances, %ld deaths of the control plane, %.1f s\n",
           (unsigned long long)stories, calls, passes, jobs, deaths, (double)(clock() - start) / CLOCKS_PER_SEC);
    return 0;
}
