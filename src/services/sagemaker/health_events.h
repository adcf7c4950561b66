/* health_events.h - what was decided of the health of nodes and jobs, each with what it was decided on.
 *
 * They are events of EventBridge, source "sagebrush.health", and the newest of them are kept whether or not anybody has
 * a rule for them: table core_health_events, by their number: {at_ms, what, resource, detail, left_out}. */
#ifndef SERVICES_SAGEMAKER_HEALTH_EVENTS_H
#define SERVICES_SAGEMAKER_HEALTH_EVENTS_H

#include "engine/engine.h"

enum { HEALTH_EVENTS_KEPT = 1000 };

/* Inside an operation or a pass, and told and kept with it. Of a job's: "job-name" and "nodes" (by host, where it
 * stands) are put before the detail; NULL: it is about a node alone, which the detail names. */
int health_tell(struct arena *, struct engine *, const char *what, const struct row *job, const struct doc *detail,
                struct err *err);

/* [{number, at_ms, what, resource, detail, left_out}] from the oldest on, a page: those after the number 'after', 0:
 * from the start. 'node': those about it alone; NULL: all. *ret_after: what the next page is after; 0: this was the
 * last. */
int health_events(struct arena *, struct engine *, const char *node, int64_t after, struct doc **ret,
                  int64_t *ret_after, struct err *err);

#endif
