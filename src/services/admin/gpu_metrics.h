/* gpu_metrics.h - what the GPUs of this machine do, for Prometheus, under the names of NVIDIA's dcgm-exporter. */
#ifndef SERVICES_ADMIN_GPU_METRICS_H
#define SERVICES_ADMIN_GPU_METRICS_H

#include "base/buf.h"
#include "run/gpu_monitor.h"

void gpu_metrics(struct gpu_monitor *, struct buf *); /* NULL, or no GPU: nothing */

#endif
