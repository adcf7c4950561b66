/* endpoint_metrics.h - what the data plane counted, as the metrics that SageMaker has of an endpoint's variant. */
#ifndef SERVICES_SAGEMAKER_ENDPOINT_METRICS_H
#define SERVICES_SAGEMAKER_ENDPOINT_METRICS_H

#include "doc/doc.h"
#include "route/counters.h"

/* One minute of one variant, as a batch for metrics_append(). */
struct doc *endpoint_metrics(struct arena *, const struct counters_reading *, int64_t at_ms);

#endif
