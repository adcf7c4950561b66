/* entity_policy.c - the policies of users and roles: those that stand in their record, and those that are attached. */
#include "services/iam/entity.h"

#include <string.h>

#include "aws/policy.h"
#include "doc/json.h"
#include "engine/engine.h"

enum { ATTACHED_MAX = 10 }; /* the limit is IAM's */

int entity_policies(struct arena *a, struct store *store, const char *account, const struct doc *record,
                    struct doc **ret, struct err *err)
{
    const struct doc *own = doc_get(record, "inline"), *attached = doc_get(record, "attached");
    struct doc *list = doc_list(a), *one;

    for (uint32_t i = 0; own && i < own->count; i++) {
        if (json_parse(a, str_of(doc_value_text(own->members[i].value)), &one, err) < 0)
            return -1;
        doc_append(a, list, one);
    }
    for (uint32_t i = 0; attached && i < attached->count; i++) {
        const char *text;

        if (managed_document(a, store, doc_value_text(attached->items[i]), &text, err) < 0 ||
            json_parse(a, str_of(text), &one, err) < 0)
            return -1;
        doc_append(a, list, one);
    }
    *ret = list;
    return 0;
}

/* --- Inline policies --- */

static size_t counted_bytes(const char *text)
{
    size_t size = 0;

    for (; *text; text++)
        size += !strchr(" \t\r\n", *text);
    return size;
}

int iam_check_document(struct call *c, const char *text, bool trust, size_t max_bytes, struct err *err)
{
    struct doc *parsed;

    if (policy_parse(c->arena, str_of(text), trust ? POLICY_TRUST : POLICY_IDENTITY, &parsed, err) < 0)
        return -1;
    if (counted_bytes(text) > max_bytes)
        return fail_code(err, ERR_LIMIT, "LimitExceeded", "Cannot exceed quota for %s: %zu",
                         trust ? "ACLSizePerRole" : "PolicySize", max_bytes);
    return 0;
}

int entity_put_inline(struct call *c, struct err *err)
{
    const struct entity_kind *kind = entity_kind_of(c);
    const char *name = doc_text(c->input, "PolicyName"), *text = doc_text(c->input, "PolicyDocument");
    struct doc *record, *policies;
    size_t size = 0;

    if (entity_of_call(c, &record, err) < 0 || iam_check_document(c, text, false, kind->inline_max_bytes, err) < 0)
        return -1;
    policies = doc_map(c->arena);
    doc_merge(c->arena, policies, doc_get(record, "inline"));
    doc_set_string(c->arena, policies, name, text);
    for (uint32_t i = 0; i < policies->count; i++)
        size += counted_bytes(doc_value_text(policies->members[i].value));
    if (size > kind->inline_max_bytes)
        return fail_code(err, ERR_LIMIT, "LimitExceeded", "Maximum policy size of %zu bytes exceeded for %s %s",
                         kind->inline_max_bytes, kind->arn_type, doc_text(record, kind->name_member));
    doc_set(c->arena, record, "inline", policies);
    return entity_save(c->arena, iam_store(c), kind, c->principal->account, record, err);
}

static int no_inline(const struct entity_kind *kind, const char *name, struct err *err)
{
    return fail_code(err, ERR_NOT_FOUND, "NoSuchEntity", "The %s policy with name %s cannot be found.", kind->arn_type,
                     name);
}

int entity_get_inline(struct call *c, struct err *err)
{
    const struct entity_kind *kind = entity_kind_of(c);
    const char *name = doc_text(c->input, "PolicyName");
    const struct doc *text;
    struct doc *record;

    if (entity_of_call(c, &record, err) < 0)
        return -1;
    text = doc_get(doc_get(record, "inline"), name);
    if (!text)
        return no_inline(kind, name, err);
    doc_set_string(c->arena, c->output, kind->name_member, doc_text(record, kind->name_member));
    doc_set_string(c->arena, c->output, "PolicyName", name);
    doc_set_string(c->arena, c->output, "PolicyDocument", iam_document_shown(c->arena, doc_value_text(text)));
    return 0;
}

