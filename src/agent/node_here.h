/* node_here.h - who works under an agent's name, asked on the server's own machine. */
#ifndef AGENT_NODE_HERE_H
#define AGENT_NODE_HERE_H

#include <stdbool.h>

#include "base/arena.h"
#include "base/err.h"
#include "doc/doc.h"

/* Waits until no other machine works under the name of the order in 'folder'. False: there is nothing left to do. */
int node_here_claim(struct arena *, const char *folder, const struct doc *order, bool *ret_ours, struct err *err);

#endif
