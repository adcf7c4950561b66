/* blob.h - immutable files of bytes, named by uid, never by key: the bodies of objects.
 *
 * A blob is written under a temporary name and appears whole or not at all; it is on disk when it is published.
 * Reading and writing may happen on worker threads; the functions share nothing but the folder. Two blobs may have
 * equal contents. */
#ifndef STORE_BLOB_H
#define STORE_BLOB_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/rand.h"

enum { BLOB_UID_SIZE = 26 };

struct blobs;

/* 'reserve_bytes' of the file system are kept free for records: a write that would go below is ERR_UNAVAILABLE. */
int blobs_open(const char *folder, int64_t reserve_bytes, struct rand *, struct blobs **ret, struct err *err);
void blobs_free(struct blobs *);

/* Begins a blob: fills uid, returns a descriptor open for writing, or -1. */
int blob_create(struct blobs *, char ret_uid[static BLOB_UID_SIZE + 1], struct err *err);
int blob_has_room(struct blobs *, int64_t more_bytes, struct err *err);
int blob_publish(struct blobs *, const char *uid, int fd, struct err *err); /* rename, and fsync of all */
void blob_discard(struct blobs *, const char *uid);                        /* an unpublished one */

int blob_open(struct blobs *, const char *uid, int64_t *ret_size_bytes, struct err *err); /* a descriptor, or -1 */
int blob_remove(struct blobs *, const char *uid, struct err *err);                        /* not there is fine */

/* After a crash: unpublished ones are removed; each published uid is offered to 'keep', and removed when it says no. */
int blobs_collect(struct blobs *, bool (*keep)(void *context, const char *uid), void *context, int64_t *ret_removed,
                  struct err *err);

#endif
