/* volume.h - what an instance has written, against VolumeSizeInGB; of a job also against what the disk has.
 *
 * A thread looks twice a second at how much the disk has filled, which costs nothing, and counts the instance's files
 * when that could have been them. A container that writes faster than it is looked at has a little more than its
 * volume for half a second; nothing is kept, so a new agent goes on where the old one was. */
#ifndef AGENT_VOLUME_H
#define AGENT_VOLUME_H

#include "agent/order.h"
#include "base/arena.h"
#include "base/clock.h"

struct volume;

struct volume_options { /* all of it lives longer */
    const char *folder;       /* of the agent: everything that the container writes is below it */
    const struct order *order;
    struct clock *clock;
    void (*full)(void *data); /* from the thread, once */
    void *data;
};

struct volume *volume_new(const struct volume_options *);
void volume_free(struct volume *); /* NULL is fine */

int64_t volume_used(struct volume *); /* bytes, when last counted; -1: not yet, or NULL */

/* Why the container must end, for FailureReason; "" when it need not. */
const char *volume_full(struct volume *, struct arena *);

#endif
