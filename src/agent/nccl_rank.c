/* nccl_rank.c - sagebrush-nccl FOLDER NAMESPACE HOST UUIDS LIBRARY: one GPU's rank in the check of the instances
 * together. Started by the agent, with the socket by which they talk (agent/ranks.h) as a descriptor.
 *
 * NVIDIA's libraries may hang, or end the process: this one is there for that. It sees what a process of the job will:
 * the instance's name and network, and all of its GPUs, for NCCL finds NVLink only to those it sees; its own is the
 * first of them, which is the one that NCCL takes where it is not told otherwise. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "agent/ranks.h"
#include "base/fd.h"
#include "base/log.h"
#include "run/cuda.h"

enum {
    WORDS = RANK_SUM_BYTES / sizeof(uint64_t),
    ROUNDS = 4, /* that are timed, after one that is not: the first one sets up connections */
    NAP_NS = 20000,
};

struct member {
    struct nccl *nccl;
    struct cuda *cuda;
    uint64_t from, to; /* on the GPU */
    uint64_t *words;
};

/* --- What is told --- */

static void tell(const struct rank_word *w)
{
    /* An agent that is gone needs no word. */
    send(RANK_FD, w, sizeof *w, MSG_NOSIGNAL);
}

/* In case that it is the last word. */
static void begin(const char *step)
{
    struct rank_word w = { 0 };

    rank_word_set(&w, RANK_BUSY, step);
    tell(&w);
}

static int bad(struct rank_word *w, enum rank_state state, const char *why)
{
    rank_word_set(w, state, why);
    return -1;
}

static enum rank_state state_of(const struct err *err)
{
    return err->kind == ERR_UNAVAILABLE ? RANK_CUT : RANK_FAILED;
}

/* --- It can take part --- */

/* NCCL tells hosts by their names: two instances on one machine are two, and use the network. */
static int enter(const char *namespace, const char *host, struct err *err)
{
    _cleanup_fd_ int fd = open(namespace, O_RDONLY | O_CLOEXEC);

    if (fd < 0 || setns(fd, CLONE_NEWNET) < 0)
        return fail_errno(err, errno, "enter the network of the instance");
    if (unshare(CLONE_NEWUTS) < 0 || sethostname(host, strlen(host)) < 0)
        return fail_errno(err, errno, "take the name of the instance");
    setenv("NCCL_SOCKET_IFNAME", "=eth0", 1);
    unsetenv("NCCL_HOSTID");
    return 0;
}

/* Who has set NCCL_NET for the server knows better than we. */
static void prepare(const char *uuids)
{
    setenv("CUDA_VISIBLE_DEVICES", uuids, 1);
    setenv("NCCL_SOCKET_FAMILY", "AF_INET", 1);
    setenv("NCCL_NET", "Socket", 0); /* containers have no InfiniBand */
    setenv("NCCL_DEBUG", "WARN", 0); /* into the agent's log */
}

static int be_ready(struct member *m, const char *uuids, const char *library, struct rank_word *w)
{
    struct err err;
    char why[256], uuid[96];

    snprintf(uuid, sizeof uuid, "%.*s", (int)strcspn(uuids, ","), uuids);
    begin("the loading of the libraries");
    m->nccl = nccl_load(library, why, sizeof why);
    m->cuda = m->nccl ? cuda_load(why, sizeof why) : NULL;
    if (!m->cuda)
        return bad(w, RANK_ABSENT, why);
    w->version = nccl_version(m->nccl);
    begin("CUDA's beginning");
    if (cuda_use(m->cuda, uuid, &err) < 0)
        return bad(w, err.kind == ERR_UNAVAILABLE ? RANK_FAILED : RANK_SICK, err.text);
    begin("ncclGetUniqueId");
    if (nccl_make_id(m->nccl, w->id, &err) < 0)
        return bad(w, state_of(&err), err.text);
    return 0;
}

/* --- It takes part ---
 *
 * A GPU that fails before NCCL has it is sick; one that fails with NCCL may have been made to by another. */

static uint64_t word_of(size_t i)
{
    return (uint64_t)(i + 1) * UINT64_C(0x9e3779b97f4a7c15);
}

static int place(struct member *m, uint64_t at, uint64_t weight, struct err *err)
{
    for (size_t i = 0; i < WORDS; i++)
        m->words[i] = word_of(i) * weight;
    return cuda_write(m->cuda, at, m->words, RANK_SUM_BYTES, err);
}

