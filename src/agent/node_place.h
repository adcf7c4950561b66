/* node_place.h - what one agent has on the disk of a node that is another machine than the server.
 *
 *     <root>/images/            layers and templates, shared by all agents of the node: they stay
 *     <root>/agents/NAME/       the agent's folder, as docs/ARCHITECTURE.md describes it, with an order of this node's
 *     <root>/agents/NAME.node   held by the sagebrush-node that works on it
 *     <root>/agents/NAME.keep   held by its keeper, which clears the place when nobody holds NAME.node any more
 *
 * <root> is <slurm-scratch>/<8 hex of the path of the server's data directory>. Only locks of this machine count. */
#ifndef AGENT_NODE_PLACE_H
#define AGENT_NODE_PLACE_H

#include <stdbool.h>

#include "base/arena.h"
#include "base/err.h"
#include "doc/doc.h"

struct node_place {
    const char *name; /* of the agent */
    const char *root, *agents, *folder, *lock, *keeper, *run_folder;
    const char *socket_path, *control_path; /* to the server */
};

/* Where it is; 'order' is the server's. */
struct node_place node_place_of(struct arena *, const char *root, const char *name, const char *run_folder);
const char *node_place_root(struct arena *, const struct doc *order);

/* Waits until nobody else works on it. */
int node_place_claim(const struct node_place *, int *ret_fd, struct err *err);

/* Its folder and order, as they were left or new. ret_instance: what tells this place from those of other nodes, as
 * long as it is there. */
int node_place_make(struct arena *, const struct node_place *, const struct doc *order, const char *boot_id,
                    const char **ret_instance, struct err *err);

/* Kills and removes everything of it. The lock has to be ours; it goes with the rest. */
int node_place_clear(struct arena *, const struct node_place *, struct err *err);

/* Clears the places of agents that ended, with their keepers, when the node did. */
void node_place_sweep(struct arena *, const struct node_place *ours);

/* Starts who clears the place after a kill; to be called with the lock held. */
int node_place_start_keeper(struct arena *, const struct node_place *, struct err *err);

/* The keeper itself: returns when the place is gone. */
int node_place_keep(struct arena *, const struct node_place *, struct err *err);

#endif
