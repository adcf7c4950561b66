/* links: base services */
/* A filter pattern, the first line, over the messages that follow. What a pattern of plain words finds has them all. */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "services/logs/pattern.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_arena_ struct arena *a = arena_new();
    struct str rest = { (const char *)data, size }, pattern = rest, message;
    struct log_pattern *p;
    struct err err;

    if (!str_cut(rest, '\n', &pattern, &rest))
        rest = (struct str){ 0 };
    if (log_pattern_parse(a, pattern, &p, &err) < 0) {
        assert(*err.code);
        return 0;
    }
    while (rest.size) {
        struct str after = { 0 };

        message = rest;
        str_cut(rest, '\n', &message, &after);
        rest = after;
        if (log_pattern_matches(p, message) && pattern.size && !memchr(pattern.data, '"', pattern.size) &&
            !memchr(pattern.data, '?', pattern.size) && !memchr(pattern.data, '-', pattern.size) &&
            !memchr(pattern.data, ' ', pattern.size) && !memchr(pattern.data, '\t', pattern.size) &&
            !memchr(pattern.data, '\r', pattern.size))
            assert(memmem(message.data, message.size, pattern.data, pattern.size));
    }
    return 0;
}
