/* tunnel.h - sagebrush-tunnel, the program that seals what the instances of a job send each other, kept beside the
 * agent: for EnableInterContainerTrafficEncryption, and where the instances may be on different machines.
 *
 * It is a process of its own, so that it goes on when the agent is killed, and another agent finds it. It is started
 * once: when it dies, its counters die with it, and under the same keys others must never be begun. The device dies
 * with it too, so that nothing leaves the container in clear text: the attempt has failed. */
#ifndef AGENT_TUNNEL_H
#define AGENT_TUNNEL_H

#include "agent/order.h"
#include "net/loop.h"
#include "run/network.h"

#define TUNNEL_LOCK   "tunnel.pid"    /* there since it was started, locked as long as it lives */
#define TUNNEL_FAILED "tunnel.failed" /* why it ended, for FailureReason, where it knows */

enum { TUNNEL_DEVICE_FD = 3, TUNNEL_SOCKET_FD = 4 };

struct tunnel;

struct tunnel_options {
    const struct order *order;
    const char *folder;
    const struct network *network; /* of the container */
    const char *address;           /* of the container among the instances */
    /* Of the others, in the order of the job's hosts without this one. */
    const struct tunnel_peer {
        const char *address;
        const char *host; /* this machine's end of its network; "": it may be on another one, and will be found */
    } *peers;
    int count;
};

bool tunnel_wanted(const struct order *);

/* Starts it, or finds it started; one that has died is not started again. */
int tunnel_new(const struct tunnel_options *, struct tunnel **ret, struct err *err);
void tunnel_free(struct tunnel *); /* it goes on; NULL is fine */

/* From now on 'died' is called, on the loop, when it has. Again is harmless, and so is NULL. */
void tunnel_watch(struct tunnel *, struct loop *, void (*died)(void *data), void *data);

/* Why the job cannot go on; "" when it can. NULL is fine. */
const char *tunnel_failed(const struct tunnel *);

/* Whether the one of that agent has died; for any thread. */
bool tunnel_is_gone(const char *folder);

/* Ends it, whoever started it. */
int tunnel_remove(const char *folder, struct err *err);

#endif
