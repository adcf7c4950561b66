/* held.h - a process that holds the lock on a file, as an agent or an init does while it lives. Include it last. */
#ifndef TESTS_UNIT_HELD_H
#define TESTS_UNIT_HELD_H

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static inline pid_t hold(const char *path)
{
    int ready[2];
    char byte;
    pid_t pid;

    assert_int_equal(pipe(ready), 0);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct flock all = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
        int fd = open(path, O_RDWR | O_CREAT, 0600);

        prctl(PR_SET_PDEATHSIG, SIGKILL); /* a test that fails leaves nobody behind */
        if (fcntl(fd, F_SETLK, &all) == 0 && write(ready[1], "", 1) == 1)
            for (;;)
                pause();
        _exit(1);
    }
    close(ready[1]); /* one that could not is seen to end */
    assert_int_equal(read(ready[0], &byte, 1), 1);
    close(ready[0]);
    return pid;
}

static inline void let_go(pid_t pid)
{
    int how;

    kill(pid, SIGKILL);
    waitpid(pid, &how, 0);
}

#endif
