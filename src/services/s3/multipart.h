/* multipart.h - objects that come in parts: begun, parts put or copied, completed or aborted. */
#ifndef S3_MULTIPART_H
#define S3_MULTIPART_H

#include "services/s3/bucket.h"

int create_multipart_upload(struct call *, struct err *);
int admit_upload_part(struct call *, struct err *);
int upload_part(struct call *, struct err *);
int upload_part_copy(struct call *, struct err *);
int complete_multipart_upload(struct call *, struct err *);
int abort_multipart_upload(struct call *, struct err *);
int list_parts(struct call *, struct err *);

int multipart_abort_all(struct call *, const struct bucket *, struct err *err); /* the bucket goes */

/* What the holder of an access key has begun below a prefix and will not end. Not there is fine. */
int multipart_abandon(struct arena *, struct engine *, const char *bucket, struct str prefix, const char *access_key_id,
                      struct err *);

#endif
