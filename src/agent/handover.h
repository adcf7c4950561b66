/* handover.h - the instances of a job leave one model: the others give what they wrote to the first, the leader, which
 * puts it beside its own. On one host nothing is copied; between machines it goes through their mesh, whenever the
 * containers of both ends have ended and whichever agent is killed meanwhile.
 *
 *     <first agent>/handover/<host>/model, data   what a host gave
 *     <first agent>/handover/<host>.done          it has given everything
 *     <first agent>/handover/<host>.part          what is on its way from another machine */
#ifndef AGENT_HANDOVER_H
#define AGENT_HANDOVER_H

#include <stdbool.h>

#include "agent/order.h"
#include "agent/transfer.h"
#include "agent/uplink.h"
#include "base/err.h"

/* TCP, at the leader's address in the mesh. */
enum { HANDOVER_PORT = 7338 };

struct handover_listener;

/* Whether this instance is the one that uploads the results: the first, or the only one. */
bool handover_leads(const struct order *);

/* Gives /opt/ml/output/data, and /opt/ml/model 'with_model', to the first. Again after a crash is fine. ERR_CONFLICT:
 * it was cancelled, or the instance was taken back while another machine was waited for. */
int handover_give(const struct transfer *, struct uplink *, bool with_model, struct err *err);

/* By the first, before its container starts: hears those that are elsewhere. *ret is NULL when all are here. */
int handover_listen(const struct order *, struct uplink *, struct handover_listener **ret, struct err *err);

/* Whether all others have given. */
bool handover_complete(const struct order *);

/* Puts what was given into 'ml', the folder of the first, whose own files stay where names clash: that is the user's
 * business, as on AWS. What cannot be put there without following a link is left out. Again after a crash is fine. */
int handover_take(const struct order *, const char *ml, struct err *err);

#endif
