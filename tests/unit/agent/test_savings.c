/* What checkpoints cost, and what is advised. */
#include "agent/savings.h"

#include <string.h>

#include "fleet/checkpoint.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

enum { HOUR_MS = 3600000 };

static const struct order spot = { .interrupted_every_s = 8 * 3600 }, on_demand = { 0 };

/* One of two files each time: 4 s of writing, in S3 10 s later. */
static void save_twice_an_hour(struct savings *s, int from, int count)
{
    for (int i = from; i < from + count; i++) {
        int64_t at = (int64_t)i * HOUR_MS / 2;

        savings_take(s, &(struct savings_file){ "model", at + 100, at + 3000, at + 5000, 200 << 20 });
        savings_take(s, &(struct savings_file){ "optimizer", at + 3500, at + 4100, at + 14100, 100 << 20 });
    }
}

static void the_cost_is_that_of_writing(void **state)
{
    _cleanup_arena_ struct arena *a = arena_new();
    struct savings *s = savings_new();
    const struct doc *d;

    assert_null(savings_report(s, a, &spot));
    save_twice_an_hour(s, 0, 2);
    d = savings_report(s, a, &spot);
    assert_int_equal(doc_int(d, "count", 0), 2);
    assert_int_equal(doc_int(d, "cost_ms", 0), 4000);
    assert_int_equal(doc_int(d, "stored_ms", 0), 10000);
    assert_int_equal(doc_int(d, "every_ms", 0), HOUR_MS / 2);
    assert_int_equal(doc_int(d, "bytes", 0), 300 << 20);
    /* Two are too few to advise anything. */
    assert_false(doc_has(d, "advice"));
    assert_null(savings_report(s, a, &spot));
    save_twice_an_hour(s, 2, 3);
    d = savings_report(s, a, &spot);
    assert_int_equal(doc_int(d, "interval_ms", 0), checkpoint_interval_ms(4000, 8.0 * HOUR_MS));
    assert_non_null(strstr(doc_text(d, "advice"), "takes 4.0 s of the job's time, is in S3 10 s later, and comes every "
                                                  "30 min 0 s."));
    assert_non_null(strstr(doc_text(d, "advice"), "once in 8 h 0 min: one every 7 min "));
    savings_free(s);
}

/* Two files each time, a fifth of a second after the ones before. */
static void saves_that_follow_each_other_are_several(void **state)
{
    _cleanup_arena_ struct arena *a = arena_new();
    struct savings *s = savings_new();
    const struct doc *d;

    for (int64_t at = 0; at < 20 * 500; at += 500) {
        savings_take(s, &(struct savings_file){ "model", at, at + 200, at + 250, 1 << 20 });
        savings_take(s, &(struct savings_file){ "optimizer", at + 200, at + 300, at + 350, 1 << 20 });
    }
    d = savings_report(s, a, &spot);
    assert_int_equal(doc_int(d, "count", 0), 20);
    assert_int_equal(doc_int(d, "cost_ms", 0), 300);
    assert_int_equal(doc_int(d, "every_ms", 0), 500);
    assert_int_equal(doc_int(d, "bytes", 0), 2 << 20);
    savings_free(s);
}

static void nobody_is_advised_where_nothing_interrupts(void **state)
{
    _cleanup_arena_ struct arena *a = arena_new();
    struct savings *s = savings_new();

    save_twice_an_hour(s, 0, 5);
    assert_false(doc_has(savings_report(s, a, &on_demand), "advice"));
    savings_free(s);
}

/* Forty are more than are kept, and the last of them are what the job does now. One that was open all the time, such as
 * a log, changes nothing. */
static void the_newest_count(void **state)
{
    _cleanup_arena_ struct arena *a = arena_new();
    struct savings *s = savings_new();
    const struct doc *d;

    save_twice_an_hour(s, 0, 20);
    for (int i = 0; i < 20; i++) {
        int64_t at = (int64_t)(100 + i) * HOUR_MS;

        savings_take(s, &(struct savings_file){ "model", at, at + 60000, at + 600000, 1 << 30 });
    }
    savings_take(s, &(struct savings_file){ "log", 0, 120LL * HOUR_MS, 120LL * HOUR_MS, 100 });
    d = savings_report(s, a, &spot);
    assert_int_equal(doc_int(d, "cost_ms", 0), 60000);
    /* An upload that takes ten minutes is not overtaken by the next. */
    save_twice_an_hour(s, 1000, 1);
    assert_true(doc_int(d, "interval_ms", 0) >= 600000);
    savings_free(s);
}

static void advice_is_told_once(void **state)
{
    _cleanup_arena_ struct arena *a = arena_new();
    struct doc *d = doc_map(a);

    assert_false(savings_is_news(0, d));
    doc_set_integer(a, d, "interval_ms", 1000);
    assert_true(savings_is_news(0, d));
    assert_false(savings_is_news(1000, d));
    assert_false(savings_is_news(1900, d));
    assert_true(savings_is_news(2100, d));
    assert_true(savings_is_news(400, d));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_cost_is_that_of_writing),
        cmocka_unit_test(saves_that_follow_each_other_are_several),
        cmocka_unit_test(nobody_is_advised_where_nothing_interrupts),
        cmocka_unit_test(the_newest_count),
        cmocka_unit_test(advice_is_told_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
