/* training_price.c - what the instances of a training job cost, each by its own type. */
#include "fleet/price.h"
#include "services/sagemaker/crew.h"
#include "services/sagemaker/instance_usage.h"
#include "services/sagemaker/training_groups.h"

/* The groups weigh as much as they cost on demand; where no price is known, as many instances as they have. */
double training_price_share(const struct platform *platform, const struct resource *r)
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
        double weight = (double)training_group(&s, i).count * (priced ? prices[i].usd_hour : 1);

        paid += weight * (s.spot ? prices[i].spot_share : 1);
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
