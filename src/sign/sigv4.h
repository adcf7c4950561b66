/* sigv4.h - AWS Signature Version 4, both ways, over requests as they stand on the wire.
 *
 * Verifying takes two steps, because the secret must be found between them:
 *
 *     sigv4_parse(arena, &request, "sagemaker", &claim, err)     who claims to be asking, and what the body must be
 *     ... find the secret of claim.access_key_id, open claim.session_token ...
 *     sigv4_verify(cache, &request, &claim, secret, body_sha256, now_ms, &seed, err)
 *
 * Nothing here knows sockets: a request is text. Failures carry AWS's code, words and HTTP status as the service
 * named by its signing name ("s3", "sagemaker", "iam") would answer them. */
#ifndef SIGN_SIGV4_H
#define SIGN_SIGV4_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"

/* How a service words its errors. */
enum sigv4_family { SIGV4_S3, SIGV4_JSON, SIGV4_QUERY };
enum sigv4_family sigv4_family(const char *service);

struct sigv4_header {
    struct str name; /* in any case */
    struct str value;
};

/* A request's head as received, or as it will be sent. */
struct sigv4_request {
    struct str method;
    struct str target; /* of the request line: path and query, still percent-encoded */
    const struct sigv4_header *headers; /* in their order, with duplicates */
    int header_count;
};

/* What the signature says of the body. */
enum sigv4_payload {
    SIGV4_BODY,                       /* nothing: hash the body before sigv4_verify */
    SIGV4_HASH,                       /* claim.body_sha256 is signed: the body must hash to it (sigv4_check_body) */
    SIGV4_UNSIGNED,                   /* UNSIGNED-PAYLOAD */
    SIGV4_STREAMING,                  /* STREAMING-AWS4-HMAC-SHA256-PAYLOAD: feed the body through chunked.h */
    SIGV4_STREAMING_TRAILER,          /* STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER: likewise */
    SIGV4_STREAMING_UNSIGNED_TRAILER, /* STREAMING-UNSIGNED-PAYLOAD-TRAILER: likewise */
};

/* Who a request claims to come from. Slices point into the request or the arena. */
struct sigv4_claim {
    struct str access_key_id;
    struct str date, region, service; /* of the credential scope; date is 20240229 */
    struct str signed_headers;        /* as sent: "host;x-amz-date" */
    struct str signature;             /* 64 hex digits */
    struct str session_token;         /* decoded; size 0: none */
    struct str amz_date;              /* 20240229T120000Z */
    int64_t signed_at_ms;
    bool presigned;
    int64_t expires_s; /* presigned only */
    enum sigv4_payload payload;
    struct str payload_text;          /* the last line of the canonical request; size 0 with SIGV4_BODY */
    unsigned char body_sha256[32];    /* with SIGV4_HASH */
};

/* 'service' is the signing name of what was asked, as far as it is known ("" is not): it chooses the words of an
 * error, and where it is not "" the scope must name it. */
int sigv4_parse(struct arena *, const struct sigv4_request *, const char *service, struct sigv4_claim *ret,
                struct err *err);

/* The same check on its own, for who learned the service from the request that was parsed with "". */
int sigv4_check_service(const struct sigv4_claim *, const char *service, struct err *err);

/* True when the request has neither an Authorization header nor a presigned query. */
bool sigv4_anonymous(const struct sigv4_request *);

/* Signing keys derived so far, and scratch memory. One a thread. */
struct sigv4_cache;
struct sigv4_cache *sigv4_cache_new(void);
void sigv4_cache_free(struct sigv4_cache *); /* NULL is fine */

/* What the signatures of a streamed body's chunks start from. */
struct sigv4_seed {
    unsigned char key[32]; /* the signing key */
    char amz_date[17];
    char scope[192]; /* 20240229/us-east-1/s3/aws4_request */
    char signature[65];
};

/* body_sha256 is asked with SIGV4_BODY only (NULL otherwise); ret_seed may be NULL. Checks time and signature, not
 * the body. */
int sigv4_verify(struct sigv4_cache *, const struct sigv4_request *, const struct sigv4_claim *, struct str secret,
                 const unsigned char *body_sha256, int64_t now_ms, struct sigv4_seed *ret_seed, struct err *err);

/* With SIGV4_HASH: the body that came in is the body that was signed. */
int sigv4_check_body(const struct sigv4_claim *, const unsigned char body_sha256[static 32], struct err *err);

/* Refusals that the caller finds out, in the words of the service. */
enum sigv4_refusal { SIGV4_UNKNOWN_KEY, SIGV4_TOKEN_INVALID, SIGV4_TOKEN_EXPIRED, SIGV4_MISSING };
int sigv4_refuse(struct err *err, const char *service, enum sigv4_refusal);

/* Signing. */
struct sigv4_credentials {
    struct str access_key_id, secret_access_key;
    struct str session_token; /* size 0: none */
};

struct sigv4_scope {
    const char *region, *service;
    int64_t now_ms;
};

/* Gives the headers to add to the request: X-Amz-Date, X-Amz-Content-Sha256, X-Amz-Security-Token, Authorization.
 * The request must have its Host header, and none of these. 'payload' is the hex SHA-256 of the body or one of the
 * words above. cache may be NULL. */
int sigv4_sign(struct arena *, struct sigv4_cache *, const struct sigv4_request *, const struct sigv4_credentials *,
               const struct sigv4_scope *, struct str payload, const struct sigv4_header **ret_headers);
enum { SIGV4_ADDED_MAX = 4 };

/* Gives the target with the X-Amz-* query of a presigned URL. Every header of the request is signed. 'payload': as
 * above; for S3 UNSIGNED-PAYLOAD is usual. */
char *sigv4_presign(struct arena *, const struct sigv4_request *, const struct sigv4_credentials *,
                    const struct sigv4_scope *, struct str payload, int64_t expires_s);

#endif
