/* policy.c - one statement after the other, one test of a statement after the other.
 *
 * Where a document says something that is not understood, an Allow does not count and a Deny does: a mistake closes.
 * The rules are those of "Policy evaluation logic" and "IAM JSON policy elements" of the IAM manual; the words of a
 * refusal are those that the services answer. */
#include "aws/policy.h"

#include <arpa/inet.h>
#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "doc/json.h"
#include "sign/sigv4.h"

enum answer { NO, YES, UNCLEAR };

/* --- Values --- */

/* A scalar of a policy or of a context as text; false for anything else. 'room' holds numbers. */
static bool scalar(const struct doc *d, char room[static 32], struct str *ret)
{
    switch (d ? d->type : DOC_NULL) {
    case DOC_STRING:
        *ret = d->text;
        return true;
    case DOC_BOOLEAN:
        *ret = d->boolean ? STR("true") : STR("false");
        return true;
    case DOC_INTEGER:
        snprintf(room, 32, "%" PRId64, d->integer);
        *ret = str_of(room);
        return true;
    case DOC_REAL:
        snprintf(room, 32, "%.17g", d->real);
        *ret = str_of(room);
        return true;
    default:
        return false;
    }
}

/* A value that may be one or a list of them. */
static uint32_t value_count(const struct doc *d)
{
    return !d ? 0 : d->type == DOC_LIST ? d->count : 1;
}

static const struct doc *value_at(const struct doc *d, uint32_t i)
{
    return d->type == DOC_LIST ? d->items[i] : d;
}

/* Keys of a context are compared without regard to case. */
static const struct doc *context_get(const struct doc *context, struct str key)
{
    if (!context || context->type != DOC_MAP)
        return NULL;
    for (uint32_t i = 0; i < context->count; i++)
        if (str_is_nocase(key, context->members[i].key))
            return context->members[i].value;
    return NULL;
}

/* --- Patterns --- */

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

/* 'literal' (NULL: none) marks the bytes of the pattern that stand for themselves. Linear but for the last star, to
 * which it goes back. */
static bool match(struct str pattern, const char *literal, struct str text, bool nocase)
{
    size_t p = 0, t = 0, star = SIZE_MAX, star_text = 0;

    while (t < text.size) {
        bool wild = p < pattern.size && !(literal && literal[p]);

        if (wild && pattern.data[p] == '*') {
            star = p++;
            star_text = t;
        } else if (p < pattern.size &&
                   ((wild && pattern.data[p] == '?') || pattern.data[p] == text.data[t] ||
                    (nocase && lower(pattern.data[p]) == lower(text.data[t])))) {
            p++;
            t++;
        } else if (star != SIZE_MAX) {
            p = star + 1;
            t = ++star_text;
        } else {
            return false;
        }
    }
    while (p < pattern.size && pattern.data[p] == '*' && !(literal && literal[p]))
        p++;
    return p == pattern.size;
}

bool policy_matches(struct str pattern, struct str text, bool nocase)
{
    return match(pattern, NULL, text, nocase);
}

/* A pattern with its variables replaced; what came from a variable stands for itself, stars and all. */
struct expanded {
    struct buf text, literal;
};

static void expanded_free(struct expanded *e)
{
    buf_free(&e->text);
    buf_free(&e->literal);
}

static void expanded_add(struct expanded *e, const char *data, size_t size, bool literal)
{
    buf_append(&e->text, data, size);
    for (size_t i = 0; i < size; i++)
        buf_append_char(&e->literal, literal);
}

/* "${key}", "${key, 'otherwise'}"; "${*}", "${?}" and "${$}" are the bytes themselves. */
static bool expand_variable(struct expanded *e, struct str inside, const struct doc *context)
{
    struct str key = inside, otherwise = { 0 }, value;
    char room[32];
    bool has_otherwise = str_cut(inside, ',', &key, &otherwise);
    const struct doc *found;

    key = str_trim(key);
    if (key.size == 1 && strchr("*?$", key.data[0])) {
        expanded_add(e, key.data, 1, true);
        return true;
    }
    found = context_get(context, key);
    /* A variable has one value; a key with several is none. */
    if (found && scalar(found, room, &value)) {
        expanded_add(e, value.data, value.size, true);
        return true;
    }
    otherwise = str_trim(otherwise);
    if (!has_otherwise || otherwise.size < 2 || otherwise.data[0] != '\'' || otherwise.data[otherwise.size - 1] != '\'')
        return false;
    expanded_add(e, otherwise.data + 1, otherwise.size - 2, true);
    return true;
}

