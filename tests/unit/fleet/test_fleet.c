#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "fleet/fleet.h"

#include <cmocka.h>

static struct fleet parsed(struct arena *a, const char *text)
{
    struct err err = { 0 };
    struct fleet f = { 0 };

    if (fleet_read(a, "fleet.toml", str_of(text), &f, &err) < 0)
        fail_msg("%s", err.text);
    return f;
}

#define NODE "[[nodes]]\nname = \"a\"\ncores = 8\nmemory = \"16GiB\"\n"

static void what_the_file_says_is_the_fleet(void **state)
{
    _cleanup_arena_ struct arena *a = arena_new();
    struct fleet f = parsed(a, "seed = 7\n"
                               "[[pools]]\nname = \"gpu\"\naccepts = [\"ml.p4d.*\"]\nspares = 1\nspot = \"never\"\n"
                               "[[nodes]]\nname = \"g\"\ncount = 3\nlike = \"ml.p4d.24xlarge\"\n"
                               "labels = { zone = \"b\", rack = \"a\" }\n"
                               "[[owners]]\nowner = \"*research*\"\nweight = 3\npriority = 5\n"
                               "[share]\nhalf_life = \"36h\"\n"
                               "[spot]\nnotice = \"30s\"\n"
                               "[[spot.traces]]\ntype = \"ml.g5.*\"\nrepeat = \"1d\"\n"
                               "points = [[\"0s\", 0.5], [\"6h\", 2]]\n");

    assert_int_equal(f.seed, 7);
    assert_int_equal(f.pools[0].spot, SPOT_NEVER);
    assert_int_equal(f.node_count, 3);
    assert_true(f.nodes[0].numbered);
    assert_int_equal(f.nodes[0].has.gpus, 8);
    assert_int_equal(f.nodes[0].has.memory_mib, 1152 * 1024);
    assert_string_equal(f.nodes[0].gpu, "A100");
    assert_string_equal(f.nodes[0].labels, "rack=a,zone=b");
    assert_int_equal(f.share.half_life_ms, 36 * 3600 * 1000);
    assert_int_equal(f.spot.notice_ms, 30000);
    assert_int_equal(f.spot.traces[0].points[1].at_ms, 6 * 3600 * 1000);
    assert_true(f.spot.traces[0].points[1].usd_hour == 2);
    assert_true(fleet_owner(&f, "arn:aws:iam::1:role/research-x")->weight == 3);
    assert_true(fleet_owner(&f, "somebody")->weight == 1);
}

static void a_type_is_the_administrators_else_the_catalogues(void **state)
{
    _cleanup_arena_ struct arena *a = arena_new();
    struct fleet f = parsed(a, "region = \"us-west-2\"\n" NODE
                               "[[types]]\nname = \"box.1gpu\"\nvcpus = 16\nmemory = \"128GiB\"\nusd_hour = 2.5\n"
                               "gpus = { kind = \"A100\", count = 1 }\n"
                               "[[types]]\nname = \"ml.m5.xlarge\"\nusd_hour = 0.05\n"
                               "[[spot.rates]]\ntype = \"ml.g5.*\"\nper_hour = 0.5\n");
    struct fleet_type t;

    assert_true(fleet_type(&f, "box.1gpu", &t));
    assert_int_equal(t.needs.gpus, 1);
    assert_string_equal(t.gpu, "A100");
    assert_true(fleet_type(&f, "ml.m5.xlarge", &t));
    assert_true(t.usd_hour == 0.05 && t.needs.cores == 4 && t.needs.memory_mib == 16384);
    assert_true(fleet_type(&f, "ml.g5.xlarge", &t));
    assert_true(t.interruptions_hour == 0.5 && t.usd_hour > 0 && t.spot_usd_hour < t.usd_hour);
    assert_true(fleet_type(&f, "ml.c5.xlarge", &t));
    assert_true(t.interruptions_hour > 0 && t.interruptions_hour < 0.01);
    assert_false(fleet_type(&f, "no.such", &t));
}

