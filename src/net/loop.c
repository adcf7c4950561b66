/* loop.c - the event loop; hides libuv, with the other files that include loop_uv.h.
 *
 * libuv polls, spawns and watches. The timers are ours: a heap of structs that stand in their owners, by boot time,
 * with one libuv timer for the next of them, so that moving a deadline costs no allocation and no system call. All
 * sockets of a loop read into one buffer: what is received is lent to the owner, who copies what it keeps. */
#include "net/loop.h"

#include <assert.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "net/loop_uv.h"

/* libuv's clock stops while the machine is suspended: look at the boot time at least this often. */
enum { LONGEST_SLEEP_MS = 10000 };

struct posted {
    struct posted *next;
    void (*run)(void *data);
    void *data;
};

void held_free(uv_handle_t *h)
{
    free(h->data);
}

int fail_uv(struct err *err, int status, const char *what)
{
    return fail(err, ERR_INTERNAL, "%s: %s", what, uv_strerror(status));
}

/* --- Timers --- */

int64_t loop_now_ms(struct loop *l)
{
    if (!l->now_ms)
        l->now_ms = clock_boot_ms(clock_system());
    return l->now_ms;
}

static void heap_put(struct loop *l, size_t place, struct loop_timer *t)
{
    l->heap[place] = t;
    t->place = place;
}

static void heap_up(struct loop *l, size_t place)
{
    struct loop_timer *t = l->heap[place];

    for (; place > 1 && l->heap[place / 2]->at_ms > t->at_ms; place /= 2)
        heap_put(l, place, l->heap[place / 2]);
    heap_put(l, place, t);
}

static void heap_down(struct loop *l, size_t place)
{
    struct loop_timer *t = l->heap[place];

    for (;;) {
        size_t child = place * 2;

        if (child > l->heap_count)
            break;
        if (child < l->heap_count && l->heap[child + 1]->at_ms < l->heap[child]->at_ms)
            child++;
        if (l->heap[child]->at_ms >= t->at_ms)
            break;
        heap_put(l, place, l->heap[child]);
        place = child;
    }
    heap_put(l, place, t);
}

void loop_timer_stop(struct loop *l, struct loop_timer *t)
{
    size_t place = t->place;
    struct loop_timer *last;

    if (!place)
        return;
    assert(place <= l->heap_count && l->heap[place] == t);
    last = l->heap[l->heap_count--];
    t->place = 0;
    if (last == t)
        return;
    heap_put(l, place, last);
    heap_up(l, place);
    heap_down(l, last->place);
}

void loop_timer_set(struct loop *l, struct loop_timer *t, int64_t at_ms)
{
    assert(t->run);
    loop_timer_stop(l, t);
    if (l->heap_count + 1 >= l->heap_capacity) {
        l->heap_capacity = l->heap_capacity ? l->heap_capacity * 2 : 64;
        l->heap = realloc(l->heap, l->heap_capacity * sizeof *l->heap);
        assert(l->heap && "out of memory");
    }
    t->at_ms = at_ms;
    heap_put(l, ++l->heap_count, t);
    heap_up(l, t->place);
}

/* Only noted: libuv says so before it looks at the sockets, and prepare makes that look a short one. */
static void timers_due(uv_timer_t *timer)
{
    struct loop *l = timer->data;

    l->armed_ms = INT64_MAX;
    l->due = true;
}

/* After the sockets: what came in while this process stood still - stopped, or without a core - came in time, and is
 * not to be found late by a deadline that passed meanwhile. */
static void timers_run(uv_check_t *check)
{
    struct loop *l = check->data;
    int64_t now;

    if (!l->due)
        return;
    l->due = false;
    l->now_ms = 0;
    now = loop_now_ms(l);
    /* Only those that were due on entry: a timer that sets itself to "now" must not keep the sockets waiting. */
    for (size_t limit = l->heap_count; limit && l->heap_count && l->heap[1]->at_ms <= now; limit--) {
        struct loop_timer *t = l->heap[1];

        loop_timer_stop(l, t);
        t->run(t);
    }
}

static void arm(struct loop *l)
{
    int64_t now, at;

    if (!l->heap_count || l->heap[1]->at_ms >= l->armed_ms)
        return;
    now = loop_now_ms(l);
    at = l->heap[1]->at_ms;
    if (at > now + LONGEST_SLEEP_MS)
        at = now + LONGEST_SLEEP_MS;
    if (at >= l->armed_ms)
        return;
    l->armed_ms = at;
    uv_update_time(&l->uv);
    uv_timer_start(&l->timer, timers_due, at > now ? (uint64_t)(at - now) : 0, 0);
}

/* --- The turn --- */

static void turn_end(uv_prepare_t *p)
{
    struct loop *l = p->data;

    list_each(node, &l->hooks)
    {
        struct loop_hook *h = list_entry(node, struct loop_hook, link);

        h->run(h);
    }
    arm(l);
    l->now_ms = 0;
}

void loop_turn_end(struct loop *l, struct loop_hook *h)
{
    list_append(&l->hooks, &h->link);
}

void loop_turn_end_remove(struct loop *l, struct loop_hook *h)
{
    list_remove(&h->link);
}

