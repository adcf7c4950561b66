/* allreduce.h - the collective check: the instances of a job add up a vector over their own network, as training does.
 *
 * Each calls allreduce() with its own rank; it returns when the sums are there and right, or says what was in the way
 * and, where that can be told, which instance it was. */
#ifndef AGENT_ALLREDUCE_H
#define AGENT_ALLREDUCE_H

#include "base/clock.h"
#include "base/err.h"

struct allreduce_options {
    struct clock *clock;
    int rank, ranks;                /* two at least */
    const char *const *hosts;       /* by rank: how they are called */
    const char *const *addresses;   /* by rank */
    int port;                       /* everywhere the same */
    const unsigned char *token;     /* 32 bytes that only these instances have */
    size_t bytes;                   /* of the vector */
    int64_t gather_ms;              /* until all are there */
    int64_t limit_ms;               /* from then on */
    int cancel_fd;                  /* -1: none */

    /* A TCP socket in the instance's network, non-blocking. */
    int (*socket)(void *data, int *ret_fd, struct err *err);
    void *data;
};

struct allreduce_result {
    double bytes_per_s; /* over each link, both ways at once: 2 (n-1)/n of the vector in the time it took */
    int64_t hop_us;     /* from one instance to the next */
    int64_t ms;
    int blamed;         /* on failure: the rank that cannot be reached, or sent what is wrong; -1: cannot be told */
};

/* ERR_CONFLICT: cancelled. */
int allreduce(const struct allreduce_options *, struct allreduce_result *ret, struct err *err);

#endif
