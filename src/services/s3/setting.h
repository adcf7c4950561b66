/* setting.h - what a bucket is set to: versioning, policy, public access block; and what it is not. */
#ifndef S3_SETTING_H
#define S3_SETTING_H

#include "engine/call.h"

int get_bucket_versioning(struct call *, struct err *);
int put_bucket_versioning(struct call *, struct err *);
int get_bucket_policy(struct call *, struct err *);
int put_bucket_policy(struct call *, struct err *);
int delete_bucket_policy(struct call *, struct err *);
int get_bucket_policy_status(struct call *, struct err *);
int get_public_access_block(struct call *, struct err *);
int put_public_access_block(struct call *, struct err *);
int delete_public_access_block(struct call *, struct err *);
int get_bucket_acl(struct call *, struct err *);
int put_bucket_acl(struct call *, struct err *);
int get_object_acl(struct call *, struct err *);
int put_object_acl(struct call *, struct err *);
int get_bucket_ownership_controls(struct call *, struct err *);
int put_bucket_ownership_controls(struct call *, struct err *);
int get_bucket_request_payment(struct call *, struct err *);

/* Settings that no bucket of ours has: S3's answer for one that was never made, or an empty one. */
int get_unset(struct call *, struct err *);

#endif
