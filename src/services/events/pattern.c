/* pattern.c - event patterns: checked when a rule is made, so that matching never meets a wrong one. */
#include "services/events/pattern.h"

#include <stdlib.h>
#include <string.h>

#include "doc/json.h"
#include "services/events/operator.h"

/* Of a text and of an object, what costs about as much as one comparison. */
enum { A_STEP_BYTES = 64, A_STEP_FIELDS = 16 };

/* Values as they are first, in the order in which matching looks for them; then the operators. */
static int compare_wanted(const void *a, const void *b)
{
    const struct doc *one = *(struct doc *const *)a, *other = *(struct doc *const *)b;

    if (one->type == DOC_MAP || other->type == DOC_MAP)
        return (one->type == DOC_MAP) - (other->type == DOC_MAP);
    return pattern_value_compare(one, other);
}

static int check_list(struct doc *list, const char *field, struct err *err)
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
    qsort(list->items, list->count, sizeof *list->items, compare_wanted);
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

/* --- Matching --- */

/* What one list of the pattern asks of the values of its field: to be one of the first 'plain' of its items, or, where
 * 'o' is there, what that operator says. */
struct question {
    const struct doc *list;
    uint32_t plain;
    const struct event_operator *o;
    const struct doc *operand;
    int64_t price; /* of an operator: how much it compares a value with */
    int64_t *effort;
};

static bool pay(int64_t *effort, int64_t price)
{
    *effort -= price;
    return *effort >= 0;
}

/* {"anything-but": {"prefix": ["a", "b"]}} */
static int64_t price_of(const struct doc *operand)
{
    if (operand->type == DOC_MAP)
        return price_of(operand->members[0].value);
    return operand->type == DOC_LIST ? operand->count : 1;
}

static bool is_listed(const struct doc *list, uint32_t count, const struct doc *value)
{
    uint32_t from = 0, to = count;

    while (from < to) {
        uint32_t middle = from + (to - from) / 2;
        int order = pattern_value_compare(list->items[middle], value);

        if (order == 0)
            return true;
        if (order < 0)
            from = middle + 1;
        else
            to = middle;
    }
    return false;
}

/* A list's items, however deep, are the values of its field; an object is none. */
static bool fits_any(const struct question *q, const struct doc *value, bool *ret_there)
{
    bool fits = false;

    if (!value || value->type == DOC_MAP || !pay(q->effort, 1))
        return false;
    if (value->type != DOC_LIST) {
        int64_t size = value->type == DOC_STRING ? (int64_t)value->text.size : 0;

        *ret_there = true;
        if (!q->o)
            return is_listed(q->list, q->plain, value);
        return pay(q->effort, q->price * (1 + size / A_STEP_BYTES)) && q->o->fits(q->operand, value);
    }
    for (uint32_t i = 0; i < value->count && !fits && *q->effort >= 0; i++)
        fits = fits_any(q, value->items[i], ret_there);
    return fits;
}

static bool fits_list(const struct doc *wanted, const struct doc *value, int64_t *effort)
{
    struct question q = { .list = wanted, .effort = effort };
    bool there = false;

    while (q.plain < wanted->count && wanted->items[q.plain]->type != DOC_MAP)
        q.plain++;
    if (q.plain && fits_any(&q, value, &there))
        return true;
    for (uint32_t i = q.plain; i < wanted->count && *effort >= 0; i++) {
        const struct doc_item *m = &wanted->items[i]->members[0];
        const struct doc *exists = doc_get(wanted->items[i], "exists");

        q.o = event_operator(m->key);
        q.operand = m->value;
        q.price = price_of(m->value);
        there = false;
        if (fits_any(&q, value, &there) || (exists && !exists->boolean && !there && *effort >= 0))
            return true;
    }
    return false;
}

static bool fits_below(const struct doc *pattern, const struct doc *value, int64_t *effort)
{
    if (!value || value->type != DOC_LIST)
        return event_pattern_matches(pattern, value, effort);
    for (uint32_t i = 0; i < value->count && *effort >= 0; i++)
        if (fits_below(pattern, value->items[i], effort))
            return true;
    return value->count == 0 && event_pattern_matches(pattern, NULL, effort);
}

static bool fits_one_of(const struct doc *patterns, const struct doc *event, int64_t *effort)
{
    for (uint32_t i = 0; i < patterns->count && *effort >= 0; i++)
        if (event_pattern_matches(patterns->items[i], event, effort))
            return true;
    return false;
}

bool event_pattern_matches(const struct doc *pattern, const struct doc *event, int64_t *effort)
{
    bool has_fields = event && event->type == DOC_MAP;

    for (uint32_t i = 0; i < pattern->count; i++) {
        const struct doc_item *m = &pattern->members[i];
        const struct doc *value = has_fields ? doc_get(event, m->key) : NULL;

        /* A field is found by looking at those before it. */
        if (!pay(effort, 1 + (has_fields ? event->count / A_STEP_FIELDS : 0)))
            return false;
        if (is_or(m) ? !fits_one_of(m->value, event, effort)
                     : m->value->type == DOC_MAP ? !fits_below(m->value, value, effort)
                                                 : !fits_list(m->value, value, effort))
            return false;
    }
    return *effort >= 0;
}
