/* version.h - the versions of an object: what was put under a key, and the markers that deletions leave.
 *
 * The newest version of a key is the object; when it is a delete marker there is none. In a bucket that never had
 * versioning there is at most one version, "null". */
#ifndef S3_VERSION_H
#define S3_VERSION_H

#include "services/s3/bucket.h"

struct piece;

struct version {
    struct str key;
    int64_t place;  /* in s3_objects: greater is newer */
    const char *id; /* "null", or 32 hex digits */
    bool marker;
    int64_t modified_ms, size_bytes;
    const char *etag; /* with its quotes; "" of a marker */
    const struct doc *record;
};

/* ERR_NOT_FOUND when the key was never used. May be a marker. */
int version_newest(struct call *, const struct bucket *, struct str key, struct version *ret, struct err *err);
int version_by_id(struct call *, const struct bucket *, struct str key, const char *id, struct version *ret,
                  struct err *err); /* NoSuchVersion */

/* The object that a request means: by id when that is not "", else the newest. NoSuchKey, NoSuchVersion,
 * MethodNotAllowed as S3 says them, with its headers. A caller who may not list the bucket is not told what is missing.
 */
int version_wanted(struct call *, const struct bucket *, struct str key, const char *id, struct version *ret,
                   struct err *err);

/* Puts a version on top; without versioning it takes the place of the "null" one. The record is what is kept: this adds
 * the id, the time and the pieces, which the caller has counted with pieces_hold() and which are dropped with the
 * version. */
int version_add(struct call *, const struct bucket *, struct str key, struct doc *record, const struct piece *,
                int count, struct version *ret, struct err *err);
int version_save(struct call *, const struct bucket *, const struct version *, struct doc *record, struct err *err);
int version_remove(struct call *, const struct bucket *, const struct version *, struct err *err);

/* Of a row of s3_objects. */
int version_of_row(struct arena *, struct str primary, struct str value, struct version *ret, struct err *err);

/* Where a version of that id stands, or stood; false: no id of ours. Not for "null". */
bool version_place_of_id(const char *id, int64_t *ret_place);

/* Sets VersionId in the output where S3 says it: not in buckets that never had versioning. */
void version_tell(struct call *, const struct bucket *, const struct version *, const char *member);

#endif
