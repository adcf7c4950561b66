/* lines.h - the container's output as log events: where a line ends, how it is written, which metrics it carries. */
#ifndef AGENT_LINES_H
#define AGENT_LINES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "doc/doc.h"

enum { LINE_MAX_BYTES = 65536 };

/* Takes the next line off the front of *text, without its end of line. At the end of the output the last one needs
 * none. A line that is too long comes in pieces. False: no whole line is there yet. */
bool line_next(struct str *text, bool ended, struct str *ret);

/* As SageMaker's log pipe writes it: control characters as #ooo (a TAB is #011), what is no UTF-8 replaced. */
void line_escape(struct buf *, struct str line);

/* MetricDefinitions: [{name, regex}], searched in each escaped line, behind its last carriage return (#015) first;
 * group 1 is the value. One that is no expression is never found. */
struct metrics;
struct metrics *metrics_new(const struct doc *definitions);
void metrics_free(struct metrics *); /* NULL is fine */
int metrics_count(const struct metrics *);
const char *metrics_name(const struct metrics *, int i);
bool metrics_find(struct metrics *, int i, struct str line, double *ret);

#endif
