/* object.c - objects: put, read, described. */
#include "services/s3/object.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

#include "engine/integrity.h"
#include "services/s3/access.h"
#include "services/s3/condition.h"
#include "services/s3/pieces.h"
#include "services/s3/tagging.h"

/* Kept as they came and given back with the object; the second name overrides one in an answer. */
static const char *const headers[][2] = {
    { "CacheControl", "ResponseCacheControl" },
    { "ContentDisposition", "ResponseContentDisposition" },
    { "ContentEncoding", "ResponseContentEncoding" },
    { "ContentLanguage", "ResponseContentLanguage" },
    { "ContentType", "ResponseContentType" },
    { "Expires", "ResponseExpires" },
    { "WebsiteRedirectLocation", NULL },
};

/* Classes whose objects can be read at once, as all of ours can: the name is kept and has no effect. An archive would
 * have to be restored first, so those are refused. */
static const char *const classes[] = {
    "STANDARD", "REDUCED_REDUNDANCY", "STANDARD_IA", "ONEZONE_IA", "INTELLIGENT_TIERING", "GLACIER_IR",
};

/* "aws-chunked" is how the body travelled, not what it is. */
static const char *own_encodings(struct arena *a, const char *text)
{
    struct str rest = str_of(text), one;
    const char *kept = "";

    while (rest.size > 0) {
        if (!str_cut(rest, ',', &one, &rest)) {
            one = rest;
            rest = STR("");
        }
        one = str_trim(one);
        if (one.size > 0 && !str_is_nocase(one, "aws-chunked"))
            kept = arena_printf(a, "%s%s" STR_FMT, kept, *kept ? "," : "", STR_ARG(one));
    }
    return kept;
}

static int check_metadata(const struct doc *metadata, struct err *err)
{
    size_t size = 0;

    for (uint32_t i = 0; metadata && i < metadata->count; i++)
        size += strlen(metadata->members[i].key) + strlen(doc_value_text(metadata->members[i].value));
    if (size > 2048)
        return fail_code(err, ERR_INVALID, "MetadataTooLarge",
                         "Your metadata headers exceed the maximum allowed metadata size");
    return 0;
}

/* Records are JSON: bytes that are no text could be written, and never read again. */
static int check_text(const struct doc *map, struct err *err)
{
    for (uint32_t i = 0; map && map->type == DOC_MAP && i < map->count; i++) {
        const struct doc *value = map->members[i].value;

        if (!utf8_valid(str_of(map->members[i].key)) || (value->type == DOC_STRING && !utf8_valid(value->text)))
            return fail_code(err, ERR_INVALID, "InvalidArgument", "The header of %s is not valid UTF-8.",
                             utf8_valid(str_of(map->members[i].key)) ? map->members[i].key : "the metadata");
    }
    return 0;
}

int object_record(struct call *c, struct doc **ret, struct err *err)
{
    struct doc *record = doc_map(c->arena), *kept = doc_map(c->arena), *tags;
    const struct doc *metadata = doc_get(c->input, "Metadata");
    const char *class = doc_text(c->input, "StorageClass");
    size_t i = 0, count = sizeof classes / sizeof classes[0];

    for (size_t h = 0; h < sizeof headers / sizeof headers[0]; h++) {
        const struct doc *value = doc_get(c->input, headers[h][0]);

        if (value)
            doc_set(c->arena, kept, headers[h][0], doc_copy(c->arena, value));
    }
    if (doc_has(kept, "ContentEncoding")) {
        const char *encodings = own_encodings(c->arena, doc_text(kept, "ContentEncoding"));

        doc_set_string(c->arena, kept, "ContentEncoding", *encodings ? encodings : NULL);
    }
    if (!doc_has(kept, "ContentType"))
        doc_set_string(c->arena, kept, "ContentType", "binary/octet-stream");
    doc_set(c->arena, record, "Headers", kept);
    if (check_metadata(metadata, err) < 0 || check_text(metadata, err) < 0 || check_text(kept, err) < 0)
        return -1;
    if (metadata && metadata->count > 0)
        doc_set(c->arena, record, "Metadata", doc_copy(c->arena, metadata));
    if (*class) {
        while (i < count && strcmp(class, classes[i]) != 0)
            i++;
        if (i == count)
            return fail_code(err, ERR_INVALID, "InvalidStorageClass", "The storage class you specified is not valid");
        if (i > 0)
            doc_set_string(c->arena, record, "StorageClass", class);
    }
    if (doc_has(c->input, "Tagging") && doc_get(c->input, "Tagging")->type == DOC_STRING) {
        if (tagging_of_header(c->arena, doc_text(c->input, "Tagging"), &tags, err) < 0)
            return -1;
        if (tags->count > 0)
            doc_set(c->arena, record, "Tags", tags);
    }
    *ret = record;
    return 0;
}

