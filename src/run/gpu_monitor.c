/* gpu_monitor.c - the thread owns the library's handle: a call that hangs in the driver hangs nobody else. When it does
 * so at the end, the thread keeps what it has, and the process goes without it. */
#include "run/gpu_monitor.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    OPEN_MS = 10000,
    CLOSE_MS = 3000,
    WAIT_MS = 1000, /* for an event: how long an end may take, and how old a sample can be */
    FAULTS_MOST = 16,
};

struct gpu_monitor {
    struct gpu_monitor_options o;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t opened;
    atomic_bool ending;

    /* Constant once 'ready'; a driver that answers after the wait for it has none. */
    bool ready;
    int count;
    struct gpu all[GPU_MOST];
    int places[GPU_MOST]; /* in the library's list */
    char why[256], driver[96], library[1024];

    bool sampled[GPU_MOST];
    struct gpu_sample samples[GPU_MOST];
    int last_xid[GPU_MOST];
    struct gpu_fault faults[FAULTS_MOST];
    int fault_count;
};

static struct timespec after_ms(int64_t ms)
{
    struct timespec t;

    clock_gettime(CLOCK_REALTIME, &t);
    t.tv_sec += ms / 1000;
    t.tv_nsec += ms % 1000 * 1000000;
    if (t.tv_nsec >= 1000000000) {
        t.tv_sec++;
        t.tv_nsec -= 1000000000;
    }
    return t;
}

static void publish(struct gpu_monitor *m, const struct gpus *g)
{
    pthread_mutex_lock(&m->lock);
    for (int i = 0; i < gpus_count(g); i++) {
        const struct gpu *gpu = gpus_at(g, i);

        if (m->o.only && !(gpu->index < GPU_MOST && m->o.only & UINT64_C(1) << gpu->index))
            continue;
        m->all[m->count] = *gpu;
        m->places[m->count++] = i;
    }
    snprintf(m->why, sizeof m->why, "%s", gpus_why(g));
    snprintf(m->driver, sizeof m->driver, "%s", gpus_driver(g));
    snprintf(m->library, sizeof m->library, "%s", gpus_library(g));
    m->ready = true;
    pthread_cond_broadcast(&m->opened);
    pthread_mutex_unlock(&m->lock);
}

static void add_fault(struct gpu_monitor *m, int i, int xid)
{
    struct gpu_fault f = { .index = m->all[i].index, .xid = xid, .effect = XID_BROKEN };

    memcpy(f.uuid, m->all[i].uuid, sizeof f.uuid);
    if (xid) {
        f.effect = xid_of(xid)->effect;
        snprintf(f.words, sizeof f.words, "GPU %d reported XID %d (%s)", f.index, xid, xid_of(xid)->words);
    } else {
        snprintf(f.words, sizeof f.words, "GPU %d is lost: the driver cannot reach it, or it has to be reset", f.index);
    }
    pthread_mutex_lock(&m->lock);
    if (xid)
        m->last_xid[i] = xid;
    if (m->fault_count < FAULTS_MOST)
        m->faults[m->fault_count++] = f;
    pthread_mutex_unlock(&m->lock);
    if (m->o.happened)
        m->o.happened(m->o.data);
}

static void sample(struct gpu_monitor *m, struct gpus *g)
{
    for (int i = 0; i < m->count && !m->ending; i++) {
        struct gpu_sample s;
        bool fell;

        gpus_sample(g, m->places[i], &s);
        pthread_mutex_lock(&m->lock);
        fell = s.lost && !(m->sampled[i] && m->samples[i].lost);
        m->samples[i] = s;
        m->sampled[i] = true;
        pthread_mutex_unlock(&m->lock);
        if (fell)
            add_fault(m, i, 0);
    }
}

static void wait_for_event(struct gpu_monitor *m, struct gpus *g, int64_t wait_ms, bool *deaf)
{
    const struct timespec pause = { .tv_nsec = 50000000 };
    int64_t end_ms = 0;
    struct timespec now;
    int place, xid;

    /* Errors first come within the wait; the rest of a second goes by in small steps, so that an end is quick. */
    for (;;) {
        enum gpu_event event = *deaf ? GPU_EVENT_NEVER : gpus_wait(g, 100, &place, &xid);

        if (event == GPU_EVENT_XID)
            for (int i = 0; i < m->count; i++)
                if (m->places[i] == place)
                    add_fault(m, i, xid);
        *deaf = *deaf || event == GPU_EVENT_NEVER;
        clock_gettime(CLOCK_MONOTONIC, &now);
        if (!end_ms)
            end_ms = now.tv_sec * 1000 + now.tv_nsec / 1000000 + wait_ms;
        if (m->ending || now.tv_sec * 1000 + now.tv_nsec / 1000000 >= end_ms)
            return;
        /* A lost GPU ends each wait at once. */
        if (event != GPU_EVENT_XID)
            nanosleep(&pause, NULL);
    }
}

