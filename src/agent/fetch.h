/* fetch.h - objects of S3 into files, several at a time: one big object comes as fast as many small ones. */
#ifndef AGENT_FETCH_H
#define AGENT_FETCH_H

#include "agent/s3.h"
#include "agent/transfer.h"

enum { FETCH_OBJECTS_MAX = 1000000 };

struct fetch_piece {
    const char *bucket, *key, *path;
    int64_t offset, size; /* size -1: the whole object, whatever its size */
};

struct fetch {
    const struct transfer *transfer;
    struct fetch_piece *pieces;
    int count, room;
};

struct s3 *fetch_client(const struct transfer *);

/* Does 'one' to each of the numbers from 0 on, several at a time, each thread with a client of its own; the first
 * failure ends it. */
int fetch_each(const struct transfer *, int count, int (*one)(void *data, int number, struct s3 *, struct err *err),
               void *data, struct err *err);

void fetch_add_piece(struct arena *, struct fetch *, const struct fetch_piece *);

/* The pieces of one object; makes the folders above the path. */
int fetch_add(struct arena *, struct fetch *, const char *bucket, const char *key, int64_t size, const char *path,
              struct err *err);

/* Everything that was added; the first failure ends it. */
int fetch_all(struct fetch *, struct err *err);

/* The path of an object below its channel's folder; NULL: a name that would lead out of it. */
const char *fetch_local_path(struct arena *, const char *prefix, const char *key);

#endif
