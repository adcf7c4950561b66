/* network.h - the network of one container: a namespace with a name, a pair of interfaces, addresses from a pool.
 *
 * Everything hangs on the name, so that a second call finds what the first one made. The reservations stand below
 * /run/sagebrush, one place for all data directories of this host, and go with a reboot as the interfaces do. */
#ifndef RUN_NETWORK_H
#define RUN_NETWORK_H

#include <stdbool.h>

#include "base/arena.h"
#include "base/err.h"

enum network_mode {
    NETWORK_NONE,  /* loopback only: an isolated training job */
    NETWORK_LOCAL, /* this host can reach it, it reaches nobody: an isolated endpoint */
    NETWORK_PEERS, /* the same, but for those of network_join(): an isolated training job of several instances */
    NETWORK_OUT,   /* the outside by NAT; of other containers only those of network_join() */
    NETWORK_SECOND, /* the outside as well, but as eth1: eth0 is left to somebody else */
};

struct network {
    const char *namespace_path; /* for config.json and network_listen */
    const char *address;        /* the container's, "" with NETWORK_NONE */
    const char *gateway;        /* this host's end, "" with NETWORK_NONE */
    const char *interface;      /* the container's end, "" with NETWORK_NONE */
};

int network_setup(struct arena *, const char *run_folder, const char *name, enum network_mode, struct network *ret,
                  struct err *err);

/* What other containers of this host have, or will have: a peer that is not there yet has its address reserved; it gets
 * it when it is set up, and network_remove gives it back also when that never came. ret_peers: one for each. */
int network_meet(struct arena *, const char *run_folder, const char *const *peers, int count,
                 struct network *ret_peers, struct err *err);

/* The same, after network_setup of 'name': and it and its peers may talk to each other from now on. */
int network_join(struct arena *, const char *run_folder, const char *name, const char *const *peers, int count,
                 struct network *ret_peers, struct err *err);

/* Not there is fine. */
int network_remove(struct arena *, const char *run_folder, const char *name, struct err *err);

/* A listening socket bound inside the namespace; works from any thread and changes nothing for it. */
int network_listen(const struct network *, const char *address, int port, int *ret_fd, struct err *err);

/* Runs a function inside the namespace, on a thread of its own. */
int network_inside(const struct network *, int (*run)(void *data, struct err *err), void *data, struct err *err);

#endif
