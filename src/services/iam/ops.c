/* ops.c - the operations of IAM that are here. */
#include "services/iam/identity.h"
#include "services/iam/entity.h"
#include "services/iam/ops.h"

#define USER   "arn:aws:iam::{account}:user/{UserName}"
#define ROLE   "arn:aws:iam::{account}:role/{RoleName}"
#define POLICY "{PolicyArn}"

/* What users and roles have in common. */
#define ENTITY(noun, arn)                                                                      \
    { "Delete" noun, entity_remove, OP_RUN, NULL, OP_WRITES, NULL, arn },                      \
    { "List" noun "s", entity_list, OP_RUN, NULL, OP_READS, NULL, NULL },                      \
    { "Tag" noun, entity_tag, OP_RUN, NULL, OP_WRITES, NULL, arn },                            \
    { "Untag" noun, entity_untag, OP_RUN, NULL, OP_WRITES, NULL, arn },                        \
    { "List" noun "Tags", entity_list_tags, OP_RUN, NULL, OP_READS, NULL, arn },               \
    { "Put" noun "Policy", entity_put_inline, OP_RUN, NULL, OP_WRITES, NULL, arn },            \
    { "Get" noun "Policy", entity_get_inline, OP_RUN, NULL, OP_READS, NULL, arn },             \
    { "Delete" noun "Policy", entity_delete_inline, OP_RUN, NULL, OP_WRITES, NULL, arn },      \
    { "List" noun "Policies", entity_list_inline, OP_RUN, NULL, OP_READS, NULL, arn },         \
    { "Attach" noun "Policy", entity_attach, OP_RUN, NULL, OP_WRITES, NULL, arn },             \
    { "Detach" noun "Policy", entity_detach, OP_RUN, NULL, OP_WRITES, NULL, arn },             \
    { "ListAttached" noun "Policies", entity_list_attached, OP_RUN, NULL, OP_READS, NULL, arn }

static const struct op ops[] = {
    ENTITY("User", USER),
    { "CreateUser", user_create, OP_RUN, NULL, OP_WRITES, NULL, USER },
    { "GetUser", user_get, OP_RUN, NULL, OP_READS, NULL, USER },
    { "CreateAccessKey", access_key_create, OP_RUN, NULL, OP_WRITES, NULL, USER },
    { "ListAccessKeys", access_key_list, OP_RUN, NULL, OP_READS, NULL, USER },
    { "UpdateAccessKey", access_key_update, OP_RUN, NULL, OP_WRITES, NULL, USER },
    { "DeleteAccessKey", access_key_delete, OP_RUN, NULL, OP_WRITES, NULL, USER },
    ENTITY("Role", ROLE),
    { "CreateRole", role_create, OP_RUN, NULL, OP_WRITES, NULL, ROLE },
    { "GetRole", role_get, OP_RUN, NULL, OP_READS, NULL, ROLE },
    { "UpdateRole", role_update, OP_RUN, NULL, OP_WRITES, NULL, ROLE },
    { "UpdateAssumeRolePolicy", role_update_trust, OP_RUN, NULL, OP_WRITES, NULL, ROLE },
    { "CreatePolicy", policy_create, OP_RUN, NULL, OP_WRITES, NULL, "arn:aws:iam::{account}:policy/{PolicyName}" },
    { "GetPolicy", policy_get, OP_RUN, NULL, OP_READS, NULL, POLICY },
    { "ListPolicies", policy_list, OP_RUN, NULL, OP_READS, NULL, NULL },
    { "DeletePolicy", policy_delete, OP_RUN, NULL, OP_WRITES, NULL, POLICY },
    { "ListEntitiesForPolicy", policy_list_entities, OP_RUN, NULL, OP_READS, NULL, POLICY },
    { "CreatePolicyVersion", policy_version_create, OP_RUN, NULL, OP_WRITES, NULL, POLICY },
    { "GetPolicyVersion", policy_version_get, OP_RUN, NULL, OP_READS, NULL, POLICY },
    { "ListPolicyVersions", policy_version_list, OP_RUN, NULL, OP_READS, NULL, POLICY },
    { "SetDefaultPolicyVersion", policy_version_set_default, OP_RUN, NULL, OP_WRITES, NULL, POLICY },
    { "DeletePolicyVersion", policy_version_delete, OP_RUN, NULL, OP_WRITES, NULL, POLICY },
    {},
};

const struct service_ops iam_ops = { "iam", ops };