/* False: it names a variable that the request does not have, so that it matches nothing. */
static bool expand(struct expanded *e, struct str pattern, const struct doc *context)
{
    buf_clear(&e->text);
    buf_clear(&e->literal);
    for (size_t i = 0; i < pattern.size;) {
        const char *end = i + 1 < pattern.size && pattern.data[i] == '$' && pattern.data[i + 1] == '{'
                              ? memchr(pattern.data + i, '}', pattern.size - i)
                              : NULL;

        if (!end) {
            expanded_add(e, pattern.data + i++, 1, false);
            continue;
        }
        if (!expand_variable(e, (struct str){ pattern.data + i + 2, (size_t)(end - pattern.data) - i - 2 }, context))
            return false;
        i = (size_t)(end - pattern.data) + 1;
    }
    return true;
}

/* Where the n-th colon is; size when there are fewer. */
static size_t colon(struct str s, int n)
{
    for (size_t i = 0; i < s.size; i++)
        if (s.data[i] == ':' && n-- == 0)
            return i;
    return s.size;
}

/* An ARN has six parts, and no wildcard reaches over the end of one (but the last holds colons of its own). A pattern
 * with fewer ends in a "*" that stands for the rest: "arn:aws:logs:*". */
static bool match_arn(struct str pattern, const char *literal, struct str text)
{
    size_t p = 0, t = 0;

    if (colon(text, 4) == text.size)
        return match(pattern, literal, text, false);
    for (int i = 0; i < 6; i++) {
        size_t p_end = i < 5 ? colon(pattern, i) : pattern.size, t_end = i < 5 ? colon(text, i) : text.size;

        if (i < 5 && p_end == pattern.size)
            return p_end - p == 1 && pattern.data[p] == '*' && !(literal && literal[p]);
        if (!match((struct str){ pattern.data + p, p_end - p }, literal ? literal + p : NULL,
                   (struct str){ text.data + t, t_end - t }, false))
            return false;
        p = p_end + 1;
        t = t_end + 1;
    }
    return true;
}

/* --- Conditions --- */

enum compare {
    TEXT_EQUAL, TEXT_EQUAL_NOCASE, TEXT_LIKE, ARN_LIKE, BOOLEAN, ADDRESS,
    NUMBER_EQ, NUMBER_LT, NUMBER_LE, NUMBER_GT, NUMBER_GE,
    DATE_EQ, DATE_LT, DATE_LE, DATE_GT, DATE_GE,
    IS_NULL,
};

static const struct comparison {
    const char *name;
    enum compare compare;
    bool negated;
} comparisons[] = {
    { "StringEquals", TEXT_EQUAL, false },
    { "StringNotEquals", TEXT_EQUAL, true },
    { "StringEqualsIgnoreCase", TEXT_EQUAL_NOCASE, false },
    { "StringNotEqualsIgnoreCase", TEXT_EQUAL_NOCASE, true },
    { "StringLike", TEXT_LIKE, false },
    { "StringNotLike", TEXT_LIKE, true },
    { "NumericEquals", NUMBER_EQ, false },
    { "NumericNotEquals", NUMBER_EQ, true },
    { "NumericLessThan", NUMBER_LT, false },
    { "NumericLessThanEquals", NUMBER_LE, false },
    { "NumericGreaterThan", NUMBER_GT, false },
    { "NumericGreaterThanEquals", NUMBER_GE, false },
    { "DateEquals", DATE_EQ, false },
    { "DateNotEquals", DATE_EQ, true },
    { "DateLessThan", DATE_LT, false },
    { "DateLessThanEquals", DATE_LE, false },
    { "DateGreaterThan", DATE_GT, false },
    { "DateGreaterThanEquals", DATE_GE, false },
    { "Bool", BOOLEAN, false },
    { "BinaryEquals", TEXT_EQUAL, false },
    { "IpAddress", ADDRESS, false },
    { "NotIpAddress", ADDRESS, true },
    { "ArnEquals", ARN_LIKE, false },
    { "ArnLike", ARN_LIKE, false },
    { "ArnNotEquals", ARN_LIKE, true },
    { "ArnNotLike", ARN_LIKE, true },
    { "Null", IS_NULL, false },
    {},
};

