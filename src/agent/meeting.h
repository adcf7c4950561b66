/* meeting.h - how the tunnels of a job's instances find each other, on whatever machines they are: each tells the
 * server where it is, and asks for the others until they have come. */
#ifndef AGENT_MEETING_H
#define AGENT_MEETING_H

#include "agent/order.h"
#include "net/address.h"

struct meeting {
    const struct order *order;
    const char *endpoint; /* ours, ADDRESS:PORT */
    void (*found)(void *data, const char *host, const struct sockaddr_storage *); /* once or more often for each */
    void *data;
};

/* Returns when all others are found, however long they and the server take. -1: we are not let in. ERR_CONFLICT:
 * another tunnel was here before, or another place has our name. */
int meeting(const struct meeting *, struct err *err);

#endif
