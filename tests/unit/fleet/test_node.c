#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "fleet/node.h"

#include <cmocka.h>

static const char fleet_text[] =
    "[[pools]]\nname = \"any\"\n[[pools]]\nname = \"picky\"\naccepts = [\"ml.p3.2xlarge\", \"ml.m5.*\"]\n"
    "spot = \"never\"\nspares = 1\n"
    "[[nodes]]\nname = \"c\"\ncount = 3\ncores = 16\nmemory = \"64GiB\"\n"
    "[[nodes]]\nname = \"g\"\ncores = 64\nmemory = \"512GiB\"\ngpus = { kind = \"V100\", count = 4 }\n"
    "labels = { rack = \"a\", zone = \"z\" }\n"
    "[[nodes]]\nname = \"p\"\ncount = 2\npool = \"picky\"\ncores = 16\nmemory = \"64GiB\"\n"
    "gpus = { kind = \"A100\", count = 2 }\n";

struct place {
    struct arena *arena;
    struct fleet fleet;
    struct nodes *nodes;
};

static int setup(void **state)
{
    static struct place p;
    struct err err;

    p.arena = arena_new();
    assert_int_equal(fleet_read(p.arena, "f", str_of(fleet_text), &p.fleet, &err), 0);
    p.nodes = nodes_new(&p.fleet);
    *state = &p;
    return 0;
}

static int teardown(void **state)
{
    struct place *p = *state;

    nodes_free(p->nodes);
    arena_free(p->arena);
    return 0;
}

static int shape_of(struct place *p, const struct ask *ask)
{
    struct err err = { 0 };
    int s = -1;

    if (nodes_shape(p->nodes, ask, &s, &err) < 0)
        fail_msg("%s", err.text);
    return s;
}

static int shape(struct place *p, const char *type, bool spot, const char *labels)
{
    return shape_of(p, &(struct ask){ type, spot, labels, 0 });
}

static void room_is_counted_over_all_nodes(void **state)
{
    struct place *p = *state;
    int m5 = shape(p, "ml.m5.4xlarge", false, ""), spot = shape(p, "ml.m5.4xlarge", true, "");

    /* Three and four and one: the other of the picky ones is a spare. Spot may not go there. */
    assert_int_equal(nodes_slots(p->nodes, LEFT, m5), 8);
    assert_int_equal(nodes_slots(p->nodes, LEFT, spot), 7);
    assert_int_equal(p->nodes->shapes[m5].most, 8);
    assert_int_equal(nodes_find(p->nodes, "p-2")->state, NODE_SPARE);
    node_take(p->nodes, nodes_find(p->nodes, "c-1"), spot);
    assert_int_equal(nodes_slots(p->nodes, LEFT, m5), 7);
    assert_int_equal(nodes_slots(p->nodes, FIRM, m5), 8);
    node_take(p->nodes, nodes_find(p->nodes, "c-2"), m5);
    assert_int_equal(nodes_slots(p->nodes, FIRM, m5), 7);
    node_give(p->nodes, nodes_find(p->nodes, "c-1"), spot);
    node_give(p->nodes, nodes_find(p->nodes, "c-2"), m5);
    assert_int_equal(nodes_slots(p->nodes, LEFT, m5), 8);
    /* A shape that comes later is counted, too. */
    assert_int_equal(nodes_slots(p->nodes, LEFT, shape(p, "ml.m5.xlarge", false, "")), 3 * 4 + 16 + 4);
}

/* Whatever people ask for, and ask again: what can be had is few. */
static void there_are_no_more_shapes_than_the_nodes_make(void **state)
{
    struct place *p = *state;
    int any = shape(p, "ml.m5.large", false, ""), there = shape(p, "ml.m5.large", false, "rack=a");

    assert_int_not_equal(any, there);
    assert_int_equal(shape(p, "ml.m5.large", false, "rack=a,zone=z"), there);
    assert_int_equal(shape(p, "ml.m5.large", false, "rack=a,rack=a"), there);
    assert_int_not_equal(shape(p, "ml.m5.large", true, "rack=a"), there);
    assert_int_not_equal(shape(p, "ml.m5.xlarge", false, "rack=a"), there);
    assert_int_equal(p->nodes->shape_count, 4);
    for (int i = 0; i < 10000; i++) {
        const char *again = "rack=a";

        assert_int_equal(shape(p, "ml.m5.large", false, arena_printf(p->arena, "rack=%d", i)), -1);
        for (int more = i % 500; more > 0; more--)
            again = arena_printf(p->arena, "%s,zone=z", again);
        if (i < 500)
            assert_int_equal(shape(p, "ml.m5.large", false, again), there);
    }
    assert_int_equal(p->nodes->shape_count, 4);
    assert_int_equal(shape(p, "ml.m5.large", false, ""), any);
}

/* Volumes, too. */
static void volumes_make_few_shapes_and_none_where_no_disk_is_counted(void **state)
{
    struct place *p = *state;
    int any = shape(p, "ml.m5.large", false, ""), none = shape(p, "ml.m5.large", false, "rack=a");

    for (int64_t gb = 1; gb <= 16384; gb++) {
        assert_int_equal(shape_of(p, &(struct ask){ "ml.m5.large", false, "", gb }), any);
        assert_int_equal(shape_of(p, &(struct ask){ "ml.m5.large", false, "rack=a", gb }), none);
    }
    assert_int_equal(p->nodes->shape_count, 2);
}

