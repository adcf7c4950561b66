/* Times, written and read. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/clock.h"

#define NOON INT64_C(1709208000000) /* 2024-02-29T12:00:00Z */

static void written(void **state)
{
    _cleanup_arena_ struct arena *a = arena_new();

    assert_string_equal(time_iso8601(a, NOON, false), "2024-02-29T12:00:00Z");
    assert_string_equal(time_iso8601(a, NOON + 7, true), "2024-02-29T12:00:00.007Z");
    assert_string_equal(time_iso8601(a, -1, true), "1969-12-31T23:59:59.999Z");
    assert_string_equal(time_iso8601(a, INT64_C(-61283606400000), false), "0028-01-01T00:00:00Z");
    assert_string_equal(time_http(a, NOON), "Thu, 29 Feb 2024 12:00:00 GMT");
}

static void read(void **state)
{
    static const char *const noons[] = { "2024-02-29T12:00:00Z", "20240229T120000Z", "2024-02-29 12:00:00",
                                         "2024-02-29T13:30:00+01:30", "2024-02-29T12:00:00.000Z", "2024-02-29T12:00" };
    static const char *const bad[] = { "", "2024", "2024-02", "2024-13-01", "2024-02-30", "2024-02-29T12",
                                       "2024-02-29T12:00:00X", "2024-02-29T12:00:00+1", "0x24-02-29" };
    int64_t t;

    for (size_t i = 0; i < sizeof noons / sizeof *noons; i++) {
        assert_true(time_parse_iso8601(str_of(noons[i]), &t));
        assert_int_equal(t, NOON);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (time_parse_iso8601(str_of(bad[i]), &t))
            fail_msg("%s", bad[i]);
    assert_true(time_parse_http(STR("Thu, 29 Feb 2024 12:00:00 GMT"), &t));
    assert_int_equal(t, NOON);
    assert_false(time_parse_http(STR("Thu, 29 Feb 2024 12:00:00"), &t));
    assert_false(time_parse_http(STR("Thu, 29 Fox 2024 12:00:00 GMT"), &t));
}

/* From year 0 to 9999, Februaries of all kinds. */
static void read_back(void **state)
{
    const int64_t week_ms = INT64_C(7) * 86400000 + 1000;
    int64_t t;

    for (int64_t at = INT64_C(-62167219200000); at < INT64_C(253402300800000); at += week_ms) {
        _cleanup_arena_ struct arena *a = arena_new();

        assert_true(time_parse_iso8601(str_of(time_iso8601(a, at, false)), &t));
        assert_int_equal(t, at);
    }
    assert_true(time_parse_iso8601(STR("2023-02-29"), &t));
    assert_int_equal(t, INT64_C(1677628800000)); /* the next day, as ever */
}

static void durations(void **state)
{
    static const struct {
        const char *text;
        int64_t ms;
    } good[] = { { "90", 90000 }, { "90s", 90000 }, { "30m", 1800000 }, { "2h", 7200000 }, { "1d", 86400000 },
                 { "0", 0 }, { "off", 0 } };
    static const char *const bad[] = { "", "s", "m", "-1", "-1m", "1.5h", "1w", "soon", "30 m",
                                       "9223372036854775807d" };
    int64_t ms;

    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        assert_true(duration_parse(str_of(good[i].text), &ms));
        assert_int_equal(ms, good[i].ms);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(duration_parse(str_of(bad[i]), &ms));
}

static void durations_for_people(void **state)
{
    static const struct {
        double ms;
        const char *text;
    } rows[] = { { 0, "0.0 s" }, { 340, "0.3 s" }, { 9949, "9.9 s" }, { 9960, "10 s" }, { 59400, "59 s" },
                 { 59600, "1 min 0 s" }, { 250000, "4 min 10 s" }, { 3600e3, "1 h 0 min" }, { 11520e3, "3 h 12 min" },
                 { 41 * 86400e3, "41 days" } };
    _cleanup_arena_ struct arena *a = arena_new();

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_string_equal(duration_text(a, rows[i].ms), rows[i].text);
    assert_non_null(strstr(duration_text(a, 1e300), " days"));
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(written), cmocka_unit_test(read), cmocka_unit_test(read_back),
                                        cmocka_unit_test(durations), cmocka_unit_test(durations_for_people) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
