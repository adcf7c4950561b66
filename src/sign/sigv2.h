/* sigv2.h - presigned URLs of Signature Version 2, S3's old one: ?AWSAccessKeyId=...&Expires=...&Signature=...
 *
 * Only that form is here, and only verifying it: boto3's generate_presigned_url() still writes it by default where the
 * region is us-east-1. What came is a sigv4_claim like any other, presigned, with no region and an unsigned payload. */
#ifndef SIGN_SIGV2_H
#define SIGN_SIGV2_H

#include "sign/sigv4.h"

bool sigv2_presigned(const struct sigv4_request *);
int sigv2_parse(struct arena *, const struct sigv4_request *, struct sigv4_claim *ret, struct err *err);

/* 'bucket': the one that stands in the host name, size 0 when it stands in the path. */
int sigv2_verify(struct arena *, const struct sigv4_request *, const struct sigv4_claim *, struct str bucket,
                 struct str secret, int64_t now_ms, struct err *err);

/* The request's headers, with those that a presigned URL carries in its query: x-amz-meta-color=red, content-type=...
 */
const struct sigv4_header *sigv2_headers(struct arena *, const struct sigv4_request *, int *ret_count);

#endif