int entity_delete_inline(struct call *c, struct err *err)
{
    const struct entity_kind *kind = entity_kind_of(c);
    const char *name = doc_text(c->input, "PolicyName");
    struct doc *record, *policies;

    if (entity_of_call(c, &record, err) < 0)
        return -1;
    if (!doc_get(doc_get(record, "inline"), name))
        return no_inline(kind, name, err);
    policies = doc_map(c->arena);
    doc_merge(c->arena, policies, doc_get(record, "inline"));
    doc_set(c->arena, policies, name, NULL);
    doc_set(c->arena, record, "inline", policies->count ? policies : NULL);
    return entity_save(c->arena, iam_store(c), kind, c->principal->account, record, err);
}

int entity_list_inline(struct call *c, struct err *err)
{
    struct doc *record, *names = doc_list(c->arena);
    const struct doc *policies;

    if (entity_of_call(c, &record, err) < 0)
        return -1;
    policies = doc_get(record, "inline");
    for (uint32_t i = 0; policies && i < policies->count; i++)
        doc_append(c->arena, names, doc_string(c->arena, policies->members[i].key));
    iam_page(c, "PolicyNames", names, NULL);
    return 0;
}

/* --- Attached policies --- */

static bool is_attached(const struct doc *record, const char *arn)
{
    const struct doc *attached = doc_get(record, "attached");

    for (uint32_t i = 0; attached && i < attached->count; i++)
        if (strcmp(doc_value_text(attached->items[i]), arn) == 0)
            return true;
    return false;
}

/* The attached ones without 'but'. */
static struct doc *attached_list(struct call *c, const struct doc *record, const char *but)
{
    const struct doc *attached = doc_get(record, "attached");
    struct doc *list = doc_list(c->arena);

    for (uint32_t i = 0; attached && i < attached->count; i++)
        if (strcmp(doc_value_text(attached->items[i]), but) != 0)
            doc_append(c->arena, list, attached->items[i]);
    return list;
}

int entity_attach(struct call *c, struct err *err)
{
    const struct entity_kind *kind = entity_kind_of(c);
    const char *arn = doc_text(c->input, "PolicyArn"), *text;
    struct doc *record, *list;

    if (entity_of_call(c, &record, err) < 0)
        return -1;
    if (managed_document(c->arena, iam_store(c), arn, &text, err) < 0) {
        if (err->kind == ERR_NOT_FOUND)
            return fail_code(err, ERR_NOT_FOUND, "NoSuchEntity", "Policy %s does not exist or is not attachable.", arn);
        return -1;
    }
    if (is_attached(record, arn))
        return 0;
    list = attached_list(c, record, "");
    if (list->count >= ATTACHED_MAX)
        return fail_code(err, ERR_LIMIT, "LimitExceeded", "Cannot exceed quota for PoliciesPer%s: %d", kind->noun,
                         ATTACHED_MAX);
    doc_append(c->arena, list, doc_string(c->arena, arn));
    doc_set(c->arena, record, "attached", list);
    return entity_save(c->arena, iam_store(c), kind, c->principal->account, record, err);
}

int entity_detach(struct call *c, struct err *err)
{
    const struct entity_kind *kind = entity_kind_of(c);
    const char *arn = doc_text(c->input, "PolicyArn");
    struct doc *record, *list;

    if (entity_of_call(c, &record, err) < 0)
        return -1;
    if (!is_attached(record, arn))
        return fail_code(err, ERR_NOT_FOUND, "NoSuchEntity", "Policy %s was not found.", arn);
    list = attached_list(c, record, arn);
    doc_set(c->arena, record, "attached", list->count ? list : NULL);
    return entity_save(c->arena, iam_store(c), kind, c->principal->account, record, err);
}

int entity_list_attached(struct call *c, struct err *err)
{
    const char *prefix = doc_text(c->input, "PathPrefix");
    struct doc *record, *list = doc_list(c->arena);
    const struct doc *attached;

    if (entity_of_call(c, &record, err) < 0)
        return -1;
    attached = doc_get(record, "attached");
    for (uint32_t i = 0; attached && i < attached->count; i++) {
        const char *arn = doc_value_text(attached->items[i]), *path = strchr(arn, '/');
        struct doc *one = doc_map(c->arena);

        if (*prefix && !text_starts(path, prefix))
            continue;
        doc_set_string(c->arena, one, "PolicyName", strrchr(arn, '/') + 1);
        doc_set_string(c->arena, one, "PolicyArn", arn);
        doc_append(c->arena, list, one);
    }
    iam_page(c, "AttachedPolicies", list, "PolicyArn");
    return 0;
}
