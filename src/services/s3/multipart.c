/* multipart.c - objects that come in parts: begun, and aborted. */
#include "services/s3/multipart_impl.h"

#include <inttypes.h>
#include <string.h>

#include "doc/json.h"
#include "engine/engine.h"
#include "services/s3/access.h"
#include "services/s3/key.h"
#include "services/s3/object.h"
#include "services/s3/pieces.h"
#include "store/store.h"

static const char uploads[] = "s3_uploads";

static int no_such_upload(struct err *err)
{
    return fail_code(
        err, ERR_NOT_FOUND, "NoSuchUpload",
        "The specified upload does not exist. The upload ID may be invalid, or the upload may have been aborted "
        "or completed.");
}

bool multipart_is_crc(const struct checksum_kind *k)
{
    return k->digest == UPLOAD_CRC32 || k->digest == UPLOAD_CRC32C || k->digest == UPLOAD_CRC64NVME;
}

/* Which types an algorithm has:
 * https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity-upload.html */
static int choose_checksum(struct call *c, struct doc *record, struct err *err)
{
    const char *algorithm = doc_text(c->input, "ChecksumAlgorithm"), *type = doc_text(c->input, "ChecksumType");
    const struct checksum_kind *kind = checksum_kind_named(str_of(*algorithm ? algorithm : "CRC64NVME"));

    if (!kind)
        return fail_code(err, ERR_INVALID, "InvalidRequest",
                         "Checksum algorithm provided is unsupported. Please try again with any of the valid types: "
                         "[CRC32, CRC32C, CRC64NVME, SHA1, SHA256]");
    if (!*algorithm && *type)
        return fail_code(err, ERR_INVALID, "InvalidRequest",
                         "The x-amz-checksum-type header can only be used with the x-amz-checksum-algorithm header.");
    if (!*type)
        type = kind->digest == UPLOAD_CRC64NVME ? "FULL_OBJECT" : "COMPOSITE";
    if ((strcmp(type, "FULL_OBJECT") == 0 && !multipart_is_crc(kind)) ||
        (strcmp(type, "COMPOSITE") == 0 && kind->digest == UPLOAD_CRC64NVME))
        return fail_code(err, ERR_INVALID, "InvalidRequest",
                         "The %s checksum type cannot be used with the %s checksum algorithm.", type, kind->name);
    doc_set_string(c->arena, record, "ChecksumAlgorithm", kind->name);
    doc_set_string(c->arena, record, "ChecksumType", type);
    doc_set_boolean(c->arena, record, "ChecksumStated", *algorithm != '\0');
    if (*algorithm) {
        doc_set_string(c->arena, c->output, "ChecksumAlgorithm", kind->name);
        doc_set_string(c->arena, c->output, "ChecksumType", type);
    }
    return 0;
}

int create_multipart_upload(struct call *c, struct err *err)
{
    struct rand *rand = engine_world_of(c->engine)->rand;
    struct doc *record;
    struct bucket b;
    unsigned char random[16];
    char tail[33];
    const char *id;

    if (bucket_open(c, NULL, &b, err) < 0 || object_record(c, &record, err) < 0 ||
        object_check_tagging(c, &b, record, err) < 0 || choose_checksum(c, record, err) < 0)
        return -1;
    rand->fill(rand, random, sizeof random);
    hex_encode(tail, random, sizeof random);
    id = arena_printf(c->arena, "%016" PRIx64 "%s", (uint64_t)c->now_ms, tail);
    doc_set_integer(c->arena, record, "Initiated", c->now_ms);
    doc_set_string(c->arena, record, "Initiator", c->principal->arn);
    doc_set_string(c->arena, record, "AccessKey", c->principal->access_key_id);
    if (store_put(s3_store(c), uploads, key_of_upload(c->arena, b.name, input_key(c), id),
                  str_of(json_text(c->arena, record)), err) < 0)
        return -1;
    doc_set_string(c->arena, c->output, "Bucket", b.name);
    doc_set(c->arena, c->output, "Key", doc_str(c->arena, input_key(c)));
    doc_set_string(c->arena, c->output, "UploadId", id);
    return 0;
}

int multipart_open(struct call *c, const char *action, struct multipart *ret, struct err *err)
{
    struct multipart m = { .key = input_key(c), .id = doc_text(c->input, "UploadId") };
    struct str text;

    if (bucket_open(c, action, &m.bucket, err) < 0)
        return -1;
    if (strlen(m.id) != 48)
        return no_such_upload(err);
    if (store_get(c->arena, s3_store(c), uploads, key_of_upload(c->arena, m.bucket.name, m.key, m.id), &text, err) < 0)
        return err->kind == ERR_NOT_FOUND ? no_such_upload(err) : -1;
    if (json_parse(c->arena, text, &m.record, err) < 0)
        return -1;
    m.checksum = checksum_kind_named(str_of(doc_text(m.record, "ChecksumAlgorithm")));
    m.full_object = doc_is(m.record, "ChecksumType", "FULL_OBJECT");
    m.checksum_stated = doc_bool(m.record, "ChecksumStated", false);
    *ret = m;
    return 0;
}

