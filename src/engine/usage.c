/* usage.c - who used what for how long.
 *
 * An interval is opened and closed with the wall times that an agent wrote down. Wall time may jump in between, so each
 * stamp is turned into the boot time that it was made at (eras.c). */
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "doc/json.h"
#include "engine/impl.h"
#include "store/store.h"

enum {
    PAGE = 1000,
    TAG_HOUR_MS = 3600 * 1000, /* AWS's bills have a line an hour, and so an interval grows by no more than that */
};

/* By uid; open ones once more for the scan; closed ones once more by their end, whole, for they are many and read in
 * that order. An older version left the value empty. */
static const char table[] = "core_usage", open_table[] = "core_usage_open", end_table[] = "core_usage_by_end";

static int parse(struct arena *a, const char *uid, struct str text, struct doc **ret, struct err *err)
{
    if (json_parse(a, text, ret, err) < 0)
        return fail(err, ERR_INTERNAL, "the usage of %s cannot be read: %s", uid, err->text);
    return 0;
}

static int load(struct arena *a, struct engine *e, const char *uid, struct doc **ret, struct err *err)
{
    struct str text;

    if (store_get(a, e->world.store, table, str_of(uid), &text, err) < 0)
        return -1;
    return parse(a, uid, text, ret, err);
}

static struct str end_key(struct arena *a, int64_t to_ms, const char *uid)
{
    size_t size = 8 + strlen(uid);
    char *key = arena_alloc(a, size + 1);

    store_key_int64(key, to_ms);
    memcpy(key + 8, uid, size - 8);
    return (struct str){ key, size };
}

static int save(struct arena *a, struct engine *e, const char *uid, const struct doc *interval, struct err *err)
{
    struct str text = str_of(json_text(a, interval));

    if (store_put(e->world.store, table, str_of(uid), text, err) < 0)
        return -1;
    if (!doc_has(interval, "to_ms"))
        return 0;
    return store_put(e->world.store, end_table, end_key(a, doc_int(interval, "to_ms", 0), uid), text, err);
}

/* When an interval that lasts until the given wall time ends, as its owner is told. */
static int64_t end_of(const struct engine *e, const struct doc *interval, int64_t at_ms)
{
    int64_t from_ms = doc_int(interval, "from_ms", 0), length_ms = at_ms - from_ms;
    int64_t start_ms = doc_int(interval, "from_boot_ms", 0);

    if (doc_is(interval, "boot_id", e->eras.boot_id))
        length_ms = eras_end_boot_ms(e, at_ms, start_ms) - start_ms;
    return from_ms + (length_ms > 0 ? length_ms : 0);
}

/* The last change of its tags; the interval itself has those that it was opened with. */
static struct doc *last_tagged(struct doc *interval)
{
    size_t changes = doc_count(interval, "retagged");

    return changes ? doc_get(interval, "retagged")->items[changes - 1] : NULL;
}

/* An open one has other tags from now on; what comes within the hour replaces what was before it. */
static int retag(struct arena *a, struct engine *e, const char *uid, struct doc *interval, const struct doc *tags,
                 struct err *err)
{
    struct doc *last = last_tagged(interval), *holder = last ? last : doc_member(a, interval, "attributes", DOC_MAP);
    int64_t since_ms = last ? doc_int(last, "from_ms", 0) : doc_int(interval, "from_ms", 0);
    int64_t now_ms;

    if (!tags || doc_has(interval, "to_ms") || doc_equal(doc_get(holder, "tags"), tags))
        return 0;
    now_ms = end_of(e, interval, engine_now_ms(e));
    if (now_ms - since_ms >= TAG_HOUR_MS) {
        holder = doc_map(a);
        doc_set_integer(a, holder, "from_ms", now_ms);
        doc_append(a, doc_member(a, interval, "retagged", DOC_LIST), holder);
    }
    doc_set(a, holder, "tags", doc_copy(a, tags));
    return save(a, e, uid, interval, err);
}

int usage_open(struct engine *e, const char *uid, int64_t at_ms, const struct doc *attributes, struct err *err)
{
    _cleanup_arena_ struct arena *a = arena_new();
    struct doc *interval;

    if (load(a, e, uid, &interval, err) == 0)
        return retag(a, e, uid, interval, doc_get(attributes, "tags"), err);
    if (err->kind != ERR_NOT_FOUND)
        return -1;
    interval = doc_map(a);
    doc_set_integer(a, interval, "from_ms", at_ms);
    doc_set_string(a, interval, "boot_id", e->eras.boot_id);
    doc_set_integer(a, interval, "from_boot_ms", eras_start_boot_ms(e, at_ms));
    doc_set(a, interval, "attributes", attributes ? doc_copy(a, attributes) : doc_map(a));
    if (save(a, e, uid, interval, err) < 0)
        return -1;
    return store_put(e->world.store, open_table, str_of(uid), STR(""), err);
}

