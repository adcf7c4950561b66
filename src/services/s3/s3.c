/* s3.c - the operations of Amazon S3 that are here.
 *
 * All of them are open to the engine, for S3 has policies on the other side too: bucket_open() and access_check() ask
 * the bucket's and the caller's together. 'action' and 'resource' are what they ask by default. */
#include "services/s3/s3.h"

#include "services/s3/bucket.h"
#include "services/s3/listing.h"
#include "services/s3/multipart.h"
#include "services/s3/object.h"
#include "services/s3/setting.h"
#include "services/s3/tagging.h"

#define BUCKET "arn:aws:s3:::{Bucket}"
#define OBJECT "arn:aws:s3:::{Bucket}/{Key}"
#define READS  OP_RUN, NULL, OP_READS | OP_OPEN
#define WRITES OP_RUN, NULL, OP_WRITES | OP_OPEN

static const struct op ops[] = {
    { "AbortMultipartUpload", abort_multipart_upload, WRITES, "s3:AbortMultipartUpload", OBJECT },
    { "CompleteMultipartUpload", complete_multipart_upload, WRITES, "s3:PutObject", OBJECT },
    { "CopyObject", copy_object, WRITES, "s3:PutObject", OBJECT },
    { "CreateBucket", create_bucket, WRITES, "s3:CreateBucket", BUCKET },
    { "CreateMultipartUpload", create_multipart_upload, WRITES, "s3:PutObject", OBJECT },
    { "DeleteBucket", delete_bucket, WRITES, "s3:DeleteBucket", BUCKET },
    { "DeleteBucketPolicy", delete_bucket_policy, WRITES, "s3:DeleteBucketPolicy", BUCKET },
    { "DeleteBucketTagging", delete_bucket_tagging, WRITES, "s3:PutBucketTagging", BUCKET },
    { "DeleteObject", delete_object, WRITES, "s3:DeleteObject", OBJECT },
    { "DeleteObjectTagging", delete_object_tagging, WRITES, "s3:DeleteObjectTagging", OBJECT },
    { "DeleteObjects", delete_objects, WRITES, "s3:DeleteObject", BUCKET }, /* asked for each key */
    { "DeletePublicAccessBlock", delete_public_access_block, WRITES, "s3:PutBucketPublicAccessBlock", BUCKET },
    { "GetBucketAccelerateConfiguration", get_unset, READS, "s3:GetAccelerateConfiguration", BUCKET },
    { "GetBucketAcl", get_bucket_acl, READS, "s3:GetBucketAcl", BUCKET },
    { "GetBucketCors", get_unset, READS, "s3:GetBucketCORS", BUCKET },
    { "GetBucketEncryption", get_unset, READS, "s3:GetEncryptionConfiguration", BUCKET },
    { "GetBucketLifecycle", get_unset, READS, "s3:GetLifecycleConfiguration", BUCKET },
    { "GetBucketLifecycleConfiguration", get_unset, READS, "s3:GetLifecycleConfiguration", BUCKET },
    { "GetBucketLocation", get_bucket_location, READS, "s3:GetBucketLocation", BUCKET },
    { "GetBucketLogging", get_unset, READS, "s3:GetBucketLogging", BUCKET },
    { "GetBucketNotificationConfiguration", get_unset, READS, "s3:GetBucketNotification", BUCKET },
    { "GetBucketOwnershipControls", get_bucket_ownership_controls, READS, "s3:GetBucketOwnershipControls", BUCKET },
    { "GetBucketPolicy", get_bucket_policy, READS, "s3:GetBucketPolicy", BUCKET },
    { "GetBucketPolicyStatus", get_bucket_policy_status, READS, "s3:GetBucketPolicyStatus", BUCKET },
    { "GetBucketReplication", get_unset, READS, "s3:GetReplicationConfiguration", BUCKET },
    { "GetBucketRequestPayment", get_bucket_request_payment, READS, "s3:GetBucketRequestPayment", BUCKET },
    { "GetBucketTagging", get_bucket_tagging, READS, "s3:GetBucketTagging", BUCKET },
    { "GetBucketVersioning", get_bucket_versioning, READS, "s3:GetBucketVersioning", BUCKET },
    { "GetBucketWebsite", get_unset, READS, "s3:GetBucketWebsite", BUCKET },
    { "GetObject", get_object, READS, "s3:GetObject", OBJECT },
    { "GetObjectAcl", get_object_acl, READS, "s3:GetObjectAcl", OBJECT },
    { "GetObjectAttributes", get_object_attributes, READS, "s3:GetObject", OBJECT },
    { "GetObjectLockConfiguration", get_unset, READS, "s3:GetBucketObjectLockConfiguration", BUCKET },
    { "GetObjectTagging", get_object_tagging, READS, "s3:GetObjectTagging", OBJECT },
    { "GetPublicAccessBlock", get_public_access_block, READS, "s3:GetBucketPublicAccessBlock", BUCKET },
    { "HeadBucket", head_bucket, READS, "s3:ListBucket", BUCKET },
    { "HeadObject", head_object, READS, "s3:GetObject", OBJECT },
    { "ListBuckets", list_buckets, READS, "s3:ListAllMyBuckets", "arn:aws:s3:::*" },
    { "ListMultipartUploads", list_multipart_uploads, READS, "s3:ListBucketMultipartUploads", BUCKET },
    { "ListObjectVersions", list_object_versions, READS, "s3:ListBucketVersions", BUCKET },
    { "ListObjects", list_objects, READS, "s3:ListBucket", BUCKET },
    { "ListObjectsV2", list_objects_v2, READS, "s3:ListBucket", BUCKET },
    { "ListParts", list_parts, READS, "s3:ListMultipartUploadParts", OBJECT },
    { "PutBucketAcl", put_bucket_acl, WRITES, "s3:PutBucketAcl", BUCKET },
    { "PutBucketOwnershipControls", put_bucket_ownership_controls, WRITES, "s3:PutBucketOwnershipControls", BUCKET },
    { "PutBucketPolicy", put_bucket_policy, WRITES, "s3:PutBucketPolicy", BUCKET },
    { "PutBucketTagging", put_bucket_tagging, WRITES, "s3:PutBucketTagging", BUCKET },
    { "PutBucketVersioning", put_bucket_versioning, WRITES, "s3:PutBucketVersioning", BUCKET },
    { "PutObject", put_object, WRITES, "s3:PutObject", OBJECT, .admit = admit_put_object },
    { "PutObjectAcl", put_object_acl, WRITES, "s3:PutObjectAcl", OBJECT },
    { "PutObjectTagging", put_object_tagging, WRITES, "s3:PutObjectTagging", OBJECT },
    { "PutPublicAccessBlock", put_public_access_block, WRITES, "s3:PutBucketPublicAccessBlock", BUCKET },
    { "UploadPart", upload_part, WRITES, "s3:PutObject", OBJECT, .admit = admit_upload_part },
    { "UploadPartCopy", upload_part_copy, WRITES, "s3:PutObject", OBJECT },
    {},
};

const struct service_ops s3_ops = { "s3", ops };