static void volumes_that_are_counted_make_few_shapes(void **state)
{
    static const char text[] = "[[nodes]]\nname = \"d\"\ncount = 2\ncores = 16\nmemory = \"64GiB\"\n"
                               "disk = \"1500GiB\"\n"
                               "[[nodes]]\nname = \"b\"\ncores = 16\nmemory = \"64GiB\"\ndisk = \"100TB\"\n"
                               "[[nodes]]\nname = \"u\"\ncores = 4\nmemory = \"64GiB\"\n";
    struct place p = { .arena = arena_new() };
    struct err err;
    int large, small;

    assert_int_equal(fleet_read(p.arena, "f", str_of(text), &p.fleet, &err), 0);
    p.nodes = nodes_new(&p.fleet);
    small = shape_of(&p, &(struct ask){ "ml.m5.large", false, "", 100 });
    large = shape_of(&p, &(struct ask){ "ml.m5.large", false, "", 1500 });
    /* 8 instances by their memory and cores, 2 on the node that counts none. */
    assert_int_equal(nodes_slots(p.nodes, LEFT, small), 8 + 8 + 8 + 2);
    assert_int_equal(nodes_slots(p.nodes, LEFT, large), 1 + 1 + 8 + 2); /* to the last GB */
    node_take(p.nodes, nodes_find(p.nodes, "u"), large);
    node_take(p.nodes, nodes_find(p.nodes, "d-1"), large);
    assert_int_equal(nodes_slots(p.nodes, LEFT, small), 0 + 8 + 8 + 1);
    assert_true(nodes_find(p.nodes, "u")->room[LEFT].disk_mib == DISK_UNCOUNTED);
    node_give(p.nodes, nodes_find(p.nodes, "d-1"), large);
    node_give(p.nodes, nodes_find(p.nodes, "u"), large);
    for (int64_t gb = 1; gb <= 16384; gb++) {
        struct ask ask = { "ml.m5.large", false, "", gb };
        int number = shape_of(&p, &ask);
        int64_t counted_mib = p.nodes->shapes[number].type.needs.disk_mib;

        assert_true(counted_mib >= gb * 1024 && counted_mib <= gb * 1024 * 65 / 64);
    }
    assert_in_range(p.nodes->shape_count, 500, 1000);
    nodes_free(p.nodes);
    arena_free(p.arena);
}

static void gpus_labels_and_pools_choose_the_nodes(void **state)
{
    struct place *p = *state;
    int p3 = shape(p, "ml.p3.2xlarge", false, ""), p38 = shape(p, "ml.p3.8xlarge", false, "");

    /* The picky pool has other GPUs, and says by name that they will do. */
    assert_int_equal(nodes_slots(p->nodes, LEFT, p3), 4 + 1);
    assert_int_equal(nodes_slots(p->nodes, LEFT, p38), 1);
    assert_int_equal(shape(p, "ml.p4d.24xlarge", false, ""), -1);
    assert_int_equal(nodes_slots(p->nodes, LEFT, shape(p, "ml.m5.large", false, "rack=a")), 32);
    assert_int_equal(nodes_slots(p->nodes, LEFT, shape(p, "ml.m5.large", false, "rack=a,zone=z")), 32);
    assert_int_equal(shape(p, "ml.m5.large", false, "rack=a,zone=y"), -1);
    assert_int_equal(shape(p, "ml.m5.large", false, "rack"), -1);
}

static const struct node *best(struct place *p, int s)
{
    struct shelf *shelf = nodes_best(p->nodes, LEFT, s);

    return shelf ? list_entry(shelf->nodes.next, struct node, on[LEFT].link) : NULL;
}

static void the_best_node_has_least_left_and_no_idle_gpus(void **state)
{
    struct place *p = *state;
    int m5 = shape(p, "ml.m5.xlarge", true, ""), p3 = shape(p, "ml.p3.2xlarge", false, "rack=a");
    struct node *half = nodes_find(p->nodes, "c-2");

    assert_true(best(p, m5)->name[0] == 'c');
    node_take(p->nodes, half, m5);
    assert_ptr_equal(best(p, m5), half);
    half->lemon = true;
    node_shelve(p->nodes, half);
    assert_true(best(p, m5) != half && best(p, m5)->name[0] == 'c');
    half->lemon = false;
    node_shelve(p->nodes, half);
    for (int i = 0; i < 3; i++)
        node_take(p->nodes, half, m5);
    assert_true(best(p, m5) != half);
    assert_string_equal(best(p, p3)->name, "g");
}

static void gpus_are_given_by_index(void **state)
{
    struct place *p = *state;
    struct node *g = nodes_find(p->nodes, "g");

    assert_int_equal(node_gpus(p->nodes, g, 2), 3);
    g->gpus_taken = 5;
    assert_int_equal(node_gpus(p->nodes, g, 2), 10);
    assert_int_equal(node_gpus(p->nodes, g, 0), 0);
    assert_null(nodes_find(p->nodes, "x"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(room_is_counted_over_all_nodes, setup, teardown),
        cmocka_unit_test_setup_teardown(there_are_no_more_shapes_than_the_nodes_make, setup, teardown),
        cmocka_unit_test_setup_teardown(volumes_make_few_shapes_and_none_where_no_disk_is_counted, setup, teardown),
        cmocka_unit_test(volumes_that_are_counted_make_few_shapes),
        cmocka_unit_test_setup_teardown(gpus_labels_and_pools_choose_the_nodes, setup, teardown),
        cmocka_unit_test_setup_teardown(the_best_node_has_least_left_and_no_idle_gpus, setup, teardown),
        cmocka_unit_test_setup_teardown(gpus_are_given_by_index, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