static void a_mistake_is_told_with_its_line_and_the_remedy(void **state)
{
    static const struct {
        const char *text, *words;
    } cases[] = {
        { "[[types]]\nname = \"ml.m5.large\"\n[[pools]]\nname = \"p\"\n", "pools without nodes; add [[nodes]]" },
        { "sed = 1\n", "fleet.toml:1: the fleet has no key sed; there are region, seed, pools" },
        { "[[nodes]]\nname = \"a\"\ncores = 8\n", "fleet.toml:1: nodes need cores and memory" },
        { "[[nodes]]\nname = \"a\"\ncores = 8\nmemory = \"16\"\n",
          "fleet.toml:4: memory of nodes is a size with its unit" },
        { "[[nodes]]\nname = \"a\"\ncores = 0\nmemory = \"1GiB\"\n", "fleet.toml:3: cores of nodes goes from 1 to" },
        { "[[nodes]]\nname = \"a\"\nlike = \"ml.m5.huge\"\n", "fleet.toml:3: the catalogue has no type ml.m5.huge" },
        { "[nodes]\nname = \"a\"\n", "write [[nodes]] with two brackets" },
        { NODE "pool = \"gpu\"\n", "there is no pool gpu; add [[pools]]" },
        { NODE NODE, "fleet.toml:5: there are nodes called a already, in line 1" },
        { NODE "gpus = { count = 2 }\n", "gpus needs a kind" },
        { NODE "labels = { a = \"x,y\" }\n", "a label is a text in quotes" },
        { NODE "[[pools]]\nname = \"p\"\nspot = \"maybe\"\n", "spot of a pool is" },
        { NODE "[[types]]\nname = \"box\"\n", "the catalogue has no type box: say its vcpus and memory" },
        { NODE "[[quotas]]\ntype = \"ml.*\"\n", "a quota needs a limit" },
        { NODE "[share]\nhalf_life = \"7 days\"\n", "half_life of share is a time with its unit" },
        { NODE "[[share]]\n", "share is a table; write [share]" },
        { NODE "[[spot.traces]]\ntype = \"x\"\npoints = [[\"1h\", 1]]\n", "the first point of a trace is at" },
        { NODE "[[spot.traces]]\ntype = \"x\"\npoints = [[\"0h\", 1], [\"0h\", 2]]\n", "go forward in time" },
        { NODE "[[spot.rates]]\ntype = \"x\"\n", "a rate needs per_hour" },
        { NODE "count = 2\n[[nodes]]\nname = \"a-2\"\nlike = \"ml.m5.large\"\n",
          "fleet.toml:6: there would be two nodes a-2" },
        { "[[nodes]]\nname = \"a-1\"\nlike = \"ml.m5.large\"\n" NODE "count = 1\n",
          "fleet.toml:4: there would be two nodes a-1: those of line 1" },
        { "region = \"us-mars-1\"\n" NODE,
          "fleet.toml:1: the catalogue has no prices of the region us-mars-1; there are " },
        { NODE "[[quotas]]\ntype = \"ml.c5.larg\"\nlimit = 2\n",
          "fleet.toml:6: neither this file nor the catalogue has a type ml.c5.larg; did you mean ml.c5.large?" },
        { NODE "[[types]]\nname = \"box.one\"\nvcpus = 1\nmemory = \"1GiB\"\n[[spot.rates]]\ntype = \"box.onee\"\n"
          "per_hour = 1\n", "has a type box.onee; did you mean box.one?" },
        { NODE "[[spot.traces]]\ntype = \"?\"\npoints = [[\"0h\", 1]]\n"
          "[[spot.traces]]\ntype = \"nothing.alike.at.all\"\n"
          "points = [[\"0h\", 1]]\n", "add [[types]] with this name" },
        { NODE "[[pools]]\nname = \"default\"\naccepts = [\"ml.*\", \"ml.p4d.24xlarg\"]\n[[nodes]]\nname = \"b\"\n"
          "cores = 1\nmemory = \"1GiB\"\n", "did you mean ml.p4d.24xlarge?" },
        { NODE "[[quotas]]\nlimit = -1\n", "fleet.toml:6: limit of quotas goes from 0 to 1000000000" },
        { NODE "[spot]\nnotice = \"2d\"\n", "notice of spot goes from 0ms to 1d" },
        { "a = \"\n", "fleet.toml:1: the string that begins here has no end" },
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        _cleanup_arena_ struct arena *a = arena_new();
        struct err err = { 0 };
        struct fleet f;

        if (fleet_read(a, "fleet.toml", str_of(cases[i].text), &f, &err) == 0)
            fail_msg("%s\nis accepted", cases[i].text);
        if (!strstr(err.text, cases[i].words))
            fail_msg("%s\nsays %s\nand not %s", cases[i].text, err.text, cases[i].words);
    }
}

static void a_file_without_nodes_has_prices_types_and_rules(void **state)
{
    static const char text[] = "region = \"eu-central-1\"\n[[quotas]]\ntype = \"box.*\"\nlimit = 2\n"
                               "[[types]]\nname = \"box.two\"\nvcpus = 2\nmemory = \"1GiB\"\nusd_hour = 0.5\n"
                               "gpus = { kind = \"T4\", count = 2 }\n";
    _cleanup_arena_ struct arena *a = arena_new();
    struct fleet f, none;
    struct fleet_type type;
    struct err err = { 0 };

    assert_int_equal(fleet_read(a, "f", str_of(""), &none, &err), 0);
    assert_int_equal(fleet_read(a, "f", str_of(text), &f, &err), 0);
    assert_int_equal(f.node_count, 0);
    fleet_share_slots(a, &f, "local", 4, 2);
    assert_int_equal(f.node_count, 1);
    assert_int_equal(f.quota_count, 1);
    assert_true(fleet_type(&f, "box.two", &type));
    assert_true(type.usd_hour == 0.5 && type.needs.cores == 1 && type.needs.gpus == 2);
    assert_true(fleet_type(&f, "ml.of.nowhere", &type));
    assert_true(fleet_type_gpus(&f, "ml.g5.xlarge") == 1 && fleet_type_gpus(&f, "box.two") == 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_the_file_says_is_the_fleet),
        cmocka_unit_test(a_type_is_the_administrators_else_the_catalogues),
        cmocka_unit_test(a_file_without_nodes_has_prices_types_and_rules),
        cmocka_unit_test(a_mistake_is_told_with_its_line_and_the_remedy),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
