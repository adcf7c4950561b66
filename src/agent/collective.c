/* collective.c - first over TCP, which says who cannot be reached; then, by the same connections, the instances tell
 * each other whether they have NCCL, and what came of it. All have the same words before them, and come to the same
 * end. */
#include "agent/collective.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/allreduce.h"
#include "agent/ranks.h"

enum {
    TCP_BYTES = 4 << 20,
    TCP_MS = 30000,
    READY_MS = 60000, /* for the libraries and the first touch of the GPUs */
    NCCL_MS = 60000,
    RANK_MS = 1000, /* more, for each rank */
    LATE_MS = 15000, /* for the word of one that has used up its time */
};

struct check {
    struct arena *arena;
    const struct collective_options *o;
    struct collective_result *ret;
    struct ring ring;
    struct ranks *ranks;
    struct rank_word *words; /* by instance */
    struct rank_word *come;  /* of them, what is there early */
    int party;               /* ranks of NCCL, of all instances */
    int first;               /* of this instance's */
};

static struct rank_word *own(struct check *c)
{
    return &c->words[c->o->ring.rank];
}

static void add(struct check *c, const char *evidence)
{
    c->ret->evidence = *c->ret->evidence ? arena_printf(c->arena, "%s; %s", c->ret->evidence, evidence) : evidence;
}

/* --- Whether it can be done --- */

static const char *version_text(struct arena *a, int version)
{
    int major = version < 10000 ? 1000 : 10000;

    return arena_printf(a, "%d.%d.%d", version / major, version % major / 100, version % 100);
}

static int instances_in(const struct check *c, enum rank_state state)
{
    int count = 0;

    for (int i = 0; i < c->o->ring.ranks; i++)
        count += c->words[i].state == (int32_t)state;
    return count;
}

/* NCCL promises nothing between versions, and each host may have another. NULL: it is the same everywhere. */
static const char *versions_differ(const struct check *c)
{
    const char *const *hosts = c->o->ring.hosts;
    int first = -1;

    for (int i = 0; i < c->o->ring.ranks; i++) {
        if (c->words[i].state != RANK_GOOD)
            continue;
        first = first < 0 ? i : first;
        if (c->words[i].version != c->words[first].version)
            return arena_printf(c->arena, "it is %s on %s and %s on %s",
                                version_text(c->arena, c->words[first].version), hosts[first],
                                version_text(c->arena, c->words[i].version), hosts[i]);
    }
    return NULL;
}

/* Why there is no NCCL between this instance and others, which all find out in the same way; NULL: there is. */
static const char *lacks_nccl(const struct check *c)
{
    if (c->words[c->o->ring.rank].state == RANK_ABSENT)
        return c->words[c->o->ring.rank].words;
    if (instances_in(c, RANK_GOOD) > 1)
        return versions_differ(c);
    return instances_in(c, RANK_ABSENT) ? "no other instance has it" : "no other instance has GPUs";
}

/* The ranks of those that can take part, in the order of the instances. */
static void form_party(struct check *c)
{
    if (instances_in(c, RANK_GOOD) < 2 || versions_differ(c))
        return;
    for (int i = 0; i < c->o->ring.ranks; i++) {
        if (i == c->o->ring.rank)
            c->first = c->party;
        c->party += c->words[i].state == RANK_GOOD ? c->words[i].gpus : 0;
    }
}

static const unsigned char *first_id(const struct check *c)
{
    int i = 0;

    while (c->words[i].state != RANK_GOOD)
        i++;
    return c->words[i].id;
}

/* --- What came of it --- */

static enum rank_state worst_of(const struct check *c)
{
    int32_t worst = RANK_GOOD;

    for (int i = 0; i < c->o->ring.ranks; i++)
        if (c->words[i].state > worst)
            worst = c->words[i].state;
    return (enum rank_state)worst;
}

/* Nobody goes on when one has failed. It is blamed when what it says is of itself, and no other one says so: who waits,
 * or is cut off, does not know by whom. */
static bool has_failed(struct check *c)
{
    enum rank_state worst = worst_of(c);
    int me = c->o->ring.rank, bad = me;

    if (!rank_state_is_bad(worst))
        return false;
    while (c->words[bad].state != (int32_t)worst)
        bad = (bad + 1) % c->o->ring.ranks;
    c->ret->passed = false;
    c->ret->blames = worst >= RANK_FAILED && instances_in(c, worst) == 1 ? c->o->ring.hosts[bad] : "";
    c->ret->evidence = arena_printf(c->arena, "NCCL: %s%s%s", bad == me ? "" : c->o->ring.hosts[bad],
                                    bad == me ? "" : ": ", c->words[bad].words);
    if (worst == RANK_SICK && bad == me)
        c->ret->gpu = &c->o->gpus[own(c)->gpu];
    return true;
}

/* Algorithm and bus bandwidth as nccl-tests defines them (doc/PERFORMANCE.md): the bytes of the vector over the time,
 * and that times 2 (n-1)/n, which is what each GPU has to send and comparable to what the hardware can. */
