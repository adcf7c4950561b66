/* policy_condition.c - the Condition of a statement: operators, and what they compare. */
#include "aws/policy_impl.h"

#include <arpa/inet.h>
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"

enum compare {
    TEXT_EQUAL, TEXT_EQUAL_NOCASE, TEXT_LIKE, ARN_LIKE, BOOLEAN, ADDRESS,
    NUMBER_EQ, NUMBER_LT, NUMBER_LE, NUMBER_GT, NUMBER_GE,
    DATE_EQ, DATE_LT, DATE_LE, DATE_GT, DATE_GE,
    IS_NULL,
};

struct comparison {
    const char *name;
    enum compare compare;
    bool negated;
};

static const struct comparison comparisons[] = {
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
static bool parse_operator(struct str name, struct condition *ret)
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
    _cleanup_expanded_ struct expanded e = { 0 };
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
    if (!expanded_set(&e, asked, context))
        return NO;
    pattern = (struct str){ e.text.data ? e.text.data : "", e.text.size };
    if (how == TEXT_LIKE)
        return expanded_matches(&e, value) ? YES : NO;
    if (how == ARN_LIKE)
        return expanded_matches_arn(&e, value) ? YES : NO;
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

    if (!value_text(value, value_room, &v))
        return UNCLEAR;
    for (uint32_t i = 0; i < value_count(asked); i++) {
        enum answer one = value_text(value_at(asked, i), asked_room, &p) ? compare(o->compare, p, v, context) : UNCLEAR;

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

        if (value_count(asked) != 1 || !value_text(value_at(asked, 0), room, &text))
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

enum answer policy_conditions_hold(const struct doc *conditions, const struct doc *context)
{
    enum answer all = YES;

    if (!conditions || conditions->type == DOC_NULL)
        return YES;
    if (conditions->type != DOC_MAP)
        return UNCLEAR;
    for (uint32_t i = 0; i < conditions->count; i++) {
        const struct doc *keys = conditions->members[i].value;
        struct condition c;

        if (!parse_operator(str_of(conditions->members[i].key), &c) || keys->type != DOC_MAP) {
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

bool policy_operator_known(const char *name)
{
    struct condition ignored;

    return parse_operator(str_of(name), &ignored);
}
