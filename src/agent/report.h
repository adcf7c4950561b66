/* report.h - report.json: what was seen, from the first phase to the current one. Read again by the next agent on this
 * folder, so what a machine has to remember over its own death stands here too, in members that start with '_'. */
#ifndef AGENT_REPORT_H
#define AGENT_REPORT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "doc/doc.h"

struct report;

struct report *report_new(const struct doc *before); /* NULL: nothing was reported yet */
void report_free(struct report *);                   /* NULL is fine */

const char *report_phase(const struct report *); /* "" before the first */
void report_enter(struct report *, const char *phase, const char *message, int64_t at_ms); /* already in it: nothing */

/* Members. Setting marks the report as changed only when the value is another. */
void report_set_text(struct report *, const char *name, const char *value);
void report_set_int(struct report *, const char *name, int64_t value);
void report_set_bool(struct report *, const char *name, bool value);
void report_set_doc(struct report *, const char *name, const struct doc *value); /* copied */
const struct doc *report_doc(const struct report *);

bool report_changed(const struct report *);
const struct doc *report_next(struct report *); /* to be saved: its sequence has grown */
void report_saved(struct report *);             /* it was */

/* Whose fault it is, in AWS's words, for FailureReason and no longer than it shows. What is told of our own files goes
 * to the log. */
const char *report_blame(struct arena *, const struct err *);

#endif