static void say_sums(struct check *c)
{
    double ranks = c->party, bytes_per_ns = 0;
    int64_t sum_ns = 1;

    for (int i = 0; i < c->o->ring.ranks; i++)
        if (c->words[i].sum_ns > sum_ns)
            sum_ns = c->words[i].sum_ns;
    bytes_per_ns = (double)RANK_SUM_BYTES / (double)sum_ns;
    add(c, arena_printf(c->arena, "NCCL %s, %d MiB over %d GPUs of %d instances: the sums are right, %.2f GB/s "
                                  "(%.2f GB/s on the bus)", version_text(c->arena, own(c)->version),
                        RANK_SUM_BYTES >> 20, c->party, instances_in(c, RANK_GOOD), bytes_per_ns,
                        bytes_per_ns * 2 * (ranks - 1) / ranks));
}

/* --- How it is done --- */

static int64_t limit_of(const struct check *c)
{
    const char *given = getenv("SAGEBRUSH_NCCL_SECONDS");

    return given && atoi(given) > 0 ? atoi(given) * INT64_C(1000) : NCCL_MS + (int64_t)RANK_MS * c->party;
}

/* What the one before says before all are done: one that fails is not waited for. Who has waited too long says nothing
 * new: the others have, too, by then. */
static bool another_failed(void *data)
{
    struct check *c = data;
    ssize_t size = ring_peek(&c->ring, c->come, (size_t)c->o->ring.ranks * sizeof *c->come);

    for (size_t i = 0; size > 0 && i < (size_t)size / sizeof *c->come; i++)
        if (rank_state_is_bad(c->come[i].state) && c->come[i].state != RANK_LATE)
            return true;
    return size < 0;
}

/* It came from another machine. What it counts becomes a time that is waited, and what it says a report. */
static bool is_sound(struct rank_word *w)
{
    char words[sizeof w->words];

    memcpy(words, w->words, sizeof words);
    words[sizeof words - 1] = '\0';
    rank_word_set(w, (enum rank_state)w->state, words);
    return w->state >= RANK_GOOD && w->state <= RANK_SICK && w->gpus >= 0 && w->gpus <= GPU_MOST &&
           (w->state != RANK_GOOD || w->gpus > 0);
}

static int gather(struct check *c, int64_t limit_ms, struct err *err)
{
    ring_limit(&c->ring, limit_ms, "what each of them says of NCCL");
    if (ring_gather(&c->ring, c->words, sizeof *c->words, err) < 0)
        return -1;
    for (int i = 0; i < c->o->ring.ranks; i++)
        if (!is_sound(&c->words[i])) {
            c->ring.blamed = i;
            return fail(err, ERR_INTERNAL, "what %s says of NCCL is nothing that it can be", c->o->ring.hosts[i]);
        }
    return 0;
}

static int add_up(struct check *c, struct err *err)
{
    int64_t limit_ms = limit_of(c);

    if (own(c)->state == RANK_GOOD &&
        ranks_sum(c->ranks, c->first, c->party, first_id(c), limit_ms, another_failed, c, own(c), err) < 0)
        return -1;
    return gather(c, limit_ms + LATE_MS, err);
}

static int with_nccl(struct check *c, struct err *err)
{
    const char *lacking;

    c->words = arena_array_of(c->arena, struct rank_word, (size_t)c->o->ring.ranks);
    c->come = arena_array_of(c->arena, struct rank_word, (size_t)c->o->ring.ranks);
    if (ranks_ready(c->ranks, READY_MS, own(c), err) < 0 || gather(c, READY_MS + LATE_MS, err) < 0)
        return -1;
    if (has_failed(c))
        return 0;
    lacking = own(c)->state == RANK_NONE ? NULL : lacks_nccl(c);
    if (lacking)
        add(c, arena_printf(c->arena, "NCCL was not tried: %s", lacking));
    form_party(c);
    if (!c->party)
        return 0;
    if (add_up(c, err) < 0)
        return -1;
    if (!has_failed(c) && own(c)->state == RANK_GOOD)
        say_sums(c);
    return 0;
}

static int over_tcp(struct check *c, struct err *err)
{
    struct allreduce_result sum;

    if (ring_open(&c->ring, &c->o->ring, err) < 0 || allreduce(&c->ring, TCP_BYTES, TCP_MS, &sum, err) < 0)
        return -1;
    add(c, arena_printf(c->arena, "all-reduce of %d MiB over %d instances: the sum is right, %.2f GB/s, %lld us from "
                                  "one to the next", TCP_BYTES >> 20, c->o->ring.ranks, sum.bytes_per_s / 1e9,
                        (long long)sum.hop_us));
    return 0;
}

int collective_check(struct arena *a, const struct collective_options *o, struct collective_result *ret,
                     struct err *err)
{
    struct check c = { .arena = a, .o = o, .ret = ret };
    int result;

    *ret = (struct collective_result){ .passed = true, .evidence = "", .blames = "" };
    /* They get to know their GPUs while the instances find each other. */
    c.ranks = ranks_new(&(struct ranks_options){ .folder = o->folder, .namespace = o->namespace,
                                                 .host = o->ring.hosts[o->ring.rank], .library = o->library,
                                                 .gpus = o->gpus, .count = o->gpu_count, .clock = o->ring.clock,
                                                 .cancel_fd = o->ring.cancel_fd });
    result = over_tcp(&c, err) < 0 ? -1 : with_nccl(&c, err);
    if (result < 0 && err->kind != ERR_CONFLICT) {
        ret->passed = false;
        ret->evidence = arena_strdup(a, err->text);
        ret->blames = c.ring.blamed >= 0 ? o->ring.hosts[c.ring.blamed] : "";
        result = 0;
    }
    ranks_free(c.ranks);
    ring_close(&c.ring);
    return result;
}
