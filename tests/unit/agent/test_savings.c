/* What checkpoints cost, and what is advised. */
#include "agent/savings.h"

#include <stdio.h>
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

static struct savings *of(const struct savings_file *files)
{
    struct savings *s = savings_new();

    for (; files->path; files++)
        savings_take(s, files);
    return s;
}

static void assert_saved(struct savings *s, int count, int64_t cost_ms, int64_t every_ms)
{
    _cleanup_arena_ struct arena *a = arena_new();
    const struct doc *d = savings_report(s, a, &spot);

    assert_int_equal(doc_int(d, "count", 0), count);
    assert_int_equal(doc_int(d, "cost_ms", 0), cost_ms);
    assert_int_equal(doc_int(d, "every_ms", 0), every_ms);
    savings_free(s);
}

static void numbered_ones_are_several(void **state)
{
    assert_saved(of((struct savings_file[]){ { "checkpoint-10.pt", 0, 300, 350, 1 },
                                             { "checkpoint-11.pt", 1000, 1300, 1350, 1 },
                                             { "checkpoint-12.pt", 2000, 2300, 2350, 1 }, {} }), 3, 300, 1000);
    assert_saved(of((struct savings_file[]){ { "step-10/model.pt", 0, 300, 350, 1 },
                                             { "step-10/optimizer.pt", 310, 500, 550, 1 },
                                             { "latest", 501, 501, 560, 1 },
                                             { "step-11/model.pt", 1000, 1300, 1350, 1 },
                                             { "step-11/optimizer.pt", 1310, 1501, 1550, 1 },
                                             { "latest", 1501, 1501, 1560, 1 }, {} }), 2, 501, 1000);
    assert_saved(of((struct savings_file[]){ { "rank-0/step-9.pt", 0, 300, 350, 1 },
                                             { "rank-1/step-9.pt", 100, 320, 350, 1 },
                                             { "rank-0/step-10.pt", 900, 1220, 1350, 1 },
                                             { "rank-1/step-10.pt", 1000, 1220, 1350, 1 }, {} }), 2, 320, 900);
}

static void parts_are_one(void **state)
{
    assert_saved(of((struct savings_file[]){ { "model-00001-of-00003", 0, 3000, 9000, 1 },
                                             { "model-00002-of-00003", 3050, 6000, 9000, 1 },
                                             { "model-00003-of-00003", 6050, 9000, 12000, 1 },
                                             { "model-00001-of-00003", 60000, 63000, 69000, 1 },
                                             { "model-00002-of-00003", 63050, 66000, 69000, 1 },
                                             { "model-00003-of-00003", 66050, 69000, 72000, 1 }, {} }), 2, 9000, 60000);
    assert_saved(of((struct savings_file[]){ { "step-1/rank_0.pt", 0, 3000, 9000, 1 },
                                             { "step-1/rank_1.pt", 700, 3500, 9000, 1 },
                                             { "step-2/rank_0.pt", 60000, 63000, 69000, 1 },
                                             { "step-2/rank_1.pt", 60700, 63500, 69000, 1 }, {} }), 2, 3500, 60000);
}

/* S3 has the small files of the next one before it has the big ones of this. */
static void the_order_of_uploads_says_nothing(void **state)
{
    assert_saved(of((struct savings_file[]){ { "step-1/b-2", 800, 1200, 1300, 1 },
                                             { "step-2/b-2", 2300, 2700, 2800, 1 },
                                             { "step-1/b-0", 0, 400, 5000, 1 },
                                             { "step-2/b-1", 1900, 2300, 5000, 1 },
                                             { "step-2/b-0", 1500, 1900, 5000, 1 },
                                             { "step-1/b-1", 400, 800, 5000, 1 }, {} }), 2, 1200, 1500);
}

static void more_than_are_kept_are_counted(void **state)
{
    struct savings *s = savings_new();
    char path[32];
    int64_t at;

    for (int i = 0; i < 9000; i++) {
        snprintf(path, sizeof path, "step-%d/%c", i / 10, 'a' + i % 10);
        at = i / 10 * 1000 + i % 10 * 60;
        savings_take(s, &(struct savings_file){ path, at, at + 50, at + 70, 1 });
    }
    assert_saved(s, 900, 590, 1000);
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
        cmocka_unit_test(numbered_ones_are_several),
        cmocka_unit_test(parts_are_one),
        cmocka_unit_test(the_order_of_uploads_says_nothing),
        cmocka_unit_test(more_than_are_kept_are_counted),
        cmocka_unit_test(nobody_is_advised_where_nothing_interrupts),
        cmocka_unit_test(the_newest_count),
        cmocka_unit_test(advice_is_told_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
