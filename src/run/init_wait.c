/* init_wait.c - nothing is claimed while an init waits: one that is killed has never been there. */
#include "run/init_wait.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "run/exitrecord.h"
#include "run/waiting.h"

static struct helper start_helper(char **argv, void (*leave)(void))
{
    struct helper h = { .program = argv[0] };
    int pipes[2];

    if (!argv[0] || pipe2(pipes, O_CLOEXEC) < 0)
        return h;
    h.pid = fork();
    if (h.pid == 0) {
        dup2(pipes[0], STDIN_FILENO);
        leave();
        execv(argv[0], argv);
        _exit(127);
    }
    close(pipes[0]);
    h.input = pipes[1];
    if (h.pid < 0)
        h.pid = 0;
    return h;
}

static void reap_helper(struct helper *h)
{
    pid_t pid;

    while ((pid = waitpid(-1, NULL, WNOHANG)) > 0)
        if (pid == h->pid)
            h->pid = 0;
}

/* The file whole, with a NUL behind it; NULL: it is not there. */
static char *read_command(size_t *ret_size)
{
    int fd = openat(INIT_FD_FOLDER, WAITING_COMMAND, O_RDONLY | O_CLOEXEC);
    size_t size = 0;
    struct stat st;
    char *text;

    if (fd < 0 || fstat(fd, &st) < 0)
        return NULL;
    text = malloc((size_t)st.st_size + 1);
    while (text && size < (size_t)st.st_size) {
        ssize_t n = read(fd, text + size, (size_t)st.st_size - size);

        if (n <= 0 && errno != EINTR)
            break;
        size += n > 0 ? (size_t)n : 0;
    }
    close(fd);
    if (text)
        text[size] = '\0';
    *ret_size = size;
    return text;
}

/* False: it is no command. */
static bool split_command(struct command *c)
{
    size_t count = 0, at = 0;
    char **words;
    long argc;

    for (size_t i = 0; i < c->size; i++)
        count += c->text[i] == '\0';
    words = calloc(count + 3, sizeof *words);
    if (!words || count < 4)
        return false;
    for (char *p = c->text; at < count; p += strlen(p) + 1)
        words[at++] = p;
    argc = strtol(words[2], NULL, 10);
    if (argc < 1 || (size_t)argc > count - 3)
        return false;
    c->folder = words[0];
    c->user = words[1];
    c->argv = calloc((size_t)argc + 1, sizeof *c->argv);
    c->environment = words + 3 + argc;
    if (!c->argv)
        return false;
    memcpy(c->argv, words + 3, (size_t)argc * sizeof *c->argv);
    return true;
}

bool command_wait(char **argv, void (*leave)(void), struct helper *helper, struct command *ret)
{
    struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
    int fd = openat(INIT_FD_FOLDER, WAITING_LOCK, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    sigset_t all;

    if (fd < 0 || fcntl(fd, F_SETLK, &lock) < 0)
        return false; /* the descriptor stays open: the lock goes with this process */
    *helper = start_helper(argv, leave);
    close(INIT_FD_LOCK);
    close(INIT_FD_READY);
    sigfillset(&all);
    for (;;) {
        siginfo_t info;

        ret->text = read_command(&ret->size);
        if (ret->text)
            return split_command(ret);
        if (sigwaitinfo(&all, &info) < 0)
            continue;
        if (info.si_signo == SIGCHLD)
            reap_helper(helper);
        else if (info.si_signo != SIGUSR1)
            return false;
    }
}

bool helper_take(const struct helper *h, const struct command *c)
{
    size_t at = 0;

    if (!h->pid || strcmp(h->program, c->argv[0]) != 0 || *c->user)
        return false;
    while (at < c->size) {
        ssize_t n = write(h->input, c->text + at, c->size - at);

        if (n < 0 && errno != EINTR)
            return false;
        at += n > 0 ? (size_t)n : 0;
    }
    close(h->input);
    return true;
}

void helper_dismiss(struct helper *h)
{
    if (!h->pid)
        return;
    kill(h->pid, SIGKILL);
    while (waitpid(h->pid, NULL, 0) < 0 && errno == EINTR)
        ;
    close(h->input);
}
