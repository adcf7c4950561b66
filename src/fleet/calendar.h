/* calendar.h - what runs, by when it must have ended: the order in which capacity comes back.
 *
 * An entry goes in and out at a cost that does not depend on how many there are; walking sorts one hour at a time. */
#ifndef FLEET_CALENDAR_H
#define FLEET_CALENDAR_H

#include "base/list.h"

#include <stdint.h>

struct calendar;

struct calendar_entry {
    struct list link;
    int64_t at_ms;
    int64_t sequence; /* of two at one time the lower comes first */
};

struct calendar *calendar_new(void);
void calendar_free(struct calendar *); /* NULL is fine */
void calendar_add(struct calendar *, struct calendar_entry *, int64_t at_ms, int64_t sequence);
void calendar_remove(struct calendar *, struct calendar_entry *); /* one that is in no calendar is fine */

/* Each entry in order until 'visit' returns nonzero, which is what comes back, else 0. Nothing is added or removed
 * meanwhile. */
int calendar_walk(struct calendar *, int (*visit)(void *context, struct calendar_entry *), void *context);

#endif
