/* policy.c - one statement after the other, one test of a statement after the other.
 *
 * Where a document says something that is not understood, an Allow does not count and a Deny does: a mistake closes.
 * The rules are those of "Policy evaluation logic" and "IAM JSON policy elements" of the IAM manual; the words of a
 * refusal are those that the services answer. */
#include "aws/policy_impl.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "sign/sigv4.h"

static enum answer any_action(const struct doc *list, const char *action)
{
    for (uint32_t i = 0; i < value_count(list); i++) {
        const struct doc *one = value_at(list, i);

        if (one->type != DOC_STRING)
            return UNCLEAR;
        if (policy_matches(one->text, str_of(action), true))
            return YES;
    }
    return NO;
}

static enum answer any_resource(const struct doc *list, const char *resource, const struct doc *context)
{
    _cleanup_expanded_ struct expanded e = { 0 };

    for (uint32_t i = 0; i < value_count(list); i++) {
        const struct doc *one = value_at(list, i);

        if (one->type != DOC_STRING)
            return UNCLEAR;
        if (str_is(one->text, "*"))
            return YES;
        if (expanded_set(&e, one->text, context) && expanded_matches_arn(&e, str_of(resource)))
            return YES;
    }
    return NO;
}

static enum answer negate(enum answer a)
{
    return a == UNCLEAR ? UNCLEAR : a == YES ? NO : YES;
}

static enum answer both(enum answer a, enum answer b)
{
    return a == NO || b == NO ? NO : a == UNCLEAR || b == UNCLEAR ? UNCLEAR : YES;
}

static enum answer statement_applies(const struct statement *s, const char *action, const char *resource,
                                     const struct doc *context)
{
    enum answer a = s->action       ? any_action(s->action, action)
                    : s->not_action ? negate(any_action(s->not_action, action))
                                    : UNCLEAR;

    if (a != NO && *resource)
        a = both(a, s->resource       ? any_resource(s->resource, resource, context)
                    : s->not_resource ? negate(any_resource(s->not_resource, resource, context))
                                      : UNCLEAR);
    return a == NO ? NO : both(a, policy_conditions_hold(s->condition, context));
}

static const struct doc_field statement_fields[] = {
    DOC_DOC(struct statement, effect, "Effect"),
    DOC_DOC(struct statement, action, "Action"),
    DOC_DOC(struct statement, not_action, "NotAction"),
    DOC_DOC(struct statement, resource, "Resource"),
    DOC_DOC(struct statement, not_resource, "NotResource"),
    DOC_DOC(struct statement, condition, "Condition"),
    DOC_DOC(struct statement, principal, "Principal"),
    DOC_DOC(struct statement, not_principal, "NotPrincipal"),
    {},
};

struct statement statement_read(const struct doc *d)
{
    struct statement s = { 0 };

    doc_read(d, statement_fields, &s);
    return s;
}

bool statement_effect_is(const struct statement *s, const char *effect)
{
    return s->effect && s->effect->type == DOC_STRING && str_is(s->effect->text, effect);
}

/* What one set of documents says. 'list' is a list of documents, or one. */
static enum policy_answer documents_say(const struct doc *list, const struct policy_request *q)
{
    bool allowed = false;

    for (uint32_t i = 0; i < value_count(list); i++) {
        const struct doc *statements = doc_get(value_at(list, i), "Statement");

        for (uint32_t k = 0; k < value_count(statements); k++) {
            struct statement s = statement_read(value_at(statements, k));
            enum answer applies;

            if (allowed && statement_effect_is(&s, "Allow"))
                continue;
            applies = statement_applies(&s, q->action, q->resource, q->context);
            if (statement_effect_is(&s, "Allow"))
                allowed |= applies == YES;
            else if (applies != NO)
                return POLICY_DENIED;
        }
    }
    return allowed ? POLICY_ALLOWED : POLICY_NOT_ALLOWED;
}

enum policy_answer policy_evaluate(const struct policy_request *q)
{
    enum policy_answer own, session;

    if (q->trusted && !q->session_policy)
        return POLICY_ALLOWED;
    own = q->trusted ? POLICY_ALLOWED : documents_say(q->policies, q);
    session = q->session_policy ? documents_say(q->session_policy, q) : POLICY_ALLOWED;
    if (own == POLICY_DENIED)
        return POLICY_DENIED;
    if (session == POLICY_DENIED)
        return POLICY_DENIED_BY_SESSION;
    if (own == POLICY_NOT_ALLOWED)
        return POLICY_NOT_ALLOWED;
    return session == POLICY_NOT_ALLOWED ? POLICY_NOT_ALLOWED_BY_SESSION : POLICY_ALLOWED;
}

int policy_allow(const struct policy_request *q, const char *service, struct err *err)
{
    static const char *const because[] = {
        [POLICY_NOT_ALLOWED] = "because no identity-based policy allows the %s action",
        [POLICY_NOT_ALLOWED_BY_SESSION] = "because no session policy allows the %s action",
        [POLICY_DENIED] = "with an explicit deny in an identity-based policy",
        [POLICY_DENIED_BY_SESSION] = "with an explicit deny in a session policy",
    };
    enum policy_answer answer = policy_evaluate(q);
    enum sigv4_family family = sigv4_family(service);
    char reason[256];

    if (answer == POLICY_ALLOWED)
        return 0;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    snprintf(reason, sizeof reason, because[answer], q->action);
#pragma GCC diagnostic pop
    /* S3 quotes what it names. */
    if (family == SIGV4_S3)
        return fail_code(err, ERR_DENIED, "AccessDenied",
                         "User: %s is not authorized to perform: %s on resource: \"%s\" %s", q->arn, q->action,
                         q->resource, reason);
    return fail_code(err, ERR_DENIED, family == SIGV4_QUERY ? "AccessDenied" : "AccessDeniedException",
                     "User: %s is not authorized to perform: %s on resource: %s %s", q->arn, q->action, q->resource,
                     reason);
}

