/* role.c - Role: permissions that somebody else takes on, and who may. */
#include "services/iam/ops.h"

#include <string.h>

#include "aws/policy.h"
#include "services/iam/entity.h"
#include "services/iam/identity.h"

enum { TRUST_MAX_BYTES = 4096, SESSION_DEFAULT_S = 3600 };

static void answer(struct call *c, const struct doc *record)
{
    doc_set(c->arena, c->output, "Role", entity_view(c->arena, &iam_role, record, true));
}

int role_create(struct call *c, struct err *err)
{
    static const char *const refused[] = { "PermissionsBoundary", NULL };
    const char *trust = doc_text(c->input, "AssumeRolePolicyDocument");
    struct doc *record;

    if (iam_refuse_members(c, refused, err) < 0 || iam_check_document(c, trust, true, TRUST_MAX_BYTES, err) < 0 ||
        entity_new(c, &iam_role, &record, err) < 0)
        return -1;
    doc_set_string(c->arena, record, "trust", trust);
    if (doc_has(c->input, "Description"))
        doc_set_string(c->arena, record, "Description", doc_text(c->input, "Description"));
    doc_set_integer(c->arena, record, "MaxSessionDuration", doc_int(c->input, "MaxSessionDuration", SESSION_DEFAULT_S));
    if (entity_save(c->arena, iam_store(c), &iam_role, c->principal->account, record, err) < 0)
        return -1;
    answer(c, record);
    return 0;
}

int role_get(struct call *c, struct err *err)
{
    struct doc *record;

    if (entity_of_call(c, &record, err) < 0)
        return -1;
    answer(c, record);
    return 0;
}

int role_update(struct call *c, struct err *err)
{
    struct doc *record;

    if (entity_of_call(c, &record, err) < 0)
        return -1;
    if (doc_has(c->input, "Description"))
        doc_set_string(c->arena, record, "Description", doc_text(c->input, "Description"));
    if (doc_has(c->input, "MaxSessionDuration"))
        doc_set_integer(c->arena, record, "MaxSessionDuration",
                        doc_int(c->input, "MaxSessionDuration", SESSION_DEFAULT_S));
    return entity_save(c->arena, iam_store(c), &iam_role, c->principal->account, record, err);
}

int role_update_trust(struct call *c, struct err *err)
{
    const char *trust = doc_text(c->input, "PolicyDocument");
    struct doc *record;

    if (entity_of_call(c, &record, err) < 0 || iam_check_document(c, trust, true, TRUST_MAX_BYTES, err) < 0)
        return -1;
    doc_set_string(c->arena, record, "trust", trust);
    return entity_save(c->arena, iam_store(c), &iam_role, c->principal->account, record, err);
}

int identity_role_may(struct arena *a, struct store *store, const struct role_question *q, struct err *err)
{
    const char *account = q->role_arn + strlen("arn:aws:iam::"), *slash = strrchr(q->role_arn, '/');
    struct policy_caller caller = { .region = q->region, .source_ip = "", .user_id = "", .now_ms = q->now_ms };
    struct doc *role = NULL, *policies = doc_list(a);
    const struct entity_kind *kind;

    account = arena_strndup(a, account, strcspn(account, ":"));
    if (entity_by_arn(a, store, q->role_arn, &kind, &role, err) < 0 && err->kind != ERR_NOT_FOUND)
        return -1;
    if (role && entity_policies(a, store, account, role, &policies, err) < 0)
        return -1;
    caller.account = account;
    caller.arn = arena_printf(a, "arn:aws:sts::%s:assumed-role/%s/%s", account, slash ? slash + 1 : "", q->session);
    return policy_allow(&(struct policy_request){ .policies = policies, .arn = caller.arn, .action = q->action,
                                                  .resource = q->resource, .context = policy_context(a, &caller) },
                        "sts", err);
}
