/* links: base sign */
/* An aws-chunked body, whole and cut in pieces: both must come to the same. The first byte chooses the kind. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "sign/chunked.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int decode(enum sigv4_payload kind, int64_t length, struct str body, size_t step, struct buf *out)
{
    static const struct sigv4_seed seed = {
        .key = "key", .amz_date = "20240229T120000Z", .scope = "scope", .signature = "0"
    };
    struct chunked *c = chunked_new(kind, &seed, length);
    struct err err;
    int rc = 0, n;

    while (rc == 0 && body.size) {
        size_t take = body.size < step ? body.size : step;
        /* A copy of its own: reading past the piece is seen. */
        char *piece_of = memcpy(malloc(take), body.data, take);
        struct str input = { piece_of, take }, piece;

        body.data += take;
        body.size -= take;
        while (rc == 0 && input.size) {
            rc = chunked_next(c, &input, &piece, &err);
            if (rc == 0)
                buf_append(out, piece.data, piece.size);
        }
        free(piece_of);
    }
    if (rc == 0)
        rc = chunked_end(c, &err);
    if (rc == 0)
        chunked_trailers(c, &n);
    chunked_free(c);
    return rc;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_buf_ struct buf whole = { 0 }, pieces = { 0 };
    enum sigv4_payload kind;
    struct str body;
    int64_t length;
    int a, b;

    if (size < 2)
        return 0;
    kind = SIGV4_STREAMING + data[0] % 3;
    length = data[1] == 255 ? -1 : data[1];
    body = (struct str){ (const char *)data + 2, size - 2 };
    a = decode(kind, length, body, body.size + 1, &whole);
    b = decode(kind, length, body, 1 + data[0] / 3 % 7, &pieces);
    assert(a == b);
    if (a == 0)
        assert(whole.size == pieces.size && (whole.size == 0 || memcmp(whole.data, pieces.data, whole.size) == 0));
    return 0;
}
