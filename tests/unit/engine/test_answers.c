/* Answers that were printed: found while the row is what it was, and never for another. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "engine/answers.h"

#undef fail
#include <cmocka.h>

static const struct operation one, other;

static struct answers *begin(void **state)
{
    return *state = answers_new(100);
}

static void assert_found(struct answers *s, const struct operation *o, const char *uid, int64_t revision,
                         const char *expected)
{
    struct str body;

    if (!expected) {
        assert_false(answers_find(s, o, uid, revision, &body));
        return;
    }
    assert_true(answers_find(s, o, uid, revision, &body));
    assert_true(str_is(body, expected));
}

static void an_answer_is_of_one_operation_row_and_revision(void **state)
{
    struct answers *s = begin(state);

    answers_keep(s, &one, "a", 1, STR("first"));
    answers_keep(s, &one, "b", 1, STR(""));
    assert_found(s, &one, "a", 1, "first");
    assert_found(s, &one, "b", 1, "");
    assert_found(s, &one, "a", 2, NULL);
    assert_found(s, &other, "a", 1, NULL);
    answers_keep(s, &one, "a", 2, STR("second"));
    assert_found(s, &one, "a", 1, NULL);
    assert_found(s, &one, "a", 2, "second");
    answers_keep(s, &other, "a", 2, STR("another's"));
    assert_found(s, &other, "a", 2, "another's");
    answers_forget(s);
    assert_found(s, &other, "a", 2, NULL);
}

static void those_that_nobody_asks_for_make_room(void **state)
{
    struct answers *s = begin(state);
    char forty[41], uid[20];

    memset(forty, 'x', 40);
    forty[40] = '\0';
    answers_keep(s, &one, "old", 1, str_of(forty));
    answers_keep(s, &one, "new", 1, str_of(forty));
    assert_found(s, &one, "old", 1, forty); /* now it is the newer one */
    answers_keep(s, &one, "third", 1, str_of(forty));
    assert_found(s, &one, "new", 1, NULL);
    assert_found(s, &one, "old", 1, forty);
    for (int i = 0; i < 1000; i++) {
        snprintf(uid, sizeof uid, "%d", i);
        answers_keep(s, &one, uid, 1, str_of(forty));
    }
    assert_found(s, &one, "old", 1, NULL);
    assert_found(s, &one, "998", 1, forty);
}

static void what_has_no_room_at_all_is_not_kept(void **state)
{
    struct answers *s = begin(state);
    char much[200];

    memset(much, 'x', sizeof much);
    answers_keep(s, &one, "a", 1, STR("small"));
    answers_keep(s, &one, "a", 2, (struct str){ much, sizeof much });
    assert_found(s, &one, "a", 1, NULL);
    assert_found(s, &one, "a", 2, NULL);
}

static int end(void **state)
{
    answers_free(*state);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(an_answer_is_of_one_operation_row_and_revision, end),
        cmocka_unit_test_teardown(those_that_nobody_asks_for_make_room, end),
        cmocka_unit_test_teardown(what_has_no_room_at_all_is_not_kept, end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
