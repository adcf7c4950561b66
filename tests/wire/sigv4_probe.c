/* sigv4_probe.c - checks signed requests that signatures.py has other signers make: one JSON document a line in, one
 * out. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "doc/json.h"
#include "sign/chunked.h"
#include "sign/digest.h"
#include "sign/sigv2.h"
#include "sign/sigv4.h"

/* The body as a receiver takes it: decoded where it is chunked, hashed where the signature covers it. */
static int take_body(struct arena *a, const struct sigv4_claim *claim, const struct sigv4_seed *seed, struct str body,
                     int64_t decoded_bytes, struct doc *out, struct err *err)
{
    unsigned char hash[SHA256_SIZE];
    char hex[2 * SHA256_SIZE + 1];
    struct digest digest;
    struct chunked *c;
    struct str piece;
    int count, rc = 0;

    sha256(hash, body.data, body.size);
    if (claim->payload < SIGV4_STREAMING)
        return sigv4_check_body(claim, hash, err);
    c = chunked_new(claim->payload, seed, decoded_bytes);
    digest_start(&digest, DIGEST_SHA256);
    while (rc == 0 && body.size) {
        /* In pieces, as they come from a socket. */
        struct str input = { body.data, body.size < 1000 ? body.size : 1000 };

        body.data += input.size;
        body.size -= input.size;
        while (rc == 0 && input.size) {
            rc = chunked_next(c, &input, &piece, err);
            if (rc == 0)
                digest_update(&digest, piece.data, piece.size);
        }
    }
    if (rc == 0)
        rc = chunked_end(c, err);
    if (rc == 0) {
        const struct sigv4_header *trailers = chunked_trailers(c, &count);

        digest_finish(&digest, hash);
        hex_encode(hex, hash, sizeof hash);
        doc_set_string(a, out, "decoded_sha256", hex);
        for (int i = 0; i < count; i++)
            doc_set_string(a, out, str_dup(a, trailers[i].name), str_dup(a, trailers[i].value));
    }
    chunked_free(c);
    return rc;
}

static int check(struct arena *a, struct sigv4_cache *cache, const struct doc *in, struct doc *out, struct err *err)
{
    const struct doc *list = doc_get(in, "headers");
    struct sigv4_header *headers = arena_array_of(a, struct sigv4_header, list->count + 1);
    struct sigv4_request r = { str_of(doc_text(in, "method")), str_of(doc_text(in, "target")), headers,
                               (int)list->count };
    unsigned char hash[SHA256_SIZE];
    struct sigv4_claim claim;
    struct sigv4_seed seed;
    struct str body;

    for (uint32_t i = 0; i < list->count; i++)
        headers[i] =
            (struct sigv4_header) { str_of(doc_text(list->items[i], "[0]")), str_of(doc_text(list->items[i], "[1]")) };
    if (!base64_decode(a, str_of(doc_text(in, "body")), &body))
        return fail(err, ERR_INVALID, "the body is not base64");
    if (sigv2_presigned(&r))
        return sigv2_parse(a, &r, &claim, err) < 0 ||
                       sigv2_verify(a, &r, &claim, str_of(doc_text(in, "bucket")), str_of(doc_text(in, "secret")),
                                    doc_int(in, "now_ms", 0), err) < 0
                   ? -1
                   : 0;
    if (sigv4_parse(a, &r, doc_text(in, "service"), &claim, err) < 0)
        return -1;
    doc_set_integer(a, out, "payload", claim.payload);
    doc_set_string(a, out, "token", str_dup(a, claim.session_token));
    sha256(hash, body.data, body.size);
    if (sigv4_verify(cache, &r, &claim, str_of(doc_text(in, "secret")), hash, doc_int(in, "now_ms", 0), &seed, err) < 0)
        return -1;
    return take_body(a, &claim, &seed, body, doc_int(in, "decoded_bytes", -1), out, err);
}

int main(void)
{
    struct sigv4_cache *cache = sigv4_cache_new();
    char *line = NULL;
    size_t capacity = 0;
    ssize_t size;

    while ((size = getline(&line, &capacity, stdin)) > 0) {
        _cleanup_arena_ struct arena *a = arena_new();
        struct doc *in, *out = doc_map(a);
        struct err err = { 0 };

        if (json_parse(a, (struct str){ line, (size_t)size }, &in, &err) < 0 || check(a, cache, in, out, &err) < 0) {
            doc_set_string(a, out, "code", err.code);
            doc_set_string(a, out, "text", err.text);
        }
        puts(json_text(a, out));
        fflush(stdout);
    }
    free(line);
    sigv4_cache_free(cache);
    return 0;
}
