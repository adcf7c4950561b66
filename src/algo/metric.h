/* metric.h - evaluation metrics that XGBoost does not have: those the SageMaker container computes beside it. */
#ifndef ALGO_METRIC_H
#define ALGO_METRIC_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

bool metric_is_ours(const char *name);

/* Of one data set: 'margins' are 'width' raw scores a row. ERR_INVALID when the metric does not fit the data. */
int metric_compute(const char *name, const float *labels, const float *margins, size_t rows, size_t width, double *ret,
                   struct err *);

#endif
