/* events.h - EventBridge, as the rest of the house sees it.
 *
 * An event is matched against the rules of its account and region in the transaction that it tells of; for each
 * target that is to get it, a delivery is written there too. Deliveries are carried out after the commit, in their
 * order, and again after a crash, under the same id: nothing is told that was not saved, and what was saved is told.
 */
#ifndef SERVICES_EVENTS_EVENTS_H
#define SERVICES_EVENTS_EVENTS_H

#include "engine/engine.h"

extern const struct service_ops events_ops;

/* What happened. Ours, beside those that AWS has: source "sagebrush.health", "sagebrush.fleet". */
struct telling {
    const char *source;       /* "aws.ec2" */
    const char *detail_type;  /* "EC2 Spot Instance Interruption Warning" */
    const char *account, *region; /* NULL: the defaults */
    const char *resource;     /* an ARN; NULL: about none */
    const struct doc *detail; /* a map; NULL: empty */
};

/* Inside an operation or a pass. Costs next to nothing while nobody has a rule. */
int events_tell(struct arena *, struct engine *, const struct telling *, struct err *err);

/* For engine_world.changed: the state changes of resources. */
int events_of_change(struct engine *, struct arena *, const struct row *before, const struct row *after,
                     struct err *err);

/* Carries out some of what is committed, in a bracket of its own. Call it between a commit and whatever is written
 * next, until platform.events_delivered; set that to false when the commit after it fails. */
int events_deliver(struct engine *, struct err *err);

#endif
