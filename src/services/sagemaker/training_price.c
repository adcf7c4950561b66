/* training_price.c - what the instances of a training job cost, each by its own type. */
#include "fleet/instance_type.h"
#include "services/sagemaker/training_groups.h"

static double hourly_usd(const char *type_name)
{
    const struct instance_type *type = instance_type(type_name);

    return type && type->usd_hour >= 0 ? type->usd_hour : -1;
}

/* What an instance of that type costs the job, as a part of its price on demand. */
static double share_of(const struct resource *r, const struct training_spec *s, const char *type)
{
    return s->spot ? instance_spot_share(type, r->row.region) : 1;
}

/* The groups weigh as much as they cost on demand; where no price is known, as many instances as they have. */
double training_price_share(const struct resource *r)
{
    struct training_spec s = training_spec_of(r->row.spec);
    double paid = 0, full = 0;
    bool priced = true;

    for (int i = 0; i < training_group_count(&s); i++)
        priced = priced && hourly_usd(training_group(&s, i).type) > 0;
    for (int i = 0; i < training_group_count(&s); i++) {
        struct training_group g = training_group(&s, i);
        double weight = (double)g.count * (priced ? hourly_usd(g.type) : 1);

        paid += weight * share_of(r, &s, g.type);
        full += weight;
    }
    return full > 0 ? paid / full : 1;
}

struct doc *training_usage(struct arena *a, const struct resource *r, int instance)
{
    struct training_spec s = training_spec_of(r->row.spec);
    const char *type = training_group_of(&s, instance).type;
    struct doc *attributes = doc_map(a);

    doc_set_string(a, attributes, "owner_arn", r->row.arn);
    doc_set_string(a, attributes, "role_arn", s.role_arn);
    doc_set_string(a, attributes, "instance_type", type);
    doc_set_string(a, attributes, "work", "training");
    doc_set_boolean(a, attributes, "spot", s.spot);
    if (hourly_usd(type) >= 0)
        doc_set_real(a, attributes, "usd_hour", hourly_usd(type) * share_of(r, &s, type));
    return attributes;
}
