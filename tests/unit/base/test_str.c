/* test_str.c - text that is cut. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/str.h"

static void a_text_is_cut_where_a_character_ends(void **state)
{
    struct str euro = STR("ab\xe2\x82\xac");

    assert_true(str_is(utf8_first(euro, 100), "ab\xe2\x82\xac"));
    assert_true(str_is(utf8_first(euro, 5), "ab\xe2\x82\xac"));
    assert_true(str_is(utf8_first(euro, 4), "ab"));
    assert_true(str_is(utf8_first(euro, 3), "ab"));
    assert_true(str_is(utf8_first(euro, 2), "ab"));
    assert_true(str_is(utf8_first(euro, 0), ""));
    assert_true(str_is(utf8_first((struct str){ 0 }, 0), ""));
    /* Nothing but the middle of characters: nothing is whole. */
    assert_true(str_is(utf8_first(STR("\x82\x82\x82"), 2), ""));
}

static void a_plain_text_is_obeyed_by_no_terminal(void **state)
{
    static const struct {
        const char *text, *plain;
    } cases[] = {
        { "", "" },
        { "GPU 0 \xe2\x82\xac \xc2\xa0\xc3\x9b", "GPU 0 \xe2\x82\xac \xc2\xa0\xc3\x9b" },
        { "a\nb\tc\033[2Jd\177", "a b c [2Jd " },
        { "\xc2\x9b" "31m\xc2\x80\xc2", "  31m  \xc2" },
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[64];

        strcpy(text, cases[i].text);
        text_make_plain(text);
        assert_string_equal(text, cases[i].plain);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_text_is_cut_where_a_character_ends),
        cmocka_unit_test(a_plain_text_is_obeyed_by_no_terminal),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