struct condition {
    const struct comparison *comparison;
    bool if_exists;
    enum { ANY_WAY, FOR_ANY, FOR_ALL } quantifier;
};

/* "ForAllValues:StringLikeIfExists". False: no such operator. */
static bool parse_comparison(struct str name, struct condition *ret)
{
    *ret = (struct condition){ 0 };
    if (str_starts(name, "ForAnyValue:")) {
        ret->quantifier = FOR_ANY;
        name = (struct str){ name.data + 12, name.size - 12 };
    } else if (str_starts(name, "ForAllValues:")) {
        ret->quantifier = FOR_ALL;
        name = (struct str){ name.data + 13, name.size - 13 };
    }
    if (str_ends(name, "IfExists") && !str_is(name, "IfExists")) {
        ret->if_exists = true;
        name.size -= 8;
    }
    for (const struct comparison *o = comparisons; o->name; o++)
        if (str_is_nocase(name, o->name)) {
            ret->comparison = o;
            return !(o->compare == IS_NULL && ret->if_exists);
        }
    return false;
}

/* 10.0.0.0/8, 2001:db8::/32, or an address alone. */
static bool parse_network(struct str text, unsigned char ret[static 16], int *ret_bits, int *ret_family)
{
    char address[INET6_ADDRSTRLEN + 1];
    struct str host = text, suffix = { 0 };
    bool has_suffix = str_cut(text, '/', &host, &suffix);
    int64_t bits;

    if (host.size >= sizeof address)
        return false;
    memcpy(address, host.data, host.size);
    address[host.size] = '\0';
    if (inet_pton(AF_INET, address, ret) == 1)
        *ret_family = AF_INET;
    else if (inet_pton(AF_INET6, address, ret) == 1)
        *ret_family = AF_INET6;
    else
        return false;
    *ret_bits = *ret_family == AF_INET ? 32 : 128;
    if (!has_suffix)
        return true;
    if (!str_to_int64(suffix, &bits) || bits < 0 || bits > *ret_bits)
        return false;
    *ret_bits = (int)bits;
    return true;
}

static enum answer in_network(struct str network, struct str address)
{
    unsigned char n[16], x[16];
    int n_bits, x_bits, n_family, x_family;

    if (!parse_network(network, n, &n_bits, &n_family) || !parse_network(address, x, &x_bits, &x_family))
        return UNCLEAR;
    if (n_family != x_family)
        return NO;
    if (memcmp(n, x, (size_t)n_bits / 8) != 0)
        return NO;
    return n_bits % 8 == 0 || (n[n_bits / 8] ^ x[n_bits / 8]) >> (8 - n_bits % 8) == 0 ? YES : NO;
}

/* ISO 8601, a day alone, or seconds since 1970. */
static bool parse_date(struct str text, double *ret)
{
    char padded[32];
    int64_t ms;

    if (time_parse_iso8601(text, &ms)) {
        *ret = (double)ms;
        return true;
    }
    if (text.size == 10 && text.data[4] == '-') {
        snprintf(padded, sizeof padded, STR_FMT "T00:00:00Z", STR_ARG(text));
        if (!time_parse_iso8601(str_of(padded), &ms))
            return false;
        *ret = (double)ms;
        return true;
    }
    if (!str_to_double(text, ret))
        return false;
    *ret *= 1000;
    return true;
}

static enum answer compare_numbers(enum compare how, double asked, double value)
{
    switch (how) {
    case NUMBER_EQ:
    case DATE_EQ:
        return value == asked ? YES : NO;
    case NUMBER_LT:
    case DATE_LT:
        return value < asked ? YES : NO;
    case NUMBER_LE:
    case DATE_LE:
        return value <= asked ? YES : NO;
    case NUMBER_GT:
    case DATE_GT:
        return value > asked ? YES : NO;
    case NUMBER_GE:
    case DATE_GE:
        return value >= asked ? YES : NO;
    default:
        assert(!"a comparison of numbers");
        return UNCLEAR;
    }
}

/* One value of the policy against one of the request. */
static enum answer compare(enum compare how, struct str asked, struct str value, const struct doc *context)
{
    __attribute__((cleanup(expanded_free))) struct expanded e = { 0 };
    struct str pattern;
    double x, y;

