/* uplink.h - the network of one instance: its address, and those of the other hosts of its job. */
#ifndef AGENT_UPLINK_H
#define AGENT_UPLINK_H

#include <pthread.h>

#include "agent/order.h"
#include "agent/tunnel.h"
#include "run/network.h"

/* Zeroed but for these, and 'network' where it was made before, then uplink_init(). */
struct uplink {
    const struct order *order; /* lives longer, as does the folder */
    const char *folder;        /* of the agent */
    bool process;              /* the process driver: no network of its own */

    /* its own; to be read after uplink_connect() */
    struct network network; /* no address: there is none yet */
    int port;               /* where the container of an endpoint listens */
    struct arena *arena;
    const struct tunnel_peer *peers; /* the other hosts of the job, in its order */
    struct tunnel *tunnel;           /* to them; NULL: none */
    const char *const *peer_lines; /* of /etc/hosts */
    int peer_count;
    bool connected;
    struct early {
        pthread_t thread;
        bool running;
        struct arena *arena;
        int result;
        struct network network;
        struct err err;
    } early; /* the network, made while the rest is prepared */
};

void uplink_init(struct uplink *);
void uplink_end(struct uplink *);

/* The container will be started soon: its network is made on a thread from now on. uplink_wait() waits for it. */
void uplink_early(struct uplink *);
void uplink_wait(struct uplink *);

/* The address is there after it. Again is harmless. */
int uplink_connect(struct uplink *, struct err *err);

/* The lines of /etc/hosts for the hosts of the job, NULL at the end. */
const char *const *uplink_hosts(const struct uplink *, struct arena *);

#endif
