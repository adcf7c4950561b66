/* user.c - User: a person or a program, with its access keys. */
#include "services/iam/ops.h"

#include <string.h>

#include "services/iam/entity.h"

int user_create(struct call *c, struct err *err)
{
    static const char *const refused[] = { "PermissionsBoundary", NULL };
    struct doc *record;

    if (iam_refuse_members(c, refused, err) < 0 || entity_new(c, &iam_user, &record, err) < 0 ||
        entity_save(c->arena, iam_store(c), &iam_user, c->principal->account, record, err) < 0)
        return -1;
    doc_set(c->arena, c->output, "User", entity_view(c->arena, &iam_user, record, true));
    return 0;
}

/* Without a name: who is asking. Root has no record, and answers as AWS's does. */
static struct doc *root_view(struct call *c)
{
    struct doc *view = doc_map(c->arena);

    doc_set_string(c->arena, view, "Path", "/");
    doc_set_string(c->arena, view, "UserName", "");
    doc_set_string(c->arena, view, "UserId", c->principal->account);
    doc_set_string(c->arena, view, "Arn", c->principal->arn);
    doc_set_integer(c->arena, view, "CreateDate", 0);
    return view;
}

int user_get(struct call *c, struct err *err)
{
    struct doc *record;

    if (!doc_has(c->input, "UserName") && text_ends(c->principal->arn, ":root")) {
        doc_set(c->arena, c->output, "User", root_view(c));
        return 0;
    }
    if (entity_of_call(c, &record, err) < 0)
        return -1;
    doc_set(c->arena, c->output, "User", entity_view(c->arena, &iam_user, record, true));
    return 0;
}
