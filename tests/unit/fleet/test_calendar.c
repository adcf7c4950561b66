#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "base/rand.h"
#include "fleet/calendar.h"

#include <cmocka.h>

enum { ENTRIES = 300, HOUR = 3600 * 1000 };

struct seen {
    int64_t at_ms, sequence;
    int count, stop_after;
};

static int in_order(void *context, struct calendar_entry *e)
{
    struct seen *s = context;

    assert_true(e->at_ms > s->at_ms || (e->at_ms == s->at_ms && e->sequence > s->sequence));
    s->at_ms = e->at_ms;
    s->sequence = e->sequence;
    return ++s->count == s->stop_after;
}

static int walked(struct calendar *c)
{
    struct seen s = { .at_ms = -1 };

    calendar_walk(c, in_order, &s);
    return s.count;
}

/* Entries of the next hours, of months ahead and of long ago, in and out at random. */
static void a_walk_is_in_the_order_of_time(void **state)
{
    for (uint64_t seed = 1; seed < 40; seed++) {
        static struct calendar_entry entries[ENTRIES];
        struct calendar *c = calendar_new();
        struct rand r = rand_seeded(seed);
        bool in[ENTRIES] = { 0 };
        int count = 0;
        int64_t now = (int64_t)rand_below(&r, 1000) * HOUR;

        for (int i = 0; i < ENTRIES; i++)
            entries[i] = (struct calendar_entry){ 0 };
        for (int step = 0; step < 1500; step++) {
            int i = (int)rand_below(&r, ENTRIES);

            now += (int64_t)rand_below(&r, 2 * HOUR);
            if (in[i]) {
                calendar_remove(c, &entries[i]);
                calendar_remove(c, &entries[i]);
            } else {
                int64_t reach = rand_below(&r, 4) ? 48 : 3000;
                int64_t at = now + ((int64_t)rand_below(&r, (uint64_t)reach) - 5) * HOUR;

                calendar_add(c, &entries[i], at < 0 ? 0 : at, i);
            }
            in[i] = !in[i];
            count += in[i] ? 1 : -1;
            if (step % 10 == 0)
                assert_int_equal(walked(c), count);
        }
        calendar_free(c);
    }
}

static void a_walk_ends_when_it_is_told(void **state)
{
    struct calendar *c = calendar_new();
    struct calendar_entry a = { 0 }, b = { 0 }, d = { 0 };
    struct seen s = { .at_ms = -1, .stop_after = 2 };

    calendar_add(c, &a, 5 * HOUR, 1);
    calendar_add(c, &b, 5 * HOUR, 2);
    calendar_add(c, &d, 2 * HOUR, 3);
    assert_int_equal(calendar_walk(c, in_order, &s), 1);
    assert_int_equal(s.count, 2);
    assert_int_equal(s.at_ms, 5 * HOUR);
    calendar_free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_walk_is_in_the_order_of_time),
        cmocka_unit_test(a_walk_ends_when_it_is_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
