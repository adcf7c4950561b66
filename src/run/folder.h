/* folder.h - the files of agents/<name>/, by which a runtime and an agent talk (docs/ARCHITECTURE.md, protocol 2). */
#ifndef RUN_FOLDER_H
#define RUN_FOLDER_H

#include <stdbool.h>

#include "base/arena.h"
#include "base/err.h"
#include "doc/doc.h"

#define FOLDER_ORDER  "order.json"
#define FOLDER_WARM   "warm.json" /* an order that may come, or one like it */
#define FOLDER_STOP   "stop.json"
#define FOLDER_REBALANCE "rebalance.json"
#define FOLDER_REPORT "report.json"
#define FOLDER_AGENT  "agent.pid" /* locked by the agent as long as it lives */
#define FOLDER_PLACE  "place.json" /* {"place"}: who works under the name, where that may be other machines */
#define FOLDER_LOG    "agent.log"
#define FOLDER_OUTPUT "stdout"

#define PLACE_SERVER "server" /* an agent on the server's own machine */

/* The persistent cache of a warm pool: below /opt/ml while a container has it, and here from its end on until the next
 * instance takes it. */
#define FOLDER_CACHE    "cache"
#define FOLDER_ML_CACHE "sagemaker/warmpoolcache"

/* *ret is NULL when there is no such file, or when a power failure left it torn. */
int folder_read(struct arena *, const char *folder, const char *file, const struct doc **ret, struct err *err);

/* Replaces the file whole. 'durable' waits for the disk (7 ms on a slow one): only for what must survive a power
 * failure. */
int folder_write(struct arena *, const char *folder, const char *file, const struct doc *, bool durable,
                 struct err *err);

#endif
