/* network_look.h - a container's network as seen from inside, by this host. */
#ifndef RUN_NETWORK_LOOK_H
#define RUN_NETWORK_LOOK_H

#include "run/network.h"

/* A TCP socket inside the namespace, non-blocking, neither bound nor connected. */
int network_socket(const struct network *, int *ret_fd, struct err *err);

/* Whether the container's interface is there and up, as its neighbours need it. 'words' say what is wrong; "" for a
 * network that has none. */
bool network_stands(struct arena *, const struct network *, const char **ret_words);

/* Whether what its sockets were given to send is still on its way, though whoever gave it has closed them or has ended:
 * it would be lost with the network. */
bool network_undelivered(const struct network *);

#endif
