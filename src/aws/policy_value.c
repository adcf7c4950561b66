/* policy_value.c - the values of policies and contexts. */
#include "aws/policy_impl.h"

#include <inttypes.h>
#include <stdio.h>

bool value_text(const struct doc *d, char room[static 32], struct str *ret)
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

uint32_t value_count(const struct doc *d)
{
    return !d ? 0 : d->type == DOC_LIST ? d->count : 1;
}

const struct doc *value_at(const struct doc *d, uint32_t i)
{
    return d->type == DOC_LIST ? d->items[i] : d;
}

const struct doc *context_get(const struct doc *context, struct str key)
{
    if (!context || context->type != DOC_MAP)
        return NULL;
    for (uint32_t i = 0; i < context->count; i++)
        if (str_is_nocase(key, context->members[i].key))
            return context->members[i].value;
    return NULL;
}
