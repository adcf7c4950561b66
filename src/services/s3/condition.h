/* condition.h - the conditions and ranges of HTTP, as S3 reads them. */
#ifndef S3_CONDITION_H
#define S3_CONDITION_H

#include "services/s3/version.h"

/* If-Match, If-None-Match, If-Modified-Since, If-Unmodified-Since of the input against an object that is read: 304 or
 * 412. 'prefix' is "CopySource" for a copy's source, where 304 does not exist; else "". */
int condition_read(struct call *, const struct version *, const char *prefix, struct err *err);

/* If-Match and If-None-Match of a write to that key. */
int condition_write(struct call *, const struct bucket *, struct str key, struct err *err);

/* "bytes=0-99" of an object of that size. *ret_partial false: no range, or one that HTTP says to ignore. InvalidRange.
 */
int range_read(const char *text, int64_t object_size, bool *ret_partial, int64_t *ret_offset, int64_t *ret_size,
               struct err *err);

#endif
