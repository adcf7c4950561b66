/* gpu.c - NVML by dlopen, with the few declarations of it that are needed here.
 *
 * Its functions are resolved under the suffixed names of today, then under the plain ones of old drivers. Every return
 * code falls into one of three classes: done; the GPU is out of reach; and all others, which mean that this is not
 * told. */
#include "run/gpu.h"

#include <assert.h>
#include <dlfcn.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "run/library.h"

enum { /* nvmlReturn_t */
    NVML_SUCCESS = 0,
    NVML_TIMEOUT = 10,
    NVML_GPU_IS_LOST = 15,
    NVML_RESET_REQUIRED = 16,
};

enum { NVML_TEMPERATURE_GPU = 0, NVML_CLOCK_SM = 1, NVML_CLOCK_MEM = 2, NVML_VOLATILE_ECC = 0 };

#define NVML_EVENT_XID 0x8ULL

typedef struct nvml_device *device;
typedef struct nvml_event_set *event_set;

struct nvml_utilization {
    unsigned gpu, memory;
};

struct nvml_memory {
    unsigned long long total, free, used;
};

struct nvml_memory_2 {
    unsigned version;
    unsigned long long total, reserved, free, used;
};

struct nvml_event {
    device device;
    unsigned long long type, data;
    unsigned gpu_instance, compute_instance;
};

struct functions {
    int (*init)(void);
    int (*shutdown)(void);
    int (*driver)(char *, unsigned);
    int (*count)(unsigned *);
    int (*handle)(unsigned, device *);
    int (*uuid)(device, char *, unsigned);
    int (*name)(device, char *, unsigned);
    int (*minor)(device, unsigned *);
    int (*memory)(device, struct nvml_memory *);
    int (*memory_2)(device, struct nvml_memory_2 *);
    int (*utilization)(device, struct nvml_utilization *);
    int (*encoder)(device, unsigned *, unsigned *);
    int (*decoder)(device, unsigned *, unsigned *);
    int (*temperature)(device, int, unsigned *);
    int (*power)(device, unsigned *);
    int (*energy)(device, unsigned long long *);
    int (*clock)(device, int, unsigned *);
    int (*throttle)(device, unsigned long long *);
    int (*ecc)(device, int, int, unsigned long long *);
    int (*rows)(device, unsigned *, unsigned *, unsigned *, unsigned *);
    int (*replays)(device, unsigned *);
    int (*set_create)(event_set *);
    int (*set_free)(event_set);
    int (*set_register)(device, unsigned long long, event_set);
    int (*set_wait)(event_set, struct nvml_event *, unsigned);
};

#define FUNCTION(field, ...) { offsetof(struct functions, field), { __VA_ARGS__ } }

static const struct library_symbol symbols[] = {
    FUNCTION(init, "nvmlInit_v2", "nvmlInit"),
    FUNCTION(shutdown, "nvmlShutdown"),
    FUNCTION(driver, "nvmlSystemGetDriverVersion"),
    FUNCTION(count, "nvmlDeviceGetCount_v2", "nvmlDeviceGetCount"),
    FUNCTION(handle, "nvmlDeviceGetHandleByIndex_v2", "nvmlDeviceGetHandleByIndex"),
    FUNCTION(uuid, "nvmlDeviceGetUUID"),
    FUNCTION(name, "nvmlDeviceGetName"),
    FUNCTION(minor, "nvmlDeviceGetMinorNumber"),
    FUNCTION(memory, "nvmlDeviceGetMemoryInfo"),
    FUNCTION(memory_2, "nvmlDeviceGetMemoryInfo_v2"),
    FUNCTION(utilization, "nvmlDeviceGetUtilizationRates"),
    FUNCTION(encoder, "nvmlDeviceGetEncoderUtilization"),
    FUNCTION(decoder, "nvmlDeviceGetDecoderUtilization"),
    FUNCTION(temperature, "nvmlDeviceGetTemperature"),
    FUNCTION(power, "nvmlDeviceGetPowerUsage"),
    FUNCTION(energy, "nvmlDeviceGetTotalEnergyConsumption"),
    FUNCTION(clock, "nvmlDeviceGetClockInfo"),
    FUNCTION(throttle, "nvmlDeviceGetCurrentClocksEventReasons", "nvmlDeviceGetCurrentClocksThrottleReasons"),
    FUNCTION(ecc, "nvmlDeviceGetTotalEccErrors"),
    FUNCTION(rows, "nvmlDeviceGetRemappedRows"),
    FUNCTION(replays, "nvmlDeviceGetPcieReplayCounter"),
    FUNCTION(set_create, "nvmlEventSetCreate"),
    FUNCTION(set_free, "nvmlEventSetFree"),
    FUNCTION(set_register, "nvmlDeviceRegisterEvents"),
    FUNCTION(set_wait, "nvmlEventSetWait_v2", "nvmlEventSetWait"),
};

