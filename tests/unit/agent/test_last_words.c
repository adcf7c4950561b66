/* test_last_words.c - what a container wrote may be anything: what is text of it is told. */
#include <stdlib.h>
#include <string.h>

#include "agent/last_words.h"
#include "base/fd.h"
#include "base/str.h"
#include "run/folder.h"

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

static void write_text(const char *path, const char *text)
{
    struct err err;

    assert_int_equal(file_write_atomic(path, text, strlen(text), 0600, &err), 0);
}

static void a_launchers_reason_has_its_programs_before_it(void **state)
{
#define TITLE "Traceback (most recent call last):\n"
#define CALLED "subprocess.CalledProcessError: Command 'x' returned non-zero exit status 1."
    static const struct {
        const char *wrote, *logged, *told;
    } cases[] = {
        { TITLE "  run()\n" CALLED "\n\n",
          TITLE "File \"x\"\nf()\nValueError: no label\nfailed: " TITLE "  b\n" CALLED "\n",
          "ValueError: no label\n" TITLE "  run()\n" CALLED },
        /* It has a log that tells nothing. */
        { TITLE "  run()\n" CALLED, "up\n", TITLE "  run()\n" CALLED },
        /* What goes on after it knows better, as script mode does. */
        { TITLE CALLED "\nCommand \"x\"", "ValueError: no label\n" TITLE CALLED "\n", TITLE CALLED "\nCommand \"x\"" },
        { "ValueError: mine", "KeyError: 1\n" TITLE CALLED "\n", "ValueError: mine" },
    };
    _cleanup_arena_ struct arena *a = arena_new();
    char folder[] = "/tmp/sagebrush-words-XXXXXX";
    struct err err;

    assert_non_null(mkdtemp(folder));
    assert_int_equal(folder_make(arena_printf(a, "%s/ml/output", folder), 0700, &err), 0);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct last_words w = { .folder = folder, .ml = arena_printf(a, "%s/ml", folder), .reason_file = "failure" };
        struct str told;

        write_text(arena_printf(a, "%s/output/failure", w.ml), cases[i].wrote);
        write_text(arena_printf(a, "%s/" FOLDER_OUTPUT, folder), cases[i].logged);
        told = str_trim(str_of(last_words(a, &w)));
        assert_string_equal(str_dup(a, told), cases[i].told);
    }
    tree_remove(folder, &err);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_no_utf8_shows_as_question_marks),
        cmocka_unit_test(a_launchers_reason_has_its_programs_before_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