int usage_close(struct engine *e, const char *uid, int64_t at_ms, struct err *err)
{
    _cleanup_arena_ struct arena *a = arena_new();
    struct doc *interval;

    if (load(a, e, uid, &interval, err) < 0)
        return err->kind == ERR_NOT_FOUND ? 0 : -1; /* it never ran: nobody pays */
    if (doc_has(interval, "to_ms"))
        return 0;
    doc_set_integer(a, interval, "to_ms", end_of(e, interval, at_ms));
    if (save(a, e, uid, interval, err) < 0)
        return -1;
    return store_remove(e->world.store, open_table, str_of(uid), err);
}

int usage_waive(struct engine *e, const char *uid, const char *why, struct err *err)
{
    _cleanup_arena_ struct arena *a = arena_new();
    struct doc *interval;

    if (load(a, e, uid, &interval, err) < 0)
        return err->kind == ERR_NOT_FOUND ? 0 : -1;
    doc_set_string(a, doc_member(a, interval, "attributes", DOC_MAP), "waived", why);
    return save(a, e, uid, interval, err);
}

int usage_price(struct engine *e, const char *uid, double usd_hour, struct err *err)
{
    _cleanup_arena_ struct arena *a = arena_new();
    struct doc *interval, *attributes;

    if (load(a, e, uid, &interval, err) < 0)
        return err->kind == ERR_NOT_FOUND ? 0 : -1;
    attributes = doc_member(a, interval, "attributes", DOC_MAP);
    if (doc_number(attributes, "usd_hour", -1) == usd_hour)
        return 0;
    doc_set_real(a, attributes, "usd_hour", usd_hour);
    return save(a, e, uid, interval, err);
}

int usage_is_open(struct engine *e, const char *uid, bool *ret, struct err *err)
{
    _cleanup_arena_ struct arena *a = arena_new();
    struct str nothing;

    if (store_get(a, e->world.store, open_table, str_of(uid), &nothing, err) < 0) {
        if (err->kind != ERR_NOT_FOUND)
            return -1;
        *ret = false;
        return 0;
    }
    *ret = true;
    return 0;
}

int usage_length(struct engine *e, const char *uid, int64_t *ret_ms, struct err *err)
{
    _cleanup_arena_ struct arena *a = arena_new();
    struct doc *interval;

    if (load(a, e, uid, &interval, err) < 0)
        return -1;
    *ret_ms = doc_int(interval, "to_ms", end_of(e, interval, engine_now_ms(e))) - doc_int(interval, "from_ms", 0);
    return 0;
}

struct part {
    int64_t from_ms, to_ms;
    const struct doc *tags; /* NULL: those that it was opened with */
    bool open;
};

static void append_part(struct arena *a, struct doc *list, const char *uid, const struct doc *interval,
                        const struct part *part)
{
    struct doc *d = doc_copy(a, doc_get(interval, "attributes"));

    doc_set_string(a, d, "uid", uid);
    doc_set_integer(a, d, "from_ms", part->from_ms);
    doc_set_integer(a, d, "to_ms", part->to_ms);
    doc_set_boolean(a, d, "open", part->open);
    if (part->tags)
        doc_set(a, d, "tags", doc_copy(a, part->tags));
    doc_append(a, list, d);
}

/* As many as it had tags, of what ended after 'after_ms': only the last one may be open. */
static void append(struct arena *a, struct doc *list, const char *uid, const struct doc *interval, int64_t after_ms,
                   int64_t to_ms, bool open)
{
    struct part part = { .from_ms = doc_int(interval, "from_ms", 0) };

    for (size_t i = 0; i < doc_count(interval, "retagged"); i++) {
        const struct doc *change = doc_get(interval, "retagged")->items[i];
        int64_t at_ms = doc_int(change, "from_ms", 0);

        if (at_ms >= to_ms) /* it had ended when we saw that */
            break;
        part.to_ms = at_ms;
        if (at_ms > after_ms)
            append_part(a, list, uid, interval, &part);
        part = (struct part){ .from_ms = at_ms, .tags = doc_get(change, "tags") };
    }
    part.to_ms = to_ms;
    part.open = open;
    append_part(a, list, uid, interval, &part);
}

