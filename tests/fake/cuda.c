/* cuda.c - a libcuda.so.1 for tests. A GPU's memory is the process's own. "set 1 forgets 1" spoils what is written to
 * GPU 1's. */
#include "machine.h"

enum { SUCCESS, INVALID = 1, NO_DEVICE = 100, INVALID_CONTEXT = 201, NOT_READY = 600, MOST = 16 };

static char contexts[MOST], *current;
static int queries;

EXPORT int cuInit(unsigned);
EXPORT int cuGetErrorName(int, const char **);
EXPORT int cuGetErrorString(int, const char **);
EXPORT int cuDeviceGetCount(int *);
EXPORT int cuDeviceGet(int *, int);
EXPORT int cuDeviceGetUuid(unsigned char *, int);
EXPORT int cuDevicePrimaryCtxRetain(void **, int);
EXPORT int cuCtxSetCurrent(void *);
EXPORT int cuMemAlloc_v2(unsigned long long *, size_t);
EXPORT int cuMemcpyHtoD_v2(unsigned long long, const void *, size_t);
EXPORT int cuMemcpyDtoH_v2(void *, unsigned long long, size_t);
EXPORT int cuStreamCreate(void **, unsigned);
EXPORT int cuStreamQuery(void *);

static int gpu(void)
{
    return current ? (int)(current - contexts) : gpu_visible(0);
}

#define CHECK(gpu)                                     \
    do {                                               \
        int code_ = failure(__func__, gpu);            \
        misbehave(__func__, gpu);                      \
        if (code_)                                     \
            return code_;                              \
    } while (0)

int cuInit(unsigned flags)
{
    CHECK(gpu());
    return flags ? INVALID : gpu_visible(0) < 0 ? NO_DEVICE : SUCCESS;
}

static const struct {
    int code;
    const char *name, *words;
} errors[] = {
    { 2, "CUDA_ERROR_OUT_OF_MEMORY", "out of memory" },
    { NO_DEVICE, "CUDA_ERROR_NO_DEVICE", "no CUDA-capable device is detected" },
    { 719, "CUDA_ERROR_LAUNCH_FAILED", "unspecified launch failure" },
    { 802, "CUDA_ERROR_SYSTEM_NOT_READY", "system not yet initialized" },
};

static int find(int code, int words, const char **ret)
{
    *ret = NULL;
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++)
        if (errors[i].code == code)
            *ret = words ? errors[i].words : errors[i].name;
    return *ret ? SUCCESS : INVALID;
}

int cuGetErrorName(int code, const char **ret)
{
    return find(code, 0, ret);
}

int cuGetErrorString(int code, const char **ret)
{
    return find(code, 1, ret);
}

int cuDeviceGetCount(int *ret)
{
    CHECK(gpu());
    for (*ret = 0; gpu_visible(*ret) >= 0; ++*ret)
        ;
    return SUCCESS;
}

int cuDeviceGet(int *ret, int place)
{
    *ret = place;
    return gpu_visible(place) < 0 ? INVALID : SUCCESS;
}

/* As NVML's: twelve digits of the number, of which two are a byte, behind zeros. */
int cuDeviceGetUuid(unsigned char *ret, int device)
{
    int number = gpu_visible(device);

    CHECK(number);
    memset(ret, 0, 16);
    for (int i = 15; number; i--, number /= 100)
        ret[i] = (unsigned char)(number % 10 + number / 10 % 10 * 16);
    return SUCCESS;
}

int cuDevicePrimaryCtxRetain(void **ret, int device)
{
    CHECK(gpu_visible(device));
    *ret = &contexts[gpu_visible(device)];
    return SUCCESS;
}

int cuCtxSetCurrent(void *context)
{
    current = context;
    return SUCCESS;
}

int cuMemAlloc_v2(unsigned long long *ret, size_t size)
{
    if (!current)
        return INVALID_CONTEXT;
    CHECK(gpu());
    *ret = (unsigned long long)malloc(size);
    return SUCCESS;
}

int cuMemcpyHtoD_v2(unsigned long long to, const void *from, size_t size)
{
    CHECK(gpu());
    memcpy((void *)to, from, size);
    if (value_of(gpu(), "forgets", 0))
        ((char *)to)[size / 2] ^= 1;
    return SUCCESS;
}

int cuMemcpyDtoH_v2(void *to, unsigned long long from, size_t size)
{
    CHECK(gpu());
    memcpy(to, (void *)from, size);
    return SUCCESS;
}

int cuStreamCreate(void **ret, unsigned flags)
{
    if (!current || flags > 1)
        return INVALID;
    CHECK(gpu());
    *ret = &queries;
    return SUCCESS;
}

int cuStreamQuery(void *stream)
{
    if (stream != &queries)
        return INVALID;
    CHECK(gpu());
    return queries++ % 2 ? SUCCESS : NOT_READY;
}
