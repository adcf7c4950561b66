/* Threads that take things at once, and do one step with each in its turn. */
#include "agent/turns.h"

#include <unistd.h>

#include "base/rand.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

enum { THINGS = 500, THREADS = 6 };

struct scene {
    struct turns turns;
    size_t ends_at; /* with this one */
    size_t done[THINGS], count;
    bool joined[THINGS];
};

/* Those that join come after those that waited before them, and before those that wait after them. */
static void join(struct scene *s, size_t thing, struct rand *dice)
{
    size_t waited = s->count;

    if (rand_below(dice, 2))
        usleep((useconds_t)rand_below(dice, 300));
    assert_int_equal(s->count, waited);
    s->joined[thing] = true;
}

static void *work(void *data)
{
    struct scene *s = data;
    struct rand dice = rand_seeded((uint64_t)(uintptr_t)&dice);
    size_t thing;

    while (turns_take(&s->turns, &thing)) {
        if (rand_below(&dice, 4) == 0)
            usleep((useconds_t)rand_below(&dice, 300));
        if (thing == s->ends_at)
            turns_end(&s->turns);
        /* Some need no turn. */
        else if (thing % 7 == 1 && turns_join(&s->turns, thing))
            join(s, thing, &dice);
        else if (thing % 7 > 1 && turns_wait(&s->turns, thing))
            s->done[s->count++] = thing; /* the turn is the lock */
        turns_over(&s->turns, thing);
    }
    return NULL;
}

static void run(struct scene *s)
{
    pthread_t threads[THREADS];

    turns_init(&s->turns, THINGS);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, work, s), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    turns_free(&s->turns);
    for (size_t i = 1; i < s->count; i++)
        assert_true(s->done[i] > s->done[i - 1]);
}

static void each_in_its_turn(void **state)
{
    struct scene s = { .ends_at = THINGS };

    run(&s);
    assert_int_equal(s.count, THINGS - (THINGS + 6) / 7 - (THINGS + 5) / 7);
    for (size_t i = 1; i < THINGS; i += 7)
        assert_true(s.joined[i]);
}

static void some_go_together(void **state)
{
    struct turns t;
    size_t thing;

    turns_init(&t, 4);
    while (turns_take(&t, &thing))
        ;
    assert_true(turns_join(&t, 0) && turns_join(&t, 1) && turns_join(&t, 2));
    assert_int_equal(t.over, 0);
    turns_over(&t, 1);
    turns_over(&t, 0);
    assert_int_equal(t.over, 2);
    turns_over(&t, 2);
    assert_true(turns_wait(&t, 3));
    turns_free(&t);
}

static void after_the_end_nobodys_turn_comes(void **state)
{
    struct scene s = { .ends_at = 200 };

    run(&s);
    for (size_t i = 0; i < s.count; i++)
        assert_true(s.done[i] < 200);
}

static void nothing_at_all(void **state)
{
    struct turns t;
    size_t thing;

    turns_init(&t, 0);
    assert_false(turns_take(&t, &thing));
    turns_free(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_in_its_turn),
        cmocka_unit_test(after_the_end_nobodys_turn_comes),
        cmocka_unit_test(some_go_together),
        cmocka_unit_test(nothing_at_all),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