struct doc *object_checksum(struct arena *a, const char *algorithm, const void *value, size_t size, const char *type)
{
    struct doc *checksum = doc_map(a);

    doc_set_string(a, checksum, "Algorithm", algorithm);
    doc_set_string(a, checksum, "Value", base64_encode(a, value, size));
    doc_set_string(a, checksum, "Type", type);
    return checksum;
}

struct doc *object_checksum_of_upload(struct arena *a, const struct upload *u)
{
    const struct checksum_kind *kind = checksum_kind_of(u->checksum);
    unsigned char value[CHECKSUM_MAX_SIZE];

    assert(kind);
    checksum_value(u, kind, value);
    return object_checksum(a, kind->name, value, kind->size, "FULL_OBJECT");
}

void object_tell_checksum(struct arena *a, const struct doc *checksum, struct doc *into)
{
    const struct checksum_kind *kind = checksum ? checksum_kind_named(str_of(doc_text(checksum, "Algorithm"))) : NULL;

    if (!kind)
        return;
    doc_set_string(a, into, kind->member, doc_text(checksum, "Value"));
    doc_set_string(a, into, "ChecksumType", doc_text(checksum, "Type"));
}

char *object_etag(struct arena *a, const unsigned char md5[static 16])
{
    char *etag = arena_alloc(a, 33);

    hex_encode(etag, md5, 16);
    return etag;
}

/* The MD5 of bytes that are not read is not known. Clients only compare such an ETag with itself, so it is derived from
 * what cannot change: which bytes of which blobs. */
char *object_etag_of_pieces(struct arena *a, const struct piece *pieces, int count)
{
    unsigned char sum[MD5_SIZE];
    struct digest d;

    digest_start(&d, DIGEST_MD5);
    for (int i = 0; i < count; i++) {
        const char *text = arena_printf(a, "%s %" PRId64 " %" PRId64 "\n", pieces[i].blob_uid, pieces[i].offset,
                                        pieces[i].size_bytes);

        digest_update(&d, text, strlen(text));
    }
    digest_finish(&d, sum);
    return object_etag(a, sum);
}

char *object_etag_of_upload(struct arena *a, const struct upload *u)
{
    const struct piece whole = { u->blob_uid, 0, u->size_bytes };

    return u->measured & UPLOAD_MD5 ? object_etag(a, u->md5) : object_etag_of_pieces(a, &whole, 1);
}

int object_check_tagging(struct call *c, const struct bucket *b, const struct doc *record, struct err *err)
{
    if (!doc_has(record, "Tags"))
        return 0;
    return access_check(c, b, "s3:PutObjectTagging", access_arn(c->arena, b->name, input_key(c)), err);
}

/* All that can be refused before the body: also asked before it is read. */
static int prepare_put(struct call *c, struct bucket *b, struct doc **record, struct err *err)
{
    if (bucket_open(c, NULL, b, err) < 0 || object_record(c, record, err) < 0 ||
        object_check_tagging(c, b, *record, err) < 0)
        return -1;
    return condition_write(c, b, input_key(c), err);
}

int admit_put_object(struct call *c, struct err *err)
{
    struct bucket b;
    struct doc *record;

    return prepare_put(c, &b, &record, err);
}

int put_object(struct call *c, struct err *err)
{
    const struct upload *u = c->upload;
    const struct piece piece = { u->blob_uid, 0, u->size_bytes };
    int count = u->size_bytes > 0 ? 1 : 0;
    struct doc *record, *checksum = object_checksum_of_upload(c->arena, u);
    struct bucket b;
    struct version v;

    if (prepare_put(c, &b, &record, err) < 0)
        return -1;
    doc_set_string(c->arena, record, "ETag", object_etag_of_upload(c->arena, u));
    doc_set_integer(c->arena, record, "Size", u->size_bytes);
    doc_set(c->arena, record, "Checksum", checksum);
    if (pieces_hold(c, &piece, count, err) < 0 || version_add(c, &b, input_key(c), record, &piece, count, &v, err) < 0)
        return -1;
    doc_set_string(c->arena, c->output, "ETag", v.etag);
    object_tell_checksum(c->arena, checksum, c->output);
    version_tell(c, &b, &v, "VersionId");
    return 0;
}

