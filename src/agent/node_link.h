/* node_link.h - Unix sockets of a node that lead to the server's public port, through TLS.
 *
 * Bytes pass as they are: requests are signed, or carry the node's own credential. On a thread of its own. */
#ifndef AGENT_NODE_LINK_H
#define AGENT_NODE_LINK_H

#include <stdint.h>

#include "base/err.h"

struct node_link;

struct node_link_options {
    const char *address; /* the server's, numeric */
    int port;
    const char *authority; /* PEM: whose certificate it has */
    const char *socket_path;  /* the agent's: closed until node_link_open_until() */
    const char *control_path; /* always open */
};

int node_link_new(const struct node_link_options *, struct node_link **ret, struct err *err);
void node_link_free(struct node_link *); /* NULL is fine */

/* Until that boot time the agent's connections pass; then they are cut, and new ones are closed at once. */
void node_link_open_until(struct node_link *, int64_t boot_ms);

#endif
