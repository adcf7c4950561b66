/* allreduce.c - as NCCL and gloo have it: in n-1 steps each chunk of the vector goes round and is added up, in n-1 more
 * its sum goes round.
 *
 * A word of the vector is its own number times what the instance counts for, so everybody knows each partial sum
 * without asking: one that is wrong was sent by the one before. */
#include "agent/allreduce.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { LAPS = 32 }; /* of a small message, for the latency */

struct sum {
    struct ring *ring;
    int rank, ranks;
    uint64_t *words, *heard;
    size_t count;
};

static uint64_t word_of(size_t i)
{
    return (uint64_t)(i + 1) * UINT64_C(0x9e3779b97f4a7c15);
}

static uint64_t weight_of(int rank)
{
    return (uint64_t)rank + 1;
}

static int wrap(const struct sum *s, int chunk)
{
    return (chunk % s->ranks + s->ranks) % s->ranks;
}

static size_t chunk_at(const struct sum *s, int chunk)
{
    return s->count * (size_t)chunk / (size_t)s->ranks;
}

static size_t chunk_bytes(const struct sum *s, int chunk)
{
    return (chunk_at(s, chunk + 1) - chunk_at(s, chunk)) * sizeof *s->words;
}

static int check_heard(struct sum *s, int chunk, uint64_t weight, struct err *err)
{
    size_t at = chunk_at(s, chunk), count = chunk_bytes(s, chunk) / sizeof *s->words;

    for (size_t i = 0; i < count; i++) {
        if (s->heard[i] == word_of(at + i) * weight)
            continue;
        s->ring->blamed = s->ring->before;
        return fail(err, ERR_INTERNAL, "what %s sent is wrong: word %zu is %llx and should be %llx",
                    s->ring->o->hosts[s->ring->before], at + i, (unsigned long long)s->heard[i],
                    (unsigned long long)(word_of(at + i) * weight));
    }
    return 0;
}

/* One step: chunk 'mine' goes to the next, chunk 'theirs' comes, with the sum of what 'weight' says. */
static int pass_on(struct sum *s, int mine, int theirs, uint64_t weight, struct err *err)
{
    if (ring_exchange(s->ring, s->words + chunk_at(s, mine), chunk_bytes(s, mine), s->heard, chunk_bytes(s, theirs),
                      err) < 0)
        return -1;
    return check_heard(s, theirs, weight, err);
}

static int add_up(struct sum *s, struct err *err)
{
    int rank = s->rank, ranks = s->ranks;
    uint64_t weight = 0;

    for (int step = 0; step < ranks - 1; step++) {
        int theirs = wrap(s, rank - step - 1);
        uint64_t *words = s->words + chunk_at(s, theirs);

        /* It has been with the instances from 'theirs' to the one before. */
        weight += weight_of(theirs);
        if (pass_on(s, wrap(s, rank - step), theirs, weight, err) < 0)
            return -1;
        for (size_t i = 0; i < chunk_bytes(s, theirs) / sizeof *words; i++)
            words[i] += s->heard[i];
    }
    weight += weight_of(rank);
    for (int step = 0; step < ranks - 1; step++) {
        int theirs = wrap(s, rank - step);

        if (pass_on(s, wrap(s, rank + 1 - step), theirs, weight, err) < 0)
            return -1;
        memcpy(s->words + chunk_at(s, theirs), s->heard, chunk_bytes(s, theirs));
    }
    return 0;
}

static int run_laps(struct sum *s, struct err *err)
{
    uint64_t token = 0;

    for (int lap = 0; lap < LAPS; lap++) {
        bool first = s->rank == 0;

        if ((!first && ring_exchange(s->ring, NULL, 0, &token, sizeof token, err) < 0) ||
            ring_exchange(s->ring, &token, sizeof token, NULL, 0, err) < 0 ||
            (first && ring_exchange(s->ring, NULL, 0, &token, sizeof token, err) < 0))
            return -1;
    }
    return 0;
}

static int measure(struct sum *s, struct allreduce_result *ret, struct err *err)
{
    double ranks = s->ranks;
    struct clock *clock = s->ring->o->clock;
    int64_t began_ms, summed_ms, ended_ms;

    /* Nobody's time counts what it waited for the last to come. */
    if (run_laps(s, err) < 0)
        return -1;
    began_ms = clock_boot_ms(clock);
    if (add_up(s, err) < 0)
        return -1;
    summed_ms = clock_boot_ms(clock);
    if (run_laps(s, err) < 0)
        return -1;
    ended_ms = clock_boot_ms(clock);
    ret->ms = ended_ms - began_ms;
    ret->bytes_per_s = 2 * (ranks - 1) / ranks * (double)(s->count * sizeof *s->words) * 1000 /
                       (double)(summed_ms > began_ms ? summed_ms - began_ms : 1);
    ret->hop_us = (ended_ms - summed_ms) * 1000 / (LAPS * s->ranks);
    return 0;
}

int allreduce(struct ring *r, size_t bytes, int64_t limit_ms, struct allreduce_result *ret, struct err *err)
{
    struct sum s = { .ring = r, .rank = r->o->rank, .ranks = r->o->ranks, .count = bytes / sizeof *s.words,
                     .words = malloc(bytes), .heard = malloc(bytes) };
    int result;

    assert(s.words && s.heard);
    for (size_t i = 0; i < s.count; i++)
        s.words[i] = word_of(i) * weight_of(s.rank);
    ring_limit(r, limit_ms, "the sum");
    result = measure(&s, ret, err);
    free(s.words);
    free(s.heard);
    return result;
}
