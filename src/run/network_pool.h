/* network_pool.h - who has which of the containers' addresses, on this host.
 *
 * A /30 for each container out of 10.213.0.0/16: index i has this host at .1 and the container at .2 of
 * 10.213.0.0 + 4 i. The host's end is called sgb<i>, or sgi<i> for an isolated container. */
#ifndef RUN_NETWORK_POOL_H
#define RUN_NETWORK_POOL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"

#define NETWORK_FOLDER "/run/sagebrush/net"

enum { NETWORK_BASE = 10 << 24 | 213 << 16 };

/* One at a time on this host: reservations, and the rules that the first one makes and the last one removes. Held until
 * the descriptor is closed. */
int network_pool_lock(int *ret_fd, struct err *err);

/* The same address for the same owner until it is given back. Takes the lock. ERR_LIMIT: none is free. */
int network_pool_reserve(const char *owner, int *ret_index, struct err *err);

/* Under the lock. The index that 'owner' has reserved, -1: none; *ret_others: how many others have one. */
int network_pool_find(const char *owner, int *ret_others);
int network_pool_give_back(int index, struct err *err);

/* Whether any container has an interface here, also one of another root on this machine: their reservations stand
 * elsewhere, and they go through the same rules. */
bool network_pool_in_use(void);

uint32_t network_pool_address(int index); /* the container's; this host's end is the one before it */
const char *network_dotted(struct arena *, uint32_t address);

#endif
