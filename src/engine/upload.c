/* upload.c - a request's body on its way into a blob: taken on the loop, written and measured on worker threads.
 *
 * Bytes are copied into chunks. One worker job at a time takes every chunk that is there, so the digests see them in
 * order and no lock is needed: what stands under "the worker's" below belongs to the job while one is under way,
 * and to the loop otherwise. A body of no bytes has no blob. */
#include "engine/upload.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "engine/integrity.h"
#include "net/loop.h"
#include "store/blob.h"

enum {
    CHUNK_BYTES = 256 * 1024,
    PAUSE_BYTES = 4 * 1024 * 1024,  /* taken from the client and not yet with the kernel */
    RESUME_BYTES = 1 * 1024 * 1024,
};

struct chunk {
    struct chunk *next;
    size_t size;
    char data[CHUNK_BYTES];
};

struct uploading {
    struct loop *loop;
    struct bodies *bodies;
    const struct upload_events *events;
    void *owner;

    struct chunk *first, *last; /* waiting for the worker; the last may be part full */
    struct chunk *spare;        /* kept from the jobs before: a steady stream allocates nothing */
    size_t waiting_bytes, working_bytes;
    bool working;   /* a job is under way */
    bool finishing; /* upload_finish() was called */
    bool paused;    /* the writer waits for room */
    bool over;      /* done or failed was called */
    bool freed;     /* nobody wants to hear more */

    /* The worker's. */
    struct chunk *batch;
    bool batch_is_last, failed, published;
    int fd; /* -1: none open */
    char uid[BLOB_UID_SIZE + 1]; /* "" before there is a blob, and after it was discarded */
    struct integrity integrity;
    struct err err;
};

struct uploading *upload_new(struct loop *loop, struct bodies *bodies, const struct upload_events *events, void *owner)
{
    struct uploading *u = calloc(1, sizeof *u);

    assert(u);
    u->loop = loop;
    u->bodies = bodies;
    u->events = events;
    u->owner = owner;
    u->fd = -1;
    integrity_start(&u->integrity);
    return u;
}

int upload_headers(struct uploading *u, const struct doc *headers, struct err *err)
{
    assert(!u->first && !u->working);
    return integrity_headers(&u->integrity, headers, UPLOAD_CRC64NVME, err);
}

static void free_chunks(struct chunk **chunks)
{
    while (*chunks) {
        struct chunk *next = (*chunks)->next;

        free(*chunks);
        *chunks = next;
    }
}

/* On a worker: what was written so far is of no use. */
static void discard(void *data)
{
    struct uploading *u = data;

    if (u->fd >= 0)
        close(u->fd);
    u->fd = -1;
    if (u->uid[0] && !u->published)
        blob_discard(bodies_blobs(u->bodies), u->uid);
    u->uid[0] = '\0';
}

static int write_chunk(struct uploading *u, const struct chunk *c, struct err *err)
{
    struct blobs *blobs = bodies_blobs(u->bodies);

    if (u->fd < 0) {
        /* Asked for all of it at once: better no room now than after an hour. */
        if (u->integrity.stated_size > 0 && blob_has_room(blobs, u->integrity.stated_size, err) < 0)
            return -1;
        u->fd = blob_create(blobs, u->uid, err);
        if (u->fd < 0) {
            u->uid[0] = '\0';
            return -1;
        }
    }
    if (blob_has_room(blobs, (int64_t)c->size, err) < 0 || fd_write_all(u->fd, c->data, c->size, err) < 0)
        return -1;
    integrity_update(&u->integrity, c->data, c->size);
    return 0;
}

static int publish(struct uploading *u, struct err *err)
{
    if (integrity_finish(&u->integrity, err) < 0)
        return -1;
    if (u->fd < 0) {
        u->integrity.measured.blob_uid = "";
        return 0;
    }
    if (blob_publish(bodies_blobs(u->bodies), u->uid, u->fd, err) < 0)
        return -1;
    u->published = true;
    u->integrity.measured.blob_uid = u->uid;
    close(u->fd);
    u->fd = -1;
    return 0;
}

