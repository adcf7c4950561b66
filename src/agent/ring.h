/* ring.h - connections between the instances of a job, over their own network: each hears the one before and sends to
 * the next. */
#ifndef AGENT_RING_H
#define AGENT_RING_H

#include <sys/types.h>

#include "base/clock.h"
#include "base/err.h"

struct ring_options { /* all of it lives longer */
    struct clock *clock;
    int rank, ranks;                /* two at least */
    const char *const *hosts;       /* by rank: how they are called */
    const char *const *addresses;   /* by rank */
    int port;                       /* everywhere the same */
    const unsigned char *token;     /* 32 bytes that only these instances have */
    int64_t gather_ms;              /* until all are there */
    int cancel_fd;                  /* -1: none */

    /* A TCP socket in the instance's network, non-blocking. */
    int (*socket)(void *data, int *ret_fd, struct err *err);
    void *data;
};

struct ring {
    const struct ring_options *o;
    int next, before; /* ranks */
    int blamed;       /* the rank that cannot be reached, or sent what is wrong; -1: cannot be told */

    /* its own */
    int listener, to, from;
    int64_t until_ms, limit_ms;
    const char *goal;
};

/* Of all these, ERR_CONFLICT: cancelled. */

/* Finds both neighbours. On failure, too, ring_close() comes after it. */
int ring_open(struct ring *, const struct ring_options *, struct err *err);
void ring_close(struct ring *);

/* The time for what follows, and what it is for: "the sum was not there after 30 s". */
void ring_limit(struct ring *, int64_t ms, const char *goal);

/* To the next and from the one before, at once. */
int ring_exchange(struct ring *, const void *out, size_t out_size, void *in, size_t in_size, struct err *err);

/* Everybody gets everybody's record: one a rank, of which one's own is there. */
int ring_gather(struct ring *, void *records, size_t size, struct err *err);

/* What has come of the records of ring_gather() before it was called, at most 'size' bytes, which stay to be read; -1:
 * the one before is gone. */
ssize_t ring_peek(struct ring *, void *ret, size_t size);

#endif
