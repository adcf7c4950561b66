/* command.c - input and output are files in memory, so that neither side waits for the other's pipe. */
#include "run/command.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"

enum { OUTPUT_LIMIT = 64 << 20 };

static int file_in_memory(struct str content, int *ret, struct err *err)
{
    int fd = memfd_create("command", MFD_CLOEXEC);

    if (fd < 0)
        return fail_errno(err, errno, "make a file in memory");
    if (fd_write_all(fd, content.data, content.size, err) < 0 || lseek(fd, 0, SEEK_SET) < 0) {
        close(fd);
        return -1;
    }
    *ret = fd;
    return 0;
}

static int spawn(const char *const *arguments, const int fds[3], pid_t *ret, struct err *err)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none, all;
    int r;

    sigemptyset(&none);
    sigfillset(&all);
    posix_spawn_file_actions_init(&actions);
    for (int i = 0; i < 3; i++)
        posix_spawn_file_actions_adddup2(&actions, fds[i], i);
    posix_spawn_file_actions_addclosefrom_np(&actions, 3);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &all);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSID);
    r = posix_spawnp(ret, arguments[0], &actions, &attributes, (char *const *)arguments, environ);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    if (r == ENOENT)
        return fail(err, ERR_NOT_FOUND, "there is no program %s", arguments[0]);
    return r ? fail_errno(err, r, "start %s", arguments[0]) : 0;
}

/* -1: it was killed. */
static int wait_for(pid_t pid, int64_t limit_ms)
{
    _cleanup_fd_ int process = (int)syscall(SYS_pidfd_open, pid, 0);
    struct pollfd p = { .fd = process, .events = POLLIN };
    int status, ready;

    do
        ready = poll(&p, 1, (int)limit_ms);
    while (ready < 0 && errno == EINTR);
    if (ready == 0)
        kill(-pid, SIGKILL); /* its session, which is its own */
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return -1;
    if (ready == 0)
        return -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int command_run(struct arena *a, const char *const *arguments, struct str input, int64_t limit_ms,
                struct command_result *ret, struct err *err)
{
    _cleanup_fd_ int in = -1, out = -1, errors = -1;
    struct command_result r;
    pid_t pid;

    if (file_in_memory(input, &in, err) < 0 || file_in_memory((struct str){ 0 }, &out, err) < 0 ||
        file_in_memory((struct str){ 0 }, &errors, err) < 0 ||
        spawn(arguments, (int[]){ in, out, errors }, &pid, err) < 0)
        return -1;
    r.status = wait_for(pid, limit_ms);
    if (r.status < 0)
        return fail(err, ERR_UNAVAILABLE, "%s did not answer within %d s", arguments[0], (int)(limit_ms / 1000));
    if (lseek(out, 0, SEEK_SET) < 0 || lseek(errors, 0, SEEK_SET) < 0)
        return fail_errno(err, errno, "read what %s printed", arguments[0]);
    if (fd_read_all(a, out, OUTPUT_LIMIT, &r.output, err) < 0 ||
        fd_read_all(a, errors, OUTPUT_LIMIT, &r.errors, err) < 0)
        return -1;
    *ret = r;
    return 0;
}
