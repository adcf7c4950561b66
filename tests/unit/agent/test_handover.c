/* What the instances of a job leave, whatever they put into their folders and whenever an agent is killed. */
#include "agent/handover.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/ml.h"
#include "base/fd.h"
#include "doc/json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "folder_test.h"

static struct order first, second;

static int begin(void **state)
{
    struct doc *hosts, *peers;

    base_make("/tmp");
    hosts = doc_list(arena);
    peers = doc_map(arena);
    doc_append(arena, hosts, doc_string(arena, "algo-1"));
    doc_append(arena, hosts, doc_string(arena, "algo-2"));
    doc_set_string(arena, peers, "algo-1", "one");
    doc_set_string(arena, peers, "algo-2", "two");
    first = second = (struct order){ .data_folder = base, .hosts = hosts, .peers = peers, .mesh_server = "" };
    first.host_name = "algo-1";
    second.host_name = "algo-2";
    make("agents/one/ml/model");
    make("agents/one/ml/output/data");
    make("agents/two/ml/model");
    make("agents/two/ml/output/data");
    return 0;
}

static int end(void **state)
{
    base_remove();
    return 0;
}

static void give(void)
{
    struct err err = { 0 };

    if (ml_check_results(arena, at("agents/two/ml"), true, &err) < 0 ||
        handover_give(&(struct transfer){ .order = &second, .ml = at("agents/two/ml") }, NULL, true, &err) < 0)
        fail_msg("%s", err.text);
}

static void take(void)
{
    struct err err = { 0 };

    assert_true(handover_complete(&first));
    if (ml_check_results(arena, at("agents/one/ml"), true, &err) < 0 ||
        handover_take(&first, at("agents/one/ml"), &err) < 0)
        fail_msg("%s", err.text);
}

static void one_model_of_both(void **state)
{
    put("agents/one/ml/model/common", "of the first");
    make("agents/one/ml/model/of");
    put("agents/one/ml/model/of/1", "1");
    put("agents/two/ml/model/common", "of the second");
    make("agents/two/ml/model/of");
    put("agents/two/ml/model/of/2", "2");
    put("agents/two/ml/output/data/d", "d");
    assert_false(handover_complete(&first));
    give();
    take();
    assert_true(has("agents/one/ml/model/common", "of the first"));
    assert_true(has("agents/one/ml/model/of/1", "1"));
    assert_true(has("agents/one/ml/model/of/2", "2"));
    assert_true(has("agents/one/ml/output/data/d", "d"));
    take();
    assert_true(has("agents/one/ml/model/of/2", "2"));
}

/* The next agent finds no folder where it was, and makes an empty one. */
static void killed_after_it_gave(void **state)
{
    put("agents/two/ml/model/w", "weights");
    put("agents/two/ml/output/data/d", "d");
    give();
    assert_int_equal(unlink(at("agents/one/handover/algo-2.done")), 0);
    give();
    take();
    assert_true(has("agents/one/ml/model/w", "weights"));
    assert_true(has("agents/one/ml/output/data/d", "d"));
}

/* A container is root in its own folders; we are in all others. */
static void links_lead_nowhere(void **state)
{
    struct err err = { 0 };

    make("theirs/data");
    put("theirs/data/secret", "not the job's");
    put("agents/two/ml/output/data/d", "d");
    give();
    assert_int_equal(tree_remove(at("agents/one/ml/output"), &err), 0);
    assert_int_equal(symlink(at("theirs"), at("agents/one/ml/output")), 0);
    assert_int_equal(ml_check_results(arena, at("agents/one/ml"), true, &err), -1);
    assert_int_equal(err.kind, ERR_INVALID);
    assert_non_null(strstr(err.text, "/opt/ml/output is no folder any more"));
    assert_null(strstr(err.text, base));
    unlink(at("agents/one/ml/output"));
    rmdir(at("agents/one/ml/model"));
    assert_int_equal(symlink(at("theirs"), at("agents/one/ml/model")), 0);
    assert_int_equal(ml_check_results(arena, at("agents/one/ml"), true, &err), -1);
    assert_int_equal(ml_check_results(arena, at("agents/one/ml"), false, &err), 0);
    assert_false(path_exists(at("theirs/data/d")));

    /* The one below a folder that both have is not followed either. */
    unlink(at("agents/one/ml/model"));
    make("agents/one/ml/model");
    assert_int_equal(symlink(at("theirs"), at("agents/one/ml/model/of")), 0);
    make("agents/one/handover/algo-2/model/of");
    put("agents/one/handover/algo-2/model/of/2", "2");
    take();
    assert_false(path_exists(at("theirs/2")));
    assert_true(has("agents/one/ml/output/data/d", "d"));
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)
    const struct CMUnitTest tests[] = {
        TEST(one_model_of_both),
        TEST(killed_after_it_gave),
        TEST(links_lead_nowhere),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
