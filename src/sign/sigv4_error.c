/* sigv4_error.c - what a client got wrong, in the words of the service that it asked.
 *
 * Codes and texts: "Error Responses" and "Authenticating Requests" of the S3 manual, "Common Errors" of the other
 * services' references, and what the services answer. */
#include "sign/sigv4_impl.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>

enum sigv4_family family_of(struct str service)
{
    static const struct str query[] = { { "iam", 3 },        { "sts", 3 },         { "ec2", 3 },
                                        { "sns", 3 },        { "monitoring", 10 }, { "autoscaling", 11 },
                                        { "cloudformation", 14 }, { "elasticloadbalancing", 20 }, { "rds", 3 },
                                        { "ses", 3 } };

    if (str_is(service, "s3") || str_is(service, "s3express"))
        return SIGV4_S3;
    for (size_t i = 0; i < sizeof query / sizeof *query; i++)
        if (str_eq(service, query[i]))
            return SIGV4_QUERY;
    return SIGV4_JSON;
}

enum sigv4_family sigv4_family(const char *service)
{
    return family_of(str_of(service));
}

int refuse(struct err *err, int http_status, const char *code, const char *format, ...)
{
    va_list ap;

    *err = (struct err){ .kind = http_status == 403 ? ERR_DENIED : ERR_INVALID, .http_status = http_status };
    snprintf(err->code, sizeof err->code, "%s", code);
    va_start(ap, format);
    vsnprintf(err->text, sizeof err->text, format, ap);
    va_end(ap);
    return -1;
}

int sigv4_refuse(struct err *err, const char *service, enum sigv4_refusal refusal)
{
    enum sigv4_family family = sigv4_family(service);

    switch (refusal) {
    case SIGV4_UNKNOWN_KEY:
        if (family == SIGV4_S3)
            return refuse(err, 403, "InvalidAccessKeyId",
                          "The AWS Access Key Id you provided does not exist in our records.");
        return refuse(err, 403, family == SIGV4_JSON ? "UnrecognizedClientException" : "InvalidClientTokenId",
                      "The security token included in the request is invalid.");
    case SIGV4_TOKEN_INVALID:
        if (family == SIGV4_S3)
            return refuse(err, 400, "InvalidToken", "The provided token is malformed or otherwise invalid.");
        return refuse(err, 403, family == SIGV4_JSON ? "UnrecognizedClientException" : "InvalidClientTokenId",
                      "The security token included in the request is invalid.");
    case SIGV4_TOKEN_EXPIRED:
        if (family == SIGV4_S3)
            return refuse(err, 400, "ExpiredToken", "The provided token has expired.");
        return refuse(err, 403, family == SIGV4_JSON ? "ExpiredTokenException" : "ExpiredToken",
                      "The security token included in the request is expired");
    case SIGV4_MISSING:
        if (family == SIGV4_S3)
            return refuse(err, 403, "AccessDenied", "Access Denied");
        if (family == SIGV4_QUERY)
            return refuse(err, 403, "MissingAuthenticationToken", "Request is missing Authentication Token");
        return refuse(err, 403, "MissingAuthenticationTokenException", "Missing Authentication Token");
    }
    assert(!"a refusal");
    return -1;
}

int incomplete(struct err *err, enum sigv4_family family, const char *what)
{
    if (family == SIGV4_S3)
        return refuse(err, 400, "AuthorizationHeaderMalformed", "The authorization header is malformed; %s", what);
    return refuse(err, 400, family == SIGV4_QUERY ? "IncompleteSignature" : "IncompleteSignatureException", "%s", what);
}

const char *mismatch_code(enum sigv4_family family)
{
    return family == SIGV4_JSON ? "InvalidSignatureException" : "SignatureDoesNotMatch";
}
