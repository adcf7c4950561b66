/* multipart_impl.h - an upload and its parts, for the files of multipart*.c.
 *
 * A row of s3_uploads is the upload: Initiated, Initiator, AccessKey (that the initiator had), Headers, Metadata, Tags,
 * StorageClass, ChecksumAlgorithm, ChecksumType, ChecksumStated. A row of s3_parts is a part: ETag, Size, LastModified,
 * Pieces or Manifest, Checksum. An upload's id begins with the time, so that those of one key stand in the order in
 * which they were begun. */
#ifndef S3_MULTIPART_IMPL_H
#define S3_MULTIPART_IMPL_H

#include "engine/integrity.h"
#include "services/s3/multipart.h"

enum { MULTIPART_PARTS_MOST = 10000 };

#define MULTIPART_PARTS "s3_parts"

struct multipart {
    struct bucket bucket;
    struct str key;
    const char *id;
    struct doc *record;
    const struct checksum_kind *checksum; /* NULL: none */
    bool full_object;     /* one checksum over all bytes, not one of the parts' */
    bool checksum_stated; /* the client chose it: then every part must have it */
};

struct part {
    int64_t number, size_bytes, modified_ms;
    const char *etag; /* bare */
    const struct doc *record;
};

/* The upload that the request names, if its caller may do that. */
int multipart_open(struct call *, const char *action, struct multipart *ret, struct err *err);

/* Its parts behind that number, in order, at most so many. */
int multipart_parts(struct call *, const char *id, int64_t after, int most, struct part **ret, int *ret_count,
                    struct err *err);
int multipart_part(struct call *, const char *id, int64_t number, struct part *ret, struct err *err);

/* The upload and its parts go, and what they hold is let go of: but not what the object has taken over, the parts in
 * 'taken' (in order, as 'parts' are). */
int multipart_erase(struct call *, const struct bucket *, struct str key, const char *id, const struct part *parts,
                    int count, const struct part *taken, int taken_count, struct err *err);

/* CRCs of parts can be joined to that of the whole. */
bool multipart_is_crc(const struct checksum_kind *);

#endif
