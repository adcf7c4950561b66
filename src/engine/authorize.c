/* authorize.c - what a call asks of the caller's policies: action, resource, and the keys of the conditions. */
#include <string.h>

#include "aws/policy.h"
#include "engine/impl.h"
#include "engine/tags.h"

static const char *action_of(struct call *c, const struct op *op)
{
    const char *prefix = c->operation->service->signing_name;

    if (op->action)
        return op->action;
    if (strcmp(prefix, "monitoring") == 0)
        prefix = "cloudwatch"; /* signs as one, is called the other in policies */
    return arena_printf(c->arena, "%s:%s", prefix, c->operation->name);
}

/* IAM's calls that name no user are about the caller, and so is what policies say of that user. */
static const char *member_text(struct call *c, const char *name)
{
    const char *value = doc_text(c->input, name), *user = strstr(c->principal->arn, ":user/");

    if (!*value && user && strcmp(name, "UserName") == 0)
        return strrchr(user, '/') + 1;
    return value;
}

/* "{Member}" of the input, "{region}", "{account}". */
static const char *expand(struct call *c, const char *pattern)
{
    _cleanup_buf_ struct buf b = { 0 };

    while (*pattern) {
        const char *close = *pattern == '{' ? strchr(pattern, '}') : NULL;

        if (!close) {
            buf_append_char(&b, *pattern++);
            continue;
        }
        struct str name = { pattern + 1, (size_t)(close - pattern - 1) };

        buf_append_str(&b, str_is(name, "region")    ? c->region
                           : str_is(name, "account") ? c->principal->account
                                                     : member_text(c, str_dup(c->arena, name)));
        pattern = close + 1;
    }
    return b.size ? arena_strdup(c->arena, b.data) : "*";
}

static const char *resource_of_call(struct call *c, const struct op *op)
{
    const char *name;

    if (op->resource)
        return expand(c, op->resource);
    if (!op->kind || op->verb == OP_LIST)
        return "*";
    name = doc_text(c->input, op->kind->name_member);
    if (!*name)
        return "*";
    return text_starts(name, "arn:") ? name : resource_arn(c->arena, op->kind, c->region, c->principal->account, name);
}

/* Whether some key or text in it has that word. */
static bool mentions(const struct doc *d, const char *word)
{
    bool found = d && d->type == DOC_STRING && strcasestr(doc_value_text(d), word);

    for (uint32_t i = 0; d && d->type == DOC_LIST && i < d->count && !found; i++)
        found = mentions(d->items[i], word);
    for (uint32_t i = 0; d && d->type == DOC_MAP && i < d->count && !found; i++)
        found = strcasestr(d->members[i].key, word) || mentions(d->members[i].value, word);
    return found;
}

/* The tags of what is asked for, to policies that ask for them: who has none of these pays for no look. */
static int add_resource_tags(struct call *c, const char *resource, struct doc *context, struct err *err)
{
    static const char word[] = ":ResourceTag/";

    if (!mentions(c->principal->policies, word) && !mentions(c->principal->session_policy, word))
        return 0;
    return tags_to_context(c, resource, context, err);
}

static struct doc *context_of(struct call *c)
{
    const struct op *op = engine_op(c->engine, c->operation);
    const struct policy_caller caller = {
        .arn = c->principal->arn, .account = c->principal->account, .user_id = c->principal->user_id,
        .source_ip = c->source_ip ? c->source_ip : "", .region = c->region, .tls = c->tls, .now_ms = c->now_ms,
    };
    const struct doc *tags = doc_get(c->input, "Tags"), *removed = doc_get(c->input, "TagKeys");
    struct doc *context = policy_context(c->arena, &caller), *keys;

    if (op && op->kind && op->kind->conditions)
        op->kind->conditions(c, context);
    if (removed && removed->type == DOC_LIST)
        doc_set(c->arena, context, "aws:TagKeys", doc_copy(c->arena, removed));
    if (!tags || tags->type != DOC_LIST)
        return context;
    keys = doc_list(c->arena);
    for (uint32_t i = 0; i < tags->count; i++) {
        const char *key = doc_text(tags->items[i], "Key");

        doc_set_string(c->arena, context, arena_printf(c->arena, "aws:RequestTag/%s", key),
                       doc_text(tags->items[i], "Value"));
        doc_append(c->arena, keys, doc_string(c->arena, key));
    }
    doc_set(c->arena, context, "aws:TagKeys", keys);
    return context;
}

int engine_authorize(struct call *c, const char *action, const char *resource, struct err *err)
{
    struct doc *context;

    if (c->principal->trusted)
        return 0;
    context = context_of(c);
    if (add_resource_tags(c, resource, context, err) < 0)
        return -1;

    const struct policy_request request = {
        .policies = c->principal->policies,
        .session_policy = c->principal->session_policy,
        .arn = c->principal->arn,
        .action = action,
        .resource = resource,
        .context = context,
    };
    return policy_allow(&request, c->operation->service->signing_name, err);
}

int authorize_call(struct call *c, const struct op *op, struct err *err)
{
    return op->flags & OP_OPEN ? 0 : engine_authorize(c, action_of(c, op), resource_of_call(c, op), err);
}
