/* helper.h - a program of ours that works beside an agent. Of one that outlives it, the lock on a file in the agent's
 * folder says whether it lives. */
#ifndef AGENT_HELPER_H
#define AGENT_HELPER_H

#include <sys/types.h>

#include "base/err.h"

struct helper {
    const char *program;
    const char *folder;           /* the agent's: its first argument, and where its log goes */
    const char *const *arguments; /* the others, up to NULL; NULL: none */
    const int *fds;               /* what it gets, from first_fd on */
    int count, first_fd;
};

int helper_start(const struct helper *, pid_t *ret, struct err *err);

/* Ends who holds the lock, whoever started it, and waits for its end. */
int helper_end(const char *lock, struct err *err);

/* In the helper: returns when the folder has no order any more, and the helper is to end. */
void helper_stay(const char *folder);

#endif
