/* tagging.c - tags of objects and buckets: lists of {Key, Value}. */
#include "services/s3/tagging.h"

#include <string.h>

#include "services/s3/bucket.h"
#include "services/s3/version.h"

/* S3 counts characters, not bytes. */
static size_t characters(const char *text)
{
    size_t n = 0;

    for (; *text; text++)
        n += ((unsigned char)*text & 0xc0) != 0x80;
    return n;
}

int tagging_check(const struct doc *tags, uint32_t most, struct err *err)
{
    if (!tags || tags->type != DOC_LIST)
        return 0;
    if (tags->count > most)
        return fail_code(err, ERR_INVALID, "BadRequest", "%s tags cannot be greater than %u",
                         most == OBJECT_TAGS ? "Object" : "Bucket", most);
    for (uint32_t i = 0; i < tags->count; i++) {
        const char *key = doc_text(tags->items[i], "Key");

        if (*key == '\0' || characters(key) > 128 || (most == BUCKET_TAGS && text_starts(key, "aws:")))
            return fail_code(err, ERR_INVALID, "InvalidTag", "The TagKey you have provided is invalid");
        if (characters(doc_text(tags->items[i], "Value")) > 256)
            return fail_code(err, ERR_INVALID, "InvalidTag", "The TagValue you have provided is invalid");
        for (uint32_t j = 0; j < i; j++)
            if (doc_is(tags->items[j], "Key", key))
                return fail_code(err, ERR_INVALID, "InvalidTag", "Cannot provide multiple Tags with the same key");
    }
    return 0;
}

int tagging_of_header(struct arena *a, const char *header, struct doc **ret, struct err *err)
{
    struct doc *tags = doc_list(a);
    struct str rest = str_of(header), pair, key, value;

    while (rest.size > 0) {
        struct doc *tag = doc_map(a);

        if (!str_cut(rest, '&', &pair, &rest)) {
            pair = rest;
            rest = STR("");
        }
        if (pair.size == 0)
            continue;
        if (!str_cut(pair, '=', &key, &value)) {
            key = pair;
            value = STR("");
        }
        key = uri_decode(a, key, true);
        value = uri_decode(a, value, true);
        if (!utf8_valid(key) || !utf8_valid(value))
            return fail_code(err, ERR_INVALID, "InvalidArgument",
                             "The header 'x-amz-tagging' shall be encoded as UTF-8 then "
                             "URLEncoded URL query parameters without tag name duplicates.");
        doc_set_string(a, tag, "Key", str_dup(a, key));
        doc_set_string(a, tag, "Value", str_dup(a, value));
        doc_append(a, tags, tag);
    }
    if (tagging_check(tags, OBJECT_TAGS, err) < 0)
        return -1;
    *ret = tags;
    return 0;
}

/* The object that the tags are of: Key and VersionId of the input. */
static int open_object(struct call *c, const char *action, const char *action_of_version, struct bucket *b,
                       struct version *v, struct err *err)
{
    const char *id = doc_text(c->input, "VersionId");

    if (bucket_open(c, *id ? action_of_version : action, b, err) < 0 ||
        version_wanted(c, b, input_key(c), id, v, err) < 0)
        return -1;
    version_tell(c, b, v, "VersionId");
    return 0;
}

int get_object_tagging(struct call *c, struct err *err)
{
    const struct doc *tags;
    struct bucket b;
    struct version v;

    if (open_object(c, "s3:GetObjectTagging", "s3:GetObjectVersionTagging", &b, &v, err) < 0)
        return -1;
    tags = doc_get(v.record, "Tags");
    doc_set(c->arena, c->output, "TagSet", tags ? doc_copy(c->arena, tags) : doc_list(c->arena));
    return 0;
}

int put_object_tagging(struct call *c, struct err *err)
{
    const struct doc *tags = doc_at(c->input, "Tagging.TagSet");
    struct doc *record;
    struct bucket b;
    struct version v;

    if (open_object(c, "s3:PutObjectTagging", "s3:PutObjectVersionTagging", &b, &v, err) < 0 ||
        tagging_check(tags, OBJECT_TAGS, err) < 0)
        return -1;
    record = doc_copy(c->arena, v.record);
    doc_set(c->arena, record, "Tags", tags && tags->count > 0 ? doc_copy(c->arena, tags) : NULL);
    return version_save(c, &b, &v, record, err);
}

int delete_object_tagging(struct call *c, struct err *err)
{
    struct doc *record;
    struct bucket b;
    struct version v;

    if (open_object(c, "s3:DeleteObjectTagging", "s3:DeleteObjectVersionTagging", &b, &v, err) < 0)
        return -1;
    record = doc_copy(c->arena, v.record);
    doc_set(c->arena, record, "Tags", NULL);
    return version_save(c, &b, &v, record, err);
}

int get_bucket_tagging(struct call *c, struct err *err)
{
    const struct doc *tags;
    struct bucket b;

    if (bucket_open(c, NULL, &b, err) < 0)
        return -1;
    tags = doc_get(b.record, "Tags");
    if (!tags || tags->count == 0)
        return fail_code(err, ERR_NOT_FOUND, "NoSuchTagSet", "The TagSet does not exist");
    doc_set(c->arena, c->output, "TagSet", doc_copy(c->arena, tags));
    return 0;
}

int put_bucket_tagging(struct call *c, struct err *err)
{
    const struct doc *tags = doc_at(c->input, "Tagging.TagSet");
    struct bucket b;

    if (bucket_open(c, NULL, &b, err) < 0 || tagging_check(tags, BUCKET_TAGS, err) < 0)
        return -1;
    doc_set(c->arena, b.record, "Tags", tags ? doc_copy(c->arena, tags) : NULL);
    return bucket_save(c, &b, err);
}

int delete_bucket_tagging(struct call *c, struct err *err)
{
    struct bucket b;

    if (bucket_open(c, NULL, &b, err) < 0)
        return -1;
    doc_set(c->arena, b.record, "Tags", NULL);
    return bucket_save(c, &b, err);
}
