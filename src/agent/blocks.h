/* blocks.h - pieces of S3 objects in memory, read ahead of who reads one after the other. */
#ifndef AGENT_BLOCKS_H
#define AGENT_BLOCKS_H

#include "agent/transfer.h"

struct blocks;

struct blocks_file {
    uint64_t id; /* of the file; every file has its own */
    const char *bucket, *key;
    int64_t size_bytes;
};

enum { BLOCK_BYTES = 1 << 20 };

struct blocks *blocks_new(const struct transfer *);
void blocks_free(struct blocks *); /* NULL is fine */

/* Its first block will be read soon. Does not wait. */
void blocks_expect(struct blocks *, const struct blocks_file *);

/* At most 'size' bytes into 'to'; fewer only at the end of the file. Waits. Any thread. The texts of a file live as
 * long as the blocks. */
int64_t blocks_read(struct blocks *, const struct blocks_file *, int64_t offset, char *to, int64_t size,
                    struct err *err);

#endif
