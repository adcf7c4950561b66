/* health_events.c - their number grows by one, and the oldest goes when there are too many: what is kept is bounded. */
#include "services/sagemaker/health_events.h"

#include <string.h>

#include "doc/json.h"
#include "services/events/events.h"
#include "services/sagemaker/allocation.h"
#include "services/sagemaker/crew.h"
#include "store/store.h"

static const char table[] = "core_health_events";

enum {
    PAGE = 100,
    KEPT_MAX_BYTES = 64 << 10, /* of one event: the checks of a thousand instances are only told */
};

static struct store *store_of(struct engine *e)
{
    return engine_world_of(e)->store;
}

static struct str key_of(struct arena *a, int64_t number)
{
    char *k = arena_alloc(a, 8);

    store_key_int64(k, number);
    return (struct str){ k, 8 };
}

/* --- Telling --- */

static int newest(struct arena *a, struct engine *e, int64_t *ret, struct err *err)
{
    const struct range last = { .reverse = true, .limit = 1 };
    struct pair *pairs;
    int count;

    if (store_scan(a, store_of(e), table, &last, &pairs, &count, err) < 0)
        return -1;
    *ret = count ? store_int64_of_key(pairs[0].key.data) : 0;
    return 0;
}

/* What is too large to be kept is left out, and the record says so. */
static void shorten(struct arena *a, struct doc *record)
{
    static const char *const large[] = { "checks", "nodes", "why" };
    struct doc *left_out = doc_list(a), *detail = doc_copy(a, doc_get(record, "detail"));

    doc_set(a, record, "detail", detail);
    for (size_t i = 0; i < sizeof large / sizeof *large && strlen(json_text(a, record)) > KEPT_MAX_BYTES; i++) {
        if (!doc_has(detail, large[i]))
            continue;
        doc_set(a, detail, large[i], NULL);
        doc_append(a, left_out, doc_string(a, large[i]));
        doc_set(a, record, "left_out", left_out);
    }
}

static int keep(struct arena *a, struct engine *e, const struct telling *t, struct err *err)
{
    struct doc *record = doc_map(a);
    struct range old = { 0 };
    int64_t number;

    if (newest(a, e, &number, err) < 0)
        return -1;
    number++;
    doc_set_integer(a, record, "at_ms", engine_now_ms(e));
    doc_set_string(a, record, "what", t->detail_type);
    doc_set_string(a, record, "resource", t->resource);
    doc_set(a, record, "detail", (struct doc *)t->detail);
    shorten(a, record);
    if (store_put(store_of(e), table, key_of(a, number), str_of(json_text(a, record)), err) < 0)
        return -1;
    old.to = key_of(a, number - HEALTH_EVENTS_KEPT + 1);
    return store_remove_range(store_of(e), table, &old, err);
}

/* By host. A job that holds no place any more stands nowhere. */
static int nodes_of(struct arena *a, struct engine *e, const struct row *job, struct doc **ret, struct err *err)
{
    const struct placed *placed;
    int count;

    *ret = doc_map(a);
    if (allocation_nodes(a, e, job->uid, &placed, &count, err) < 0)
        return -1;
    for (int i = 0; i < count; i++)
        doc_set_string(a, *ret, crew_host(a, i), placed[i].node);
    return 0;
}

int health_tell(struct arena *a, struct engine *e, const char *what, const struct row *job, const struct doc *detail,
                struct err *err)
{
    struct telling t = { .source = "sagebrush.health", .detail_type = what };
    struct doc *d = doc_map(a), *nodes;

    if (job) {
        if (nodes_of(a, e, job, &nodes, err) < 0)
            return -1;
        t.account = job->account;
        t.region = job->region;
        t.resource = job->arn;
        doc_set_string(a, d, "job-name", job->name);
        doc_set(a, d, "nodes", nodes->count ? nodes : NULL);
    }
    doc_merge(a, d, detail);
    t.detail = d;
    return keep(a, e, &t, err) < 0 ? -1 : events_tell(a, e, &t, err);
}

/* --- For people --- */

/* What names a node is about that one; what names none, about those where its job stood. */
static bool is_about(const struct doc *detail, const char *node)
{
    const struct doc *nodes = doc_get(detail, "nodes");

    if (doc_has(detail, "node") || !nodes || nodes->type != DOC_MAP)
        return doc_is(detail, "node", node);
    for (uint32_t i = 0; i < nodes->count; i++)
        if (strcmp(doc_value_text(nodes->members[i].value), node) == 0)
            return true;
    return false;
}

int health_events(struct arena *a, struct engine *e, const char *node, int64_t after, struct doc **ret,
                  int64_t *ret_after, struct err *err)
{
    struct doc *list = doc_list(a), *record;
    struct pair *pairs;
    int count = PAGE;

    while (count == PAGE && list->count < PAGE) {
        const struct range range = { .from = key_of(a, after + 1), .limit = PAGE };

        if (store_scan(a, store_of(e), table, &range, &pairs, &count, err) < 0)
            return -1;
        for (int i = 0; i < count; i++) {
            after = store_int64_of_key(pairs[i].key.data);
            if (json_parse(a, pairs[i].value, &record, err) < 0)
                return fail(err, ERR_INTERNAL, "the health event %lld cannot be read: %s", (long long)after, err->text);
            if (node && !is_about(doc_get(record, "detail"), node))
                continue;
            doc_set_integer(a, record, "number", after);
            doc_append(a, list, record);
        }
    }
    *ret = list;
    *ret_after = count == PAGE ? after : 0;
    return 0;
}
