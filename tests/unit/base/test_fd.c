/* Files that are ensured. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"

/* Last: it has a macro of the name of fail(). */
#include <cmocka.h>

static struct stat ensure(const char *path, const char *text, mode_t mode)
{
    _cleanup_arena_ struct arena *a = arena_new();
    struct err err = { 0 };
    struct stat st;
    struct str there;

    if (file_ensure(path, text, strlen(text), mode, &err) < 0)
        fail_msg("%s", err.text);
    assert_int_equal(file_read(a, path, 100, &there, &err), 0);
    assert_string_equal(there.data, text);
    assert_int_equal(lstat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, mode);
    return st;
}

static void test_nothing_is_written_twice(void **state)
{
    char folder[] = "/tmp/sagebrush-fd-XXXXXX", path[64], link_path[64];
    struct err err;
    struct stat st;

    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/file", folder);
    snprintf(link_path, sizeof link_path, "%s/link", folder);
    st = ensure(path, "text", 0644);
    assert_true(st.st_ino == ensure(path, "text", 0644).st_ino);
    assert_true(st.st_ino != ensure(path, "TEXT", 0644).st_ino);
    ensure(path, "TEXT", 0600);
    ensure(path, "TEXT and more", 0600);
    ensure(path, "", 0600);
    /* What a link leads to is not the file. */
    assert_int_equal(symlink(path, link_path), 0);
    assert_true(S_ISREG(ensure(link_path, "", 0600).st_mode));
    assert_int_equal(tree_remove(folder, &err), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_nothing_is_written_twice) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