/* The key is the end, and the uid. */
static int visit_closed(struct arena *a, struct engine *e, const struct pair *pair,
                        int (*visit)(void *context, const char *uid, const struct doc *interval, struct err *),
                        void *context, struct err *err)
{
    const char *uid = str_dup(a, (struct str){ pair->key.data + 8, pair->key.size - 8 });
    struct doc *interval;

    if ((pair->value.size ? parse(a, uid, pair->value, &interval, err) : load(a, e, uid, &interval, err)) < 0)
        return -1;
    return visit(context, uid, interval, err);
}

int usage_each_closed(struct engine *e, int64_t after_ms,
                      int (*visit)(void *context, const char *uid, const struct doc *interval, struct err *),
                      void *context, struct err *err)
{
    _cleanup_buf_ struct buf next = { 0 };
    int count;

    buf_append(&next, (char[8]){ 0 }, 8);
    store_key_int64(next.data, after_ms == INT64_MAX ? after_ms : after_ms + 1);
    do {
        _cleanup_arena_ struct arena *a = arena_new(); /* of a page: all of them may be more than memory */
        const struct range range = { .from = { next.data, next.size } };
        struct pair *pairs;

        if (store_scan(a, e->world.store, end_table, &range, &pairs, &count, err) < 0)
            return -1;
        for (int i = 0; i < count; i++) {
            int r = visit_closed(a, e, &pairs[i], visit, context, err);

            if (r)
                return r < 0 ? -1 : 0;
        }
        buf_clear(&next);
        if (count) /* the key after the last one */
            buf_append(&next, pairs[count - 1].key.data, pairs[count - 1].key.size + 1);
    } while (count);
    return 0;
}

struct scan {
    struct arena *arena;
    struct doc *list;
    int64_t from_ms, to_ms;
};

static int append_closed(void *context, const char *uid, const struct doc *interval, struct err *err)
{
    const struct scan *s = context;

    if (doc_int(interval, "from_ms", 0) < s->to_ms)
        append(s->arena, s->list, uid, interval, s->from_ms, doc_int(interval, "to_ms", 0), false);
    return 0;
}

static int scan_open(struct arena *a, struct engine *e, int64_t from_ms, int64_t to_ms, struct doc *list,
                     struct err *err)
{
    struct range range = { 0 };
    struct pair *pairs;
    int count;

    do {
        if (store_scan(a, e->world.store, open_table, &range, &pairs, &count, err) < 0)
            return -1;
        for (int i = 0; i < count; i++) {
            struct doc *interval;
            int64_t end_ms;

            if (load(a, e, pairs[i].key.data, &interval, err) < 0)
                return -1;
            end_ms = end_of(e, interval, engine_now_ms(e));
            if (doc_int(interval, "from_ms", 0) < to_ms && end_ms > from_ms)
                append(a, list, pairs[i].key.data, interval, from_ms, end_ms, true);
        }
        if (count)
            range.from = (struct str){ pairs[count - 1].key.data, pairs[count - 1].key.size + 1 };
    } while (count);
    return 0;
}

int usage_scan(struct arena *a, struct engine *e, int64_t from_ms, int64_t to_ms, struct doc **ret, struct err *err)
{
    struct doc *list = doc_list(a);
    struct scan scan = { a, list, from_ms, to_ms };

    if (usage_each_closed(e, from_ms, append_closed, &scan, err) < 0 || scan_open(a, e, from_ms, to_ms, list, err) < 0)
        return -1;
    *ret = list;
    return 0;
}

struct page {
    struct arena *arena;
    struct doc *list;
    int count;
    int64_t from_ms, last_ms;
    bool more;
};

/* Those that ended in the same millisecond stay together: the next page begins after it. */
static int append_to_page(void *context, const char *uid, const struct doc *interval, struct err *err)
{
    struct page *p = context;
    int64_t to_ms = doc_int(interval, "to_ms", 0);

    p->more = p->count >= PAGE && to_ms > p->last_ms;
    if (p->more)
        return 1;
    append(p->arena, p->list, uid, interval, p->from_ms, to_ms, false);
    p->count++;
    p->last_ms = to_ms;
    return 0;
}

int usage_page(struct arena *a, struct engine *e, int64_t from_ms, bool first, int64_t *ret_after_ms, struct doc **ret,
               struct err *err)
{
    struct page p = { .arena = a, .list = doc_list(a), .from_ms = from_ms };

    if ((first && scan_open(a, e, from_ms, INT64_MAX, p.list, err) < 0) ||
        usage_each_closed(e, from_ms, append_to_page, &p, err) < 0)
        return -1;
    *ret_after_ms = p.more ? p.last_ms : INT64_MAX;
    *ret = p.list;
    return 0;
}
