/* command.h - a program that is run to its end, with what it says. It waits: for threads of their own. */
#ifndef RUN_COMMAND_H
#define RUN_COMMAND_H

#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"

struct command_result {
    int status; /* 0..255; 128 + signal when a signal ended it */
    struct str output, errors;
};

/* arguments[0] is looked for in PATH; NULL-terminated. One that takes longer than limit_ms is killed: ERR_UNAVAILABLE,
 * and what it did nobody knows. ERR_NOT_FOUND: there is no such program. */
int command_run(struct arena *, const char *const *arguments, struct str input, int64_t limit_ms,
                struct command_result *ret, struct err *err);

#endif
