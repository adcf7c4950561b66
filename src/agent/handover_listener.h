/* handover_listener.h - where the leader of a job hears the others that have something to give, on threads of its own.
 *
 * It should be there before the container is, which then cannot take the port. One that has it all the same, because
 * the agent was away for a moment, is waited for: it ends before anything is needed. Every container of the job can
 * knock here. What it says is worth nothing without the token, and it holds up nobody but the agent of its own
 * instance, which comes when it has ended. */
#ifndef AGENT_HANDOVER_LISTENER_H
#define AGENT_HANDOVER_LISTENER_H

#include "agent/order.h"
#include "base/err.h"

struct handover_listener_options {
    const char *folder;           /* where agent/handover.h says; it is there */
    const struct order *order;    /* of the leader, with its tunnel's secret; lives longer */
    const char *const *addresses; /* of its hosts, in their order */

    /* A socket that listens at the leader's address. */
    int (*listen)(void *data, const char *address, int *ret_fd, struct err *err);
    void *data;
};

struct handover_listener;

/* What has come is seen in the folder. */
int handover_listener_new(const struct handover_listener_options *, struct handover_listener **ret, struct err *err);
void handover_listener_free(struct handover_listener *); /* ends what is on its way */

#endif
