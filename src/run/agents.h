/* agents.h - what the runtimes of this host share: folders, orders and agents. Only container.c, process.c and slurm.c
 * need it. */
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

/* What is known of an order by its folder alone. */
struct agents_look {
    const char *folder;
    bool there;                /* it was accepted, and not forgotten */
    bool alive;                /* an agent works on it */
    bool ended;
    const struct doc *order, *report, *stop; /* empty maps when there is none */
};

/* The steps of a runtime of agents_new() that do not start an agent: for one that has others start them. 'kind' is what
 * the order says of its runtime; there already is fine. */
int agents_accept(struct runtime *, const char *name, const char *kind, const struct doc *order, struct err *err);
int agents_look(struct runtime *, struct arena *, const char *name, struct agents_look *ret, struct err *err);

/* Ends what is left of an agent and its container, if they are on this host; does not wait for it. */
int agents_kill(struct runtime *, const char *name, struct err *err);

/* Does the order bring a script of the user's? */
bool order_has_script(const struct doc *order);

#endif
