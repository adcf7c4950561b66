/* supervisor.c - keeps the control plane and the data plane alive.
 *
 * It holds nothing that is worth anything but the listening socket, and that one the data plane holds too: so it may be
 * killed at any line. The others go on; the next supervisor finds them by their pid files, takes the socket from the
 * data plane, and watches them as if they were its own children. A pid file is written by the child itself before it
 * becomes its program: there is no moment in which a program runs that nobody can find. */
#include "cmd/supervisor.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/program.h"
#include "cmd/client.h"
#include "cmd/process.h"
#include "net/listener.h"
#include "net/loop.h"

#define DATA_PLANE_PID "serve.pid"

enum { SOCKET_FD = 3, GRACE_MS = 30000, STEADY_MS = 60000, DELAY_MAX_MS = 30000, READY_MS = 120000,
       HOPELESS = 3, TAIL_BYTES = 2000 };

/* One program. In the order of shutdown: the public door closes first. */
struct child {
    const char *name, *pid_name;
    bool has_socket;
    const char *path, *pid_path;
    struct process process;
    int64_t started_ms; /* boot time; 0: adopted */
    int64_t again_ms;   /* when it is started again, 0: it runs */
    int failures;       /* in a row */
};

struct supervisor {
    const struct supervisor_config *config;
    void (*ready)(const void *data, const char *why);
    const void *ready_data;
    struct arena *arena;
    struct child children[2];
    int socket; /* the public one, listening */
    int signals;
};

enum { DATA_PLANE, CONTROL_PLANE, CHILDREN };

static int64_t now_ms(void)
{
    return clock_boot_ms(clock_system());
}