static void tell_headers(struct call *c, const struct version *v)
{
    const struct doc *kept = doc_get(v->record, "Headers"), *metadata = doc_get(v->record, "Metadata");

    for (size_t h = 0; h < sizeof headers / sizeof headers[0]; h++) {
        const struct doc *value = headers[h][1] ? doc_get(c->input, headers[h][1]) : NULL;

        if (!value)
            value = doc_get(kept, headers[h][0]);
        if (value)
            doc_set(c->arena, c->output, headers[h][0], doc_copy(c->arena, value));
    }
    if (metadata)
        doc_set(c->arena, c->output, "Metadata", doc_copy(c->arena, metadata));
}

/* The bytes that are asked for: all, a range, or a part. */
static int choose_bytes(struct call *c, const struct version *v, bool *ret_partial, int64_t *ret_offset,
                        int64_t *ret_size, struct err *err)
{
    const struct doc *parts;
    int64_t number = doc_int(c->input, "PartNumber", 0), offset = 0;

    if (!doc_has(c->input, "PartNumber"))
        return range_read(doc_text(c->input, "Range"), v->size_bytes, ret_partial, ret_offset, ret_size, err);
    if (doc_has(c->input, "Range"))
        return fail_code(err, ERR_INVALID, "InvalidRequest",
                         "Cannot specify both Range header and partNumber query parameter");
    if (number < 1 || number > 10000)
        return fail_code(err, ERR_INVALID, "InvalidArgument",
                         "Part number must be an integer between 1 and 10000, inclusive");
    if (pieces_parts(c, v->record, &parts, err) < 0)
        return -1;
    *ret_partial = true;
    if (!parts && number == 1) {
        *ret_partial = v->size_bytes > 0;
        *ret_offset = 0;
        *ret_size = v->size_bytes;
        return 0;
    }
    for (uint32_t i = 0; parts && i < parts->count; i++) {
        int64_t size = doc_int(parts->items[i], "Size", 0);

        if (doc_int(parts->items[i], "PartNumber", 0) == number) {
            doc_set_integer(c->arena, c->output, "PartsCount", parts->count);
            *ret_offset = offset;
            *ret_size = size;
            return 0;
        }
        offset += size;
    }
    fail_code(err, ERR_INVALID, "InvalidPartNumber", "The requested partnumber is not satisfiable");
    err->http_status = 416;
    return -1;
}

static int read_object(struct call *c, bool body, struct err *err)
{
    const char *id = doc_text(c->input, "VersionId");
    const struct doc *tags;
    struct piece *pieces;
    struct bucket b;
    struct version v;
    int64_t offset, size;
    bool partial;
    int count;

    if (bucket_open(c, *id ? "s3:GetObjectVersion" : "s3:GetObject", &b, err) < 0 ||
        version_wanted(c, &b, input_key(c), id, &v, err) < 0)
        return -1;
    version_tell(c, &b, &v, "VersionId");
    if (condition_read(c, &v, "", err) < 0 || choose_bytes(c, &v, &partial, &offset, &size, err) < 0)
        return -1;
    doc_set_string(c->arena, c->output, "AcceptRanges", "bytes");
    doc_set_string(c->arena, c->output, "ETag", v.etag);
    doc_set_integer(c->arena, c->output, "LastModified", v.modified_ms);
    doc_set_integer(c->arena, c->output, "ContentLength", size);
    tell_headers(c, &v);
    if (doc_has(v.record, "StorageClass"))
        doc_set_string(c->arena, c->output, "StorageClass", doc_text(v.record, "StorageClass"));
    if (partial) {
        c->http_status = 206;
        doc_set_string(c->arena, c->output, "ContentRange",
                       arena_printf(c->arena, "bytes %" PRId64 "-%" PRId64 "/%" PRId64, offset, offset + size - 1,
                                    v.size_bytes));
    }
    /* A checksum is of all bytes: beside some of them it would look like a fault. */
    if (doc_is(c->input, "ChecksumMode", "ENABLED") && size == v.size_bytes)
        object_tell_checksum(c->arena, doc_get(v.record, "Checksum"), c->output);
    tags = doc_get(v.record, "Tags");
    if (tags && tags->count > 0)
        doc_set_integer(c->arena, c->output, "TagCount", tags->count);
    if (!body)
        return 0;
    if (!c->download)
        c->download = arena_new_of(c->arena, struct download);
    if (pieces_read(c, v.record, &pieces, &count, err) < 0)
        return -1;
    c->download->pieces = arena_array_of(c->arena, struct piece, (size_t)count + 1);
    c->download->piece_count = pieces_cut(pieces, count, offset, size, c->download->pieces);
    return 0;
}

