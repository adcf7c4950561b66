/* download.h - pieces of blobs on their way out as a response: read on worker threads, given out on the loop.
 *
 *     d = download_new(loop, bodies, &call.download, &events, x);   right after engine_run: the blobs are pinned now
 *     download_start(d);                                            after the commit, with the head of the answer
 *     download_free(d);                                             at any time, and always at the end
 *
 * While one chunk is sent the next is read. */
#ifndef ENGINE_DOWNLOAD_H
#define ENGINE_DOWNLOAD_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "engine/bodies.h"
#include "engine/call.h"

struct downloading;

struct download_events {
    /* The bytes are lent until it returns. Returns how many bytes now wait to be sent (http_answer_write's result):
     * with more than 256 KB no more comes until download_go_on(). */
    size_t (*data)(void *owner, const void *data, size_t size);
    /* NULL: all was given. Otherwise a blob could not be read, and the answer has to be cut. Called once. */
    void (*end)(void *owner, const struct err *);
};

/* The pieces are copied. No event comes from inside a function of this header. */
struct downloading *download_new(struct loop *, struct bodies *, const struct download *,
                                 const struct download_events *, void *owner);
int64_t download_size_bytes(const struct downloading *);
void download_start(struct downloading *);
void download_go_on(struct downloading *); /* what waited has left ('drained'); again or without need is fine */
void download_free(struct downloading *);  /* NULL is fine; no event comes after it */

#endif
