#include <stdlib.h>
#include <string.h>

#include "fleet/limits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static const int64_t gib = (int64_t)1 << 30;

static void a_machine_bears_so_many(void **state)
{
    assert_int_equal(machine_slots(&(struct machine){ 8, 64 * gib, 0 }), 32);
    assert_int_equal(machine_slots(&(struct machine){ 8, 2 * gib, 0 }), 4);
    assert_int_equal(machine_slots(&(struct machine){ 8, gib / 4, 0 }), 1);
}

static void without_a_file_cores_are_shared_by_weight(void **state)
{
    struct arena *a = arena_new();
    struct fleet f = fleet_of_slots(a, "local", 4, 0);
    const struct machine m = { 4, 8 * gib, 0 };
    struct limits l = limits_of(&f, &m, "ml.m5.large");

    assert_int_equal(l.cpus, 2);
    assert_int_equal(l.cpu_weight, 50);
    assert_true(l.memory_bytes == 8 * gib - 8 * gib / 5); /* the type has 8 GiB, and so has the machine */
    l = limits_of(&f, &m, "ml.p4d.24xlarge");
    assert_int_equal(l.cpus, 4);
    assert_int_equal(l.cpu_weight, 2400);
    l = limits_of(&f, &m, "ml.unheard.of");
    assert_int_equal(l.cpus, 4);
    assert_int_equal(l.cpu_weight, 100);
    assert_true(limits_of_disk(&f, "ml.m5.large", 30).bytes == 30 * gib);
    assert_true(limits_of_disk(&f, "ml.g5.xlarge", 30).bytes == 0); /* what there is */
    arena_free(a);
}

static void with_a_file_an_instance_has_what_its_type_has(void **state)
{
    static const char text[] = "[[nodes]]\nname = \"a\"\ncores = 2\nmemory = \"4GiB\"\n"
                               "[[types]]\nname = \"box.small\"\nvcpus = 1\nmemory = \"512MiB\"\nusd_hour = 0.1\n"
                               "[[types]]\nname = \"box.disk\"\nvcpus = 1\nmemory = \"1GiB\"\ndisk = \"10GiB\"\n";
    struct arena *a = arena_new();
    struct buf words = { 0 };
    struct fleet f;
    struct limits l;
    struct err err;

    assert_int_equal(fleet_read(a, "f", str_of(text), &f, &err), 0);
    l = limits_of(&f, &(struct machine){ 2, 4 * gib, 0 }, "box.small");
    assert_int_equal(l.cpus, 1);
    assert_true(l.memory_bytes == gib / 2);
    fleet_overdrawn(&f, &(struct machine){ 2, 4 * gib, 0 }, &words);
    assert_int_equal(words.size, 0);
    fleet_overdrawn(&f, &(struct machine){ 1, 2 * gib, 0 }, &words);
    assert_string_equal(words.data, "2 cores of 1, 4096 MiB of memory of 2048");
    assert_true(limits_of_disk(&f, "ml.m5.large", 30).bytes == 30 * gib);
    assert_true(limits_of_disk(&f, "ml.m5.large", 0).bytes == 0);
    assert_true(limits_of_disk(&f, "box.disk", 30).bytes == 10 * gib);
    assert_true(limits_of_disk(&f, "box.disk", 30).own && !limits_of_disk(&f, "ml.m5.large", 30).own);
    assert_true(limits_of_disk(&f, "ml.g5.xlarge", 30).bytes == (250 * INT64_C(1000000000) >> 20 << 20));
    buf_free(&words);
    arena_free(a);
}

static void disks_are_compared_with_the_machines(void **state)
{
    static const char text[] = "[[nodes]]\nname = \"a\"\ncount = 2\ncores = 1\nmemory = \"1GiB\"\ndisk = \"60GiB\"\n"
                               "[[nodes]]\nname = \"b\"\ncores = 1\nmemory = \"1GiB\"\n";
    struct arena *a = arena_new();
    struct buf words = { 0 };
    struct fleet f;
    struct err err;

    assert_int_equal(fleet_read(a, "f", str_of(text), &f, &err), 0);
    fleet_overdrawn(&f, &(struct machine){ 8, 64 * gib, 0, 120 * gib }, &words);
    fleet_overdrawn(&f, &(struct machine){ 8, 64 * gib, 0, 0 }, &words); /* not known */
    assert_int_equal(words.size, 0);
    fleet_overdrawn(&f, &(struct machine){ 8, 64 * gib, 0, 100 * gib }, &words);
    assert_string_equal(words.data, "120 GiB of disk of 100");
    buf_free(&words);
    arena_free(a);
}

static void of_a_file_without_nodes_an_own_type_is_shared_by_weight_too(void **state)
{
    static const char text[] = "[[types]]\nname = \"box.two\"\nvcpus = 2\nmemory = \"1GiB\"\n"
                               "[[types]]\nname = \"ml.m5.large\"\nmemory = \"2GiB\"\n";
    const struct machine m = { 4, 8 * gib, 0 };
    struct arena *a = arena_new();
    struct fleet f;
    struct limits l;
    struct err err;

    assert_int_equal(fleet_read(a, "f", str_of(text), &f, &err), 0);
    fleet_share_slots(a, &f, "local", 4, 0);
    l = limits_of(&f, &m, "box.two");
    assert_true(l.cpus == 2 && l.cpu_weight == 50 && l.memory_bytes == gib);
    assert_true(limits_of(&f, &m, "ml.m5.large").memory_bytes == 2 * gib);
    assert_true(limits_of(&f, &m, "ml.c5.large").cpus == 2);
    assert_true(limits_of_disk(&f, "box.two", 3).bytes == 3 * gib);
    assert_true(limits_of_disk(&f, "ml.g5.xlarge", 3).bytes == 0);
    arena_free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_machine_bears_so_many),
        cmocka_unit_test(without_a_file_cores_are_shared_by_weight),
        cmocka_unit_test(with_a_file_an_instance_has_what_its_type_has),
        cmocka_unit_test(of_a_file_without_nodes_an_own_type_is_shared_by_weight_too),
        cmocka_unit_test(disks_are_compared_with_the_machines),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