/* In the child: what is left of us is a process with three or four descriptors and no signal blocked. */
static void become(struct supervisor *s, struct child *c)
{
    const char *const arguments[] = { c->path, "--data", s->config->data_folder, NULL };
    struct err err = { 0 };
    sigset_t none;
    int log = STDERR_FILENO;

    setsid();
    if (chdir("/") < 0)
        _exit(126);
    if (s->config->log_folder) {
        log = open(arena_printf(s->arena, "%s/%s.log", s->config->log_folder, c->name),
                   O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
        if (log < 0 || dup2(log, STDOUT_FILENO) < 0 || dup2(log, STDERR_FILENO) < 0)
            _exit(126);
    }
    if (process_save(c->pid_path, getpid(), &err) < 0) {
        log_error("program.failed", "name=%s error=%s", c->name, log_quote(s->arena, err.text));
        _exit(126);
    }
    if (c->has_socket) {
        if (s->socket == SOCKET_FD ? fcntl(SOCKET_FD, F_SETFD, 0) < 0 : dup2(s->socket, SOCKET_FD) < 0)
            _exit(126);
    }
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    execv(c->path, (char *const *)arguments);
    log_error("program.failed", "name=%s error=%s", c->name, log_quote(s->arena, strerror(errno)));
    _exit(127);
}

static void start_later(struct child *c, int64_t delay_ms)
{
    c->again_ms = now_ms() + (delay_ms > 0 ? delay_ms : 1);
}

static void start(struct supervisor *s, struct child *c)
{
    struct err err = { 0 };
    pid_t pid = fork();

    if (pid == 0)
        become(s, c);
    if (pid < 0 || process_open(pid, &c->process, &err) < 0) {
        log_error("program.failed", "name=%s error=%s", c->name, log_quote(s->arena, strerror(errno)));
        start_later(c, 1000);
        return;
    }
    c->started_ms = now_ms();
    c->again_ms = 0;
    log_info("program.started", "name=%s pid=%d", c->name, (int)pid);
}

/* The last lines of its log; "" when they are on our standard error, where everybody has read them. */
static const char *last_lines(struct supervisor *s, const struct child *c)
{
    const char *path = arena_printf(s->arena, "%s/%s.log", s->config->log_folder, c->name), *line;
    _cleanup_fd_ int fd = s->config->log_folder ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    off_t size = fd < 0 ? 0 : lseek(fd, 0, SEEK_END), from = size > TAIL_BYTES ? size - TAIL_BYTES : 0;
    char text[TAIL_BYTES + 1];
    ssize_t n = fd < 0 ? 0 : pread(fd, text, TAIL_BYTES, from);

    if (n <= 0)
        return "";
    text[text[n - 1] == '\n' ? n - 1 : n] = '\0';
    line = from ? strchr(text, '\n') : NULL;
    return arena_printf(s->arena, ". The end of its log:\n%s", line ? line + 1 : text);
}

/* It is tried again all the same; but who waits for the server to answer need not wait to the end. */
static void tell_hopeless(struct supervisor *s, const struct child *c)
{
    s->ready(s->ready_data, arena_printf(s->arena, "%s has ended %d times in a row, and is started again until "
                                                   "`sagebrush down`%s", c->name, c->failures, last_lines(s, c)));
}

/* Our own children leave an exit status; of adopted ones only the end can be seen. */
static void ended(struct supervisor *s, struct child *c)
{
    int status = 0;
    int64_t lived_ms = c->started_ms ? now_ms() - c->started_ms : STEADY_MS;

    if (waitpid(c->process.pid, &status, WNOHANG) == c->process.pid)
        log_warning("program.ended", "name=%s pid=%d %s=%d", c->name, (int)c->process.pid,
                    WIFSIGNALED(status) ? "signal" : "exit",
                    WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    else
        log_warning("program.ended", "name=%s pid=%d", c->name, (int)c->process.pid);
    process_close(&c->process);
    c->failures = lived_ms >= STEADY_MS ? 0 : c->failures + 1;
    if (c->failures == HOPELESS)
        tell_hopeless(s, c);
    start_later(c, c->failures <= 1 ? 0 : c->failures > 6 ? DELAY_MAX_MS : INT64_C(1000) << (c->failures - 2));
}

/* The address and port that a listening socket has, against what is wanted now. */
static bool listens_on(int fd, const char *address, int port)
{
    struct sockaddr_storage at = { 0 };
    socklen_t size = sizeof at;
    char text[INET6_ADDRSTRLEN] = "";
    int accepting = 0, its_port = 0;
    socklen_t accepting_size = sizeof accepting;

    if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &accepting, &accepting_size) < 0 || !accepting ||
        getsockname(fd, (struct sockaddr *)&at, &size) < 0)
        return false;
    if (at.ss_family == AF_INET) {
        its_port = ntohs(((struct sockaddr_in *)&at)->sin_port);
        inet_ntop(AF_INET, &((struct sockaddr_in *)&at)->sin_addr, text, sizeof text);
    } else if (at.ss_family == AF_INET6) {
        its_port = ntohs(((struct sockaddr_in6 *)&at)->sin6_port);
        inet_ntop(AF_INET6, &((struct sockaddr_in6 *)&at)->sin6_addr, text, sizeof text);
    }
    return its_port == port && strcmp(text, address) == 0;
}

static void end_and_wait(struct child *c, int64_t grace_ms)
{
    struct pollfd pollfd = { .fd = c->process.fd, .events = POLLIN };
    int64_t until = now_ms() + grace_ms;

    if (c->process.fd < 0)
        return;
    process_signal(&c->process, SIGTERM);
    while (!process_ended(&c->process)) {
        int64_t left = until - now_ms();

        if (left <= 0) {
            log_warning("program.killed", "name=%s pid=%d", c->name, (int)c->process.pid);
            process_signal(&c->process, SIGKILL);
            until = INT64_MAX;
            left = 1000;
        }
        poll(&pollfd, 1, left > 1000 ? 1000 : (int)left);
    }
    waitpid(c->process.pid, NULL, WNOHANG);
    process_close(&c->process);
    log_info("program.stopped", "name=%s", c->name);
}

