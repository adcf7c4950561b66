/* bodies.c - which blobs are in use, so that one nobody needs any more is removed, and no other.
 *
 * What bodies_release() collects is only a suspicion: the records are asked when it is acted on, after a commit, so a
 * transaction that was dropped, or a blob that found another use meanwhile, costs a question and no data. */
#include "engine/bodies.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/map.h"
#include "net/loop.h"
#include "store/blob.h"

struct bodies {
    struct loop *loop;
    struct blobs *blobs;
    bool (*referenced)(void *context, const char *uid);
    void *context;
    struct map *pins;     /* uid -> how many, as a pointer */
    struct map *released; /* uid -> itself, as a word that is not NULL */
    bool held;
};

struct bodies *bodies_new(struct loop *loop, struct blobs *blobs, bool (*referenced)(void *, const char *),
                          void *context)
{
    struct bodies *b = calloc(1, sizeof *b);

    assert(b && blobs && referenced);
    *b = (struct bodies){ loop, blobs, referenced, context, map_new(), map_new() };
    return b;
}

void bodies_free(struct bodies *b)
{
    if (!b)
        return;
    map_free(b->pins);
    map_free(b->released);
    free(b);
}

struct blobs *bodies_blobs(struct bodies *b)
{
    return b->blobs;
}

void bodies_pin(struct bodies *b, const char *uid)
{
    intptr_t count = (intptr_t)map_get(b->pins, str_of(uid));

    map_set(b->pins, str_of(uid), (void *)(count + 1));
}

void bodies_unpin(struct bodies *b, const char *uid)
{
    intptr_t count = (intptr_t)map_get(b->pins, str_of(uid));

    assert(count > 0);
    if (count > 1)
        map_set(b->pins, str_of(uid), (void *)(count - 1));
    else
        map_remove(b->pins, str_of(uid));
}

void bodies_release(struct bodies *b, const char *uid)
{
    map_set(b->released, str_of(uid), b);
}

/* Blobs on their way out; knows nothing of the bodies, which may be gone before the thread is done. */
struct removal {
    struct blobs *blobs;
    size_t count, failures;
    struct err first;
    char uids[][BLOB_UID_SIZE + 1];
};

static void remove_all(void *data)
{
    struct removal *r = data;

    for (size_t i = 0; i < r->count; i++) {
        struct err err = { 0 };

        if (blob_remove(r->blobs, r->uids[i], &err) == 0)
            continue;
        if (r->failures++ == 0)
            r->first = err;
    }
}

static void removed(void *data)
{
    struct removal *r = data;

    /* They cost room until the next start, no more. */
    if (r->failures > 0)
        log_warning("blob.remove_failed", "count=%zu error=%s", r->failures, r->first.text);
    free(r);
}

void bodies_sweep(struct bodies *b)
{
    size_t count = map_count(b->released);
    struct removal *r;
    struct str uid;
    void *value;

    if (count == 0 || b->held)
        return;
    r = calloc(1, sizeof *r + count * sizeof r->uids[0]);
    assert(r);
    r->blobs = b->blobs;
    for (size_t at = 0; map_next(b->released, &at, &uid, &value);) {
        char name[BLOB_UID_SIZE + 1] = "";

        if (map_get(b->pins, uid))
            continue; /* asked again by a later sweep */
        assert(uid.size == BLOB_UID_SIZE);
        memcpy(name, uid.data, uid.size);
        if (!b->referenced(b->context, name))
            memcpy(r->uids[r->count++], name, sizeof name);
        map_remove(b->released, str_of(name));
    }
    if (r->count > 0 && b->loop) {
        loop_work(b->loop, remove_all, removed, r);
        return;
    }
    remove_all(r);
    removed(r);
}

void bodies_hold(struct bodies *b, bool held)
{
    b->held = held;
}

static bool keep(void *context, const char *uid)
{
    const struct bodies *b = context;

    return b->referenced(b->context, uid);
}

int bodies_collect(struct bodies *b, int64_t *ret_removed, struct err *err)
{
    return blobs_collect(b->blobs, keep, b, ret_removed, err);
}
