/* nccl.c - a libnccl.so.2 for tests, which really adds up: who makes the id listens on the interface that
 * $NCCL_SOCKET_IFNAME names (none: loopback), gets everybody's vector there and sends the sum back.
 *
 * A GPU is the first one that CUDA lists. Beside what machine.h says: "set 1 nccl 21803" is the version that
 * GPU 1's process sees, "set 1 wrong 1" gets it a wrong sum. Who joins is a line of the file $FAKE_NVML.joined. */
#include <arpa/inet.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdint.h>
#include <sys/socket.h>

#include "machine.h"

enum { SUCCESS, SYSTEM_ERROR = 2, INVALID_ARGUMENT = 4, REMOTE_ERROR = 6, MOST = 16 };

struct id {
    struct sockaddr_in at;
    char rest[128 - sizeof(struct sockaddr_in)];
};
_Static_assert(sizeof(struct id) == 128, "as ncclUniqueId");

struct hello {
    int rank, ranks;
};

struct comm {
    int fd;
};

static char last[128];

EXPORT int ncclGetVersion(int *);
EXPORT const char *ncclGetErrorString(int);
EXPORT const char *ncclGetLastError(void *);
EXPORT int ncclGetUniqueId(struct id *);
EXPORT int ncclCommInitRank(struct comm **, int, struct id, int);
EXPORT int ncclAllReduce(const uint64_t *, uint64_t *, size_t, int, int, struct comm *, void *);
EXPORT int ncclCommGetAsyncError(struct comm *, int *);

static int gpu(void)
{
    return gpu_visible(0);
}

static int told(const char *function)
{
    int code = failure(function, gpu());

    misbehave(function, gpu());
    snprintf(last, sizeof last, "%s", code ? "the test\nwants it" : "");
    return code;
}

#define CHECK()                        \
    do {                               \
        int code_ = told(__func__);    \
        if (code_)                     \
            return code_;              \
    } while (0)

int ncclGetVersion(int *ret)
{
    CHECK();
    *ret = value_of(gpu(), "nccl", 22105);
    return SUCCESS;
}

const char *ncclGetErrorString(int code)
{
    static const char *const words[] = {
        "no error",
        "unhandled cuda error (run with NCCL_DEBUG=INFO for details)",
        "unhandled system error (run with NCCL_DEBUG=INFO for details)",
        "internal error - please report this issue to the NCCL developers",
        "invalid argument (run with NCCL_DEBUG=WARN for details)",
        "invalid usage (run with NCCL_DEBUG=WARN for details)",
        "remote process exited or there was a network error",
    };

    return code >= 0 && (size_t)code < sizeof words / sizeof *words ? words[code] : "unknown result code";
}

const char *ncclGetLastError(void *comm)
{
    return last;
}

static int lost(const char *what)
{
    snprintf(last, sizeof last, "%s", what);
    return REMOTE_ERROR;
}

/* --- The one who listens --- */

static int get(int fd, void *to, size_t size)
{
    return recv(fd, to, size, MSG_WAITALL) == (ssize_t)size ? 0 : -1;
}

static int put(int fd, const void *from, size_t size)
{
    for (size_t sent = 0; sent < size;) {
        ssize_t n = send(fd, (const char *)from + sent, size - sent, MSG_NOSIGNAL);

        if (n <= 0)
            return -1;
        sent += (size_t)n;
    }
    return 0;
}

static int add_all(const int *fds, int ranks)
{
    uint64_t count = 0, *sum = NULL, *words = NULL;
    int r = 0;

    for (int i = 0; i < ranks && r == 0; i++) {
        r = get(fds[i], &count, sizeof count);
        if (r == 0 && !sum) {
            sum = calloc(count, sizeof *sum);
            words = calloc(count, sizeof *words);
        }
        r = r < 0 ? -1 : get(fds[i], words, count * sizeof *words);
        for (uint64_t k = 0; r == 0 && k < count; k++)
            sum[k] += words[k];
    }
    for (int i = 0; i < ranks && r == 0; i++)
        r = put(fds[i], sum, count * sizeof *sum);
    free(sum);
    free(words);
    return r;
}

