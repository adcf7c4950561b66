/* chunked.c - the aws-chunked encoding: lines of a size and perhaps a signature, bytes, and after the last chunk of no
 * bytes, trailing headers.
 *
 *     STREAMING-AWS4-HMAC-SHA256-PAYLOAD           10000;chunk-signature=HEX CRLF bytes CRLF ... 0;chunk-signature=HEX
 * CRLF CRLF STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER   the same, then name:value lines, x-amz-trailer-signature:HEX
 *     STREAMING-UNSIGNED-PAYLOAD-TRAILER           10000 CRLF bytes CRLF ... 0 CRLF name:value CRLF CRLF
 *
 * Each signature covers the one before, so pieces can be neither dropped nor reordered. Clients differ in the line
 * ends around trailers (LF, CRLF, an empty line before the signature); all of these are taken. */
#include "sign/chunked.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "sign/digest.h"

enum { LINE_MAX_BYTES = 8192, TRAILERS_MAX = 16, SPACE_AFTER_MAX = 4 };

struct chunked {
    bool signed_chunks, has_trailer;
    struct sigv4_seed seed; /* signature: the last one that was right */
    int64_t decoded_bytes, seen_bytes;
    enum state { SIZE_LINE, BYTES, BYTES_END, TRAILER_LINE, DONE, BROKEN } state;
    int64_t left_bytes; /* of this chunk */
    char line[LINE_MAX_BYTES];
    size_t line_size;
    char claimed[65]; /* this chunk's signature */
    struct digest digest;
    struct buf canonical_trailers;
    struct arena *arena; /* of the trailers */
    struct sigv4_header trailers[TRAILERS_MAX];
    int trailer_count, space_after;
};

static int malformed(struct chunked *c, struct err *err, const char *what)
{
    c->state = BROKEN;
    return fail_code(err, ERR_INVALID, "IncompleteBody",
                     "The request body is not well-formed aws-chunked: %s, after %lld decoded bytes.", what,
                     (long long)c->seen_bytes);
}

static int malformed_trailer(struct chunked *c, struct err *err)
{
    c->state = BROKEN;
    return fail_code(
        err, ERR_INVALID, "MalformedTrailerError",
        "The request contained trailing data that was not well-formed or did not conform to our published schema.");
}

struct chunked *chunked_new(enum sigv4_payload payload, const struct sigv4_seed *seed, int64_t decoded_bytes)
{
    struct chunked *c = calloc(1, sizeof *c);

    assert(c && "out of memory");
    assert(payload == SIGV4_STREAMING || payload == SIGV4_STREAMING_TRAILER ||
           payload == SIGV4_STREAMING_UNSIGNED_TRAILER);
    c->signed_chunks = payload != SIGV4_STREAMING_UNSIGNED_TRAILER;
    c->has_trailer = payload != SIGV4_STREAMING;
    assert(!c->signed_chunks || seed);
    if (seed)
        c->seed = *seed;
    c->decoded_bytes = decoded_bytes;
    c->arena = arena_new();
    return c;
}

void chunked_free(struct chunked *c)
{
    if (!c)
        return;
    buf_free(&c->canonical_trailers);
    arena_free(c->arena);
    explicit_bzero(&c->seed, sizeof c->seed);
    free(c);
}

/* Right: the claimed signature is the next one of the chain. */
static int check_signature(struct chunked *c, const char *algorithm, const char *hashes, struct err *err)
{
    char text[1024], signature[65];
    unsigned char mac[SHA256_SIZE];
    int size = snprintf(text, sizeof text, "%s\n%s\n%s\n%s\n%s", algorithm, c->seed.amz_date, c->seed.scope,
                        c->seed.signature, hashes);

    assert(size > 0 && (size_t)size < sizeof text);
    hmac_sha256(mac, c->seed.key, sizeof c->seed.key, text, (size_t)size);
    hex_encode(signature, mac, sizeof mac);
    if (!secret_equal(signature, c->claimed, 64)) {
        c->state = BROKEN;
        fail_code(err, ERR_DENIED, "SignatureDoesNotMatch",
                  "The request signature we calculated does not match the signature you provided. Check your key and "
                  "signing method.");
        return -1;
    }
    memcpy(c->seed.signature, signature, sizeof signature);
    return 0;
}

