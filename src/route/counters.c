/* counters.c - counters in a mapped file.
 *
 * Adding is a handful of relaxed atomic additions, from any thread. The only step that needs care is a bucket's first
 * use in its minute: one thread wins the right to clear it, the others wait those nanoseconds. */
#include "route/counters.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"

enum { VERSION = 2 };

static const char magic[8] = "SBCOUNT";

struct file {
    char magic[8];
    uint32_t version, minutes, slots, slot_bytes;
    _Alignas(64) struct counters_slot slot[COUNTERS_SLOTS];
};

struct counters {
    struct file *file;
    pthread_mutex_t lock; /* of claiming */
    int claims[COUNTERS_SLOTS];
};

static bool form_is_ours(const struct file *f)
{
    return memcmp(f->magic, magic, sizeof magic) == 0 && f->version == VERSION && f->minutes == COUNTERS_MINUTES &&
           f->slots == COUNTERS_SLOTS && f->slot_bytes == sizeof(struct counters_slot);
}

static int open_file(const char *path, bool writer, struct file **ret, struct err *err)
{
    _cleanup_fd_ int fd = open(path, (writer ? O_RDWR | O_CREAT : O_RDONLY) | O_CLOEXEC | O_NOFOLLOW, 0600);
    struct stat st;
    struct file *f;

    if (fd < 0 || fstat(fd, &st) < 0)
        return fail_errno(err, errno, "open %s", path);
    if (st.st_size != (off_t)sizeof(struct file)) {
        if (!writer)
            return fail(err, ERR_INVALID, "%s: no counters of this release", path);
        /* A reader has the old file in memory, at worst; cutting it under its hands would kill it. */
        if (st.st_size != 0 && unlink(path) < 0)
            return fail_errno(err, errno, "replace %s", path);
        if (st.st_size != 0)
            return open_file(path, writer, ret, err);
        if (ftruncate(fd, sizeof(struct file)) < 0)
            return fail_errno(err, errno, "enlarge %s", path);
    }
    f = mmap(NULL, sizeof(struct file), writer ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED, fd, 0);
    if (f == MAP_FAILED)
        return fail_errno(err, errno, "map %s", path);
    if (!form_is_ours(f)) {
        if (!writer) {
            munmap(f, sizeof *f);
            return fail(err, ERR_INVALID, "%s: no counters of this release", path);
        }
        memset(f, 0, sizeof *f);
        f->version = VERSION;
        f->minutes = COUNTERS_MINUTES;
        f->slots = COUNTERS_SLOTS;
        f->slot_bytes = sizeof(struct counters_slot);
        atomic_thread_fence(memory_order_release);
        memcpy(f->magic, magic, sizeof magic);
    }
    *ret = f;
    return 0;
}

int counters_open(const char *path, bool writer, struct counters **ret, struct err *err)
{
    struct counters *c;
    struct file *f;

    if (open_file(path, writer, &f, err) < 0)
        return -1;
    c = calloc(1, sizeof *c);
    assert(c && "out of memory");
    c->file = f;
    pthread_mutex_init(&c->lock, NULL);
    /* A name that a killed writer was changing belongs to nobody, nor does the bucket that it was clearing. */
    for (int i = 0; writer && i < COUNTERS_SLOTS; i++)
        if (atomic_load(&f->slot[i].sequence) & 1)
            memset(&f->slot[i], 0, sizeof f->slot[i]);
    for (int i = 0; writer && i < COUNTERS_SLOTS; i++)
        for (int j = 0; atomic_load(&f->slot[i].sequence) && j < COUNTERS_MINUTES; j++)
            if (atomic_load(&f->slot[i].buckets[j].minute) == -1)
                atomic_store(&f->slot[i].buckets[j].minute, 0);
    *ret = c;
    return 0;
}

void counters_close(struct counters *c)
{
    if (!c)
        return;
    munmap(c->file, sizeof *c->file);
    pthread_mutex_destroy(&c->lock);
    free(c);
}

