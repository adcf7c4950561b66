/* sigv2.c - presigned URLs of Signature Version 2.
 *
 * https://docs.aws.amazon.com/AmazonS3/latest/API/RESTAuthentication.html: HMAC-SHA1 over the method, three headers,
 * the x-amz-* headers (which a presigned URL may carry in its query) and the resource with its sub-resources. */
#include "sign/sigv2.h"

#include <string.h>
#include <strings.h>

#include "base/buf.h"
#include "sign/digest.h"

enum { PARAMETERS_MAX = 64 };

struct parameter {
    struct str name, value; /* decoded */
    bool has_value;
};

/* The parameters that are part of the resource. Sorted. */
static const char *const sub_resources[] = {
    "accelerate", "acl", "analytics", "cors", "delete", "inventory", "lifecycle", "location", "logging", "metrics",
    "notification", "object-lock", "partNumber", "policy", "replication", "requestPayment", "response-cache-control",
    "response-content-disposition", "response-content-encoding", "response-content-language", "response-content-type",
    "response-expires", "restore", "select", "select-type", "storageClass", "tagging", "torrent", "uploadId", "uploads",
    "versionId", "versioning", "versions", "website",
};

/* Parameters that the signature does not cover and that change no more than which page of a listing is read. Any other
 * would let whoever holds the URL turn it into another operation. */
static const char *const uncovered[] = {
    "AWSAccessKeyId", "Expires", "Signature", "content-md5", "content-type", "continuation-token", "delimiter",
    "encoding-type", "fetch-owner", "key-marker", "list-type", "marker", "max-keys", "max-parts", "max-uploads",
    "part-number-marker", "prefix", "start-after", "upload-id-marker", "version-id-marker", "x-id",
};

static struct str path_of(struct str target, struct str *ret_query)
{
    struct str path;

    if (str_cut(target, '?', &path, ret_query))
        return path;
    *ret_query = STR("");
    return target;
}

/* How many; too many read as none. */
static int read_parameters(struct arena *a, const struct sigv4_request *r, struct parameter ret[static PARAMETERS_MAX])
{
    struct str query, one;
    int count = 0;

    path_of(r->target, &query);
    while (query.size > 0) {
        struct parameter *p = &ret[count++];

        if (count == PARAMETERS_MAX)
            return 0;
        if (!str_cut(query, '&', &one, &query)) {
            one = query;
            query = STR("");
        }
        p->has_value = str_cut(one, '=', &p->name, &p->value);
        if (!p->has_value) {
            p->name = one;
            p->value = STR("");
        }
        p->name = uri_decode(a, p->name, false);
        p->value = uri_decode(a, p->value, false);
    }
    return count;
}

static const struct parameter *find(const struct parameter *p, int count, const char *name)
{
    for (int i = 0; i < count; i++)
        if (str_is_nocase(p[i].name, name))
            return &p[i];
    return NULL;
}

bool sigv2_presigned(const struct sigv4_request *r)
{
    _cleanup_arena_ struct arena *a = arena_new();
    struct parameter parameters[PARAMETERS_MAX];
    int count;

    /* Nearly every request ends here, before anything is decoded. */
    if (!memmem(r->target.data, r->target.size, "AWSAccessKeyId=", 15))
        return false;
    count = read_parameters(a, r, parameters);
    return find(parameters, count, "AWSAccessKeyId") && find(parameters, count, "Signature") &&
           find(parameters, count, "Expires");
}

int sigv2_parse(struct arena *a, const struct sigv4_request *r, struct sigv4_claim *ret, struct err *err)
{
    struct parameter parameters[PARAMETERS_MAX];
    int count = read_parameters(a, r, parameters);
    const struct parameter *token = find(parameters, count, "x-amz-security-token");
    struct sigv4_claim claim = {
        .access_key_id = find(parameters, count, "AWSAccessKeyId")->value,
        .signature = find(parameters, count, "Signature")->value,
        .service = STR("s3"),
        .region = STR(""),
        .presigned = true,
        .payload = SIGV4_UNSIGNED,
        .payload_text = STR("UNSIGNED-PAYLOAD"),
    };

    /* Seconds since 1970: the end, not how long. */
    if (!str_to_int64(find(parameters, count, "Expires")->value, &claim.expires_s) || claim.expires_s < 0) {
        fail_code(err, ERR_DENIED, "AccessDenied", "Invalid date (should be seconds since epoch): " STR_FMT,
                  STR_ARG(find(parameters, count, "Expires")->value));
        return -1;
    }
    if (token)
        claim.session_token = token->value;
    for (int i = 0; i < r->header_count && !token; i++)
        if (str_is_nocase(r->headers[i].name, "x-amz-security-token"))
            claim.session_token = r->headers[i].value;
    *ret = claim;
    return 0;
}

static bool is_amz(struct str name)
{
    return name.size > 6 && strncasecmp(name.data, "x-amz-", 6) == 0;
}

static bool among(struct str name, const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (str_is(name, names[i]))
            return true;
    return false;
}

static int check_parameters(const struct parameter *p, int count, struct err *err)
{
    for (int i = 0; i < count; i++)
        if (!is_amz(p[i].name) && !among(p[i].name, sub_resources, sizeof sub_resources / sizeof sub_resources[0]) &&
            !among(p[i].name, uncovered, sizeof uncovered / sizeof uncovered[0]))
            return fail_code(err, ERR_DENIED, "AccessDenied",
                             "The query parameter " STR_FMT
                             " is not covered by a signature of version 2. Presign with version 4.",
                             STR_ARG(p[i].name));
    return 0;
}

