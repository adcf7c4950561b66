/* blocks.c - threads load, readers wait. Who comes to the end of what was read before is reading on: what follows is
 * asked for before he does, in pieces of a megabyte. Who jumps about gets what he asks for and no more. A block that is
 * waited for is never taken for another one. */
#include "agent/blocks.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "agent/fetch.h"

enum { SLOTS = 64, LOADERS = 8, AHEAD = 12, READERS = 32, NEAR_BYTES = 4 << 20 };

struct block {
    enum { BLOCK_EMPTY, BLOCK_WANTED, BLOCK_LOADING, BLOCK_READY, BLOCK_FAILED } state;
    struct blocks_file file;
    int64_t at, size;
    uint64_t used; /* when: the least is taken for another one */
    int waiting;
    struct buf data;
    struct err err;
};

struct blocks {
    struct transfer transfer;
    pthread_mutex_t lock; /* what follows */
    pthread_cond_t wanted, loaded;
    struct block slots[SLOTS];
    uint64_t clock;
    struct reader {
        uint64_t id;
        int64_t next; /* where the last read of the file ended */
        bool goes_on; /* there were two, one behind the other */
    } readers[READERS];
    unsigned reader;
    bool stopping;
    pthread_t threads[LOADERS];
};

/* One that has the byte. */
static struct block *find(struct blocks *b, const struct blocks_file *file, int64_t offset)
{
    for (int i = 0; i < SLOTS; i++) {
        struct block *s = &b->slots[i];

        if (s->state != BLOCK_EMPTY && s->file.id == file->id && offset >= s->at && offset < s->at + s->size)
            return s;
    }
    return NULL;
}

/* A block that is not there yet is wanted from now on. NULL: every one is in use. */
static struct block *want(struct blocks *b, const struct blocks_file *file, int64_t at, int64_t size)
{
    struct block *oldest = NULL;

    for (int i = 0; i < SLOTS; i++) {
        struct block *s = &b->slots[i];

        if (s->waiting || s->state == BLOCK_LOADING || s->state == BLOCK_WANTED)
            continue;
        if (!oldest || s->state == BLOCK_EMPTY || (oldest->state != BLOCK_EMPTY && s->used < oldest->used))
            oldest = s;
    }
    if (!oldest)
        return NULL;
    oldest->state = BLOCK_WANTED;
    oldest->file = *file;
    oldest->at = at;
    oldest->size = file->size_bytes - at < size ? file->size_bytes - at : size;
    oldest->used = ++b->clock;
    pthread_cond_signal(&b->wanted);
    return oldest;
}

static struct block *next_wanted(struct blocks *b)
{
    struct block *first = NULL;

    for (int i = 0; i < SLOTS; i++) {
        struct block *s = &b->slots[i];

        /* Who waits comes before who may come. */
        if (s->state == BLOCK_WANTED &&
            (!first || (s->waiting && !first->waiting) || (!s->waiting == !first->waiting && s->used < first->used)))
            first = s;
    }
    return first;
}

static void *load_thread(void *data)
{
    struct blocks *b = data;
    struct s3 *s3 = fetch_client(&b->transfer);

    pthread_mutex_lock(&b->lock);
    while (!b->stopping) {
        struct block *s = next_wanted(b);
        int64_t total = 0;
        int r;

        if (!s) {
            pthread_cond_wait(&b->wanted, &b->lock);
            continue;
        }
        s->state = BLOCK_LOADING;
        pthread_mutex_unlock(&b->lock);
        buf_clear(&s->data);
        r = s3_get_range(s3, s->file.bucket, s->file.key, s->at, s->size, &s->data, &total, &s->err);
        if (r == 0 && (total != s->file.size_bytes || (int64_t)s->data.size != s->size))
            r = fail(&s->err, ERR_INVALID, "s3://%s/%s changed since the job started", s->file.bucket, s->file.key);
        pthread_mutex_lock(&b->lock);
        s->state = r == 0 ? BLOCK_READY : BLOCK_FAILED;
        pthread_cond_broadcast(&b->loaded);
    }
    pthread_mutex_unlock(&b->lock);
    s3_free(s3);
    return NULL;
}

static bool follows(const struct reader *r, int64_t offset)
{
    /* The kernel's requests come in some disorder when it reads ahead itself. */
    return r->goes_on ? offset >= r->next - NEAR_BYTES && offset <= r->next + NEAR_BYTES : offset == r->next;
}

