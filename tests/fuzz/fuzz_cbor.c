/* links: base doc aws model sign */
/* What was read and printed reads the same again; times lose their tag, for the shape is not known. */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "aws/cbor.h"
#include "doc/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_arena_ struct arena *a = arena_new();
    _cleanup_buf_ struct buf b = { 0 }, c = { 0 };
    struct doc *d, *again;
    struct err err;

    if (cbor_parse(a, (struct str){ (const char *)data, size }, &d, &err) < 0)
        return 0;
    cbor_print(&b, NULL, d);
    assert(cbor_parse(a, (struct str){ b.data, b.size }, &again, &err) == 0);
    /* Compared as bytes: a NaN is not equal to itself. */
    cbor_print(&c, NULL, again);
    assert(b.size == c.size && memcmp(b.data, c.data, b.size) == 0);
    buf_free(&c);
    return 0;
}
