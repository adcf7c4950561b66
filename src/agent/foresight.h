/* foresight.h - which files of a tree come next: who reads one after the other, in the order of their folder's listing,
 * goes on with the next. Several may do so in several places. */
#ifndef AGENT_FORESIGHT_H
#define AGENT_FORESIGHT_H

#include <pthread.h>

#include "agent/fastindex.h"

enum { FORESIGHT_READERS = 16, FORESIGHT_FILES = 12 };

struct foresight {
    const struct fast_index *index;
    uint64_t most_bytes; /* a bigger file is not foreseen, nor what comes behind it */
    pthread_mutex_t lock;
    struct {
        uint32_t next;    /* the entry that follows what was read last */
        uint32_t foreseen; /* up to this one, it not included */
    } readers[FORESIGHT_READERS];
    unsigned oldest;
};

void foresight_init(struct foresight *, const struct fast_index *, uint64_t most_bytes);

/* A file is being read from its start. Returns how many entries from *ret_first on are to be had now; they have not
 * been told of before, unless their reader was forgotten. */
uint32_t foresight_begun(struct foresight *, uint32_t entry, uint32_t *ret_first);

#endif
