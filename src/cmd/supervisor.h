/* supervisor.h - keeps the control plane and the data plane alive. */
#ifndef CMD_SUPERVISOR_H
#define CMD_SUPERVISOR_H

#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"

struct supervisor_config {
    const char *data_folder, *run_folder;
    const char *address;
    int port;
    const char *log_folder; /* the programs' logs; NULL: our standard error */
    int socket;             /* that listens there already, and is the supervisor's from here on; -1: none */
};

/* The listening socket of the server that runs there, for the one that comes after it: clients wait in its queue
 * meanwhile. -1: there is none. */
int supervisor_socket(struct arena *, const char *run_folder);

/* Returns after SIGTERM or SIGINT, when both programs have ended; what they had started in containers goes on. Fails
 * only before anything was started. 'ready' is called in a process of its own, with NULL when both answer, or with why
 * they do not; and in this one when a program ends at each start. */
int supervisor_run(struct arena *, const struct supervisor_config *, void (*ready)(const void *data, const char *why),
                   const void *data, struct err *err);

#endif
