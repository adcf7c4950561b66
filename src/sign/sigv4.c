/* sigv4.c - the canonical request, the string to sign, the key; and what a client can get wrong about them.
 *
 * Clients disagree about how an unusual character of the target is written when it is signed: as it stands on the
 * wire, or in the one form that RFC 3986 prefers. Both name the same resource, so both are tried, the preferred first.
 *
 * Codes and texts: "Error Responses" and "Authenticating Requests" of the S3 manual, "Common Errors" of the other
 * services' references, and what the services answer. */
#include "sign/sigv4.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "sign/digest.h"

#define ALGORITHM "AWS4-HMAC-SHA256"
#define WEEK_S    604800

enum { SKEW_MS = 15 * 60 * 1000, CACHE_SLOTS = 256, SECRET_MAX = 128, SCOPE_MAX = 192 };

/* --- Errors --- */

static enum sigv4_family family_of(struct str service)
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

static int refuse(struct err *err, int http_status, const char *code, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

static int refuse(struct err *err, int http_status, const char *code, const char *format, ...)
{
    va_list ap;

    *err = (struct err){ .kind = http_status == 403 ? ERR_DENIED : ERR_INVALID, .http_status = http_status };
    snprintf(err->code, sizeof err->code, "%s", code);
    va_start(ap, format);
    vsnprintf(err->text, sizeof err->text, format, ap);
    va_end(ap);
    return -1;
}

int sigv4_refuse(struct err *err, const char *service, enum sigv4_refusal refusal, struct str access_key_id)
{
    enum sigv4_family family = sigv4_family(service);

    (void)access_key_id;
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

static int incomplete(struct err *err, enum sigv4_family family, const char *what)
{
    if (family == SIGV4_S3)
        return refuse(err, 400, "AuthorizationHeaderMalformed", "The authorization header is malformed; %s", what);
    return refuse(err, 400, family == SIGV4_QUERY ? "IncompleteSignature" : "IncompleteSignatureException", "%s", what);
}

static const char *mismatch_code(enum sigv4_family family)
{
    return family == SIGV4_JSON ? "InvalidSignatureException" : "SignatureDoesNotMatch";
}

/* 2024-02-29T12:00:00Z as 20240229T120000Z. */
static void basic_time(char ret[static 17], int64_t ms)
{
    _cleanup_arena_ struct arena *a = arena_new();
    char *out = ret;

    for (const char *p = time_iso8601(a, ms, false); *p && out < ret + 16; p++)
        if (*p != '-' && *p != ':')
            *out++ = *p;
    *out = '\0';
}

/* --- Parts of a request --- */

static const struct sigv4_header *find_header(const struct sigv4_request *r, const char *name, int *ret_count)
{
    const struct sigv4_header *found = NULL;

    *ret_count = 0;
    for (int i = 0; i < r->header_count; i++)
        if (str_is_nocase(r->headers[i].name, name)) {
            if (!found)
                found = &r->headers[i];
            (*ret_count)++;
        }
    return found;
}

/* The first one's value, trimmed; size 0 when there is none. */
static struct str header_value(const struct sigv4_request *r, const char *name)
{
    int count;
    const struct sigv4_header *h = find_header(r, name, &count);

    return h ? str_trim(h->value) : (struct str){ 0 };
}

static struct str path_of(const struct sigv4_request *r)
{
    struct str path, query;

    return str_cut(r->target, '?', &path, &query) ? path : r->target;
}

static struct str query_of(const struct sigv4_request *r)
{
    struct str path, query = { 0 };

    return str_cut(r->target, '?', &path, &query) ? query : (struct str){ 0 };
}

/* Takes the next "name=value" off the query; false at the end. */
static bool next_parameter(struct str *query, struct str *ret_name, struct str *ret_value)
{
    while (query->size) {
        struct str piece = *query, rest = { 0 };

        str_cut(*query, '&', &piece, &rest);
        *query = rest;
        if (piece.size == 0)
            continue;
        *ret_name = piece;
        *ret_value = (struct str){ 0 };
        str_cut(piece, '=', ret_name, ret_value);
        return true;
    }
    return false;
}

/* The decoded value; false when there is no such parameter. */
static bool parameter(struct arena *a, const struct sigv4_request *r, const char *name, struct str *ret)
{
    struct str query = query_of(r), key, value;

    while (next_parameter(&query, &key, &value))
        if (str_is(key, name)) {
            *ret = uri_decode(a, value, false);
            return true;
        }
    return false;
}

bool sigv4_anonymous(const struct sigv4_request *r)
{
    struct str query = query_of(r), key, value;
    int count;

    if (find_header(r, "authorization", &count))
        return false;
    while (next_parameter(&query, &key, &value))
        if (str_is(key, "X-Amz-Algorithm") || str_is(key, "X-Amz-Signature") || str_is(key, "X-Amz-Credential"))
            return false;
    return true;
}

/* --- Who claims to be asking --- */

/* Credential=AKIA.../20240229/us-east-1/s3/aws4_request. Taken from the right: an imported key may hold a slash. */
static bool split_credential(struct str credential, struct sigv4_claim *c, struct str *ret_terminator)
{
    struct str *const parts[] = { ret_terminator, &c->service, &c->region, &c->date };

    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        size_t at = credential.size;

        while (at > 0 && credential.data[at - 1] != '/')
            at--;
        if (at == 0)
            return false;
        *parts[i] = (struct str){ credential.data + at, credential.size - at };
        credential.size = at - 1;
    }
    c->access_key_id = credential;
    return credential.size > 0 && c->date.size + c->region.size + c->service.size + 16 < SCOPE_MAX;
}

int sigv4_check_service(const struct sigv4_claim *c, const char *service, struct err *err)
{
    enum sigv4_family family = sigv4_family(service);

    if (str_is(c->service, service))
        return 0;
    if (family == SIGV4_S3)
        return refuse(err, 400, "AuthorizationHeaderMalformed",
                      "The authorization header is malformed; incorrect service \"" STR_FMT
                      "\". This endpoint belongs to \"%s\".", STR_ARG(c->service), service);
    return refuse(err, 403, mismatch_code(family), "Credential should be scoped to correct service: '%s'. ", service);
}

static int check_scope(const struct sigv4_claim *c, struct str terminator, const char *service,
                       enum sigv4_family family, struct err *err)
{
    if (!str_is(terminator, "aws4_request"))
        return refuse(err, family == SIGV4_S3 ? 400 : 403,
                      family == SIGV4_S3 ? "AuthorizationHeaderMalformed" : mismatch_code(family),
                      "Credential should be scoped with a valid terminator: 'aws4_request', not '" STR_FMT "'.",
                      STR_ARG(terminator));
    if (c->date.size != 8)
        return refuse(err, family == SIGV4_S3 ? 400 : 403,
                      family == SIGV4_S3 ? "AuthorizationHeaderMalformed" : mismatch_code(family),
                      "Date in Credential scope does not match the form YYYYMMDD: '" STR_FMT "'", STR_ARG(c->date));
    if (*service && sigv4_check_service(c, service, err) < 0)
        return -1;
    /* With nothing else said of a request, the scope's service is what it is for. */
    if (c->service.size == 0 || c->region.size == 0)
        return incomplete(err, family, "the Credential is mal-formed; expecting "
                                       "\"<YOUR-AKID>/YYYYMMDD/REGION/SERVICE/aws4_request\".");
    return 0;
}

static int parse_authorization(struct arena *a, struct str text, struct sigv4_claim *c, struct str *ret_terminator,
                               enum sigv4_family family, struct err *err)
{
    struct str rest = { text.data + strlen(ALGORITHM), text.size - strlen(ALGORITHM) };
    struct str credential = { 0 };
    _cleanup_buf_ struct buf missing = { 0 };

    rest = str_trim(rest);
    while (rest.size) {
        struct str piece = rest, after = { 0 }, name, value;

        str_cut(rest, ',', &piece, &after);
        rest = after;
        piece = str_trim(piece);
        if (!str_cut(piece, '=', &name, &value))
            continue;
        if (str_is(name, "Credential"))
            credential = value;
        else if (str_is(name, "SignedHeaders"))
            c->signed_headers = value;
        else if (str_is(name, "Signature"))
            c->signature = value;
    }
    if (!credential.size)
        buf_append_str(&missing, "Authorization header requires 'Credential' parameter. ");
    if (!c->signature.size)
        buf_append_str(&missing, "Authorization header requires 'Signature' parameter. ");
    if (!c->signed_headers.size)
        buf_append_str(&missing, "Authorization header requires 'SignedHeaders' parameter. ");
    if (missing.size) {
        buf_printf(&missing, "Authorization=%s", ALGORITHM);
        return incomplete(err, family, missing.data);
    }
    if (!split_credential(credential, c, ret_terminator))
        return incomplete(err, family, "the Credential is mal-formed; expecting "
                                       "\"<YOUR-AKID>/YYYYMMDD/REGION/SERVICE/aws4_request\".");
    return 0;
}

static int parse_presigned(struct arena *a, const struct sigv4_request *r, struct sigv4_claim *c,
                           struct str *ret_terminator, enum sigv4_family family, struct err *err)
{
    struct str algorithm = { 0 }, credential = { 0 }, expires = { 0 };
    bool has_expires = parameter(a, r, "X-Amz-Expires", &expires);

    if (!parameter(a, r, "X-Amz-Algorithm", &algorithm) || !parameter(a, r, "X-Amz-Credential", &credential) ||
        !parameter(a, r, "X-Amz-Signature", &c->signature) || !parameter(a, r, "X-Amz-Date", &c->amz_date) ||
        !parameter(a, r, "X-Amz-SignedHeaders", &c->signed_headers) || (!has_expires && family == SIGV4_S3)) {
        if (family == SIGV4_S3)
            return refuse(err, 400, "AuthorizationQueryParametersError",
                          "Query-string authentication version 4 requires the X-Amz-Algorithm, X-Amz-Credential, "
                          "X-Amz-Signature, X-Amz-Date, X-Amz-SignedHeaders, and X-Amz-Expires parameters.");
        return incomplete(err, family,
                          "AWS query-string parameters must include 'X-Amz-Algorithm', 'X-Amz-Credential', "
                          "'X-Amz-Signature', 'X-Amz-SignedHeaders' and 'X-Amz-Date'. Re-examine the "
                          "query-string parameters.");
    }
    if (!str_is(algorithm, ALGORITHM))
        return refuse(err, 400, family == SIGV4_S3 ? "AuthorizationQueryParametersError" : "IncompleteSignature",
                      "X-Amz-Algorithm only supports \"AWS4-HMAC-SHA256\"");
    if (!split_credential(credential, c, ret_terminator))
        return refuse(err, 400, family == SIGV4_S3 ? "AuthorizationQueryParametersError" : "IncompleteSignature",
                      "Error parsing the X-Amz-Credential parameter; the Credential is mal-formed; expecting "
                      "\"<YOUR-AKID>/YYYYMMDD/REGION/SERVICE/aws4_request\".");
    c->presigned = true;
    c->expires_s = SKEW_MS / 1000;
    if (has_expires) {
        if (!str_to_int64(expires, &c->expires_s))
            return refuse(err, 400, "AuthorizationQueryParametersError", "X-Amz-Expires should be a number");
        if (c->expires_s < 0)
            return refuse(err, 400, "AuthorizationQueryParametersError", "X-Amz-Expires must be non-negative");
        if (c->expires_s > WEEK_S)
            return refuse(err, 400, "AuthorizationQueryParametersError",
                          "X-Amz-Expires must be less than a week (in seconds) that is 604800");
    }
    parameter(a, r, "X-Amz-Security-Token", &c->session_token);
    return 0;
}

/* X-Amz-Date, or else Date in either form. */
static int parse_date(struct arena *a, const struct sigv4_request *r, struct sigv4_claim *c, enum sigv4_family family,
                      struct err *err)
{
    if (!c->presigned)
        c->amz_date = header_value(r, "x-amz-date");
    if (!c->presigned && !c->amz_date.size) {
        struct str date = header_value(r, "date");
        int64_t at_ms;

        if (time_parse_http(date, &at_ms) || time_parse_iso8601(date, &at_ms)) {
            char *basic = arena_alloc(a, 17);

            basic_time(basic, at_ms);
            c->amz_date = str_of(basic);
        }
    }
    if (c->amz_date.size != 16 || !time_parse_iso8601(c->amz_date, &c->signed_at_ms)) {
        if (c->presigned)
            return refuse(err, 400, family == SIGV4_S3 ? "AuthorizationQueryParametersError" : "IncompleteSignature",
                          "X-Amz-Date must be in the ISO8601 Long Format \"yyyyMMdd'T'HHmmss'Z'\"");
        if (family == SIGV4_S3)
            return refuse(err, 403, "AccessDenied", "AWS authentication requires a valid Date or x-amz-date header");
        return incomplete(err, family, "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' "
                                       "header. Date must be in ISO-8601 'basic format'.");
    }
    if (memcmp(c->date.data, c->amz_date.data, 8) != 0) {
        if (family == SIGV4_S3)
            return refuse(err, 400, c->presigned ? "AuthorizationQueryParametersError" : "AuthorizationHeaderMalformed",
                          "Invalid credential date \"" STR_FMT "\". This date is not the same as X-Amz-Date: \"%.8s\".",
                          STR_ARG(c->date), c->amz_date.data);
        return refuse(
            err, 403, mismatch_code(family),
            "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '" STR_FMT
            "' != '%.8s', from '" STR_FMT "'.",
            STR_ARG(c->date), c->amz_date.data, STR_ARG(c->amz_date));
    }
    return 0;
}

static bool is_signed(const struct sigv4_claim *c, struct str name)
{
    struct str rest = c->signed_headers;

    while (rest.size) {
        struct str piece = rest, after = { 0 };

        str_cut(rest, ';', &piece, &after);
        rest = after;
        /* The list is in lower case (check_signed_headers), the name perhaps not. */
        if (piece.size == name.size && strncasecmp(piece.data, name.data, name.size) == 0)
            return true;
    }
    return false;
}

/* Strictly ascending, as the specification has it: a name that came twice would let a small head ask for a huge
 * canonical request. */
static int check_signed_headers(const struct sigv4_request *r, const struct sigv4_claim *c, enum sigv4_family family,
                                struct err *err)
{
    struct str rest = c->signed_headers, before = { 0 };

    while (rest.size) {
        struct str piece = rest, after = { 0 };

        str_cut(rest, ';', &piece, &after);
        rest = after;
        for (size_t i = 0; i < piece.size; i++)
            if (piece.data[i] >= 'A' && piece.data[i] <= 'Z')
                return incomplete(err, family, "SignedHeaders must be in lower case.");
        if (before.size && str_compare(before, piece) >= 0)
            return incomplete(err, family, "SignedHeaders must be sorted by name, each once.");
        before = piece;
    }
    if (!is_signed(c, STR("host")))
        return refuse(err, 403, family == SIGV4_S3 ? "AccessDenied" : mismatch_code(family),
                      "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.");
    for (int i = 0; i < r->header_count; i++) {
        struct str name = r->headers[i].name;
        bool matters = name.size >= 6 && strncasecmp(name.data, "x-amz-", 6) == 0;

        /* The payload line of the canonical request binds the first in any case. Others than S3 are asked for what
         * chooses the operation and the identity only. */
        if (str_is_nocase(name, "x-amz-content-sha256"))
            continue;
        if (family != SIGV4_S3)
            matters = str_is_nocase(name, "x-amz-target") || (str_is_nocase(name, "x-amz-date") && !c->presigned);
        if (!matters || is_signed(c, name))
            continue;
        if (family == SIGV4_S3)
            return refuse(err, 403, "AccessDenied", "There were headers present in the request which were not signed");
        return refuse(err, 403, mismatch_code(family),
                      "'" STR_FMT "' must be a 'SignedHeader' in the AWS Authorization.", STR_ARG(name));
    }
    return 0;
}

static int parse_payload(struct arena *a, const struct sigv4_request *r, struct sigv4_claim *c,
                         enum sigv4_family family, struct err *err)
{
    static const struct {
        const char *text;
        enum sigv4_payload payload;
    } words[] = {
        { "UNSIGNED-PAYLOAD", SIGV4_UNSIGNED },
        { "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", SIGV4_STREAMING },
        { "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER", SIGV4_STREAMING_TRAILER },
        { "STREAMING-UNSIGNED-PAYLOAD-TRAILER", SIGV4_STREAMING_UNSIGNED_TRAILER },
    };
    struct str text = { 0 };

    /* In a presigned URL the header counts only where the URL's maker signed it. */
    if (!c->presigned || (!parameter(a, r, "X-Amz-Content-Sha256", &text) && is_signed(c, STR("x-amz-content-sha256"))))
        text = header_value(r, "x-amz-content-sha256");
    c->payload = SIGV4_BODY;
    if (!text.size) {
        if (family != SIGV4_S3)
            return 0;
        if (!c->presigned)
            return refuse(err, 400, "InvalidRequest", "Missing required header for this request: x-amz-content-sha256");
        text = STR("UNSIGNED-PAYLOAD");
    }
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (str_is(text, words[i].text) && (family == SIGV4_S3 || words[i].payload == SIGV4_UNSIGNED)) {
            c->payload = words[i].payload;
            c->payload_text = text;
            return 0;
        }
    if (text.size == 64 && hex_decode(c->body_sha256, text)) {
        c->payload = SIGV4_HASH;
        c->payload_text = text;
        return 0;
    }
    if (family != SIGV4_S3)
        return 0;
    return refuse(
        err, 400, "InvalidArgument",
        "x-amz-content-sha256 must be UNSIGNED-PAYLOAD, STREAMING-UNSIGNED-PAYLOAD-TRAILER, "
        "STREAMING-AWS4-HMAC-SHA256-PAYLOAD, STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER, "
        "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD, STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD-TRAILER or a valid "
        "sha256 value.");
}

int sigv4_parse(struct arena *a, const struct sigv4_request *r, const char *service, struct sigv4_claim *ret,
                struct err *err)
{
    enum sigv4_family family = sigv4_family(service);
    struct sigv4_claim c = { 0 };
    struct str terminator = { 0 }, authorization, unused;
    int count;
    bool has_query = parameter(a, r, "X-Amz-Algorithm", &unused) || parameter(a, r, "X-Amz-Signature", &unused) ||
                     parameter(a, r, "X-Amz-Credential", &unused);

    find_header(r, "authorization", &count);
    authorization = header_value(r, "authorization");
    if (count + has_query > 1) {
        if (family == SIGV4_S3)
            return refuse(err, 400, "InvalidArgument",
                          "Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter, Signature query "
                          "string parameter or the Authorization header should be specified");
        return incomplete(err, family, "A request is signed once: by one Authorization header or by its query.");
    }
    if (!count && !has_query)
        return sigv4_refuse(err, service, SIGV4_MISSING, (struct str){ 0 });
    if (has_query) {
        if (parse_presigned(a, r, &c, &terminator, family, err) < 0)
            return -1;
    } else {
        if (!str_starts(authorization, ALGORITHM " ")) {
            if (family == SIGV4_S3 && (str_starts(authorization, "AWS ") || str_starts(authorization, "AWS4-")))
                return refuse(err, 400, "InvalidRequest",
                              "The authorization mechanism you have provided is not supported. Please use "
                              "AWS4-HMAC-SHA256.");
            if (family == SIGV4_S3)
                return refuse(err, 400, "InvalidArgument", "Unsupported Authorization Type");
            return incomplete(err, family, "The Authorization header must begin with 'AWS4-HMAC-SHA256'.");
        }
        if (parse_authorization(a, authorization, &c, &terminator, family, err) < 0)
            return -1;
        c.session_token = header_value(r, "x-amz-security-token");
    }
    /* From here on the scope itself says which service's words to use, where the caller could not. */
    if (!*service)
        family = family_of(c.service);
    if (check_scope(&c, terminator, service, family, err) < 0 || parse_date(a, r, &c, family, err) < 0 ||
        check_signed_headers(r, &c, family, err) < 0 || parse_payload(a, r, &c, family, err) < 0)
        return -1;
    *ret = c;
    return 0;
}

/* --- The arithmetic --- */

struct pair_at { /* of an encoded parameter, in cache->encoded */
    uint32_t name, name_size, value, value_size;
};

struct sigv4_cache {
    struct slot {
        char scope[SCOPE_MAX];
        char secret[SECRET_MAX];
        size_t secret_size;
        unsigned char key[SHA256_SIZE];
    } slots[CACHE_SLOTS];
    /* Scratch, kept between requests. */
    struct buf canonical, other, encoded, decoded;
    struct pair_at *pairs;
    size_t pair_capacity;
};

struct sigv4_cache *sigv4_cache_new(void)
{
    struct sigv4_cache *c = calloc(1, sizeof *c);

    assert(c && "out of memory");
    return c;
}

void sigv4_cache_free(struct sigv4_cache *c)
{
    if (!c)
        return;
    buf_free(&c->canonical);
    buf_free(&c->other);
    buf_free(&c->encoded);
    buf_free(&c->decoded);
    free(c->pairs);
    explicit_bzero(c->slots, sizeof c->slots);
    free(c);
}

static void derive_key(unsigned char ret[static SHA256_SIZE], struct str secret, struct str date, struct str region,
                       struct str service)
{
    char first[4 + 4096] = "AWS4";

    assert(secret.size <= sizeof first - 4 && "a secret access key has at most 128 characters");
    memcpy(first + 4, secret.data, secret.size);
    hmac_sha256(ret, first, 4 + secret.size, date.data, date.size);
    hmac_sha256(ret, ret, SHA256_SIZE, region.data, region.size);
    hmac_sha256(ret, ret, SHA256_SIZE, service.data, service.size);
    hmac_sha256(ret, ret, SHA256_SIZE, "aws4_request", 12);
    explicit_bzero(first, sizeof first);
}

static char *put(char *at, struct str text)
{
    memcpy(at, text.data, text.size);
    return at + text.size;
}

static void scope_text(char ret[static SCOPE_MAX], struct str date, struct str region, struct str service)
{
    char *at = ret;

    assert(date.size + region.size + service.size + 16 < SCOPE_MAX);
    at = put(at, date);
    *at++ = '/';
    at = put(at, region);
    *at++ = '/';
    at = put(at, service);
    at = put(at, STR("/aws4_request"));
    *at = '\0';
}

static const unsigned char *signing_key(struct sigv4_cache *cache, struct str secret, const char *scope,
                                        struct str date, struct str region, struct str service)
{
    uint64_t hash = 14695981039346656037u; /* FNV-1a */
    struct slot *s;

    for (const char *p = scope; *p; p++)
        hash = (hash ^ (unsigned char)*p) * 1099511628211u;
    for (size_t i = 0; i < secret.size; i++)
        hash = (hash ^ (unsigned char)secret.data[i]) * 1099511628211u;
    s = &cache->slots[(hash ^ hash >> 32) % CACHE_SLOTS];
    if (s->secret_size == secret.size && secret.size && memcmp(s->secret, secret.data, secret.size) == 0 &&
        strcmp(s->scope, scope) == 0)
        return s->key;
    derive_key(s->key, secret, date, region, service);
    s->secret_size = 0; /* too long to be kept: derived each time */
    if (secret.size <= sizeof s->secret) {
        memcpy(s->secret, secret.data, secret.size);
        s->secret_size = secret.size;
        memcpy(s->scope, scope, strlen(scope) + 1);
    }
    return s->key;
}

static int compare_bytes(const char *a, size_t a_size, const char *b, size_t b_size)
{
    int c = memcmp(a, b, a_size < b_size ? a_size : b_size);

    return c ? c : (a_size > b_size) - (a_size < b_size);
}

static int compare_pairs(const void *a, const void *b, void *base)
{
    const struct pair_at *x = a, *y = b;
    const char *text = base;
    int c = compare_bytes(text + x->name, x->name_size, text + y->name, y->name_size);

    return c ? c : compare_bytes(text + x->value, x->value_size, text + y->value, y->value_size);
}

/* Decodes into cache->decoded and encodes in the preferred form, or copies as it stands. */
static void append_form(struct sigv4_cache *cache, struct buf *to, struct str text, bool raw, bool slash_kept)
{
    bool plain = true;

    if (raw) {
        buf_append(to, text.data, text.size);
        return;
    }
    for (size_t i = 0; plain && i < text.size; i++)
        plain = text.data[i] != '%' && (text.data[i] != '+' || slash_kept);
    if (plain) {
        uri_encode(to, text, slash_kept);
        return;
    }
    buf_clear(&cache->decoded);
    for (size_t i = 0; i < text.size; i++) {
        unsigned char byte;

        if (text.data[i] == '%' && i + 2 < text.size && hex_decode(&byte, (struct str){ text.data + i + 1, 2 })) {
            buf_append_char(&cache->decoded, (char)byte);
            i += 2;
        } else if (text.data[i] == '+' && !slash_kept) {
            buf_append_char(&cache->decoded, ' ');
        } else {
            buf_append_char(&cache->decoded, text.data[i]);
        }
    }
    uri_encode(to, (struct str){ cache->decoded.data, cache->decoded.size }, slash_kept);
}

/* Without ".", "..", and empty segments; a last slash stays. */
static void append_normal_path(struct buf *to, struct str path)
{
    size_t start = to->size;
    bool last_slash = path.size && path.data[path.size - 1] == '/';

    while (path.size) {
        struct str segment = path, rest = { 0 };

        str_cut(path, '/', &segment, &rest);
        path = rest;
        if (segment.size == 0 || str_is(segment, "."))
            continue;
        if (str_is(segment, "..")) {
            while (to->size > start && to->data[--to->size] != '/')
                ;
            continue;
        }
        buf_append_char(to, '/');
        buf_append(to, segment.data, segment.size);
    }
    if (last_slash || to->size == start)
        buf_append_char(to, '/');
}

static void append_path(struct sigv4_cache *cache, struct buf *to, struct str path, bool s3, bool raw)
{
    if (path.size == 0)
        path = STR("/");
    if (s3) {
        append_form(cache, to, path, raw, true);
        return;
    }
    /* What is encoded on the wire is encoded once more. */
    buf_clear(&cache->encoded);
    append_normal_path(&cache->encoded, path);
    uri_encode(to, (struct str){ cache->encoded.data, cache->encoded.size }, true);
}

static void append_query(struct sigv4_cache *cache, struct buf *to, struct str query, bool presigned, bool raw)
{
    struct buf *e = &cache->encoded;
    struct str name, value;
    size_t count = 0;

    buf_clear(e);
    while (next_parameter(&query, &name, &value)) {
        struct pair_at *p;

        if (presigned && str_is(name, "X-Amz-Signature"))
            continue;
        if (count == cache->pair_capacity) {
            cache->pair_capacity = cache->pair_capacity ? 2 * cache->pair_capacity : 32;
            cache->pairs = reallocarray(cache->pairs, cache->pair_capacity, sizeof *cache->pairs);
            assert(cache->pairs && "out of memory");
        }
        p = &cache->pairs[count++];
        p->name = (uint32_t)e->size;
        append_form(cache, e, name, raw, false);
        p->name_size = (uint32_t)e->size - p->name;
        p->value = (uint32_t)e->size;
        append_form(cache, e, value, raw, false);
        p->value_size = (uint32_t)e->size - p->value;
    }
    if (count > 1)
        qsort_r(cache->pairs, count, sizeof *cache->pairs, compare_pairs, e->data);
    for (size_t i = 0; i < count; i++) {
        const struct pair_at *p = &cache->pairs[i];

        if (i)
            buf_append_char(to, '&');
        buf_append(to, e->data + p->name, p->name_size);
        buf_append_char(to, '=');
        if (p->value_size)
            buf_append(to, e->data + p->value, p->value_size);
    }
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == '\v' || c == '\f';
}

/* Trimmed, every run of white space one space. */
static void append_folded(struct buf *to, struct str value)
{
    bool first = true;

    for (size_t i = 0; i < value.size;) {
        size_t start;

        while (i < value.size && is_space(value.data[i]))
            i++;
        start = i;
        while (i < value.size && !is_space(value.data[i]))
            i++;
        if (i == start)
            break;
        if (!first)
            buf_append_char(to, ' ');
        first = false;
        buf_append(to, value.data + start, i - start);
    }
}

static void append_headers(struct buf *to, const struct sigv4_request *r, struct str names)
{
    while (names.size) {
        struct str name = names, rest = { 0 };
        bool first = true;

        str_cut(names, ';', &name, &rest);
        names = rest;
        buf_append(to, name.data, name.size);
        buf_append_char(to, ':');
        for (int i = 0; i < r->header_count; i++) {
            if (r->headers[i].name.size != name.size || strncasecmp(r->headers[i].name.data, name.data, name.size) != 0)
                continue;
            if (!first)
                buf_append_char(to, ',');
            first = false;
            append_folded(to, r->headers[i].value);
        }
        buf_append_char(to, '\n');
    }
}

struct canon {
    const struct sigv4_request *request;
    struct str signed_headers, payload;
    bool s3, presigned, raw;
};

static void append_canonical(struct sigv4_cache *cache, struct buf *to, const struct canon *c)
{
    buf_append(to, c->request->method.data, c->request->method.size);
    buf_append_char(to, '\n');
    append_path(cache, to, path_of(c->request), c->s3, c->raw);
    buf_append_char(to, '\n');
    append_query(cache, to, query_of(c->request), c->presigned, c->raw);
    buf_append_char(to, '\n');
    append_headers(to, c->request, c->signed_headers);
    buf_append_char(to, '\n');
    buf_append(to, c->signed_headers.data, c->signed_headers.size);
    buf_append_char(to, '\n');
    buf_append(to, c->payload.data, c->payload.size);
}

enum { TO_SIGN_MAX = sizeof ALGORITHM + 18 + SCOPE_MAX + 65 };

static size_t string_to_sign(char ret[static TO_SIGN_MAX], struct str amz_date, const char *scope, struct str canonical)
{
    char *at = put(ret, STR(ALGORITHM "\n"));

    at = put(at, amz_date);
    *at++ = '\n';
    at = put(at, str_of(scope));
    *at++ = '\n';
    sha256_hex(at, canonical.data, canonical.size);
    return (size_t)(at - ret) + 64;
}

static void signature_of(char ret[static 65], const unsigned char key[static SHA256_SIZE], struct str amz_date,
                         const char *scope, struct str canonical)
{
    unsigned char mac[SHA256_SIZE];
    char text[TO_SIGN_MAX];
    size_t size = string_to_sign(text, amz_date, scope, canonical);

    hmac_sha256(mac, key, SHA256_SIZE, text, size);
    hex_encode(ret, mac, sizeof mac);
}

/* --- Verifying --- */

static int check_time(const struct sigv4_claim *c, enum sigv4_family family, int64_t now_ms, struct err *err)
{
    int64_t until_ms = c->presigned ? c->signed_at_ms + c->expires_s * 1000 : c->signed_at_ms + SKEW_MS;
    char now[17], bound[17];

    if (c->signed_at_ms - SKEW_MS <= now_ms && now_ms <= until_ms)
        return 0;
    if (family == SIGV4_S3) {
        if (!c->presigned)
            return refuse(err, 403, "RequestTimeTooSkewed",
                          "The difference between the request time and the current time is too large.");
        return refuse(err, 403, "AccessDenied", now_ms > until_ms ? "Request has expired" : "Request is not valid yet");
    }
    basic_time(now, now_ms);
    if (now_ms > until_ms) {
        basic_time(bound, c->presigned ? until_ms : now_ms - SKEW_MS);
        if (c->presigned)
            return refuse(err, 403, mismatch_code(family), "Signature expired: %s is now earlier than %s", bound, now);
        return refuse(err, 403, mismatch_code(family),
                      "Signature expired: " STR_FMT " is now earlier than %s (%s - 15 min.)", STR_ARG(c->amz_date),
                      bound, now);
    }
    basic_time(bound, now_ms + SKEW_MS);
    return refuse(err, 403, mismatch_code(family),
                  "Signature not yet current: " STR_FMT " is still later than %s (%s + 15 min.)", STR_ARG(c->amz_date),
                  bound, now);
}

static int mismatch(const struct sigv4_claim *c, enum sigv4_family family, const char *scope, struct str canonical,
                    struct err *err)
{
    char text[TO_SIGN_MAX];

    if (family == SIGV4_S3)
        return refuse(
            err, 403, "SignatureDoesNotMatch",
            "The request signature we calculated does not match the signature you provided. Check your key and "
            "signing method.");
    /* The other services show their work, which is what lets somebody write a signer. Nothing in it is secret. */
    string_to_sign(text, c->amz_date, scope, canonical);
    return refuse(
        err, 403, mismatch_code(family),
        "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access "
        "Key and signing method. Consult the service documentation for details.\n\nThe Canonical String for this "
        "request should have been\n'" STR_FMT "'\n\nThe String-to-Sign should have been\n'%s'\n",
        (int)(canonical.size < 2500 ? canonical.size : 2500), canonical.data, text);
}

int sigv4_verify(struct sigv4_cache *cache, const struct sigv4_request *r, const struct sigv4_claim *c,
                 struct str secret, const unsigned char *body_sha256, int64_t now_ms, struct sigv4_seed *ret_seed,
                 struct err *err)
{
    enum sigv4_family family = family_of(c->service);
    const unsigned char *key;
    char scope[SCOPE_MAX], calculated[65], body_hex[65];
    struct canon canon = { r, c->signed_headers, c->payload_text, family == SIGV4_S3, c->presigned, false };

    if (check_time(c, family, now_ms, err) < 0)
        return -1;
    if (c->payload == SIGV4_BODY) {
        assert(body_sha256 && "the body is hashed first when the head does not say its hash");
        hex_encode(body_hex, body_sha256, SHA256_SIZE);
        canon.payload = (struct str){ body_hex, 64 };
    }
    scope_text(scope, c->date, c->region, c->service);
    key = signing_key(cache, secret, scope, c->date, c->region, c->service);
    buf_clear(&cache->canonical);
    append_canonical(cache, &cache->canonical, &canon);
    signature_of(calculated, key, c->amz_date, scope, (struct str){ cache->canonical.data, cache->canonical.size });
    if (c->signature.size != 64 || !secret_equal(calculated, c->signature.data, 64)) {
        canon.raw = true;
        buf_clear(&cache->other);
        append_canonical(cache, &cache->other, &canon);
        signature_of(calculated, key, c->amz_date, scope, (struct str){ cache->other.data, cache->other.size });
        if (c->signature.size != 64 || !secret_equal(calculated, c->signature.data, 64))
            return mismatch(c, family, scope, (struct str){ cache->canonical.data, cache->canonical.size }, err);
    }
    if (ret_seed) {
        *ret_seed = (struct sigv4_seed){ 0 };
        memcpy(ret_seed->key, key, SHA256_SIZE);
        memcpy(ret_seed->amz_date, c->amz_date.data, 16);
        memcpy(ret_seed->scope, scope, strlen(scope) + 1);
        memcpy(ret_seed->signature, calculated, sizeof calculated);
    }
    return 0;
}

int sigv4_check_body(const struct sigv4_claim *c, const unsigned char body_sha256[static 32], struct err *err)
{
    enum sigv4_family family = family_of(c->service);

    if (c->payload != SIGV4_HASH || secret_equal(c->body_sha256, body_sha256, SHA256_SIZE))
        return 0;
    if (family == SIGV4_S3)
        return refuse(err, 400, "XAmzContentSHA256Mismatch",
                      "The provided 'x-amz-content-sha256' header does not match what was computed.");
    return refuse(
        err, 403, mismatch_code(family),
        "The request signature we calculated does not match the signature you provided: the body does not hash to "
        "x-amz-content-sha256. Check your AWS Secret Access Key and signing method.");
}

/* --- Signing --- */

/* Proxies and clients change these on the way. */
static bool signable(struct str name)
{
    static const char *const left[] = { "connection", "expect", "transfer-encoding", "user-agent", "authorization",
                                        "x-amzn-trace-id", "keep-alive", "te", "trailer", "upgrade" };

    for (size_t i = 0; i < sizeof left / sizeof *left; i++)
        if (str_is_nocase(name, left[i]))
            return false;
    return true;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static struct str signed_names(struct arena *a, const struct sigv4_header *headers, int count)
{
    const char **names = arena_array_of(a, const char *, (size_t)count + 1);
    _cleanup_buf_ struct buf list = { 0 };
    int n = 0;

    for (int i = 0; i < count; i++) {
        char *name;

        if (!signable(headers[i].name))
            continue;
        name = str_dup(a, headers[i].name);
        for (char *p = name; *p; p++)
            if (*p >= 'A' && *p <= 'Z')
                *p = (char)(*p - 'A' + 'a');
        names[n++] = name;
    }
    qsort(names, (size_t)n, sizeof *names, compare_names);
    for (int i = 0; i < n; i++) {
        if (i && strcmp(names[i], names[i - 1]) == 0)
            continue;
        if (list.size)
            buf_append_char(&list, ';');
        buf_append_str(&list, names[i]);
    }
    return str_of(arena_strndup(a, list.data ? list.data : "", list.size));
}

int sigv4_sign(struct arena *a, struct sigv4_cache *cache, const struct sigv4_request *r,
               const struct sigv4_credentials *who, const struct sigv4_scope *where, struct str payload,
               const struct sigv4_header **ret_headers)
{
    struct sigv4_cache *own = cache ? NULL : sigv4_cache_new();
    struct sigv4_header *all = arena_array_of(a, struct sigv4_header, (size_t)r->header_count + SIGV4_ADDED_MAX);
    struct sigv4_header *added = all + r->header_count;
    struct sigv4_request with = *r;
    struct str service = str_of(where->service), region = str_of(where->region), date;
    char *amz_date = arena_alloc(a, 17), scope[SCOPE_MAX], signature[65];
    const unsigned char *key;
    struct str names;
    int n = 0;

    if (!cache)
        cache = own;
    if (r->header_count)
        memcpy(all, r->headers, sizeof *all * (size_t)r->header_count);
    basic_time(amz_date, where->now_ms);
    date = (struct str){ amz_date, 8 };
    added[n++] = (struct sigv4_header){ STR("X-Amz-Date"), { amz_date, 16 } };
    added[n++] = (struct sigv4_header){ STR("X-Amz-Content-Sha256"), payload };
    if (who->session_token.size)
        added[n++] = (struct sigv4_header){ STR("X-Amz-Security-Token"), who->session_token };
    with.headers = all;
    with.header_count = r->header_count + n;
    names = signed_names(a, all, with.header_count);
    scope_text(scope, date, region, service);
    key = signing_key(cache, who->secret_access_key, scope, date, region, service);
    buf_clear(&cache->canonical);
    append_canonical(cache, &cache->canonical,
                     &(struct canon){ &with, names, payload, sigv4_family(where->service) == SIGV4_S3, false, false });
    signature_of(signature, key, (struct str){ amz_date, 16 }, scope,
                 (struct str){ cache->canonical.data, cache->canonical.size });
    added[n++] = (struct sigv4_header){
        STR("Authorization"),
        str_of(arena_printf(a, ALGORITHM " Credential=" STR_FMT "/%s, SignedHeaders=" STR_FMT ", Signature=%s",
                            STR_ARG(who->access_key_id), scope, STR_ARG(names), signature)) };
    sigv4_cache_free(own);
    *ret_headers = added;
    return n;
}

char *sigv4_presign(struct arena *a, const struct sigv4_request *r, const struct sigv4_credentials *who,
                    const struct sigv4_scope *where, struct str payload, int64_t expires_s)
{
    struct sigv4_cache *cache = sigv4_cache_new();
    struct sigv4_request with = *r;
    struct str service = str_of(where->service), region = str_of(where->region), date, names;
    _cleanup_buf_ struct buf target = { 0 };
    char amz_date[17], scope[SCOPE_MAX], signature[65];
    const unsigned char *key;

    basic_time(amz_date, where->now_ms);
    date = (struct str){ amz_date, 8 };
    scope_text(scope, date, region, service);
    names = signed_names(a, r->headers, r->header_count);
    buf_append(&target, r->target.data, r->target.size);
    buf_printf(&target, "%cX-Amz-Algorithm=" ALGORITHM "&X-Amz-Credential=",
               memchr(r->target.data, '?', r->target.size) ? '&' : '?');
    uri_encode(&target, who->access_key_id, false);
    buf_append_str(&target, "%2F");
    uri_encode(&target, str_of(scope), false);
    buf_printf(&target, "&X-Amz-Date=%s&X-Amz-Expires=%" PRId64 "&X-Amz-SignedHeaders=", amz_date, expires_s);
    uri_encode(&target, names, false);
    if (who->session_token.size) {
        buf_append_str(&target, "&X-Amz-Security-Token=");
        uri_encode(&target, who->session_token, false);
    }
    with.target = (struct str){ target.data, target.size };
    key = signing_key(cache, who->secret_access_key, scope, date, region, service);
    append_canonical(cache, &cache->canonical,
                     &(struct canon){ &with, names, payload, sigv4_family(where->service) == SIGV4_S3, true, false });
    signature_of(signature, key, (struct str){ amz_date, 16 }, scope,
                 (struct str){ cache->canonical.data, cache->canonical.size });
    buf_printf(&target, "&X-Amz-Signature=%s", signature);
    sigv4_cache_free(cache);
    return arena_strndup(a, target.data, target.size);
}
