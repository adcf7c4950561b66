/* test_mount.c - what is mounted is found and cleared by its name, also where the kernel writes it differently. */
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "run/mount.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static char folder[PATH_MAX];

static void a_mount_is_found_by_its_name(void **state)
{
    _cleanup_arena_ struct arena *a = arena_new();
    const char *inner = arena_printf(a, "%s/in it", folder), *device = NULL;
    struct err err;

    assert_int_equal(mkdir(inner, 0755), 0);
    assert_false(mount_find(a, inner, &device));
    assert_int_equal(mount("none", inner, "tmpfs", 0, NULL), 0);
    assert_true(mount_find(a, inner, &device));
    assert_non_null(strchr(device, ':'));
    assert_true(mount_is_point(inner));
    assert_false(mount_find(a, folder, &device));
    assert_false(mount_find(a, arena_printf(a, "%s/in", folder), &device));
    assert_int_equal(mount_clear(a, folder, &err), 0);
    assert_false(mount_find(a, inner, &device));
}

static int in_a_namespace(void **state)
{
    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0) {
        print_message("mounts need root\n");
        exit(77);
    }
    strcpy(folder, "/tmp/a mount XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    char inner[PATH_MAX + 8];

    snprintf(inner, sizeof inner, "%s/in it", folder);
    return rmdir(inner) || rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_mount_is_found_by_its_name),
    };

    return cmocka_run_group_tests(tests, in_a_namespace, remove_folder);
}
