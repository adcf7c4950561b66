/* key.h - the primary keys of S3's ordered tables.
 *
 *     s3_buckets    bucket
 *     s3_objects    bucket 0 key 0 place(8)     every version and delete marker, the newest of a key first
 *     s3_uploads    bucket 0 key 0 upload id    multipart uploads under way
 *     s3_parts      upload id 0 number(8)
 *     s3_manifests  uid                         the pieces of an object that has many
 *     s3_blobs      blob uid                    how many pieces of objects and parts lie in the blob
 *
 * Neither a bucket's name nor a key contains a NUL (refused at the door), so memcmp order is AWS's order of listing:
 * buckets apart, keys by their UTF-8 bytes. */
#ifndef S3_KEY_H
#define S3_KEY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/str.h"

/* Of a version: its place among the versions of the key. A greater place is newer, and comes first in the table. */
struct str key_of_version(struct arena *, const char *bucket, struct str key, int64_t place);
struct str key_of_upload(struct arena *, const char *bucket, struct str key, const char *upload_id);
struct str key_of_part(struct arena *, const char *upload_id, int64_t number);

/* The beginning that all versions or uploads of these have in common: of a bucket, and of one key in it. */
struct str key_of_bucket(struct arena *, const char *bucket);
struct str key_of_object(struct arena *, const char *bucket, struct str key);

/* Of keys whose name starts with 'prefix': not ended by a NUL. */
struct str key_of_prefix(struct arena *, const char *bucket, struct str prefix);

/* Takes a primary key of s3_objects or s3_uploads apart. What follows the name is the place or the upload id. */
void key_split(struct str primary, struct str *ret_key, struct str *ret_rest);
int64_t key_place(struct str rest);

#endif
