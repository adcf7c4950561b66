#include "fleet/instance_type.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* types[], sorted by name, and the markets[] they point to. */
#include "catalog.inc"

static int compare(const void *key, const void *row)
{
    return strcmp(key, ((const struct instance_type *)row)->name);
}

const struct instance_type *instance_type(const char *name)
{
    return bsearch(name, types, sizeof types / sizeof *types, sizeof *types, compare);
}

const char **instance_type_names(struct arena *a, size_t more, size_t *ret_count)
{
    size_t count = sizeof types / sizeof *types;
    const char **names = arena_array_of(a, const char *, count + more + 1);

    for (size_t i = 0; i < count; i++)
        names[i] = types[i].name;
    *ret_count = count;
    return names;
}

const char **instance_regions(struct arena *a)
{
    const char **regions = arena_array_of(a, const char *, sizeof markets / sizeof *markets + 1);
    size_t count = 0;

    for (size_t i = 0; i < sizeof markets / sizeof *markets; i++) {
        size_t known = 0;

        while (known < count && strcmp(regions[known], markets[i].region) != 0)
            known++;
        if (known == count)
            regions[count++] = markets[i].region;
    }
    return regions;
}

int instance_type_gpus(const char *name)
{
    static const char *const others[] = { "Gaudi", "Inferentia", "Trainium" };
    const struct instance_type *type = instance_type(name);

    for (size_t i = 0; type && i < sizeof others / sizeof *others; i++)
        if (strncmp(type->accelerator, others[i], strlen(others[i])) == 0)
            return 0;
    return type ? type->accelerators : 0;
}

const struct instance_market *instance_market(const struct instance_type *type, const char *region)
{
    for (const struct instance_market *m = type->markets; m < type->markets + type->market_count; m++)
        if (strcmp(m->region, region) == 0)
            return m;
    return NULL;
}

double instance_spot_share(const char *name, const char *region)
{
    const struct instance_type *type = instance_type(name);
    const struct instance_market *m = type ? instance_market(type, region) : NULL;

    return m && m->spot_usd_hour >= 0 && m->spot_usd_hour < m->usd_hour ? m->spot_usd_hour / m->usd_hour : 1;
}

double instance_interruptions_hour(const char *name, const char *region)
{
    const struct instance_type *type = instance_type(name);
    const struct instance_market *m = type ? instance_market(type, region) : NULL;
    int band = m ? m->interrupted : 0;
    double share = band == 0 ? 0.10 : band == 100 ? 0.25 : (band - 2.5) / 100;

    return -log1p(-share) / 730;
}
