/* download.c - pieces of blobs on their way out as a response: read on worker threads, given out on the loop.
 *
 * Two buffers: a job fills one while the other is given out. The blob being read stays open from piece to piece, for
 * the pieces of a multipart object often lie in one. What stands under "the worker's" belongs to the job while one is
 * under way, and to the loop otherwise. */
#include "engine/download.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "net/loop.h"
#include "store/blob.h"

enum {
    BUFFER_BYTES = 512 * 1024,
    QUEUE_BYTES = 256 * 1024, /* with more than this unsent the receiver is the slower one */
};

struct buffer {
    size_t size;
    char *data; /* BUFFER_BYTES, or as much as the whole download needs */
};

struct downloading {
    struct loop *loop;
    struct bodies *bodies;
    const struct download_events *events;
    void *owner;
    int64_t size_bytes;
    int piece_count;
    struct own_piece {
        char blob_uid[BLOB_UID_SIZE + 1];
        int64_t offset, size_bytes;
    } *pieces;

    struct buffer ready; /* read, and not yet given out */
    int64_t given_bytes;
    bool started, working, freed, over;
    bool waiting; /* for download_go_on() */
    bool calling; /* inside an event */

    /* The worker's. */
    struct buffer filling;
    int piece;          /* the one being read */
    int64_t piece_done; /* bytes of it that were read */
    int fd;             /* of its blob, -1: not open */
    bool failed;
    struct err err;
};

struct downloading *download_new(struct loop *loop, struct bodies *bodies, const struct download *what,
                                 const struct download_events *events, void *owner)
{
    struct downloading *d = calloc(1, sizeof *d);
    size_t capacity;

    assert(d);
    *d = (struct downloading){ loop, bodies, events, owner, .fd = -1 };
    d->pieces = calloc((size_t)what->piece_count + 1, sizeof *d->pieces);
    assert(d->pieces);
    for (int i = 0; i < what->piece_count; i++) {
        const struct piece *p = &what->pieces[i];
        struct own_piece *own = &d->pieces[d->piece_count];

        assert(p->offset >= 0 && p->size_bytes >= 0 && strlen(p->blob_uid) <= BLOB_UID_SIZE);
        if (p->size_bytes == 0)
            continue;
        strcpy(own->blob_uid, p->blob_uid);
        own->offset = p->offset;
        own->size_bytes = p->size_bytes;
        d->size_bytes += p->size_bytes;
        d->piece_count++;
        bodies_pin(bodies, own->blob_uid);
    }
    capacity = d->size_bytes < BUFFER_BYTES ? (size_t)d->size_bytes : BUFFER_BYTES;
    d->ready.data = malloc(capacity + 1);
    d->filling.data = malloc(capacity + 1);
    assert(d->ready.data && d->filling.data);
    return d;
}

int64_t download_size_bytes(const struct downloading *d)
{
    return d->size_bytes;
}

static int open_piece(struct downloading *d, const struct own_piece *p, struct err *err)
{
    int64_t size;

    if (d->fd >= 0)
        return 0;
    d->fd = blob_open(bodies_blobs(d->bodies), p->blob_uid, &size, err);
    if (d->fd < 0)
        return -1;
    if (size < p->offset + p->size_bytes)
        return fail(err, ERR_INTERNAL,
                    "blob %s is damaged: it has %" PRId64 " bytes, and the object's record says at least %" PRId64,
                    p->blob_uid, size, p->offset + p->size_bytes);
    return 0;
}

static void next_piece(struct downloading *d)
{
    const struct own_piece *before = &d->pieces[d->piece++];

    d->piece_done = 0;
    if (d->piece < d->piece_count && strcmp(before->blob_uid, d->pieces[d->piece].blob_uid) == 0)
        return;
    close(d->fd);
    d->fd = -1;
}

static int fill(struct downloading *d, struct err *err)
{
    d->filling.size = 0;
    while (d->piece < d->piece_count && d->filling.size < BUFFER_BYTES) {
        const struct own_piece *p = &d->pieces[d->piece];
        size_t room = BUFFER_BYTES - d->filling.size;
        int64_t left = p->size_bytes - d->piece_done;
        ssize_t n;

        if (open_piece(d, p, err) < 0)
            return -1;
        n = pread(d->fd, d->filling.data + d->filling.size, left < (int64_t)room ? (size_t)left : room,
                  p->offset + d->piece_done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return fail_errno(err, errno, "read blob %s", p->blob_uid);
        if (n == 0)
            return fail(err, ERR_INTERNAL, "blob %s is damaged: it ended at %" PRId64, p->blob_uid,
                        p->offset + d->piece_done);
        d->filling.size += (size_t)n;
        d->piece_done += n;
        if (d->piece_done == p->size_bytes)
            next_piece(d);
    }
    return 0;
}

static void work(void *data)
{
    struct downloading *d = data;

    d->failed = fill(d, &d->err) < 0;
}

static void destroy(struct downloading *d)
{
    if (d->fd >= 0)
        close(d->fd);
    for (int i = 0; i < d->piece_count; i++)
        bodies_unpin(d->bodies, d->pieces[i].blob_uid);
    free(d->pieces);
    free(d->ready.data);
    free(d->filling.data);
    free(d);
}

static void worked(void *data);

static void start_work(struct downloading *d)
{
    d->working = true;
    loop_work(d->loop, work, worked, d);
}

static void end(struct downloading *d, const struct err *why)
{
    d->over = true;
    d->events->end(d->owner, why);
}

/* Gives out what was read, as far as the receiver takes it, and keeps a job reading ahead. Events may free d: that is
 * seen by 'freed', and acted on by the last one out. */
static void advance(struct downloading *d)
{
    d->calling = true;
    while (!d->freed && !d->over && !d->waiting && !d->working) {
        struct buffer filled = d->filling;

        if (d->failed) {
            end(d, &d->err);
            break;
        }
        d->filling = d->ready;
        d->filling.size = 0;
        d->ready = filled;
        if (d->given_bytes + (int64_t)d->ready.size < d->size_bytes)
            start_work(d);
        d->given_bytes += (int64_t)d->ready.size;
        d->waiting = d->events->data(d->owner, d->ready.data, d->ready.size) > QUEUE_BYTES;
        if (!d->freed && d->given_bytes == d->size_bytes)
            end(d, NULL);
    }
    d->calling = false;
    if (d->freed && !d->working)
        destroy(d);
}

static void worked(void *data)
{
    struct downloading *d = data;

    d->working = false;
    advance(d);
}

static void nothing_to_give(void *data)
{
    struct downloading *d = data;

    d->working = false;
    if (d->freed)
        destroy(d);
    else
        end(d, NULL);
}

void download_start(struct downloading *d)
{
    assert(!d->started && !d->freed);
    d->started = true;
    if (d->size_bytes > 0) {
        start_work(d);
        return;
    }
    d->working = true;
    loop_post(d->loop, nothing_to_give, d);
}

static void go_on(void *data)
{
    struct downloading *d = data;

    d->working = false;
    advance(d);
}

void download_go_on(struct downloading *d)
{
    if (d->freed || d->over || !d->waiting)
        return;
    d->waiting = false;
    /* With a job under way its end goes on by itself. */
    if (d->working || d->calling)
        return;
    d->working = true;
    loop_post(d->loop, go_on, d);
}

void download_free(struct downloading *d)
{
    if (!d)
        return;
    assert(!d->freed);
    d->freed = true;
    if (!d->working && !d->calling)
        destroy(d);
}
