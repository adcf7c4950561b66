#include "fleet/share.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

#include "base/map.h"
#include "fleet/fleet.h"

/* A double's exponent bears a thousand half-lives; long before, all is brought down again. */
enum { HALF_LIVES_MOST = 256 };

struct share {
    const struct fleet *fleet;
    struct arena *arena;
    struct map *owners;
    int64_t origin_ms; /* where a dollar weighs one dollar */
    int64_t next_ms;   /* the period that runs ends here */
};

struct share *share_new(const struct fleet *fleet, int64_t now_ms)
{
    struct share *s = calloc(1, sizeof *s);

    assert(s);
    s->fleet = fleet;
    s->arena = arena_new();
    s->owners = map_new();
    s->origin_ms = now_ms;
    s->next_ms = now_ms + fleet->share.period_ms;
    return s;
}

void share_free(struct share *s)
{
    if (!s)
        return;
    map_free(s->owners);
    arena_free(s->arena);
    free(s);
}

struct owner *share_owner(struct share *s, const char *name)
{
    struct owner *o = map_get(s->owners, str_of(name));
    const struct fleet_owner *rule;

    if (o)
        return o;
    rule = fleet_owner(s->fleet, name);
    o = arena_new_of(s->arena, struct owner);
    *o = (struct owner){ .name = arena_strdup(s->arena, name), .weight = rule->weight, .priority = rule->priority };
    map_set(s->owners, str_of(name), o);
    return o;
}

static double weight_of(const struct share *s, int64_t at_ms)
{
    return exp2((double)(at_ms - s->origin_ms) / (double)s->fleet->share.half_life_ms);
}

static void charge(struct share *s, struct owner *o, double usd, int64_t at_ms)
{
    double from_credit = usd < o->credit ? usd : o->credit;

    o->credit -= from_credit;
    o->usage += (usd - from_credit) * weight_of(s, at_ms);
}

static double rest_of_period(const struct share *s, double usd_hour, int64_t now_ms)
{
    int64_t rest_ms = s->next_ms > now_ms ? s->next_ms - now_ms : 0;

    return usd_hour * (double)rest_ms / 3600e3;
}

void share_start(struct share *s, struct owner *o, double usd_hour, int64_t now_ms)
{
    o->usd_hour += usd_hour;
    charge(s, o, rest_of_period(s, usd_hour, now_ms), now_ms);
}

void share_stop(struct share *s, struct owner *o, double usd_hour, int64_t now_ms)
{
    o->usd_hour -= usd_hour;
    if (o->usd_hour < 1e-9)
        o->usd_hour = 0;
    o->credit += rest_of_period(s, usd_hour, now_ms);
}

/* The integral of what an hour cost, weighed as of each moment. */
void share_recall(struct share *s, struct owner *o, double usd_hour, int64_t from_ms, int64_t to_ms)
{
    double half_life_hours = (double)s->fleet->share.half_life_ms / 3600e3;

    o->usage += usd_hour * half_life_hours / M_LN2 * (weight_of(s, to_ms) - weight_of(s, from_ms));
}

static double bring_down(struct share *s, int64_t now_ms)
{
    double scale = 1 / weight_of(s, now_ms);
    struct str name;
    void *o;

    for (size_t at = 0; map_next(s->owners, &at, &name, &o);)
        ((struct owner *)o)->usage *= scale;
    s->origin_ms = now_ms;
    return scale;
}

bool share_tick(struct share *s, int64_t now_ms, double *ret_scale)
{
    int64_t period_ms = s->fleet->share.period_ms, periods;
    struct str name;
    void *o;

    *ret_scale = 1;
    if (now_ms < s->next_ms)
        return false;
    if (now_ms - s->origin_ms > HALF_LIVES_MOST * s->fleet->share.half_life_ms)
        *ret_scale = bring_down(s, now_ms);
    periods = (now_ms - s->next_ms) / period_ms + 1;
    for (size_t at = 0; map_next(s->owners, &at, &name, &o);) {
        struct owner *owner = o;

        if (owner->usd_hour > 0)
            charge(s, owner, owner->usd_hour * (double)(periods * period_ms) / 3600e3, now_ms);
    }
    s->next_ms += periods * period_ms;
    return true;
}

int64_t share_next_ms(const struct share *s)
{
    return s->next_ms;
}

double share_usd(const struct share *s, const struct owner *o, int64_t now_ms)
{
    return o->usage / weight_of(s, now_ms);
}
