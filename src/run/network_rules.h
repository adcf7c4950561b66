/* network_rules.h - what containers may reach, and who may reach them: rules of nftables, the same for all of them but
 * for the pairs that may talk to each other. */
#ifndef RUN_NETWORK_RULES_H
#define RUN_NETWORK_RULES_H

#include "base/arena.h"
#include "base/err.h"

/* They are there when it returns. After a reservation, so that nobody who leaves takes them along. Takes the pool's
 * lock. */
int network_rules_need(struct err *err);

/* Under the pool's lock. Indices of network_pool.h; again is harmless. */
int network_rules_join(struct arena *, int index, const int *others, int count, struct err *err);
int network_rules_leave(struct arena *, int index, struct err *err); /* all its pairs */
void network_rules_remove(void);                                     /* nobody is left */

#endif
