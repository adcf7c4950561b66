#include "agent/node_place.h"

#include <stdlib.h>

#include "base/fd.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "../held.h"

static void touch(const char *path)
{
    struct err err;

    assert_int_equal(file_write_atomic(path, "", 0, 0600, &err), 0);
}

static void a_keeper_that_was_killed_leaves_nothing_for_good(void **state)
{
    _cleanup_arena_ struct arena *a = arena_new();
    char root[] = "/tmp/sagebrush-node-place-XXXXXX";
    struct node_place ours, left, kept, held;
    pid_t keeper, node;
    struct err err;

    assert_non_null(mkdtemp(root));
    ours = node_place_of(a, root, "ours", root);
    left = node_place_of(a, root, "left", root);
    kept = node_place_of(a, root, "kept", root);
    held = node_place_of(a, root, "held", root);
    assert_int_equal(folder_make(ours.agents, 0700, &err), 0);
    touch(ours.keeper);
    touch(left.keeper);
    keeper = hold(kept.keeper);
    touch(held.keeper); /* of one that works on, without its keeper */
    node = hold(held.lock);
    node_place_sweep(a, &ours);
    assert_false(path_exists(left.keeper));
    assert_true(path_exists(ours.keeper));
    assert_true(path_exists(kept.keeper));
    assert_true(path_exists(held.keeper));
    let_go(keeper);
    let_go(node);
    node_place_sweep(a, &ours);
    assert_false(path_exists(kept.keeper));
    assert_false(path_exists(held.keeper));
    assert_false(path_exists(held.lock));
    assert_int_equal(tree_remove(root, &err), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_keeper_that_was_killed_leaves_nothing_for_good),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
