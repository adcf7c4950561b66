/* savings.h - what checkpoints cost the job, and how often it should save.
 *
 * The cost of one is the time from the first write of its files to the last: that long the job's loop waits. The upload
 * goes on beside the job, so it costs none of its time; but a checkpoint counts only when S3 has it. Threads may share
 * one. */
#ifndef AGENT_SAVINGS_H
#define AGENT_SAVINGS_H

#include "agent/order.h"
#include "base/arena.h"
#include "doc/doc.h"

struct savings;

struct savings *savings_new(void);
void savings_free(struct savings *); /* NULL is fine */

struct savings_file {
    const char *path;
    int64_t begun_ms, written_ms, stored_ms; /* the first write, the last one, S3 has it */
    int64_t bytes;
};

/* A file became an object. Files that were written at the same time, or within a second, are one checkpoint. One that
 * is written again begins the next, and so does one whose path differs only in its numbers from that of a file that the
 * checkpoint has; unless it is a part: begun before the checkpoint's other files were closed, or at once. */
void savings_take(struct savings *, const struct savings_file *);

/* The report's member "checkpoint" (docs/ARCHITECTURE.md); NULL: nothing was saved yet, or it is as before. */
struct doc *savings_report(struct savings *, struct arena *, const struct order *);

/* Whether the advice that was given, for an interval, is worth another word now. */
bool savings_is_news(int64_t told_ms, const struct doc *report);

#endif
