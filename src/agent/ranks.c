#include "agent/ranks.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "agent/helper.h"
#include "base/fd.h"

enum {
    HIGH_FD = 64,
    LOOK_MS = 100,   /* between two looks at the other instances */
    GRACE_MS = 300,  /* for a rank's own words when another one has failed */
    GONE_MS = 5000,  /* for the end of one that was killed: in a driver that hangs it has none */
};

struct rank {
    pid_t pid;
    int fd;
    bool heard;
    struct rank_word word;
    struct rank_word step; /* what it did last */
};

struct ranks {
    struct ranks_options o;
    struct rank all[GPU_MOST];
};

void rank_word_set(struct rank_word *w, enum rank_state state, const char *words)
{
    size_t size = 0;

    w->state = (int32_t)state;
    /* They become part of a line, and of JSON. */
    for (; *words && size < sizeof w->words - 1; words++)
        w->words[size++] = *words >= ' ' && *words <= '~' ? *words : ' ';
    w->words[size] = '\0';
}

static void say(struct rank *r, enum rank_state state, const char *words)
{
    r->heard = true;
    r->word = (struct rank_word){ 0 };
    rank_word_set(&r->word, state, words);
}

/* --- The processes --- */

/* All of them, that one first. */
static const char *uuids_from(struct arena *a, const struct ranks_options *o, int first)
{
    const char *uuids = o->gpus[first].uuid;

    for (int i = 0; i < o->count; i++)
        if (i != first)
            uuids = arena_printf(a, "%s,%s", uuids, o->gpus[i].uuid);
    return uuids;
}

static int start(const struct ranks_options *o, int gpu, struct rank *r, struct err *err)
{
    _cleanup_arena_ struct arena *a = arena_new();
    const char *arguments[] = { o->namespace ? o->namespace : "", o->host, uuids_from(a, o, gpu), o->library, NULL };
    _cleanup_fd_ int theirs = -1;
    int pair[2];

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return fail_errno(err, errno, "make a socket for sagebrush-nccl");
    r->fd = pair[0];
    /* Out of the way of the place that it gets in the other process. */
    theirs = fcntl(pair[1], F_DUPFD_CLOEXEC, HIGH_FD);
    close(pair[1]);
    if (theirs < 0)
        return fail_errno(err, errno, "keep a descriptor");
    return helper_start(&(struct helper){ .program = "sagebrush-nccl", .folder = o->folder, .arguments = arguments,
                                          .fds = &theirs, .count = 1, .first_fd = RANK_FD }, &r->pid, err);
}

struct ranks *ranks_new(const struct ranks_options *o)
{
    struct ranks *ranks = calloc(1, sizeof *ranks);

    assert(ranks && o->count <= GPU_MOST);
    ranks->o = *o;
    for (int i = 0; i < o->count; i++) {
        struct err err;

        ranks->all[i].fd = -1;
        if (start(o, i, &ranks->all[i], &err) < 0)
            say(&ranks->all[i], RANK_ABSENT, err.text);
    }
    return ranks;
}

/* Also one that nobody has waited for. */
static bool is_gone(const struct rank *r)
{
    siginfo_t info = { 0 };

    return !r->pid || waitid(P_PID, (id_t)r->pid, &info, WEXITED | WNOHANG | WNOWAIT) < 0 || info.si_pid;
}

/* What the libraries have started goes as well: each rank has a session, and so a group, of its own. */
static void end_group(const struct rank *r)
{
    kill(-r->pid, SIGKILL);
}

static bool has_ended(struct ranks *ranks, struct rank *r, int64_t wait_ms, int *ret_status)
{
    const struct timespec pause = { .tv_nsec = 10000000 };
    int64_t until_ms = clock_boot_ms(ranks->o.clock) + wait_ms;

    while (!is_gone(r)) {
        if (clock_boot_ms(ranks->o.clock) >= until_ms)
            return false;
        nanosleep(&pause, NULL);
    }
    end_group(r); /* before its number is free */
    waitpid(r->pid, ret_status, 0);
    r->pid = 0;
    return true;
}

void ranks_free(struct ranks *ranks)
{
    int status;

    if (!ranks)
        return;
    for (int i = 0; i < ranks->o.count; i++)
        if (ranks->all[i].pid)
            end_group(&ranks->all[i]);
    /* The GPU is free when its process is gone. */
    for (int i = 0; i < ranks->o.count; i++) {
        if (ranks->all[i].pid)
            has_ended(ranks, &ranks->all[i], GONE_MS, &status);
        fd_cleanup(&ranks->all[i].fd);
    }
    free(ranks);
}

/* --- What they say --- */

static void hear_end(struct ranks *ranks, struct rank *r)
{
    char words[128] = "its process closed the connection";
    int status;

    if (r->pid && has_ended(ranks, r, GONE_MS, &status)) {
        if (WIFSIGNALED(status))
            snprintf(words, sizeof words, "the libraries ended their process by signal %d (%s)", WTERMSIG(status),
                     strsignal(WTERMSIG(status)));
        else
            snprintf(words, sizeof words, "the libraries ended their process, exit code %d", WEXITSTATUS(status));
    }
    say(r, RANK_FAILED, words);
}

static void hear(struct ranks *ranks, struct rank *r)
{
    bool gone = is_gone(r); /* then all that it said is there; what it has started may keep the connection */
    struct rank_word word;
    ssize_t n = recv(r->fd, &word, sizeof word, MSG_DONTWAIT);

    if (n < 0 && !gone && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        hear_end(ranks, r);
        return;
    }
    if (n != sizeof word) {
        say(r, RANK_ABSENT, "sagebrush-nccl is of another version");
        return;
    }
    word.words[sizeof word.words - 1] = '\0';
    r->heard = word.state != RANK_BUSY;
    *(r->heard ? &r->word : &r->step) = word;
}

