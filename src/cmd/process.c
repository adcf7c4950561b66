/* process.c - processes that outlive whoever started them. */
#include "cmd/process.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"

/* Field 22 of /proc/<pid>/stat. The second field is a name in parentheses that may hold anything, so count from the
 * last one. */
static int start_time(pid_t pid, int64_t *ret)
{
    _cleanup_arena_ struct arena *a = arena_new();
    struct err err = { 0 };
    struct str text;
    const char *at;
    char state;

    if (file_read(a, arena_printf(a, "/proc/%d/stat", (int)pid), 4096, &text, &err) < 0)
        return -1;
    at = strrchr(text.data, ')');
    if (!at || sscanf(at + 1, " %c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %" SCNd64,
                      &state, ret) != 2)
        return -1;
    return state == 'Z' || state == 'X' ? -1 : 0;
}

int process_save(const char *path, pid_t pid, struct err *err)
{
    char text[64];
    int64_t started;

    if (start_time(pid, &started) < 0)
        return fail(err, ERR_INTERNAL, "process %d is not in /proc", (int)pid);
    snprintf(text, sizeof text, "%d %" PRId64 "\n", (int)pid, started);
    return file_write_atomic(path, text, strlen(text), 0644, err);
}

int process_open(pid_t pid, struct process *ret, struct err *err)
{
    int64_t started = 0;
    int fd = (int)syscall(SYS_pidfd_open, pid, 0);

    if (fd < 0)
        return fail_errno(err, errno, "pidfd_open of %d", (int)pid);
    start_time(pid, &started); /* a child that is a zombie already has none, and needs none */
    *ret = (struct process) { .pid = pid, .started = started, .fd = fd };
    return 0;
}

void process_find(const char *path, struct process *ret)
{
    _cleanup_arena_ struct arena *a = arena_new();
    struct process p = PROCESS_NONE;
    struct err err = { 0 };
    int64_t started, now;
    struct str text;
    int pid;

    *ret = PROCESS_NONE;
    if (file_read(a, path, 64, &text, &err) < 0 || sscanf(text.data, "%d %" SCNd64, &pid, &started) != 2 || pid <= 1)
        return;
    if (process_open(pid, &p, &err) < 0)
        return;
    /* Asked after the pidfd was opened: if it is the right one now, the pidfd is of the right one. */
    if (start_time(pid, &now) < 0 || now != started) {
        process_close(&p);
        return;
    }
    *ret = p;
}

bool process_ended(const struct process *p)
{
    struct pollfd pollfd = { .fd = p->fd, .events = POLLIN };

    return p->fd < 0 || poll(&pollfd, 1, 0) > 0;
}

void process_signal(const struct process *p, int number)
{
    if (p->fd >= 0)
        syscall(SYS_pidfd_send_signal, p->fd, number, NULL, 0);
}

void process_close(struct process *p)
{
    if (p->fd >= 0)
        close(p->fd);
    *p = PROCESS_NONE;
}

int process_take_fd(const struct process *p, int number, int *ret_fd, struct err *err)
{
    int fd = (int)syscall(SYS_pidfd_getfd, p->fd, number, 0);

    if (fd < 0)
        return fail_errno(err, errno, "cannot copy descriptor %d of process %d", number, (int)p->pid);
    *ret_fd = fd;
    return 0;
}
