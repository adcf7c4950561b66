/* fleet.c - what a fleet has, and the rules that hold for a type or an owner. */
#include "fleet/fleet.h"

#include <fnmatch.h>
#include <math.h>
#include <string.h>

#include "fleet/instance_type.h"

enum { HOUR_MS = 3600 * 1000, DAY_MS = 24 * HOUR_MS };

static const int64_t GB = 1000 * 1000 * 1000, MIB = 1024 * 1024;

bool glob_matches(const char *pattern, const char *text)
{
    return fnmatch(pattern, text, 0) == 0;
}

struct fleet fleet_default(void)
{
    return (struct fleet){
        .region = "us-east-1",
        .seed = 1,
        .share = { .half_life_ms = 7LL * DAY_MS, .period_ms = 5 * 60 * 1000 },
        .queue = { .patience_ms = 7LL * DAY_MS, .depth = 100, .default_runtime_ms = DAY_MS },
        .spot = { .notice_ms = 120 * 1000, .price_most = 1 },
        .failures = { .repair_ms = 4LL * HOUR_MS, .lemon_after = 3, .lemon_half_life_ms = 14LL * DAY_MS },
        .checkpoints = { .cost_ms = 30 * 1000, .restart_ms = 60 * 1000 },
    };
}

void fleet_share_slots(struct arena *a, struct fleet *f, const char *node, int64_t slots, int64_t gpus)
{
    f->slots = slots;
    f->pools = arena_new_of(a, struct fleet_pool);
    *f->pools = (struct fleet_pool){ .name = "default" };
    f->pool_count = 1;
    f->nodes = arena_new_of(a, struct fleet_nodes);
    *f->nodes = (struct fleet_nodes){ .name = arena_strdup(a, node), .count = 1, .gpu = "", .labels = "",
                                      .has = { .cores = slots, .disk_mib = DISK_UNCOUNTED, .gpus = gpus } };
    f->node_count = f->node_group_count = 1;
}

struct fleet fleet_of_slots(struct arena *a, const char *node, int64_t slots, int64_t gpus)
{
    struct fleet fleet = fleet_default();

    fleet_share_slots(a, &fleet, node, slots, gpus);
    return fleet;
}

static struct capacity capacity_of(const struct instance_type *type)
{
    return (struct capacity){
        .cores = type->vcpus,
        .memory_mib = llround(type->memory_gib * 1024),
        .disk_mib = type->nvme_gb * GB / MIB,
        .gpus = type->accelerators,
    };
}

struct fleet_type fleet_catalogue_type(const struct fleet *fleet, const struct instance_type *type)
{
    const struct instance_market *market = instance_market(type, fleet->region);

    return (struct fleet_type){
        .name = type->name,
        .needs = capacity_of(type),
        .gpu = type->accelerator,
        .usd_hour = market ? market->usd_hour : type->usd_hour > 0 ? type->usd_hour : 0,
        .spot_usd_hour = market ? market->spot_usd_hour : -1,
        .interruptions_hour = instance_interruptions_hour(type->name, fleet->region),
    };
}

const struct fleet_type *fleet_own_type(const struct fleet *fleet, const char *name)
{
    for (int i = 0; i < fleet->type_count; i++)
        if (strcmp(fleet->types[i].name, name) == 0)
            return &fleet->types[i];
    return NULL;
}

int64_t fleet_type_gpus(const struct fleet *fleet, const char *name)
{
    const struct fleet_type *own = fleet_own_type(fleet, name);

    return own ? own->needs.gpus : instance_type_gpus(name);
}

bool fleet_known_type(const struct fleet *fleet, const char *name, struct fleet_type *ret)
{
    const struct fleet_type *own = fleet_own_type(fleet, name);
    const struct instance_type *known = own ? NULL : instance_type(name);

    if (own)
        *ret = *own;
    else if (known)
        *ret = fleet_catalogue_type(fleet, known);
    return own || known;
}

bool fleet_type(const struct fleet *fleet, const char *name, struct fleet_type *ret)
{
    bool found = fleet_known_type(fleet, name, ret);

    if (fleet->slots) {
        if (!found)
            *ret = (struct fleet_type){ .name = name, .spot_usd_hour = -1,
                                        .interruptions_hour = instance_interruptions_hour("", "") };
        ret->needs = (struct capacity){ .cores = 1,
                                        .gpus = fleet->nodes[0].has.gpus ? fleet_type_gpus(fleet, name) : 0 };
        ret->gpu = "";
        found = true;
    }
    for (int i = 0; found && i < fleet->spot.rate_count; i++)
        if (glob_matches(fleet->spot.rates[i].type, name)) {
            ret->interruptions_hour = fleet->spot.rates[i].per_hour;
            break;
        }
    return found;
}

int64_t fleet_type_disk_mib(const struct fleet_type *type, int64_t volume_gb)
{
    return type->needs.disk_mib ? type->needs.disk_mib : volume_gb * 1024;
}

const struct fleet_owner *fleet_owner(const struct fleet *fleet, const char *owner)
{
    static const struct fleet_owner anybody = { .owner = "*", .weight = 1 };

    for (int i = 0; i < fleet->owner_count; i++)
        if (glob_matches(fleet->owners[i].owner, owner))
            return &fleet->owners[i];
    return &anybody;
}
