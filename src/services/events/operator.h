/* operator.h - what an event pattern asks of one value: {"prefix": "ml."}, {"numeric": [">", 0]} and the like. */
#ifndef SERVICES_EVENTS_OPERATOR_H
#define SERVICES_EVENTS_OPERATOR_H

#include "base/err.h"
#include "doc/doc.h"

struct event_operator {
    const char *name;
    int (*check)(const struct doc *operand, const char *name, struct err *err); /* when the pattern is read */
    bool (*fits)(const struct doc *operand, const struct doc *value);           /* of a checked operand */
    bool negated_too; /* stands in anything-but, with one text or a list of them */
};

const struct event_operator *event_operator(const char *name); /* NULL: there is none */

bool pattern_value_is(const struct doc *, const struct doc *); /* 300 is 300.0 */
int pattern_value_compare(const struct doc *, const struct doc *); /* of scalars; 0 where pattern_value_is() */

/* -1, with AWS's InvalidEventPatternException. */
int pattern_wrong(struct err *, const char *why);

#endif
