/* fastindex.h - the tree of a FastFile channel as a file that is mapped: a million keys cost page cache, not memory,
 * and whoever maps it has the same numbers for the same things.
 *
 * The root is entry 0. The children of a folder stand beside each other, sorted by name. */
#ifndef AGENT_FASTINDEX_H
#define AGENT_FASTINDEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/channel.h"

struct fast_entry {
    uint64_t size_bytes;
    uint64_t name, key; /* offsets into the texts; a key ends with a NUL */
    uint32_t name_size;
    uint32_t parent;
    uint32_t first, count; /* of a folder: its children */
    uint32_t is_folder;
    uint32_t unused;
};

struct fast_index {
    const struct fast_entry *entries;
    uint32_t count;
    const char *bucket, *texts;
    int64_t made_s; /* wall time */
    void *map;
    size_t map_size;
};

/* The objects are sorted on the way. A folder hides an object of the same name. */
int fast_index_write(const char *path, const char *bucket, struct channel_object *objects, size_t count,
                     struct err *err);

int fast_index_open(const char *path, struct fast_index *ret, struct err *err);
void fast_index_close(struct fast_index *);

/* The child of a folder by its name; UINT32_MAX: none. */
uint32_t fast_index_find(const struct fast_index *, uint32_t folder, struct str name);

#endif