    switch (how) {
    case NUMBER_EQ ... NUMBER_GE:
        return str_to_double(asked, &x) && str_to_double(value, &y) ? compare_numbers(how, x, y) : UNCLEAR;
    case DATE_EQ ... DATE_GE:
        return parse_date(asked, &x) && parse_date(value, &y) ? compare_numbers(how, x, y) : UNCLEAR;
    case BOOLEAN:
        return asked.size == value.size && strncasecmp(asked.data, value.data, value.size) == 0 ? YES : NO;
    case ADDRESS:
        return in_network(asked, value);
    case IS_NULL:
        assert(!"Null has no values to compare");
        return UNCLEAR;
    case TEXT_EQUAL:
    case TEXT_EQUAL_NOCASE:
    case TEXT_LIKE:
    case ARN_LIKE:
        break;
    }
    if (!expand(&e, asked, context))
        return NO;
    pattern = (struct str){ e.text.data ? e.text.data : "", e.text.size };
    if (how == TEXT_LIKE)
        return match(pattern, e.literal.data, value, false) ? YES : NO;
    if (how == ARN_LIKE)
        return match_arn(pattern, e.literal.data, value) ? YES : NO;
    if (how == TEXT_EQUAL)
        return str_eq(pattern, value) ? YES : NO;
    return pattern.size == value.size && (value.size == 0 || strncasecmp(pattern.data, value.data, value.size) == 0)
               ? YES
               : NO;
}

/* Does this value of the request meet one of the policy's values (or, negated, none)? */
static enum answer meets(const struct comparison *o, const struct doc *asked, const struct doc *value,
                         const struct doc *context)
{
    char value_room[32], asked_room[32];
    struct str v, p;
    bool unclear = false;

    if (!scalar(value, value_room, &v))
        return UNCLEAR;
    for (uint32_t i = 0; i < value_count(asked); i++) {
        enum answer one = scalar(value_at(asked, i), asked_room, &p) ? compare(o->compare, p, v, context) : UNCLEAR;

        if (one == YES)
            return o->negated ? NO : YES;
        unclear |= one == UNCLEAR;
    }
    return unclear ? UNCLEAR : o->negated ? YES : NO;
}

static enum answer key_holds(const struct condition *c, const struct doc *asked, const struct doc *found,
                             const struct doc *context)
{
    uint32_t count = value_count(found);
    bool unclear = false;

    if (found && found->type == DOC_NULL)
        count = 0;
    if (c->comparison->compare == IS_NULL) {
        char room[32];
        struct str text;

        if (value_count(asked) != 1 || !scalar(value_at(asked, 0), room, &text))
            return UNCLEAR;
        return str_is_nocase(text, "true") == (count == 0) ? YES : NO;
    }
    if (count == 0) {
        if (c->if_exists || c->quantifier == FOR_ALL)
            return YES;
        return c->comparison->negated && c->quantifier == ANY_WAY ? YES : NO;
    }
    for (uint32_t i = 0; i < count; i++) {
        enum answer one = meets(c->comparison, asked, value_at(found, i), context);
        /* Of several values without a quantifier, a negated test asks all of them: one that is forbidden is one too
         * many. */
        bool all = c->quantifier == FOR_ALL || (c->quantifier == ANY_WAY && c->comparison->negated);

        if (one == UNCLEAR)
            unclear = true;
        else if (all != (one == YES))
            return one;
        if (i + 1 == count && !unclear)
            return all ? YES : NO;
    }
    return UNCLEAR;
}

/* All operators, and all keys of each, must hold. */
static enum answer conditions_hold(const struct doc *conditions, const struct doc *context)
{
    enum answer all = YES;

    if (!conditions || conditions->type == DOC_NULL)
        return YES;
    if (conditions->type != DOC_MAP)
        return UNCLEAR;
    for (uint32_t i = 0; i < conditions->count; i++) {
        const struct doc *keys = conditions->members[i].value;
        struct condition c;

        if (!parse_comparison(str_of(conditions->members[i].key), &c) || keys->type != DOC_MAP) {
            all = UNCLEAR;
            continue;
        }
        for (uint32_t k = 0; k < keys->count; k++) {
            const struct doc *found = context_get(context, str_of(keys->members[k].key));
            enum answer one = key_holds(&c, keys->members[k].value, found, context);

            if (one == NO)
                return NO;
            if (one == UNCLEAR)
                all = UNCLEAR;
        }
    }
    return all;
}

