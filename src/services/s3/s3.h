/* s3.h - Amazon S3: buckets, objects, versions, multipart uploads.
 *
 * The index lives in the store's ordered tables (key.h), bodies in immutable blobs named by uid. An object is a list of
 * pieces of blobs, so that completing a multipart upload and copying an object move no bytes. */
#ifndef S3_S3_H
#define S3_S3_H

#include <stdbool.h>

#include "engine/call.h"

extern const struct service_ops s3_ops;

/* For bodies_new(): 'store' is a struct store. */
bool s3_blob_referenced(void *store, const char *uid);

#endif
