#include "algo/vote.h"

float vote(const float *said, size_t count)
{
    float best = said[0];
    size_t best_seen = 0;

    /* Few speak, so each is counted anew. */
    for (size_t i = 0; i < count; i++) {
        size_t seen = 0;

        for (size_t k = 0; k < count; k++)
            seen += said[k] == said[i];
        if (seen > best_seen || (seen == best_seen && said[i] < best)) {
            best = said[i];
            best_seen = seen;
        }
    }
    return best;
}
