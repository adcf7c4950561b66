/* box_wait.h - a container that waits for its command, from the outside. For box.c. */
#ifndef RUN_BOX_WAIT_H
#define RUN_BOX_WAIT_H

#include "run/box.h"

bool box_waits(struct arena *, const struct box *);

/* Before the container is made: what it is made for, and the arguments of its pid 1. */
int box_note_waiting(struct arena *, const struct box *, const struct box_order *, const char *const *helper,
                     const char *const **ret_arguments, struct err *err);

/* Gives the order's command to the container that waits for it. The record is as it was, EXIT_NONE, when none waits
 * that was made for such an order. */
int box_wake(struct arena *, const struct box *, const struct box_order *, struct exit_record *record,
             struct err *err);

#endif
