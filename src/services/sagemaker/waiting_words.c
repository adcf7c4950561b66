/* waiting_words.c - the scheduler knows what is missing, but not that what stands in the way does nothing, nor whose it
 * is. */
#include "services/sagemaker/waiting_words.h"

#include <inttypes.h>

#include "services/sagemaker/warm_pool.h"

enum { POOLS_ASKED = 100, POOLS_NAMED = 3 };

/* "the warm pools of a, b and c keep its place until 2026-01-01T00:00:00Z"; "" when none does. What cannot be read is
 * left out: the job waits all the same. */
static const char *pools_in_the_way(struct arena *a, struct engine *e, const char *key)
{
    struct kept_pool pools[POOLS_ASKED];
    const char *holders[POOLS_ASKED], *names = "";
    int count, needed, named;
    struct err err;

    if (warm_pools_kept(a, e, POOLS_ASKED, pools, &count, &err) < 0)
        return "";
    for (int i = 0; i < count; i++)
        holders[i] = pools[i].key;
    needed = scheduler_hindrance(allocations_of(e)->scheduler, key, holders, count);
    if (needed == 0)
        return "";
    named = needed > POOLS_NAMED ? POOLS_NAMED - 1 : needed;
    for (int i = 0; i < named; i++)
        names = arena_printf(a, "%s%s%s", names, i == 0 ? "" : i == needed - 1 ? " and " : ", ", pools[i].job);
    if (named < needed)
        names = arena_printf(a, "%s and %d others", names, needed - named);
    return arena_printf(a, "the warm pool%s of %s keep%s its place until %s", needed == 1 ? "" : "s", names,
                        needed == 1 ? "s" : "", time_iso8601(a, pools[needed - 1].until_ms, false));
}

const char *waiting_words(struct arena *a, struct engine *e, const char *key)
{
    struct allocations *all = allocations_of(e);
    struct waiting waiting;
    const char *pools;

    if (!scheduler_waiting(all->scheduler, a, key, allocations_now_ms(all), &waiting))
        return "";
    pools = pools_in_the_way(a, e, key);
    if (!*pools)
        return waiting.reason;
    return arena_printf(a, "%s; %s", waiting.expected_ms == INT64_MAX ? waiting.what : waiting.reason, pools);
}
