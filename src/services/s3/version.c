/* version.c - the versions of an object: what was put under a key, and the markers that deletions leave.
 *
 * A version's id tells its place, so it is found without a search; its random tail keeps an id from coming back when
 * a place is used again. A record is a JSON map: VersionId, DeleteMarker, LastModified, ETag (bare), Size, Pieces or
 * Manifest, Headers, Metadata, Tags, Checksum {Algorithm, Value, Type}, Parts [{Size, Checksum}], StorageClass,
 * UploadId (of the multipart upload it was). */
#include "services/s3/version.h"

#include <string.h>

#include "doc/json.h"
#include "engine/engine.h"
#include "services/s3/access.h"
#include "services/s3/key.h"
#include "services/s3/pieces.h"
#include "store/store.h"

static const char objects[] = "s3_objects";

int version_of_row(struct arena *a, struct str primary, struct str value, struct version *ret, struct err *err)
{
    struct doc *record;
    struct str key, rest;

    if (json_parse(a, value, &record, err) < 0)
        return fail(err, ERR_INTERNAL, "the record of an object is damaged: %s", err->text);
    key_split(primary, &key, &rest);
    *ret = (struct version){
        .key = key,
        .place = key_place(rest),
        .id = doc_text(record, "VersionId"),
        .marker = doc_bool(record, "DeleteMarker", false),
        .modified_ms = doc_int(record, "LastModified", 0),
        .size_bytes = doc_int(record, "Size", 0),
        .etag = doc_has(record, "ETag") ? arena_printf(a, "\"%s\"", doc_text(record, "ETag")) : "",
        .record = record,
    };
    return 0;
}

int version_newest(struct call *c, const struct bucket *b, struct str key, struct version *ret, struct err *err)
{
    struct str from = key_of_object(c->arena, b->name, key);
    struct range range = { from, store_after_prefix(c->arena, from), .limit = 1 };
    struct pair *pairs;
    int count;

    if (store_scan(c->arena, s3_store(c), objects, &range, &pairs, &count, err) < 0)
        return -1;
    if (count == 0)
        return fail_code(err, ERR_NOT_FOUND, "NoSuchKey", "The specified key does not exist.");
    return version_of_row(c->arena, pairs[0].key, pairs[0].value, ret, err);
}

static int no_such_version(struct err *err)
{
    return fail_code(err, ERR_NOT_FOUND, "NoSuchVersion", "The specified version does not exist.");
}

/* In a bucket whose versioning was suspended it may lie under others. */
static int find_null(struct call *c, const struct bucket *b, struct str key, struct version *ret, struct err *err)
{
    struct str from = key_of_object(c->arena, b->name, key);
    struct range range = { from, store_after_prefix(c->arena, from), .limit = 100 };

    for (;;) {
        struct pair *pairs;
        int count;

        if (store_scan(c->arena, s3_store(c), objects, &range, &pairs, &count, err) < 0)
            return -1;
        for (int i = 0; i < count; i++) {
            struct version v;

            if (version_of_row(c->arena, pairs[i].key, pairs[i].value, &v, err) < 0)
                return -1;
            if (strcmp(v.id, "null") == 0) {
                *ret = v;
                return 0;
            }
            range.from = key_of_version(c->arena, b->name, key, v.place - 1);
        }
        if (count < range.limit)
            return no_such_version(err);
    }
}

bool version_place_of_id(const char *id, int64_t *ret_place)
{
    unsigned char bytes[16];
    uint64_t place = 0;

    if (strlen(id) != 32 || !hex_decode(bytes, str_of(id)))
        return false;
    for (int i = 0; i < 8; i++)
        place = place << 8 | bytes[i];
    if (place == 0 || place > INT64_MAX)
        return false;
    *ret_place = (int64_t)place;
    return true;
}

int version_by_id(struct call *c, const struct bucket *b, struct str key, const char *id, struct version *ret,
                  struct err *err)
{
    struct str primary, value;
    struct version v;
    int64_t place;

    if (strcmp(id, "null") == 0)
        return find_null(c, b, key, ret, err);
    if (!version_place_of_id(id, &place))
        return fail_code(err, ERR_INVALID, "InvalidArgument", "Invalid version id specified");
    primary = key_of_version(c->arena, b->name, key, place);
    if (store_get(c->arena, s3_store(c), objects, primary, &value, err) < 0)
        return err->kind != ERR_NOT_FOUND ? -1 : no_such_version(err);
    if (version_of_row(c->arena, primary, value, &v, err) < 0)
        return -1;
    if (strcmp(v.id, id) != 0)
        return no_such_version(err);
    *ret = v;
    return 0;
}

