/* cuda.c - the few functions of cuda.h that are needed, declared here so that it need not be there.
 *
 * NVML, nvidia-smi and CUDA number the GPUs each in its own way: it goes by the UUID, which they share. */
#include "run/cuda.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "run/library.h"

enum { /* CUresult */
    CUDA_SUCCESS = 0,
    CUDA_ERROR_NOT_READY = 600,
};

enum { CU_STREAM_NON_BLOCKING = 1 };

struct cuda_uuid { /* CUuuid */
    unsigned char bytes[16];
};

struct functions {
    int (*init)(unsigned);
    int (*error_name)(int, const char **);
    int (*error_string)(int, const char **);
    int (*count)(int *);
    int (*device)(int *, int);
    int (*uuid)(struct cuda_uuid *, int);
    int (*context)(void **, int);
    int (*use)(void *);
    int (*alloc)(unsigned long long *, size_t);
    int (*write)(unsigned long long, const void *, size_t);
    int (*read)(void *, unsigned long long, size_t);
    int (*stream)(void **, unsigned);
    int (*query)(void *);
};

#define FUNCTION(field, name) { offsetof(struct functions, field), { name }, true }

/* Those with a suffix have older forms, for 32 bits or other rules, under the plain name. */
static const struct library_symbol symbols[] = {
    FUNCTION(init, "cuInit"),
    FUNCTION(error_name, "cuGetErrorName"),
    FUNCTION(error_string, "cuGetErrorString"),
    FUNCTION(count, "cuDeviceGetCount"),
    FUNCTION(device, "cuDeviceGet"),
    FUNCTION(uuid, "cuDeviceGetUuid"),
    FUNCTION(context, "cuDevicePrimaryCtxRetain"),
    FUNCTION(use, "cuCtxSetCurrent"),
    FUNCTION(alloc, "cuMemAlloc_v2"),
    FUNCTION(write, "cuMemcpyHtoD_v2"),
    FUNCTION(read, "cuMemcpyDtoH_v2"),
    FUNCTION(stream, "cuStreamCreate"),
    FUNCTION(query, "cuStreamQuery"),
};

struct cuda {
    struct functions cu;
    void *stream;
};

struct cuda *cuda_load(char *why, size_t why_size)
{
    struct cuda *c = calloc(1, sizeof *c);

    assert(c);
    if (library_open("libcuda.so.1", symbols, sizeof symbols / sizeof *symbols, &c->cu, why, why_size))
        return c;
    free(c);
    return NULL;
}

static int told(const struct cuda *c, int code, const char *function, struct err *err)
{
    const char *name = "an unknown error", *words = "";

    if (code == CUDA_SUCCESS)
        return 0;
    c->cu.error_name(code, &name);
    c->cu.error_string(code, &words);
    return fail(err, ERR_INTERNAL, "%s: %s (%d)%s%s", function, name ? name : "an unknown error", code,
                words && *words ? ": " : "", words ? words : "");
}

#define CALL(c, field, name, ...) told(c, (c)->cu.field(__VA_ARGS__), name, err)

/* "GPU-" and the bytes in the order that they stand in, in hex. */
static bool is_called(const struct cuda_uuid *u, const char *text)
{
    char hex[2 * sizeof u->bytes + 1], plain[sizeof hex] = "";
    size_t size = 0;

    hex_encode(hex, u->bytes, sizeof u->bytes);
    for (text += text_starts(text, "GPU-") ? 4 : 0; *text && size < sizeof plain - 1; text++)
        if (*text != '-')
            plain[size++] = *text;
    return strcmp(hex, plain) == 0;
}

static int find(struct cuda *c, const char *uuid, int *ret_device, struct err *err)
{
    int count, device;

    if (CALL(c, count, "cuDeviceGetCount", &count) < 0)
        return -1;
    for (int i = 0; i < count; i++) {
        struct cuda_uuid found;

        if (CALL(c, device, "cuDeviceGet", &device, i) < 0 || CALL(c, uuid, "cuDeviceGetUuid", &found, device) < 0)
            return -1;
        if (is_called(&found, uuid)) {
            *ret_device = device;
            return 0;
        }
    }
    return fail(err, ERR_INTERNAL, "CUDA does not list it");
}

int cuda_use(struct cuda *c, const char *uuid, struct err *err)
{
    void *context;
    int device = -1;

    if (CALL(c, init, "cuInit", 0) < 0) {
        err->kind = ERR_UNAVAILABLE;
        return -1;
    }
    if (find(c, uuid, &device, err) < 0 || CALL(c, context, "cuDevicePrimaryCtxRetain", &context, device) < 0 ||
        CALL(c, use, "cuCtxSetCurrent", context) < 0)
        return -1;
    return CALL(c, stream, "cuStreamCreate", &c->stream, CU_STREAM_NON_BLOCKING);
}

int cuda_alloc(struct cuda *c, size_t bytes, uint64_t *ret_at, struct err *err)
{
    unsigned long long at;

    if (CALL(c, alloc, "cuMemAlloc", &at, bytes) < 0)
        return -1;
    *ret_at = at;
    return 0;
}

int cuda_write(struct cuda *c, uint64_t at, const void *from, size_t bytes, struct err *err)
{
    return CALL(c, write, "cuMemcpyHtoD", at, from, bytes);
}

int cuda_read(struct cuda *c, void *to, uint64_t at, size_t bytes, struct err *err)
{
    return CALL(c, read, "cuMemcpyDtoH", to, at, bytes);
}

void *cuda_stream(struct cuda *c)
{
    return c->stream;
}

int cuda_idle(struct cuda *c, bool *ret, struct err *err)
{
    int code = c->cu.query(c->stream);

    *ret = code == CUDA_SUCCESS;
    return code == CUDA_ERROR_NOT_READY ? 0 : told(c, code, "cuStreamQuery", err);
}
