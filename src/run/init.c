/* init.c - sagebrush-init: pid 1 of a container.
 *
 * usage: sagebrush-init [--process] [--user UID:GID] FOLDER COMMAND [ARGUMENT...]
 *        sagebrush-init --wait [HELPER [ARGUMENT...]]
 *
 * Starts the command in FOLDER, reaps everybody, passes SIGTERM on to the command, and writes what became of it to
 * the folder that is open as descriptor 3 - a descriptor, so that the container needs no mount that its programs
 * could reach. Output goes to descriptor 4, a file, so that a killed agent is no SIGPIPE to the job. Descriptor 5 is
 * closed when 'started' is written: whoever waits for it sees the end of the pipe. So is descriptor 6, which holds the
 * lock on the making of this container: who gets the lock later finds 'started'.
 *
 * The command runs at most once a folder, whoever starts a second init: the lock and 'started' see to it. SIGUSR2
 * means: end now. Then everything here is killed and the record is still written. With --process there is no
 * namespace around us, and only the command's own processes are killed.
 *
 * With --wait the command comes later, in the file 'command' (run/waiting.h), and SIGUSR1 says that it is there. Until
 * then a lock on 'waiting' is held, nothing is claimed, and a helper may stand by: a process that gets the command
 * through its standard input and becomes it, when the command is the helper's own program. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "run/exitrecord.h"
#include "run/init_wait.h"

enum { EXIT_TWICE = 125 /* this folder's command has been started before */, RESERVE_BYTES = 16384 };

#define RESERVE "reserve"

static bool process_mode;
static char boot_id[64] = "unknown";
static int64_t started_ms;

static int64_t now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void read_boot_id(void)
{
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, boot_id, sizeof boot_id - 1);

    if (n > 0)
        boot_id[strcspn(boot_id, "\n")] = '\0';
    if (fd >= 0)
        close(fd);
}

/* The text under a temporary name, on disk when 'durable'. */
static int write_temporary(const char *name, const char *text, bool durable)
{
    int fd = openat(INIT_FD_FOLDER, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    size_t size = strlen(text), at = 0;

    if (fd < 0)
        return -1;
    while (at < size) {
        ssize_t n = write(fd, text + at, size - at);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            close(fd);
            return -1;
        }
        at += (size_t)n;
    }
    if (durable && fsync(fd) < 0) {
        close(fd);
        return -1;
    }
    return close(fd);
}

static void write_record(int exit_code, int signal, const char *problem)
{
    char text[1024];

    snprintf(text, sizeof text,
             "{\"version\":1,\"boot_id\":\"%s\",\"started_ms\":%lld,\"ended_ms\":%lld,\"exit_code\":%d,\"signal\":%d,"
             "\"oom_hint\":%s,\"problem\":\"%s\"}\n",
             boot_id, (long long)started_ms, (long long)now_ms(), exit_code, signal,
             signal == SIGKILL ? "true" : "false", problem);
    /* A full disk: here is the room that was kept. There may be more again later, and nobody else waits for this
     * process. */
    unlinkat(INIT_FD_FOLDER, RESERVE, 0);
    for (int i = 0; i < 600; i++) {
        if (write_temporary("exit.tmp", text, true) == 0 &&
            renameat(INIT_FD_FOLDER, "exit.tmp", INIT_FD_FOLDER, EXIT_RECORD) == 0) {
            fsync(INIT_FD_FOLDER);
            return;
        }
        usleep(100000);
    }
}

