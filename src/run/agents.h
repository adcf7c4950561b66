/* agents.h - what the runtimes of this host share: folders, orders and agents. Only container.c and
 * process.c need it. */
#ifndef RUN_AGENTS_H
#define RUN_AGENTS_H

#include "run/runtime.h"

struct agents_driver {
    const char *kind;
    /* Can this runtime ever carry it out? ERR_INVALID when not. */
    int (*accept)(struct arena *, const struct runtime_config *, const struct doc *order, struct err *err);
    bool process; /* what the box is told */
};

int agents_new(const struct runtime_config *, const struct agents_driver *, struct runtime **ret, struct err *err);

/* Does the order bring a script of the user's? */
bool order_has_script(const struct doc *order);

#endif