static bool is_named(const struct counters_slot *s, const char *account, const char *region, const char *endpoint,
                     const char *variant)
{
    return atomic_load(&s->sequence) && strcmp(s->variant, variant) == 0 && strcmp(s->endpoint, endpoint) == 0 &&
           strcmp(s->region, region) == 0 && strcmp(s->account, account) == 0;
}

static int64_t newest_minute(const struct counters_slot *s)
{
    int64_t newest = 0;

    for (int i = 0; i < COUNTERS_MINUTES; i++) {
        int64_t minute = atomic_load_explicit(&s->buckets[i].minute, memory_order_relaxed);

        newest = minute > newest ? minute : newest;
    }
    return newest;
}

static bool fits(const char *text, size_t size)
{
    return strlen(text) < size;
}

struct counters_slot *counters_claim(struct counters *c, const char *account, const char *region, const char *endpoint,
                                     const char *variant, int64_t now_minute)
{
    struct counters_slot *found = NULL, *free_one = NULL;

    if (!fits(account, sizeof found->account) || !fits(region, sizeof found->region) ||
        !fits(endpoint, sizeof found->endpoint) || !fits(variant, sizeof found->variant))
        return NULL;
    pthread_mutex_lock(&c->lock);
    for (int i = 0; i < COUNTERS_SLOTS && !found; i++) {
        struct counters_slot *s = &c->file->slot[i];

        if (is_named(s, account, region, endpoint, variant))
            found = s;
        else if (!free_one && c->claims[i] == 0 &&
                 (!atomic_load(&s->sequence) || newest_minute(s) < now_minute - COUNTERS_MINUTES))
            free_one = s;
    }
    if (!found && free_one) {
        uint32_t sequence = atomic_load(&free_one->sequence);

        found = free_one;
        atomic_store(&found->sequence, sequence + 1);
        snprintf(found->account, sizeof found->account, "%s", account);
        snprintf(found->region, sizeof found->region, "%s", region);
        snprintf(found->endpoint, sizeof found->endpoint, "%s", endpoint);
        snprintf(found->variant, sizeof found->variant, "%s", variant);
        for (int i = 0; i < COUNTERS_MINUTES; i++)
            atomic_store(&found->buckets[i].minute, 0);
        atomic_store(&found->sequence, sequence + 2 ? sequence + 2 : 2);
    }
    if (found)
        c->claims[found - c->file->slot]++;
    pthread_mutex_unlock(&c->lock);
    return found;
}

void counters_release(struct counters *c, struct counters_slot *s)
{
    if (!s)
        return;
    pthread_mutex_lock(&c->lock);
    assert(c->claims[s - c->file->slot] > 0);
    c->claims[s - c->file->slot]--;
    pthread_mutex_unlock(&c->lock);
}

static void add(_Atomic uint64_t *to, uint64_t value)
{
    atomic_fetch_add_explicit(to, value, memory_order_relaxed);
}

static void clear_latency(struct counters_latency *l)
{
    atomic_store_explicit(&l->count, 0, memory_order_relaxed);
    atomic_store_explicit(&l->sum_us, 0, memory_order_relaxed);
    atomic_store_explicit(&l->min_us, UINT64_MAX, memory_order_relaxed);
    atomic_store_explicit(&l->max_us, 0, memory_order_relaxed);
}

static void add_latency(struct counters_latency *l, int64_t us)
{
    uint64_t value = us < 0 ? 0 : (uint64_t)us, seen;

    if (us < 0)
        return;
    add(&l->count, 1);
    add(&l->sum_us, value);
    seen = atomic_load_explicit(&l->min_us, memory_order_relaxed);
    while (value < seen && !atomic_compare_exchange_weak_explicit(&l->min_us, &seen, value, memory_order_relaxed,
                                                                  memory_order_relaxed))
        ;
    seen = atomic_load_explicit(&l->max_us, memory_order_relaxed);
    while (value > seen && !atomic_compare_exchange_weak_explicit(&l->max_us, &seen, value, memory_order_relaxed,
                                                                  memory_order_relaxed))
        ;
}

