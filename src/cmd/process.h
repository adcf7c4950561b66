/* process.h - processes that outlive whoever started them: found again by pid and start time, watched by pidfd. */
#ifndef CMD_PROCESS_H
#define CMD_PROCESS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"

struct process {
    pid_t pid;       /* 0: none */
    int64_t started; /* in clock ticks since boot, from /proc: a pid alone may be somebody else by now */
    int fd;          /* pidfd, readable when it ended; -1: none */
};

#define PROCESS_NONE ((struct process) { .fd = -1 })

/* "<pid> <start time>" in a file. */
int process_save(const char *path, pid_t pid, struct err *err);

/* The process that a file names, if it is alive; a file that is missing, damaged or about a dead one gives
 * PROCESS_NONE. */
void process_find(const char *path, struct process *ret);

int process_open(pid_t pid, struct process *ret, struct err *err); /* one that is surely there, such as a child */
bool process_ended(const struct process *);
void process_signal(const struct process *, int number); /* gone already is fine */
void process_close(struct process *);                    /* forgets it; it goes on */

/* A copy of that process's descriptor 'number', close-on-exec. */
int process_take_fd(const struct process *, int number, int *ret_fd, struct err *err);

#endif
