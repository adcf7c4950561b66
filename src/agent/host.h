/* host.h - the world of a real agent: this host's containers, threads for what takes time, the loop that brings it
 * together. */
#ifndef AGENT_HOST_H
#define AGENT_HOST_H

#include "agent/order.h"
#include "agent/world.h"
#include "net/loop.h"

struct host;

struct host_options {
    struct loop *loop;
    const char *folder;          /* absolute */
    const struct order *order;   /* lives longer */
    bool fresh;                  /* the container was not started yet: it will be */
    const struct network *network; /* made before there was an order; NULL: it was not */
    void (*happened)(void *data); /* on the loop: something is to be looked at */
    void *data;
};

int host_new(const struct host_options *, struct host **ret, struct err *err);
void host_free(struct host *); /* NULL is fine; the container goes on */
struct world *host_world(struct host *);

/* Nobody will ever ask again: ends the container and removes it, without a report. */
int host_abandon(struct host *, struct err *err);

#endif
