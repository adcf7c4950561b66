#include <string.h>

#include "agent/lines.h"
#include "doc/json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static void lines_end_at_newlines(void **state)
{
    struct str text = STR("one\n\ntwo"), line;

    assert_true(line_next(&text, false, &line) && str_is(line, "one"));
    assert_true(line_next(&text, false, &line) && str_is(line, ""));
    assert_false(line_next(&text, false, &line));
    assert_true(line_next(&text, true, &line) && str_is(line, "two"));
    assert_false(line_next(&text, true, &line));
}

static void long_lines_come_in_pieces(void **state)
{
    static char data[LINE_MAX_BYTES + 10];
    struct str text = { data, sizeof data }, line;

    memset(data, 'x', sizeof data);
    memcpy(data + LINE_MAX_BYTES - 1, "\xc3\xa9", 2); /* not cut in its middle */
    assert_true(line_next(&text, false, &line));
    assert_int_equal(line.size, LINE_MAX_BYTES - 1);
    assert_false(line_next(&text, false, &line));
    assert_true(line_next(&text, true, &line));
    assert_int_equal(line.size, 11);
}

static void check_escape(const char *data, size_t size, const char *expected)
{
    _cleanup_buf_ struct buf b = { 0 };

    buf_append(&b, "", 0);
    line_escape(&b, (struct str){ data, size });
    assert_string_equal(b.data ? b.data : "", expected);
}

static void control_characters_are_written_out(void **state)
{
    check_escape("a\tb", 3, "a#011b");
    check_escape("50%\r100%", 8, "50%#015100%");
    check_escape("\0\x1b[0m\x7f", 6, "#000#033[0m#177");
    check_escape("\xc3\xa9\xe2\x82\xac", 5, "\xc3\xa9\xe2\x82\xac");
    check_escape("\xff\xc3", 2, "\xef\xbf\xbd\xef\xbf\xbd");
    check_escape("\xe2\x82x", 3, "\xef\xbf\xbd\xef\xbf\xbdx");
}

static void metrics_are_found(void **state)
{
    _cleanup_arena_ struct arena *a = arena_new();
    struct metrics *m;
    struct doc *d;
    struct err err = { 0 };
    double value;

    assert_int_equal(
        json_parse(a,
                   STR("[{\"name\":\"loss\",\"regex\":\"loss=([0-9.e+-]+)\"},"
                       "{\"name\":\"rmse\",\"regex\":\".*\\\\[[0-9]+\\\\].*#011validation-rmse:(\\\\S+)\"},"
                       "{\"name\":\"any\",\"regex\":\"v=(.*)\"}]"),
                   &d, &err),
        0);
    m = metrics_new(d);
    assert_int_equal(metrics_count(m), 3);
    assert_true(metrics_find(m, 0, STR("epoch 1 loss=1.5e-3 done"), &value));
    assert_true(value == 1.5e-3);
    assert_true(metrics_find(m, 1, STR("[12]#011train-rmse:1#011validation-rmse:2.25"), &value));
    assert_true(value == 2.25);
    assert_true(metrics_find(m, 2, STR("v= -7 "), &value) && value == -7);
    assert_false(metrics_find(m, 2, STR("v=nan"), &value));
    assert_false(metrics_find(m, 2, STR("v=1 2"), &value));
    assert_false(metrics_find(m, 2, STR("v="), &value));
    assert_false(metrics_find(m, 0, STR("nothing"), &value));
    /* A progress bar, one that was wiped, one that said it before, and one that is but the end of its line. */
    assert_true(metrics_find(m, 0, STR("#0150% loss=9#01550% loss=4#015100% loss=2"), &value) && value == 2);
    assert_true(metrics_find(m, 0, STR("#01550% loss=4#015        #015loss=3"), &value) && value == 3);
    assert_true(metrics_find(m, 0, STR("#01550% loss=4#015100%"), &value) && value == 4);
    assert_true(metrics_find(m, 0, STR("loss=5#015"), &value) && value == 5);
    metrics_free(m);
    assert_int_equal(json_parse(a, STR("[{\"name\":\"x\",\"regex\":\"(\"}]"), &d, &err), 0);
    m = metrics_new(d);
    assert_false(metrics_find(m, 0, STR("x"), &value));
    metrics_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_end_at_newlines),
        cmocka_unit_test(long_lines_come_in_pieces),
        cmocka_unit_test(control_characters_are_written_out),
        cmocka_unit_test(metrics_are_found),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
