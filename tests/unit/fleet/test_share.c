#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "fleet/fleet.h"
#include "fleet/share.h"

#include <cmocka.h>

enum { HOUR = 3600 * 1000, PERIOD = 5 * 60 * 1000 };

static void run_for(struct share *s, struct owner *o, int64_t *now, int hours)
{
    double scale;

    share_start(s, o, 1, *now);
    for (int i = 0; i < hours * HOUR / PERIOD; i++) {
        *now += PERIOD;
        share_tick(s, *now, &scale);
    }
    share_stop(s, o, 1, *now);
}

/* What is told after a restart is what was charged before, but for what was charged ahead. */
static void what_was_used_before_counts(void **state)
{
    struct fleet f = fleet_default();
    struct share *before = share_new(&f, 0), *after;
    struct owner *lived = share_owner(before, "ann"), *recalled;
    int64_t now = 0;
    double usd;

    run_for(before, lived, &now, 500); /* three half-lives */
    now += f.share.half_life_ms;
    after = share_new(&f, now);
    recalled = share_owner(after, "ann");
    share_recall(after, recalled, 1, 0, now - f.share.half_life_ms);
    usd = share_usd(before, lived, now);
    assert_true(usd > 50 && fabs(share_usd(after, recalled, now) - usd) < 0.01 * usd);
    share_free(before);
    share_free(after);
}

static void usage_is_what_was_used(void **state)
{
    struct fleet f = fleet_default();
    struct share *s = share_new(&f, 0);
    struct owner *o = share_owner(s, "ann");
    int64_t now = 0;

    assert_ptr_equal(o, share_owner(s, "ann"));
    share_start(s, o, 12, now);
    assert_true(share_usd(s, o, now) > 0); /* at once */
    share_stop(s, o, 12, now);
    run_for(s, o, &now, 10);
    /* A dollar an hour for ten hours, a little faded, and at most a period ahead. */
    assert_true(share_usd(s, o, now) > 9.6 && share_usd(s, o, now) < 10.1);
    share_free(s);
}

static void usage_fades_by_half(void **state)
{
    struct fleet f = fleet_default();
    struct share *s = share_new(&f, 0);
    struct owner *o = share_owner(s, "ann");
    int64_t now = 0;
    double before;

    run_for(s, o, &now, 2);
    before = share_usd(s, o, now);
    assert_float_equal(share_usd(s, o, now + f.share.half_life_ms), before / 2, 1e-9);
    assert_float_equal(share_usd(s, o, now + 2 * f.share.half_life_ms), before / 4, 1e-9);
    share_free(s);
}

static void weight_counts_and_late_use_counts_more(void **state)
{
    struct fleet_owner rules[] = { { "big", 3, 7 } };
    struct fleet f = fleet_default();
    struct share *s;
    struct owner *big, *small, *late;
    int64_t now = 0;

    f.owners = rules;
    f.owner_count = 1;
    s = share_new(&f, 0);
    big = share_owner(s, "big");
    small = share_owner(s, "small");
    late = share_owner(s, "late");
    assert_int_equal(big->priority, 7);
    run_for(s, big, &now, 20);
    run_for(s, small, &now, 10);
    assert_true(share_key(big) < share_key(small)); /* twice the use, three times the weight */
    now += 20 * f.share.half_life_ms;
    run_for(s, late, &now, 1);
    assert_true(share_key(late) > share_key(small));
    share_free(s);
}

/* Numbers never run out of a double's range, and the order stays when they are brought down. */
static void years_pass(void **state)
{
    struct fleet f = fleet_default();
    struct share *s = share_new(&f, 0);
    struct owner *a = share_owner(s, "a"), *b = share_owner(s, "b");
    int64_t now = 0;
    double scale = 1, all = 1;

    for (int i = 0; i < 500; i++) {
        share_start(s, a, 1, now);
        share_start(s, b, 2, now);
        now += f.share.half_life_ms;
        share_tick(s, now, &scale);
        all *= scale;
        share_stop(s, a, 1, now);
        share_stop(s, b, 2, now);
        assert_true(share_key(a) < share_key(b) && share_key(b) < 1e300);
    }
    assert_true(all < 1e-50);
    assert_true(share_usd(s, a, now) > 100 && share_usd(s, a, now) < 400);
    share_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(usage_is_what_was_used),
        cmocka_unit_test(what_was_used_before_counts),
        cmocka_unit_test(usage_fades_by_half),
        cmocka_unit_test(weight_counts_and_late_use_counts_more),
        cmocka_unit_test(years_pass),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
