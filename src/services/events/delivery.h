/* delivery.h - what is to be given to a target: written with the event, carried out after the commit. */
#ifndef SERVICES_EVENTS_DELIVERY_H
#define SERVICES_EVENTS_DELIVERY_H

#include "services/events/input.h"
#include "services/events/rule.h"

int delivery_write(struct bus *, const struct target_of *, const char *text, struct err *err);

/* Something was written: events_deliver() looks. Too often is fine. */
void deliveries_wait(struct engine *);

#endif
