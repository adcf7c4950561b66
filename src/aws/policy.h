/* policy.h - IAM policies: may this principal do this to that?
 *
 * Documents are maps as JSON gave them. The order is AWS's: an explicit Deny wins; then each kind of policy that is
 * present (identity's, session's) must have an Allow. A document that cannot be understood allows nothing, and
 * policy_parse() keeps such documents out. */
#ifndef AWS_POLICY_H
#define AWS_POLICY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "doc/doc.h"

/* The condition keys that every request has. */
struct policy_caller {
    const char *arn, *account, *user_id;
    const char *source_ip, *region; /* "" where there is none */
    bool tls;
    int64_t now_ms;
};

/* A map of aws:username, aws:PrincipalArn, aws:PrincipalAccount, aws:PrincipalType, aws:userid, aws:SourceIp,
 * aws:SecureTransport, aws:CurrentTime, aws:EpochTime, aws:RequestedRegion. Add the request's own: doc_set(context,
 * "s3:prefix", ...). Values are strings, numbers and booleans, or lists of them. */
struct doc *policy_context(struct arena *, const struct policy_caller *);

struct policy_request {
    const struct doc *policies;       /* list of documents attached to the identity; NULL: none */
    const struct doc *session_policy; /* NULL: none */
    bool trusted;                     /* nothing is asked */
    const char *arn;                  /* for the text of a refusal */
    const char *action;               /* "sagemaker:CreateTrainingJob" */
    const char *resource;             /* an ARN, or "*" */
    const struct doc *context;        /* NULL: no keys */
};

enum policy_answer {
    POLICY_ALLOWED,
    POLICY_NOT_ALLOWED,             /* nobody said so */
    POLICY_NOT_ALLOWED_BY_SESSION,
    POLICY_DENIED,                  /* a Deny of the identity's policies */
    POLICY_DENIED_BY_SESSION,
};

enum policy_answer policy_evaluate(const struct policy_request *);

/* 0, or -1 with AWS's refusal: "User: ARN is not authorized to perform: ACTION on resource: ARN because ...". 'service'
 * is the signing name: S3 says "Access Denied", query services AccessDenied, the others AccessDeniedException. */
int policy_allow(const struct policy_request *, const char *service, struct err *err);

/* A policy that is attached to a thing and names principals: a role's trust policy, a bucket's policy. Who knocks is a
 * principal, or a service of the house ("sagemaker.amazonaws.com"), not both. */
struct policy_knock {
    const struct doc *document;
    const char *arn, *account; /* "" for a service */
    const char *service;       /* "" for a principal */
    const char *action;        /* "sts:AssumeRole" */
    const char *resource;      /* "": a trust policy, which has none */
    const struct doc *context; /* NULL: no keys */
};

/* POLICY_ALLOWED, POLICY_NOT_ALLOWED or POLICY_DENIED. *ret_named (may be NULL): the policy names this very principal;
 * when it is only its account that is allowed, the principal's own policies must allow it too. */
enum policy_answer policy_knocks(const struct policy_knock *, bool *ret_named);

/* Reads and checks a document: MalformedPolicyDocument, in IAM's words. An identity's policy names no principals, a
 * trust policy no resources. */
enum policy_kind { POLICY_IDENTITY, POLICY_TRUST, POLICY_RESOURCE };
int policy_parse(struct arena *, struct str text, enum policy_kind, struct doc **ret, struct err *err);

/* "*" is any run of bytes, "?" any one. */
bool policy_matches(struct str pattern, struct str text, bool nocase);

#endif
