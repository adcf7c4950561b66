/* allreduce.h - the instances of a job add up a vector over their own network, as training does.
 *
 * Each calls allreduce() on its ring; it returns when the sums are there and right, or says what was in the way. */
#ifndef AGENT_ALLREDUCE_H
#define AGENT_ALLREDUCE_H

#include "agent/ring.h"

struct allreduce_result {
    double bytes_per_s; /* over each link, both ways at once: 2 (n-1)/n of the vector in the time it took */
    int64_t hop_us;     /* from one instance to the next */
    int64_t ms;
};

/* ERR_CONFLICT: cancelled. */
int allreduce(struct ring *, size_t bytes, int64_t limit_ms, struct allreduce_result *ret, struct err *err);

#endif
