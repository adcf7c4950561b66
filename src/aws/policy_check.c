/* policy_check.c - a policy document that comes in is whole, and says nothing that is not understood.
 *
 * The words of a refusal are those of IAM. */
#include "aws/policy_impl.h"

#include <string.h>

#include "doc/json.h"

static int malformed(struct err *err, const char *text)
{
    return fail_code(err, ERR_INVALID, "MalformedPolicyDocument", "%s", text);
}

/* One or a list of strings, at least one. */
static bool strings(const struct doc *d)
{
    if (value_count(d) == 0)
        return false;
    for (uint32_t i = 0; i < value_count(d); i++)
        if (value_at(d, i)->type != DOC_STRING)
            return false;
    return true;
}

static int check_actions(const struct doc *actions, enum policy_kind kind, struct err *err)
{
    if (!strings(actions))
        return malformed(err, "Policy statement must contain actions.");
    for (uint32_t i = 0; i < value_count(actions); i++) {
        struct str one = value_at(actions, i)->text, vendor, rest;

        if (str_is(one, "*") && kind != POLICY_TRUST)
            continue;
        if (!str_cut(one, ':', &vendor, &rest) || vendor.size == 0)
            return malformed(err, "Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc.");
        if (rest.size == 0 || memchr(rest.data, ' ', rest.size))
            return malformed(err, "Actions/Condition can contain only one colon.");
        if (kind == POLICY_TRUST && !str_is_nocase(vendor, "sts"))
            return malformed(err, "AssumeRole policy may only specify STS AssumeRole actions.");
    }
    return 0;
}

static int check_resources(const struct doc *resources, struct err *err)
{
    if (!strings(resources))
        return malformed(err, "Policy statement must contain resources.");
    for (uint32_t i = 0; i < value_count(resources); i++) {
        struct str one = value_at(resources, i)->text;

        if (!str_starts(one, "arn:") && !str_starts(one, "*") && !str_starts(one, "${"))
            return fail_code(err, ERR_INVALID, "MalformedPolicyDocument",
                             "Resource " STR_FMT " must be in ARN format or \"*\".", STR_ARG(one));
    }
    return 0;
}

static int check_principals(const struct doc *principal, struct err *err)
{
    static const char *const types[] = { "AWS", "Service", "Federated", "CanonicalUser" };

    if (principal->type == DOC_STRING && str_is(principal->text, "*"))
        return 0;
    if (principal->type != DOC_MAP || principal->count == 0)
        return malformed(err, "Invalid principal in policy");
    for (uint32_t i = 0; i < principal->count; i++) {
        bool known = false;

        for (size_t t = 0; t < sizeof types / sizeof *types; t++)
            known |= strcmp(principal->members[i].key, types[t]) == 0;
        if (!known || !strings(principal->members[i].value))
            return malformed(err, "Invalid principal in policy");
    }
    return 0;
}

static int check_condition(const struct doc *keys, struct err *err)
{
    if (keys->type != DOC_MAP)
        return malformed(err, "Syntax errors in policy.");
    for (uint32_t k = 0; k < keys->count; k++) {
        const struct doc *values = keys->members[k].value;
        char room[32];
        struct str text;

        if (!strchr(keys->members[k].key, ':'))
            return malformed(err, "Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc.");
        for (uint32_t v = 0; v < value_count(values); v++)
            if (!value_text(value_at(values, v), room, &text))
                return malformed(err, "Syntax errors in policy.");
    }
    return 0;
}

static int check_conditions(const struct doc *conditions, struct err *err)
{
    if (conditions->type != DOC_MAP)
        return malformed(err, "Syntax errors in policy.");
    for (uint32_t i = 0; i < conditions->count; i++) {
        const struct doc_item *m = &conditions->members[i];

        if (!policy_operator_known(m->key))
            return fail_code(err, ERR_INVALID, "MalformedPolicyDocument", "Invalid Condition type : %s.", m->key);
        if (check_condition(m->value, err) < 0)
            return -1;
    }
    return 0;
}

static int check_statement(const struct doc *d, enum policy_kind kind, struct err *err)
{
    static const char *const known[] = { "Sid",      "Effect",      "Action",    "NotAction",   "Resource",
                                         "NotResource", "Condition", "Principal", "NotPrincipal" };
    struct statement s;

    if (d->type != DOC_MAP)
        return malformed(err, "Syntax errors in policy.");
    for (uint32_t i = 0; i < d->count; i++) {
        bool found = false;

        for (size_t k = 0; k < sizeof known / sizeof *known; k++)
            found |= strcmp(d->members[i].key, known[k]) == 0;
        if (!found)
            return malformed(err, "Syntax errors in policy.");
    }
    s = statement_read(d);
    if (!s.effect)
        return malformed(err, "Missing required field Effect");
    if (!statement_effect_is(&s, "Allow") && !statement_effect_is(&s, "Deny"))
        return malformed(err, "Invalid effect: must be Allow or Deny.");
    if (s.action && s.not_action)
        return malformed(err, "Statement/policy already has instance of Action");
    if (s.resource && s.not_resource)
        return malformed(err, "Statement/policy already has instance of Resource");
    if (check_actions(s.action ? s.action : s.not_action, kind, err) < 0)
        return -1;
    if (kind == POLICY_IDENTITY && (s.principal || s.not_principal))
        return malformed(err, "Policy document should not specify a principal.");
    if (kind != POLICY_IDENTITY && !s.principal && !s.not_principal)
        return malformed(err, "Missing required field Principal");
    if (kind != POLICY_IDENTITY && check_principals(s.principal ? s.principal : s.not_principal, err) < 0)
        return -1;
    if (kind == POLICY_TRUST && (s.resource || s.not_resource))
        return malformed(err, "Has prohibited field Resource");
    if (kind != POLICY_TRUST && check_resources(s.resource ? s.resource : s.not_resource, err) < 0)
        return -1;
    return s.condition ? check_conditions(s.condition, err) : 0;
}

int policy_parse(struct arena *a, struct str text, enum policy_kind kind, struct doc **ret, struct err *err)
{
    struct doc *d;
    struct err parse;
    const struct doc *version, *statements;

    if (json_parse(a, text, &d, &parse) < 0 || d->type != DOC_MAP)
        return malformed(err, "Syntax errors in policy.");
    version = doc_get(d, "Version");
    if (version && !doc_is(d, "Version", "2012-10-17") && !doc_is(d, "Version", "2008-10-17"))
        return malformed(err, "Policy document must be version 2012-10-17 or greater.");
    for (uint32_t i = 0; i < d->count; i++)
        if (strcmp(d->members[i].key, "Version") != 0 && strcmp(d->members[i].key, "Id") != 0 &&
            strcmp(d->members[i].key, "Statement") != 0)
            return malformed(err, "Syntax errors in policy.");
    statements = doc_get(d, "Statement");
    if (!statements || (statements->type != DOC_LIST && statements->type != DOC_MAP) || value_count(statements) == 0)
        return malformed(err, "Syntax errors in policy.");
    for (uint32_t i = 0; i < value_count(statements); i++)
        if (check_statement(value_at(statements, i), kind, err) < 0)
            return -1;
    *ret = d;
    return 0;
}
