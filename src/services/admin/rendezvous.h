/* rendezvous.h - where the tunnels of a job's instances are, when these may be on different machines.
 *
 * The tunnel of each instance tells where it is, and is told of the others of its job, nobody else. An agent has one
 * tunnel, ever: another, on whatever machine, would begin to count anew under the same keys (sign/esp.h). */
#ifndef SERVICES_ADMIN_RENDEZVOUS_H
#define SERVICES_ADMIN_RENDEZVOUS_H

#include "base/arena.h"
#include "base/err.h"
#include "doc/doc.h"

/* The order is that of the agent who speaks, and who has shown its token. 'told' is {"tunnel","endpoint"}: which one it
 * is, a word of its own choice, and its "ADDRESS:PORT". Into 'answer' goes {"peers":{host name: endpoint}}, of those
 * that have told. ERR_CONFLICT: another tunnel was here before. Again is harmless. */
int rendezvous(struct arena *, const char *data_folder, const struct doc *order, const struct doc *told,
               struct doc *answer, struct err *err);

#endif
