/* worker.h - one piece of work that takes time, on a thread of its own; the loop is told when it is done. */
#ifndef AGENT_WORKER_H
#define AGENT_WORKER_H

#include <pthread.h>

#include "agent/world.h"
#include "net/loop.h"

/* Zeroed but for these, then worker_init(). */
struct worker {
    struct loop *loop;
    int (*run)(void *data, int cancel_fd, struct err *err); /* on the thread; ends soon when cancel_fd can be read */
    void (*done)(void *data);                               /* on the loop */
    void *data;

    /* its own */
    enum task_state state;
    struct err err;
    pthread_t thread;
    bool joinable;
    int cancel; /* eventfd */
    int result;
};

void worker_init(struct worker *);
void worker_stop(struct worker *); /* cancels and waits; what it posted is still to come: turn the loop once more */

/* Begun already: nothing. Without a thread it is over when this returns. */
void worker_begin(struct worker *, bool on_thread);
void worker_cancel(struct worker *);

#endif
