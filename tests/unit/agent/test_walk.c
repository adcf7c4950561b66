/* Folders that change while they are walked. */
#include "agent/walk.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static char root[64];

struct seen {
    int files;
    const char *vanishes; /* a folder that is removed when it has just been entered */
};

static int begin(void **state)
{
    strcpy(root, "/tmp/sgb-walk-XXXXXX");
    return mkdtemp(root) ? 0 : -1;
}

static int end(void **state)
{
    struct err err;

    return tree_remove(root, &err);
}

static const char *at(struct arena *a, const char *path)
{
    return arena_printf(a, "%s/%s", root, path);
}

static int count(void *context, int folder, const char *name, const char *path, const struct stat *st, struct err *err)
{
    ((struct seen *)context)->files++;
    return 0;
}

static bool enter(void *context, int folder, const char *path)
{
    const struct seen *s = context;
    _cleanup_arena_ struct arena *a = arena_new();

    if (s->vanishes && strcmp(path, s->vanishes) == 0)
        assert_int_equal(rmdir(at(a, path)), 0);
    return true;
}

static int walk_all(struct arena *a, struct seen *s, struct err *err)
{
    _cleanup_fd_ int fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    return walk(a, fd, &(struct walk){ .file = count, .folder = enter, .context = s }, err);
}

/* A job that keeps its last checkpoints removes old ones all the time. */
static void a_folder_that_is_removed_meanwhile_is_empty(void **state)
{
    _cleanup_arena_ struct arena *a = arena_new();
    struct seen s = { .vanishes = "old" };
    struct err err = { 0 };

    assert_int_equal(folder_make(at(a, "old"), 0755, &err), 0);
    assert_int_equal(folder_make(at(a, "new"), 0755, &err), 0);
    assert_int_equal(file_write_atomic(at(a, "new/model"), "x", 1, 0644, &err), 0);
    assert_int_equal(walk_all(a, &s, &err), 0);
    assert_int_equal(s.files, 1);
}

static void too_deep_is_told(void **state)
{
    _cleanup_arena_ struct arena *a = arena_new();
    struct seen s = { 0 };
    struct err err = { 0 };
    const char *path = "d";

    for (int i = 0; i < 100; i++)
        path = arena_printf(a, "%s/d", path);
    assert_int_equal(folder_make(at(a, path), 0755, &err), 0);
    assert_int_equal(walk_all(a, &s, &err), -1);
    assert_int_equal(err.kind, ERR_LIMIT);
    assert_non_null(strstr(err.text, "folders more than 100 deep"));
    assert_int_equal(rmdir(at(a, path)), 0);
    assert_int_equal(walk_all(a, &s, &err), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_folder_that_is_removed_meanwhile_is_empty, begin, end),
        cmocka_unit_test_setup_teardown(too_deep_is_told, begin, end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
