/* blocks.c - threads load, readers wait. Who comes to the end of what was read before is reading on: what follows is
 * asked for before he does. A block that is waited for is never taken for another one. */
#include "agent/blocks.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "agent/fetch.h"

enum { BLOCK_BYTES = 1 << 20, SLOTS = 64, LOADERS = 6, AHEAD = 12, READERS = 32 };

struct block {
    enum { BLOCK_EMPTY, BLOCK_WANTED, BLOCK_LOADING, BLOCK_READY, BLOCK_FAILED } state;
    struct blocks_file file;
    int64_t number;
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
    /* Where readers are: the files that are read one block after the other. */
    struct {
        uint64_t id;
        int64_t next;
    } readers[READERS];
    unsigned reader;
    bool stopping;
    pthread_t threads[LOADERS];
};

static struct block *find(struct blocks *b, const struct blocks_file *file, int64_t number)
{
    for (int i = 0; i < SLOTS; i++)
        if (b->slots[i].state != BLOCK_EMPTY && b->slots[i].file.id == file->id && b->slots[i].number == number)
            return &b->slots[i];
    return NULL;
}

/* The block, wanted if it was not there. NULL: every one is in use. */
static struct block *want(struct blocks *b, const struct blocks_file *file, int64_t number)
{
    struct block *found = find(b, file, number), *oldest = NULL;

    if (found)
        return found;
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
    oldest->number = number;
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
        int64_t total = 0, at, size;
        int r;

        if (!s) {
            pthread_cond_wait(&b->wanted, &b->lock);
            continue;
        }
        s->state = BLOCK_LOADING;
        pthread_mutex_unlock(&b->lock);
        at = s->number * BLOCK_BYTES;
        size = s->file.size_bytes - at < BLOCK_BYTES ? s->file.size_bytes - at : BLOCK_BYTES;
        buf_clear(&s->data);
        r = s3_get_range(s3, s->file.bucket, s->file.key, at, size, &s->data, &total, &s->err);
        if (r == 0 && (total != s->file.size_bytes || (int64_t)s->data.size != size))
            r = fail(&s->err, ERR_INVALID, "s3://%s/%s changed since the job started", s->file.bucket, s->file.key);
        pthread_mutex_lock(&b->lock);
        s->state = r == 0 ? BLOCK_READY : BLOCK_FAILED;
        pthread_cond_broadcast(&b->loaded);
    }
    pthread_mutex_unlock(&b->lock);
    s3_free(s3);
    return NULL;
}

/* Does the block follow what this file's reader had? Then the next ones are wanted too. */
static void read_ahead(struct blocks *b, const struct blocks_file *file, int64_t number)
{
    int64_t count = (file->size_bytes + BLOCK_BYTES - 1) / BLOCK_BYTES;

    for (int i = 0; i < READERS; i++) {
        if (b->readers[i].id != file->id || (number != b->readers[i].next && number != b->readers[i].next - 1))
            continue;
        b->readers[i].next = number + 1;
        for (int64_t n = number + 1; n < count && n <= number + AHEAD; n++)
            want(b, file, n);
        return;
    }
    b->readers[b->reader % READERS].id = file->id;
    b->readers[b->reader++ % READERS].next = number + 1;
    if (number == 0 && count > 1)
        want(b, file, 1);
}

static int64_t read_block(struct blocks *b, const struct blocks_file *file, int64_t number, int64_t offset, char *to,
                          int64_t size, struct err *err)
{
    struct block *s;
    int64_t n = -1;

    pthread_mutex_lock(&b->lock);
    while (!(s = want(b, file, number)))
        pthread_cond_wait(&b->loaded, &b->lock);
    s->waiting++;
    read_ahead(b, file, number);
    while (s->state != BLOCK_READY && s->state != BLOCK_FAILED)
        pthread_cond_wait(&b->loaded, &b->lock);
    if (s->state == BLOCK_READY) {
        n = (int64_t)s->data.size - offset < size ? (int64_t)s->data.size - offset : size;
        s->used = ++b->clock;
        pthread_mutex_unlock(&b->lock);
        memcpy(to, s->data.data + offset, (size_t)n);
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
        int64_t at = offset + done, n;

        n = read_block(b, file, at / BLOCK_BYTES, at % BLOCK_BYTES, to + done, size - done, err);
        if (n < 0)
            return -1;
        done += n;
    }
    return done;
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