static void *serve(void *data)
{
    int listener = (int)(intptr_t)data, fds[MOST], count = 0, ranks = 1, r = 0;

    while (r == 0 && count < ranks && count < MOST) {
        struct hello hello;

        fds[count] = accept(listener, NULL, NULL);
        r = get(fds[count], &hello, sizeof hello);
        ranks = hello.ranks;
        count++;
    }
    for (int i = 0; r == 0 && i < count; i++)
        r = put(fds[i], "+", 1);
    while (r == 0)
        r = add_all(fds, count);
    for (int i = 0; i < count; i++)
        close(fds[i]);
    return NULL;
}

static int find_address(struct in_addr *ret)
{
    const char *name = getenv("NCCL_SOCKET_IFNAME");
    struct ifaddrs *all = NULL;
    int found = 0;

    ret->s_addr = htonl(INADDR_LOOPBACK);
    if (!name || getifaddrs(&all) < 0)
        return name ? -1 : 0;
    for (struct ifaddrs *i = all; i; i = i->ifa_next)
        if (i->ifa_addr && i->ifa_addr->sa_family == AF_INET && strcmp(i->ifa_name, name + (*name == '=')) == 0) {
            *ret = ((struct sockaddr_in *)(void *)i->ifa_addr)->sin_addr;
            found = 1;
        }
    freeifaddrs(all);
    return found ? 0 : -1;
}

int ncclGetUniqueId(struct id *ret)
{
    socklen_t size = sizeof ret->at;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    pthread_t thread;

    CHECK();
    memset(ret, 0, sizeof *ret);
    ret->at.sin_family = AF_INET;
    if (find_address(&ret->at.sin_addr) < 0) {
        snprintf(last, sizeof last, "no socket interface found");
        return SYSTEM_ERROR;
    }
    if (bind(fd, (struct sockaddr *)&ret->at, sizeof ret->at) < 0 || listen(fd, MOST) < 0 ||
        getsockname(fd, (struct sockaddr *)&ret->at, &size) < 0 ||
        pthread_create(&thread, NULL, serve, (void *)(intptr_t)fd) != 0)
        return SYSTEM_ERROR;
    pthread_detach(thread);
    return SUCCESS;
}

/* --- A rank --- */

static void note(int rank, int ranks, const struct id *id)
{
    char path[4096], host[256] = "";
    FILE *f;

    snprintf(path, sizeof path, "%s.joined", getenv("FAKE_NVML"));
    f = fopen(path, "ae");
    if (!f)
        return;
    gethostname(host, sizeof host - 1);
    fprintf(f, "rank %d of %d is GPU %d of %s, by %s of %s\n", rank, ranks, gpu(), host, getenv("NCCL_NET"),
            inet_ntoa(id->at.sin_addr));
    fclose(f);
}

int ncclCommInitRank(struct comm **ret, int ranks, struct id id, int rank)
{
    const struct hello hello = { rank, ranks };
    struct comm *c = calloc(1, sizeof *c);
    char go;

    CHECK();
    note(rank, ranks, &id);
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(c->fd, (struct sockaddr *)&id.at, sizeof id.at) < 0)
        return lost("Call to connect failed");
    if (put(c->fd, &hello, sizeof hello) < 0 || get(c->fd, &go, 1) < 0)
        return lost("socketProgress: connection closed by remote peer");
    *ret = c;
    return SUCCESS;
}

int ncclAllReduce(const uint64_t *from, uint64_t *to, size_t count, int type, int operation, struct comm *c,
                  void *stream)
{
    const uint64_t words = count;

    CHECK();
    if (type != 5 || operation != 0 || !stream)
        return INVALID_ARGUMENT;
    if (put(c->fd, &words, sizeof words) < 0 || put(c->fd, from, count * sizeof *from) < 0 ||
        get(c->fd, to, count * sizeof *to) < 0)
        return lost("socketProgress: connection closed by remote peer");
    if (value_of(gpu(), "wrong", 0))
        to[count / 2] ^= 1;
    return SUCCESS;
}

int ncclCommGetAsyncError(struct comm *c, int *ret)
{
    CHECK();
    *ret = SUCCESS;
    return SUCCESS;
}
