#include <string.h>

#include "agent/manifest.h"
#include "agent/s3.h"
#include "agent/fetch.h"
#include "agent/verdict.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static void local_paths(void **state)
{
    static const char *const cases[][3] = {
        { "data/train", "data/train/a.csv", "a.csv" },
        { "data/train", "data/train/s/a.csv", "s/a.csv" },
        { "data/train/", "data/train/a.csv", "a.csv" },
        { "data/train.csv", "data/train.csv", "train.csv" },
        { "data/tr", "data/train/a.csv", "train/a.csv" },
        { "", "a/b", "a/b" },
        { "p", "other/x", NULL },
        { "p/", "p/../x", NULL },
        { "p/", "p/a/../../x", NULL },
        { "p/", "p/./x", NULL },
        { "p/", "p/a//x", NULL },
        { "p/", "p/", "" },
        { "p/", "p/dir/", "dir/" },
    };
    _cleanup_arena_ struct arena *a = arena_new();

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *path = fetch_local_path(a, cases[i][0], cases[i][1]);

        if (!path != !cases[i][2] || (path && strcmp(path, cases[i][2]) != 0))
            fail_msg("%s %s -> %s", cases[i][0], cases[i][1], path ? path : "NULL");
    }
}

static void listings(void **state)
{
    _cleanup_arena_ struct arena *a = arena_new();
    struct s3_object *objects = NULL;
    int count = 0, room = 0;
    const char *next;
    struct err err = { 0 };

    assert_int_equal(
        s3_parse_list(a,
                      STR("<L><Contents><Key>a+b%2Bc</Key><Size>5</Size></Contents><Contents><Size>0</Size>"
                          "<Key>x%26/y</Key></Contents><NextContinuationToken>t&amp;1</NextContinuationToken></L>"),
                      &objects, &count, &room, &next, &err),
        0);
    assert_int_equal(count, 2);
    assert_string_equal(objects[0].key, "a b+c");
    assert_int_equal(objects[0].size_bytes, 5);
    assert_string_equal(objects[1].key, "x&/y");
    assert_string_equal(next, "t&1");
    assert_int_equal(s3_parse_list(a, STR("<Contents><Key>a</Key></Contents>"), &objects, &count, &room, &next, &err),
                     -1);
    assert_int_equal(
        s3_parse_list(a, STR("<Contents><Key>a</Key><Size>-1</Size></Contents>"), &objects, &count, &room, &next, &err),
        -1);
    assert_int_equal(s3_parse_list(a, STR("<Contents><Key>a%00</Key><Size>1</Size></Contents>"), &objects, &count,
                                   &room, &next, &err),
                     -1);
}

static void manifests(void **state)
{
    static const char *const bad[] = {
        "", "{}", "[]", "[\"a\"]", "[{}]", "[{\"prefix\":\"\"}]", "[{\"prefix\":\"b/p\"}]",
        "[{\"prefix\":\"s3://b/p\"},1]", "[{\"prefix\":\"s3://b/p\"},\"\"]", "[{\"prefix\":\"s3://b/p\"},[\"a\"]]",
    };
    _cleanup_arena_ struct arena *a = arena_new();
    struct manifest m;
    struct err err = { 0 };

    assert_int_equal(manifest_read(a, STR("[{\"prefix\":\"s3://b/p/\"},\"a.csv\",\"x/y\"]"), "s3://u", &m, &err), 0);
    assert_string_equal(m.bucket, "b");
    assert_string_equal(m.prefix, "p/");
    assert_int_equal(m.count, 2);
    assert_string_equal(m.names[1], "x/y");
    assert_int_equal(manifest_read(a, STR("[{\"prefix\":\"s3://b\"}]"), "s3://u", &m, &err), 0);
    assert_int_equal(m.count, 0);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (manifest_read(a, str_of(bad[i]), "s3://u", &m, &err) == 0 || err.kind != ERR_INVALID)
            fail_msg("%s", bad[i]);
}

