/* nvml.c - a libnvidia-ml.so.1 for tests: as many GPUs, as sick, as machine.h reads. As with the real one, who may not
 * open a GPU's file (cgroups) is not told of it, and counts the others from 0. */
#include <errno.h>
#include <fcntl.h>
#include <time.h>
#include <unistd.h>

#include "machine.h"

enum { SUCCESS, INVALID = 2, TIMEOUT = 10, MOST = 16 };

/* A handle is a place in here. */
static char handles[MOST];

static int gpu_of(const void *device)
{
    return (int)((const char *)device - handles);
}

#define CHECK(gpu)                                     \
    do {                                               \
        int code_ = failure(__func__, gpu);            \
        if (code_)                                     \
            return code_;                              \
    } while (0)

EXPORT int nvmlInit_v2(void);
EXPORT int nvmlShutdown(void);
EXPORT int nvmlSystemGetDriverVersion(char *, unsigned);
EXPORT int nvmlDeviceGetCount_v2(unsigned *);
EXPORT int nvmlDeviceGetHandleByIndex_v2(unsigned, void **);
EXPORT int nvmlDeviceGetUUID(void *, char *, unsigned);
EXPORT int nvmlDeviceGetName(void *, char *, unsigned);
EXPORT int nvmlDeviceGetMinorNumber(void *, unsigned *);
EXPORT int nvmlDeviceGetMemoryInfo(void *, unsigned long long *);
EXPORT int nvmlDeviceGetMemoryInfo_v2(void *, void *);
EXPORT int nvmlDeviceGetUtilizationRates(void *, unsigned *);
EXPORT int nvmlDeviceGetTemperature(void *, int, unsigned *);
EXPORT int nvmlDeviceGetPowerUsage(void *, unsigned *);
EXPORT int nvmlDeviceGetTotalEnergyConsumption(void *, unsigned long long *);
EXPORT int nvmlDeviceGetClockInfo(void *, int, unsigned *);
EXPORT int nvmlDeviceGetCurrentClocksThrottleReasons(void *, unsigned long long *);
EXPORT int nvmlDeviceGetTotalEccErrors(void *, int, int, unsigned long long *);
EXPORT int nvmlDeviceGetRemappedRows(void *, unsigned *, unsigned *, unsigned *, unsigned *);
EXPORT int nvmlEventSetCreate(void **);
EXPORT int nvmlEventSetFree(void *);
EXPORT int nvmlDeviceRegisterEvents(void *, unsigned long long, void *);
EXPORT int nvmlEventSetWait_v2(void *, void *, unsigned);

static int find_minor(const struct line *l, void *context)
{
    struct wanted *w = context;

    if (l->a == w->gpu)
        w->value = l->b;
    return 0;
}

static int minor_of(int gpu)
{
    struct wanted w = { "", gpu, gpu };

    each_line("minor", find_minor, &w);
    return w.value;
}

static int is_hidden(int gpu)
{
    const char *folder = getenv("SAGEBRUSH_GPU_DEVICES");
    char path[4096];
    int fd, hidden;

    snprintf(path, sizeof path, "%s/nvidia%d", folder ? folder : "/nowhere", minor_of(gpu));
    fd = open(path, O_RDONLY | O_CLOEXEC);
    hidden = fd < 0 && errno == EPERM;
    if (fd >= 0)
        close(fd);
    return hidden;
}

int nvmlInit_v2(void)
{
    CHECK(-1);
    return SUCCESS;
}

int nvmlShutdown(void)
{
    return SUCCESS;
}

int nvmlSystemGetDriverVersion(char *text, unsigned size)
{
    CHECK(-1);
    snprintf(text, size, "550.54.15");
    return SUCCESS;
}

int nvmlDeviceGetCount_v2(unsigned *ret)
{
    CHECK(-1);
    *ret = 0;
    for (int i = 0; i < gpu_count(); i++)
        *ret += !is_hidden(i);
    return SUCCESS;
}

int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **ret)
{
    int gpu = -1;

    CHECK((int)index);
    for (int seen = -1; seen < (int)index && ++gpu < gpu_count() && gpu < MOST;)
        seen += !is_hidden(gpu);
    if (gpu >= gpu_count() || gpu >= MOST)
        return INVALID;
    *ret = &handles[gpu];
    return SUCCESS;
}

int nvmlDeviceGetUUID(void *device, char *text, unsigned size)
{
    CHECK(gpu_of(device));
    snprintf(text, size, "GPU-00000000-0000-0000-0000-%012d", gpu_of(device));
    return SUCCESS;
}

int nvmlDeviceGetName(void *device, char *text, unsigned size)
{
    CHECK(gpu_of(device));
    snprintf(text, size, "NVIDIA Fake 40GB");
    return SUCCESS;
}

int nvmlDeviceGetMinorNumber(void *device, unsigned *ret)
{
    CHECK(gpu_of(device));
    *ret = (unsigned)minor_of(gpu_of(device));
    return SUCCESS;
}

static unsigned long long mebibytes(void *device, const char *name, int usual)
{
    return (unsigned long long)value_of(gpu_of(device), name, usual) << 20;
}

int nvmlDeviceGetMemoryInfo(void *device, unsigned long long *ret)
{
    CHECK(gpu_of(device));
    ret[0] = 40960ULL << 20;
    ret[2] = mebibytes(device, "used_mib", 4096);
    ret[1] = ret[0] - ret[2];
    return SUCCESS;
}

