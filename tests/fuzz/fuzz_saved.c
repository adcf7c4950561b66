/* links: base doc store */
/* A document as the store saves it: what can be read is written and read again as the same. */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "store/impl.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_arena_ struct arena *a = arena_new();
    struct doc *d, *again;
    struct err err = { 0 };
    const char *text;

    if (doc_of_saved(a, (struct str){ (const char *)data, size }, &d, &err) < 0) {
        assert(*err.text);
        return 0;
    }
    if (doc_can_be_saved(d, "it", &err) < 0)
        return 0;
    text = doc_to_saved(a, d);
    assert(doc_of_saved(a, str_of(text), &again, &err) == 0);
    /* As text: a NaN is not equal to itself. */
    assert(strcmp(text, doc_to_saved(a, again)) == 0);
    return 0;
}
