#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#undef fail /* ours is a function */

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "route/counters.h"

static char folder[64], path[96];

static int set_up(void **state)
{
    snprintf(folder, sizeof folder, "/tmp/sb-count-XXXXXX");
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/counters", folder);
    return 0;
}

static int tear_down(void **state)
{
    struct err err;

    return tree_remove(folder, &err);
}

/* Of all slots, what was counted in that minute. */
static int find(struct counters *c, const char *endpoint, int64_t minute, struct counters_reading *ret)
{
    int found = 0;

    for (int i = 0; i < COUNTERS_SLOTS; i++) {
        struct counters_reading r;

        if (counters_read(c, i, minute, &r) && strcmp(r.endpoint, endpoint) == 0) {
            *ret = r;
            found++;
        }
    }
    return found;
}

static void test_count_and_read(void **state)
{
    struct counters *writer, *reader;
    struct counters_slot *slot;
    struct counters_reading r;
    struct err err;

    assert_int_equal(counters_open(path, false, &reader, &err), -1);
    assert_int_equal(counters_open(path, true, &writer, &err), 0);
    assert_int_equal(counters_open(path, false, &reader, &err), 0);
    slot = counters_claim(writer, "1", "r", "e", "v", 1000);
    assert_ptr_equal(counters_claim(writer, "1", "r", "e", "v", 1000), slot);
    assert_ptr_not_equal(counters_claim(writer, "1", "r", "e", "w", 1000), slot);
    counters_add(slot, 1000, &(struct counters_sample){ 200, 30, 5, 4 });
    counters_add(slot, 1000, &(struct counters_sample){ 404, 10, 50 });
    counters_add(slot, 1000, &(struct counters_sample){ 0, 20, -1 });
    counters_add(slot, 1000, &(struct counters_sample){ -1, -1, -1 });
    counters_add(slot, 1001, &(struct counters_sample){ 503, 1, 1 });
    counters_add(NULL, 1001, &(struct counters_sample){ 503, 1, 1 });
    assert_int_equal(find(reader, "e", 999, &r), 0);
    assert_int_equal(find(reader, "e", 1000, &r), 1);
    assert_string_equal(r.variant, "v");
    assert_int_equal(r.invocations, 4);
    assert_int_equal(r.per_instance_ppm, 3250000);
    assert_int_equal(r.errors_4xx, 1);
    assert_int_equal(r.errors_5xx, 1);
    assert_int_equal(r.model.count, 3);
    assert_int_equal(r.model.sum_us, 60);
    assert_int_equal(r.model.min_us, 10);
    assert_int_equal(r.model.max_us, 30);
    assert_int_equal(r.overhead.sum_us, 55);
    /* It outlives its writer, and an hour later the minute is another. */
    counters_close(writer);
    assert_int_equal(counters_open(path, true, &writer, &err), 0);
    slot = counters_claim(writer, "1", "r", "e", "v", 1001);
    counters_add(slot, 1001, &(struct counters_sample){ 200, 1, 1 });
    assert_int_equal(find(reader, "e", 1001, &r), 1);
    assert_int_equal(r.invocations, 2);
    counters_add(slot, 1060, &(struct counters_sample){ 200, 1, 1 });
    assert_int_equal(find(reader, "e", 1000, &r), 0);
    counters_add(slot, 1000, &(struct counters_sample){ 200, 1, 1 });
    assert_int_equal(find(reader, "e", 1060, &r), 1);
    assert_int_equal(r.invocations, 1);
    counters_close(writer);
    counters_close(reader);
}

static void test_slots_come_back(void **state)
{
    struct counters *c;
    struct counters_slot *first = NULL;
    char name[32];
    struct err err;

    assert_int_equal(counters_open(path, true, &c, &err), 0);
    for (int i = 0; i < COUNTERS_SLOTS; i++) {
        struct counters_slot *s;

        snprintf(name, sizeof name, "e%d", i);
        s = counters_claim(c, "1", "r", name, "v", 1000);
        assert_non_null(s);
        counters_add(s, 1000, &(struct counters_sample){ 200, 1, 1 });
        first = first ? first : s;
    }
    assert_null(counters_claim(c, "1", "r", "one more", "v", 1000));
    /* Released is not forgotten: its last hour may not have been read. */
    counters_release(c, first);
    assert_null(counters_claim(c, "1", "r", "one more", "v", 1000));
    assert_ptr_equal(counters_claim(c, "1", "r", "one more", "v", 1000 + COUNTERS_MINUTES + 1), first);
    assert_null(counters_claim(c, "1", "r",
                               "a name that is longer than any endpoint's may be, which nobody counts, for it "
                               "cannot be",
                               "v", 5000));
    counters_close(c);
}

static void test_other_files(void **state)
{
    struct counters *c;
    struct err err;

    assert_int_equal(file_write_atomic(path, "something else", 14, 0600, &err), 0);
    assert_int_equal(counters_open(path, false, &c, &err), -1);
    assert_int_equal(err.kind, ERR_INVALID);
    assert_int_equal(counters_open(path, true, &c, &err), 0);
    counters_close(c);
    assert_int_equal(counters_open(path, false, &c, &err), 0);
    counters_close(c);
}

static void *count_much(void *slot)
{
    for (int i = 0; i < 100000; i++)
        counters_add(slot, 1000 + i / 1000, &(struct counters_sample){ 200, i % 100, 1 });
    return NULL;
}

static void test_threads(void **state)
{
    struct counters *c;
    struct counters_slot *slot;
    pthread_t threads[4];
    uint64_t total = 0;
    struct err err;

    assert_int_equal(counters_open(path, true, &c, &err), 0);
    slot = counters_claim(c, "1", "r", "e", "v", 1000);
    for (int i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, count_much, slot);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    for (int64_t minute = 1060; minute < 1100; minute++) {
        struct counters_reading r;

        /* A thread that lags an hour behind finds its bucket taken; that is all that may be missing. One that was
         * stopped for that hour between finding its bucket and counting puts one sample into the wrong hour. */
        if (find(c, "e", minute, &r)) {
            assert_true(r.invocations <= 4000 + 4);
            assert_true(r.model.max_us <= 99);
            total += r.invocations;
        }
    }
    assert_true(total >= 40 * 1000);
    counters_close(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_count_and_read, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_slots_come_back, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_other_files, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_threads, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
