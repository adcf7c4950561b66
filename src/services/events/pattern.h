/* pattern.h - event patterns of EventBridge: which events a rule wants.
 *
 *     {"source": ["aws.sagemaker"], "detail": {"TrainingJobStatus": ["Failed", {"prefix": "Stop"}]}}
 *
 * Every field that the pattern names must fit, and fits when one of its list does: a value as it is (string, number,
 * true, false, null), or {"prefix"}, {"suffix"}, {"equals-ignore-case"}, {"wildcard"}, {"anything-but"}, {"numeric"},
 * {"exists"}, {"cidr"}. "$or" takes a list of patterns. A field whose value is a list in the event fits when one of its
 * items does; a pattern below a list of objects must fit one of them as a whole.
 *
 * Learned from: "Creating Amazon EventBridge event patterns" and "Comparison operators for use in event patterns" in
 * the EventBridge user guide. Letters are compared without case in ASCII only. */
#ifndef SERVICES_EVENTS_PATTERN_H
#define SERVICES_EVENTS_PATTERN_H

#include "base/err.h"
#include "doc/doc.h"

/* ERR_INVALID with AWS's InvalidEventPatternException. */
int event_pattern_parse(struct arena *, struct str text, struct doc **ret, struct err *err);

/* *effort falls by about one for each comparison: an event may have very many values, and a rule ask for very much of
 * each. Below 0 it was given up, and false says nothing. */
enum { EVENT_EFFORT = 1 << 18 }; /* some tens of milliseconds at the worst */
bool event_pattern_matches(const struct doc *pattern, const struct doc *event, int64_t *effort);

#endif
