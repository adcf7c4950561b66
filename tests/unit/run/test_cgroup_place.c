/* test_cgroup_place.c - in folders that look as Slurm's groups do, of both versions. */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "run/cgroup_place.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#define V1_STEP "/slurm_n1/uid_0/job_7/step_0"
#define V2_STEP "/system.slice/n1_slurmstepd.scope/job_7/step_0/user"

static const char v1[] = "9:name=systemd:/\n6:freezer:" V1_STEP "\n4:memory:" V1_STEP "/task_0\n2:cpu,cpuacct:/\n";
static const char v2[] = "0::" V2_STEP "/task_0\n";
static const char nobodys[] = "4:memory:/system.slice/slurmd.service\n0::/user.slice/job_1\n";

static struct arena *arena;
static char point[64];

static int setup(void **state)
{
    arena = arena_new();
    strcpy(point, "/tmp/sgb-place-XXXXXX");
    return mkdtemp(point) ? 0 : -1;
}

static int teardown(void **state)
{
    struct err err;
    int result = tree_remove(point, &err);

    arena_free(arena);
    return result;
}

static const char *below(const char *path)
{
    return arena_printf(arena, "%s%s", point, path);
}

static void make(const char *path)
{
    for (const char *slash = strchr(path + 1, '/');; slash = strchr(slash + 1, '/')) {
        mkdir(below(slash ? arena_strndup(arena, path, (size_t)(slash - path)) : path), 0755);
        if (!slash)
            return;
    }
}

static void a_step_is_known_by_its_groups(void **state)
{
    assert_true(cgroup_in_step(str_of(v1)));
    assert_true(cgroup_in_step(str_of(v2)));
    assert_false(cgroup_in_step(str_of(nobodys)));
    assert_false(cgroup_in_step(STR("")));
    assert_false(cgroup_in_step(STR("no lines\n:\n::\n")));
    assert_string_equal(cgroup_path_of(arena, str_of(v1), "cpuacct"), "/");
    assert_string_equal(cgroup_path_of(arena, str_of(v1), "memory"), V1_STEP "/task_0");
    assert_null(cgroup_path_of(arena, str_of(v2), "devices"));
}

static void a_group_is_found_where_it_was_made(void **state)
{
    make(V1_STEP "/task_0/sagebrush-one");
    make(V2_STEP "/task_0");
    make(V2_STEP "/sagebrush-two");
    make("/sagebrush-three");
    assert_string_equal(cgroup_find(arena, point, str_of(v1), "sagebrush-one"), below(V1_STEP "/task_0/sagebrush-one"));
    assert_string_equal(cgroup_find(arena, point, str_of(v2), "sagebrush-two"), below(V2_STEP "/sagebrush-two"));
    assert_string_equal(cgroup_find(arena, point, STR(""), "sagebrush-three"), below("/sagebrush-three"));
    assert_null(cgroup_find(arena, point, str_of(v1), "sagebrush-two"));
    assert_null(cgroup_find(arena, point, STR(""), "sagebrush-one"));
}

static void anybody_finds_it(void **state)
{
    make(V1_STEP "/task_0/sagebrush-one");
    make(V2_STEP "/sagebrush-two");
    make("/user.slice/sagebrush-three");
    assert_non_null(cgroup_find_anywhere(arena, point, STR(""), "sagebrush-one"));
    assert_non_null(cgroup_find_anywhere(arena, point, STR(""), "sagebrush-two"));
    assert_null(cgroup_find_anywhere(arena, point, STR(""), "sagebrush-three"));
    assert_null(cgroup_find_anywhere(arena, "/nowhere", STR(""), "sagebrush-one"));
}

static void what_slurm_left_goes_and_no_more(void **state)
{
    make(V1_STEP "/task_0");
    make(V2_STEP "/task_0");
    cgroup_clear_step(arena, point, below(V1_STEP "/task_0/sagebrush-one"));
    assert_false(path_exists(below("/slurm_n1/uid_0/job_7")));
    assert_true(path_exists(below("/slurm_n1/uid_0")));
    /* Another task's group is there still. */
    cgroup_clear_step(arena, point, below(V2_STEP "/sagebrush-two"));
    assert_true(path_exists(below(V2_STEP "/task_0")));
    cgroup_clear_step(arena, point, below("/sagebrush-three"));
    assert_true(path_exists(point));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_step_is_known_by_its_groups, setup, teardown),
        cmocka_unit_test_setup_teardown(a_group_is_found_where_it_was_made, setup, teardown),
        cmocka_unit_test_setup_teardown(anybody_finds_it, setup, teardown),
        cmocka_unit_test_setup_teardown(what_slurm_left_goes_and_no_more, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