static bool is_over(const struct ranks *ranks)
{
    for (int i = 0; i < ranks->o.count; i++)
        if (!ranks->all[i].heard)
            return false;
    return true;
}

static bool has_bad(const struct ranks *ranks)
{
    for (int i = 0; i < ranks->o.count; i++)
        if (ranks->all[i].heard && rank_state_is_bad(ranks->all[i].word.state))
            return true;
    return false;
}

/* At most LOOK_MS, for what any of them says. */
static int listen_to(struct ranks *ranks, int64_t left_ms, struct err *err)
{
    struct pollfd fds[GPU_MOST + 1];
    int count = ranks->o.count, ready;

    for (int i = 0; i < count; i++)
        fds[i] = (struct pollfd){ ranks->all[i].heard ? -1 : ranks->all[i].fd, POLLIN, 0 };
    fds[count] = (struct pollfd){ ranks->o.cancel_fd, POLLIN, 0 };
    ready = poll(fds, (nfds_t)count + 1, (int)(left_ms < LOOK_MS ? left_ms : LOOK_MS));
    if (ready < 0 && errno != EINTR)
        return fail_errno(err, errno, "wait for sagebrush-nccl");
    if (ready > 0 && fds[count].revents)
        return fail(err, ERR_CONFLICT, "the collective check was ended");
    for (int i = 0; i < count; i++)
        if (!ranks->all[i].heard)
            hear(ranks, &ranks->all[i]);
    return 0;
}

/* Those that have not said how it ended: they are in a function of the libraries, for too long or because of another
 * one. */
static void end_silent(struct ranks *ranks, enum rank_state state, int64_t limit_ms)
{
    for (int i = 0; i < ranks->o.count; i++) {
        struct rank *r = &ranks->all[i];
        char words[512], where[300] = "";

        if (r->heard)
            continue;
        if (*r->step.words)
            snprintf(where, sizeof where, " in %s", r->step.words);
        if (state == RANK_ENDED)
            snprintf(words, sizeof words, "it was ended%s because another one had failed", where);
        else
            snprintf(words, sizeof words, "it was ended%s after %lld s", where, (long long)limit_ms / 1000);
        say(r, state, words);
    }
}

/* What one of them says for all: the worst. */
static void sum_up(const struct ranks *ranks, struct rank_word *ret)
{
    const struct rank_word *w;
    char words[512];
    int worst = 0;

    for (int i = 1; i < ranks->o.count; i++)
        if (ranks->all[i].word.state > ranks->all[worst].word.state)
            worst = i;
    w = &ranks->all[worst].word;
    *ret = *w;
    if (rank_state_is_bad(w->state)) {
        snprintf(words, sizeof words, "GPU %d (%s): %s", ranks->o.gpus[worst].index, ranks->o.gpus[worst].uuid,
                 w->words);
        rank_word_set(ret, (enum rank_state)w->state, words);
    }
    ret->gpu = worst;
    ret->gpus = ranks->o.count;
    memcpy(ret->id, ranks->all[0].word.id, sizeof ret->id);
    for (int i = 0; i < ranks->o.count; i++)
        if (ranks->all[i].word.sum_ns > ret->sum_ns)
            ret->sum_ns = ranks->all[i].word.sum_ns;
}

int ranks_ready(struct ranks *ranks, int64_t limit_ms, struct rank_word *ret, struct err *err)
{
    int64_t until_ms = clock_boot_ms(ranks->o.clock) + limit_ms, left_ms;

    if (!ranks->o.count) {
        *ret = (struct rank_word){ .state = RANK_NONE };
        return 0;
    }
    while (!is_over(ranks) && (left_ms = until_ms - clock_boot_ms(ranks->o.clock)) > 0)
        if (listen_to(ranks, left_ms, err) < 0)
            return -1;
    /* Nobody else can be the cause yet. */
    end_silent(ranks, RANK_FAILED, limit_ms);
    sum_up(ranks, ret);
    return 0;
}

/* --- What they do --- */

static void give_task(struct ranks *ranks, int first, int count, const unsigned char id[static NCCL_ID_SIZE])
{
    for (int i = 0; i < ranks->o.count; i++) {
        struct rank_task task = { .rank = first + i, .ranks = count };

        memcpy(task.id, id, NCCL_ID_SIZE);
        ranks->all[i].heard = false;
        /* One that is gone says so when it is heard. */
        send(ranks->all[i].fd, &task, sizeof task, MSG_NOSIGNAL);
    }
}

int ranks_sum(struct ranks *ranks, int first, int count, const unsigned char id[static NCCL_ID_SIZE], int64_t limit_ms,
              bool (*ended)(void *data), void *data, struct rank_word *ret, struct err *err)
{
    int64_t now_ms = clock_boot_ms(ranks->o.clock), until_ms = now_ms + limit_ms;
    bool bad = false;

    give_task(ranks, first, count, id);
    while (!is_over(ranks) && now_ms < until_ms) {
        if (listen_to(ranks, until_ms - now_ms, err) < 0)
            return -1;
        now_ms = clock_boot_ms(ranks->o.clock);
        /* One that fails leaves the others waiting: they may say why, too, and then they go. */
        if (!bad && (has_bad(ranks) || ended(data))) {
            bad = true;
            until_ms = until_ms < now_ms + GRACE_MS ? until_ms : now_ms + GRACE_MS;
        }
    }
    end_silent(ranks, bad ? RANK_ENDED : RANK_LATE, limit_ms);
    sum_up(ranks, ret);
    return 0;
}