static int check_chunk(struct chunked *c, struct err *err)
{
    static const char empty[] = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    unsigned char hash[SHA256_SIZE];
    char hashes[sizeof empty + 65] = "";

    if (!c->signed_chunks)
        return 0;
    digest_finish(&c->digest, hash);
    memcpy(hashes, empty, 64);
    hashes[64] = '\n';
    hex_encode(hashes + 65, hash, sizeof hash);
    return check_signature(c, "AWS4-HMAC-SHA256-PAYLOAD", hashes, err);
}

static int check_trailers(struct chunked *c, struct str signature, struct err *err)
{
    char hash[65];

    if (signature.size != 64)
        return malformed_trailer(c, err);
    memcpy(c->claimed, signature.data, 64);
    sha256_hex(hash, c->canonical_trailers.data ? c->canonical_trailers.data : "", c->canonical_trailers.size);
    return check_signature(c, "AWS4-HMAC-SHA256-TRAILER", hash, err);
}

/* "10000" or "10000;chunk-signature=HEX". */
static int size_line(struct chunked *c, struct str line, struct err *err)
{
    struct str size = line, extension = { 0 };
    int64_t value = 0;

    str_cut(line, ';', &size, &extension);
    if (size.size == 0 || size.size > 15)
        return malformed(c, err, "a chunk's size is not a hexadecimal number");
    for (size_t i = 0; i < size.size; i++) {
        char digit = size.data[i];
        int nibble = digit >= '0' && digit <= '9'   ? digit - '0'
                     : digit >= 'a' && digit <= 'f' ? digit - 'a' + 10
                     : digit >= 'A' && digit <= 'F' ? digit - 'A' + 10
                                                    : -1;

        if (nibble < 0)
            return malformed(c, err, "a chunk's size is not a hexadecimal number");
        value = value << 4 | nibble;
    }
    if (c->signed_chunks) {
        struct str key, signature;

        if (!str_cut(extension, '=', &key, &signature) || !str_is(key, "chunk-signature") || signature.size != 64)
            return malformed(c, err, "a chunk has no signature");
        memcpy(c->claimed, signature.data, 64);
        digest_start(&c->digest, DIGEST_SHA256);
    }
    if (c->decoded_bytes >= 0 && value > c->decoded_bytes - c->seen_bytes) {
        c->state = BROKEN;
        return fail_code(err, ERR_INVALID, "IncompleteBody",
                         "The request body is longer than x-amz-decoded-content-length says (%lld bytes).",
                         (long long)c->decoded_bytes);
    }
    c->left_bytes = value;
    if (value > 0) {
        c->state = BYTES;
        return 0;
    }
    if (check_chunk(c, err) < 0)
        return -1;
    c->state = TRAILER_LINE;
    return 0;
}

static int trailer_line(struct chunked *c, struct str line, struct err *err)
{
    struct str name, value;
    char *lower;

    line = str_trim(line);
    if (line.size == 0) {
        /* Some end the trailers with an empty line before their signature. */
        if (!(c->signed_chunks && c->has_trailer))
            c->state = DONE;
        else if (++c->space_after > SPACE_AFTER_MAX)
            return malformed_trailer(c, err);
        return 0;
    }
    if (!c->has_trailer || !str_cut(line, ':', &name, &value))
        return malformed_trailer(c, err);
    name = str_trim(name);
    value = str_trim(value);
    if (c->signed_chunks && str_is_nocase(name, "x-amz-trailer-signature")) {
        if (check_trailers(c, value, err) < 0)
            return -1;
        c->state = DONE;
        c->space_after = 0;
        return 0;
    }
    if (c->trailer_count == TRAILERS_MAX || name.size == 0)
        return malformed_trailer(c, err);
    lower = str_dup(c->arena, name);
    for (char *p = lower; *p; p++)
        if (*p >= 'A' && *p <= 'Z')
            *p = (char)(*p - 'A' + 'a');
    buf_append_str(&c->canonical_trailers, lower);
    buf_append_char(&c->canonical_trailers, ':');
    buf_append(&c->canonical_trailers, value.data, value.size);
    buf_append_char(&c->canonical_trailers, '\n');
    c->trailers[c->trailer_count++] =
        (struct sigv4_header){ { lower, name.size }, { str_dup(c->arena, value), value.size } };
    return 0;
}

