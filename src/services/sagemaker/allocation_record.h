/* allocation_record.h - what somebody holds, on disk: the table core_allocations, by key.
 *
 * It stands in the file of the rows, so a row and what it holds are saved together or not at all. Whoever has no record
 * holds nothing, and of a place that was 'left' nothing is held. */
#ifndef SERVICES_SAGEMAKER_ALLOCATION_RECORD_H
#define SERVICES_SAGEMAKER_ALLOCATION_RECORD_H

#include "fleet/scheduler.h"
#include "store/store.h"

struct allocation_record {
    const char *row_uid;
    struct work work; /* its uid is the key */
    struct placed *placed;
    int64_t count;
    int64_t since_ms; /* wall time */
    int64_t attempt;
};

/* *ret_there false: it holds nothing. Texts are in the arena. */
int allocation_record_get(struct arena *, struct store *, const char *key, bool *ret_there,
                          struct allocation_record *ret, struct err *err);
int allocation_record_put(struct arena *, struct store *, const struct allocation_record *, struct err *err);
int allocation_record_remove(struct store *, const char *key, struct err *err); /* none is fine */

/* All of them, in the order of their keys; -1 of 'visit' ends it. */
int allocation_record_each(struct store *, int (*visit)(void *context, const struct allocation_record *, struct err *),
                           void *context, struct err *err);

#endif
