/* gpu_monitor.h - a thread that watches GPUs: their samples, and what goes wrong with them. */
#ifndef RUN_GPU_MONITOR_H
#define RUN_GPU_MONITOR_H

#include "run/gpu.h"
#include "run/xid.h"

struct gpu_monitor;

struct gpu_fault {
    int index;
    int xid; /* 0: it is lost, without a word */
    enum xid_effect effect;
    char uuid[96];
    char words[160]; /* "GPU 1 reported XID 79 (the GPU has fallen off the bus)" */
};

struct gpu_monitor_options {
    uint64_t only;                /* a bit an index; 0: every GPU of the machine */
    void (*happened)(void *data); /* from the monitor's thread: there is a fault to be taken */
    void *data;
};

/* Waits for the driver, some seconds at most: one that hangs has no GPUs. Never NULL. */
struct gpu_monitor *gpu_monitor_new(const struct gpu_monitor_options *);
void gpu_monitor_free(struct gpu_monitor *); /* NULL is fine */

/* What gpus_open() found; NULL is a monitor of none. */
int gpu_monitor_count(const struct gpu_monitor *);
const struct gpu *gpu_monitor_gpu(const struct gpu_monitor *, int place);
const char *gpu_monitor_why(const struct gpu_monitor *);
const char *gpu_monitor_driver(const struct gpu_monitor *);
const char *gpu_monitor_library(const struct gpu_monitor *);

/* The last sample, some seconds old; false: there is none yet. */
bool gpu_monitor_sample(struct gpu_monitor *, int place, struct gpu_sample *ret);
int gpu_monitor_last_xid(struct gpu_monitor *, int place); /* 0: none since the monitor was made */

/* The oldest fault that was not taken yet. */
bool gpu_monitor_fault(struct gpu_monitor *, struct gpu_fault *ret);

#endif
