/* savings.c - files are kept in the order in which they were written, and told apart when somebody asks: they come in
 * the order of their uploads, where a small file overtakes a big one, and the next checkpoint this one. */
#include "agent/savings.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/map.h"
#include "fleet/checkpoint.h"

enum {
    FILES_MOST = 2048,
    KEPT = 16,       /* the newest ones: a job that goes on may save more, or less */
    APART_MS = 1000, /* the loop works again */
    PARTS_MS = 200,  /* one part is closed, and the next one opened */
    ENOUGH = 3,      /* before anything is advised */
};

struct file {
    char *path, *shape; /* "step-#/part-#.pt" */
    int64_t begun_ms, written_ms, stored_ms, bytes;
};

struct saved { /* a checkpoint */
    int64_t begun_ms, written_ms, stored_ms, bytes;
};

struct savings {
    pthread_mutex_t lock;
    struct file *files; /* by the ends of their writing */
    int count;
    int64_t gone; /* checkpoints whose files are kept no more */
    bool changed;
};

struct savings *savings_new(void)
{
    struct savings *s = calloc(1, sizeof *s);

    assert(s);
    pthread_mutex_init(&s->lock, NULL);
    s->files = calloc(FILES_MOST, sizeof *s->files);
    assert(s->files);
    return s;
}

static void drop_oldest(struct savings *s, int count)
{
    for (int i = 0; i < count; i++) {
        free(s->files[i].path);
        free(s->files[i].shape);
    }
    s->count -= count;
    memmove(s->files, s->files + count, sizeof *s->files * (size_t)s->count);
}

void savings_free(struct savings *s)
{
    if (!s)
        return;
    drop_oldest(s, s->count);
    free(s->files);
    pthread_mutex_destroy(&s->lock);
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

/* --- Which files make a checkpoint --- */

static char *shape_of(const char *path)
{
    static const char digits[] = "0123456789";
    char *shape = strdup(path), *to = shape;

    assert(shape);
    for (const char *from = path; *from;) {
        size_t number = strspn(from, digits);

        *to++ = number ? '#' : *from;
        from += number ? number : 1;
    }
    *to = '\0';
    return shape;
}

/* Has the last checkpoint, of so many, a file of this path or shape? It has now. */
static bool mark(struct map *marks, const char *name, int count)
{
    void *value = (void *)(intptr_t)(count + 1);

    return map_set(marks, str_of(name), value) == value;
}

/* 'ret_saved' has room for every file, as has 'ret_numbers', which says to which checkpoint each belongs. */
static int tell_apart(const struct savings *s, struct saved *ret_saved, int *ret_numbers)
{
    struct map *paths = map_new(), *shapes = map_new();
    int count = 0;

    for (int i = 0; i < s->count; i++) {
        const struct file *f = &s->files[i];
        struct saved *last = count ? &ret_saved[count - 1] : NULL;
        bool has_path = mark(paths, f->path, count), has_shape = mark(shapes, f->shape, count);

        if (last && !has_path && f->begun_ms < last->written_ms + (has_shape ? PARTS_MS : APART_MS)) {
            last->begun_ms = least(last->begun_ms, f->begun_ms);
            last->written_ms = most(last->written_ms, f->written_ms);
            last->stored_ms = most(last->stored_ms, f->stored_ms);
            last->bytes += f->bytes;
        } else {
            ret_saved[count++] = (struct saved){ f->begun_ms, f->written_ms, f->stored_ms, f->bytes };
            mark(paths, f->path, count);
            mark(shapes, f->shape, count);
        }
        ret_numbers[i] = count - 1;
    }
    map_free(paths);
    map_free(shapes);
    return count;
}

/* Those that count stay, unless their files are too many. */
static void make_room(struct savings *s)
{
    _cleanup_arena_ struct arena *a = arena_new();
    int *numbers = arena_array_of(a, int, FILES_MOST), old = 0;
    int count = tell_apart(s, arena_array_of(a, struct saved, FILES_MOST), numbers);

    while (old < s->count && numbers[old] < count - KEPT)
        old++;
    old = old > FILES_MOST / 4 ? old : FILES_MOST / 4;
    s->gone += numbers[old];
    drop_oldest(s, old);
}

void savings_take(struct savings *s, const struct savings_file *f)
{
    struct file new = { strdup(f->path), shape_of(f->path), f->begun_ms, f->written_ms, f->stored_ms, f->bytes };
    int at;

    assert(new.path);
    pthread_mutex_lock(&s->lock);
    if (s->count == FILES_MOST)
        make_room(s);
    for (at = s->count++; at > 0 && s->files[at - 1].written_ms > new.written_ms; at--)
        s->files[at] = s->files[at - 1];
    s->files[at] = new;
    s->changed = true;
    pthread_mutex_unlock(&s->lock);
}

/* --- What they cost --- */

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
static struct sums sums_of(const struct savings *s, int64_t *ret_count)
{
    _cleanup_arena_ struct arena *a = arena_new();
    struct saved *saved = arena_array_of(a, struct saved, FILES_MOST);
    int64_t cost[KEPT], stored[KEPT], every[KEPT], bytes[KEPT];
    int all = tell_apart(s, saved, arena_array_of(a, int, FILES_MOST)), count = (int)least(all, KEPT);

    for (int i = 0; i < count; i++) {
        const struct saved *one = &saved[all - count + i];

        cost[i] = one->written_ms - one->begun_ms;
        stored[i] = most(one->stored_ms - one->written_ms, 0);
        bytes[i] = one->bytes;
        if (i > 0)
            every[i - 1] = one->written_ms - one[-1].written_ms;
    }
    *ret_count = s->gone + all;
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
    struct sums sums = { 0 };
    int64_t count = 0, interval_ms;
    bool changed;

    pthread_mutex_lock(&s->lock);
    changed = s->changed;
    s->changed = false;
    if (changed)
        sums = sums_of(s, &count);
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
