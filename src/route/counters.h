/* counters.h - what the data plane counted, in a file that both planes have in memory (run/serve.counters).
 *
 * A slot is a variant of an endpoint; it has one bucket for each of the last COUNTERS_MINUTES minutes of wall time. A
 * request counts in the minute in which it ended, so a minute that is over does not change any more: the control
 * plane may read it late, or twice, and makes one metric datum of it. The file outlives the data plane. */
#ifndef ROUTE_COUNTERS_H
#define ROUTE_COUNTERS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum { COUNTERS_MINUTES = 60, COUNTERS_SLOTS = 1024 };

struct counters_latency {
    _Atomic uint64_t count, sum_us, min_us, max_us; /* min_us is UINT64_MAX when count is 0 */
};

struct counters_bucket {
    _Atomic int64_t minute; /* since 1970; 0: never used, -1: being cleared */
    _Atomic uint64_t invocations;
    _Atomic uint64_t per_instance_ppm;       /* millionths: each adds 1 / the instances that it could go to */
    _Atomic uint64_t errors_4xx, errors_5xx; /* the container answered so; no answer at all is a 5xx */
    struct counters_latency model;           /* from sending the request to the container to the end of its answer */
    struct counters_latency overhead;        /* the rest of the time between the client's head and our answer's end */
};

struct counters_slot {
    _Atomic uint32_t sequence; /* odd: its name is being changed; 0: never used */
    char account[16], region[40], endpoint[72], variant[72];
    struct counters_bucket buckets[COUNTERS_MINUTES]; /* minute % COUNTERS_MINUTES */
};

struct counters;

/* Opens or makes the file. A file of another form is made anew by the writer, and is ERR_INVALID for a reader. */
int counters_open(const char *path, bool writer, struct counters **ret, struct err *err);
void counters_close(struct counters *); /* NULL is fine */

/* The writer's side. A claimed slot is not given to another variant until it is released; NULL: all are taken. */
struct counters_slot *counters_claim(struct counters *, const char *account, const char *region, const char *endpoint,
                                     const char *variant, int64_t now_minute);
void counters_release(struct counters *, struct counters_slot *); /* NULL is fine */

struct counters_sample {
    int status;                    /* of the container; 0: none came */
    int64_t model_us, overhead_us; /* -1: not measured */
    size_t instances;              /* of the variant; 0 counts as 1 */
};
/* From any thread; no slot is fine. */
void counters_add(struct counters_slot *, int64_t minute, const struct counters_sample *);

/* The reader's side. One variant's minute: false when the slot is not used or counted nothing in it. */
struct counters_reading {
    char account[16], region[40], endpoint[72], variant[72];
    uint64_t invocations, per_instance_ppm, errors_4xx, errors_5xx;
    struct {
        uint64_t count, sum_us, min_us, max_us;
    } model, overhead;
};
bool counters_read(const struct counters *, int slot, int64_t minute, struct counters_reading *ret);

#endif