/* Gathers a line over several calls. 1: *ret is one, without its end; it stands in c->line. 0: more is needed. */
static int take_line(struct chunked *c, struct str *input, struct str *ret, struct err *err)
{
    const char *end = memchr(input->data, '\n', input->size);
    size_t size = end ? (size_t)(end - input->data) + 1 : input->size;

    if (size > sizeof c->line - c->line_size)
        return c->state == TRAILER_LINE ? malformed_trailer(c, err) : malformed(c, err, "a line is too long");
    memcpy(c->line + c->line_size, input->data, size);
    c->line_size += size;
    input->data += size;
    input->size -= size;
    if (!end)
        return 0;
    *ret = (struct str){ c->line, c->line_size - 1 };
    if (ret->size && ret->data[ret->size - 1] == '\r')
        ret->size--;
    else if (c->state != TRAILER_LINE)
        return malformed(c, err, "a line does not end in CR LF");
    c->line_size = 0;
    return 1;
}

static void advance(struct str *input, size_t size)
{
    input->data += size;
    input->size -= size;
}

/* What of the chunk is there. */
static int take_bytes(struct chunked *c, struct str *input, struct str *ret, struct err *err)
{
    size_t size = input->size < (uint64_t)c->left_bytes ? input->size : (size_t)c->left_bytes;

    *ret = (struct str){ input->data, size };
    if (c->signed_chunks)
        digest_update(&c->digest, input->data, size);
    advance(input, size);
    c->left_bytes -= (int64_t)size;
    c->seen_bytes += (int64_t)size;
    if (c->left_bytes > 0)
        return 0;
    c->state = BYTES_END;
    return check_chunk(c, err);
}

/* A line that is whole; 0: it is not yet. */
static int read_line(struct chunked *c, struct str *input, struct err *err)
{
    struct str line;
    int n = take_line(c, input, &line, err);

    if (n <= 0)
        return n;
    if (c->state != BYTES_END)
        return (c->state == SIZE_LINE ? size_line : trailer_line)(c, line, err) < 0 ? -1 : 1;
    if (line.size)
        return malformed(c, err, "a chunk is longer than its size");
    c->state = SIZE_LINE;
    return 1;
}

int chunked_next(struct chunked *c, struct str *input, struct str *ret, struct err *err)
{
    *ret = (struct str){ 0 };
    while (input->size) {
        int n;

        switch (c->state) {
        case BROKEN:
            return malformed(c, err, "it was refused already");
        case DONE:
            if ((*input->data != '\r' && *input->data != '\n') || ++c->space_after > SPACE_AFTER_MAX)
                return malformed(c, err, "something follows its end");
            advance(input, 1);
            break;
        case BYTES:
            return take_bytes(c, input, ret, err);
        case SIZE_LINE:
        case BYTES_END:
        case TRAILER_LINE:
            n = read_line(c, input, err);
            if (n <= 0)
                return n;
            break;
        }
    }
    return 0;
}

int chunked_end(struct chunked *c, struct err *err)
{
    /* The last empty line of a body without trailers carries nothing; some leave it out. */
    bool whole = c->state == DONE || (c->state == TRAILER_LINE && !c->has_trailer && c->line_size == 0);

    if (!whole)
        return malformed(c, err, "it ends early");
    if (c->decoded_bytes >= 0 && c->seen_bytes != c->decoded_bytes) {
        c->state = BROKEN;
        return fail_code(
            err, ERR_INVALID, "IncompleteBody",
            "You did not provide the number of bytes specified by the x-amz-decoded-content-length HTTP header: "
            "%lld instead of %lld.",
            (long long)c->seen_bytes, (long long)c->decoded_bytes);
    }
    return 0;
}

const struct sigv4_header *chunked_trailers(const struct chunked *c, int *ret_count)
{
    *ret_count = c->trailer_count;
    return c->trailers;
}