static void *watch(void *data)
{
    struct gpu_monitor *m = data;
    struct gpus *g = gpus_open();
    bool deaf = false;

    publish(m, g);
    /* Who has seen a sample is told of every error from then on. */
    for (int64_t wait_ms = 0; m->count && !m->ending; wait_ms = WAIT_MS) {
        wait_for_event(m, g, wait_ms, &deaf);
        sample(m, g);
    }
    gpus_close(g);
    return NULL;
}

struct gpu_monitor *gpu_monitor_new(const struct gpu_monitor_options *options)
{
    struct gpu_monitor *m = calloc(1, sizeof *m);
    struct timespec until = after_ms(OPEN_MS);
    int r;

    assert(m);
    m->o = *options;
    pthread_mutex_init(&m->lock, NULL);
    pthread_cond_init(&m->opened, NULL);
    r = pthread_create(&m->thread, NULL, watch, m);
    assert(r == 0);
    pthread_mutex_lock(&m->lock);
    while (!m->ready && pthread_cond_timedwait(&m->opened, &m->lock, &until) == 0)
        ;
    pthread_mutex_unlock(&m->lock);
    return m;
}

void gpu_monitor_free(struct gpu_monitor *m)
{
    struct timespec until = after_ms(CLOSE_MS);

    if (!m)
        return;
    m->ending = true;
    if (pthread_timedjoin_np(m->thread, NULL, &until) != 0) {
        pthread_detach(m->thread);
        return;
    }
    pthread_cond_destroy(&m->opened);
    pthread_mutex_destroy(&m->lock);
    free(m);
}

/* What came after the wait of gpu_monitor_new() is not looked at: the count stays what it was. */
static bool is_ready(const struct gpu_monitor *m)
{
    bool ready;

    if (!m)
        return false;
    pthread_mutex_lock((pthread_mutex_t *)&m->lock);
    ready = m->ready;
    pthread_mutex_unlock((pthread_mutex_t *)&m->lock);
    return ready;
}

int gpu_monitor_count(const struct gpu_monitor *m)
{
    return is_ready(m) ? m->count : 0;
}

const struct gpu *gpu_monitor_gpu(const struct gpu_monitor *m, int place)
{
    assert(place >= 0 && place < gpu_monitor_count(m));
    return &m->all[place];
}

const char *gpu_monitor_why(const struct gpu_monitor *m)
{
    return !m ? "" : is_ready(m) ? m->why : "the driver does not answer";
}

const char *gpu_monitor_driver(const struct gpu_monitor *m)
{
    return is_ready(m) ? m->driver : "";
}

const char *gpu_monitor_library(const struct gpu_monitor *m)
{
    return is_ready(m) ? m->library : "";
}

bool gpu_monitor_sample(struct gpu_monitor *m, int place, struct gpu_sample *ret)
{
    bool sampled;

    pthread_mutex_lock(&m->lock);
    sampled = m->sampled[place];
    if (sampled)
        *ret = m->samples[place];
    pthread_mutex_unlock(&m->lock);
    return sampled;
}

int gpu_monitor_last_xid(struct gpu_monitor *m, int place)
{
    int xid;

    pthread_mutex_lock(&m->lock);
    xid = m->last_xid[place];
    pthread_mutex_unlock(&m->lock);
    return xid;
}

bool gpu_monitor_fault(struct gpu_monitor *m, struct gpu_fault *ret)
{
    bool there;

    if (!m)
        return false;
    pthread_mutex_lock(&m->lock);
    there = m->fault_count > 0;
    if (there) {
        *ret = m->faults[0];
        memmove(m->faults, m->faults + 1, sizeof *m->faults * (size_t)--m->fault_count);
    }
    pthread_mutex_unlock(&m->lock);
    return there;
}
