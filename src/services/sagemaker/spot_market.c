/* spot_market.c - the fleet file's model of spot: by chance where it has a rate, by price where it has a trace.
 *
 * Chance is drawn from the seed, the work's uid and its attempt: a restart draws the same moment again. A trace begins
 * at midnight UTC of 1 January 1970, so one that repeats by the day begins at every midnight. */
#include <string.h>

#include "engine/engine.h"
#include "fleet/spot.h"
#include "services/sagemaker/allocation_impl.h"

static const struct fleet_trace *trace_of(const struct fleet *f, const char *type, double *ret_most)
{
    const struct fleet_trace *t = spot_trace(f, type);
    struct fleet_type known;

    if (!t || !fleet_type(f, type, &known))
        return NULL;
    *ret_most = f->spot.price_most * known.usd_hour;
    return t;
}

/* The first moment at which the price of one of its types is too high; of its rising, or its fall below for all. */
static int64_t price_moment(const struct fleet *f, const struct work *w, int64_t from_ms, bool above)
{
    int64_t moment = above ? INT64_MAX : from_ms;

    for (int g = 0; g < w->group_count; g++) {
        double most;
        const struct fleet_trace *t = trace_of(f, w->groups[g].type, &most);
        int64_t at_ms;

        if (!t)
            continue;
        at_ms = above ? spot_next_above(t, most, from_ms) : spot_next_within(t, most, from_ms);
        if (above ? at_ms < moment : at_ms > moment)
            moment = at_ms;
    }
    return moment;
}

static double interruptions_hour(const struct fleet *f, const struct work *w)
{
    double per_hour = 0;

    for (int g = 0; g < w->group_count; g++) {
        struct fleet_type type;

        if (!spot_trace(f, w->groups[g].type) && fleet_type(f, w->groups[g].type, &type))
            per_hour += (double)w->groups[g].count * type.interruptions_hour;
    }
    return per_hour;
}

static int first(void *context, struct calendar_entry *entry)
{
    *(struct calendar_entry **)context = entry;
    return 1;
}

static void find_next(struct allocations *all)
{
    struct calendar_entry *entry;

    all->market_due_ms = calendar_walk(all->market, first, &entry) ? entry->at_ms : INT64_MAX;
}

static void plan(struct allocations *all, struct stand *stand, int64_t at_ms, const char *cause)
{
    calendar_remove(all->market, &stand->due);
    stand->to_come = cause;
    if (at_ms != INT64_MAX)
        calendar_add(all->market, &stand->due, at_ms, ++all->market_sequence);
    find_next(all);
}

static bool is_watched(const struct allocations *all, const struct work *w)
{
    return w->spot && all->fleet->spot.live;
}

bool market_allows(struct allocations *all, struct stand *stand, const struct work *w)
{
    int64_t now_ms = allocations_now_ms(all), at_ms;

    if (!is_watched(all, w))
        return true;
    at_ms = price_moment(all->fleet, w, now_ms, false);
    if (at_ms <= now_ms)
        return true;
    plan(all, stand, at_ms, NULL);
    return false;
}

bool market_forbids(const struct stand *stand)
{
    return !list_empty(&stand->due.link) && !stand->to_come;
}

void market_watch(struct allocations *all, struct stand *stand, const struct work *w, int64_t since_ms, int64_t attempt)
{
    int64_t lifetime_ms, chance_ms, price_ms;

    if (!is_watched(all, w))
        return;
    lifetime_ms = spot_lifetime_ms(interruptions_hour(all->fleet, w),
                                   spot_unit(all->fleet->seed, w->uid, attempt));
    chance_ms = lifetime_ms == INT64_MAX ? INT64_MAX : since_ms + lifetime_ms;
    price_ms = price_moment(all->fleet, w, since_ms, true);
    if (chance_ms < price_ms)
        plan(all, stand, chance_ms, "chance");
    else
        plan(all, stand, price_ms, "price");
}

void market_forget(struct allocations *all, struct stand *stand)
{
    if (list_empty(&stand->due.link))
        return;
    plan(all, stand, INT64_MAX, NULL);
}

bool market_move(struct engine *e, struct allocations *all, int64_t now_ms)
{
    struct calendar_entry *entry;
    struct stand *stand;

    if (all->market_due_ms > now_ms || !calendar_walk(all->market, first, &entry))
        return false;
    stand = list_entry(&entry->link, struct stand, due.link);
    stand->cause = stand->to_come;
    plan(all, stand, INT64_MAX, NULL);
    if (stand->cause)
        scheduler_interrupt(all->scheduler, stand->key, now_ms);
    else
        engine_touch(e, stand->row_uid);
    return true;
}

int64_t market_due_ms(const struct allocations *all)
{
    return all->market_due_ms;
}
