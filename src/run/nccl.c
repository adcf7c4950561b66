/* nccl.c - the few functions of nccl.h that are needed, declared here so that it need not be there. They have not
 * changed since NCCL 2.4, but for ncclGetLastError, which came with 2.13. */
#include "run/nccl.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "run/library.h"

enum { /* ncclResult_t */
    NCCL_SUCCESS = 0,
    NCCL_SYSTEM_ERROR = 2,
    NCCL_REMOTE_ERROR = 6,
    NCCL_IN_PROGRESS = 7,
};

enum { NCCL_UINT64 = 5, NCCL_SUM = 0 };

struct nccl_id { /* ncclUniqueId, which goes by value */
    char bytes[NCCL_ID_SIZE];
};

struct functions {
    int (*version)(int *);
    const char *(*error_string)(int);
    const char *(*last_error)(void *);
    int (*make_id)(struct nccl_id *);
    int (*join)(void **, int, struct nccl_id, int);
    int (*sum)(const void *, void *, size_t, int, int, void *, void *);
    int (*async_error)(void *, int *);
};

#define FUNCTION(field, name, needed) { offsetof(struct functions, field), { name }, needed }

static const struct library_symbol symbols[] = {
    FUNCTION(version, "ncclGetVersion", true),
    FUNCTION(error_string, "ncclGetErrorString", true),
    FUNCTION(make_id, "ncclGetUniqueId", true),
    FUNCTION(join, "ncclCommInitRank", true),
    FUNCTION(sum, "ncclAllReduce", true),
    FUNCTION(async_error, "ncclCommGetAsyncError", true),
    FUNCTION(last_error, "ncclGetLastError", false),
};

struct nccl {
    struct functions f;
    void *comm;
};

struct nccl *nccl_load(const char *library, char *why, size_t why_size)
{
    struct nccl *n = calloc(1, sizeof *n);
    const char *name = *library ? library : "libnccl.so.2";

    assert(n);
    if (library_open(name, symbols, sizeof symbols / sizeof *symbols, &n->f, why, why_size))
        return n;
    free(n);
    return NULL;
}

int nccl_version(const struct nccl *n)
{
    int version = 0;

    return n->f.version(&version) == NCCL_SUCCESS ? version : 0;
}

/* Its advice to set variables is for those who can. */
static int told(const struct nccl *n, int code, const char *function, struct err *err)
{
    const char *words = n->f.error_string(code), *more = n->f.last_error ? n->f.last_error(NULL) : "";
    bool remote = code == NCCL_SYSTEM_ERROR || code == NCCL_REMOTE_ERROR;
    const char *advice;

    if (code == NCCL_SUCCESS)
        return 0;
    words = words ? words : "an unknown error";
    advice = strstr(words, " (run with ");
    return fail(err, remote ? ERR_UNAVAILABLE : ERR_INTERNAL, "%s: %.*s (%d)%s%s", function,
                (int)(advice ? (size_t)(advice - words) : strlen(words)), words, code, more && *more ? ": " : "",
                more ? more : "");
}

int nccl_make_id(struct nccl *n, unsigned char ret[static NCCL_ID_SIZE], struct err *err)
{
    struct nccl_id id;

    if (told(n, n->f.make_id(&id), "ncclGetUniqueId", err) < 0)
        return -1;
    memcpy(ret, id.bytes, NCCL_ID_SIZE);
    return 0;
}

int nccl_join(struct nccl *n, const unsigned char bytes[static NCCL_ID_SIZE], int ranks, int rank, struct err *err)
{
    struct nccl_id id;

    memcpy(id.bytes, bytes, NCCL_ID_SIZE);
    return told(n, n->f.join(&n->comm, ranks, id, rank), "ncclCommInitRank", err);
}

int nccl_sum(struct nccl *n, uint64_t from, uint64_t to, size_t words, void *stream, struct err *err)
{
    return told(n, n->f.sum((void *)from, (void *)to, words, NCCL_UINT64, NCCL_SUM, n->comm, stream), "ncclAllReduce",
                err);
}

int nccl_trouble(struct nccl *n, struct err *err)
{
    int code = NCCL_SUCCESS, asked = n->f.async_error(n->comm, &code);

    if (asked != NCCL_SUCCESS)
        return told(n, asked, "ncclCommGetAsyncError", err);
    return code == NCCL_IN_PROGRESS ? 0 : told(n, code, "ncclAllReduce", err);
}
