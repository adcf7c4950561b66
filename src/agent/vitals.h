/* vitals.h - while the container runs: is the instance still fit, and does the container still do anything? */
#ifndef AGENT_VITALS_H
#define AGENT_VITALS_H

#include "agent/order.h"
#include "base/clock.h"
#include "net/loop.h"
#include "run/gpu_monitor.h"
#include "run/network.h"

struct vitals;

struct vitals_options { /* all of it lives longer */
    struct loop *loop;
    struct clock *clock;
    const struct order *order;
    const char *folder;            /* of the agent */
    const struct network *network; /* NULL: it has none of its own */
    struct gpu_monitor *gpus;      /* NULL: it has none */
    void (*happened)(void *data);  /* on the loop: there is trouble, or a warning; or it is quiet; or no more so */
    void *data;
};

struct vitals *vitals_new(const struct vitals_options *);
void vitals_free(struct vitals *); /* NULL is fine */

/* Why the instance cannot go on: which check, and what was seen. "": nothing speaks against it. */
const char *vitals_trouble(const struct vitals *, const char **ret_check);

/* Which of its GPUs that is; NULL: it is about none. */
const struct gpu *vitals_bad_gpu(const struct vitals *);

/* What is to be looked into while all goes on; "": nothing. */
const char *vitals_warning(const struct vitals *);

/* Since when the container has done nothing, when that is longer than the order has it, and what was last seen; 0: it
 * does something. */
int64_t vitals_quiet_since_ms(const struct vitals *, const char **ret_words);

/* The same of its log alone: it writes no line, whatever else it does. */
int64_t vitals_silent_since_ms(const struct vitals *, const char **ret_words);

#endif