/* --- Principals --- */

/* arn:aws:sts::A:assumed-role/ROLE/SESSION acts for arn:aws:iam::A:role/ROLE, whatever the role's path is. */
static bool acts_for(struct str who, const struct policy_knock *k)
{
    static const char session[] = ":assumed-role/";
    const char *name = strstr(k->arn, session);
    char prefix[64];

    snprintf(prefix, sizeof prefix, "arn:aws:iam::%.12s:role/", k->account);
    if (!name || !str_starts(who, prefix))
        return false;
    name += strlen(session);
    for (size_t i = who.size; i > 0; i--)
        if (who.data[i - 1] == '/')
            return str_eq((struct str){ who.data + i, who.size - i }, (struct str){ name, strcspn(name, "/") });
    return false;
}

/* One entry of a Principal. */
static enum answer is_principal(struct str type, struct str who, const struct policy_knock *k, bool *ret_named)
{
    char account[32];

    if (str_is(type, "Service"))
        return *k->service && str_is(who, k->service) ? YES : NO;
    if (!str_is(type, "AWS"))
        return str_is(type, "Federated") || str_is(type, "CanonicalUser") ? NO : UNCLEAR;
    if (*k->service)
        return NO;
    if (str_is(who, "*"))
        return YES;
    snprintf(account, sizeof account, "arn:aws:iam::%.12s:root", k->account);
    if (str_is(who, k->account) || str_is(who, account))
        return YES;
    if (str_is(who, k->arn) || acts_for(who, k)) {
        *ret_named = true;
        return YES;
    }
    return NO;
}

static enum answer any_principal(const struct doc *principal, const struct policy_knock *k, bool *ret_named)
{
    enum answer any = NO;

    /* "*" alone is everybody. */
    if (principal->type == DOC_STRING)
        return str_is(principal->text, "*") ? YES : UNCLEAR;
    if (principal->type != DOC_MAP)
        return UNCLEAR;
    for (uint32_t i = 0; i < principal->count; i++) {
        const struct doc *list = principal->members[i].value;

        for (uint32_t n = 0; n < value_count(list); n++) {
            const struct doc *one = value_at(list, n);
            enum answer a = one->type == DOC_STRING
                                ? is_principal(str_of(principal->members[i].key), one->text, k, ret_named)
                                : UNCLEAR;

            if (a == YES)
                any = YES;
            else if (a == UNCLEAR && any == NO)
                any = UNCLEAR;
        }
    }
    return any;
}

enum policy_answer policy_knocks(const struct policy_knock *k, bool *ret_named)
{
    const struct doc *statements = doc_get(k->document, "Statement");
    bool allowed = false, named = false;

    for (uint32_t i = 0; i < value_count(statements); i++) {
        struct statement s = statement_read(value_at(statements, i));
        enum answer applies;
        bool this_named = false;

        applies = s.principal       ? any_principal(s.principal, k, &this_named)
                  : s.not_principal ? negate(any_principal(s.not_principal, k, &this_named))
                                    : UNCLEAR;
        if (applies != NO)
            applies = both(applies, statement_applies(&s, k->action, k->resource, k->context));
        if (statement_effect_is(&s, "Allow")) {
            allowed |= applies == YES;
            named |= applies == YES && this_named;
        } else if (applies != NO) {
            return POLICY_DENIED;
        }
    }
    if (ret_named)
        *ret_named = named;
    return allowed ? POLICY_ALLOWED : POLICY_NOT_ALLOWED;
}

/* --- The context --- */

struct doc *policy_context(struct arena *a, const struct policy_caller *c)
{
    struct doc *m = doc_map(a);
    const char *user = strstr(c->arn, ":user/"), *session = strstr(c->arn, ":assumed-role/"), *name;

    doc_set_string(a, m, "aws:PrincipalAccount", c->account);
    doc_set_string(a, m, "aws:userid", c->user_id);
    doc_set_string(a, m, "aws:PrincipalArn", c->arn);
    if (user) {
        name = strrchr(user, '/') + 1;
        doc_set_string(a, m, "aws:username", name);
        doc_set_string(a, m, "aws:PrincipalType", "User");
    } else if (session) {
        name = session + strlen(":assumed-role/");
        /* The role itself, not this session of it. */
        doc_set_string(a, m, "aws:PrincipalArn",
                       arena_printf(a, "arn:aws:iam::%s:role/%.*s", c->account, (int)strcspn(name, "/"), name));
        doc_set_string(a, m, "aws:PrincipalType", "AssumedRole");
    } else {
        doc_set_string(a, m, "aws:PrincipalType", "Account");
    }
    if (c->source_ip && *c->source_ip)
        doc_set_string(a, m, "aws:SourceIp", c->source_ip);
    if (c->region && *c->region)
        doc_set_string(a, m, "aws:RequestedRegion", c->region);
    doc_set_string(a, m, "aws:SecureTransport", c->tls ? "true" : "false");
    doc_set_string(a, m, "aws:CurrentTime", time_iso8601(a, c->now_ms, false));
    doc_set_integer(a, m, "aws:EpochTime", c->now_ms / 1000);
    return m;
}
