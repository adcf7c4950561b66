/* handover.h - the instances of a job leave one model: the others give what they wrote to the first, which puts it
 * beside its own. All folders are on one host, so nothing is copied.
 *
 *     <first agent>/handover/<host>/model, data   what a host gave
 *     <first agent>/handover/<host>.done          it has given everything */
#ifndef AGENT_HANDOVER_H
#define AGENT_HANDOVER_H

#include <stdbool.h>

#include "agent/order.h"
#include "base/err.h"

/* Whether this instance is the one that uploads the results: the first, or the only one. */
bool handover_leads(const struct order *);

/* Gives /opt/ml/output/data, and /opt/ml/model 'with_model', to the first. Again after a crash is fine. */
int handover_give(const struct order *, const char *ml, bool with_model, struct err *err);

/* Whether all others have given. */
bool handover_complete(const struct order *);

/* Puts what was given into 'ml', the folder of the first, whose own files stay where names clash: that is the user's
 * business, as on AWS. What cannot be put there without following a link is left out. Again after a crash is fine. */
int handover_take(const struct order *, const char *ml, struct err *err);

#endif
