/* logs.h - carries the container's output, line by line, to the server's logs, and the metrics found in it.
 *
 * A thread of its own. The spool is the output file itself and a saved offset: while the server is away nothing is lost
 * and nothing is held in memory. What is sent twice carries the same offset, and counts once. */
#ifndef AGENT_LOGS_H
#define AGENT_LOGS_H

#include <stdbool.h>

#include "agent/order.h"
#include "base/arena.h"
#include "base/clock.h"
#include "base/err.h"
#include "doc/doc.h"

struct logs;

struct logs_options {
    const char *folder;          /* stdout and logs.json are in it */
    const struct order *order;   /* lives longer */
    struct clock *clock;
    void (*changed)(void *data); /* from the thread: a metric was seen, or the end was reached */
    void *data;
};

struct logs *logs_new(const struct logs_options *);
void logs_free(struct logs *); /* stops the thread where it is; NULL is fine */

void logs_poke(struct logs *);                          /* tell the server to look at our report */
void logs_metrics(struct logs *, const char *body);     /* one metrics message, sent when the server is there */
void logs_line(struct logs *, const char *text);        /* a line of the platform's own, between the container's */
void logs_end(struct logs *);                           /* the output grows no more: send the rest */
bool logs_done(struct logs *);                          /* all of it was taken by the server, metrics too */
struct doc *logs_final_metrics(struct logs *, struct arena *); /* [{name, value, at_ms}], the last value of each */

#endif
