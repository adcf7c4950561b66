/* integrity.c - what a client states about a body it sends, and what we measure of it.
 *
 * The codes and words are those that S3 answers with; see the Amazon S3 User Guide, "Checking object integrity", and
 * the API's list of error codes. */
#include "engine/integrity.h"

#include <assert.h>
#include <string.h>
#include <strings.h>

#include "base/crc.h"

const struct checksum_kind checksum_kinds[] = {
    { "CRC32", "x-amz-checksum-crc32", "ChecksumCRC32", UPLOAD_CRC32, 4 },
    { "CRC32C", "x-amz-checksum-crc32c", "ChecksumCRC32C", UPLOAD_CRC32C, 4 },
    { "CRC64NVME", "x-amz-checksum-crc64nvme", "ChecksumCRC64NVME", UPLOAD_CRC64NVME, 8 },
    { "SHA1", "x-amz-checksum-sha1", "ChecksumSHA1", UPLOAD_SHA1, SHA1_SIZE },
    { "SHA256", "x-amz-checksum-sha256", "ChecksumSHA256", UPLOAD_SHA256, SHA256_SIZE },
    {},
};

/* Checksums that clients may know and this server does not. To take the body unchecked would be to lie. */
static const char *const unknown_headers[] = {
    "x-amz-checksum-sha512", "x-amz-checksum-md5", "x-amz-checksum-xxhash64", "x-amz-checksum-xxhash3",
    "x-amz-checksum-xxhash128", NULL,
};

const struct checksum_kind *checksum_kind_named(struct str name)
{
    for (const struct checksum_kind *k = checksum_kinds; k->name; k++)
        if (str_is_nocase(name, k->name))
            return k;
    return NULL;
}

const struct checksum_kind *checksum_kind_of(enum upload_digest digest)
{
    for (const struct checksum_kind *k = checksum_kinds; k->name; k++)
        if (k->digest == digest)
            return k;
    return NULL;
}

static void big_endian(unsigned char *ret, uint64_t number, size_t size)
{
    for (size_t i = size; i > 0; i--, number >>= 8)
        ret[i - 1] = number & 0xff;
}

void checksum_value(const struct upload *u, const struct checksum_kind *kind, unsigned char *ret)
{
    assert(u->measured & kind->digest);
    switch (kind->digest) {
    case UPLOAD_CRC32:
        return big_endian(ret, u->crc32, 4);
    case UPLOAD_CRC32C:
        return big_endian(ret, u->crc32c, 4);
    case UPLOAD_CRC64NVME:
        return big_endian(ret, u->crc64nvme, 8);
    case UPLOAD_SHA1:
        memcpy(ret, u->sha1, SHA1_SIZE);
        return;
    case UPLOAD_SHA256:
        memcpy(ret, u->sha256, SHA256_SIZE);
        return;
    case UPLOAD_MD5:
        break;
    }
    assert(!"a checksum that is in the table");
}

/* Base64 of exactly that many bytes. */
static bool decode(const char *text, unsigned char *ret, size_t size)
{
    _cleanup_arena_ struct arena *a = arena_new();
    struct str bytes;

    if (strlen(text) > 64 || !base64_decode(a, str_of(text), &bytes) || bytes.size != size)
        return false;
    memcpy(ret, bytes.data, size);
    return true;
}

static const char *header(const struct doc *headers, const char *name)
{
    const struct doc *value = doc_get(headers, name);

    return value && value->type == DOC_STRING ? doc_value_text(value) : NULL;
}

void integrity_start(struct integrity *in)
{
    *in = (struct integrity){ .stated_size = -1, .measured.measured = UPLOAD_MD5 };
    digest_start(&in->md5_state, DIGEST_MD5);
    digest_start(&in->sha1_state, DIGEST_SHA1);
    digest_start(&in->sha256_state, DIGEST_SHA256);
}

static int choose(struct integrity *in, const struct checksum_kind *kind, struct err *err)
{
    if (in->checksum && in->checksum != kind)
        return fail_code(err, ERR_INVALID, "InvalidRequest",
                         "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed.");
    in->checksum = kind;
    return 0;
}

static int take_values(struct integrity *in, const struct doc *headers, struct err *err)
{
    if (in->ignores_checksums)
        return 0;
    for (const char *const *name = unknown_headers; *name; name++)
        if (header(headers, *name))
            return fail_code(
                err, ERR_INVALID, "InvalidRequest",
                "%s: this server does not know this checksum; use CRC32, CRC32C, CRC64NVME, SHA1 or SHA256.", *name);
    for (const struct checksum_kind *k = checksum_kinds; k->name; k++) {
        const char *value = header(headers, k->header);

        if (!value)
            continue;
        if (choose(in, k, err) < 0)
            return -1;
        if (!decode(value, in->value, k->size))
            return fail_code(err, ERR_INVALID, "InvalidRequest", "Value for %s header is invalid.", k->header);
        in->value_stated = true;
    }
    return 0;
}

/* "x-amz-trailer: x-amz-checksum-crc32": its value will come after the body. */
static int take_trailer_names(struct integrity *in, const char *names, struct err *err)
{
    struct str rest = str_of(names), name;

    while (rest.size > 0) {
        const struct checksum_kind *k;

        if (!str_cut(rest, ',', &name, &rest)) {
            name = rest;
            rest = STR("");
        }
        name = str_trim(name);
        if (name.size < 15 || strncasecmp(name.data, "x-amz-checksum-", 15) != 0)
            continue;
        k = checksum_kind_named((struct str){ name.data + 15, name.size - 15 });
        if (!k)
            return fail_code(err, ERR_INVALID, "InvalidRequest",
                             "The value specified in the x-amz-trailer header is not supported");
        if (choose(in, k, err) < 0)
            return -1;
        in->value_trails = true;
    }
    return 0;
}

