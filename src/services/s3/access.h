/* access.h - may the caller do this to that bucket or object?
 *
 * The bucket's policy and the caller's own are asked together, as in AWS: a Deny of either wins; in one account the
 * Allow of either is enough; from another account both must allow. Requests without a signature never come this far. */
#ifndef S3_ACCESS_H
#define S3_ACCESS_H

#include "engine/call.h"

struct bucket;

/* 0, or AccessDenied. bucket NULL: there is none to have a policy. */
int access_check(struct call *, const struct bucket *, const char *action, const char *resource, struct err *err);

const char *access_arn(struct arena *, const char *bucket, struct str key); /* key size 0: the bucket's own ARN */

/* Reads a bucket policy that is to be kept: MalformedPolicy, and what this server cannot evaluate is refused. */
int access_policy_parse(struct arena *, struct str text, const char *bucket, struct doc **ret, bool *ret_public,
                        struct err *err);

/* A member of the input that asks for protection this server does not give (encryption keys, object lock, ACLs that
 * grant) is refused, never ignored. */
int access_refuse(struct call *, struct err *err);

#endif