/* The bucket of this minute, cleared if it was another's. NULL: it already belongs to a later minute. */
static struct counters_bucket *bucket_of(struct counters_slot *s, int64_t minute)
{
    struct counters_bucket *b = &s->buckets[minute % COUNTERS_MINUTES];
    int64_t seen = atomic_load_explicit(&b->minute, memory_order_acquire);

    while (seen != minute) {
        if (seen > minute)
            return NULL;
        if (seen == -1) {
            sched_yield();
            seen = atomic_load_explicit(&b->minute, memory_order_acquire);
            continue;
        }
        if (!atomic_compare_exchange_weak(&b->minute, &seen, -1))
            continue;
        atomic_store_explicit(&b->invocations, 0, memory_order_relaxed);
        atomic_store_explicit(&b->per_instance_ppm, 0, memory_order_relaxed);
        atomic_store_explicit(&b->errors_4xx, 0, memory_order_relaxed);
        atomic_store_explicit(&b->errors_5xx, 0, memory_order_relaxed);
        clear_latency(&b->model);
        clear_latency(&b->overhead);
        atomic_store_explicit(&b->minute, minute, memory_order_release);
        break;
    }
    return b;
}

void counters_add(struct counters_slot *s, int64_t minute, const struct counters_sample *sample)
{
    struct counters_bucket *b = s ? bucket_of(s, minute) : NULL;

    if (!b)
        return;
    add(&b->invocations, 1);
    add(&b->per_instance_ppm, 1000000 / (sample->instances ? sample->instances : 1));
    if (sample->status >= 400 && sample->status < 500)
        add(&b->errors_4xx, 1);
    if (sample->status >= 500 || sample->status == 0)
        add(&b->errors_5xx, 1);
    add_latency(&b->model, sample->model_us);
    add_latency(&b->overhead, sample->overhead_us);
}

static uint64_t get(const _Atomic uint64_t *from)
{
    return atomic_load_explicit((_Atomic uint64_t *)from, memory_order_relaxed);
}

bool counters_read(const struct counters *c, int slot, int64_t minute, struct counters_reading *ret)
{
    struct counters_slot *s = &c->file->slot[slot];
    struct counters_bucket *b = &s->buckets[minute % COUNTERS_MINUTES];
    uint32_t sequence = atomic_load(&s->sequence);

    if (!sequence || (sequence & 1) || atomic_load(&b->minute) != minute)
        return false;
    memcpy(ret->account, s->account, sizeof ret->account);
    memcpy(ret->region, s->region, sizeof ret->region);
    memcpy(ret->endpoint, s->endpoint, sizeof ret->endpoint);
    memcpy(ret->variant, s->variant, sizeof ret->variant);
    ret->invocations = get(&b->invocations);
    ret->per_instance_ppm = get(&b->per_instance_ppm);
    ret->errors_4xx = get(&b->errors_4xx);
    ret->errors_5xx = get(&b->errors_5xx);
    ret->model.count = get(&b->model.count);
    ret->model.sum_us = get(&b->model.sum_us);
    ret->model.min_us = get(&b->model.min_us);
    ret->model.max_us = get(&b->model.max_us);
    ret->overhead.count = get(&b->overhead.count);
    ret->overhead.sum_us = get(&b->overhead.sum_us);
    ret->overhead.min_us = get(&b->overhead.min_us);
    ret->overhead.max_us = get(&b->overhead.max_us);
    /* Another variant got the slot, or the hour came round, meanwhile. */
    return atomic_load(&s->sequence) == sequence && atomic_load(&b->minute) == minute && ret->invocations > 0;
}
