#include "engine/own_tags.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#undef fail /* ours is a function */

#include <string.h>

static struct err err;

static int check(const char *key, const char *value)
{
    _cleanup_arena_ struct arena *a = arena_new();
    struct doc *tags = doc_list(a), *tag = doc_map(a);

    err = (struct err){ 0 };
    doc_set_string(a, tag, "Key", key);
    doc_set_string(a, tag, "Value", value);
    doc_append(a, tags, tag);
    return own_tags_check(tags, &err);
}

static void refuses(const char *key, const char *value, const char *words)
{
    assert_int_equal(check(key, value), -1);
    assert_string_equal(err.code, "ValidationException");
    assert_non_null(strstr(err.text, words));
}

static void what_is_known_and_what_is_not_ours_passes(void **state)
{
    assert_int_equal(check("sagebrush:priority", "-1000"), 0);
    assert_int_equal(check("sagebrush:priority", "1000"), 0);
    assert_int_equal(check("sagebrush:priority", ""), 0);
    assert_int_equal(check("sagebrush:owner", "team red"), 0);
    assert_int_equal(check("sagebrush:labels", " zone=b  row=a "), 0);
    assert_int_equal(check("sagebrush:labels", ""), 0);
    assert_int_equal(check("sagebrush", "x"), 0);
    assert_int_equal(check("priority", "x"), 0);
    assert_int_equal(own_tags_check(NULL, &err), 0);
}

static void a_name_that_nobody_knows_is_told_its_nearest(void **state)
{
    refuses("sagebrush:prioritty", "5", "no tag sagebrush:prioritty; did you mean sagebrush:priority? ");
    refuses("Sagebrush:Owner", "x", "no tag Sagebrush:Owner; did you mean sagebrush:owner? ");
    refuses("sagebrush:label", "a=b", "did you mean sagebrush:labels? ");
    refuses("sagebrush:prio", "5", "did you mean sagebrush:priority? ");
    refuses("sagebrush:team-of-the-year", "x", "no tag sagebrush:team-of-the-year. Tags whose keys begin");
    refuses("sagebrush:", "x", "knows sagebrush:labels, sagebrush:owner and sagebrush:priority.");
}

static void a_value_that_means_nothing_is_refused(void **state)
{
    char many[4 * (OWN_LABELS_MOST + 2)] = "";

    refuses("sagebrush:priority", "1001", "from -1000 to 1000, and is \"1001\"");
    refuses("sagebrush:priority", "high", "and is \"high\"");
    refuses("sagebrush:priority", "1.5", "a whole number");
    refuses("sagebrush:labels", "zone=b gpu", "has \"gpu\", which is not KEY=VALUE");
    refuses("sagebrush:labels", "zone=", "has \"zone=\", which is not");
    refuses("sagebrush:labels", "=b", "has \"=b\", which is not");
    for (int i = 0; i < OWN_LABELS_MOST; i++)
        strcat(many, "a=b ");
    assert_int_equal(check("sagebrush:labels", many), 0);
    strcat(many, "a=b");
    refuses("sagebrush:labels", many, "more than 32 labels");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_known_and_what_is_not_ours_passes),
        cmocka_unit_test(a_name_that_nobody_knows_is_told_its_nearest),
        cmocka_unit_test(a_value_that_means_nothing_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
