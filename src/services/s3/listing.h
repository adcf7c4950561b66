/* listing.h - keys, versions and uploads of a bucket, page by page. */
#ifndef S3_LISTING_H
#define S3_LISTING_H

#include "engine/call.h"

int list_objects(struct call *, struct err *);
int list_objects_v2(struct call *, struct err *);
int list_object_versions(struct call *, struct err *);
int list_multipart_uploads(struct call *, struct err *);

#endif