static void work(void *data)
{
    struct uploading *u = data;

    for (const struct chunk *c = u->batch; c && !u->failed; c = c->next)
        u->failed = write_chunk(u, c, &u->err) < 0;
    if (u->batch_is_last && !u->failed)
        u->failed = publish(u, &u->err) < 0;
    if (u->failed)
        discard(u);
}

static void destroy(void *data)
{
    struct uploading *u = data;

    /* Nobody may refer to it; the next sweep finds out. */
    if (u->published)
        bodies_release(u->bodies, u->uid);
    free_chunks(&u->first);
    free_chunks(&u->spare);
    free(u);
}

static void worked(void *data);

static void start_work(struct uploading *u)
{
    assert(!u->working && !u->over);
    u->batch = u->first;
    u->working_bytes = u->waiting_bytes;
    u->first = u->last = NULL;
    u->waiting_bytes = 0;
    u->batch_is_last = u->finishing;
    u->working = true;
    loop_work(u->loop, work, worked, u);
}

static void destroy_or_discard(struct uploading *u)
{
    if (u->fd >= 0)
        loop_work(u->loop, discard, destroy, u);
    else
        destroy(u);
}

static void worked(void *data)
{
    struct uploading *u = data;

    u->working = false;
    u->working_bytes = 0;
    while (u->batch) {
        struct chunk *c = u->batch;

        u->batch = c->next;
        c->next = u->spare;
        u->spare = c;
    }
    if (u->freed) {
        destroy_or_discard(u);
        return;
    }
    if (u->failed || u->batch_is_last) {
        u->over = true;
        if (u->failed)
            u->events->failed(u->owner, &u->err);
        else
            u->events->done(u->owner, &u->integrity.measured);
        return; /* u may be gone */
    }
    if (u->finishing || u->waiting_bytes >= CHUNK_BYTES)
        start_work(u);
    if (u->paused && u->waiting_bytes + u->working_bytes < RESUME_BYTES) {
        u->paused = false;
        u->events->room(u->owner);
    }
}

static struct chunk *chunk_with_room(struct uploading *u)
{
    struct chunk *c = u->last;

    if (c && c->size < CHUNK_BYTES)
        return c;
    c = u->spare;
    if (c)
        u->spare = c->next;
    else
        c = malloc(sizeof *c);
    assert(c);
    c->next = NULL;
    c->size = 0;
    if (u->last)
        u->last->next = c;
    else
        u->first = c;
    return u->last = c;
}

bool upload_write(struct uploading *u, const void *data, size_t size)
{
    const char *at = data;

    assert(!u->finishing && !u->freed);
    if (u->over)
        return true; /* 'failed' was said: what still comes is dropped */
    while (size > 0) {
        struct chunk *c = chunk_with_room(u);
        size_t part = size < CHUNK_BYTES - c->size ? size : CHUNK_BYTES - c->size;

        memcpy(c->data + c->size, at, part);
        c->size += part;
        u->waiting_bytes += part;
        at += part;
        size -= part;
    }
    /* Whole chunks, so that a slow client costs no job for each of its packets. */
    if (!u->working && u->waiting_bytes >= CHUNK_BYTES)
        start_work(u);
    u->paused = u->waiting_bytes + u->working_bytes >= PAUSE_BYTES;
    return !u->paused;
}

int upload_trailers(struct uploading *u, const struct doc *trailers, struct err *err)
{
    assert(!u->finishing);
    /* The worker reads none of what this writes before the last batch. */
    return integrity_trailers(&u->integrity, trailers, err);
}

void upload_finish(struct uploading *u)
{
    assert(!u->finishing && !u->freed);
    u->finishing = true;
    if (!u->working && !u->over)
        start_work(u);
}

void upload_free(struct uploading *u)
{
    if (!u)
        return;
    assert(!u->freed);
    u->freed = true;
    if (!u->working)
        destroy_or_discard(u);
}

int upload_check_body(const struct doc *headers, const struct doc *trailers, struct str body, bool checksum_headers,
                      struct err *err)
{
    struct integrity in;

    integrity_start(&in);
    in.ignores_checksums = !checksum_headers;
    if (integrity_headers(&in, headers, 0, err) < 0)
        return -1;
    integrity_update(&in, body.data, body.size);
    if (trailers && integrity_trailers(&in, trailers, err) < 0)
        return -1;
    return integrity_finish(&in, err);
}
