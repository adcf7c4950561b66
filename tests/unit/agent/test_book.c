#include "agent/book.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static char folder[64];

static int make_folder(void **state)
{
    strcpy(folder, "/tmp/book-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    struct err err;

    return tree_remove(folder, &err);
}

static struct book *open_it(void)
{
    struct err err = { 0 };
    struct book *b;

    if (book_open(folder, &b, &err) < 0)
        fail_msg("%s", err.text);
    return b;
}

static const char *mark(struct book *b, struct arena *a, const char *path)
{
    struct book_entry e;

    return book_find(b, a, path, &e) ? e.mark : NULL;
}

static size_t count(struct book *b, struct arena *a)
{
    const char **paths = book_paths(b, a);
    size_t n = 0;

    while (paths[n])
        n++;
    return n;
}

static void what_was_written_is_read(void **state)
{
    static const char odd[] = "a b\n+ c%/\x01\xff";
    _cleanup_arena_ struct arena *a = arena_new();
    struct book *b = open_it();
    struct book_entry e;

    book_intend(b, "x");
    book_note(b, "x", "1");
    book_intend(b, "y");
    book_note(b, odd, "2");
    book_note(b, "gone", "3");
    book_forget(b, "gone");
    book_intend(b, "x"); /* it is put again: S3 has the old one, or the new one */
    book_torn(b, "z", 77);
    for (int i = 0; i < 3; i++) {
        assert_string_equal(mark(b, a, "x"), "1");
        assert_string_equal(mark(b, a, "y"), "");
        assert_string_equal(mark(b, a, odd), "2");
        assert_null(mark(b, a, "gone"));
        assert_true(book_find(b, a, "z", &e));
        assert_int_equal(e.torn_inode, 77);
        assert_int_equal(count(b, a), 3); /* what was never put is nothing to remove */
        book_free(b);
        b = open_it();
    }
    book_note(b, "z", "4");
    book_find(b, a, "z", &e);
    assert_int_equal(e.torn_inode, 0);
    book_free(b);
}

static void uploads_that_did_not_end(void **state)
{
    _cleanup_arena_ struct arena *a = arena_new();
    struct book *b = open_it();
    const struct book_upload *u;

    for (const char *const *path = (const char *const[]){ "ended", "left", "removed", NULL }; *path; path++) {
        book_intend(b, *path);
        book_begin_upload(b, *path, "id-1");
    }
    book_note(b, "ended", "1");
    book_forget(b, "removed");
    book_begin_upload(b, "left", "id-2");
    for (int i = 0; i < 3; i++) {
        u = book_uploads(b, a);
        assert_string_equal(u[0].path, "left");
        assert_string_equal(u[0].upload, "id-2");
        assert_null(u[1].path);
        assert_string_equal(mark(b, a, "left"), "");
        book_free(b);
        b = open_it();
    }
    book_free(b);
}

static void a_line_that_was_cut_off(void **state)
{
    _cleanup_arena_ struct arena *a = arena_new();
    const char *path = arena_printf(a, "%s/checkpoints.log", folder);
    struct book *b = open_it();
    struct stat st;

    book_intend(b, "x");
    book_note(b, "x", "1");
    book_forget(b, "x");
    book_free(b);
    assert_int_equal(stat(path, &st), 0);
    for (off_t size = st.st_size; size >= 0; size--) {
        assert_int_equal(truncate(path, size), 0);
        b = open_it();
        assert_true(!mark(b, a, "x") || !*mark(b, a, "x") || strcmp(mark(b, a, "x"), "1") == 0);
        book_note(b, "y", "2");
        book_free(b);
        b = open_it();
        assert_string_equal(mark(b, a, "y"), "2");
        book_forget(b, "y");
        book_free(b);
    }
}

static void the_end_stays(void **state)
{
    struct err err = { 0 };
    struct book *b = open_it();

    assert_false(book_closed(b));
    assert_false(book_killed(b));
    book_kill(b);
    assert_int_equal(book_close(b, &err), 0);
    for (int i = 0; i < 2; i++) {
        assert_true(book_closed(b));
        assert_true(book_killed(b));
        book_free(b);
        b = open_it();
    }
    book_free(b);
    assert_int_equal(book_remove(folder, &err), 0);
    assert_int_equal(book_remove(folder, &err), 0);
    b = open_it();
    assert_false(book_closed(b));
    book_free(b);
}

static void a_long_life_is_a_short_file(void **state)
{
    _cleanup_arena_ struct arena *a = arena_new();
    struct book *b = open_it();
    struct stat st;

    for (int i = 0; i < 100000; i++)
        book_note(b, "x", "1");
    assert_int_equal(stat(arena_printf(a, "%s/checkpoints.log", folder), &st), 0);
    assert_true(st.st_size < 200000);
    book_free(b);
    b = open_it();
    assert_string_equal(mark(b, a, "x"), "1");
    book_free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_was_written_is_read, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(uploads_that_did_not_end, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(a_line_that_was_cut_off, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(the_end_stays, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(a_long_life_is_a_short_file, make_folder, remove_folder),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
