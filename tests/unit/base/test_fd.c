/* Files that are ensured, trees that are removed. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
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

static void make_deep(const char *folder, int levels)
{
    int at = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);

    for (int i = 0; i < levels; i++) {
        int next;

        assert_int_equal(mkdirat(at, "d", 0755), 0);
        close(openat(at, "file", O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
        next = openat(at, "d", O_PATH | O_DIRECTORY | O_CLOEXEC);
        assert_true(next >= 0);
        close(at);
        at = next;
    }
    close(at);
}

/* A job may leave one that is deeper than we have descriptors, or memory. */
static void test_a_tree_of_any_depth_is_removed(void **state)
{
    _cleanup_arena_ struct arena *a = arena_new();
    char folder[] = "/tmp/sagebrush-fd-XXXXXX";
    struct rlimit before, few;
    struct err err = { 0 };

    assert_non_null(mkdtemp(folder));
    make_deep(folder, 1000);
    /* Names of our own that the job was the first to take: a file, a folder with something in it, a link. */
    ensure(arena_printf(a, "%s/.deep-0", folder), "", 0644);
    assert_int_equal(folder_make(arena_printf(a, "%s/.deep-1/d", folder), 0755, &err), 0);
    assert_int_equal(symlink("/tmp", arena_printf(a, "%s/.deep-2", folder)), 0);
    make_deep(arena_printf(a, "%s/.deep-1/d", folder), 200);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    few = (struct rlimit){ 100, before.rlim_max };
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    if (tree_remove(folder, &err) < 0)
        fail_msg("%s", err.text);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_false(path_exists(folder));
    assert_true(path_exists("/tmp"));
    assert_int_equal(tree_remove(folder, &err), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_is_written_twice),
        cmocka_unit_test(test_a_tree_of_any_depth_is_removed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
