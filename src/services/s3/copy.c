/* copy.c - objects copied from objects: a new record over the same blobs, no byte is moved.
 *
 * So a copy keeps the ETag and the checksum of its source, also where S3 would compute new ones over the bytes (the
 * copy of a multipart object keeps its "-N" ETag). */
#include <string.h>

#include "services/s3/access.h"
#include "services/s3/condition.h"
#include "services/s3/object.h"
#include "services/s3/pieces.h"

static int bad_source(struct err *err)
{
    return fail_code(err, ERR_INVALID, "InvalidArgument",
                     "Copy Source must mention the source bucket and key: sourcebucket/sourcekey");
}

/* "bucket/key?versionId=id", percent-encoded, with or without a slash before it. */
static int parse_source(struct arena *a, const char *text, const char **ret_bucket, struct str *ret_key,
                        const char **ret_id, struct err *err)
{
    const char *version = strstr(text, "?versionId=");
    struct str all = { text, version ? (size_t)(version - text) : strlen(text) }, bucket, key;

    if (str_starts(all, "arn:"))
        return fail_code(err, ERR_INVALID, "InvalidArgument", "This server has no access points to copy from.");
    all = uri_decode(a, all, false);
    if (str_starts(all, "/"))
        all = (struct str){ all.data + 1, all.size - 1 };
    if (!str_cut(all, '/', &bucket, &key) || bucket.size == 0 || key.size == 0 || key.size > 1024 ||
        memchr(all.data, '\0', all.size) || !utf8_valid(key))
        return bad_source(err);
    *ret_bucket = str_dup(a, bucket);
    *ret_key = key;
    *ret_id = version ? str_dup(a, uri_decode(a, str_of(version + 11), false)) : "";
    return 0;
}

int source_open(struct call *c, struct source *ret, struct err *err)
{
    struct source s = { 0 };
    const char *bucket = "", *id = "";
    struct str key;

    if (parse_source(c->arena, doc_text(c->input, "CopySource"), &bucket, &key, &id, err) < 0 ||
        bucket_load(c, bucket, &s.bucket, err) < 0 ||
        access_check(c, &s.bucket, *id ? "s3:GetObjectVersion" : "s3:GetObject", access_arn(c->arena, bucket, key),
                     err) < 0 ||
        bucket_expect_owner(c, &s.bucket, "ExpectedSourceBucketOwner", err) < 0 ||
        version_wanted(c, &s.bucket, key, id, &s.version, err) < 0 ||
        condition_read(c, &s.version, "CopySource", err) < 0 ||
        pieces_read(c, s.version.record, &s.pieces, &s.piece_count, err) < 0)
        return -1;
    s.by_id = *id != '\0';
    *ret = s;
    return 0;
}

/* What the copy says about itself: the source's words or the request's, by directive. */
static int copy_record(struct call *c, const struct source *s, struct doc **ret, struct err *err)
{
    bool own_headers = doc_is(c->input, "MetadataDirective", "REPLACE");
    bool own_tags = doc_is(c->input, "TaggingDirective", "REPLACE");
    const struct doc *from = s->version.record, *parts;
    struct doc *record, *own;

    if (object_record(c, &own, err) < 0 || pieces_parts(c, from, &parts, err) < 0)
        return -1;
    record = doc_map(c->arena);
    doc_set(c->arena, record, "Headers", (struct doc *)doc_get(own_headers ? own : from, "Headers"));
    doc_set(c->arena, record, "Metadata", (struct doc *)doc_get(own_headers ? own : from, "Metadata"));
    doc_set(c->arena, record, "Tags", (struct doc *)doc_get(own_tags ? own : from, "Tags"));
    doc_set(c->arena, record, "StorageClass", (struct doc *)doc_get(own, "StorageClass"));
    doc_set(c->arena, record, "ETag", (struct doc *)doc_get(from, "ETag"));
    doc_set(c->arena, record, "Size", (struct doc *)doc_get(from, "Size"));
    doc_set(c->arena, record, "Checksum", (struct doc *)doc_get(from, "Checksum"));
    doc_set(c->arena, record, "Parts", (struct doc *)parts);
    *ret = record;
    return 0;
}

static int check_checksum(struct call *c, const struct source *s, struct err *err)
{
    const char *wanted = doc_text(c->input, "ChecksumAlgorithm");

    if (!*wanted || doc_is(s->version.record, "Checksum.Algorithm", wanted))
        return 0;
    fail_code(
        err, ERR_INVALID, "NotImplemented",
        "A header you provided implies functionality that is not implemented: x-amz-checksum-algorithm %s. A copy "
        "shares the bytes of its source and keeps its checksum (%s); put the object anew to have another.",
        wanted, doc_text_or(s->version.record, "Checksum.Algorithm", "none"));
    err->http_status = 501;
    return -1;
}

int copy_object(struct call *c, struct err *err)
{
    struct doc *record, *result = doc_map(c->arena);
    struct str key = input_key(c);
    struct bucket b;
    struct source s;
    struct version v;

    if (bucket_open(c, "s3:PutObject", &b, err) < 0 || source_open(c, &s, err) < 0 || check_checksum(c, &s, err) < 0)
        return -1;
    if (doc_has(s.version.record, "Tags") && !doc_is(c->input, "TaggingDirective", "REPLACE") &&
        access_check(c, &s.bucket, s.by_id ? "s3:GetObjectVersionTagging" : "s3:GetObjectTagging",
                     access_arn(c->arena, s.bucket.name, s.version.key), err) < 0)
        return -1;
    if (strcmp(b.name, s.bucket.name) == 0 && str_eq(key, s.version.key) && !s.by_id &&
        !doc_is(c->input, "MetadataDirective", "REPLACE") && !doc_is(c->input, "TaggingDirective", "REPLACE") &&
        !doc_has(c->input, "StorageClass") && !doc_has(c->input, "WebsiteRedirectLocation"))
        return fail_code(
            err, ERR_INVALID, "InvalidRequest",
            "This copy request is illegal because it is trying to copy an object to itself without changing the "
            "object's metadata, storage class, website redirect location or encryption attributes.");
    if (copy_record(c, &s, &record, err) < 0 || object_check_tagging(c, &b, record, err) < 0 ||
        condition_write(c, &b, key, err) < 0 || pieces_hold(c, s.pieces, s.piece_count, err) < 0 ||
        version_add(c, &b, key, record, s.pieces, s.piece_count, &v, err) < 0)
        return -1;
    doc_set_string(c->arena, result, "ETag", v.etag);
    doc_set_integer(c->arena, result, "LastModified", v.modified_ms);
    object_tell_checksum(c->arena, doc_get(v.record, "Checksum"), result);
    doc_set(c->arena, c->output, "CopyObjectResult", result);
    version_tell(c, &b, &v, "VersionId");
    version_tell(c, &s.bucket, &s.version, "CopySourceVersionId");
    return 0;
}