static struct str header_or_parameter(const struct sigv4_request *r, const struct parameter *p, int count,
                                      const char *name)
{
    const struct parameter *in_query = find(p, count, name);

    for (int i = 0; i < r->header_count; i++)
        if (str_is_nocase(r->headers[i].name, name))
            return str_trim(r->headers[i].value);
    return in_query ? in_query->value : STR("");
}

static void lower(struct arena *a, struct str *s)
{
    char *text = str_dup(a, *s);

    for (char *p = text; *p; p++)
        if (*p >= 'A' && *p <= 'Z')
            *p = (char)(*p | 32);
    s->data = text;
}

/* x-amz-*: in lower case, sorted, one line a name. */
static void add_amz_headers(struct arena *a, struct buf *b, const struct sigv4_request *r, const struct parameter *p,
                            int count)
{
    struct parameter *all = arena_array_of(a, struct parameter, (size_t)(r->header_count + count) + 1);
    int n = 0;

    for (int i = 0; i < r->header_count; i++)
        if (is_amz(r->headers[i].name))
            all[n++] = (struct parameter){ r->headers[i].name, str_trim(r->headers[i].value), true };
    for (int i = 0; i < count; i++)
        if (is_amz(p[i].name))
            all[n++] = p[i];
    for (int i = 0; i < n; i++)
        lower(a, &all[i].name);
    /* By insertion: few, and those of one name must stay in their order. */
    for (int i = 1; i < n; i++)
        for (int j = i; j > 0 && str_compare(all[j].name, all[j - 1].name) < 0; j--) {
            struct parameter swapped = all[j];

            all[j] = all[j - 1];
            all[j - 1] = swapped;
        }
    for (int i = 0; i < n; i++) {
        bool again = i > 0 && str_eq(all[i].name, all[i - 1].name);

        if (again)
            buf_append_char(b, ',');
        else
            buf_printf(b, "%s" STR_FMT ":", i > 0 ? "\n" : "", STR_ARG(all[i].name));
        buf_append(b, all[i].value.data, all[i].value.size);
    }
    if (n > 0)
        buf_append_char(b, '\n');
}

static void add_resource(struct buf *b, const struct sigv4_request *r, struct str bucket, const struct parameter *p,
                         int count)
{
    struct str query, path = path_of(r->target, &query);
    char before = '?';

    if (bucket.size > 0) {
        buf_append_char(b, '/');
        buf_append(b, bucket.data, bucket.size);
    }
    buf_append(b, path.data, path.size);
    for (size_t s = 0; s < sizeof sub_resources / sizeof sub_resources[0]; s++)
        for (int i = 0; i < count; i++) {
            if (!str_is(p[i].name, sub_resources[s]))
                continue;
            buf_append_char(b, before);
            buf_append_str(b, sub_resources[s]);
            if (p[i].has_value && p[i].value.size > 0) {
                buf_append_char(b, '=');
                buf_append(b, p[i].value.data, p[i].value.size);
            }
            before = '&';
        }
}

int sigv2_verify(struct arena *a, const struct sigv4_request *r, const struct sigv4_claim *claim, struct str bucket,
                 struct str secret, int64_t now_ms, struct err *err)
{
    _cleanup_buf_ struct buf b = { 0 };
    struct parameter parameters[PARAMETERS_MAX];
    int count = read_parameters(a, r, parameters);
    struct str md5 = header_or_parameter(r, parameters, count, "content-md5");
    struct str type = header_or_parameter(r, parameters, count, "content-type"), signature;
    unsigned char computed[SHA1_SIZE];

    if (check_parameters(parameters, count, err) < 0)
        return -1;
    buf_printf(&b, STR_FMT "\n" STR_FMT "\n" STR_FMT "\n%lld\n", STR_ARG(r->method), STR_ARG(md5), STR_ARG(type),
               (long long)claim->expires_s);
    add_amz_headers(a, &b, r, parameters, count);
    add_resource(&b, r, bucket, parameters, count);
    hmac_sha1(computed, secret.data, secret.size, b.data, b.size);
    if (!base64_decode(a, claim->signature, &signature) || signature.size != sizeof computed ||
        !secret_equal(signature.data, computed, sizeof computed))
        return fail_code(
            err, ERR_DENIED, "SignatureDoesNotMatch",
            "The request signature we calculated does not match the signature you provided. Check your key and "
            "signing method.");
    if (now_ms / 1000 > claim->expires_s)
        return fail_code(err, ERR_DENIED, "AccessDenied", "Request has expired");
    return 0;
}

const struct sigv4_header *sigv2_headers(struct arena *a, const struct sigv4_request *r, int *ret_count)
{
    struct parameter parameters[PARAMETERS_MAX];
    int count = read_parameters(a, r, parameters), n = r->header_count;
    struct sigv4_header *all = arena_array_of(a, struct sigv4_header, (size_t)(r->header_count + count) + 1);

    if (n > 0)
        memcpy(all, r->headers, (size_t)n * sizeof *all);
    for (int i = 0; i < count; i++) {
        bool there = false;

        if (!is_amz(parameters[i].name) && !str_is(parameters[i].name, "content-type") &&
            !str_is(parameters[i].name, "content-md5"))
            continue;
        for (int h = 0; h < r->header_count; h++)
            there =
                there || (r->headers[h].name.size == parameters[i].name.size &&
                          strncasecmp(r->headers[h].name.data, parameters[i].name.data, parameters[i].name.size) == 0);
        if (!there)
            all[n++] = (struct sigv4_header){ parameters[i].name, parameters[i].value };
    }
    *ret_count = n;
    return all;
}
