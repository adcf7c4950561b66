/* links: base doc algo */
/* How predictions are to be told: the Accept header, the default, the selected output and the objective, a line each;
 * then the predictions themselves, two a row when there are two classes. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "algo/response.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *next_line(struct arena *a, struct str *rest)
{
    struct str line = *rest, after = STR("");

    if (!str_cut(*rest, '\n', &line, &after))
        line = *rest;
    *rest = after;
    return str_dup(a, line);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_arena_ struct arena *a = arena_new();
    struct str rest = { size ? (const char *)data : "", size };
    const char *header = next_line(a, &rest), *by_default = next_line(a, &rest), *selected = next_line(a, &rest);
    struct response_options o = { .selected = *selected ? selected : NULL, .objective = next_line(a, &rest) };
    size_t count = rest.size / sizeof(float);
    float *values = arena_array_of(a, float, count + 1);
    struct err err = { 0 };
    enum accept accept;

    if (accept_parse(str_of(header), by_default, &accept, &err) < 0) {
        assert(err.kind == ERR_INVALID && *err.text);
        return 0;
    }
    memcpy(values, rest.data, count * sizeof *values);
    o.batch = size & 1;
    o.classes = size & 2 ? 2 : 0;
    for (size_t width = 1; width <= 2; width++) {
        _cleanup_buf_ struct buf b = { 0 };

        if (response_print(&b, accept, &o, values, count / width, width, &err) < 0)
            assert(*err.text);
    }
    return 0;
}
