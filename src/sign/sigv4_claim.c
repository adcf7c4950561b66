/* sigv4_claim.c - who claims to be asking: the Authorization header, or the query of a presigned URL. */
#include "sign/sigv4_impl.h"

#include <string.h>

#include "base/clock.h"
#include "sign/digest.h"

enum { WEEK_S = 604800 };

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

/* The decoded value; false when there is no such parameter. */
static bool parameter(struct arena *a, const struct sigv4_request *r, const char *name, struct str *ret)
{
    struct str query = sigv4_query(r), key, value;

    while (sigv4_next_parameter(&query, &key, &value))
        if (str_is(key, name)) {
            *ret = uri_decode(a, value, false);
            return true;
        }
    return false;
}

bool sigv4_anonymous(const struct sigv4_request *r)
{
    struct str query = sigv4_query(r), key, value;
    int count;

    if (find_header(r, "authorization", &count))
        return false;
    while (sigv4_next_parameter(&query, &key, &value))
        if (str_is(key, "X-Amz-Algorithm") || str_is(key, "X-Amz-Signature") || str_is(key, "X-Amz-Credential"))
            return false;
    return true;
}

/* --- The claim --- */

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

static int parse_authorization(struct str text, struct sigv4_claim *c, struct str *ret_terminator,
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

            sigv4_time(basic, at_ms);
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
        return sigv4_refuse(err, service, SIGV4_MISSING);
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
        if (parse_authorization(authorization, &c, &terminator, family, err) < 0)
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
