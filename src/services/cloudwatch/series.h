/* series.h - time series of metrics: one a namespace, name and set of dimensions.
 *
 *     metrics_series  account 0 region 0 namespace 0 metric 0 dimensions    a JSON record: dimensions, last_ms
 *     metrics_data    hash of that key(16) start of the bucket(8)           a JSON record: n, sum, min, max, unit,
 * values metrics_ids     id of a batch                                         when it came(8)
 *
 * A bucket is a minute, or a second for what was put with StorageResolution 1. It keeps its distinct values with
 * their counts for percentiles, while there are few of them. */
#ifndef CLOUDWATCH_SERIES_H
#define CLOUDWATCH_SERIES_H

#include "engine/call.h"
#include "store/store.h"

struct series {
    struct arena *arena;
    struct store *store;
    const char *account, *region, *space, *metric;
    const struct doc *dimensions; /* list of {Name, Value}, NULL for none */
    struct str key;
    char hash[16];
};

/* Fills key and hash from the rest; dimensions count in any order. */
void series_identify(struct series *);

struct sample { /* a value, or a statistic of many */
    double n, sum, minimum, maximum;
};

/* All samples of one moment at once: the bucket is read and written once. */
int series_add(struct series *, int64_t at_ms, bool each_second, const struct sample *, size_t count, const char *unit,
               struct err *err);

/* What was seen in one period. */
struct period {
    int64_t start_ms;
    struct sample total;
    const char *unit; /* "None" when none was given */
    struct doc
        *values; /* list of [value, count], a value perhaps repeated; NULL: too many were seen for a percentile */
};

/* The periods of start_ms <= t < end_ms that have samples, in time. 'unit' NULL: any. */
int series_periods(struct series *, int64_t start_ms, int64_t end_ms, int64_t period_ms, const char *unit,
                   struct period **ret, int *ret_count, struct err *err);

/* "Average", "Sum", "Minimum", "Maximum", "SampleCount", or a percentile "p99.9"; false: not such a statistic, or not
 * known. */
bool period_statistic(struct arena *, const struct period *, const char *statistic, double *ret);

int cloudwatch_put(struct call *, struct err *);
int cloudwatch_get_statistics(struct call *, struct err *);
int cloudwatch_get_data(struct call *, struct err *);
int cloudwatch_list(struct call *, struct err *);

#endif
