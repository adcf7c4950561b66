/* links: base doc */
/* What was read and printed reads the same again. */
#include <assert.h>
#include <stdint.h>

#include "doc/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_arena_ struct arena *a = arena_new();
    struct doc *d, *again;
    struct err err;
    char *text;

    if (json_parse(a, (struct str){ (const char *)data, size }, &d, &err) < 0)
        return 0;
    text = json_text(a, d);
    assert(json_parse(a, str_of(text), &again, &err) == 0);
    assert(doc_equal(d, again));
    return 0;
}
