#include "services/admin/gpu_metrics.h"

#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <unistd.h>

/* Units as there: memory in MiB, power in W, energy in mJ. */
static const struct {
    const char *name, *type, *help;
    size_t offset;
    int64_t divisor;
} rows[] = {
#define ROW(name, type, help, field, divisor) \
    { "DCGM_FI_DEV_" name, type, help, offsetof(struct gpu_sample, field), divisor }
    ROW("SM_CLOCK", "gauge", "SM clock frequency (in MHz).", sm_clock_mhz, 1),
    ROW("MEM_CLOCK", "gauge", "Memory clock frequency (in MHz).", memory_clock_mhz, 1),
    ROW("GPU_TEMP", "gauge", "GPU temperature (in C).", temperature_c, 1),
    ROW("POWER_USAGE", "gauge", "Power draw (in W).", power_mw, 1000),
    ROW("TOTAL_ENERGY_CONSUMPTION", "counter", "Energy since the driver was loaded (in mJ).", energy_mj, 1),
    ROW("PCIE_REPLAY_COUNTER", "counter", "PCIe retries.", pcie_replays, 1),
    ROW("GPU_UTIL", "gauge", "GPU utilization (in %).", utilization_percent, 1),
    ROW("MEM_COPY_UTIL", "gauge", "Memory utilization (in %).", memory_utilization_percent, 1),
    ROW("ENC_UTIL", "gauge", "Encoder utilization (in %).", encoder_percent, 1),
    ROW("DEC_UTIL", "gauge", "Decoder utilization (in %).", decoder_percent, 1),
    ROW("FB_FREE", "gauge", "Memory that is free (in MiB).", memory_free_bytes, 1 << 20),
    ROW("FB_USED", "gauge", "Memory that is used (in MiB).", memory_used_bytes, 1 << 20),
    ROW("FB_RESERVED", "gauge", "Memory that the driver keeps (in MiB).", memory_reserved_bytes, 1 << 20),
    ROW("UNCORRECTABLE_REMAPPED_ROWS", "counter", "Rows replaced for uncorrectable errors.", rows_uncorrectable, 1),
    ROW("CORRECTABLE_REMAPPED_ROWS", "counter", "Rows replaced for correctable errors.", rows_correctable, 1),
    ROW("ROW_REMAP_FAILURE", "gauge", "Whether a row could not be replaced.", row_failure, 1),
    ROW("ECC_SBE_VOL_TOTAL", "counter", "Corrected ECC errors since the driver was loaded.", ecc_corrected, 1),
    ROW("ECC_DBE_VOL_TOTAL", "counter", "Uncorrected ECC errors since the driver was loaded.", ecc_uncorrected, 1),
    ROW("CLOCK_THROTTLE_REASONS", "gauge", "Why the clocks are low, as bits.", throttle, 1),
#undef ROW
};

static void labels(struct buf *b, const struct gpu_monitor *m, int place)
{
    const struct gpu *gpu = gpu_monitor_gpu(m, place);
    char host[256] = "";

    gethostname(host, sizeof host - 1);
    buf_printf(b, "{gpu=\"%d\",UUID=\"%s\",device=\"nvidia%d\",modelName=\"%s\",Hostname=\"%s\","
                  "DCGM_FI_DRIVER_VERSION=\"%s\"}",
               gpu->index, gpu->uuid, gpu->minor, gpu->name, host, gpu_monitor_driver(m));
}

static void head(struct buf *b, const char *name, const char *type, const char *help)
{
    buf_printf(b, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

void gpu_metrics(struct gpu_monitor *m, struct buf *b)
{
    struct gpu_sample samples[GPU_MOST];
    int count = gpu_monitor_count(m);

    if (!count)
        return;
    for (int i = 0; i < count; i++)
        if (!gpu_monitor_sample(m, i, &samples[i]))
            samples[i].lost = true;
    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
        head(b, rows[r].name, rows[r].type, rows[r].help);
        for (int i = 0; i < count; i++) {
            int64_t value = *(const int64_t *)(const void *)((const char *)&samples[i] + rows[r].offset);

            if (samples[i].lost || value == GPU_ABSENT)
                continue;
            buf_append_str(b, rows[r].name);
            labels(b, m, i);
            buf_printf(b, " %.15g\n", (double)value / (double)rows[r].divisor);
        }
    }
    head(b, "DCGM_FI_DEV_XID_ERRORS", "gauge", "The last XID error.");
    for (int i = 0; i < count; i++) {
        buf_append_str(b, "DCGM_FI_DEV_XID_ERRORS");
        labels(b, m, i);
        buf_printf(b, " %d\n", gpu_monitor_last_xid(m, i));
    }
}