int integrity_headers(struct integrity *in, const struct doc *headers, unsigned otherwise, struct err *err)
{
    const char *md5 = header(headers, "content-md5"), *payload = header(headers, "x-amz-content-sha256");
    const char *algorithm = header(headers, "x-amz-sdk-checksum-algorithm");
    const char *trailer = header(headers, "x-amz-trailer");
    const char *size = header(headers, "x-amz-decoded-content-length");
    const char *etag = header(headers, "x-sagebrush-any-etag");

    if (md5) {
        if (!decode(md5, in->md5, sizeof in->md5))
            return fail_code(err, ERR_INVALID, "InvalidDigest", "The Content-MD5 you specified was invalid.");
        in->md5_stated = true;
    }
    if (etag && !md5)
        in->measured.measured &= ~(unsigned)UPLOAD_MD5;
    if (payload && strlen(payload) == 2 * SHA256_SIZE && hex_decode(in->payload, str_of(payload)))
        in->payload_stated = true;
    if (!size)
        size = header(headers, "content-length");
    if (size && (!str_to_int64(str_of(size), &in->stated_size) || in->stated_size < 0))
        return fail_code(err, ERR_INVALID, "InvalidArgument", "The length of the body is not a number: %.64s", size);
    if (take_values(in, headers, err) < 0)
        return -1;
    if (trailer && take_trailer_names(in, trailer, err) < 0)
        return -1;
    if (algorithm) {
        const struct checksum_kind *k = checksum_kind_named(str_of(algorithm));

        if (!k)
            return fail_code(
                err, ERR_INVALID, "InvalidRequest",
                "Checksum algorithm provided is unsupported. Please try again with any of the valid types: "
                "[CRC32, CRC32C, CRC64NVME, SHA1, SHA256]");
        if (!in->checksum)
            return fail_code(err, ERR_INVALID, "InvalidRequest",
                             "x-amz-sdk-checksum-algorithm specified, but no corresponding x-amz-checksum-* or "
                             "x-amz-trailer headers were found.");
        if (in->checksum != k)
            return fail_code(err, ERR_INVALID, "InvalidRequest",
                             "Value for x-amz-sdk-checksum-algorithm header is invalid.");
    }
    if (!in->checksum && otherwise)
        in->checksum = checksum_kind_of(otherwise);
    if (in->checksum)
        in->measured.measured |= in->checksum->digest;
    if (in->payload_stated)
        in->measured.measured |= UPLOAD_SHA256;
    return 0;
}

int integrity_trailers(struct integrity *in, const struct doc *trailers, struct err *err)
{
    unsigned before = in->measured.measured;

    if (take_values(in, trailers, err) < 0)
        return -1;
    /* A checksum that was not announced was not measured. */
    if (in->checksum && !(before & in->checksum->digest))
        return fail_code(
            err, ERR_INVALID, "MalformedTrailerError",
            "The request contained trailing data that was not well-formed or did not conform to our published "
            "schema.");
    return 0;
}

void integrity_update(struct integrity *in, const void *data, size_t size)
{
    struct upload *m = &in->measured;

    m->size_bytes += (int64_t)size;
    if (m->measured & UPLOAD_MD5)
        digest_update(&in->md5_state, data, size);
    if (m->measured & UPLOAD_SHA1)
        digest_update(&in->sha1_state, data, size);
    if (m->measured & UPLOAD_SHA256)
        digest_update(&in->sha256_state, data, size);
    if (m->measured & UPLOAD_CRC32)
        m->crc32 = (uint32_t)crc_update(CRC_32, m->crc32, data, size);
    if (m->measured & UPLOAD_CRC32C)
        m->crc32c = (uint32_t)crc_update(CRC_32C, m->crc32c, data, size);
    if (m->measured & UPLOAD_CRC64NVME)
        m->crc64nvme = crc_update(CRC_64NVME, m->crc64nvme, data, size);
}

int integrity_finish(struct integrity *in, struct err *err)
{
    struct upload *m = &in->measured;
    unsigned char value[CHECKSUM_MAX_SIZE];

    if (in->stated_size >= 0 && m->size_bytes != in->stated_size)
        return fail_code(err, ERR_INVALID, "IncompleteBody",
                         "You did not provide the number of bytes specified by the Content-Length HTTP header.");
    if (m->measured & UPLOAD_MD5)
        digest_finish(&in->md5_state, m->md5);
    if (m->measured & UPLOAD_SHA1)
        digest_finish(&in->sha1_state, m->sha1);
    if (m->measured & UPLOAD_SHA256)
        digest_finish(&in->sha256_state, m->sha256);
    if (in->payload_stated && memcmp(m->sha256, in->payload, sizeof in->payload) != 0)
        return fail_code(err, ERR_INVALID, "XAmzContentSHA256Mismatch",
                         "The provided 'x-amz-content-sha256' header does not match what was computed.");
    if (in->md5_stated && memcmp(m->md5, in->md5, sizeof in->md5) != 0)
        return fail_code(err, ERR_INVALID, "BadDigest",
                         "The Content-MD5 you specified did not match what we received.");
    if (in->value_trails && !in->value_stated)
        return fail_code(
            err, ERR_INVALID, "MalformedTrailerError",
            "The request contained trailing data that was not well-formed or did not conform to our published "
            "schema.");
    if (!in->checksum)
        return 0;
    m->checksum = in->checksum->digest;
    m->checksum_stated = in->value_stated;
    checksum_value(m, in->checksum, value);
    if (in->value_stated && memcmp(value, in->value, in->checksum->size) != 0)
        return fail_code(err, ERR_INVALID, "BadDigest", "The %s you specified did not match the calculated checksum.",
                         in->checksum->name);
    return 0;
}
