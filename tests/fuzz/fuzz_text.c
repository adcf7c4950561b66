/* links: base */
/* The small formats inside of everything: numbers, hex, base64, percent-encoding, times. What was read, written and
 * read again is the same. */
#include <assert.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "algo/number.h"
#include "base/clock.h"
#include "base/str.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_codes(struct arena *a, struct str s)
{
    _cleanup_buf_ struct buf b = { 0 };
    struct str back;
    char *hex = arena_alloc(a, 2 * s.size + 1), *bytes = arena_alloc(a, s.size + 1);

    assert(base64_decode(a, str_of(base64_encode(a, s.data, s.size)), &back) && str_eq(back, s));
    if (base64_decode(a, s, &back))
        assert(back.size <= s.size);
    hex_encode(hex, s.data, s.size);
    assert(hex_decode(bytes, str_of(hex)) && str_eq((struct str){ bytes, s.size }, s));
    hex_decode(bytes, s);
    for (int slash = 0; slash < 2; slash++) {
        b.size = 0;
        uri_encode(&b, s, slash);
        assert(str_eq(uri_decode(a, (struct str){ b.data, b.size }, slash), s));
    }
    assert(uri_decode(a, s, true).size <= s.size);
    utf8_valid(s);
}

static void check_numbers(struct arena *a, struct str s)
{
    char *text = str_dup(a, s), *end;
    const char *after;
    int64_t whole, again;
    double real;
    float f;

    if (str_to_int64(s, &whole))
        assert(str_to_int64(str_of(arena_printf(a, "%lld", (long long)whole)), &again) && again == whole);
    if (str_to_double(s, &real)) {
        assert(isfinite(real) && strtod(text, &end) == real);
        assert(*end == '\0');
    }
    after = number_parse(s.data, s.data + s.size, &f);
    if (after) {
        size_t taken = (size_t)(after - s.data);

        assert(taken > 0 && taken <= s.size);
        /* More digits than that are not looked at. */
        if (taken < 500) {
            float expected = (float)strtod(arena_strndup(a, s.data, taken), NULL);

            assert(f == expected || (isnan(f) && isnan(expected)));
        }
    }
}

static void check_times(struct arena *a, struct str s)
{
    static const int64_t year_0 = INT64_C(-62167219200000), year_10000 = INT64_C(253402300800000);
    int64_t t, again;

    if (time_parse_iso8601(s, &t) && t >= year_0 && t < year_10000)
        assert(time_parse_iso8601(str_of(time_iso8601(a, t, true)), &again) && again == t);
    if (time_parse_http(s, &t) && t < year_10000)
        assert(time_parse_http(str_of(time_http(a, t)), &again) && again == t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_arena_ struct arena *a = arena_new();
    struct str s = { size ? (const char *)data : "", size };

    check_codes(a, s);
    check_numbers(a, s);
    check_times(a, s);
    return 0;
}
