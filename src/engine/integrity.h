/* integrity.h - what a client states about a body it sends, and what we measure of it.
 *
 * integrity_headers(), then integrity_update() over the bytes in order (any thread, one at a time),
 * integrity_trailers(), and integrity_finish() compares. A plain value: nothing to free. */
#ifndef ENGINE_INTEGRITY_H
#define ENGINE_INTEGRITY_H

#include "base/err.h"
#include "engine/call.h"
#include "sign/digest.h"

enum { CHECKSUM_MAX_SIZE = 32 };

/* The checksums that S3 keeps with an object. Ends with an empty row. */
struct checksum_kind {
    const char *name;   /* "CRC32C", as in ChecksumAlgorithm */
    const char *header; /* "x-amz-checksum-crc32c" */
    const char *member; /* "ChecksumCRC32C" */
    enum upload_digest digest;
    size_t size;
};
extern const struct checksum_kind checksum_kinds[];

const struct checksum_kind *checksum_kind_named(struct str name); /* in any case; NULL: none of ours */
const struct checksum_kind *checksum_kind_of(enum upload_digest); /* not of MD5 */
void checksum_value(const struct upload *, const struct checksum_kind *,
                    unsigned char *ret); /* as it goes on the wire */

struct integrity {
    struct upload measured; /* filled in by integrity_finish(); blob_uid stays NULL */
    int64_t stated_size;    /* -1: not known */
    bool ignores_checksums; /* x-amz-checksum-* is of something else; set it before integrity_headers() */
    bool md5_stated, payload_stated, value_stated, value_trails;
    const struct checksum_kind *checksum; /* the client's choice, or ours */
    unsigned char md5[MD5_SIZE], payload[SHA256_SIZE], value[CHECKSUM_MAX_SIZE];
    struct digest md5_state, sha1_state, sha256_state;
};

void integrity_start(struct integrity *);
/* 'otherwise': the checksum to measure when the client chose none, 0 for none. */
int integrity_headers(struct integrity *, const struct doc *headers, unsigned otherwise, struct err *err);
void integrity_update(struct integrity *, const void *data, size_t size);
int integrity_trailers(struct integrity *, const struct doc *trailers, struct err *err);
int integrity_finish(struct integrity *, struct err *err);

#endif
