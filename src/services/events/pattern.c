/* pattern.c - event patterns: checked when a rule is made, so that matching never meets a wrong one. */
#include "services/events/pattern.h"

#include <string.h>

#include "doc/json.h"
#include "services/events/operator.h"

static int check_list(const struct doc *list, const char *field, struct err *err)
{
    if (!list->count)
        return pattern_wrong(err, "Empty arrays are not allowed");
    for (uint32_t i = 0; i < list->count; i++) {
        const struct doc *item = list->items[i];
        const struct event_operator *o;

        if (item->type == DOC_LIST)
            return pattern_wrong(err, "Match value must be String, number, true, false, or null");
        if (item->type != DOC_MAP)
            continue;
        if (item->count != 1)
            return pattern_wrong(err, "Only one key allowed in match expression");
        o = event_operator(item->members[0].key);
        if (!o)
            return fail_code(err, ERR_INVALID, "InvalidEventPatternException",
                             "Event pattern is not valid. Reason: Unrecognized match type %s", item->members[0].key);
        if (o->check(item->members[0].value, o->name, err) < 0)
            return -1;
    }
    return 0;
}

/* A field may be called "$or": it is the operator when its list has two patterns or more. */
static bool is_or(const struct doc_item *m)
{
    if (strcmp(m->key, "$or") != 0 || m->value->type != DOC_LIST || m->value->count < 2)
        return false;
    for (uint32_t i = 0; i < m->value->count; i++)
        if (m->value->items[i]->type != DOC_MAP)
            return false;
    return true;
}

static int check(const struct doc *pattern, struct err *err)
{
    if (!pattern->count)
        return pattern_wrong(err, "Empty objects are not allowed");
    for (uint32_t i = 0; i < pattern->count; i++) {
        const struct doc_item *m = &pattern->members[i];

        if (is_or(m)) {
            for (uint32_t j = 0; j < m->value->count; j++)
                if (check(m->value->items[j], err) < 0)
                    return -1;
        } else if (m->value->type == DOC_MAP) {
            if (check(m->value, err) < 0)
                return -1;
        } else if (m->value->type != DOC_LIST) {
            return fail_code(err, ERR_INVALID, "InvalidEventPatternException",
                             "Event pattern is not valid. Reason: \"%s\" must be an object or an array", m->key);
        } else if (check_list(m->value, m->key, err) < 0) {
            return -1;
        }
    }
    return 0;
}

int event_pattern_parse(struct arena *a, struct str text, struct doc **ret, struct err *err)
{
    struct doc *pattern;
    struct err why;

    if (json_parse(a, text, &pattern, &why) < 0)
        return fail_code(err, ERR_INVALID, "InvalidEventPatternException", "Event pattern is not valid. Reason: %s",
                         why.text);
    if (pattern->type != DOC_MAP)
        return pattern_wrong(err, "Filter is not an object");
    if (check(pattern, err) < 0)
        return -1;
    *ret = pattern;
    return 0;
}

static bool fits_value(const struct doc *wanted, const struct doc *value)
{
    if (wanted->type != DOC_MAP)
        return pattern_value_is(wanted, value);
    return event_operator(wanted->members[0].key)->fits(wanted->members[0].value, value);
}

/* A list's items, however deep, are the values of its field; an object is none. */
static bool fits_any(const struct doc *wanted, const struct doc *value, bool *ret_there)
{
    bool fits = false;

    if (!value || value->type == DOC_MAP)
        return false;
    if (value->type != DOC_LIST) {
        *ret_there = true;
        return fits_value(wanted, value);
    }
    for (uint32_t i = 0; i < value->count && !fits; i++)
        fits = fits_any(wanted, value->items[i], ret_there);
    return fits;
}

static bool fits_list(const struct doc *wanted, const struct doc *value)
{
    for (uint32_t i = 0; i < wanted->count; i++) {
        const struct doc *one = wanted->items[i], *exists = one->type == DOC_MAP ? doc_get(one, "exists") : NULL;
        bool there = false;

        if (fits_any(one, value, &there) || (exists && !exists->boolean && !there))
            return true;
    }
    return false;
}

static bool fits_below(const struct doc *pattern, const struct doc *value)
{
    if (!value || value->type != DOC_LIST)
        return event_pattern_matches(pattern, value);
    for (uint32_t i = 0; i < value->count; i++)
        if (fits_below(pattern, value->items[i]))
            return true;
    return value->count == 0 && event_pattern_matches(pattern, NULL);
}

static bool fits_one_of(const struct doc *patterns, const struct doc *event)
{
    for (uint32_t i = 0; i < patterns->count; i++)
        if (event_pattern_matches(patterns->items[i], event))
            return true;
    return false;
}

bool event_pattern_matches(const struct doc *pattern, const struct doc *event)
{
    for (uint32_t i = 0; i < pattern->count; i++) {
        const struct doc_item *m = &pattern->members[i];
        const struct doc *value = event && event->type == DOC_MAP ? doc_get(event, m->key) : NULL;

        if (is_or(m) ? !fits_one_of(m->value, event)
                     : m->value->type == DOC_MAP ? !fits_below(m->value, value) : !fits_list(m->value, value))
            return false;
    }
    return true;
}
