/* tables.h - every operation that is here, put together from the services: what the server runs and what
 * `sagebrush operations` counts. */
#ifndef CMD_TABLES_H
#define CMD_TABLES_H

#include "engine/kind.h"

extern const struct service_ops *const service_tables[]; /* NULL-terminated: run by the control plane */
extern const struct service_ops *const direct_tables[];  /* NULL-terminated: answered by the data plane itself */

const struct kind *const *all_kinds(struct arena *); /* NULL-terminated: what the control plane reconciles */

#endif
