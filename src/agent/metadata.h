/* metadata.h - the instance metadata service of a container, at EC2's address and in its words: with a token (IMDSv2)
 * or without. The credentials of the job's role are for those with a token: a web server in the container that fetches
 * whatever address it is given tells nobody the role's. What spot tools look for is there: spot/instance-action and
 * events/recommendations/rebalance, from the moment the capacity is taken back (a recommendation may come before);
 * until then they are not found.
 *
 * Source of paths and forms: "Instance metadata categories" and "Spot Instance interruption notices" in the EC2
 * guide. */
#ifndef AGENT_METADATA_H
#define AGENT_METADATA_H

#include "agent/order.h"
#include "base/clock.h"
#include "net/loop.h"
#include "run/network.h"

struct metadata;

/* The order and 'folder', the agent's, are borrowed. */
int metadata_new(struct loop *, struct clock *, const struct order *, const char *folder, const struct network *,
                 struct metadata **ret, struct err *err);
void metadata_free(struct metadata *); /* NULL is fine */

#endif
