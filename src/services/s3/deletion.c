/* deletion.c - objects that go, one or a thousand at a time.
 *
 * Where versions are kept, deleting a key only puts a marker on top; deleting a version is for good. */
#include <string.h>

#include "engine/engine.h"
#include "services/s3/access.h"
#include "services/s3/object.h"
#include "services/s3/pieces.h"
#include "store/store.h"

struct deletion {
    struct str key;
    const char *id;    /* "": the key */
    const char *match; /* the ETag it must have, "": any */
};

struct deleted {
    const char *marker_id; /* of the marker put or removed; NULL: neither */
    bool marker_put;
};

static int check_match(struct call *c, const struct bucket *b, const struct deletion *d, struct err *err)
{
    struct version v;
    struct str wanted = str_of(d->match), have;

    if (wanted.size == 0)
        return 0;
    if ((*d->id ? version_by_id(c, b, d->key, d->id, &v, err) : version_newest(c, b, d->key, &v, err)) < 0)
        return -1;
    have = str_of(doc_text(v.record, "ETag"));
    if (wanted.size >= 2 && wanted.data[0] == '"')
        wanted = (struct str){ wanted.data + 1, wanted.size - 2 };
    if (!v.marker && (str_is(wanted, "*") || str_eq(wanted, have)))
        return 0;
    fail_code(err, ERR_CONFLICT, "PreconditionFailed", "At least one of the pre-conditions you specified did not hold");
    err->http_status = 412;
    return -1;
}

static int delete_version(struct call *c, const struct bucket *b, const struct deletion *d, struct deleted *ret,
                          struct err *err)
{
    struct version v;

    if (version_by_id(c, b, d->key, d->id, &v, err) < 0)
        return err->kind == ERR_NOT_FOUND ? 0 : -1; /* gone is gone */
    if (v.marker)
        ret->marker_id = v.id;
    return version_remove(c, b, &v, err);
}

static int delete_key(struct call *c, const struct bucket *b, const struct deletion *d, struct deleted *ret,
                      struct err *err)
{
    struct doc *record = doc_map(c->arena);
    struct version v;

    if (!*b->versioning) {
        if (version_newest(c, b, d->key, &v, err) < 0)
            return err->kind == ERR_NOT_FOUND ? 0 : -1;
        return version_remove(c, b, &v, err);
    }
    doc_set_boolean(c->arena, record, "DeleteMarker", true);
    if (version_add(c, b, d->key, record, NULL, 0, &v, err) < 0)
        return -1;
    ret->marker_id = v.id;
    ret->marker_put = true;
    return 0;
}

static int delete_one(struct call *c, const struct bucket *b, const struct deletion *d, struct deleted *ret,
                      struct err *err)
{
    *ret = (struct deleted){ 0 };
    if (check_match(c, b, d, err) < 0)
        return -1;
    return *d->id ? delete_version(c, b, d, ret, err) : delete_key(c, b, d, ret, err);
}

int delete_object(struct call *c, struct err *err)
{
    struct deletion d = { input_key(c), doc_text(c->input, "VersionId"), doc_text(c->input, "IfMatch") };
    struct deleted done;
    struct bucket b;

    if (bucket_open(c, *d.id ? "s3:DeleteObjectVersion" : "s3:DeleteObject", &b, err) < 0 ||
        delete_one(c, &b, &d, &done, err) < 0)
        return -1;
    if (done.marker_id)
        doc_set_boolean(c->arena, c->output, "DeleteMarker", true);
    if (*d.id || done.marker_put)
        doc_set_string(c->arena, c->output, "VersionId", *d.id ? d.id : done.marker_id);
    return 0;
}

/* Conditions that only directory buckets have: a deletion that ignored them would delete too much. */
static int check_conditions(const struct doc *object, struct err *err)
{
    if (doc_has(object, "LastModifiedTime") || doc_has(object, "Size"))
        return fail_code(err, ERR_INVALID, "NotImplemented",
                         "A condition you provided is not implemented: LastModifiedTime and Size; use ETag.");
    return 0;
}

/* Its failure is its own: the others go on. */
static int delete_of_many(struct call *c, const struct bucket *b, const struct deletion *d, struct deleted *ret,
                          struct err *err)
{
    struct store *s = s3_store(c);
    const char *action = *d->id ? "s3:DeleteObjectVersion" : "s3:DeleteObject";

    if (access_check(c, b, action, access_arn(c->arena, b->name, d->key), err) < 0 || store_begin(s, err) < 0)
        return -1;
    if (delete_one(c, b, d, ret, err) < 0) {
        store_drop(s);
        return -1;
    }
    return store_keep(s, err);
}

int delete_objects(struct call *c, struct err *err)
{
    const struct doc *objects = doc_at(c->input, "Delete.Objects");
    bool quiet = doc_bool(c->input, "Delete.Quiet", false);
    struct doc *gone = doc_list(c->arena), *failures = doc_list(c->arena);
    struct bucket b;

    /* Access is asked for each key; here only for the bucket's being there. */
    if (bucket_load(c, doc_text(c->input, "Bucket"), &b, err) < 0 ||
        bucket_expect_owner(c, &b, "ExpectedBucketOwner", err) < 0 || access_refuse(c, err) < 0)
        return -1;
    if (!objects || objects->count == 0 || objects->count > 1000)
        return fail_code(err, ERR_INVALID, "MalformedXML",
                         "The XML you provided was not well-formed or did not validate against our published schema");
    for (uint32_t i = 0; i < objects->count; i++) {
        const struct doc *object = objects->items[i];
        struct deletion d = { doc_get(object, "Key") ? doc_get(object, "Key")->text : STR(""),
                              doc_text(object, "VersionId"), doc_text(object, "ETag") };
        struct doc *item = doc_map(c->arena);
        struct err why = { 0 };
        struct deleted done;

        doc_set(c->arena, item, "Key", doc_str(c->arena, d.key));
        if (*d.id)
            doc_set_string(c->arena, item, "VersionId", d.id);
        if (check_conditions(object, &why) < 0 || delete_of_many(c, &b, &d, &done, &why) < 0) {
            if (why.kind == ERR_UNAVAILABLE) {
                /* The disk has no room: nothing of the whole turn was kept. */
                *err = why;
                return -1;
            }
            doc_set_string(c->arena, item, "Code", why.code[0] ? why.code : "InternalError");
            doc_set_string(c->arena, item, "Message",
                           why.code[0] ? why.text : "We encountered an internal error. Please try again.");
            doc_append(c->arena, failures, item);
            continue;
        }
        if (quiet)
            continue;
        if (done.marker_id) {
            doc_set_boolean(c->arena, item, "DeleteMarker", true);
            doc_set_string(c->arena, item, "DeleteMarkerVersionId", done.marker_id);
        }
        doc_append(c->arena, gone, item);
    }
    doc_set(c->arena, c->output, "Deleted", gone);
    doc_set(c->arena, c->output, "Errors", failures);
    return 0;
}
