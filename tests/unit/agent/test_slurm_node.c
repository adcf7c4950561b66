#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/slurm_node.h"
#include "base/fd.h"
#include "run/folder.h"
#include "run/runtime.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static struct doc *order_of(struct arena *a, const char *runtime, int64_t gpus)
{
    struct doc *d = doc_map(a);

    doc_set_string(a, d, "runtime", runtime);
    doc_set_string(a, d, "boot_id", "here");
    if (gpus)
        doc_set_integer(a, doc_member(a, d, "limits", DOC_MAP), "gpus_wanted", gpus);
    return d;
}

/* "0 2 3"; NULL: refused. */
static const char *gpus_of(struct arena *a, int64_t wanted, const char *given, int listed)
{
    const struct doc *order, *list;
    const char *all = "";
    struct err err;

    if (slurm_node_order(a, order_of(a, "slurm", wanted), "here", given, listed, &order, &err) < 0)
        return NULL;
    list = doc_at(order, "limits.gpus");
    for (size_t i = 0; list && i < list->count; i++)
        all = arena_printf(a, "%s%s%d", all, i ? " " : "", (int)list->items[i]->integer);
    return all;
}

static void gpus_are_those_that_slurm_gave(void **state)
{
    _cleanup_arena_ struct arena *a = arena_new();
    static const char *const bad[] = { NULL, "", "0", "0,", "a,b", "0-", "-1", "64,65", "9999999999999999999,1" };

    assert_string_equal(gpus_of(a, 0, NULL, 0), "");
    assert_string_equal(gpus_of(a, 1, "3", 8), "3");
    assert_string_equal(gpus_of(a, 3, "0,2-3", 8), "0 2 3");
    assert_string_equal(gpus_of(a, 2, "4-7", 8), "4 5");
    /* Without a driver: why it does not answer is said later. */
    assert_string_equal(gpus_of(a, 1, "3", 0), "3");
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_null(gpus_of(a, 2, bad[i], 8));
}

static void who_sees_only_its_own_counts_from_0(void **state)
{
    _cleanup_arena_ struct arena *a = arena_new();

    assert_string_equal(gpus_of(a, 2, "2-3", 2), "0 1");
    assert_string_equal(gpus_of(a, 1, "3", 1), "0");
    assert_string_equal(gpus_of(a, 1, "4-7", 4), "0");
    assert_string_equal(gpus_of(a, 2, "0-1", 2), "0 1");
    /* Neither the node's nor the step's. */
    assert_null(gpus_of(a, 2, "2-3", 3));
}

static void another_machine_is_refused(void **state)
{
    _cleanup_arena_ struct arena *a = arena_new();
    const struct doc *order;
    struct err err;

    assert_int_equal(slurm_node_order(a, order_of(a, "slurm", 0), "elsewhere", NULL, 0, &order, &err), -1);
    assert_non_null(strstr(err.text, "slurm-server"));
    assert_non_null(strstr(err.text, "slurm-partition"));
    /* Nobody else's orders are looked at. */
    assert_int_equal(slurm_node_order(a, order_of(a, "container", 2), "elsewhere", NULL, 0, &order, &err), 0);
    assert_false(doc_has(doc_get(order, "limits"), "gpus"));
}

static void a_notice_takes_the_instance_back(void **state)
{
    _cleanup_arena_ struct arena *a = arena_new();
    char folder[] = "/tmp/sgb-notice-XXXXXX";
    struct doc *asked = doc_map(a);
    const struct doc *stop;
    struct err err;

    assert_non_null(mkdtemp(folder));
    assert_false(slurm_node_noticed(a, folder));
    assert_int_equal(slurm_node_notice(a, folder, 30, &err), 0);
    assert_true(slurm_node_noticed(a, folder));
    assert_int_equal(folder_read(a, folder, FOLDER_STOP, &stop, &err), 0);
    assert_true(doc_is(stop, "reason", STOP_TAKEN_BACK) && doc_int(stop, "grace_s", 0) == 30);
    /* A stop that was asked for stays what it was. */
    doc_set_string(a, asked, "reason", "StopTrainingJob");
    assert_int_equal(folder_write(a, folder, FOLDER_STOP, asked, false, &err), 0);
    assert_int_equal(slurm_node_notice(a, folder, 30, &err), 0);
    assert_int_equal(folder_read(a, folder, FOLDER_STOP, &stop, &err), 0);
    assert_true(doc_is(stop, "reason", "StopTrainingJob"));
    assert_int_equal(tree_remove(folder, &err), 0);
}

static void a_job_that_moves_knows_where_it_was(void **state)
{
    struct report *r = report_new(NULL);

    slurm_node_note(r, "n1");
    slurm_node_note(r, "n1");
    assert_true(doc_is(report_doc(r), "node", "n1") && !doc_has(report_doc(r), "_was_on"));
    slurm_node_note(r, "n3");
    assert_true(doc_is(report_doc(r), "node", "n3") && doc_is(report_doc(r), "_was_on", "n1"));
    report_free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gpus_are_those_that_slurm_gave),
        cmocka_unit_test(who_sees_only_its_own_counts_from_0),
        cmocka_unit_test(another_machine_is_refused),
        cmocka_unit_test(a_notice_takes_the_instance_back),
        cmocka_unit_test(a_job_that_moves_knows_where_it_was),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