/* What comes back from the GPU is what was put there: else no sum can be right. */
static int fill(struct member *m, const struct rank_task *task, struct err *err)
{
    uint64_t weight = (uint64_t)task->rank + 1;

    if (cuda_alloc(m->cuda, RANK_SUM_BYTES, &m->from, err) < 0 ||
        cuda_alloc(m->cuda, RANK_SUM_BYTES, &m->to, err) < 0 || place(m, m->to, 0, err) < 0 ||
        place(m, m->from, weight, err) < 0)
        return -1;
    memset(m->words, 0, RANK_SUM_BYTES);
    if (cuda_read(m->cuda, m->words, m->from, RANK_SUM_BYTES, err) < 0)
        return -1;
    for (size_t i = 0; i < WORDS; i++)
        if (m->words[i] != word_of(i) * weight)
            return fail(err, ERR_INTERNAL, "its memory did not keep what was written, from word %zu on", i);
    return 0;
}

static int add_up(struct member *m, int times, struct rank_word *w)
{
    const struct timespec nap = { .tv_nsec = NAP_NS };
    bool idle = false;
    struct err err;

    for (int i = 0; i < times; i++)
        if (nccl_sum(m->nccl, m->from, m->to, WORDS, cuda_stream(m->cuda), &err) < 0)
            return bad(w, state_of(&err), err.text);
    for (;;) {
        if (nccl_trouble(m->nccl, &err) < 0)
            return bad(w, state_of(&err), err.text);
        if (cuda_idle(m->cuda, &idle, &err) < 0)
            return bad(w, RANK_FAILED, err.text);
        if (idle)
            return 0;
        nanosleep(&nap, NULL);
    }
}

static int look(struct member *m, const struct rank_task *task, struct rank_word *w)
{
    uint64_t weight = (uint64_t)task->ranks * ((uint64_t)task->ranks + 1) / 2;
    struct err err;
    char why[128];

    if (cuda_read(m->cuda, m->words, m->to, RANK_SUM_BYTES, &err) < 0)
        return bad(w, RANK_FAILED, err.text);
    for (size_t i = 0; i < WORDS; i++)
        if (m->words[i] != word_of(i) * weight) {
            snprintf(why, sizeof why, "the sum is wrong: word %zu is %" PRIx64 " and should be %" PRIx64, i,
                     m->words[i], word_of(i) * weight);
            return bad(w, RANK_FAILED, why);
        }
    return 0;
}

static int64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static int take_part(struct member *m, const struct rank_task *task, struct rank_word *w)
{
    int64_t began_ns;
    struct err err;

    m->words = malloc(RANK_SUM_BYTES);
    if (!m->words)
        return bad(w, RANK_FAILED, "out of memory");
    begin("the writing of the GPU's memory");
    if (fill(m, task, &err) < 0)
        return bad(w, RANK_SICK, err.text);
    begin("ncclCommInitRank");
    if (nccl_join(m->nccl, task->id, task->ranks, task->rank, &err) < 0)
        return bad(w, state_of(&err), err.text);
    begin("ncclAllReduce");
    if (add_up(m, 1, w) < 0 || look(m, task, w) < 0)
        return -1;
    if (place(m, m->to, 0, &err) < 0)
        return bad(w, RANK_FAILED, err.text);
    began_ns = now_ns();
    if (add_up(m, ROUNDS, w) < 0)
        return -1;
    w->sum_ns = (now_ns() - began_ns) / ROUNDS;
    return look(m, task, w);
}

int main(int argc, char **argv)
{
    struct rank_word w = { .state = RANK_GOOD };
    struct member m = { 0 };
    struct rank_task task;
    struct err err;
    char ignored;

    log_setup("sagebrush-nccl", LOG_INFO);
    if (argc != 6 || argv[1][0] != '/') {
        fprintf(stderr, "usage: sagebrush-nccl FOLDER NAMESPACE HOST UUIDS LIBRARY\n\nA GPU's part in the check of a "
                        "job's instances. Started by sagebrush-agent.\n");
        return 2;
    }
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (*argv[2] && enter(argv[2], argv[3], &err) < 0)
        bad(&w, RANK_ABSENT, err.text);
    prepare(argv[4]);
    if (w.state == RANK_GOOD)
        be_ready(&m, argv[4], argv[5], &w);
    tell(&w);
    if (w.state != RANK_GOOD || recv(RANK_FD, &task, sizeof task, 0) != sizeof task)
        return 0;
    take_part(&m, &task, &w);
    tell(&w);
    /* Others may still wait for what NCCL has not sent yet: the agent knows when all are done. */
    while (recv(RANK_FD, &ignored, sizeof ignored, 0) > 0)
        ;
    _exit(0);
}
