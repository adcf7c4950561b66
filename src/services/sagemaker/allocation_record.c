#include "services/sagemaker/allocation_record.h"

#include <string.h>

#include "doc/json.h"

static const char table[] = "core_allocations";

enum { RECORDS_A_PAGE = 500 };

static struct doc *to_doc(struct arena *a, const struct allocation_record *r)
{
    struct doc *d = doc_map(a), *groups = doc_list(a), *placed = doc_list(a);
    const struct work *w = &r->work;

    doc_set_string(a, d, "row", r->row_uid);
    doc_set_string(a, d, "account", w->account);
    doc_set_string(a, d, "owner", w->owner);
    doc_set_string(a, d, "work", w->kind);
    doc_set_string(a, d, "labels", w->labels && *w->labels ? w->labels : NULL);
    doc_set_boolean(a, d, "spot", w->spot);
    doc_set_integer(a, d, "priority", w->priority);
    doc_set_integer(a, d, "submitted_ms", w->submitted_ms);
    doc_set_integer(a, d, "max_runtime_ms", w->max_runtime_ms);
    doc_set_integer(a, d, "since_ms", r->since_ms);
    doc_set_integer(a, d, "attempt", r->attempt);
    for (int g = 0; g < w->group_count; g++) {
        struct doc *group = doc_map(a);

        doc_set_string(a, group, "type", w->groups[g].type);
        doc_set_integer(a, group, "count", w->groups[g].count);
        doc_set_integer(a, group, "volume_gb", w->groups[g].volume_gb);
        doc_append(a, groups, group);
    }
    for (int64_t i = 0; i < r->count; i++) {
        struct doc *one = doc_map(a);

        doc_set_string(a, one, "node", r->placed[i].node);
        if (r->placed[i].gpus)
            doc_set_integer(a, one, "gpus", (int64_t)r->placed[i].gpus); /* bit by bit */
        if (r->placed[i].left)
            doc_set_boolean(a, one, "left", true);
        doc_append(a, placed, one);
    }
    doc_set(a, d, "groups", groups);
    doc_set(a, d, "instances", placed);
    return d;
}

/* The type of an instance is its group's. */
static const char *type_of(const struct work *w, int64_t instance)
{
    for (int g = 0; g < w->group_count; g++) {
        if (instance < w->groups[g].count)
            return w->groups[g].type;
        instance -= w->groups[g].count;
    }
    return "";
}

static int from_json(struct arena *a, const char *key, struct str text, struct allocation_record *ret, struct err *err)
{
    struct allocation_record r = { .work = { .uid = key, .admitted = true } };
    const struct doc *groups, *placed;
    struct doc *d;

    if (json_parse(a, text, &d, err) < 0)
        return fail(err, ERR_INTERNAL, "the record of what %s holds cannot be read: %s", key, err->text);
    r.row_uid = doc_text(d, "row");
    r.work.account = doc_text(d, "account");
    r.work.owner = doc_text(d, "owner");
    r.work.kind = doc_text(d, "work");
    r.work.labels = doc_text(d, "labels");
    r.work.spot = doc_bool(d, "spot", false);
    r.work.priority = doc_int(d, "priority", 0);
    r.work.submitted_ms = doc_int(d, "submitted_ms", 0);
    r.work.max_runtime_ms = doc_int(d, "max_runtime_ms", 0);
    r.since_ms = doc_int(d, "since_ms", 0);
    r.attempt = doc_int(d, "attempt", 0);
    groups = doc_get(d, "groups");
    for (size_t g = 0; g < doc_count(groups, "") && g < sizeof r.work.groups / sizeof *r.work.groups; g++)
        r.work.groups[r.work.group_count++] = (struct work_group){ doc_text(groups->items[g], "type"),
                                                                   doc_int(groups->items[g], "count", 1),
                                                                   doc_int(groups->items[g], "volume_gb", 0) };
    placed = doc_get(d, "instances");
    r.count = (int64_t)doc_count(placed, "");
    r.placed = arena_array_of(a, struct placed, (size_t)r.count + 1);
    for (int64_t i = 0; i < r.count; i++)
        r.placed[i] = (struct placed){ doc_text(placed->items[i], "node"), type_of(&r.work, i),
                                       (uint64_t)doc_int(placed->items[i], "gpus", 0),
                                       doc_bool(placed->items[i], "left", false) };
    *ret = r;
    return 0;
}

int allocation_record_get(struct arena *a, struct store *store, const char *key, bool *ret_there,
                          struct allocation_record *ret, struct err *err)
{
    struct str text;

    *ret_there = false;
    if (store_get(a, store, table, str_of(key), &text, err) < 0)
        return err->kind == ERR_NOT_FOUND ? 0 : -1;
    if (from_json(a, key, text, ret, err) < 0)
        return -1;
    *ret_there = true;
    return 0;
}

int allocation_record_put(struct arena *a, struct store *store, const struct allocation_record *r, struct err *err)
{
    return store_put(store, table, str_of(r->work.uid), str_of(json_text(a, to_doc(a, r))), err);
}

int allocation_record_remove(struct store *store, const char *key, struct err *err)
{
    return store_remove(store, table, str_of(key), err);
}

int allocation_record_each(struct store *store,
                           int (*visit)(void *context, const struct allocation_record *, struct err *), void *context,
                           struct err *err)
{
    struct arena *kept = arena_new();
    struct range range = { .limit = RECORDS_A_PAGE };
    int count = RECORDS_A_PAGE, result = 0;

    while (result == 0 && count == RECORDS_A_PAGE) {
        struct arena *a = arena_new();
        struct pair *pairs;

        result = store_scan(a, store, table, &range, &pairs, &count, err);
        for (int i = 0; result == 0 && i < count; i++) {
            struct allocation_record r;

            result = from_json(a, str_dup(a, pairs[i].key), pairs[i].value, &r, err) < 0 ? -1 : visit(context, &r, err);
        }
        if (result == 0 && count == RECORDS_A_PAGE) /* right after the last one: with its NUL */
            range.from = (struct str){ str_dup(kept, pairs[count - 1].key), pairs[count - 1].key.size + 1 };
        arena_free(a);
    }
    arena_free(kept);
    return result;
}
