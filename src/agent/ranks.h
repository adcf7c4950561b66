/* ranks.h - the ranks of NCCL of one instance: a process (sagebrush-nccl) for each of its GPUs, as torchrun starts
 * them.
 *
 * A library that hangs or ends its process takes nobody else along, and each GPU has words of its own. */
#ifndef AGENT_RANKS_H
#define AGENT_RANKS_H

#include "base/arena.h"
#include "base/clock.h"
#include "base/err.h"
#include "run/gpu.h"
#include "run/nccl.h"

enum { RANK_FD = 3 }; /* in the process: the socket to the agent */

/* How it is with a rank, an instance or all of them. What is nearest to the cause comes last. */
enum rank_state {
    RANK_BUSY = -1, /* it goes on: 'words' are what it does now */
    RANK_GOOD,   /* it can take part; the sums are right */
    RANK_NONE,   /* there is no GPU here */
    RANK_ABSENT, /* there is no library: it cannot take part */
    RANK_ENDED,  /* it had to be ended, because of another */
    RANK_LATE,   /* it did not answer in time */
    RANK_CUT,    /* NCCL fails, by what another rank or the way to it may be the cause of */
    RANK_FAILED, /* NCCL fails, or adds up wrongly */
    RANK_SICK,   /* the GPU cannot be used */
};

static inline bool rank_state_is_bad(int32_t state)
{
    return state >= RANK_ENDED;
}

/* What a rank tells its agent: that it can take part, what it does, and what came of it. An agent tells the others the
 * same of its instance. */
struct rank_word {
    int32_t state, version;
    int32_t gpus;     /* of an instance: how many; of whom 'words' are: its place among them */
    int32_t gpu;
    int64_t sum_ns;   /* of one sum */
    unsigned char id[NCCL_ID_SIZE]; /* by which the ranks can find each other, if this one is the first */
    char words[256];  /* "ncclCommInitRank: unhandled system error (2): ..." */
};
void rank_word_set(struct rank_word *, enum rank_state, const char *words); /* as much of them as there is room for */

/* What the agent tells a rank. */
struct rank_task {
    int32_t rank, ranks;
    unsigned char id[NCCL_ID_SIZE];
};

enum { RANK_SUM_BYTES = 16 << 20 };

struct ranks;

struct ranks_options {
    const char *folder;    /* of the agent */
    const char *namespace; /* the instance's network; NULL: this one */
    const char *host;      /* the instance's name in its job */
    const char *library;   /* of NCCL; "": the loader's */
    const struct gpu *gpus;
    int count;             /* 0: there are no ranks */
    struct clock *clock;
    int cancel_fd;
};

/* Starts the processes. Never NULL: what goes wrong is told by ranks_ready(). */
struct ranks *ranks_new(const struct ranks_options *);
void ranks_free(struct ranks *); /* ends them; NULL is fine */

/* Whether all of them can take part. ERR_CONFLICT: cancelled. */
int ranks_ready(struct ranks *, int64_t limit_ms, struct rank_word *ret, struct err *err);

/* Lets them add up: the first of them is rank 'first' of 'ranks'. 'ended' says that another instance has failed: they
 * will be ended soon. */
int ranks_sum(struct ranks *, int first, int ranks, const unsigned char id[static NCCL_ID_SIZE], int64_t limit_ms,
              bool (*ended)(void *data), void *data, struct rank_word *ret, struct err *err);

#endif
