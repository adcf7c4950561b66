/* feeder.h - sagebrush-data, the program that fills pipes and answers for FastFile mounts, kept running beside the
 * agent.
 *
 * It is a process of its own, so that neither survives the other's death alone: an agent that is killed leaves it at
 * work, and the agent holds the mounts' descriptors, so that another one takes them over when it is killed itself. */
#ifndef AGENT_FEEDER_H
#define AGENT_FEEDER_H

#include "agent/channel.h"
#include "net/loop.h"

#define FEEDER_LOCK   "data.pid"    /* locked as long as it lives */
#define FEEDER_FAILED "data.failed" /* why the input cannot go on, for FailureReason */

enum { FEEDER_FD = 10 }; /* of the first FastFile channel; the next has the next */

struct feeder;

/* Is there anything for it to do? */
bool feeder_wanted(const struct order *);

/* Mounts what is to be mounted, starts what does not run. Again, by another agent, is harmless. 'started': the
 * container has its mounts already, and cannot be given others. */
int feeder_new(const struct order *, const char *folder, bool started, struct feeder **ret, struct err *err);
void feeder_free(struct feeder *); /* it goes on; NULL is fine */

/* From now on another is started when it has died, and 'failed' is called, on the loop, when the input cannot go on. */
void feeder_watch(struct feeder *, struct loop *, void (*failed)(void *data), void *data);

/* Why the job cannot go on; "" when it can. */
const char *feeder_failed(struct arena *, const char *folder);

/* Ends it, whoever started it. What it answered for was unmounted before. */
int feeder_remove(const char *folder, struct err *err);

#endif