static int why_not_listening(const struct supervisor_config *config, int why, struct err *err)
{
    const char *address = config->address;
    int port = config->port;

    switch (why) {
    case EADDRINUSE:
        return fail(err, ERR_CONFLICT,
                    "port %d of %s is in use by another program (`ss -ltnp sport = :%d` names it): end that one, or "
                    "choose another port with --port N", port, address, port);
    case EADDRNOTAVAIL:
        return fail(err, ERR_INVALID,
                    "%s is no address of this machine: --bind takes one that `ip address` shows, or 0.0.0.0 for all",
                    address);
    case EACCES:
        return fail(err, ERR_DENIED, "port %d is for root: start with `sudo sagebrush up`, or choose one above 1023 "
                    "with --port N", port);
    default:
        return -1;
    }
}

int supervisor_socket(struct arena *a, const char *run_folder)
{
    struct process data_plane;
    struct err ignored;
    int fd = -1;

    process_find(arena_printf(a, "%s/" DATA_PLANE_PID, run_folder), &data_plane);
    if (data_plane.fd >= 0 && process_take_fd(&data_plane, SOCKET_FD, &fd, &ignored) < 0)
        fd = -1;
    process_close(&data_plane);
    return fd;
}

/* False: it is closed. */
static bool use_socket(struct supervisor *s, int fd)
{
    if (fd < 0)
        return false;
    if (listens_on(fd, s->config->address, s->config->port)) {
        s->socket = fd;
        return true;
    }
    close(fd);
    return false;
}

/* What a supervisor before us left running, and the socket. */
static int adopt(struct supervisor *s, struct err *err)
{
    struct child *data_plane = &s->children[DATA_PLANE];
    int port;

    for (int i = 0; i < CHILDREN; i++) {
        struct child *c = &s->children[i];

        process_find(c->pid_path, &c->process);
        if (c->process.fd >= 0)
            log_info("program.adopted", "name=%s pid=%d", c->name, (int)c->process.pid);
    }
    if (use_socket(s, s->config->socket))
        return 0;
    if (data_plane->process.fd >= 0) {
        if (use_socket(s, supervisor_socket(s->arena, s->config->run_folder)))
            return 0;
        /* It serves another address, or cannot be asked: only a new one can serve this one. */
        end_and_wait(data_plane, GRACE_MS);
    }
    if (listen_tcp(s->config->address, s->config->port, &s->socket, &port, err) == 0)
        return 0;
    return why_not_listening(s->config, errno, err); /* of the call that failed; closing the socket kept it */
}

static int prepare(struct supervisor *s, struct err *err)
{
    sigset_t watched;

    for (int i = 0; i < CHILDREN; i++) {
        struct child *c = &s->children[i];

        c->pid_path = arena_printf(s->arena, "%s/%s", s->config->run_folder, c->pid_name);
        c->process = PROCESS_NONE;
        if (program_path(s->arena, c->name, &c->path, err) < 0)
            return -1;
    }
    sigemptyset(&watched);
    sigaddset(&watched, SIGTERM);
    sigaddset(&watched, SIGINT);
    sigaddset(&watched, SIGHUP);
    if (sigprocmask(SIG_BLOCK, &watched, NULL) < 0)
        return fail_errno(err, errno, "sigprocmask");
    s->signals = signalfd(-1, &watched, SFD_CLOEXEC | SFD_NONBLOCK);
    if (s->signals < 0)
        return fail_errno(err, errno, "signalfd");
    signal(SIGPIPE, SIG_IGN);
    return adopt(s, err);
}