int get_object(struct call *c, struct err *err)
{
    return read_object(c, true, err);
}

int head_object(struct call *c, struct err *err)
{
    return read_object(c, false, err);
}

static void tell_parts(struct call *c, const struct doc *parts, const struct doc *checksum)
{
    const struct checksum_kind *kind = checksum ? checksum_kind_named(str_of(doc_text(checksum, "Algorithm"))) : NULL;
    int64_t most = doc_int(c->input, "MaxParts", 1000), marker = doc_int(c->input, "PartNumberMarker", 0), last = 0;
    struct doc *told = doc_map(c->arena), *list = doc_list(c->arena);
    bool truncated = false;

    if (most < 0 || most > 1000)
        most = 1000;
    for (uint32_t i = 0; i < parts->count; i++) {
        const struct doc *part = parts->items[i];
        struct doc *item = doc_map(c->arena);

        if (doc_int(part, "PartNumber", 0) <= marker)
            continue;
        truncated = (int64_t)list->count == most;
        if (truncated)
            break;
        last = doc_int(part, "PartNumber", 0);
        doc_set_integer(c->arena, item, "PartNumber", last);
        doc_set_integer(c->arena, item, "Size", doc_int(part, "Size", 0));
        if (kind && doc_has(part, "Checksum"))
            doc_set_string(c->arena, item, kind->member, doc_text(part, "Checksum"));
        doc_append(c->arena, list, item);
    }
    doc_set_integer(c->arena, told, "TotalPartsCount", parts->count);
    doc_set_integer(c->arena, told, "PartNumberMarker", marker);
    doc_set_integer(c->arena, told, "NextPartNumberMarker", last);
    doc_set_integer(c->arena, told, "MaxParts", most);
    doc_set_boolean(c->arena, told, "IsTruncated", truncated);
    doc_set(c->arena, told, "Parts", list);
    doc_set(c->arena, c->output, "ObjectParts", told);
}

int get_object_attributes(struct call *c, struct err *err)
{
    const struct doc *wanted = doc_get(c->input, "ObjectAttributes"), *parts, *checksum;
    const char *id = doc_text(c->input, "VersionId");
    struct bucket b;
    struct version v;

    if (bucket_open(c, *id ? "s3:GetObjectVersion" : "s3:GetObject", &b, err) < 0 ||
        version_wanted(c, &b, input_key(c), id, &v, err) < 0 || pieces_parts(c, v.record, &parts, err) < 0)
        return -1;
    version_tell(c, &b, &v, "VersionId");
    doc_set_integer(c->arena, c->output, "LastModified", v.modified_ms);
    checksum = doc_get(v.record, "Checksum");
    for (uint32_t i = 0; wanted && i < wanted->count; i++) {
        const char *name = doc_value_text(wanted->items[i]);

        if (strcmp(name, "ETag") == 0)
            doc_set_string(c->arena, c->output, "ETag", doc_text(v.record, "ETag"));
        else if (strcmp(name, "ObjectSize") == 0)
            doc_set_integer(c->arena, c->output, "ObjectSize", v.size_bytes);
        else if (strcmp(name, "StorageClass") == 0)
            doc_set_string(c->arena, c->output, "StorageClass", doc_text_or(v.record, "StorageClass", "STANDARD"));
        else if (strcmp(name, "ObjectParts") == 0 && parts)
            tell_parts(c, parts, checksum);
        else if (strcmp(name, "Checksum") == 0 && checksum) {
            struct doc *told = doc_map(c->arena);

            object_tell_checksum(c->arena, checksum, told);
            doc_set(c->arena, c->output, "Checksum", told);
        }
    }
    return 0;
}
