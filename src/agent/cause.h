/* cause.h - why a program ended, by the last lines that it wrote. */
#ifndef AGENT_CAUSE_H
#define AGENT_CAUSE_H

#include "base/str.h"

/* The line of a Python exception where one stands near the end, else the last line that is not empty; a part of 'text'.
 */
struct str cause_in(struct str text);

/* The same of what stands before the last traceback: a launcher's, who writes it when the program it called has ended.
 */
struct str cause_of_called(struct str log);

#endif
