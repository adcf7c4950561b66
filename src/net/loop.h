/* loop.h - the event loop: one thread that waits for timers, sockets, signals, children and folders.
 *
 * Everything here belongs to the thread that runs the loop, except loop_post(). A callback never runs inside the call
 * that asked for it. Times are boot time in milliseconds (base/clock.h), as loop_now_ms() tells them. Sockets are in
 * net/stream.h and net/listener.h. */
#ifndef NET_LOOP_H
#define NET_LOOP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/list.h"
#include "base/str.h"

struct loop;

int loop_new(struct loop **ret, struct err *err);
void loop_free(struct loop *); /* NULL is fine; what was opened on it and not closed is closed */
void loop_run(struct loop *);  /* until loop_stop() */
void loop_stop(struct loop *); /* after this turn */
bool loop_turn(struct loop *, bool wait); /* one turn, for tests; wait: sleep until something happens */
int64_t loop_now_ms(struct loop *); /* boot time, read once a turn */

/* A timer stands inside what it is for, starts as { .run = f }, and fires once: set it again for the next time. */
struct loop_timer {
    void (*run)(struct loop_timer *);
    int64_t at_ms;
    size_t place; /* in the loop's heap, from 1; 0: not set */
};

void loop_timer_set(struct loop *, struct loop_timer *, int64_t at_ms); /* again is fine: the last one counts */
void loop_timer_stop(struct loop *, struct loop_timer *);               /* not set is fine */

/* Runs on the loop's thread, at the next turn, in the order posted. May be called from any thread while the loop
 * exists. */
void loop_post(struct loop *, void (*run)(void *data), void *data);

/* 'work' runs on a thread of a small pool, then 'done' on the loop's thread. */
void loop_work_threads(int count); /* of the process; before its first work, and before it has other threads */
void loop_work(struct loop *, void (*work)(void *data), void (*done)(void *data), void *data);

/* Called once after each turn's callbacks, before the loop sleeps, in the order they were added. What it writes to
 * sockets leaves at once; what it posts comes in the next turn. */
struct loop_hook {
    void (*run)(struct loop_hook *);
    struct list link;
};

void loop_turn_end(struct loop *, struct loop_hook *);
void loop_turn_end_remove(struct loop *, struct loop_hook *);

/* The process's signals: one function a signal and loop, NULL takes it away (and gives back the default action). */
int loop_signal(struct loop *, int number, void (*run)(void *data, int number), void *data, struct err *err);

/* Children. fds[i] becomes descriptor i of the child; -1 is /dev/null there; all others are closed on exec. */
struct loop_spawn {
    const char *const *arguments;   /* NULL-terminated, [0] is the file, found in PATH */
    const char *const *environment; /* NULL-terminated; NULL: ours */
    const char *folder;             /* where it starts, NULL: here */
    const int *fds;
    int fd_count;
    bool detached;                  /* a session of its own: it outlives us */
};

/* 'ended' (NULL: nobody asks) is called once, with the exit code, or with -1 and the signal that killed it. */
int loop_spawn(struct loop *, const struct loop_spawn *, void (*ended)(void *data, int exit_code, int signal),
               void *data, pid_t *ret_pid, struct err *err);

/* Watches a folder. 'changed' gets the name of what was written, made, moved or removed in it, or NULL for "look
 * yourself": where the system has no watches left the folder is looked at once a second. */
struct loop_watch;
int loop_watch_new(struct loop *, const char *folder, void (*changed)(void *data, const char *name), void *data,
                   struct loop_watch **ret, struct err *err);
void loop_watch_free(struct loop_watch *); /* NULL is fine; no call after it */

#endif
