/* waiting_list.c - of all who wait only the first are looked at closely: there may be a hundred thousand. */
#include "services/sagemaker/waiting_list.h"

#include <string.h>

#include "services/sagemaker/allocation_impl.h"
#include "store/store.h"

static bool waits(const struct allocations *all, const struct stand *stand)
{
    int64_t ignored;

    return market_forbids(stand) || scheduler_state(all->scheduler, stand->key, &ignored) == WORK_WAITING;
}

static bool is_older(const struct stand *a, const struct stand *b)
{
    return a->since_ms != b->since_ms ? a->since_ms < b->since_ms : strcmp(a->key, b->key) < 0;
}

/* Sorted; returns how many they are. */
static int oldest(const struct allocations *all, const struct stand **list, int most)
{
    struct str key;
    void *stand;
    int count = 0;

    for (size_t at = 0; map_next(all->stands, &at, &key, &stand);) {
        int place;

        if (!waits(all, stand) || (count == most && !is_older(stand, list[most - 1])))
            continue;
        for (place = count < most ? count++ : most - 1; place > 0 && is_older(stand, list[place - 1]); place--)
            list[place] = list[place - 1];
        list[place] = stand;
    }
    return count;
}

static struct doc *show(struct arena *a, struct engine *e, const struct stand *stand, const struct row *row)
{
    struct allocations *all = allocations_of(e);
    struct waiting waiting;
    struct doc *d = doc_map(a);

    doc_set_string(a, d, "kind", row->kind);
    doc_set_string(a, d, "name", row->name);
    doc_set_string(a, d, "region", row->region);
    doc_set_string(a, d, "account", row->account);
    doc_set_string(a, d, "why", allocation_waits(a, e, stand->key));
    if (scheduler_waiting(all->scheduler, a, stand->key, allocations_now_ms(all), &waiting) &&
        waiting.expected_ms != INT64_MAX)
        doc_set_integer(a, d, "expected_start_ms", allocations_wall_ms(all, waiting.expected_ms));
    return d;
}

int waiting_list(struct arena *a, struct engine *e, int most, struct doc **ret, struct err *err)
{
    const struct stand **list = arena_array_of(a, const struct stand *, (size_t)most);
    int count = oldest(allocations_of(e), list, most);
    struct doc *all = doc_list(a);

    for (int i = 0; i < count; i++) {
        struct row row;

        if (store_row_by_uid(a, engine_world_of(e)->store, list[i]->row_uid, &row, err) == 0)
            doc_append(a, all, show(a, e, list[i], &row));
        else if (err->kind != ERR_NOT_FOUND) /* it has just gone */
            return -1;
    }
    *ret = all;
    return 0;
}