int nvmlDeviceGetMemoryInfo_v2(void *device, void *ret)
{
    struct {
        unsigned version;
        unsigned long long total, reserved, free, used;
    } *m = ret;

    CHECK(gpu_of(device));
    if (m->version != (sizeof *m | 2 << 24))
        return 25; /* ARGUMENT_VERSION_MISMATCH */
    m->total = 40960ULL << 20;
    m->reserved = 512ULL << 20;
    m->used = mebibytes(device, "used_mib", 4096);
    m->free = m->total - m->reserved - m->used;
    return SUCCESS;
}

int nvmlDeviceGetUtilizationRates(void *device, unsigned *ret)
{
    CHECK(gpu_of(device));
    ret[0] = (unsigned)value_of(gpu_of(device), "utilization", 50);
    ret[1] = (unsigned)value_of(gpu_of(device), "memory_utilization", 20);
    return SUCCESS;
}

int nvmlDeviceGetTemperature(void *device, int sensor, unsigned *ret)
{
    CHECK(gpu_of(device));
    if (sensor != 0)
        return INVALID;
    *ret = (unsigned)value_of(gpu_of(device), "temperature", 61);
    return SUCCESS;
}

int nvmlDeviceGetPowerUsage(void *device, unsigned *ret)
{
    CHECK(gpu_of(device));
    *ret = (unsigned)value_of(gpu_of(device), "power", 250500);
    return SUCCESS;
}

int nvmlDeviceGetTotalEnergyConsumption(void *device, unsigned long long *ret)
{
    CHECK(gpu_of(device));
    *ret = 123456789;
    return SUCCESS;
}

int nvmlDeviceGetClockInfo(void *device, int clock, unsigned *ret)
{
    CHECK(gpu_of(device));
    *ret = clock == 1 ? 1410 : clock == 2 ? 1593 : 0;
    return SUCCESS;
}

/* The old name alone: drivers before 535 have no other. */
int nvmlDeviceGetCurrentClocksThrottleReasons(void *device, unsigned long long *ret)
{
    CHECK(gpu_of(device));
    *ret = (unsigned long long)value_of(gpu_of(device), "throttle", 0);
    return SUCCESS;
}

int nvmlDeviceGetTotalEccErrors(void *device, int type, int counter, unsigned long long *ret)
{
    CHECK(gpu_of(device));
    if (counter != 0)
        return INVALID;
    *ret = (unsigned long long)value_of(gpu_of(device), type ? "ecc_uncorrected" : "ecc_corrected", 0);
    return SUCCESS;
}

int nvmlDeviceGetRemappedRows(void *device, unsigned *correctable, unsigned *uncorrectable, unsigned *pending,
                              unsigned *failed)
{
    CHECK(gpu_of(device));
    *correctable = (unsigned)value_of(gpu_of(device), "rows_correctable", 0);
    *uncorrectable = (unsigned)value_of(gpu_of(device), "rows_uncorrectable", 0);
    *pending = (unsigned)value_of(gpu_of(device), "row_pending", 0);
    *failed = (unsigned)value_of(gpu_of(device), "row_failure", 0);
    return SUCCESS;
}

/* --- Events --- */

struct set {
    unsigned registered; /* a bit a GPU */
    int told;            /* how many lines of xid were there before, or were told since */
};

struct found {
    struct set *set;
    int at, gpu, xid;
};

static int count_line(const struct line *l, void *context)
{
    ++*(int *)context;
    return 0;
}

static int next_event(const struct line *l, void *context)
{
    struct found *f = context;

    if (f->at++ < f->set->told)
        return 0;
    f->set->told++;
    if (!(f->set->registered & 1u << l->a))
        return 0;
    f->gpu = l->a;
    f->xid = l->b;
    return 1;
}

int nvmlEventSetCreate(void **ret)
{
    struct set *s;

    CHECK(-1);
    s = calloc(1, sizeof *s);
    each_line("xid", count_line, &s->told);
    *ret = s;
    return SUCCESS;
}

int nvmlEventSetFree(void *set)
{
    free(set);
    return SUCCESS;
}

int nvmlDeviceRegisterEvents(void *device, unsigned long long types, void *set)
{
    CHECK(gpu_of(device));
    if (types != 8)
        return INVALID;
    ((struct set *)set)->registered |= 1u << gpu_of(device);
    return SUCCESS;
}

int nvmlEventSetWait_v2(void *set, void *ret, unsigned timeout_ms)
{
    struct {
        void *device;
        unsigned long long type, data;
        unsigned gpu_instance, compute_instance;
    } *event = ret;
    const struct timespec pause = { .tv_nsec = 10000000 };

    for (unsigned waited = 0;; waited += 10) {
        struct found f = { .set = set, .xid = -1 };
        int code = failure("nvmlEventSetWait_v2", -1);

        if (code)
            return code;
        if (each_line("xid", next_event, &f)) {
            event->device = &handles[f.gpu];
            event->type = 8;
            event->data = (unsigned long long)f.xid;
            return SUCCESS;
        }
        if (waited >= timeout_ms)
            return TIMEOUT;
        nanosleep(&pause, NULL);
    }
}
