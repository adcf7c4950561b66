/* bodies.h - which blobs are in use, so that one nobody needs any more is removed, and no other.
 *
 * Records say which blobs are needed; whoever drops the last use says so with bodies_release(), inside its transaction
 * or after a failure: it is a hint. After the turn's commit (or its failure) bodies_sweep() asks the records about each
 * of them, and removes what nobody refers to and no answer is reading. What a crash leaves behind is found by
 * bodies_collect() at the next start. One thread, the loop's; files are removed on worker threads. */
#ifndef ENGINE_BODIES_H
#define ENGINE_BODIES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

struct blobs;
struct bodies;
struct loop;

/* 'referenced' says whether a record needs the blob; in doubt, yes. loop NULL: files are removed before bodies_sweep
 * returns. 'blobs' stays the caller's. */
struct bodies *bodies_new(struct loop *, struct blobs *, bool (*referenced)(void *context, const char *uid),
                          void *context);
void bodies_free(struct bodies *); /* NULL is fine; what was released and not swept is left to bodies_collect */
struct blobs *bodies_blobs(struct bodies *);

void bodies_pin(struct bodies *, const char *uid);   /* it is being read: stays until as many bodies_unpin */
void bodies_unpin(struct bodies *, const char *uid);
void bodies_release(struct bodies *, const char *uid); /* may be needed by nobody now; again is fine */
void bodies_sweep(struct bodies *); /* after each commit, also a failed one; cheap when there is nothing */

/* While held nothing is removed: a backup copies the records first and then what they name. What was released meanwhile
 * goes with the next sweep after the hold, or with the next start. */
void bodies_hold(struct bodies *, bool held);

/* At start, before the first request: removes what was never finished and what no record needs. */
int bodies_collect(struct bodies *, int64_t *ret_removed, struct err *err);

#endif
