/* exitrecord.c - a lock that the kernel drops with the process cannot lie about who is alive; a pid file can. */
#include "run/exitrecord.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "doc/json.h"

enum { RECORD_LIMIT = 16384 };

int lock_holder(const char *path, pid_t *ret, struct err *err)
{
    _cleanup_fd_ int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY);
    struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

    if (fd < 0 && errno == ENOENT) {
        *ret = 0;
        return 0;
    }
    if (fd < 0)
        return fail_errno(err, errno, "open %s", path);
    if (fcntl(fd, F_GETLK, &lock) < 0)
        return fail_errno(err, errno, "ask who holds %s", path);
    *ret = lock.l_type == F_UNLCK ? 0 : lock.l_pid;
    return 0;
}

/* A descriptor that stands for who holds the lock, and for nobody who gets its number later; -1: nobody holds it. */
static int open_holder(const char *path, int *ret, struct err *err)
{
    _cleanup_fd_ int fd = -1;
    pid_t pid, again;

    *ret = -1;
    if (lock_holder(path, &pid, err) < 0)
        return -1;
    if (pid <= 0)
        return 0;
    fd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (fd < 0)
        return errno == ESRCH ? 0 : fail_errno(err, errno, "find process %d", (int)pid);
    /* It stands for one process from now on: is that still the one with the lock? */
    if (lock_holder(path, &again, err) < 0)
        return -1;
    if (again == pid) {
        *ret = fd;
        fd = -1;
    }
    return 0;
}

int lock_signal(const char *path, int signal, struct err *err)
{
    _cleanup_fd_ int fd = -1;

    if (open_holder(path, &fd, err) < 0)
        return -1;
    if (fd >= 0 && syscall(SYS_pidfd_send_signal, fd, signal, NULL, 0) < 0 && errno != ESRCH)
        return fail_errno(err, errno, "signal who holds %s", path);
    return 0;
}

int lock_wait(const char *path, int64_t ms, bool *ret_gone, struct err *err)
{
    int64_t until_ms = clock_boot_ms(clock_system()) + ms, left_ms;
    _cleanup_fd_ int fd = -1;
    struct pollfd p = { .events = POLLIN };

    if (open_holder(path, &fd, err) < 0)
        return -1;
    p.fd = fd;
    *ret_gone = fd < 0;
    while (!*ret_gone && (left_ms = until_ms - clock_boot_ms(clock_system())) > 0)
        *ret_gone = poll(&p, 1, (int)left_ms) > 0;
    return 0;
}

int exit_record_parse(struct arena *a, struct str text, struct exit_record *ret, struct err *err)
{
    struct doc *d;
    struct exit_record r = { .state = EXIT_ENDED };
    int64_t code, signal;

    if (json_parse(a, text, &d, err) < 0)
        return -1;
    code = doc_int(d, "exit_code", -1);
    signal = doc_int(d, "signal", 0);
    if (code < 0 || code > 255 || signal < 0 || signal > 64)
        return fail(err, ERR_INVALID, "the exit record has no exit code from 0 to 255");
    r.exit_code = (int)code;
    r.signal = (int)signal;
    r.started_ms = doc_int(d, "started_ms", 0);
    r.ended_ms = doc_int(d, "ended_ms", 0);
    r.problem = arena_strdup(a, doc_text(d, "problem"));
    *ret = r;
    return 0;
}

static int read_ended(struct arena *a, const char *folder, struct exit_record *ret, struct err *err)
{
    struct str text;

    if (file_read(a, arena_printf(a, "%s/" EXIT_RECORD, folder), RECORD_LIMIT, &text, err) < 0)
        return -1;
    return exit_record_parse(a, text, ret, err);
}

int exit_record_read(struct arena *a, const char *folder, struct exit_record *ret, struct err *err)
{
    struct exit_record r = { .problem = "" };
    struct err ignored = { 0 };
    struct str text, boot;
    struct doc *d;
    pid_t init;

    if (read_ended(a, folder, ret, &ignored) == 0)
        return 0;
    if (ignored.kind != ERR_NOT_FOUND) {
        *err = ignored;
        return -1;
    }
    if (lock_holder(arena_printf(a, "%s/" EXIT_LOCK, folder), &init, err) < 0)
        return -1;
    ignored = (struct err){ 0 };
    if (file_read(a, arena_printf(a, "%s/" EXIT_STARTED, folder), RECORD_LIMIT, &text, &ignored) < 0) {
        if (ignored.kind != ERR_NOT_FOUND) {
            *err = ignored;
            return -1;
        }
        /* The lock comes first, so an init that holds it is about to start the command. */
        r.state = init ? EXIT_RUNNING : EXIT_NONE;
        r.init = init;
        *ret = r;
        return 0;
    }
    if (file_read(a, "/proc/sys/kernel/random/boot_id", 128, &boot, err) < 0)
        return -1;
    if (json_parse(a, text, &d, &ignored) == 0)
        r.started_ms = doc_int(d, "started_ms", 0);
    if (init) {
        r.state = EXIT_RUNNING;
        r.init = init;
        *ret = r;
        return 0;
    }
    /* It may have ended between the first look and the question for the lock. */
    ignored = (struct err){ 0 };
    if (read_ended(a, folder, ret, &ignored) == 0)
        return 0;
    if (ignored.kind != ERR_NOT_FOUND) {
        *err = ignored;
        return -1;
    }
    r.state = EXIT_LOST;
    *ret = r;
    return 0;
}
