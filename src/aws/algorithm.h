/* algorithm.h - AWS's own algorithms, by the name of their image: the metrics that their logs carry.
 *
 * A job that uses one need not say what its metrics are; CreateTrainingJob, Describe and tuning know. */
#ifndef AWS_ALGORITHM_H
#define AWS_ALGORITHM_H

#include "base/arena.h"
#include "doc/doc.h"

struct algorithm {
    const char *const *repositories;
    const char *const *sets;                         /* of data that it evaluates on: "train", "validation" */
    const char *const *maximized, *const *minimized; /* its metrics: the more the better, the less the better */
    const char *regex[2]; /* of a value in a line of the log: what stands before SET-METRIC, and what after it */
};

extern const struct algorithm algorithm_xgboost;

/* By the repository of an image, registry and tag ignored. NULL: none of AWS's. */
const struct algorithm *algorithm_of(const char *image);

/* MetricDefinitions of a job: what it brings itself ('given', NULL for nothing), then those of the image's algorithm
 * whose names are not among them. NULL or empty: there are none. It lives as
 * long as the arena and 'given', and is not to be changed: most jobs share one. */
const struct doc *algorithm_metrics(struct arena *, const char *image, const struct doc *given);

#endif
