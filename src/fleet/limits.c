#include "fleet/limits.h"

#include <inttypes.h>

#include "fleet/capacity.h"
#include "fleet/instance_type.h"

enum { SLOTS_A_CORE = 4, LEAST_MEMORY_MIB = 512, WEIGHT_MOST = 10000 };

int machine_slots(const struct machine *m)
{
    int64_t by_memory = m->memory_bytes / ((int64_t)LEAST_MEMORY_MIB << 20);
    int slots = m->cores * SLOTS_A_CORE;

    if (by_memory < slots)
        return by_memory > 0 ? (int)by_memory : 1;
    return slots;
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static struct limits by_weight(const struct fleet *f, const struct machine *m, const char *name)
{
    struct fleet_type type;
    /* A fifth stays for the platform itself and the page cache. */
    int64_t most = m->memory_bytes - m->memory_bytes / 5;

    if (!fleet_known_type(f, name, &type))
        return (struct limits){ m->cores, 100, most };
    return (struct limits){ .cpus = (int)least(type.needs.cores, m->cores),
                            .cpu_weight = (int)least(type.needs.cores * 25, WEIGHT_MOST),
                            .memory_bytes = least(type.needs.memory_mib << 20, most) };
}

struct limits limits_of(const struct fleet *f, const struct machine *m, const char *name)
{
    struct fleet_type type;

    if (f->slots || !fleet_type(f, name, &type))
        return by_weight(f, m, name);
    return (struct limits){ .cpus = (int)least(type.needs.cores, m->cores),
                            .cpu_weight = (int)least(type.needs.cores * 25, WEIGHT_MOST),
                            .memory_bytes = least(type.needs.memory_mib << 20, m->memory_bytes) };
}

struct disk_limit limits_of_disk(const struct fleet *f, const char *name, int64_t volume_gb)
{
    struct fleet_type type = { 0 };
    bool known = fleet_known_type(f, name, &type), counted = known && (!f->slots || fleet_own_type(f, name));

    if (!counted)
        return (struct disk_limit){ .bytes = type.needs.disk_mib ? 0 : volume_gb << 30 };
    return (struct disk_limit){ fleet_type_disk_mib(&type, volume_gb) << 20, type.needs.disk_mib > 0 };
}

void fleet_overdrawn(const struct fleet *f, const struct machine *m, struct buf *ret)
{
    struct capacity all = { 0 };

    for (int i = 0; i < f->node_group_count; i++)
        capacity_add(&all, &f->nodes[i].has, f->nodes[i].count);
    if (all.cores > m->cores)
        buf_printf(ret, "%" PRId64 " cores of %d", all.cores, m->cores);
    if (all.memory_mib > m->memory_bytes >> 20)
        buf_printf(ret, "%s%" PRId64 " MiB of memory of %" PRId64, ret->size ? ", " : "", all.memory_mib,
                   m->memory_bytes >> 20);
    if (m->disk_bytes && all.disk_mib > m->disk_bytes >> 20)
        buf_printf(ret, "%s%" PRId64 " GiB of disk of %" PRId64, ret->size ? ", " : "", all.disk_mib >> 10,
                   m->disk_bytes >> 30);
    if (all.gpus > m->gpus)
        buf_printf(ret, "%s%" PRId64 " GPUs of %d", ret->size ? ", " : "", all.gpus, m->gpus);
}