struct gpus {
    void *library;
    struct functions nvml;
    bool initialised, listens;
    event_set events;
    int count;
    struct gpu all[GPU_MOST];
    device devices[GPU_MOST];
    char why[256], driver[96], path[1024];
};

/* Of those that keep a machine without GPUs, in words. */
static const char *words_of(int code)
{
    static const struct {
        int code;
        const char *words;
    } table[] = {
        { 3, "it is not supported" },
        { 4, "no permission" },
        { 9, "the driver is not loaded" },
        { 12, "a library of the driver is missing" },
        { 13, "the driver is too old" },
        { 15, "the GPU is lost" },
        { 16, "the GPU has to be reset" },
        { 18, "the driver was updated: the machine has to be restarted" },
    };

    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (table[i].code == code)
            return table[i].words;
    return "an unknown error";
}

static bool load(struct gpus *g)
{
    Dl_info info;

    g->library = library_open("libnvidia-ml.so.1", symbols, sizeof symbols / sizeof *symbols, &g->nvml, g->why,
                              sizeof g->why);
    if (!g->library)
        return false;
    if (!g->nvml.init || !g->nvml.count || !g->nvml.handle || !g->nvml.uuid) {
        snprintf(g->why, sizeof g->why, "libnvidia-ml.so.1 is not NVML, or of a driver that is too old");
        return false;
    }
    if (dladdr(*(void **)(void *)&g->nvml.init, &info) && info.dli_fname)
        snprintf(g->path, sizeof g->path, "%s", info.dli_fname);
    return true;
}

/* false: what the call would tell stays absent. A function that this driver has not is one that does not tell. */
#define TOLD(g, function, ...) ((g)->nvml.function && (g)->nvml.function(__VA_ARGS__) == NVML_SUCCESS)

static void add(struct gpus *g, unsigned index)
{
    struct gpu *gpu = &g->all[g->count];
    device d;
    struct nvml_memory memory;
    unsigned minor;
    int code = g->nvml.handle(index, &d);

    *gpu = (struct gpu){ .index = (int)index, .minor = (int)index };
    if (code == NVML_SUCCESS)
        code = g->nvml.uuid(d, gpu->uuid, sizeof gpu->uuid);
    if (code != NVML_SUCCESS) {
        snprintf(g->why, sizeof g->why, "GPU %u: %s (%d)", index, words_of(code), code);
        return;
    }
    if (TOLD(g, minor, d, &minor))
        gpu->minor = (int)minor;
    if (!TOLD(g, name, d, gpu->name, sizeof gpu->name))
        strcpy(gpu->name, "GPU");
    if (TOLD(g, memory, d, &memory))
        gpu->memory_bytes = (int64_t)memory.total;
    g->devices[g->count++] = d;
}

struct gpus *gpus_open(void)
{
    struct gpus *g = calloc(1, sizeof *g);
    unsigned count = 0;
    int code;

    assert(g);
    if (!load(g))
        return g;
    code = g->nvml.init();
    if (code == NVML_SUCCESS) {
        g->initialised = true;
        code = g->nvml.count(&count);
    }
    if (code != NVML_SUCCESS) {
        snprintf(g->why, sizeof g->why, "NVML: %s (%d)", words_of(code), code);
        return g;
    }
    if (!TOLD(g, driver, g->driver, sizeof g->driver))
        *g->driver = '\0';
    if (!count)
        snprintf(g->why, sizeof g->why, "the driver lists none");
    for (unsigned i = 0; i < count && i < GPU_MOST; i++)
        add(g, i);
    if (g->count)
        *g->why = '\0';
    return g;
}

void gpus_close(struct gpus *g)
{
    if (!g)
        return;
    if (g->events && g->nvml.set_free)
        g->nvml.set_free(g->events);
    if (g->initialised && g->nvml.shutdown)
        g->nvml.shutdown();
    if (g->library)
        dlclose(g->library);
    free(g);
}

int gpus_count(const struct gpus *g)
{
    return g->count;
}

const struct gpu *gpus_at(const struct gpus *g, int place)
{
    assert(place >= 0 && place < g->count);
    return &g->all[place];
}

const char *gpus_why(const struct gpus *g)
{
    return g->why;
}

const char *gpus_driver(const struct gpus *g)
{
    return g->driver;
}

const char *gpus_library(const struct gpus *g)
{
    return g->path;
}

static bool is_lost(int code)
{
    return code == NVML_GPU_IS_LOST || code == NVML_RESET_REQUIRED;
}