static void uris(void **state)
{
    _cleanup_arena_ struct arena *a = arena_new();
    const char *bucket, *key;
    struct err err = { 0 };

    assert_int_equal(s3_uri(a, "s3://b/k/x", &bucket, &key, &err), 0);
    assert_string_equal(bucket, "b");
    assert_string_equal(key, "k/x");
    assert_int_equal(s3_uri(a, "s3://b", &bucket, &key, &err), 0);
    assert_string_equal(key, "");
    assert_int_equal(s3_uri(a, "s3:///k", &bucket, &key, &err), -1);
    assert_int_equal(s3_uri(a, "https://b/k", &bucket, &key, &err), -1);
}

/* It is cut by characters: in French as in English. */
static void long_words_are_cut_by_characters(void **state)
{
    _cleanup_arena_ struct arena *a = arena_new();
    char words[2 * 1500 + 1] = "";
    const struct exit_record record = { .state = EXIT_ENDED, .exit_code = 1, .problem = "" };
    const char *reason;

    for (int i = 0; i < 1500; i++)
        memcpy(words + 2 * i, "\xc3\xa9", 2);
    reason = verdict_of(a, &(struct verdict_facts){ .record = &record, .words = words }).reason;
    assert_int_equal(strlen(reason), strlen("AlgorithmError: , exit code: 1") + 2 * 1024);
}

static void verdicts(void **state)
{
    _cleanup_arena_ struct arena *a = arena_new();
    struct exit_record ended = { .state = EXIT_ENDED, .problem = "" }, lost = { .state = EXIT_LOST, .problem = "" };
    struct verdict_facts f = {
        .reason_file = "failure",
        .record = &ended, .words = "  why\n", .memory_bytes = 1 << 30, .instance_type = "ml.m5.large"
    };

    assert_string_equal(verdict_of(a, &f).outcome, "Completed");
    ended.exit_code = 1;
    assert_string_equal(verdict_of(a, &f).reason, "AlgorithmError: why, exit code: 1");
    f.words = "ClientError: num_round is wrong.\n";
    assert_string_equal(verdict_of(a, &f).reason, "ClientError: num_round is wrong, exit code: 1");
    f.words = "";
    assert_non_null(strstr(verdict_of(a, &f).reason, "AlgorithmError: the command gave no reason"));
    ended.signal = 11;
    f.words = "last line";
    assert_string_equal(verdict_of(a, &f).reason,
                        "AlgorithmError: last line; the command was ended by signal 11 (SIGSEGV, Segmentation fault), "
                        "exit code: 1");
    ended.signal = 0;
    f.stopped = true;
    assert_string_equal(verdict_of(a, &f).outcome, "Stopped");
    assert_string_equal(verdict_of(a, &f).reason, "");
    f.stopped = false;
    f.overran = true;
    assert_string_equal(verdict_of(a, &f).outcome, "MaxRuntimeExceeded");
    f.overran = false;
    f.out_of_memory = true;
    ended.exit_code = 137;
    assert_true(verdict_of(a, &f).oom_killed);
    assert_non_null(strstr(verdict_of(a, &f).reason, "its limit is 1.0 GiB (ml.m5.large)"));
    /* Something was killed for memory and the job went on without it. */
    ended.exit_code = 0;
    assert_string_equal(verdict_of(a, &f).outcome, "Completed");
    assert_false(verdict_of(a, &f).oom_killed);
    f.out_of_memory = false;
    f.record = &lost;
    assert_non_null(strstr(verdict_of(a, &f).reason, "InternalServerError: the container was lost"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(local_paths),
        cmocka_unit_test(listings),
        cmocka_unit_test(manifests),
        cmocka_unit_test(uris),
        cmocka_unit_test(verdicts),
        cmocka_unit_test(long_words_are_cut_by_characters),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
