#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "run/image_list.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static void ours_are_known_by_repository(void **state)
{
    _cleanup_arena_ struct arena *a = arena_new();
    struct image i;

    assert_true(image_is_hosted(a, "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:1.7-1", false, &i));
    assert_string_equal(i.program, "sagebrush-xgboost");
    assert_string_equal(i.title, "sagemaker-xgboost:1.7-1");
    assert_true(image_is_hosted(a, "sagemaker-xgboost:1.7-1", true, &i));
    assert_string_equal(i.program, "sagebrush-toolkit");
    assert_true(image_is_hosted(a, "1.dkr/pytorch-training:1.13@sha256:00", true, &i));
    assert_string_equal(i.title, "pytorch-training:1.13");
    assert_false(image_is_hosted(a, "me/my-sagemaker-xgboost:1", false, &i));
    assert_false(image_is_hosted(a, "", false, &i));
}

static void unknown_ones_say_what_to_do(void **state)
{
    _cleanup_arena_ struct arena *a = arena_new();
    struct err err = { 0 };

    const struct image_places places = { "/nowhere", NULL };

    assert_int_equal(image_check(a, &places, "example.com/x/mine:1", false, &err), -1);
    assert_int_equal(err.kind, ERR_INVALID);
    assert_non_null(strstr(err.text, "skopeo copy docker://example.com/x/mine:1 oci:DIR/images/oci:mine:1"));
    assert_null(strstr(err.text, "/nowhere")); /* where our files are is no business of a user's */
}

static void a_typo_is_told_what_was_meant(void **state)
{
    static const char *const cases[][2] = {
        { "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgbost:1.7-1",
          "did you mean sagemaker-xgboost:1.7-1?" },
        { "pytorch-trainnig:1.13@sha256:00", "did you mean pytorch-training:1.13?" },
        { "sagemaker-scikitlearn", "did you mean sagemaker-scikit-learn?" },
        { "team/detectr:v2", "did you mean detector:v2?" },
        { "mine:1", "is not known here. It is" },
    };
    _cleanup_arena_ struct arena *a = arena_new();
    static const char index[] = "{\"manifests\":[{\"digest\":\"sha256:00\",\"annotations\":"
                                "{\"org.opencontainers.image.ref.name\":\"team/detector:v2\"}},{}]}";
    char folder[] = "/tmp/sgb-image-XXXXXX";
    struct image_places places = { folder, NULL };
    struct doc *list;
    struct err err = { 0 };

    assert_non_null(mkdtemp(folder));
    assert_int_equal(folder_make(arena_printf(a, "%s/images/oci", folder), 0700, &err), 0);
    assert_int_equal(folder_make(arena_printf(a, "%s/images/archives", folder), 0700, &err), 0);
    assert_int_equal(file_write_atomic(arena_printf(a, "%s/images/archives/mine.tar", folder), "s", 1, 0600, &err), 0);
    assert_int_equal(
        file_write_atomic(arena_printf(a, "%s/images/oci/index.json", folder), index, strlen(index), 0600, &err), 0);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(image_check(a, &places, cases[i][0], false, &err), -1);
        if (!strstr(err.text, cases[i][1]))
            fail_msg("%s: %s", cases[i][0], err.text);
    }
    assert_int_equal(image_list(a, &places, &list, &err), 0);
    assert_true(doc_is(list->items[0], "name", "sagemaker-xgboost"));
    assert_true(doc_is(list->items[list->count - 2], "name", "team/detector:v2"));
    assert_true(doc_is(list->items[list->count - 1], "name", "oci-archive:mine.tar"));
    assert_int_equal(tree_remove(folder, &err), 0);
}

/* A folder of archives with good ones, and everything that must not be opened through it. */
static void archives_are_read_from_their_folder_only(void **state)
{
    _cleanup_arena_ struct arena *a = arena_new();
    char folder[] = "/tmp/sgb-image-XXXXXX";
    struct image_places places = { "/nowhere", NULL };
    static const char *const refused[] = {
        "oci-archive:", "oci-archive:missing.tar", "oci-archive:/etc/passwd", "oci-archive:../secret",
        "oci-archive:below/../../secret", "oci-archive:out", "oci-archive:away/secret", "oci-archive:pipe",
        "oci-archive:below", "oci-archive:.", "oci-archive:/proc/self/exe", "oci-archive:/dev/zero",
    };
    struct err err = { 0 };

    assert_non_null(mkdtemp(folder));
    places.archives = arena_printf(a, "%s/archives", folder);
    assert_int_equal(folder_make(arena_printf(a, "%s/below", places.archives), 0700, &err), 0);
    assert_int_equal(file_write_atomic(arena_printf(a, "%s/secret", folder), "s", 1, 0600, &err), 0);
    assert_int_equal(file_write_atomic(arena_printf(a, "%s/below/a.tar", places.archives), "a", 1, 0600, &err), 0);
    assert_int_equal(symlink("below/a.tar", arena_printf(a, "%s/inside", places.archives)), 0);
    assert_int_equal(symlink("../secret", arena_printf(a, "%s/out", places.archives)), 0);
    assert_int_equal(symlink(folder, arena_printf(a, "%s/away", places.archives)), 0);
    assert_int_equal(mkfifo(arena_printf(a, "%s/pipe", places.archives), 0600), 0);

    assert_int_equal(image_check(a, &places, "oci-archive:below/a.tar", false, &err), 0);
    assert_int_equal(image_check(a, &places, "oci-archive:inside", false, &err), 0);
    assert_int_equal(image_check(a, &places, arena_printf(a, "oci-archive:%s/below/a.tar", places.archives), false,
                                 &err), 0);
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        struct image ignored;

        assert_int_equal(image_check(a, &places, refused[i], false, &err), -1);
        assert_int_equal(err.kind, ERR_INVALID);
        assert_non_null(strstr(err.text, "folder of image archives"));
        assert_null(strstr(err.text, folder));
        assert_int_equal(image_find(a, &places, refused[i], false, &ignored, &err), -1);
    }
    assert_int_equal(image_check(a, &places, arena_printf(a, "oci-archive:%s/secret", folder), false, &err), -1);
    assert_int_equal(image_check(a, &places, arena_printf(a, "oci-archive:%s2/x", places.archives), false, &err), -1);
    assert_int_equal(tree_remove(folder, &err), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ours_are_known_by_repository),
        cmocka_unit_test(unknown_ones_say_what_to_do),
        cmocka_unit_test(a_typo_is_told_what_was_meant),
        cmocka_unit_test(archives_are_read_from_their_folder_only),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
