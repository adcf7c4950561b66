/* links: base doc */
#include "doc/toml.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void walk(const struct doc *d, int lines)
{
    assert(toml_line(d) >= 1 && toml_line(d) <= lines);
    for (uint32_t i = 0; d->type == DOC_LIST && i < d->count; i++)
        walk(d->items[i], lines);
    for (uint32_t i = 0; d->type == DOC_MAP && i < d->count; i++) {
        walk(d->members[i].value, lines);
        for (uint32_t j = 0; j < i; j++)
            assert(strcmp(d->members[i].key, d->members[j].key) != 0);
    }
}

/* Whatever comes in: a document whose values know lines of the text, or an error with words. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_arena_ struct arena *a = arena_new();
    struct err err = { 0 };
    struct doc *d;
    int lines = 1;

    for (size_t i = 0; i < size; i++)
        lines += data[i] == '\n';
    if (toml_parse(a, "f", (struct str){ (const char *)data, size }, &d, &err) == 0)
        walk(d, lines);
    else
        assert(err.text[0]);
    return 0;
}
