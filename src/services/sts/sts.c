/* sts.c - who am I, and temporary credentials. A session is a sealed token: nothing is stored, and nothing has to be
 * looked up but the policies of its role. */
#include <stdlib.h>
#include <string.h>

#include "aws/policy.h"
#include "doc/json.h"
#include "engine/engine.h"
#include "services/iam/entity.h"
#include "services/iam/identity.h"
#include "services/platform.h"
#include "sign/token.h"

enum { ASSUME_DEFAULT_S = 3600, CHAINED_MAX_S = 3600, SESSION_DEFAULT_S = 43200, SESSION_POLICY_MAX_BYTES = 2048 };

static int caller_identity(struct call *c, struct err *err)
{
    doc_set_string(c->arena, c->output, "UserId", c->principal->user_id);
    doc_set_string(c->arena, c->output, "Account", c->principal->account);
    doc_set_string(c->arena, c->output, "Arn", c->principal->arn);
    return 0;
}

/* Fills in the pair and gives the Credentials of the output. */
static struct doc *issue(struct call *c, struct token *t, int64_t duration_s)
{
    struct platform *p = engine_context(c->engine);
    struct doc *credentials = doc_map(c->arena);
    struct token_pair pair;

    token_pair_new(p->rand, "ASIA", &pair);
    t->access_key_id = pair.access_key_id;
    t->secret_access_key = pair.secret_access_key;
    t->issued_ms = c->now_ms;
    t->expires_ms = (c->now_ms / 1000 + duration_s) * 1000;
    t->revision = identity_revision();
    doc_set_string(c->arena, credentials, "AccessKeyId", pair.access_key_id);
    doc_set_string(c->arena, credentials, "SecretAccessKey", pair.secret_access_key);
    doc_set_string(c->arena, credentials, "SessionToken", token_seal(c->arena, p->session_key, p->rand, t));
    doc_set_integer(c->arena, credentials, "Expiration", t->expires_ms);
    return credentials;
}

static int denied(struct call *c, const char *role_arn, struct err *err)
{
    return fail_code(err, ERR_DENIED, "AccessDenied",
                     "User: %s is not authorized to perform: sts:AssumeRole on resource: %s", c->principal->arn,
                     role_arn);
}

/* Both must agree: the role's trust policy, and what the caller may do. A trust policy that names the caller itself is
 * enough, as long as no Deny stands against it. */
static int may_assume(struct call *c, const char *role_arn, const struct doc *role, struct err *err)
{
    const struct principal *who = c->principal;
    bool service = *who->account == '\0', named = false; /* the house asks for one of its services */
    struct doc *trust, *context = policy_context(c->arena, &(struct policy_caller){
        .arn = who->arn, .account = who->account, .user_id = who->user_id, .source_ip = c->source_ip,
        .region = c->region, .tls = c->tls, .now_ms = c->now_ms });
    enum policy_answer own;

    if (json_parse(c->arena, str_of(doc_text(role, "trust")), &trust, err) < 0)
        return -1;
    doc_set_string(c->arena, context, "sts:RoleSessionName", doc_text(c->input, "RoleSessionName"));
    if (doc_has(c->input, "ExternalId"))
        doc_set_string(c->arena, context, "sts:ExternalId", doc_text(c->input, "ExternalId"));
    if (policy_knocks(&(struct policy_knock) { .document = trust,
                                               .arn = service ? "" : who->arn,
                                               .account = who->account,
                                               .service = service ? who->arn : "",
                                               .action = "sts:AssumeRole",
                                               .resource = "",
                                               .context = context },
                      &named) != POLICY_ALLOWED)
        return denied(c, role_arn, err);
    if (service)
        return 0;
    own = policy_evaluate(&(struct policy_request) { .policies = who->policies,
                                                     .session_policy = who->session_policy,
                                                     .trusted = who->trusted,
                                                     .arn = who->arn,
                                                     .action = "sts:AssumeRole",
                                                     .resource = role_arn,
                                                     .context = context });
    if (own == POLICY_ALLOWED || (own == POLICY_NOT_ALLOWED && named))
        return 0;
    return denied(c, role_arn, err);
}

