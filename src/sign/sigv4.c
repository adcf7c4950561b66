/* sigv4.c - is the request signed by who claims to be asking, and in time?
 *
 * Clients disagree about how an unusual character of the target is written when it is signed: as it stands on the wire,
 * or in the one form that RFC 3986 prefers. Both name the same resource, so both are tried, the preferred first. */
#include "sign/sigv4_impl.h"

#include <assert.h>
#include <string.h>

#include "sign/digest.h"

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
    sigv4_time(now, now_ms);
    if (now_ms > until_ms) {
        sigv4_time(bound, c->presigned ? until_ms : now_ms - SKEW_MS);
        if (c->presigned)
            return refuse(err, 403, mismatch_code(family), "Signature expired: %s is now earlier than %s", bound, now);
        return refuse(err, 403, mismatch_code(family),
                      "Signature expired: " STR_FMT " is now earlier than %s (%s - 15 min.)", STR_ARG(c->amz_date),
                      bound, now);
    }
    sigv4_time(bound, now_ms + SKEW_MS);
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
    sigv4_string_to_sign(text, c->amz_date, scope, canonical);
    return refuse(
        err, 403, mismatch_code(family),
        "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access "
        "Key and signing method. Consult the service documentation for details.\n\nThe Canonical String for this "
        "request should have been\n'" STR_FMT "'\n\nThe String-to-Sign should have been\n'%s'\n",
        (int)(canonical.size < 2500 ? canonical.size : 2500), canonical.data, text);
}

static bool matches(const struct sigv4_claim *c, const char calculated[static 65])
{
    return c->signature.size == 64 && secret_equal(calculated, c->signature.data, 64);
}

int sigv4_verify(struct sigv4_cache *cache, const struct sigv4_request *r, const struct sigv4_claim *c,
                 struct str secret, const unsigned char *body_sha256, int64_t now_ms, struct sigv4_seed *ret_seed,
                 struct err *err)
{
    enum sigv4_family family = family_of(c->service);
    const unsigned char *key;
    struct str canonical;
    char scope[SCOPE_MAX], calculated[65], body_hex[65];
    struct sigv4_canon canon = { r, c->signed_headers, c->payload_text, family == SIGV4_S3, c->presigned, false };

    if (check_time(c, family, now_ms, err) < 0)
        return -1;
    if (c->payload == SIGV4_BODY) {
        assert(body_sha256 && "the body is hashed first when the head does not say its hash");
        hex_encode(body_hex, body_sha256, SHA256_SIZE);
        canon.payload = (struct str){ body_hex, 64 };
    }
    sigv4_scope_text(scope, c->date, c->region, c->service);
    key = sigv4_key(cache, secret, scope, c->date, c->region, c->service);
    canonical = sigv4_canonical(cache, &canon);
    sigv4_signature(calculated, key, c->amz_date, scope, canonical);
    if (!matches(c, calculated)) {
        canon.raw = true;
        sigv4_signature(calculated, key, c->amz_date, scope, sigv4_canonical(cache, &canon));
        if (!matches(c, calculated))
            return mismatch(c, family, scope, canonical, err);
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