/* Does the read follow what was read of the file before? Of one who jumps about only the last place is kept. */
static bool reads_on(struct blocks *b, const struct blocks_file *file, int64_t offset, int64_t size)
{
    struct reader *jumping = NULL;

    for (struct reader *r = b->readers; r < b->readers + READERS; r++) {
        if (r->id != file->id)
            continue;
        if (follows(r, offset)) {
            r->goes_on = true;
            if (offset + size > r->next)
                r->next = offset + size;
            return true;
        }
        if (!r->goes_on)
            jumping = r;
    }
    if (!jumping)
        jumping = &b->readers[b->reader++ % READERS];
    *jumping = (struct reader){ .id = file->id, .next = offset + size };
    return false;
}

static void read_ahead(struct blocks *b, const struct blocks_file *file, int64_t offset, int count)
{
    int64_t at = offset / BLOCK_BYTES * BLOCK_BYTES;

    for (int i = 1; i <= count && at + i * BLOCK_BYTES < file->size_bytes; i++)
        if (!find(b, file, at + i * BLOCK_BYTES))
            want(b, file, at + i * BLOCK_BYTES, BLOCK_BYTES);
}

/* The block with the byte at 'offset', and what is likely to be read next. NULL: every one is in use. */
static struct block *get(struct blocks *b, const struct blocks_file *file, int64_t offset, int64_t size)
{
    bool begins = offset < BLOCK_BYTES, goes_on = reads_on(b, file, offset, size);
    struct block *s = find(b, file, offset);

    if (!s && (begins || goes_on))
        s = want(b, file, offset / BLOCK_BYTES * BLOCK_BYTES, BLOCK_BYTES);
    else if (!s)
        s = want(b, file, offset, size);
    if (s)
        s->waiting++; /* so that what comes next does not take it */
    if (s && (begins || goes_on))
        read_ahead(b, file, offset, goes_on ? AHEAD : 1);
    return s;
}

static int64_t read_block(struct blocks *b, const struct blocks_file *file, int64_t offset, char *to, int64_t size,
                          struct err *err)
{
    struct block *s;
    int64_t n = -1;

    pthread_mutex_lock(&b->lock);
    while (!(s = get(b, file, offset, size)))
        pthread_cond_wait(&b->loaded, &b->lock);
    while (s->state != BLOCK_READY && s->state != BLOCK_FAILED)
        pthread_cond_wait(&b->loaded, &b->lock);
    if (s->state == BLOCK_READY) {
        n = s->at + s->size - offset < size ? s->at + s->size - offset : size;
        s->used = ++b->clock;
        pthread_mutex_unlock(&b->lock);
        memcpy(to, s->data.data + (offset - s->at), (size_t)n);
        pthread_mutex_lock(&b->lock);
    } else {
        *err = s->err;
    }
    /* What failed is tried again by the next who wants it. */
    if (--s->waiting == 0) {
        if (s->state == BLOCK_FAILED)
            s->state = BLOCK_EMPTY;
        pthread_cond_broadcast(&b->loaded);
    }
    pthread_mutex_unlock(&b->lock);
    return n;
}

int64_t blocks_read(struct blocks *b, const struct blocks_file *file, int64_t offset, char *to, int64_t size,
                    struct err *err)
{
    int64_t done = 0;

    if (offset + size > file->size_bytes)
        size = offset < file->size_bytes ? file->size_bytes - offset : 0;
    while (done < size) {
        int64_t n = read_block(b, file, offset + done, to + done, size - done, err);

        if (n < 0)
            return -1;
        done += n;
    }
    return done;
}

void blocks_expect(struct blocks *b, const struct blocks_file *file)
{
    pthread_mutex_lock(&b->lock);
    if (file->size_bytes > 0 && !find(b, file, 0))
        want(b, file, 0, BLOCK_BYTES);
    pthread_mutex_unlock(&b->lock);
}

struct blocks *blocks_new(const struct transfer *t)
{
    struct blocks *b = calloc(1, sizeof *b);

    assert(b);
    b->transfer = *t;
    pthread_mutex_init(&b->lock, NULL);
    pthread_cond_init(&b->wanted, NULL);
    pthread_cond_init(&b->loaded, NULL);
    for (int i = 0; i < LOADERS; i++) {
        int r = pthread_create(&b->threads[i], NULL, load_thread, b);

        assert(r == 0);
    }
    return b;
}

void blocks_free(struct blocks *b)
{
    if (!b)
        return;
    pthread_mutex_lock(&b->lock);
    b->stopping = true;
    pthread_cond_broadcast(&b->wanted);
    pthread_mutex_unlock(&b->lock);
    for (int i = 0; i < LOADERS; i++)
        pthread_join(b->threads[i], NULL);
    for (int i = 0; i < SLOTS; i++)
        buf_free(&b->slots[i].data);
    free(b);
}
