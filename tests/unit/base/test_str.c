/* test_str.c - text that is cut. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_text_is_cut_where_a_character_ends),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
