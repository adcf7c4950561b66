/* gpu.h - the NVIDIA GPUs of this machine, as the driver's own library (NVML) tells of them.
 *
 * The library is loaded where it is there. A machine without it, or whose driver does not answer, has no GPU:
 * gpus_why() says why, and nothing fails. What one GPU does not tell is absent from its sample.
 *
 * A driver in trouble may take seconds to answer: run/gpu_monitor.h asks from a thread of its own. */
#ifndef RUN_GPU_H
#define RUN_GPU_H

#include <stdbool.h>
#include <stdint.h>

enum { GPU_MOST = 64 }; /* a set of them is an uint64_t */

struct gpus;

struct gpu {
    int index; /* the driver's, in the order of the PCI bus */
    int minor; /* of /dev/nvidia<minor> */
    int64_t memory_bytes;
    char uuid[96], name[96];
};

enum { GPU_ABSENT = -1 }; /* this GPU, or this driver, does not tell */

struct gpu_sample {
    bool lost; /* the driver cannot reach it any more, or it has to be reset: nothing below counts */
    int64_t utilization_percent, memory_utilization_percent, encoder_percent, decoder_percent;
    int64_t memory_total_bytes, memory_used_bytes, memory_free_bytes, memory_reserved_bytes;
    int64_t temperature_c, power_mw, energy_mj, sm_clock_mhz, memory_clock_mhz;
    int64_t throttle; /* bits: enum gpu_throttle */
    int64_t ecc_corrected, ecc_uncorrected; /* since the driver was loaded */
    int64_t rows_correctable, rows_uncorrectable, row_pending, row_failure; /* of its memory, replaced by spare ones */
    int64_t pcie_replays;
};

enum gpu_throttle { /* what keeps the clocks low, of those that mean trouble */
    GPU_THROTTLE_POWER_CAP = 0x4,
    GPU_THROTTLE_HARDWARE = 0x8,
    GPU_THROTTLE_HEAT = 0x20,
    GPU_THROTTLE_HARDWARE_HEAT = 0x40,
    GPU_THROTTLE_POWER_BRAKE = 0x80,
};

struct gpus *gpus_open(void); /* never NULL */
void gpus_close(struct gpus *); /* NULL is fine */

int gpus_count(const struct gpus *);
const struct gpu *gpus_at(const struct gpus *, int place); /* places go from 0 and need not be the indices */
const char *gpus_why(const struct gpus *);    /* why there is none; "" when there are some */
const char *gpus_driver(const struct gpus *); /* its version; "" */
const char *gpus_library(const struct gpus *); /* the path of the library that was loaded; "" */

void gpus_sample(struct gpus *, int place, struct gpu_sample *ret);

/* Waits for an error that a GPU reports, from the first call on. */
enum gpu_event { GPU_EVENT_NONE, GPU_EVENT_XID, GPU_EVENT_NEVER /* this driver tells of none: do not ask again */ };
enum gpu_event gpus_wait(struct gpus *, int timeout_ms, int *ret_place, int *ret_xid);

#endif
