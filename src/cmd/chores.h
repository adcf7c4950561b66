/* chores.h - what the control plane does by the clock: each minute the data plane's counters become CloudWatch metrics
 * of the endpoints, and nodes whose time out of use is over come back; each hour what is past its keeping is removed.
 * Doing one twice, or after a restart, changes nothing. */
#ifndef CMD_CHORES_H
#define CMD_CHORES_H

#include "net/loop.h"

struct engine;
struct chores;

/* 'counters_path' is made by the data plane; until it is there, nothing was counted. */
struct chores *chores_new(struct loop *, struct engine *, const char *counters_path);
void chores_free(struct chores *); /* NULL is fine */

#endif
