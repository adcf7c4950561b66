/* links: base doc sign net aws model run agent */
/* MetricDefinitions, an expression a line up to an empty one, over the log that follows. */
#include <assert.h>
#include <math.h>
#include <stdint.h>

#include "agent/lines.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct doc *definitions(struct arena *a, struct str *text)
{
    struct doc *list = doc_list(a);
    struct str line;

    while (list->count < 8 && str_cut(*text, '\n', &line, text) && line.size) {
        struct doc *one = doc_map(a);

        doc_set_string(a, one, "name", "m");
        doc_set_string(a, one, "regex", str_dup(a, line));
        doc_append(a, list, one);
    }
    return list;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_arena_ struct arena *a = arena_new();
    struct str text = { size ? (const char *)data : "", size }, line;
    struct metrics *m = metrics_new(definitions(a, &text));

    while (line_next(&text, true, &line)) {
        _cleanup_buf_ struct buf b = { 0 };
        double value = NAN;

        line_escape(&b, line);
        for (int i = 0; i < metrics_count(m); i++)
            if (metrics_find(m, i, (struct str){ b.data ? b.data : "", b.size }, &value))
                assert(isfinite(value));
    }
    metrics_free(m);
    return 0;
}
