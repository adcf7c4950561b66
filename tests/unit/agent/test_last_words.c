/* test_last_words.c - what a container wrote may be anything: what is text of it is told. */
#include <stdlib.h>
#include <string.h>

#include "agent/last_words.h"
#include "base/fd.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static void what_is_no_utf8_shows_as_question_marks(void **state)
{
    static const struct {
        const char *wrote, *told;
    } cases[] = {
        { "Gr\xc3\xb6\xc3\x9f" "e", "Gr\xc3\xb6\xc3\x9f" "e" },
        { "value 'gr\xf6\xdf" "e' is no number", "value 'gr??e' is no number" },
        { "\xff\xfe\x01\tx", "?? \tx" },
        { "cut \xe2\x82", "cut ??" },
        { "\xf0\x9f\x98\x80\x80!", "\xf0\x9f\x98\x80?!" },
    };
    _cleanup_arena_ struct arena *a = arena_new();
    char folder[] = "/tmp/sagebrush-words-XXXXXX";
    struct err err;

    assert_non_null(mkdtemp(folder));
    assert_int_equal(folder_make(arena_printf(a, "%s/ml/output", folder), 0700, &err), 0);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct last_words w = { .folder = folder, .ml = arena_printf(a, "%s/ml", folder), .reason_file = "failure" };

        assert_int_equal(file_write_atomic(arena_printf(a, "%s/output/failure", w.ml), cases[i].wrote,
                                           strlen(cases[i].wrote), 0600, &err), 0);
        assert_string_equal(last_words(a, &w), cases[i].told);
    }
    tree_remove(folder, &err);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_no_utf8_shows_as_question_marks),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
