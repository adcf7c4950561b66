/* training_price.c - what the instances of a training job cost, each by its own type. */
#include "engine/engine.h"
#include "fleet/price.h"
#include "services/sagemaker/instance_usage.h"
#include "services/sagemaker/training_crew.h"
#include "services/sagemaker/training_groups.h"

static double spot_share(const struct fleet *fleet, const char *type, const struct price *price, int64_t from_ms,
                         int64_t to_ms)
{
    double usd_hour;

    return price->usd_hour > 0 && price_traced(fleet, type, from_ms, to_ms, &usd_hour) ? usd_hour / price->usd_hour
                                                                                       : price->spot_share;
}

static bool is_traced(const struct fleet *fleet, const struct training_spec *s)
{
    double ignored;

    for (int i = 0; s->spot && i < training_group_count(s); i++)
        if (price_traced(fleet, training_group(s, i).type, 0, 0, &ignored))
            return true;
    return false;
}

/* The groups weigh as much as they cost on demand; where no price is known, as many instances as they have. */
static double share_between(const struct platform *platform, const struct resource *r, int64_t from_ms, int64_t to_ms)
{
    struct training_spec s = training_spec_of(r->row.spec);
    struct price prices[TRAINING_GROUPS_MOST];
    int count = training_group_count(&s);
    double paid = 0, full = 0;
    bool priced = true;

    for (int i = 0; i < count; i++) {
        prices[i] = fleet_price(platform->fleet, training_group(&s, i).type, r->row.region);
        priced = priced && prices[i].usd_hour > 0;
    }
    for (int i = 0; i < count; i++) {
        struct training_group g = training_group(&s, i);
        double weight = (double)g.count * (priced ? prices[i].usd_hour : 1);

        paid += weight * (s.spot ? spot_share(platform->fleet, g.type, &prices[i], from_ms, to_ms) : 1);
        full += weight;
    }
    return full > 0 ? paid / full : 1;
}

struct doc *training_usage(struct arena *a, const struct platform *platform, const struct resource *r, int instance)
{
    struct training_spec s = training_spec_of(r->row.spec);

    return instance_usage(a, platform,
                          &(struct instance_usage){ .owner = &r->row, .key = r->row.uid, .role_arn = s.role_arn,
                                                    .work = "training", .spot = s.spot,
                                                    .instance = child_uid(a, r->row.uid, crew_host(a, instance), 0),
                                                    .instance_type = training_group_of(&s, instance).type });
}

double training_price_share(const struct platform *platform, const struct resource *r)
{
    int64_t ms = doc_int(r->status, "_TracedMs", 0);

    return ms ? doc_number(r->status, "_OnDemandMs", 0) / (double)ms : share_between(platform, r, 0, 0);
}

void training_note_price(struct arena *a, const struct platform *platform, struct resource *r, int64_t from_ms,
                         int64_t to_ms)
{
    struct training_spec s = training_spec_of(r->row.spec);
    int64_t ms = to_ms - from_ms;

    if (ms <= 0 || !is_traced(platform->fleet, &s))
        return;
    doc_set_integer(a, r->status, "_TracedMs", doc_int(r->status, "_TracedMs", 0) + ms);
    doc_set_real(a, r->status, "_OnDemandMs",
                 doc_number(r->status, "_OnDemandMs", 0) + (double)ms * share_between(platform, r, from_ms, to_ms));
}

/* What a trace says is known until now, so an interval that is open has its price until now. */
int training_take_prices(struct pass *p, const struct resource *r, const struct crew *crew, struct err *err)
{
    const struct platform *platform = engine_context(p->engine);
    struct training_spec s = training_spec_of(r->row.spec);

    for (int i = 0; s.spot && i < crew->count; i++) {
        const struct mate *m = &crew->mates[i];
        int64_t from_ms = doc_int(doc_get(r->status, "_StartedMs"), m->host, 0);
        double usd_hour;

        if (from_ms && price_traced(platform->fleet, training_group_of(&s, i).type, from_ms, mate_ended_ms(p, m),
                                    &usd_hour) &&
            usage_price(p->engine, m->agent, usd_hour, err) < 0)
            return -1;
    }
    return 0;
}
