#include "aws/model.h"
#include "aws/pattern.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

static void compile_of(const struct shape *shape, int depth)
{
    if (shape->pattern)
        pattern_matches(shape->pattern, STR("x"));
    if (depth > 0)
        for (int i = 0; i < shape->member_count; i++)
            compile_of(shape->members[i].shape, depth - 1);
}

/* A pattern that does not compile is an assert: what is reached from an operation must. */
static void every_pattern_compiles(void **state)
{
    for (const struct service *const *s = model_services; *s; s++)
        for (int i = 0; i < (*s)->operation_count; i++) {
            compile_of((*s)->operations[i].input, 6);
            compile_of((*s)->operations[i].output, 6);
        }
}

static void the_whole_text_must_match(void **state)
{
    static const char name[] = "[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}";

    assert_true(pattern_matches(name, STR("my-job")));
    assert_true(pattern_matches(name, STR("my-job")));
    assert_false(pattern_matches(name, STR("")));
    assert_false(pattern_matches(name, STR("my_job")));
    assert_false(pattern_matches(name, STR("-my-job")));
    assert_false(pattern_matches(name, STR("my-job\n")));
    assert_false(pattern_matches("^[a-z]+$", STR("abc\n")));
}

static void characters_are_unicode(void **state)
{
    static const char tag[] = "[\\p{L}\\p{Z}\\p{N}_.:/=+\\-@]*", java[] = "[\\u0020-\\u00FF]+";

    assert_true(pattern_matches(tag, STR("größe 世界")));
    assert_false(pattern_matches(tag, STR("a\xff")));
    assert_true(pattern_matches(java, STR("é")));
    assert_false(pattern_matches(java, STR("世")));
}

static void a_runaway_is_no_match(void **state)
{
    char text[4000];

    memset(text, 'a', sizeof text);
    text[sizeof text - 1] = '!';
    assert_false(pattern_matches("(a+)+b", (struct str){ text, sizeof text }));
}

static void a_users_expression_finds_its_group(void **state)
{
    struct pattern *p;
    struct str group;
    struct err err;

    assert_int_equal(pattern_new("#quality_metric: host=\\S+, train auc=(\\S+)", &p, &err), 0);
    assert_true(pattern_find(p, STR("[x] #quality_metric: host=algo-1, train auc=0.91 more"), &group));
    assert_true(str_is(group, "0.91"));
    assert_false(pattern_find(p, STR("nothing of the kind"), &group));
    pattern_free(p);
    assert_int_equal(pattern_new("a.c", &p, &err), 0);
    assert_true(pattern_find(p, STR("xxabcxx"), &group));
    assert_true(str_is(group, "abc"));
    pattern_free(p);
    assert_int_equal(pattern_new("a(x)?(y)(z)(w)", &p, &err), 0);
    assert_true(pattern_find(p, STR("ayzw"), &group));
    assert_true(str_is(group, "ayzw"));
    pattern_free(p);
    assert_int_equal(pattern_new("a(b", &p, &err), -1);
    assert_int_equal(err.kind, ERR_INVALID);
    pattern_free(NULL);
}

static void *match_in_thread(void *data)
{
    struct str group;

    return pattern_find(data, STR("loss=1"), &group) && pattern_matches("[a-z]+", STR("abc")) ? data : NULL;
}

/* What a thread matched with goes with it; the leak sanitizer tells when not. */
static void threads_come_and_go(void **state)
{
    struct pattern *p;
    struct err err = { 0 };

    assert_int_equal(pattern_new("loss=(.*)", &p, &err), 0);
    for (int i = 0; i < 20; i++) {
        pthread_t thread;
        void *found;

        assert_int_equal(pthread_create(&thread, NULL, match_in_thread, p), 0);
        assert_int_equal(pthread_join(thread, &found), 0);
        assert_ptr_equal(found, p);
    }
    pattern_free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_pattern_compiles),
        cmocka_unit_test(the_whole_text_must_match),
        cmocka_unit_test(characters_are_unicode),
        cmocka_unit_test(a_runaway_is_no_match),
        cmocka_unit_test(a_users_expression_finds_its_group),
        cmocka_unit_test(threads_come_and_go),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
