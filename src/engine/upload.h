/* upload.h - a request's body on its way into a blob: taken on the loop, written and measured on worker threads.
 *
 *     u = upload_new(loop, bodies, &events, x);
 *     upload_headers(u, headers, err)              Content-MD5, x-amz-checksum-*, x-amz-content-sha256, lengths,
 * trailers upload_write(u, data, size)                  for each piece (decoded, if it came aws-chunked); false: pause,
 *                                                  until events.room
 *     upload_trailers(u, trailers, err)            if there are any
 *     upload_finish(u)                             all of it came: events.done or events.failed
 *     upload_free(u)                               at any time, and always at the end
 *
 * The blob is on disk, whole and compared with everything the client stated about it, when 'done' is called; a body cut
 * short, a full disk, a wrong checksum leave nothing behind. After 'done' it belongs to nobody until a record refers to
 * it: upload_free() releases it, and the next bodies_sweep() removes it if none does. So free it after the commit
 * (or the failure) of the operation that got it, before the sweep. */
#ifndef ENGINE_UPLOAD_H
#define ENGINE_UPLOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"
#include "engine/bodies.h"
#include "engine/call.h"

struct uploading;

struct upload_events {
    void (*room)(void *owner);                        /* write on, after upload_write() said false */
    void (*done)(void *owner, const struct upload *); /* valid until upload_free() */
    void (*failed)(void *owner, const struct err *);  /* once, as soon as it is known, also before upload_finish();
                                                       * nothing is called after it. The error has AWS's code */
};

/* No call of an event comes from inside a function of this header. */
struct uploading *upload_new(struct loop *, struct bodies *, const struct upload_events *, void *owner);

/* Before the first write: which digests are wanted (MD5 always), and what the client stated. 'headers': a map of
 * lower-case names. Without a checksum of the client's we measure CRC-64/NVME, as S3 does. */
int upload_headers(struct uploading *, const struct doc *headers, struct err *err);

bool upload_write(struct uploading *, const void *data, size_t size);
int upload_trailers(struct uploading *, const struct doc *trailers, struct err *err); /* before upload_finish() */
void upload_finish(struct uploading *);
void upload_free(struct uploading *); /* NULL is fine; unfinished: the blob is discarded, and no event comes */

/* The same for a body that is in memory (PutBucketTagging, DeleteObjects): compares it with what the headers and
 * trailers (NULL: none) state. Where x-amz-checksum-* is of something else (CompleteMultipartUpload states the
 * object's), leave checksum_headers false. */
int upload_check_body(const struct doc *headers, const struct doc *trailers, struct str body, bool checksum_headers,
                      struct err *err);

#endif
