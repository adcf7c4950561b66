#include "fleet/unfit.h"

#include <inttypes.h>
#include <string.h>

#include "base/str.h"
#include "fleet/instance_type.h"

enum { OWN_TOLD = 8, CATALOGUE_TOLD = 4 };

const char *size_text(struct arena *a, int64_t mib)
{
    if (mib < 1024)
        return arena_printf(a, "%" PRId64 " MiB", mib);
    return arena_printf(a, mib % 1024 ? "%.1f GiB" : "%.0f GiB", (double)mib / 1024);
}

/* How near the nodes come that come nearest. */
static enum fit best_fit(const struct nodes *n, const struct shape *s)
{
    enum fit best = FIT_LABELS;

    for (int i = 0; i < n->kind_count; i++)
        if (kind_fit(n, &n->kinds[i], s) > best)
            best = kind_fit(n, &n->kinds[i], s);
    return best;
}

/* "A100, T4" */
static const char *gpus_of(struct arena *a, const struct nodes *n, const struct shape *s)
{
    const char *text = "";

    for (int i = 0; i < n->kind_count; i++) {
        const struct kind *kind = &n->kinds[i];
        bool told = kind_fit(n, kind, s) != FIT_GPU;

        for (int j = 0; j < i && !told; j++)
            told = strcmp(n->kinds[j].gpu, kind->gpu) == 0 && kind_fit(n, &n->kinds[j], s) == FIT_GPU;
        if (!told)
            text = arena_printf(a, "%s%s%s", text, *text ? ", " : "", kind->gpu);
    }
    return text;
}

