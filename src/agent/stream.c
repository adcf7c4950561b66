/* stream.c - a ring of slots: threads fetch pieces into them in any order, and they are handed out in the right one. */
#include "agent/stream.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "agent/fetch.h"
#include "doc/json.h"

enum { SLOTS = 8, THREADS = 3, PIECE_BYTES = 4 << 20, MANIFEST_PIECE = 32 << 20, MANIFEST_MAX = 1 << 30 };

struct task {
    const char *bucket, *key; /* NULL: 'value' is all */
    const char *value, *name;
    int64_t offset, size;
    bool first, last;
    bool open_ended; /* its size is not known before its first piece is there */
};

struct slot {
    enum { SLOT_EMPTY, SLOT_BUSY, SLOT_READY } state;
    struct task task;
    struct arena *arena; /* of the task's texts */
    struct buf data;
    int64_t total;
    int result;
    struct err err;
};

struct stream {
    const struct transfer *transfer;
    const struct channel *channel;
    const struct stream_source *source;
    const uint32_t *order;
    size_t count;
    pthread_mutex_t lock; /* what follows */
    pthread_cond_t changed;
    struct slot slots[SLOTS];
    uint64_t begun, handed;
    bool ended, stopping;
    /* Where the next task comes from. */
    size_t at;
    uint32_t attribute;
    int64_t offset;
};

/* --- The source --- */

static int read_lines(struct s3 *s3, struct arena *a, const struct channel *c, struct stream_source *ret,
                      struct err *err)
{
    struct buf text = { 0 };
    struct str rest, line;
    int64_t total = 1;
    size_t room = 0;

    for (int64_t at = 0; at < total; at += MANIFEST_PIECE)
        if (s3_get_range(s3, c->bucket, c->prefix, at, MANIFEST_PIECE, &text, &total, err) < 0 ||
            (total > MANIFEST_MAX && fail(err, ERR_LIMIT, "the manifest %s has more than 1 GB", c->uri) < 0)) {
            buf_free(&text);
            return -1;
        }
    rest = (struct str){ arena_strndup(a, text.data ? text.data : "", text.size), text.size };
    buf_free(&text);
    *ret = (struct stream_source){ 0 };
    while (rest.size) {
        if (!str_cut(rest, '\n', &line, &rest)) {
            line = rest;
            rest.size = 0;
        }
        line = str_trim(line);
        if (!line.size)
            continue;
        if (ret->count == room) {
            struct str *more = arena_array_of(a, struct str, room * 2 + 256);

            if (room)
                memcpy(more, ret->lines, sizeof *more * room);
            ret->lines = more;
            room = room * 2 + 256;
        }
        ret->lines[ret->count++] = line;
    }
    return ret->count ? 0 : fail(err, ERR_NOT_FOUND, "the manifest %s has no lines", c->uri);
}

int stream_source_read(const struct transfer *t, struct s3 *s3, struct arena *a, const struct channel *c,
                       struct stream_source *ret, struct err *err)
{
    struct stream_source source = { 0 };

    if (c->type == CHANNEL_LINES ? read_lines(s3, a, c, &source, err) < 0
                                 : channel_objects(t, s3, a, c, &source.objects, &source.count, err) < 0)
        return -1;
    *ret = source;
    return 0;
}

/* --- Tasks --- */

/* An attribute of a line: what a "-ref" names, else its value as text. */
static int attribute_task(struct stream *s, struct arena *a, struct task *ret, struct err *err)
{
    const struct channel *c = s->channel;
    const char *name = doc_value_text(c->attributes->items[s->attribute]);
    uint32_t number = s->order[s->at];
    const struct doc *value;
    struct doc *line;

    if (json_parse(a, s->source->lines[number], &line, err) < 0 || line->type != DOC_MAP)
        return fail(err, ERR_INVALID, "line %u of the manifest %s is no JSON object", number + 1, c->uri);
    value = doc_get(line, name);
    if (!value)
        return fail(err, ERR_INVALID, "line %u of the manifest %s has no attribute \"%s\"", number + 1, c->uri, name);
    *ret = (struct task){ .first = true, .last = true, .name = arena_printf(a, "line %u of %s", number + 1, c->uri) };
    if (text_ends(name, "-ref")) {
        ret->size = PIECE_BYTES;
        ret->open_ended = true;
        ret->name = doc_value_text(value);
        return s3_uri(a, doc_value_text(value), &ret->bucket, &ret->key, err);
    }
    ret->value = value->type == DOC_STRING ? doc_value_text(value) : json_text(a, value);
    return 0;
}

static void object_task(struct stream *s, struct arena *a, struct task *ret)
{
    const struct channel_object *o = &s->source->objects[s->order[s->at]];
    int64_t rest = o->size_bytes - s->offset;

    *ret = (struct task){ .bucket = o->bucket, .key = o->key, .offset = s->offset, .first = s->offset == 0,
                          .open_ended = o->size_bytes < 0, .size = PIECE_BYTES, .last = true,
                          .name = arena_printf(a, "s3://%s/%s", o->bucket, o->key) };
    if (!ret->open_ended && rest > PIECE_BYTES) {
        ret->last = false;
        s->offset += PIECE_BYTES;
        return;
    }
    if (!ret->open_ended)
        ret->size = rest;
    s->offset = 0;
    s->at++;
}

