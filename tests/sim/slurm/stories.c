/* stories.c - stories of the Slurm driver: src/run/slurm.c and slurm_cluster.c, and all around them made up.
 *
 *     slurm_sim N [first-seed]      runs N stories; the first that breaks ends it, with its seed
 *     slurm_sim 1 SEED -v           tells one story */
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/map.h"
#include "world.h"

enum { BUSY_STEPS = 300, CALM_STEPS = 6000 };

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
    printf("%8.1f s  ", (double)w.now_ms / 1000);
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
    _exit(1);
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

static void begin(uint64_t seed, bool verbose)
{
    struct world fresh = { .seed = seed, .verbose = verbose, .dice = rand_seeded(seed), .now_ms = 1000000,
                           .calls = w.calls, .commands = w.commands, .deaths = w.deaths, .ends = w.ends };

    map_reseed(seed + 0x5eed);
    w = fresh;
    w.arena = arena_new();
    w.faults = roll(F_ALL + 1);
    w.remote = roll(3) == 0;
    w.min_age_ms = roll(2) ? 300000 : 10000;
    for (int i = 0; i < JOBS; i++) {
        struct job *j = &w.jobs[i];

        *j = (struct job){ .index = i, .count = 1 + (int)roll(MATES) };
        j->refused = chance(F_REFUSE, 250);
        j->mute = chance(F_MUTE, 500) ? 1 + (int)roll(4) : 0;
        for (int k = 0; k < MATES; k++) {
            struct mate *m = &j->mates[k];

            *m = (struct mate){ .job = j, .report = { "", "" }, .said = { "", "" }, .stop = { "" }, .heard = { "" } };
            snprintf(m->name, sizeof m->name, "job-%d-algo-%d", i, k + 1);
        }
    }
    tell("seed %llu, faults %x, agents %s", (unsigned long long)seed, w.faults, w.remote ? "elsewhere" : "here");
    server_start();
}

static void time_passes(void)
{
    w.now_ms += w.faults & F_SLOW && roll(10) == 0 ? 5000 + roll(30000) : 50 + roll(1500);
}

/* Nobody waits for the server. */
void meanwhile(void)
{
    if (!chance(F_RACE, 100))
        return;
    w.busy = true;
    time_passes();
    controller_move();
    agents_move();
    w.busy = false;
    for (unsigned turns = roll(4); turns; turns--) {
        thread_go();
        w.had_answered = w.had_answered || w.answered;
    }
}

static void step(void)
{
    unsigned turns = w.calm ? 3 : roll(w.faults & F_SLOW ? 2 : 4);

    time_passes();
    controller_move();
    agents_move();
    while (turns--) {
        server_move();
        thread_go();
    }
    if (w.runtime && chance(F_DEATH, 10)) {
        server_end();
        w.deaths++;
    }
}

static bool all_done(void)
{
    for (int i = 0; i < JOBS; i++)
        if (!w.jobs[i].done)
            return false;
    return true;
}

static void story(void)
{
    for (int i = 0; i < BUSY_STEPS; i++)
        step();
    w.calm = true;
    tell("calm");
    for (int i = 0; !all_done(); i++) {
        step();
        if (i == CALM_STEPS)
            broken("it does not come to an end");
    }
}

int main(int argc, char **argv)
{
    uint64_t stories = argc > 1 ? strtoull(argv[1], NULL, 10) : 2000,
             first = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
    bool verbose = argc > 3 && strcmp(argv[3], "-v") == 0;

    signal(SIGABRT, aborted);
    log_setup("slurm_sim", LOG_ERROR + 1);
    for (uint64_t seed = first; seed < first + stories; seed++) {
        begin(seed, verbose);
        story();
        server_end();
        arena_free(w.arena);
    }
    printf("%llu stories: %ld calls, %ld commands, %ld deaths of the server, %ld verdicts\n",
           (unsigned long long)stories, w.calls, w.commands, w.deaths, w.ends);
    return 0;
}
