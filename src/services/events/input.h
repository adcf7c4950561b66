/* input.h - what a target gets of an event: all of it, a part (InputPath), a text of its own (Input), or a text with
 * parts in it (InputTransformer).
 *
 * Paths are "$.detail.instance-id", "$.resources[0]" and "$". In a template <name> stands for a part: inside of quotes
 * its text, outside of them its JSON; a part that the event has not is null there, and nothing inside of quotes. */
#ifndef SERVICES_EVENTS_INPUT_H
#define SERVICES_EVENTS_INPUT_H

#include "base/err.h"
#include "doc/doc.h"

/* ERR_INVALID with AWS's ValidationException. */
int target_input_check(struct arena *, const struct doc *target, struct err *err);

struct target_of {
    const struct doc *target; /* as PutTargets gave it */
    const char *rule_name, *rule_arn;
    int64_t now_ms;
};
const char *target_input(struct arena *, const struct target_of *, const struct doc *event);

#endif