static int64_t more(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static const char *most_of(struct arena *a, const struct nodes *n, const struct shape *s)
{
    struct capacity most = { 0 };
    const char *text;

    for (int i = 0; i < n->kind_count; i++) {
        const struct capacity *has = &n->kinds[i].has;

        if (kind_fit(n, &n->kinds[i], s) == FIT_SIZE)
            most = (struct capacity){ more(most.cores, has->cores), more(most.memory_mib, has->memory_mib),
                                      more(most.disk_mib, has->disk_mib), more(most.gpus, has->gpus) };
    }
    text = arena_printf(a, "%" PRId64 " core%s, %s", most.cores, most.cores == 1 ? "" : "s",
                        size_text(a, most.memory_mib));
    if (s->type.needs.disk_mib && most.disk_mib != DISK_UNCOUNTED)
        text = arena_printf(a, "%s, %s of disk", text, size_text(a, most.disk_mib));
    if (s->type.needs.gpus)
        text = arena_printf(a, "%s, %" PRId64 " GPU%s", text, most.gpus, most.gpus == 1 ? "" : "s");
    return text;
}

static int64_t most_disk_mib(const struct nodes *n, const struct shape *s)
{
    int64_t most_mib = 0;

    for (int i = 0; i < n->kind_count; i++)
        if (kind_fit(n, &n->kinds[i], s) == FIT_DISK)
            most_mib = more(most_mib, n->kinds[i].has.disk_mib);
    return most_mib;
}

const char *unfit_why(struct arena *a, const struct nodes *n, const struct shape *s)
{
    switch (best_fit(n, s)) {
    case FIT_LABELS:
        return "no node has these labels";
    case FIT_NO_GPUS:
        return arena_printf(a, "no node%s has GPUs", *s->labels ? " with these labels" : "");
    case FIT_MARKET:
        return s->spot ? "no pool takes spot work" : "the pools take spot work only";
    case FIT_POOL:
        return "no pool accepts it";
    case FIT_GPU:
        return arena_printf(a, "the GPUs of the nodes are of another kind (%s), which does for a type only where a "
                               "pool's `accepts` names it", gpus_of(a, n, s));
    case FIT_SIZE:
        return arena_printf(a, "the nodes have at most %s", most_of(a, n, s));
    case FIT_DISK:
        return arena_printf(a, "the nodes have at most %s", size_text(a, most_disk_mib(n, s)));
    case FIT_WELL:
        break;
    }
    return "the nodes that can hold it are spares";
}

/* --- Instead --- */

static bool fits(const struct nodes *n, const char *type, const struct shape *like, struct shape *ret)
{
    *ret = (struct shape){ .spot = like->spot, .labels = like->labels };
    if (!fleet_type(n->fleet, type, &ret->type))
        return false;
    ret->type.needs.disk_mib = fleet_type_disk_mib(&ret->type, like->volume_gb);
    if (ret->type.needs.disk_mib < like->volume_gb * 1024)
        return false;
    for (int i = 0; i < n->kind_count; i++)
        if (n->kinds[i].count && kind_fit(n, &n->kinds[i], ret) == FIT_WELL)
            return true;
    return false;
}

static bool is_own(const struct fleet *f, const char *type)
{
    for (int i = 0; i < f->type_count; i++)
        if (strcmp(f->types[i].name, type) == 0)
            return true;
    return false;
}

/* GPUs count most, and of two that have the same it is the cheaper one. */
static bool is_better(const struct fleet_type *a, const struct fleet_type *b)
{
    if (a->needs.gpus != b->needs.gpus)
        return a->needs.gpus > b->needs.gpus;
    if (a->needs.cores != b->needs.cores)
        return a->needs.cores > b->needs.cores;
    if (a->needs.memory_mib != b->needs.memory_mib)
        return a->needs.memory_mib > b->needs.memory_mib;
    return a->usd_hour > 0 && (b->usd_hour <= 0 || a->usd_hour < b->usd_hour);
}

/* SageMaker's names for whoever asked by one, EC2's for whoever asked by one of those; of the same architecture. */
static int of_catalogue(struct arena *a, const struct nodes *n, const struct shape *like,
                        struct fleet_type best[static CATALOGUE_TOLD])
{
    const struct instance_type *asked = instance_type(like->type.name);
    const char *architecture = asked ? asked->architecture : "x86_64";
    bool ec2 = asked && !text_starts(asked->name, "ml.");
    const char **names;
    size_t count;
    int used = 0;

    names = instance_type_names(a, 0, &count);
    for (size_t i = 0; i < count; i++) {
        struct shape s;
        int at;

        if (text_starts(names[i], "ml.") == ec2 || strcmp(instance_type(names[i])->architecture, architecture) != 0 ||
            is_own(n->fleet, names[i]) || !fits(n, names[i], like, &s))
            continue;
        for (at = used; at > 0 && is_better(&s.type, &best[at - 1]); at--)
            if (at < CATALOGUE_TOLD)
                best[at] = best[at - 1];
        if (at < CATALOGUE_TOLD)
            best[at] = s.type;
        used += used < CATALOGUE_TOLD;
    }
    return used;
}

static const char *instead_of(struct arena *a, const struct nodes *n, const struct shape *s)
{
    struct fleet_type best[CATALOGUE_TOLD];
    const char *text = "";
    struct shape own;
    int told = 0, count;

    for (int i = 0; i < n->fleet->type_count && told < OWN_TOLD; i++)
        if (fits(n, n->fleet->types[i].name, s, &own))
            text = arena_printf(a, "%s%s%s", text, told++ ? ", " : "", own.type.name);
    count = of_catalogue(a, n, s, best);
    for (int i = 0; i < count; i++)
        text = arena_printf(a, "%s%s%s", text, *text ? ", " : "", best[i].name);
    return text;
}

const char *unfit_remedy(struct arena *a, const struct nodes *n, const struct shape *s)
{
    enum fit best = best_fit(n, s);
    const char *instead;

    if (best == FIT_LABELS)
        return "Ask for other labels, or give them to nodes in the fleet file";
    if (best == FIT_DISK && s->type.needs.disk_mib == s->volume_gb * 1024)
        return "Ask for a smaller VolumeSizeInGB, or add nodes with larger disks to the fleet file";
    instead = instead_of(a, n, s);
    return arena_printf(a, "Ask for another type%s%s, or add nodes or a pool that accepts it to the fleet file",
                        *instead ? ", such as " : "", instead);
}
