#include "services/sagemaker/instance_usage.h"

#include <string.h>

#include "fleet/price.h"
#include "services/sagemaker/allocation.h"

struct doc *instance_usage(struct arena *a, const struct platform *platform, const struct instance_usage *u)
{
    const struct price price = fleet_price(platform->fleet, u->instance_type, u->owner->region);
    const char *share = scheduler_owner(allocations_scheduler(platform->allocations), u->key);
    struct doc *attributes = doc_map(a);

    doc_set_string(a, attributes, "owner_arn", u->owner->arn);
    doc_set_string(a, attributes, "role_arn", u->role_arn);
    doc_set_string(a, attributes, "instance", u->instance);
    doc_set_string(a, attributes, "instance_type", u->instance_type);
    doc_set_string(a, attributes, "work", u->work);
    doc_set_boolean(a, attributes, "spot", u->spot);
    if (share && strcmp(share, u->role_arn) != 0)
        doc_set_string(a, attributes, "share", share);
    if (price.usd_hour > 0)
        doc_set_real(a, attributes, "usd_hour", price_paid(&price, u->spot));
    return attributes;
}
