/* messenger.h - what an agent tells the control plane by its admin socket, for a thread that may wait. */
#ifndef AGENT_MESSENGER_H
#define AGENT_MESSENGER_H

#include "agent/order.h"

struct messenger;

/* The order lives longer. cancel_fd: when it becomes readable, everything ends at once; not owned. */
struct messenger *messenger_new(const struct order *, int cancel_fd);
void messenger_free(struct messenger *); /* NULL is fine */

/* Until the server has taken it; -1: cancelled. A message that it refuses is dropped: it would refuse it for ever. */
int messenger_tell(struct messenger *, const char *what, const char *body, struct err *err);

/* Look at me. Tried once: a poke that is lost costs time, never truth. */
void messenger_poke(struct messenger *);

#endif