static int part_of_row(struct arena *a, int64_t number, struct str value, struct part *ret, struct err *err)
{
    struct doc *record;

    if (json_parse(a, value, &record, err) < 0)
        return fail(err, ERR_INTERNAL, "the record of a part is damaged: %s", err->text);
    *ret = (struct part) { number, doc_int(record, "Size", 0), doc_int(record, "LastModified", 0),
                           doc_text(record, "ETag"), record };
    return 0;
}

int multipart_part(struct call *c, const char *id, int64_t number, struct part *ret, struct err *err)
{
    struct str value;

    if (store_get(c->arena, s3_store(c), MULTIPART_PARTS, key_of_part(c->arena, id, number), &value, err) < 0)
        return -1;
    return part_of_row(c->arena, number, value, ret, err);
}

static struct range parts_after(struct arena *a, const char *id, int64_t after)
{
    return (struct range){ key_of_part(a, id, after + 1), key_of_part(a, id, MULTIPART_PARTS_MOST + 1) };
}

int multipart_parts(struct call *c, const char *id, int64_t after, int most, struct part **ret, int *ret_count,
                    struct err *err)
{
    struct range range = parts_after(c->arena, id, after);
    struct pair *pairs;
    struct part *parts;
    int count;

    range.limit = most;
    if (store_scan(c->arena, s3_store(c), MULTIPART_PARTS, &range, &pairs, &count, err) < 0)
        return -1;
    parts = arena_array_of(c->arena, struct part, (size_t)count + 1);
    for (int i = 0; i < count; i++) {
        const unsigned char *number = (const unsigned char *)pairs[i].key.data + pairs[i].key.size - 2;

        if (part_of_row(c->arena, number[0] << 8 | number[1], pairs[i].value, &parts[i], err) < 0)
            return -1;
    }
    *ret = parts;
    *ret_count = count;
    return 0;
}

int multipart_erase(struct call *c, const struct bucket *b, struct str key, const char *id, const struct part *parts,
                    int count, const struct part *taken, int taken_count, struct err *err)
{
    const struct range all = parts_after(c->arena, id, 0);

    for (int i = 0; i < count; i++) {
        bool moves = taken_count > 0 && taken->number == parts[i].number;

        if (moves)
            taken++, taken_count--;
        if ((moves ? pieces_forget(c, parts[i].record, err) : pieces_erase(c, parts[i].record, err)) < 0)
            return -1;
    }
    if (store_remove_range(s3_store(c), MULTIPART_PARTS, &all, err) < 0)
        return -1;
    return store_remove(s3_store(c), uploads, key_of_upload(c->arena, b->name, key, id), err);
}

int abort_multipart_upload(struct call *c, struct err *err)
{
    struct multipart m;
    struct part *parts;
    int count;

    if (multipart_open(c, "s3:AbortMultipartUpload", &m, err) < 0 ||
        multipart_parts(c, m.id, 0, MULTIPART_PARTS_MOST, &parts, &count, err) < 0)
        return -1;
    return multipart_erase(c, &m.bucket, m.key, m.id, parts, count, NULL, 0, err);
}

int multipart_abort_all(struct call *c, const struct bucket *b, struct err *err)
{
    struct str from = key_of_bucket(c->arena, b->name);
    struct range range = { from, store_after_prefix(c->arena, from), .limit = 100 };

    for (;;) {
        struct pair *pairs;
        int count;

        if (store_scan(c->arena, s3_store(c), uploads, &range, &pairs, &count, err) < 0)
            return -1;
        if (count == 0)
            return 0;
        for (int i = 0; i < count; i++) {
            struct str key, id;
            struct part *parts;
            int part_count;

            key_split(pairs[i].key, &key, &id);
            if (multipart_parts(c, str_dup(c->arena, id), 0, MULTIPART_PARTS_MOST, &parts, &part_count, err) < 0 ||
                multipart_erase(c, b, key, str_dup(c->arena, id), parts, part_count, NULL, 0, err) < 0)
                return -1;
        }
    }
}

static int abandon_one(struct arena *a, struct engine *e, const char *bucket, const struct pair *pair,
                       const char *access_key_id, struct err *err)
{
    struct doc *record, *input = doc_map(a), *ignored;
    struct str key, id;

    if (json_parse(a, pair->value, &record, err) < 0)
        return -1;
    if (!doc_is(record, "AccessKey", access_key_id))
        return 0;
    key_split(pair->key, &key, &id);
    doc_set_string(a, input, "Bucket", bucket);
    doc_set(a, input, "Key", doc_str(a, key));
    doc_set(a, input, "UploadId", doc_str(a, id));
    return engine_call(a, e, NULL, engine_world_of(e)->default_region, "s3", "AbortMultipartUpload", input, &ignored,
                       err);
}

int multipart_abandon(struct arena *a, struct engine *e, const char *bucket, struct str prefix,
                      const char *access_key_id, struct err *err)
{
    struct str all = key_of_prefix(a, bucket, prefix);
    struct range range = { .from = all, .to = store_after_prefix(a, all) };
    struct pair *pairs;
    int count;

    do {
        if (store_scan(a, engine_world_of(e)->store, uploads, &range, &pairs, &count, err) < 0)
            return -1;
        for (int i = 0; i < count; i++)
            if (abandon_one(a, e, bucket, &pairs[i], access_key_id, err) < 0)
                return -1;
        if (count)
            range.from = store_after_prefix(a, pairs[count - 1].key);
    } while (count);
    return 0;
}
