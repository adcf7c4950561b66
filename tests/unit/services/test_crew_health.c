/* Who is to blame when instances of a job fail. */
#include "services/sagemaker/crew_health.h"

#include <string.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

enum { MOST = 4 };

static struct arena *a;
static struct mate mates[MOST];
static const char *const hosts[] = { "algo-1", "algo-2", "algo-3", "algo-4" };

/* All of them train. */
static struct crew crew_of(int count)
{
    for (int i = 0; i < count; i++)
        mates[i] = (struct mate){ .host = hosts[i], .agent = hosts[i], .seen = true, .there = true,
                                  .report = { .phase = "Training", .outcome = "", .started_ms = 1 } };
    return (struct crew){ mates, count };
}

static void fail_by(int i, int64_t at_ms, const char *check, const char *blames)
{
    struct doc *d = NULL;

    mates[i].report.phase = "Ended";
    mates[i].report.outcome = "Failed";
    mates[i].report.ended_ms = at_ms;
    if (!check)
        return; /* by its own program */
    d = doc_map(a);
    doc_set_string(a, d, "check", check);
    doc_set_string(a, d, "why", arena_printf(a, "seen by %s", hosts[i]));
    doc_set_string(a, d, "blames", blames);
    mates[i].report.unhealthy = d;
}

static void a_program_that_fails_is_no_ailment(void **state)
{
    struct crew crew = crew_of(2);
    struct ailment ill;

    assert_false(crew_ailment(&crew, &ill));
    fail_by(0, 5, NULL, NULL);
    assert_false(crew_ailment(&crew, &ill));
}

static void an_instance_explains_what_fails_elsewhere(void **state)
{
    struct crew crew = crew_of(3);
    struct ailment ill;

    fail_by(0, 5, NULL, NULL); /* its peer went away */
    fail_by(2, 9, "container", NULL);
    assert_true(crew_ailment(&crew, &ill));
    assert_int_equal(ill.bad, 2);
    assert_string_equal(ill.check, "container");
    assert_false(ill.before_work);
    assert_string_equal(ailment_words(a, &crew, &ill), "algo-3: seen by algo-3");
}

static void who_most_name_is_to_blame(void **state)
{
    struct crew crew = crew_of(4);
    struct ailment ill;

    for (int i = 0; i < 4; i++)
        mates[i].report.started_ms = 0;
    fail_by(1, 5, CHECK_OF_TWO, "algo-3");
    fail_by(3, 6, CHECK_OF_TWO, "algo-3");
    fail_by(0, 4, CHECK_OF_TWO, NULL); /* it waited for one that waited */
    assert_true(crew_ailment(&crew, &ill));
    assert_int_equal(ill.bad, 2);
    assert_true(ill.before_work);
}

static void of_two_nobody_knows(void **state)
{
    struct crew crew = crew_of(2);
    struct ailment ill;

    fail_by(0, 5, CHECK_OF_TWO, "algo-2");
    fail_by(1, 6, CHECK_OF_TWO, "algo-1");
    assert_true(crew_ailment(&crew, &ill));
    assert_int_equal(ill.bad, -1);
}

static void what_one_says_of_itself_counts_more(void **state)
{
    struct crew crew = crew_of(3);
    struct ailment ill;

    fail_by(0, 5, CHECK_OF_TWO, "algo-3");
    fail_by(1, 9, "disk", NULL);
    fail_by(2, 6, CHECK_OF_TWO, "algo-1");
    assert_true(crew_ailment(&crew, &ill));
    assert_int_equal(ill.bad, 1);
    assert_string_equal(ill.check, "disk");
}

static void one_that_is_gone(void **state)
{
    struct crew crew = crew_of(2);
    struct ailment ill;

    mates[1].there = false;
    assert_true(crew_ailment(&crew, &ill));
    assert_int_equal(ill.bad, 1);
    assert_string_equal(ill.check, "instance");
    assert_false(ill.before_work);
}

/* A GPU's error, told by an agent of an older version. */
static void a_gpu_alone(void **state)
{
    struct crew crew = crew_of(1);
    struct doc *d = doc_map(a);
    struct ailment ill;

    fail_by(0, 5, NULL, NULL);
    doc_set_string(a, d, "why", "GPU 0 reported XID 79");
    mates[0].report.gpu_fault = d;
    assert_true(crew_ailment(&crew, &ill));
    assert_string_equal(ill.check, "GPU");
    assert_string_equal(ailment_words(a, &crew, &ill), "GPU 0 reported XID 79");
}

/* A report comes from a machine that may be anybody's: a map is not read as if it were a list. */
static void what_has_the_wrong_type_says_nothing(void **state)
{
    struct doc *report = doc_map(a), *map = doc_map(a);
    struct mate m = { .host = "algo-1", .there = true };

    doc_set_string(a, map, "phase", "Training");
    doc_set(a, report, "phases", map);
    m.report = report_read(report);
    assert_int_equal(doc_count(report, "phases"), 0);
    assert_null(mate_phase(&m, "Training"));
    doc_set(a, report, "phases", doc_list(a));
    doc_append(a, doc_member(a, report, "phases", DOC_LIST), map);
    m.report = report_read(report);
    assert_ptr_equal(mate_phase(&m, "Training"), map);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_program_that_fails_is_no_ailment),
        cmocka_unit_test(an_instance_explains_what_fails_elsewhere),
        cmocka_unit_test(who_most_name_is_to_blame),
        cmocka_unit_test(of_two_nobody_knows),
        cmocka_unit_test(what_one_says_of_itself_counts_more),
        cmocka_unit_test(one_that_is_gone),
        cmocka_unit_test(a_gpu_alone),
        cmocka_unit_test(what_has_the_wrong_type_says_nothing),
    };
    int r;

    a = arena_new();
    r = cmocka_run_group_tests(tests, NULL, NULL);
    arena_free(a);
    return r;
}