/* False: there are no more. A task that cannot be is one that has failed. */
static bool next_task(struct stream *s, struct slot *slot)
{
    if (s->at == s->count)
        return false;
    slot->result = 0;
    arena_reset(slot->arena);
    if (s->channel->type != CHANNEL_LINES) {
        object_task(s, slot->arena, &slot->task);
        return true;
    }
    slot->result = attribute_task(s, slot->arena, &slot->task, &slot->err);
    if (++s->attribute == list_count(s->channel->attributes)) {
        s->attribute = 0;
        s->at++;
    }
    return true;
}

static int fetch(struct s3 *s3, const struct task *t, struct buf *into, int64_t *ret_total, struct err *err)
{
    size_t before = into->size;

    if (!t->key) {
        buf_append_str(into, t->value);
        *ret_total = (int64_t)into->size;
        return 0;
    }
    if (t->size == 0)
        return 0;
    if (s3_get_range(s3, t->bucket, t->key, t->offset, t->size, into, ret_total, err) < 0)
        return -1;
    if (!t->open_ended && (int64_t)(into->size - before) != t->size)
        return fail(err, ERR_INVALID, "s3://%s/%s changed while it was read", t->bucket, t->key);
    return 0;
}

static void *fetch_thread(void *data)
{
    struct stream *s = data;
    struct s3 *s3 = fetch_client(s->transfer);

    pthread_mutex_lock(&s->lock);
    for (;;) {
        struct slot *slot = &s->slots[s->begun % SLOTS];

        if (s->stopping || s->ended)
            break;
        if (slot->state != SLOT_EMPTY) {
            pthread_cond_wait(&s->changed, &s->lock);
            continue;
        }
        if (!next_task(s, slot)) {
            s->ended = true;
            break;
        }
        s->begun++;
        slot->state = SLOT_BUSY;
        pthread_mutex_unlock(&s->lock);
        buf_clear(&slot->data);
        if (slot->result == 0)
            slot->result = fetch(s3, &slot->task, &slot->data, &slot->total, &slot->err);
        pthread_mutex_lock(&s->lock);
        slot->state = SLOT_READY;
        pthread_cond_broadcast(&s->changed);
    }
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->lock);
    s3_free(s3);
    return NULL;
}

/* --- Handing out --- */

/* The rest of an object that turned out to be longer than a piece. */
static int hand_rest(struct s3 *s3, const struct slot *slot, int (*take)(void *, const struct stream_piece *,
                                                                         struct err *), void *data, struct err *err)
{
    struct task t = slot->task;
    struct buf bytes = { 0 };
    int64_t total = slot->total;
    int r = 0;

    for (t.offset = PIECE_BYTES; r == 0 && t.offset < total; t.offset += PIECE_BYTES) {
        buf_clear(&bytes);
        r = fetch(s3, &t, &bytes, &total, err);
        if (r == 0)
            r = take(data, &(struct stream_piece){ .data = { bytes.data, bytes.size }, .name = t.name,
                                                   .last = t.offset + PIECE_BYTES >= total }, err);
    }
    buf_free(&bytes);
    return r;
}

static int hand_out(struct s3 *s3, struct slot *slot, int (*take)(void *, const struct stream_piece *, struct err *),
                    void *data, struct err *err)
{
    bool more = slot->task.open_ended && slot->total > PIECE_BYTES;
    int r;

    if (slot->result < 0) {
        *err = slot->err;
        return -1;
    }
    r = take(data, &(struct stream_piece){ .data = { slot->data.data ? slot->data.data : "", slot->data.size },
                                           .first = slot->task.first, .last = slot->task.last && !more,
                                           .value = !slot->task.key, .name = slot->task.name }, err);
    return r == 0 && more ? hand_rest(s3, slot, take, data, err) : r;
}

static int hand_all(struct stream *s, struct s3 *s3, int (*take)(void *, const struct stream_piece *, struct err *),
                    void *data, struct err *err)
{
    int r = 0;

    pthread_mutex_lock(&s->lock);
    while (r == 0) {
        struct slot *slot = &s->slots[s->handed % SLOTS];

        if (s->ended && s->handed == s->begun)
            break;
        if (s->handed == s->begun || slot->state != SLOT_READY) {
            pthread_cond_wait(&s->changed, &s->lock);
            continue;
        }
        pthread_mutex_unlock(&s->lock);
        r = hand_out(s3, slot, take, data, err);
        pthread_mutex_lock(&s->lock);
        slot->state = SLOT_EMPTY;
        s->handed++;
        pthread_cond_broadcast(&s->changed);
    }
    s->stopping = true;
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->lock);
    return r;
}

int stream_run(const struct transfer *t, struct s3 *s3, const struct channel *c, const struct stream_source *source,
               uint64_t epoch, int (*take)(void *data, const struct stream_piece *, struct err *err), void *data,
               struct err *err)
{
    struct stream *s = calloc(1, sizeof *s);
    uint32_t *order = calloc(source->count + 1, sizeof *order);
    pthread_t threads[THREADS];
    int r;

    assert(s && order);
    *s = (struct stream){ .transfer = t, .channel = c, .source = source, .order = order,
                          .count = channel_share(c, epoch, order, source->count), .lock = PTHREAD_MUTEX_INITIALIZER,
                          .changed = PTHREAD_COND_INITIALIZER };
    for (int i = 0; i < SLOTS; i++)
        s->slots[i].arena = arena_new();
    for (int i = 0; i < THREADS; i++) {
        r = pthread_create(&threads[i], NULL, fetch_thread, s);
        assert(r == 0);
    }
    r = hand_all(s, s3, take, data, err);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    for (int i = 0; i < SLOTS; i++) {
        arena_free(s->slots[i].arena);
        buf_free(&s->slots[i].data);
    }
    free(order);
    free(s);
    return r;
}
