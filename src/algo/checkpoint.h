/* checkpoint.h - boosters saved as they grow, so that an interrupted job goes on where it was.
 *
 * The files are xgboost-checkpoint.<iteration>, the newest five of them. */
#ifndef ALGO_CHECKPOINT_H
#define ALGO_CHECKPOINT_H

#include "algo/booster.h"
#include "base/arena.h"
#include "base/err.h"

/* Loads the newest one that opens. ret_next is the iteration to go on with: 0 when there is none. */
int checkpoint_load(struct arena *, const char *folder, struct booster *, int *ret_next, struct err *);

/* Saves the booster after 'iteration' and removes what is older than the newest five. */
int checkpoint_save(struct arena *, const char *folder, struct booster *, int iteration, struct err *);

/* After the last iteration: removes the older ones that were still being uploaded. */
void checkpoint_finish(struct arena *, const char *folder, int last_iteration);

#endif
