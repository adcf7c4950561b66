/* cache.h - the persistent cache of a warm pool: a folder that one job leaves to the next on the same instance. */
#ifndef AGENT_CACHE_H
#define AGENT_CACHE_H

#include "agent/order.h"

/* Before the start: what the job before has left, or an empty folder, is in /opt/ml ('ml'). Of a job that has none,
 * nothing. Again is fine. */
int cache_place(struct arena *, const struct order *, const char *folder, const char *ml, struct err *err);

/* At the end, before /opt/ml is removed: it stays in the agent's folder for the next. Again is fine. */
int cache_keep(struct arena *, const struct order *, const char *folder, const char *ml, struct err *err);

#endif
