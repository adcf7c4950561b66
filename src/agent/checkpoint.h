/* checkpoint.h - a folder whose files S3 has: one look at the folder, and what has to be done so that S3 has it all.
 *
 * A file is put when nobody has it open for writing, as it was at one moment: what changes meanwhile is put again, and
 * S3 keeps the older whole one until then. Several files are carried at a time, but they become objects in the order in
 * which they were finished, so that what names a checkpoint is not in S3 before the checkpoint; only small ones that
 * follow each other are put together, without the last of all. Only after them is removed what is gone here, so that
 * S3 has what a renamed file holds at every moment under one of its names. */
#ifndef AGENT_CHECKPOINT_H
#define AGENT_CHECKPOINT_H

#include <stdbool.h>

#include "agent/book.h"
#include "agent/savings.h"
#include "base/clock.h"
#include "base/map.h"

struct checkpoint_store {
    /* 'unchanged' is asked before what was read becomes the object; when it says no, the object stays as it was. It
     * waits for the files before this one. Several threads put at the same time. */
    int (*put)(struct checkpoint_store *, const char *path, int fd, bool (*unchanged)(void *data), void *data,
               struct err *err);
    int (*remove)(struct checkpoint_store *, const char *path, struct err *err); /* not there is fine */
};

enum { CHECKPOINT_LANES_MAX = 8 };

struct checkpoint {
    const char *base;    /* a folder that the job cannot replace, with 'root' below it; NULL: 'root' is a whole path */
    const char *root;
    int lanes;           /* files that are carried at a time; 0: one */
    bool plain;          /* every name is a file's: there are no markers, and what is removed here stays in S3 */
    struct book *book;
    struct checkpoint_store *store;
    struct clock *clock;
    int watch;           /* of inotify: every folder is added to it; -1: none */
    bool unwatched;      /* a folder could not be added */
    struct savings *savings; /* learns what checkpoints cost; NULL: nobody asks */
    struct map *missing; /* what the look before did not find */
    struct map *writing; /* path -> when it was first seen to be written again */
    int64_t busy_ms;     /* of the last look: how long it took, without what is new to S3 */
};

void checkpoint_end(struct checkpoint *); /* frees what the looks have made */

enum checkpoint_when {
    CHECKPOINT_RUNNING,
    CHECKPOINT_ENDED,  /* nobody writes any more: what is there is whole */
    CHECKPOINT_KILLED, /* the same, but what was being written has stayed half */
};

/* *ret_again_ms: when to look again although nothing happens; 0: no need to. */
int checkpoint_look(struct checkpoint *, enum checkpoint_when, int64_t *ret_again_ms, struct err *err);

/* The writers are about to be killed: what they are writing to right now stays half, and is not put. Any thread. */
void checkpoint_before_kill(struct checkpoint *);

/* S3 has all that is in the folder: it came from there. */
int checkpoint_note_all(struct checkpoint *, struct err *err);

/* Is it of the protocol between agents and containers, or a name that is never uploaded? */
bool checkpoint_is_marker(const char *name);

#endif
