/* object.h - objects: put, read, described, deleted, copied. */
#ifndef S3_OBJECT_H
#define S3_OBJECT_H

#include "services/s3/version.h"

/* What a Put, Copy or CreateMultipartUpload says about the object beside its bytes: Headers, Metadata, Tags,
 * StorageClass. */
int object_record(struct call *, struct doc **ret, struct err *err);

/* A checksum as a record keeps it: {Algorithm, Value, Type}. */
struct doc *object_checksum(struct arena *, const char *algorithm, const void *value, size_t size, const char *type);
struct doc *object_checksum_of_upload(struct arena *, const struct upload *);
void object_tell_checksum(struct arena *, const struct doc *checksum, struct doc *into); /* NULL: nothing */

/* ETags are bare. Of pieces: what is no MD5, and names these bytes of these blobs. */
char *object_etag(struct arena *, const unsigned char md5[static 16]);
char *object_etag_of_pieces(struct arena *, const struct piece *, int count);
char *object_etag_of_upload(struct arena *, const struct upload *);

/* May the caller tag what it writes? Asked when it sends tags. */
int object_check_tagging(struct call *, const struct bucket *, const struct doc *record, struct err *err);

/* CopySource and its conditions: the object is there and may be read. */
struct source {
    struct bucket bucket;
    struct version version;
    struct piece *pieces;
    int piece_count;
    bool by_id; /* versionId was given */
};
int source_open(struct call *, struct source *ret, struct err *err);

int admit_put_object(struct call *, struct err *);
int put_object(struct call *, struct err *);
int get_object(struct call *, struct err *);
int head_object(struct call *, struct err *);
int get_object_attributes(struct call *, struct err *);
int copy_object(struct call *, struct err *);
int delete_object(struct call *, struct err *);
int delete_objects(struct call *, struct err *);

#endif