/* --- Statements --- */

static enum answer any_action(const struct doc *list, const char *action)
{
    for (uint32_t i = 0; i < value_count(list); i++) {
        const struct doc *one = value_at(list, i);

        if (one->type != DOC_STRING)
            return UNCLEAR;
        if (match(one->text, NULL, str_of(action), true))
            return YES;
    }
    return NO;
}

static enum answer any_resource(const struct doc *list, const char *resource, const struct doc *context)
{
    __attribute__((cleanup(expanded_free))) struct expanded e = { 0 };

    for (uint32_t i = 0; i < value_count(list); i++) {
        const struct doc *one = value_at(list, i);

        if (one->type != DOC_STRING)
            return UNCLEAR;
        if (str_is(one->text, "*"))
            return YES;
        if (expand(&e, one->text, context) &&
            match_arn((struct str){ e.text.data ? e.text.data : "", e.text.size }, e.literal.data, str_of(resource)))
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

/* Members of a statement, in its order: there is no second look-up. */
struct statement {
    const struct doc *effect, *action, *not_action, *resource, *not_resource, *condition, *principal, *not_principal;
};

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
    return a == NO ? NO : both(a, conditions_hold(s->condition, context));
}

static bool effect_is(const struct statement *s, const char *effect)
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
            struct statement s = { 0 };
            enum answer applies;

            doc_read(value_at(statements, k), statement_fields, &s);
            if (allowed && effect_is(&s, "Allow"))
                continue;
            applies = statement_applies(&s, q->action, q->resource, q->context);
            if (effect_is(&s, "Allow"))
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
        struct statement s = { 0 };
        enum answer applies;
        bool this_named = false;

        doc_read(value_at(statements, i), statement_fields, &s);
        applies = s.principal       ? any_principal(s.principal, k, &this_named)
                  : s.not_principal ? negate(any_principal(s.not_principal, k, &this_named))
                                    : UNCLEAR;
        if (applies != NO)
            applies = both(applies, statement_applies(&s, k->action, k->resource, k->context));
        if (effect_is(&s, "Allow")) {
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

/* --- Checking what comes in --- */

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

static int check_conditions(const struct doc *conditions, struct err *err)
{
    if (conditions->type != DOC_MAP)
        return malformed(err, "Syntax errors in policy.");
    for (uint32_t i = 0; i < conditions->count; i++) {
        const struct doc *keys = conditions->members[i].value;
        struct condition c;

        if (!parse_comparison(str_of(conditions->members[i].key), &c))
            return fail_code(err, ERR_INVALID, "MalformedPolicyDocument", "Invalid Condition type : %s.",
                             conditions->members[i].key);
        if (keys->type != DOC_MAP)
            return malformed(err, "Syntax errors in policy.");
        for (uint32_t k = 0; k < keys->count; k++) {
            const struct doc *values = keys->members[k].value;
            char room[32];
            struct str text;

            if (!strchr(keys->members[k].key, ':'))
                return malformed(err, "Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc.");
            for (uint32_t v = 0; v < value_count(values); v++)
                if (!scalar(value_at(values, v), room, &text))
                    return malformed(err, "Syntax errors in policy.");
        }
    }
    return 0;
}

static int check_statement(const struct doc *d, enum policy_kind kind, struct err *err)
{
    static const char *const known[] = { "Sid",      "Effect",      "Action",    "NotAction",   "Resource",
                                         "NotResource", "Condition", "Principal", "NotPrincipal" };
    struct statement s = { 0 };

    if (d->type != DOC_MAP)
        return malformed(err, "Syntax errors in policy.");
    for (uint32_t i = 0; i < d->count; i++) {
        bool found = false;

        for (size_t k = 0; k < sizeof known / sizeof *known; k++)
            found |= strcmp(d->members[i].key, known[k]) == 0;
        if (!found)
            return malformed(err, "Syntax errors in policy.");
    }
    doc_read(d, statement_fields, &s);
    if (!s.effect)
        return malformed(err, "Missing required field Effect");
    if (!effect_is(&s, "Allow") && !effect_is(&s, "Deny"))
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
