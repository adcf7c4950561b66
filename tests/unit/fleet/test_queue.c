#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/rand.h"
#include "fleet/queue.h"

#include <cmocka.h>

enum { JOBS = 200, OWNERS = 6 };

struct world {
    struct queue *queue;
    struct owner owners[OWNERS];
    struct job jobs[JOBS];
    bool waits[JOBS];
    struct rand rand;
};

static struct job *new_job(struct world *w, int i)
{
    struct demand_group group = { (int)rand_below(&w->rand, 2), 1 + (int64_t)rand_below(&w->rand, 2) };
    bool spot = rand_below(&w->rand, 3) == 0;

    w->jobs[i] = (struct job){
        .owner = &w->owners[rand_below(&w->rand, OWNERS)],
        .priority = (int64_t)rand_below(&w->rand, 3) - 1,
        .sequence = i + 1,
        .submitted_ms = i,
        .runtime_ms = rand_below(&w->rand, 4) ? 1000 : 0,
        .instances = group.count,
        .patient = true,
    };
    w->jobs[i].demand = queue_demand(w->queue, &group, 1, spot, w->jobs[i].runtime_ms);
    return &w->jobs[i];
}

/* The order as the header has it, said once more. */
static bool goes_before(const struct job *a, const struct job *b)
{
    if (a->demand->spot != b->demand->spot)
        return !a->demand->spot;
    if (a->patient != b->patient)
        return !a->patient;
    if (a->patient) {
        if (a->priority != b->priority)
            return a->priority > b->priority;
        if (share_key(a->owner) != share_key(b->owner))
            return share_key(a->owner) < share_key(b->owner);
    }
    return a->sequence < b->sequence;
}

static struct job *expected_first(struct world *w, const struct demand *d)
{
    struct job *first = NULL;

    for (int i = 0; i < JOBS; i++)
        if (w->waits[i] && (!d || w->jobs[i].demand == d) && (!first || goes_before(&w->jobs[i], first)))
            first = &w->jobs[i];
    return first;
}

static struct job *first_of_all(struct world *w)
{
    struct job *first = NULL;

    for (size_t i = 0; i < w->queue->count; i++) {
        struct job *j = demand_first(w->queue->active[i]);

        assert_ptr_equal(j, expected_first(w, w->queue->active[i]));
        if (!first || lane_before(j->lane, first->lane))
            first = j;
    }
    return first;
}

/* Jobs come and go, owners are charged, patience ends, numbers are brought down: the first is always the first. */
static void the_order_is_kept(void **state)
{
    for (uint64_t seed = 1; seed <= 30; seed++) {
        struct world *w = calloc(1, sizeof *w);
        int64_t lost = 0;

        w->rand = rand_seeded(seed);
        w->queue = queue_new();
        for (int i = 0; i < OWNERS; i++)
            w->owners[i].weight = 1 + (double)rand_below(&w->rand, 3);
        for (int i = 0; i < JOBS; i++)
            new_job(w, i);
        for (int step = 0; step < 1500; step++) {
            int i = (int)rand_below(&w->rand, JOBS);

            w->owners[rand_below(&w->rand, OWNERS)].usage += (double)rand_below(&w->rand, 3);
            if (w->waits[i])
                queue_remove(w->queue, &w->jobs[i]);
            else
                queue_add(w->queue, &w->jobs[i]);
            w->waits[i] = !w->waits[i];
            if (step % 100 == 0) {
                queue_lose_patience(w->queue, ++lost * 3);
                for (int k = 0; k < JOBS; k++)
                    assert_true(!w->waits[k] || w->jobs[k].patient == (w->jobs[k].submitted_ms > lost * 3) ||
                                !w->jobs[k].patient);
            }
            if (step % 333 == 0) {
                for (int k = 0; k < OWNERS; k++)
                    w->owners[k].usage /= 1024;
                queue_rescale(w->queue, 1.0 / 1024);
            }
            if (step % 7 == 0)
                assert_ptr_equal(first_of_all(w), expected_first(w, NULL));
        }
        for (int i = 0; i < JOBS; i++) {
            if (w->waits[i])
                queue_remove(w->queue, &w->jobs[i]);
            demand_drop(w->queue, w->jobs[i].demand);
        }
        assert_int_equal(w->queue->count, 0);
        assert_int_equal(map_count(w->queue->demands) + map_count(w->queue->lanes), 0);
        queue_free(w->queue);
        free(w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_order_is_kept),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
