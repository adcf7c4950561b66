/* pieces.c - where the bytes of objects and parts lie: ranges of blobs, and how many of them each blob serves. */
#include "services/s3/pieces.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "doc/json.h"
#include "engine/bodies.h"
#include "engine/engine.h"
#include "services/s3/bucket.h"
#include "services/s3/s3.h"
#include "store/store.h"

enum { MANY_PIECES = 8 };

static const char blobs[] = "s3_blobs", manifests[] = "s3_manifests";

/* How many pieces lie in the blob; 0 when no record speaks of it. */
static int count_of(struct arena *a, struct store *s, const char *uid, int64_t *ret, struct err *err)
{
    struct str text;

    *ret = 0;
    if (store_get(a, s, blobs, str_of(uid), &text, err) < 0)
        return err->kind == ERR_NOT_FOUND ? 0 : -1;
    if (!str_to_int64(text, ret) || *ret < 1)
        return fail(err, ERR_INTERNAL, "the use count of blob %s is damaged", uid);
    return 0;
}

bool s3_blob_referenced(void *store, const char *uid)
{
    _cleanup_arena_ struct arena *a = arena_new();
    struct err err = { 0 };
    int64_t count;

    return count_of(a, store, uid, &count, &err) < 0 || count > 0;
}

static int add(struct call *c, const char *uid, int64_t more, struct err *err)
{
    struct bodies *bodies = engine_world_of(c->engine)->bodies;
    int64_t count;
    char text[24];

    if (count_of(c->arena, s3_store(c), uid, &count, err) < 0)
        return -1;
    count += more;
    if (count < 0)
        return fail(err, ERR_INTERNAL, "blob %s is used less than never", uid);
    if (count == 0) {
        if (bodies)
            bodies_release(bodies, uid);
        return store_remove(s3_store(c), blobs, str_of(uid), err);
    }
    snprintf(text, sizeof text, "%" PRId64, count);
    return store_put(s3_store(c), blobs, str_of(uid), str_of(text), err);
}

/* Neighbours in one blob are counted in one go. */
static int add_all(struct call *c, const struct piece *pieces, int count, int64_t sign, struct err *err)
{
    for (int i = 0, next; i < count; i = next) {
        for (next = i + 1; next < count && strcmp(pieces[next].blob_uid, pieces[i].blob_uid) == 0; next++)
            ;
        if (add(c, pieces[i].blob_uid, sign * (next - i), err) < 0)
            return -1;
    }
    return 0;
}

int pieces_hold(struct call *c, const struct piece *pieces, int count, struct err *err)
{
    return add_all(c, pieces, count, 1, err);
}

int pieces_drop(struct call *c, const struct piece *pieces, int count, struct err *err)
{
    return add_all(c, pieces, count, -1, err);
}

int pieces_write(struct call *c, struct doc *record, const struct piece *pieces, int count, struct err *err)
{
    struct doc *list = doc_list(c->arena), *manifest = doc_map(c->arena);
    char uid[27];

    for (int i = 0; i < count; i++) {
        assert(pieces[i].size_bytes > 0);
        doc_append(c->arena, list, doc_string(c->arena, pieces[i].blob_uid));
        doc_append(c->arena, list, doc_integer(c->arena, pieces[i].offset));
        doc_append(c->arena, list, doc_integer(c->arena, pieces[i].size_bytes));
    }
    doc_set(c->arena, record, "Pieces", NULL);
    doc_set(c->arena, record, "Manifest", NULL);
    if (count <= MANY_PIECES) {
        doc_set(c->arena, record, "Pieces", list);
        return 0;
    }
    rand_name(engine_world_of(c->engine)->rand, uid, sizeof uid - 1);
    doc_set(c->arena, manifest, "Pieces", list);
    doc_set(c->arena, manifest, "Parts", (struct doc *)doc_get(record, "Parts"));
    doc_set(c->arena, record, "Parts", NULL);
    doc_set_string(c->arena, record, "Manifest", uid);
    return store_put(s3_store(c), manifests, str_of(uid), str_of(json_text(c->arena, manifest)), err);
}

/* Where the record's pieces and parts stand: in itself or in its manifest. */
static int holder_of(struct call *c, const struct doc *record, const struct doc **ret, struct err *err)
{
    const char *uid = doc_text(record, "Manifest");
    struct doc *manifest;
    struct str text;

    if (*uid && (store_get(c->arena, s3_store(c), manifests, str_of(uid), &text, err) < 0 ||
                 json_parse(c->arena, text, &manifest, err) < 0))
        return fail(err, ERR_INTERNAL, "the manifest %s of an object cannot be read: %s", uid, err->text);
    *ret = *uid ? manifest : record;
    return 0;
}

int pieces_read(struct call *c, const struct doc *record, struct piece **ret, int *ret_count, struct err *err)
{
    const struct doc *holder, *list;
    struct piece *pieces;
    uint32_t count;

    if (holder_of(c, record, &holder, err) < 0)
        return -1;
    list = doc_get(holder, "Pieces");
    count = list && list->type == DOC_LIST ? list->count / 3 : 0;
    pieces = arena_array_of(c->arena, struct piece, count + 1);
    for (uint32_t i = 0; i < count; i++) {
        struct doc **at = &list->items[3 * i];

        if (at[0]->type != DOC_STRING || at[1]->type != DOC_INTEGER || at[2]->type != DOC_INTEGER)
            return fail(err, ERR_INTERNAL, "the pieces of an object are damaged");
        pieces[i] = (struct piece){ doc_value_text(at[0]), at[1]->integer, at[2]->integer };
    }
    *ret = pieces;
    *ret_count = (int)count;
    return 0;
}

int pieces_parts(struct call *c, const struct doc *record, const struct doc **ret, struct err *err)
{
    const struct doc *holder;

    if (holder_of(c, record, &holder, err) < 0)
        return -1;
    *ret = doc_get(holder, "Parts");
    return 0;
}

int pieces_forget(struct call *c, const struct doc *record, struct err *err)
{
    const char *uid = doc_text(record, "Manifest");

    return *uid ? store_remove(s3_store(c), manifests, str_of(uid), err) : 0;
}

int pieces_erase(struct call *c, const struct doc *record, struct err *err)
{
    struct piece *pieces;
    int count;

    if (pieces_read(c, record, &pieces, &count, err) < 0 || pieces_drop(c, pieces, count, err) < 0)
        return -1;
    return pieces_forget(c, record, err);
}

int pieces_cut(const struct piece *pieces, int count, int64_t offset, int64_t size, struct piece *ret)
{
    int n = 0;

    for (int i = 0; i < count && size > 0; i++) {
        int64_t left = pieces[i].size_bytes - offset, take = left < size ? left : size;

        if (left <= 0) {
            offset -= pieces[i].size_bytes;
            continue;
        }
        ret[n++] = (struct piece){ pieces[i].blob_uid, pieces[i].offset + offset, take };
        size -= take;
        offset = 0;
    }
    return n;
}
