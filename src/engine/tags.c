/* tags.c - tags of resources. They live beside the rows, in the same file, so that both change in one transaction, and
 * under the row's uid: a name that comes back does not inherit them. */
#include "engine/tags.h"

#include <string.h>

#include "engine/impl.h"
#include "engine/own_tags.h"
#include "store/store.h"

enum { TAGS_MAX = 50, TAGS_PAGE = 50 };

static const char table[] = "core_tags";

static struct str key_of(struct arena *a, const char *uid, const char *tag)
{
    const char *key = arena_printf(a, "%s\n%s", uid, tag);

    return str_of(key);
}

static struct range range_of(struct arena *a, const char *uid)
{
    struct str from = key_of(a, uid, "");

    return (struct range){ .from = from, .to = store_after_prefix(a, from) };
}

int tags_of(struct arena *a, struct engine *e, const char *uid, struct doc **ret, struct err *err)
{
    const struct range range = range_of(a, uid);
    struct doc *list = doc_list(a);
    struct pair *pairs;
    int count;

    if (store_scan(a, e->world.store, table, &range, &pairs, &count, err) < 0)
        return -1;
    for (int i = 0; i < count; i++) {
        struct doc *tag = doc_map(a);

        doc_set_string(a, tag, "Key", pairs[i].key.data + range.from.size);
        doc_set(a, tag, "Value", doc_str(a, pairs[i].value));
        doc_append(a, list, tag);
    }
    *ret = list;
    return 0;
}

int tags_to_context(struct call *c, const char *arn, struct doc *context, struct err *err)
{
    const char *service = c->operation->service->signing_name;
    struct doc *tags;
    struct row row;

    if (store_row_by_arn(c->arena, c->engine->world.store, arn, &row, err) < 0)
        return err->kind == ERR_NOT_FOUND ? 0 : -1;
    if (strcmp(row.account, c->principal->account) != 0)
        return 0;
    if (tags_of(c->arena, c->engine, row.uid, &tags, err) < 0)
        return -1;
    for (uint32_t i = 0; i < tags->count; i++) {
        const char *key = doc_text(tags->items[i], "Key"), *value = doc_text(tags->items[i], "Value");

        doc_set_string(c->arena, context, arena_printf(c->arena, "aws:ResourceTag/%s", key), value);
        doc_set_string(c->arena, context, arena_printf(c->arena, "%s:ResourceTag/%s", service, key), value);
    }
    return 0;
}

int tags_set(struct engine *e, const char *uid, const char *arn, const struct doc *tags, struct err *err)
{
    _cleanup_arena_ struct arena *a = arena_new();
    const struct range range = range_of(a, uid);
    struct pair *pairs;
    int count;

    if (doc_count(tags, "") == 0)
        return 0;
    if (own_tags_check(tags, err) < 0)
        return -1;
    for (size_t i = 0; i < doc_count(tags, ""); i++) {
        const char *key = doc_text(tags->items[i], "Key"), *value = doc_text(tags->items[i], "Value");

        if (strncasecmp(key, "aws:", 4) == 0)
            return fail_code(err, ERR_INVALID, "ValidationException",
                             "aws: prefixed tag key names are not allowed for external use.");
        for (size_t j = 0; j < i; j++)
            if (doc_is(tags->items[j], "Key", key))
                return fail_code(err, ERR_INVALID, "ValidationException", "Duplicate tag keys found: %s", key);
        if (store_put(e->world.store, table, key_of(a, uid, key), str_of(value), err) < 0)
            return -1;
    }
    if (store_scan(a, e->world.store, table, &range, &pairs, &count, err) < 0)
        return -1;
    if (count > TAGS_MAX)
        return fail_code(err, ERR_LIMIT, "ResourceLimitExceeded",
                         "A resource has at most %d tags, and %s would have %d.", TAGS_MAX, arn, count);
    return 0;
}

int tags_unset(struct engine *e, const char *uid, const struct doc *keys, struct err *err)
{
    _cleanup_arena_ struct arena *a = arena_new();

    for (size_t i = 0; i < doc_count(keys, ""); i++)
        if (store_remove(e->world.store, table, key_of(a, uid, doc_value_text(keys->items[i])), err) < 0)
            return -1;
    return 0;
}

int tags_remove_all(struct engine *e, const char *uid, struct err *err)
{
    _cleanup_arena_ struct arena *a = arena_new();
    const struct range range = range_of(a, uid);

    return store_remove_range(e->world.store, table, &range, err);
}

/* By ARN, of whatever kind it is. */
static int find(struct call *c, struct row *ret, struct err *err)
{
    const char *arn = doc_text(c->input, "ResourceArn");

    if (store_row_by_arn(c->arena, c->engine->world.store, arn, ret, err) < 0) {
        if (err->kind != ERR_NOT_FOUND)
            return -1;
        return resource_missing(c, NULL, arn, err);
    }
    if (strcmp(ret->account, c->principal->account) != 0)
        return resource_missing(c, NULL, arn, err);
    return 0;
}

int tags_add(struct call *c, struct err *err)
{
    struct doc *all;
    struct row row;

    if (find(c, &row, err) < 0 || tags_set(c->engine, row.uid, row.arn, doc_get(c->input, "Tags"), err) < 0 ||
        tags_of(c->arena, c->engine, row.uid, &all, err) < 0)
        return -1;
    doc_set(c->arena, c->output, "Tags", all);
    engine_touch(c->engine, row.uid); /* who waits may go by other ones now */
    return 0;
}

/* A resource has no more tags than fit in one page, so there is never a NextToken to give or to take. */
int tags_list(struct call *c, struct err *err)
{
    struct doc *all;
    struct row row;

    _Static_assert(TAGS_MAX <= TAGS_PAGE, "ListTags answers in one page");
    if (doc_has(c->input, "NextToken"))
        return fail_code(err, ERR_INVALID, "ValidationException", "The NextToken is not one that this list gave.");
    if (find(c, &row, err) < 0 || tags_of(c->arena, c->engine, row.uid, &all, err) < 0)
        return -1;
    doc_set(c->arena, c->output, "Tags", all);
    return 0;
}

int tags_delete(struct call *c, struct err *err)
{
    struct row row;

    if (find(c, &row, err) < 0 || tags_unset(c->engine, row.uid, doc_get(c->input, "TagKeys"), err) < 0)
        return -1;
    engine_touch(c->engine, row.uid);
    return 0;
}
