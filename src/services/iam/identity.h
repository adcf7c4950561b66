/* identity.h - who a signature belongs to: keys, sessions, and the policies that come with them.
 *
 * The rest of the house asks here; only this folder knows the tables of IAM. Keys of users carry the user's policies,
 * the first key acts as a session of the execution role, a sealed token carries its role's. */
#ifndef SERVICES_IAM_IDENTITY_H
#define SERVICES_IAM_IDENTITY_H

#include "engine/call.h"
#include "services/platform.h"
#include "sign/sigv4.h"

struct store;

extern const struct service_ops iam_ops, sts_ops;

/* May the caller give this role to that service ("sagemaker.amazonaws.com")? Asks iam:PassRole, with
 * iam:PassedToService. */
int iam_check_pass_role(struct call *, const char *role_arn, const char *service, struct err *err);

struct identity_found {
    const char *secret_access_key;
    struct principal principal;
};

/* Whose claim it is: by access key, or by the token of the claim. -1 with the refusal in the words of 'service' (its
 * signing name): unknown or revoked key, forged or expired token. */
int identity_find(struct arena *, struct store *, struct platform *, const struct sigv4_claim *, const char *service,
                  int64_t now_ms, struct identity_found *ret, struct err *err);

/* The id of a role, which its sessions' tokens carry; "" when it is gone: such a token has no rights. */
int identity_role_id(struct arena *, struct store *, const char *role_arn, const char **ret, struct err *err);

/* Whether a service of the house that has taken the role on may do this to that: 0, or ERR_DENIED in AWS's words. A
 * role that is gone may do nothing. */
struct role_question {
    const char *role_arn, *session; /* "FIS" */
    const char *action, *resource, *region;
    int64_t now_ms;
};
int identity_role_may(struct arena *, struct store *, const struct role_question *, struct err *err);

/* Frees what identity_find() remembers in the platform. */
void identity_forget(struct platform *);

/* The identities' part of the routing snapshot: session_key, account, default_region, keys (as docs/ARCHITECTURE.md
 * says), and roles [{"arn","id","policies"}]: a session token's role_arn is one of them (or a user's ARN, for a user's
 * own session). */
int identity_snapshot(struct arena *, struct store *, struct platform *, struct doc **ret, struct err *err);

/* Grows with every change that identity_snapshot() would show, in this process; a caller compares it with the last. */
int64_t identity_revision(void);

/* First start, and harmless after it: the role SagebrushExecutionRole with its policy, and the first key (of
 * secrets/root-key.json, docs/ARCHITECTURE.md) as a session of that role, so that get_execution_role() of the SageMaker
 * SDK works unchanged. */
int identity_bootstrap(struct arena *, struct store *, struct platform *, int64_t now_ms, struct err *err);

/* Keys for the command line. Create: an empty access_key_id makes a fresh pair, a given pair is imported (ERR_CONFLICT
 * when the id is there); an empty user_name acts as the first key does, else as that user, made when missing. */
struct identity_key {
    const char *access_key_id, *secret_access_key, *user_name; /* in and out */
    const char *arn;                                           /* out */
};
int identity_key_create(struct arena *, struct store *, struct platform *, struct identity_key *, int64_t now_ms,
                        struct err *err);
int identity_key_revoke(struct arena *, struct store *, const char *access_key_id, struct err *err); /* ERR_NOT_FOUND */
/* A list of maps: access_key_id, arn, user_name, created_ms, active. No secrets. */
int identity_key_list(struct arena *, struct store *, struct doc **ret, struct err *err);

#endif