/* So that the record can be written when the job has filled the disk. */
static void keep_room(void)
{
    int fd = openat(INIT_FD_FOLDER, RESERVE, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

    if (fd < 0)
        return;
    if (fallocate(fd, 0, 0, RESERVE_BYTES) < 0)
        unlinkat(INIT_FD_FOLDER, RESERVE, 0);
    close(fd);
}

/* True when this init is the first here. */
static bool claim_folder(void)
{
    struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
    int fd = openat(INIT_FD_FOLDER, EXIT_LOCK, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    char text[256];

    if (fd < 0 || fcntl(fd, F_SETLK, &lock) < 0)
        return false; /* the descriptor stays open: the lock goes when it is closed */
    started_ms = now_ms();
    snprintf(text, sizeof text, "{\"boot_id\":\"%s\",\"started_ms\":%lld}\n", boot_id, (long long)started_ms);
    return write_temporary("started.tmp", text, false) == 0 &&
           linkat(INIT_FD_FOLDER, "started.tmp", INIT_FD_FOLDER, EXIT_STARTED, 0) == 0 &&
           unlinkat(INIT_FD_FOLDER, "started.tmp", 0) == 0;
}

static const char *user_of(const char *text, uid_t *ret_uid, gid_t *ret_gid)
{
    char *end;
    unsigned long uid = strtoul(text, &end, 10), gid;

    if (end == text || *end != ':')
        return "bad --user";
    text = end + 1;
    gid = strtoul(text, &end, 10);
    if (end == text || *end || uid > UINT32_MAX - 1 || gid > UINT32_MAX - 1)
        return "bad --user";
    *ret_uid = (uid_t)uid;
    *ret_gid = (gid_t)gid;
    return NULL;
}

/* What the child of a fork does before it becomes something else. */
static void leave_init(void)
{
    sigset_t none;

    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    dup2(INIT_FD_OUTPUT, STDOUT_FILENO);
    dup2(INIT_FD_OUTPUT, STDERR_FILENO);
    close(INIT_FD_OUTPUT);
    /* Closed before the folder is entered: a path through /proc/self/fd must not lead out of the container. */
    close(INIT_FD_FOLDER);
    setpgid(0, 0);
    prctl(PR_SET_DUMPABLE, 1);
}

/* The record is JSON, written by hand: of a name that its writer chose, what would need escapes shows as '?'. */
static void plain_name(char *ret, size_t size, const char *name)
{
    size_t n = 0;

    for (; name[n] && n + 1 < size; n++)
        ret[n] = name[n] >= ' ' && name[n] <= '~' && name[n] != '"' && name[n] != '\\' ? name[n] : '?';
    ret[n] = '\0';
}

/* Never returns. What goes wrong is told through 'pipe', as text. */
static void run_command(int pipe, const char *folder, char **argv, uid_t uid, gid_t gid)
{
    char why[256], name[150];

    leave_init();
    if (chdir(folder) < 0)
        snprintf(why, sizeof why, "cannot enter the working directory: %s", strerror(errno));
    else if ((uid || gid) && (setgroups(0, NULL) < 0 || setgid(gid) < 0 || setuid(uid) < 0))
        snprintf(why, sizeof why, "cannot become the user of the image: %s", strerror(errno));
    else {
        execvp(argv[0], argv);
        plain_name(name, sizeof name, argv[0]);
        snprintf(why, sizeof why, "cannot start the command %s: %s", name, strerror(errno));
    }
    if (write(pipe, why, strlen(why)) < 0)
        _exit(126);
    _exit(127);
}

static void kill_all(pid_t command)
{
    char path[64], text[4096], *at = text, *end;
    int fd;
    ssize_t n;

    if (!process_mode) {
        kill(-1, SIGKILL);
        return;
    }
    /* Who left the command's process group has become our child when its parent died, or will. */
    if (command > 0)
        kill(-command, SIGKILL);
    snprintf(path, sizeof path, "/proc/self/task/%d/children", (int)getpid());
    fd = open(path, O_RDONLY | O_CLOEXEC);
    n = fd < 0 ? 0 : read(fd, text, sizeof text - 1);
    if (fd >= 0)
        close(fd);
    for (text[n > 0 ? n : 0] = '\0';; at = end) {
        long pid = strtol(at, &end, 10);

        if (end == at)
            break;
        kill((pid_t)pid, SIGKILL);
    }
}

int main(int argc, char **argv)
{
    const char *bad = NULL;
    char problem[256] = "";
    int at = 1, pipes[2], status = 0;
    bool waits = false;
    uid_t uid = 0;
    gid_t gid = 0;
    struct helper helper = { 0 };
    struct command c;
    pid_t command;
    sigset_t all;
    ssize_t n;

    for (; at < argc && argv[at][0] == '-'; at++) {
        if (strcmp(argv[at], "--process") == 0)
            process_mode = true;
        else if (strcmp(argv[at], "--wait") == 0)
            waits = true;
        else if (strcmp(argv[at], "--user") == 0 && at + 1 < argc)
            bad = user_of(argv[++at], &uid, &gid);
        else
            bad = "unknown option";
    }
    if (bad || (argc - at < 2 && !waits)) {
        fprintf(stderr,
                "sagebrush-init: %s\nusage: sagebrush-init [--process] [--user UID:GID] FOLDER COMMAND...\n"
                "       sagebrush-init --wait [HELPER...]\n", bad ? bad : "nothing to run");
        return 2;
    }
    /* Our descriptors must not be reachable through /proc/1/fd for programs of the same user. */
    prctl(PR_SET_DUMPABLE, 0);
    if (process_mode)
        prctl(PR_SET_CHILD_SUBREAPER, 1);
    /* Blocked signals are never dropped, not even for pid 1; sigwaitinfo takes them one by one. */
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL);
    for (int fd = INIT_FD_FOLDER; fd <= INIT_FD_LOCK; fd++)
        fcntl(fd, F_SETFD, FD_CLOEXEC);
    read_boot_id();
    if (!waits) {
        c = (struct command){ .folder = argv[at], .user = "", .argv = argv + at + 1 };
    } else {
        if (!command_wait(argv + at, leave_init, &helper, &c) || (*c.user && user_of(c.user, &uid, &gid)))
            return 0;
        environ = c.environment;
    }
    if (!claim_folder())
        return EXIT_TWICE;
    if (!waits) {
        close(INIT_FD_LOCK);
        close(INIT_FD_READY);
    }
    if (pipe2(pipes, O_CLOEXEC) < 0) {
        write_record(126, 0, "no pipe");
        return 126;
    }
    if (helper_take(&helper, &c)) {
        command = helper.pid;
    } else {
        helper_dismiss(&helper);
        command = fork();
    }
    if (command == 0)
        run_command(pipes[1], c.folder, c.argv, uid, gid);
    close(pipes[1]);
    if (command < 0) {
        write_record(126, 0, "cannot fork");
        return 126;
    }
    keep_room();
    /* Ends at once when the command was started. */
    do
        n = read(pipes[0], problem, sizeof problem - 1);
    while (n < 0 && errno == EINTR);
    problem[n > 0 ? n : 0] = '\0';
    close(pipes[0]);

    for (;;) {
        siginfo_t info;
        bool ended = false;

        if (sigwaitinfo(&all, &info) < 0)
            continue;
        if (info.si_signo == SIGUSR2) {
            kill_all(command);
        } else if (info.si_signo == SIGTERM || info.si_signo == SIGINT || info.si_signo == SIGHUP) {
            kill(command, info.si_signo);
        }
        for (;;) {
            int s;
            pid_t pid = waitpid(-1, &s, WNOHANG);

            if (pid <= 0)
                break;
            if (pid == command) {
                ended = true;
                status = s;
            }
        }
        if (ended)
            break;
    }
    /* Without a namespace that ends with us, what the command left running is ended here. */
    for (int i = 0; process_mode && i < 100; i++) {
        kill_all(command);
        if (waitpid(-1, NULL, WNOHANG) < 0)
            break;
        usleep(10000);
    }
    if (WIFSIGNALED(status))
        write_record(128 + WTERMSIG(status), WTERMSIG(status), problem);
    else
        write_record(WEXITSTATUS(status), 0, problem);
    return 0;
}
