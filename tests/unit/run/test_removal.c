/* test_removal.c - a name is free at once, whatever stands in the way of the rest; and what is left goes later. */
#include <dirent.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "run/removal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

enum { WAIT_MS = 10000 };

static struct arena *arena;
static char folder[64];

static int setup(void **state)
{
    arena = arena_new();
    strcpy(folder, "/tmp/sgb-removal-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int teardown(void **state)
{
    struct err err;
    int result = tree_remove(folder, &err);

    arena_free(arena);
    return result;
}

static const char *path_of(const char *name)
{
    return arena_printf(arena, "%s/%s", folder, name);
}

static void make(const char *name)
{
    struct err err;

    assert_int_equal(folder_make(path_of(arena_printf(arena, "%s/deep/er", name)), 0700, &err), 0);
    assert_int_equal(file_write_atomic(path_of(arena_printf(arena, "%s/deep/file", name)), "x", 1, 0600, &err), 0);
}

/* How many names are in the folder. */
static int names(void)
{
    struct dirent *entry;
    DIR *d = opendir(folder);
    int count = 0;

    assert_non_null(d);
    while ((entry = readdir(d)) != NULL)
        count += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
    closedir(d);
    return count;
}

static void wait_for_names(int count)
{
    for (int i = 0; i < WAIT_MS && names() != count; i++)
        usleep(1000);
    assert_int_equal(names(), count);
}

static void what_is_taken_goes(void **state)
{
    struct removal *r = removal_new(folder);
    struct err err;

    make("stays");
    for (int i = 0; i < 20; i++) {
        make("a-0");
        assert_int_equal(removal_take(r, "a-0", &err), 0);
        assert_false(path_exists(path_of("a-0")));
    }
    assert_int_equal(removal_take(r, "a-0", &err), 0);
    wait_for_names(1);
    assert_true(path_exists(path_of("stays/deep/file")));
    removal_free(r);
    removal_free(NULL);
}

static void what_another_process_left_goes(void **state)
{
    struct removal *r;

    make(".gone-a-0");
    make(".gone-a-0.0");
    make("a-0");
    r = removal_new(folder);
    wait_for_names(1);
    assert_true(path_exists(path_of("a-0/deep/file")));
    removal_free(r);
}

/* A mount stands in the way of the first: its name can be used, and taken, again, and the second goes. */
static void what_cannot_go_keeps_nobody(void **state)
{
    struct removal *r;
    struct err err;
    const char *inner;

    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        skip();
    r = removal_new(folder);
    make("a-0");
    inner = path_of("a-0/deep/er");
    assert_int_equal(mount("none", inner, "tmpfs", 0, NULL), 0);
    assert_int_equal(removal_take(r, "a-0", &err), 0);
    make("a-0");
    assert_int_equal(removal_take(r, "a-0", &err), 0);
    wait_for_names(1);
    assert_false(path_exists(path_of("a-0")));
    /* Lazily: the thread may have just opened it. */
    assert_int_equal(umount2(path_of(".gone-a-0.0/deep/er"), MNT_DETACH), 0);
    make("b-0");
    assert_int_equal(removal_take(r, "b-0", &err), 0);
    wait_for_names(0);
    removal_free(r);
}

static void one_that_is_stopped_leaves_the_rest(void **state)
{
    atomic_bool stop = true;
    struct err err;

    make("a-0");
    assert_int_equal(tree_remove_until(path_of("a-0"), &stop, &err), 0);
    assert_true(path_exists(path_of("a-0/deep/file")));
    stop = false;
    assert_int_equal(tree_remove_until(path_of("a-0"), &stop, &err), 0);
    assert_int_equal(names(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_is_taken_goes, setup, teardown),
        cmocka_unit_test_setup_teardown(what_another_process_left_goes, setup, teardown),
        cmocka_unit_test_setup_teardown(one_that_is_stopped_leaves_the_rest, setup, teardown),
        cmocka_unit_test_setup_teardown(what_cannot_go_keeps_nobody, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
