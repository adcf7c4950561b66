/* condition.c - the conditions and ranges of HTTP, as S3 reads them (RFC 9110, sections 13 and 14). */
#include "services/s3/condition.h"

#include <inttypes.h>
#include <string.h>

#include "base/clock.h"

/* Is the ETag one of the list: "a", W/"b", or bare, or *? */
static bool etag_listed(struct str list, const char *etag)
{
    struct str bare = str_of(etag), item;

    bare = bare.size >= 2 ? (struct str){ bare.data + 1, bare.size - 2 } : bare;
    while (list.size > 0) {
        if (!str_cut(list, ',', &item, &list)) {
            item = list;
            list = STR("");
        }
        item = str_trim(item);
        if (str_is(item, "*"))
            return true;
        if (str_starts(item, "W/"))
            item = (struct str){ item.data + 2, item.size - 2 };
        if (item.size >= 2 && item.data[0] == '"' && item.data[item.size - 1] == '"')
            item = (struct str){ item.data + 1, item.size - 2 };
        if (str_eq(item, bare))
            return true;
    }
    return false;
}

static int failed(struct err *err, const char *condition)
{
    fail_code(err, ERR_CONFLICT, "PreconditionFailed",
              "At least one of the pre-conditions you specified did not hold: %s", condition);
    err->http_status = 412;
    return -1;
}

static int not_modified(struct call *c, const struct version *v, struct err *err)
{
    if (!c->extra_headers)
        c->extra_headers = doc_map(c->arena);
    doc_set_string(c->arena, c->extra_headers, "ETag", v->etag);
    doc_set_string(c->arena, c->extra_headers, "Last-Modified", time_http(c->arena, v->modified_ms));
    fail_code(err, ERR_CONFLICT, "NotModified", "Not Modified");
    err->http_status = 304;
    return -1;
}

int condition_read(struct call *c, const struct version *v, const char *prefix, struct err *err)
{
    const char *match = arena_printf(c->arena, "%sIfMatch", prefix);
    const char *none_match = arena_printf(c->arena, "%sIfNoneMatch", prefix);
    const char *modified = arena_printf(c->arena, "%sIfModifiedSince", prefix);
    const char *unmodified = arena_printf(c->arena, "%sIfUnmodifiedSince", prefix);
    /* The header says whole seconds. */
    int64_t modified_ms = v->modified_ms - v->modified_ms % 1000;
    bool unchanged;

    if (doc_has(c->input, match)) {
        if (!etag_listed(str_of(doc_text(c->input, match)), v->etag))
            return failed(err, "If-Match");
    } else if (doc_has(c->input, unmodified) && modified_ms > doc_int(c->input, unmodified, 0)) {
        return failed(err, "If-Unmodified-Since");
    }
    if (doc_has(c->input, none_match))
        unchanged = etag_listed(str_of(doc_text(c->input, none_match)), v->etag);
    else
        unchanged = doc_has(c->input, modified) && modified_ms <= doc_int(c->input, modified, 0);
    if (!unchanged)
        return 0;
    return *prefix ? failed(err, doc_has(c->input, none_match) ? "If-None-Match" : "If-Modified-Since") :
                     not_modified(c, v, err);
}

int condition_write(struct call *c, const struct bucket *b, struct str key, struct err *err)
{
    bool match = doc_has(c->input, "IfMatch"), none_match = doc_has(c->input, "IfNoneMatch"), there;
    struct version v;

    if (!match && !none_match)
        return 0;
    if (match && none_match)
        return fail_code(err, ERR_INVALID, "InvalidRequest", "If-Match and If-None-Match cannot both be given.");
    there = version_newest(c, b, key, &v, err) == 0;
    if (!there && err->kind != ERR_NOT_FOUND)
        return -1;
    there = there && !v.marker;
    if (none_match) {
        if (!doc_is(c->input, "IfNoneMatch", "*")) {
            fail_code(err, ERR_INVALID, "NotImplemented",
                      "A header you provided implies functionality that is not implemented: If-None-Match with "
                      "anything but *");
            err->http_status = 501;
            return -1;
        }
        return there ? failed(err, "If-None-Match") : 0;
    }
    if (!there)
        return fail_code(err, ERR_NOT_FOUND, "NoSuchKey", "The specified key does not exist.");
    return etag_listed(str_of(doc_text(c->input, "IfMatch")), v.etag) ? 0 : failed(err, "If-Match");
}

int range_read(const char *text, int64_t object_size, bool *ret_partial, int64_t *ret_offset, int64_t *ret_size,
               struct err *err)
{
    struct str from, to;
    int64_t first, last;

    *ret_partial = false;
    *ret_offset = 0;
    *ret_size = object_size;
    if (!text_starts(text, "bytes=") || strchr(text, ',') || !str_cut(str_of(text + 6), '-', &from, &to))
        return 0;
    if (from.size == 0) {
        if (!str_to_int64(to, &last) || last < 0)
            return 0;
        first = last < object_size ? object_size - last : 0;
        if (last == 0 || object_size == 0)
            first = object_size;
        last = object_size - 1;
    } else {
        if (!str_to_int64(from, &first) || first < 0)
            return 0;
        last = object_size - 1;
        if (to.size > 0 && (!str_to_int64(to, &last) || last < first))
            return 0;
        if (last > object_size - 1)
            last = object_size - 1;
    }
    if (first >= object_size) {
        fail_code(err, ERR_INVALID, "InvalidRange", "The requested range is not satisfiable");
        err->http_status = 416;
        return -1;
    }
    *ret_partial = true;
    *ret_offset = first;
    *ret_size = last - first + 1;
    return 0;
}
