#include "agent/foresight.h"

enum { LOOSE = 2 }; /* who leaves one out is still reading on */

void foresight_init(struct foresight *f, const struct fast_index *index, uint64_t most_bytes)
{
    *f = (struct foresight){ .index = index, .most_bytes = most_bytes, .lock = PTHREAD_MUTEX_INITIALIZER };
}

/* The end of the small files from 'entry' on, in its folder. */
static uint32_t end_of_small(const struct foresight *f, uint32_t entry, uint32_t most)
{
    const struct fast_entry *folder = &f->index->entries[f->index->entries[entry - 1].parent];
    uint32_t end = folder->first + folder->count;

    if (end > most)
        end = most;
    while (entry < end && !f->index->entries[entry].is_folder && f->index->entries[entry].size_bytes <= f->most_bytes)
        entry++;
    return entry;
}

static uint32_t look_ahead(struct foresight *f, int reader, uint32_t entry, uint32_t *ret_first)
{
    uint32_t from = f->readers[reader].foreseen > entry + 1 ? f->readers[reader].foreseen : entry + 1;
    uint32_t to = end_of_small(f, entry + 1, entry + 1 + FORESIGHT_FILES);

    f->readers[reader].next = entry + 1;
    f->readers[reader].foreseen = to > from ? to : from;
    *ret_first = from;
    return to > from ? to - from : 0;
}

uint32_t foresight_begun(struct foresight *f, uint32_t entry, uint32_t *ret_first)
{
    uint32_t count = 0;
    int known = -1;

    pthread_mutex_lock(&f->lock);
    for (int i = 0; i < FORESIGHT_READERS && known < 0; i++)
        if (f->readers[i].next && entry >= f->readers[i].next && entry < f->readers[i].next + LOOSE)
            known = i;
    if (known >= 0) {
        count = look_ahead(f, known, entry, ret_first);
    } else {
        known = (int)(f->oldest++ % FORESIGHT_READERS);
        f->readers[known].next = entry + 1;
        f->readers[known].foreseen = 0;
    }
    pthread_mutex_unlock(&f->lock);
    return count;
}
