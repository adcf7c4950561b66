/* node_words.h - what comes from an agent on another machine. It says what it likes of its own job; but who reads it
 * counts with its numbers, and reads a report again at each look. */
#ifndef SERVICES_ADMIN_NODE_WORDS_H
#define SERVICES_ADMIN_NODE_WORDS_H

#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "doc/doc.h"

/* Puts right what cannot be: nothing has happened before the agent's order was written, or after now, whatever the
 * clock of its machine says; and of the integers no sum overflows. */
void node_words_bound(struct doc *body, int64_t ordered_ms, int64_t now_ms);

/* ERR_INVALID: it is no report; ERR_LIMIT: it is larger than any. */
int node_words_check_report(struct arena *, const struct doc *report, struct err *err);

#endif
