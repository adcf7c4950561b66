/* worker.c - the thread of a task. It posts to the loop when it has ended, and only the loop reads what came of it. */
#include "agent/worker.h"

#include <assert.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"

void worker_init(struct worker *k)
{
    k->cancel = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    assert(k->cancel >= 0);
}

/* The result is what is returned: the err of a call that was tried again and then succeeded is not empty. */
static void settle(struct worker *k)
{
    k->state = k->result == 0 ? TASK_DONE : TASK_FAILED;
}

static void over(void *data)
{
    struct worker *k = data;

    settle(k);
    if (k->joinable)
        pthread_join(k->thread, NULL);
    k->joinable = false;
    k->done(k->data);
}

static void *thread(void *data)
{
    struct worker *k = data;

    k->result = k->run(k->data, k->cancel, &k->err);
    loop_post(k->loop, over, k);
    return NULL;
}

void worker_begin(struct worker *k, bool on_thread)
{
    int r;

    if (k->state != TASK_NONE)
        return;
    k->state = TASK_BUSY;
    k->err = (struct err){ 0 };
    if (!on_thread) {
        k->result = k->run(k->data, k->cancel, &k->err);
        settle(k);
        return;
    }
    r = pthread_create(&k->thread, NULL, thread, k);
    assert(r == 0);
    k->joinable = true;
}

void worker_cancel(struct worker *k)
{
    uint64_t one = 1;

    if (k->state == TASK_BUSY && write(k->cancel, &one, sizeof one) < 0)
        log_warning("task.not_cancelled", "why=%s", "its eventfd is full");
}

void worker_stop(struct worker *k)
{
    worker_cancel(k);
    if (k->joinable)
        pthread_join(k->thread, NULL);
    k->joinable = false;
    fd_cleanup(&k->cancel);
}