static void run_posted(uv_async_t *async)
{
    struct loop *l = async->data;
    struct posted *p;

    pthread_mutex_lock(&l->lock);
    p = l->first_posted;
    l->first_posted = NULL;
    l->last_posted = &l->first_posted;
    pthread_mutex_unlock(&l->lock);
    while (p) {
        struct posted *next = p->next;

        p->run(p->data);
        free(p);
        p = next;
    }
}

void loop_post(struct loop *l, void (*run)(void *data), void *data)
{
    struct posted *p = malloc(sizeof *p);

    assert(p && "out of memory");
    *p = (struct posted){ .run = run, .data = data };
    pthread_mutex_lock(&l->lock);
    *l->last_posted = p;
    l->last_posted = &p->next;
    pthread_mutex_unlock(&l->lock);
    uv_async_send(&l->async);
}

int loop_new(struct loop **ret, struct err *err)
{
    struct loop *l = calloc(1, sizeof *l);
    int status;

    assert(l && "out of memory");
    /* A client that left must not end the process. */
    signal(SIGPIPE, SIG_IGN);
    status = uv_loop_init(&l->uv);
    if (status < 0) {
        free(l);
        return fail_uv(err, status, "event loop");
    }
    l->uv.data = l;
    l->armed_ms = INT64_MAX;
    l->last_posted = &l->first_posted;
    list_init(&l->hooks);
    pthread_mutex_init(&l->lock, NULL);
    uv_timer_init(&l->uv, &l->timer);
    uv_prepare_init(&l->uv, &l->prepare);
    uv_check_init(&l->uv, &l->check);
    l->timer.data = l->prepare.data = l->check.data = l->async.data = l;
    uv_prepare_start(&l->prepare, turn_end);
    uv_check_start(&l->check, timers_run);
    status = uv_async_init(&l->uv, &l->async, run_posted);
    if (status < 0) {
        uv_close((uv_handle_t *)&l->timer, NULL);
        uv_close((uv_handle_t *)&l->prepare, NULL);
        uv_close((uv_handle_t *)&l->check, NULL);
        uv_run(&l->uv, UV_RUN_DEFAULT);
        uv_loop_close(&l->uv);
        pthread_mutex_destroy(&l->lock);
        free(l);
        return fail_uv(err, status, "event loop");
    }
    *ret = l;
    return 0;
}

static void close_left(uv_handle_t *h, void *data)
{
    struct loop *l = data;

    if (uv_is_closing(h))
        return;
    if (h == (uv_handle_t *)&l->timer || h == (uv_handle_t *)&l->prepare || h == (uv_handle_t *)&l->check ||
        h == (uv_handle_t *)&l->async)
        uv_close(h, NULL);
    else
        uv_close(h, ((struct held *)h->data)->closed);
}

void loop_free(struct loop *l)
{
    int status;

    if (!l)
        return;
    run_posted(&l->async);
    uv_walk(&l->uv, close_left, l);
    /* Work that still runs on other threads is waited for: it holds memory of its owner's. */
    while (uv_run(&l->uv, UV_RUN_DEFAULT))
        uv_walk(&l->uv, close_left, l);
    status = uv_loop_close(&l->uv);
    assert(status == 0 && "a handle of the loop is still open");
    pthread_mutex_destroy(&l->lock);
    for (struct posted *p = l->first_posted, *next; p; p = next) {
        next = p->next;
        free(p);
    }
    for (size_t i = 1; i <= l->heap_count; i++)
        l->heap[i]->place = 0;
    free(l->heap);
    free(l);
}

void loop_run(struct loop *l)
{
    l->stopped = false;
    while (!l->stopped)
        uv_run(&l->uv, UV_RUN_DEFAULT);
    /* The last turn ends too: what it answered has to be committed. */
    turn_end(&l->prepare);
}

void loop_stop(struct loop *l)
{
    l->stopped = true;
    uv_stop(&l->uv);
}

bool loop_turn(struct loop *l, bool wait)
{
    arm(l);
    uv_run(&l->uv, wait ? UV_RUN_ONCE : UV_RUN_NOWAIT);
    turn_end(&l->prepare);
    return !l->stopped;
}

/* --- Work on other threads --- */

struct work {
    uv_work_t request;
    void (*work)(void *data);
    void (*done)(void *data);
    void *data;
};

void loop_work_threads(int count)
{
    char text[16];

    snprintf(text, sizeof text, "%d", count);
    setenv("UV_THREADPOOL_SIZE", text, 1);
}

static void work_run(uv_work_t *request)
{
    struct work *w = request->data;

    w->work(w->data);
}

static void work_done(uv_work_t *request, int status)
{
    struct work *w = request->data;

    assert(status == 0 && "work is never cancelled");
    w->done(w->data);
    free(w);
}

void loop_work(struct loop *l, void (*run)(void *data), void (*done)(void *data), void *data)
{
    struct work *w = calloc(1, sizeof *w);
    int status;

    assert(w && "out of memory");
    w->work = run;
    w->done = done;
    w->data = data;
    w->request.data = w;
    status = uv_queue_work(&l->uv, &w->request, work_run, work_done);
    assert(status == 0);
}