/* Until control plane and data plane answer. The supervisor's own end ends the wait, and nobody is told. */
static int wait_ready(struct supervisor *s, const struct process *supervisor, struct err *err)
{
    const struct supervisor_config *config = s->config;
    const char *socket_path = arena_printf(s->arena, "%s/admin.sock", config->run_folder);
    int64_t until = now_ms() + READY_MS;

    for (;;) {
        struct pollfd pollfd = { .fd = supervisor->fd, .events = POLLIN };
        struct answer answer;

        if (client_call(s->arena, socket_path, "GET", "/_sagebrush/health", NULL, 2000, &answer, err) == 0 &&
            answer.status == 200 && client_public(s->arena, config->address, config->port, err) == 0)
            return 0;
        if (now_ms() >= until)
            return fail(err, ERR_UNAVAILABLE, "the server did not answer within %d s: %s", READY_MS / 1000, err->text);
        if (poll(&pollfd, 1, 20) > 0)
            _exit(0);
    }
}

static void say_ready(struct supervisor *s)
{
    struct process supervisor = PROCESS_NONE;
    struct err err = { 0 };
    sigset_t none;
    pid_t pid;

    /* Without it, it waits to the end. */
    if (process_open(getpid(), &supervisor, &err) < 0)
        supervisor = PROCESS_NONE;
    pid = fork();
    if (pid != 0)
        process_close(&supervisor);
    if (pid > 0)
        waitpid(pid, NULL, 0);
    if (pid != 0)
        return; /* a fork that failed costs a line of text */
    if (fork() != 0)
        _exit(0); /* so that the one who waits is nobody's child to reap */
    close(s->socket);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    s->ready(s->ready_data, wait_ready(s, &supervisor, &err) < 0 ? err.text : NULL);
    _exit(0);
}

static bool asked_to_end(int signals)
{
    struct signalfd_siginfo info;
    bool asked = false;

    while (read(signals, &info, sizeof info) == sizeof info) {
        /* A terminal that went away is no reason to end. */
        asked = asked || info.ssi_signo != SIGHUP;
        log_info("supervisor.signal", "number=%d from=%d", (int)info.ssi_signo, (int)info.ssi_pid);
    }
    return asked;
}

int supervisor_run(struct arena *a, const struct supervisor_config *config,
                   void (*ready)(const void *data, const char *why), const void *data, struct err *err)
{
    struct supervisor s = {
        .config = config,
        .ready = ready,
        .ready_data = data,
        .arena = a,
        .children = {
            [DATA_PLANE] = { .name = "sagebrush-serve", .pid_name = DATA_PLANE_PID, .has_socket = true },
            [CONTROL_PLANE] = { .name = "sagebrushd", .pid_name = "control.pid" },
        },
        .socket = -1,
    };

    if (prepare(&s, err) < 0)
        return -1;
    /* The control plane first: the data plane waits for what it writes. */
    for (int i = CHILDREN - 1; i >= 0; i--)
        if (s.children[i].process.fd < 0)
            start(&s, &s.children[i]);
    say_ready(&s);
    for (;;) {
        struct pollfd fds[CHILDREN + 1] = { { .fd = s.signals, .events = POLLIN } };
        int64_t wait_ms = 60000;

        for (int i = 0; i < CHILDREN; i++) {
            struct child *c = &s.children[i];

            fds[i + 1] = (struct pollfd) { .fd = c->process.fd, .events = POLLIN };
            if (c->again_ms && c->again_ms - now_ms() < wait_ms)
                wait_ms = c->again_ms - now_ms();
        }
        poll(fds, CHILDREN + 1, wait_ms > 0 ? (int)wait_ms : 0);
        if (asked_to_end(s.signals))
            break;
        for (int i = 0; i < CHILDREN; i++) {
            struct child *c = &s.children[i];

            if (c->process.fd >= 0 && process_ended(&c->process))
                ended(&s, c);
            if (c->again_ms && now_ms() >= c->again_ms)
                start(&s, c);
        }
    }
    for (int i = 0; i < CHILDREN; i++)
        end_and_wait(&s.children[i], GRACE_MS);
    for (int i = 0; i < CHILDREN; i++)
        unlink(s.children[i].pid_path);
    close(s.socket);
    close(s.signals);
    return 0;
}
