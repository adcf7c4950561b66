#include "agent/savings.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/map.h"
#include "fleet/checkpoint.h"

enum {
    KEPT = 16,      /* the newest ones: a job that goes on may save more, or less */
    APART_MS = 1000,
    ENOUGH = 3,     /* before anything is advised */
};

struct savings {
    pthread_mutex_t lock;
    struct savings_file kept[KEPT]; /* a checkpoint each, without a path */
    struct map *paths;              /* of the files of the newest */
    int64_t count;                 /* of all that there were */
    bool changed;
};

struct savings *savings_new(void)
{
    struct savings *s = calloc(1, sizeof *s);

    assert(s);
    pthread_mutex_init(&s->lock, NULL);
    s->paths = map_new();
    return s;
}

void savings_free(struct savings *s)
{
    if (!s)
        return;
    pthread_mutex_destroy(&s->lock);
    map_free(s->paths);
    free(s);
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t most(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* A loop that saves every half second makes many checkpoints, and not one that takes hours. */
static bool belongs(const struct savings *s, const struct savings_file *last, const struct savings_file *f)
{
    return f->begun_ms < last->written_ms + APART_MS && f->written_ms + APART_MS > last->begun_ms &&
           !map_get(s->paths, str_of(f->path));
}

static void begin_next(struct savings *s, const struct savings_file *f)
{
    struct savings_file *next = &s->kept[s->count++ % KEPT];

    *next = *f;
    next->path = NULL;
    map_free(s->paths);
    s->paths = map_new();
}

void savings_take(struct savings *s, const struct savings_file *f)
{
    struct savings_file *last;

    pthread_mutex_lock(&s->lock);
    last = s->count ? &s->kept[(s->count - 1) % KEPT] : NULL;
    if (last && belongs(s, last, f)) {
        last->begun_ms = least(last->begun_ms, f->begun_ms);
        last->written_ms = most(last->written_ms, f->written_ms);
        last->stored_ms = most(last->stored_ms, f->stored_ms);
        last->bytes += f->bytes;
    } else {
        begin_next(s, f);
    }
    map_set(s->paths, str_of(f->path), s);
    s->changed = true;
    pthread_mutex_unlock(&s->lock);
}

static int ascending(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return (x > y) - (x < y);
}

static int64_t middle(int64_t *values, int count)
{
    qsort(values, (size_t)count, sizeof *values, ascending);
    return count ? values[count / 2] : 0;
}

struct sums {
    int64_t cost_ms, stored_ms, every_ms, bytes;
};

/* The middle ones: a log file that was open for an hour is no checkpoint of an hour. */
static struct sums sums_of(const struct savings *s)
{
    int64_t cost[KEPT], stored[KEPT], every[KEPT], bytes[KEPT];
    int count = (int)least(s->count, KEPT);

    for (int i = 0; i < count; i++) {
        const struct savings_file *f = &s->kept[(s->count - count + i) % KEPT];

        cost[i] = most(f->written_ms - f->begun_ms, 0);
        stored[i] = most(f->stored_ms - f->written_ms, 0);
        bytes[i] = f->bytes;
        if (i > 0)
            every[i - 1] = most(f->written_ms - s->kept[(s->count - count + i - 1) % KEPT].written_ms, 0);
    }
    return (struct sums){ middle(cost, count), middle(stored, count), count > 1 ? middle(every, count - 1) : 0,
                          middle(bytes, count) };
}

static const char *size_text(struct arena *a, int64_t bytes)
{
    if (bytes < 1000)
        return arena_printf(a, "%lld byte%s", (long long)bytes, bytes == 1 ? "" : "s");
    return bytes < 1 << 20 ? arena_printf(a, "%.1f KB", (double)bytes / 1e3)
                           : arena_printf(a, "%.0f MB", (double)bytes / 1e6);
}

static const char *advice(struct arena *a, const struct order *o, const struct sums *s, int64_t interval_ms)
{
    return arena_printf(a, "A checkpoint (%s) takes %s of the job's time, is in S3 %s later, and comes every %s. The "
                           "job's spot instances are interrupted about once in %s: one every %s would lose the least "
                           "(Young 1974, Daly 2006).",
                        size_text(a, s->bytes), duration_text(a, (double)s->cost_ms),
                        duration_text(a, (double)s->stored_ms), duration_text(a, (double)s->every_ms),
                        duration_text(a, (double)o->interrupted_every_s * 1e3), duration_text(a, (double)interval_ms));
}

struct doc *savings_report(struct savings *s, struct arena *a, const struct order *o)
{
    struct doc *d = doc_map(a);
    struct sums sums;
    int64_t count, interval_ms;
    bool changed;

    pthread_mutex_lock(&s->lock);
    changed = s->changed;
    s->changed = false;
    count = s->count;
    sums = sums_of(s);
    pthread_mutex_unlock(&s->lock);
    if (!changed)
        return NULL;
    doc_set_integer(a, d, "count", count);
    doc_set_integer(a, d, "bytes", sums.bytes);
    doc_set_integer(a, d, "cost_ms", sums.cost_ms);
    doc_set_integer(a, d, "stored_ms", sums.stored_ms);
    doc_set_integer(a, d, "every_ms", sums.every_ms);
    if (o->interrupted_every_s <= 0 || count < ENOUGH)
        return d;
    /* More often than S3 can take them helps nobody. */
    interval_ms = most(checkpoint_interval_ms((double)sums.cost_ms, (double)o->interrupted_every_s * 1e3),
                       sums.cost_ms + sums.stored_ms);
    doc_set_integer(a, d, "interval_ms", interval_ms);
    doc_set_string(a, d, "advice", advice(a, o, &sums, interval_ms));
    return d;
}

bool savings_is_news(int64_t told_ms, const struct doc *report)
{
    int64_t now_ms = doc_int(report, "interval_ms", 0);

    return now_ms && (!told_ms || now_ms > told_ms * 2 || now_ms < told_ms / 2);
}
