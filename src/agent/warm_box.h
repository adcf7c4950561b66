/* warm_box.h - an agent without an order: it makes ready for one like that in warm.json, and waits.
 *
 * What it makes - the network, the root, a container that waits for its command - hangs on the agent's name, so what
 * comes after the wait finds it as it would find what a killed agent has left, and does without what does not fit. */
#ifndef AGENT_WARM_BOX_H
#define AGENT_WARM_BOX_H

#include "agent/order.h"
#include "net/loop.h"
#include "run/network.h"

struct warm_box;

/* Makes it, and stops the loop when the wait is over. What cannot be made ready is only logged. ERR_NOT_FOUND: there is
 * nothing to wait for either. */
int warm_box_new(struct loop *, const char *folder, struct warm_box **ret, struct err *err);
void warm_box_free(struct warm_box *); /* NULL is fine; what was made stays */

void warm_box_look(struct warm_box *); /* something in the folder may have changed */
bool warm_box_over(const struct warm_box *);
bool warm_box_ordered(const struct warm_box *); /* after the wait: there is an order; else it was removed again */

/* Made already, if it is one for that order: else NULL. Lives as long as the box. */
const struct network *warm_box_network(const struct warm_box *, const struct order *);

#endif