/* One document of Policy and of PolicyArns together, as text; "" when there is neither. */
static int session_policy(struct call *c, const char **ret, struct err *err)
{
    const char *text = doc_text(c->input, "Policy");
    const struct doc *arns = doc_get(c->input, "PolicyArns");
    struct doc *statements = doc_list(c->arena), *whole = doc_map(c->arena), *one;
    bool any = false;

    for (uint32_t i = 0; i <= (arns ? arns->count : 0); i++) {
        const struct doc *list;

        if (i == 0 && !*text)
            continue;
        if (i > 0) {
            const char *arn = doc_text(arns->items[i - 1], "arn");

            if (managed_document(c->arena, iam_store(c), arn, &text, err) < 0)
                return err->kind == ERR_NOT_FOUND
                           ? fail_code(err, ERR_INVALID, "ValidationError", "Policy %s does not exist.", arn)
                           : -1;
        } else if (strlen(text) > SESSION_POLICY_MAX_BYTES) {
            return fail_code(err, ERR_LIMIT, "PackedPolicyTooLarge", "The session policy has more than %d characters.",
                             SESSION_POLICY_MAX_BYTES);
        }
        if (policy_parse(c->arena, str_of(text), POLICY_IDENTITY, &one, err) < 0)
            return -1;
        any = true;
        list = doc_get(one, "Statement");
        if (list->type == DOC_MAP)
            doc_append(c->arena, statements, (struct doc *)list);
        for (uint32_t k = 0; list->type == DOC_LIST && k < list->count; k++)
            doc_append(c->arena, statements, list->items[k]);
    }
    doc_set_string(c->arena, whole, "Version", "2012-10-17");
    doc_set(c->arena, whole, "Statement", statements);
    *ret = any ? json_text(c->arena, whole) : "";
    return 0;
}

static int assume_role(struct call *c, struct err *err)
{
    static const char *const refused[] = { "Tags", "TransitiveTagKeys", "SerialNumber", "TokenCode", "SourceIdentity",
                                           "ProvidedContexts", NULL };
    const char *role_arn = doc_text(c->input, "RoleArn"), *session = doc_text(c->input, "RoleSessionName"),
               *narrowing = "";
    int64_t duration_s = doc_int(c->input, "DurationSeconds", ASSUME_DEFAULT_S);
    const struct entity_kind *kind;
    struct doc *role, *user = doc_map(c->arena), *credentials;
    const char *account = role_arn + strlen("arn:aws:iam::"), *name;
    struct token t;

    if (iam_refuse_members(c, refused, err) < 0)
        return -1;
    if (entity_by_arn(c->arena, iam_store(c), role_arn, &kind, &role, err) < 0)
        return err->kind == ERR_NOT_FOUND ? denied(c, role_arn, err) : -1;
    if (kind != &iam_role)
        return denied(c, role_arn, err);
    if (may_assume(c, role_arn, role, err) < 0)
        return -1;
    if (duration_s > doc_int(role, "MaxSessionDuration", ASSUME_DEFAULT_S))
        return fail_code(err, ERR_INVALID, "ValidationError",
                         "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.");
    if (duration_s > CHAINED_MAX_S && text_starts(c->principal->access_key_id, "ASIA"))
        return fail_code(
            err, ERR_INVALID, "ValidationError",
            "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining.");
    if (session_policy(c, &narrowing, err) < 0)
        return -1;
    name = doc_text(role, "RoleName");
    t = (struct token){
        .account = arena_strndup(c->arena, account, strcspn(account, ":")),
        .user_id = arena_printf(c->arena, "%s:%s", doc_text(role, "RoleId"), session),
        .role_arn = role_arn,
        .session_policy = narrowing,
    };
    t.arn = arena_printf(c->arena, "arn:aws:sts::%s:assumed-role/%s/%s", t.account, name, session);
    credentials = issue(c, &t, duration_s);
    doc_set(c->arena, c->output, "Credentials", credentials);
    doc_set_string(c->arena, user, "AssumedRoleId", t.user_id);
    doc_set_string(c->arena, user, "Arn", t.arn);
    doc_set(c->arena, c->output, "AssumedRoleUser", user);
    if (*narrowing)
        doc_set_integer(c->arena, c->output, "PackedPolicySize",
                        (int64_t)(strlen(narrowing) * 100 / (11 * SESSION_POLICY_MAX_BYTES)) + 1);
    return 0;
}

static int session_token(struct call *c, struct err *err)
{
    static const char *const refused[] = { "SerialNumber", "TokenCode", NULL };
    const struct principal *who = c->principal;
    const char *role = strstr(who->arn, ":assumed-role/");
    struct token t = { .account = who->account, .arn = who->arn, .user_id = who->user_id, .role_arn = who->arn,
                       .session_policy = "" };

    if (iam_refuse_members(c, refused, err) < 0)
        return -1;
    if (text_starts(who->access_key_id, "ASIA"))
        return fail_code(err, ERR_DENIED, "AccessDenied", "Cannot call GetSessionToken with session credentials");
    if (role) {
        role += strlen(":assumed-role/");
        t.role_arn = arena_printf(c->arena, "arn:aws:iam::%s:role/%.*s", who->account, (int)strcspn(role, "/"), role);
    }
    doc_set(c->arena, c->output, "Credentials", issue(c, &t, doc_int(c->input, "DurationSeconds", SESSION_DEFAULT_S)));
    return 0;
}

static const struct op ops[] = {
    { "GetCallerIdentity", caller_identity, OP_RUN, NULL, OP_OPEN },
    /* The trust policy is asked too, inside. */
    { "AssumeRole", assume_role, OP_RUN, NULL, OP_OPEN },
    { "GetSessionToken", session_token, OP_RUN, NULL, OP_OPEN },
    {},
};

const struct service_ops sts_ops = { "sts", ops };
