#include "fleet/price.h"

#include <string.h>

#include "fleet/instance_type.h"
#include "fleet/spot.h"

static const char list_region[] = "us-east-1"; /* that SageMaker's own list prices in the catalogue are of */

static double catalogue_usd(const char *name, const char *region)
{
    const struct instance_type *type = instance_type(name);
    const struct instance_market *market =
        type && strcmp(region, list_region) != 0 ? instance_market(type, region) : NULL;

    if (market)
        return market->usd_hour;
    return type && type->usd_hour > 0 ? type->usd_hour : 0;
}

struct price fleet_price(const struct fleet *f, const char *name, const char *region)
{
    const struct fleet_type *own = fleet_own_type(f, name);

    if (own)
        return (struct price){
            .usd_hour = own->usd_hour,
            .spot_share = own->spot_usd_hour >= 0 && own->spot_usd_hour < own->usd_hour
                              ? own->spot_usd_hour / own->usd_hour : 1,
        };
    return (struct price){ .usd_hour = catalogue_usd(name, f->from_file ? f->region : list_region),
                           .spot_share = instance_spot_share(name, f->from_file ? f->region : region) };
}

double price_paid(const struct price *price, bool spot)
{
    return spot ? price->usd_hour * price->spot_share : price->usd_hour;
}

bool price_traced(const struct fleet *f, const char *type, int64_t from_ms, int64_t to_ms, double *ret_usd_hour)
{
    const struct fleet_trace *t = f->spot.live ? spot_trace(f, type) : NULL;

    if (t)
        *ret_usd_hour = to_ms > from_ms ? spot_cost(t, from_ms, to_ms) / ((double)(to_ms - from_ms) / 3600e3)
                                        : spot_price(t, from_ms);
    return t;
}
