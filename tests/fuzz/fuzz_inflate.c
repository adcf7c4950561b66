/* links: base agent */
/* gzip, whole and in pieces: both must come to the same. The first byte says how it is cut. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "agent/inflate.h"
#include "base/buf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MOST = 1 << 20, ENOUGH = -7 };

static int out(void *data, struct str bytes, struct err *err)
{
    struct buf *b = data;

    assert(bytes.size > 0);
    buf_append(b, bytes.data, bytes.size);
    return b->size > MOST ? ENOUGH : 0;
}

static int run(struct str text, size_t piece, struct buf *b)
{
    struct inflate *i = inflate_new();
    struct err err = { 0 };
    int r = 0;

    while (r == 0 && text.size) {
        size_t n = text.size < piece ? text.size : piece;
        /* A copy of its own: reading past the piece is seen. */
        char *copy = memcpy(malloc(n), text.data, n);

        r = inflate_feed(i, (struct str){ copy, n }, out, b, &err);
        free(copy);
        text.data += n;
        text.size -= n;
    }
    if (r == 0)
        r = inflate_end(i, &err);
    assert(r == 0 || r == ENOUGH || (err.kind == ERR_INVALID && *err.text));
    inflate_free(i);
    return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_buf_ struct buf whole = { 0 }, pieces = { 0 };
    struct str text;
    int r;

    if (size < 1)
        return 0;
    text = (struct str){ (const char *)data + 1, size - 1 };
    r = run(text, size, &whole);
    assert(run(text, 1 + data[0] % 64, &pieces) == r);
    if (r == 0)
        assert(whole.size == pieces.size && (!whole.size || memcmp(whole.data, pieces.data, whole.size) == 0));
    return 0;
}