static void tell_marker(struct call *c, const struct version *v)
{
    if (!c->extra_headers)
        c->extra_headers = doc_map(c->arena);
    doc_set_string(c->arena, c->extra_headers, "x-amz-delete-marker", "true");
    doc_set_string(c->arena, c->extra_headers, "x-amz-version-id", v->id);
}

static int missing(struct call *c, const struct bucket *b, struct err *err)
{
    if (access_check(c, b, "s3:ListBucket", access_arn(c->arena, b->name, STR("")), err) < 0)
        return -1;
    return fail_code(err, ERR_NOT_FOUND, "NoSuchKey", "The specified key does not exist.");
}

int version_wanted(struct call *c, const struct bucket *b, struct str key, const char *id, struct version *ret,
                   struct err *err)
{
    struct version v;

    if (*id) {
        if (version_by_id(c, b, key, id, &v, err) < 0)
            return -1;
        if (v.marker) {
            tell_marker(c, &v);
            fail_code(err, ERR_INVALID, "MethodNotAllowed",
                      "The specified method is not allowed against this resource.");
            err->http_status = 405;
            return -1;
        }
        *ret = v;
        return 0;
    }
    if (version_newest(c, b, key, &v, err) < 0)
        return err->kind == ERR_NOT_FOUND ? missing(c, b, err) : -1;
    if (v.marker) {
        tell_marker(c, &v);
        return missing(c, b, err);
    }
    *ret = v;
    return 0;
}

static const char *new_id(struct call *c, int64_t place)
{
    unsigned char bytes[16];
    char *id = arena_alloc(c->arena, 33);
    struct rand *rand = engine_world_of(c->engine)->rand;

    for (int i = 0; i < 8; i++)
        bytes[i] = (unsigned char)((uint64_t)place >> (56 - 8 * i));
    rand->fill(rand, bytes + 8, 8);
    hex_encode(id, bytes, sizeof bytes);
    return id;
}

int version_save(struct call *c, const struct bucket *b, const struct version *v, struct doc *record, struct err *err)
{
    return store_put(s3_store(c), objects, key_of_version(c->arena, b->name, v->key, v->place),
                     str_of(json_text(c->arena, record)), err);
}

int version_remove(struct call *c, const struct bucket *b, const struct version *v, struct err *err)
{
    if (pieces_erase(c, v->record, err) < 0)
        return -1;
    return store_remove(s3_store(c), objects, key_of_version(c->arena, b->name, v->key, v->place), err);
}

int version_add(struct call *c, const struct bucket *b, struct str key, struct doc *record, const struct piece *pieces,
                int count, struct version *ret, struct err *err)
{
    struct version newest = { 0 }, replaced = { 0 };
    bool used = version_newest(c, b, key, &newest, err) == 0, replaces = false;
    /* Microseconds, so that a burst within one millisecond does not run far ahead of the clock. */
    int64_t place = c->now_ms * 1000;
    struct str value;

    if (!used && err->kind != ERR_NOT_FOUND)
        return -1;
    if (used && place <= newest.place)
        place = newest.place + 1; /* the clock may have jumped; the order may not */
    if (strcmp(b->versioning, "Enabled") != 0 && used) {
        replaces = strcmp(newest.id, "null") == 0;
        replaced = newest;
        if (!replaces && *b->versioning) {
            replaces = find_null(c, b, key, &replaced, err) == 0;
            if (!replaces && err->kind != ERR_NOT_FOUND)
                return -1;
        }
    }
    if (pieces_write(c, record, pieces, count, err) < 0 || (replaces && version_remove(c, b, &replaced, err) < 0))
        return -1;
    doc_set_string(c->arena, record, "VersionId", strcmp(b->versioning, "Enabled") == 0 ? new_id(c, place) : "null");
    doc_set_integer(c->arena, record, "LastModified", c->now_ms);
    value = str_of(json_text(c->arena, record));
    if (store_put(s3_store(c), objects, key_of_version(c->arena, b->name, key, place), value, err) < 0)
        return -1;
    return version_of_row(c->arena, key_of_version(c->arena, b->name, key, place), value, ret, err);
}

void version_tell(struct call *c, const struct bucket *b, const struct version *v, const char *member)
{
    if (*b->versioning || strcmp(v->id, "null") != 0)
        doc_set_string(c->arena, c->output, member, v->id);
}
