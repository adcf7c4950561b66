#include "fleet/spot.h"

#include <math.h>

#include "base/rand.h"

double spot_unit(int64_t seed, const char *uid, int64_t attempt)
{
    uint64_t hash = 0xcbf29ce484222325u; /* FNV-1a; the generator mixes it */
    struct rand rand;

    for (const char *c = uid; *c; c++)
        hash = (hash ^ (unsigned char)*c) * 0x100000001b3u;
    hash = (hash ^ (uint64_t)attempt) * 0x100000001b3u;
    rand = rand_seeded(hash ^ ((uint64_t)seed * 0x9e3779b97f4a7c15u));
    return rand_unit(&rand);
}

int64_t spot_lifetime_ms(double per_hour, double unit)
{
    double hours;

    if (per_hour <= 0)
        return INT64_MAX;
    hours = -log1p(-unit) / per_hour;
    return hours > 1e9 ? INT64_MAX : (int64_t)(hours * 3600e3) + 1;
}

double spot_rate(double expected, const struct spot_seen *seen)
{
    return (expected * SPOT_EXPECTED_HOURS + seen->interruptions) / (SPOT_EXPECTED_HOURS + seen->hours);
}

const struct fleet_trace *spot_trace(const struct fleet *f, const char *type)
{
    for (int i = 0; i < f->spot.trace_count; i++)
        if (glob_matches(f->spot.traces[i].type, type))
            return &f->spot.traces[i];
    return NULL;
}

/* The point that holds at a time, and when the next one takes over: INT64_MAX for never. */
static const struct price_point *point_at(const struct fleet_trace *t, int64_t at_ms, int64_t *ret_until_ms)
{
    int64_t round_ms = t->repeat_ms ? at_ms / t->repeat_ms * t->repeat_ms : 0, within_ms = at_ms - round_ms;
    int low = 0, high = t->count - 1;

    while (low < high) {
        int middle = (low + high + 1) / 2;

        if (t->points[middle].at_ms <= within_ms)
            low = middle;
        else
            high = middle - 1;
    }
    *ret_until_ms = low + 1 < t->count ? round_ms + t->points[low + 1].at_ms
                    : t->repeat_ms     ? round_ms + t->repeat_ms
                                       : INT64_MAX;
    return &t->points[low];
}

double spot_price(const struct fleet_trace *t, int64_t at_ms)
{
    int64_t until_ms;

    return point_at(t, at_ms, &until_ms)->usd_hour;
}

static int64_t next(const struct fleet_trace *t, double most, int64_t from_ms, bool above)
{
    int64_t at_ms = from_ms;

    /* One round shows all there is. */
    for (int i = 0; i <= t->count + 1; i++) {
        int64_t until_ms;

        if ((point_at(t, at_ms, &until_ms)->usd_hour > most) == above)
            return at_ms;
        if (until_ms == INT64_MAX)
            break;
        at_ms = until_ms;
    }
    return INT64_MAX;
}

int64_t spot_next_above(const struct fleet_trace *t, double most, int64_t from_ms)
{
    return next(t, most, from_ms, true);
}

int64_t spot_next_within(const struct fleet_trace *t, double most, int64_t from_ms)
{
    return next(t, most, from_ms, false);
}

double spot_cost(const struct fleet_trace *t, int64_t from_ms, int64_t until_ms)
{
    double usd = 0;

    while (from_ms < until_ms) {
        int64_t end_ms;
        double usd_hour = point_at(t, from_ms, &end_ms)->usd_hour;

        if (end_ms > until_ms)
            end_ms = until_ms;
        usd += usd_hour * (double)(end_ms - from_ms) / 3600e3;
        from_ms = end_ms;
    }
    return usd;
}
