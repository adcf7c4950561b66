/* role.c - Role: permissions that somebody else takes on, and who may. */
#include "services/iam/ops.h"

#include "services/iam/entity.h"

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
