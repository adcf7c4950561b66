/* resource_policy.c - which services may write into log groups, as scripts say it before they send events there. Kept
 * and told; the services of the house need no leave.
 *
 *     core_logs_policies   account 0 region 0 name   a JSON record: document, updated_ms */
#include <string.h>

#include "aws/policy.h"
#include "doc/json.h"
#include "services/logs/records.h"

enum { POLICIES_MAX = 10, PAGE = 50 };

static const char table[] = "core_logs_policies";

static struct str key_of(struct place *p, const char *name)
{
    _cleanup_buf_ struct buf k = { 0 };

    buf_append(&k, p->account, strlen(p->account) + 1);
    buf_append(&k, p->region, strlen(p->region) + 1);
    buf_append_str(&k, name);
    return (struct str){ arena_copy(p->arena, k.data, k.size), k.size };
}

static struct doc *describe(struct place *p, const char *name, const struct doc *record)
{
    struct doc *d = doc_map(p->arena);

    doc_set_string(p->arena, d, "policyName", name);
    doc_set_string(p->arena, d, "policyDocument", doc_text(record, "document"));
    doc_set_integer(p->arena, d, "lastUpdatedTime", doc_int(record, "updated_ms", 0));
    doc_set_string(p->arena, d, "policyScope", "ACCOUNT");
    return d;
}

static int list(struct place *p, struct doc **ret, struct err *err)
{
    struct range range = { .from = key_of(p, "") };
    struct doc *all = doc_list(p->arena), *record;
    struct pair *pairs;
    int count;

    range.to = store_after_prefix(p->arena, range.from);
    if (store_scan(p->arena, p->store, table, &range, &pairs, &count, err) < 0)
        return -1;
    for (int i = 0; i < count; i++) {
        struct str name = { pairs[i].key.data + range.from.size, pairs[i].key.size - range.from.size };

        if (json_parse(p->arena, pairs[i].value, &record, err) < 0)
            return -1;
        doc_append(p->arena, all, describe(p, str_dup(p->arena, name), record));
    }
    *ret = all;
    return 0;
}

static int named(struct call *c, const char **ret, struct err *err)
{
    if (doc_has(c->input, "resourceArn") || doc_is(c->input, "policyScope", "RESOURCE"))
        return fail_code(err, ERR_INVALID, "InvalidParameterException",
                         "Policies of a single log group are not here; leave resourceArn out.");
    *ret = doc_text(c->input, "policyName");
    return 0;
}

int logs_put_policy(struct call *c, struct err *err)
{
    struct place p = place_of(c);
    struct doc *record = doc_map(c->arena), *document, *all;
    struct str ignored;
    const char *name;

    if (named(c, &name, err) < 0)
        return -1;
    if (!*name || !doc_has(c->input, "policyDocument"))
        return fail_code(err, ERR_INVALID, "InvalidParameterException", "policyName and policyDocument are required.");
    if (policy_parse(c->arena, str_of(doc_text(c->input, "policyDocument")), POLICY_RESOURCE, &document, err) < 0)
        return fail_code(err, ERR_INVALID, "InvalidParameterException", "The policy document is not valid: %s",
                         arena_strdup(c->arena, err->text));
    if (list(&p, &all, err) < 0)
        return -1;
    if (all->count >= POLICIES_MAX && store_get(c->arena, p.store, table, key_of(&p, name), &ignored, err) < 0)
        return err->kind != ERR_NOT_FOUND ? -1 : fail_code(err, ERR_LIMIT, "LimitExceededException",
                                                           "An account has at most %d resource policies in a region.",
                                                           POLICIES_MAX);
    doc_set_string(c->arena, record, "document", doc_text(c->input, "policyDocument"));
    doc_set_integer(c->arena, record, "updated_ms", c->now_ms);
    doc_set(c->arena, c->output, "resourcePolicy", describe(&p, name, record));
    return store_put(p.store, table, key_of(&p, name), str_of(json_text(c->arena, record)), err);
}

int logs_delete_policy(struct call *c, struct err *err)
{
    struct place p = place_of(c);
    struct str ignored;
    const char *name;

    if (named(c, &name, err) < 0)
        return -1;
    if (store_get(c->arena, p.store, table, key_of(&p, name), &ignored, err) < 0)
        return err->kind != ERR_NOT_FOUND ? -1 : fail_code(err, ERR_NOT_FOUND, "ResourceNotFoundException",
                                                           "Policy with name [%s] does not exist.", name);
    return store_remove(p.store, table, key_of(&p, name), err);
}

/* There are fewer than fit in the usual page. */
int logs_describe_policies(struct call *c, struct err *err)
{
    const char *after = doc_text(c->input, "nextToken");
    int64_t limit = doc_int(c->input, "limit", PAGE);
    struct doc *page = doc_list(c->arena), *all;
    struct place p = place_of(c);
    const char *ignored;

    if (named(c, &ignored, err) < 0 || list(&p, &all, err) < 0)
        return -1;
    for (uint32_t i = 0; i < all->count; i++) {
        if (strcmp(doc_text(all->items[i], "policyName"), after) <= 0)
            continue;
        if (page->count == limit) {
            doc_set_string(c->arena, c->output, "nextToken", doc_text(page->items[page->count - 1], "policyName"));
            break;
        }
        doc_append(c->arena, page, all->items[i]);
    }
    doc_set(c->arena, c->output, "resourcePolicies", page);
    return 0;
}