static void take_memory(struct gpus *g, device d, struct gpu_sample *s)
{
    struct nvml_memory_2 two = { .version = sizeof two | 2 << 24 };
    struct nvml_memory one;

    if (TOLD(g, memory_2, d, &two)) {
        s->memory_total_bytes = (int64_t)two.total;
        s->memory_used_bytes = (int64_t)two.used;
        s->memory_free_bytes = (int64_t)two.free;
        s->memory_reserved_bytes = (int64_t)two.reserved;
    } else if (TOLD(g, memory, d, &one)) {
        s->memory_total_bytes = (int64_t)one.total;
        s->memory_used_bytes = (int64_t)one.used;
        s->memory_free_bytes = (int64_t)one.free;
    }
}

static void take_errors(struct gpus *g, device d, struct gpu_sample *s)
{
    static const int corrected = 0, uncorrected = 1;
    unsigned long long errors;
    unsigned correctable, uncorrectable, pending, failure, replays;

    if (TOLD(g, ecc, d, corrected, NVML_VOLATILE_ECC, &errors))
        s->ecc_corrected = (int64_t)errors;
    if (TOLD(g, ecc, d, uncorrected, NVML_VOLATILE_ECC, &errors))
        s->ecc_uncorrected = (int64_t)errors;
    if (TOLD(g, rows, d, &correctable, &uncorrectable, &pending, &failure)) {
        s->rows_correctable = correctable;
        s->rows_uncorrectable = uncorrectable;
        s->row_pending = pending;
        s->row_failure = failure;
    }
    if (TOLD(g, replays, d, &replays))
        s->pcie_replays = replays;
}

void gpus_sample(struct gpus *g, int place, struct gpu_sample *ret)
{
    struct gpu_sample s;
    struct nvml_utilization utilization;
    device d = g->devices[place];
    unsigned value, period;
    unsigned long long big;
    int code;

    assert(place >= 0 && place < g->count);
    for (int64_t *field = &s.utilization_percent; field <= &s.pcie_replays; field++)
        *field = GPU_ABSENT;
    /* One that is lost says so to every call: the first tells, and the others need not wait for it. */
    code = g->nvml.utilization ? g->nvml.utilization(d, &utilization) : NVML_SUCCESS + 1;
    s.lost = is_lost(code);
    if (s.lost) {
        *ret = s;
        return;
    }
    if (code == NVML_SUCCESS) {
        s.utilization_percent = utilization.gpu;
        s.memory_utilization_percent = utilization.memory;
    }
    take_memory(g, d, &s);
    if (TOLD(g, encoder, d, &value, &period))
        s.encoder_percent = value;
    if (TOLD(g, decoder, d, &value, &period))
        s.decoder_percent = value;
    if (TOLD(g, temperature, d, NVML_TEMPERATURE_GPU, &value))
        s.temperature_c = value;
    if (TOLD(g, power, d, &value))
        s.power_mw = value;
    if (TOLD(g, energy, d, &big))
        s.energy_mj = (int64_t)big;
    if (TOLD(g, clock, d, NVML_CLOCK_SM, &value))
        s.sm_clock_mhz = value;
    if (TOLD(g, clock, d, NVML_CLOCK_MEM, &value))
        s.memory_clock_mhz = value;
    if (TOLD(g, throttle, d, &big))
        s.throttle = (int64_t)big;
    take_errors(g, d, &s);
    *ret = s;
}

static bool listen_for(struct gpus *g)
{
    int registered = 0;

    if (!g->count || !g->nvml.set_create || !g->nvml.set_register || !g->nvml.set_wait ||
        g->nvml.set_create(&g->events) != NVML_SUCCESS)
        return false;
    for (int i = 0; i < g->count; i++)
        registered += g->nvml.set_register(g->devices[i], NVML_EVENT_XID, g->events) == NVML_SUCCESS;
    return registered > 0;
}

enum gpu_event gpus_wait(struct gpus *g, int timeout_ms, int *ret_place, int *ret_xid)
{
    struct nvml_event event = { 0 };
    int code;

    if (!g->listens && !listen_for(g))
        return GPU_EVENT_NEVER;
    g->listens = true;
    code = g->nvml.set_wait(g->events, &event, (unsigned)timeout_ms);
    /* A GPU that is lost ends the wait at once; which one it is, the samples tell. */
    if (code == NVML_TIMEOUT || is_lost(code))
        return GPU_EVENT_NONE;
    if (code != NVML_SUCCESS)
        return GPU_EVENT_NEVER;
    for (int i = 0; i < g->count; i++)
        if (g->devices[i] == event.device && event.type == NVML_EVENT_XID) {
            *ret_place = i;
            *ret_xid = (int)event.data;
            return GPU_EVENT_XID;
        }
    return GPU_EVENT_NONE;
}
