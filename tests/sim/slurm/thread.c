/* thread.c - the driver's thread and the story take turns: one of them runs, the other waits. It gives its turn away
 * before a command reaches Slurm, before its answer comes back, and where it would wait. */
#include <pthread.h>
#include <semaphore.h>
#include <time.h>

#include "world.h"

typeof(pthread_create) __wrap_pthread_create;
typeof(pthread_cond_timedwait) __wrap_pthread_cond_timedwait;
typeof(pthread_cond_signal) __wrap_pthread_cond_signal;
typeof(pthread_timedjoin_np) __wrap_pthread_timedjoin_np;
typeof(clock_gettime) __wrap_clock_gettime;

typeof(pthread_create) __real_pthread_create;

static struct {
    sem_t go, back;
    void *(*run)(void *);
    void *data;
    bool there, ended;
} thread;

static void *run(void *data)
{
    while (sem_wait(&thread.go) < 0)
        ;
    thread.run(thread.data);
    thread.ended = true;
    sem_post(&thread.back);
    return NULL;
}

int __wrap_pthread_create(pthread_t *ret, const pthread_attr_t *attributes, void *(*routine)(void *), void *data)
{
    sem_init(&thread.go, 0, 0);
    sem_init(&thread.back, 0, 0);
    thread.run = routine;
    thread.data = data;
    thread.there = true;
    thread.ended = false;
    return __real_pthread_create(ret, attributes, run, NULL);
}

void thread_go(void)
{
    if (!thread.there || thread.ended)
        return;
    sem_post(&thread.go);
    while (sem_wait(&thread.back) < 0)
        ;
}

void thread_yield(void)
{
    sem_post(&thread.back);
    while (sem_wait(&thread.go) < 0)
        ;
}

int __wrap_pthread_cond_timedwait(pthread_cond_t *condition, pthread_mutex_t *lock, const struct timespec *until)
{
    w.eager = 0;
    pthread_mutex_unlock(lock);
    thread_yield();
    pthread_mutex_lock(lock);
    return 0;
}

int __wrap_pthread_cond_signal(pthread_cond_t *condition)
{
    w.eager = 0;
    return 0;
}

/* Who is asked to end does so at its next step. */
int __wrap_pthread_timedjoin_np(pthread_t id, void **ret, const struct timespec *until)
{
    while (!thread.ended)
        thread_go();
    thread.there = false;
    return pthread_join(id, ret);
}

int __wrap_clock_gettime(clockid_t id, struct timespec *ret)
{
    *ret = (struct timespec){ .tv_sec = w.now_ms / 1000, .tv_nsec = w.now_ms % 1000 * 1000000 };
    return 0;
}
