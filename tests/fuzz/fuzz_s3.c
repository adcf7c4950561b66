/* links: base doc sign net store aws route run engine fleet services */
/* A story of S3 operations over a memory store, each told by bytes: an operation, then its members parted by 0xff. What
 * must hold beside the sanitizers' rules is in the code's own asserts; and the use counts of blobs come out even. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "aws/model.h"
#include "base/log.h"
#include "doc/json.h"
#include "engine/engine.h"
#include "services/s3/s3.h"
#include "store/store.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct {
    const char *operation, *members[6];
} steps[] = {
    { "PutObject", { "Key", "ContentEncoding", "Tagging", "IfMatch", "IfNoneMatch", "StorageClass" } },
    { "GetObject", { "Key", "Range", "VersionId", "IfMatch", "IfNoneMatch" } },
    { "GetObject", { "Key", "#PartNumber", "VersionId" } },
    { "CopyObject", { "Key", "CopySource", "CopySourceIfMatch", "MetadataDirective", "Tagging", "TaggingDirective" } },
    { "DeleteObject", { "Key", "VersionId", "IfMatch" } },
    { "ListObjectsV2", { "Prefix", "Delimiter", "StartAfter", "ContinuationToken", "EncodingType", "#MaxKeys" } },
    { "ListObjects", { "Prefix", "Delimiter", "Marker", "EncodingType", "#MaxKeys" } },
    { "ListObjectVersions", { "Prefix", "Delimiter", "KeyMarker", "VersionIdMarker", "#MaxKeys" } },
    { "ListMultipartUploads", { "Prefix", "Delimiter", "KeyMarker", "UploadIdMarker", "#MaxUploads" } },
    { "CreateMultipartUpload", { "Key", "ChecksumAlgorithm", "ChecksumType", "Tagging" } },
    { "UploadPart", { "Key", "#PartNumber" } },
    { "UploadPartCopy", { "Key", "#PartNumber", "CopySource", "CopySourceRange" } },
    { "CompleteMultipartUpload", { "Key", "ChecksumCRC32", "ChecksumType" } },
    { "AbortMultipartUpload", { "Key" } },
    { "ListParts", { "Key", "#MaxParts", "#PartNumberMarker" } },
    { "PutBucketVersioning", { "VersioningConfiguration.Status" } },
    { "PutBucketPolicy", { "Policy" } },
    { "DeleteBucketPolicy", {} },
    { "GetObjectTagging", { "Key", "VersionId" } },
};

static int64_t still_ms(struct clock *c)
{
    return 1700000000000;
}

struct story {
    struct arena *arena;
    struct engine *engine;
    struct store *store;
    struct rand rand;
    char upload_id[64]; /* of the upload begun last */
    struct doc *parts;  /* put to it */
};

static struct str take(const uint8_t **data, size_t *size)
{
    const uint8_t *end = memchr(*data, 0xff, *size);
    struct str s = { (const char *)*data, end ? (size_t)(end - *data) : *size };

    *data += s.size + (end ? 1 : 0);
    *size -= s.size + (end ? 1 : 0);
    return s;
}

static void set_member(struct story *s, struct doc *input, const char *name, struct str value)
{
    int64_t number = 0;

    if (value.size == 0)
        return;
    if (*name == '#') {
        for (size_t i = 0; i < value.size && i < 2; i++)
            number = number * 256 + (unsigned char)value.data[i];
        doc_set_integer(s->arena, input, name + 1, number - 2);
    } else if (strchr(name, '.')) {
        struct doc *inner = doc_map(s->arena);

        doc_set(s->arena, inner, strchr(name, '.') + 1, doc_str(s->arena, value));
        doc_set(s->arena, input, arena_strndup(s->arena, name, (size_t)(strchr(name, '.') - name)), inner);
    } else {
        doc_set(s->arena, input, name, doc_str(s->arena, value));
    }
}

static void run(struct story *s, const char *operation, struct doc *input)
{
    static const struct principal root = { .account = "1", .arn = "arn:aws:iam::1:root", .user_id = "1",
                                           .access_key_id = "AK", .trusted = true };
    static const char text[] = "hello";
    struct upload u = { .measured = UPLOAD_MD5 | UPLOAD_CRC64NVME, .checksum = UPLOAD_CRC64NVME };
    char uid[27];
    struct call c = { .engine = s->engine, .arena = s->arena, .principal = &root, .region = "us-east-1",
                      .request_id = "R",
                      .source_ip = "", .now_ms = 1700000000000, .input = input, .output = doc_map(s->arena),
                      .operation = model_operation(model_service("s3"), str_of(operation)) };
    struct err err = { 0 };

    rand_name(&s->rand, uid, 26);
    u.blob_uid = uid;
    u.size_bytes = sizeof text;
    c.upload = &u;
    assert(c.operation);
    if (engine_run(s->engine, &c, &err) < 0) {
        if (err.kind == ERR_INTERNAL) {
            fprintf(stderr, "%s: %s\n", operation, err.text);
            abort();
        }
        return;
    }
    if (strcmp(operation, "CreateMultipartUpload") == 0) {
        strcpy(s->upload_id, doc_text(c.output, "UploadId"));
        s->parts = doc_list(s->arena);
    } else if (text_starts(operation, "UploadPart")) {
        struct doc *part = doc_map(s->arena);

        doc_set_integer(s->arena, part, "PartNumber", doc_int(input, "PartNumber", 0));
        doc_set_string(s->arena, part, "ETag",
                       doc_text_or(c.output, "ETag", doc_text(c.output, "CopyPartResult.ETag")));
        doc_append(s->arena, s->parts, part);
    }
}

/* Every piece that a record has is counted, and nothing else is. */
static void check_counts(struct story *s)
{
    static const char *const tables[] = { "s3_objects", "s3_parts", "s3_manifests" };
    struct range all = { .limit = 1000000 };
    struct pair *pairs;
    struct err err = { 0 };
    int count;
    int64_t pieces = 0, counted = 0, number = 0;

    for (size_t t = 0; t < 3; t++) {
        assert(store_scan(s->arena, s->store, tables[t], &all, &pairs, &count, &err) == 0);
        for (int i = 0; i < count; i++) {
            struct doc *record;

            assert(json_parse(s->arena, pairs[i].value, &record, &err) == 0);
            pieces += (int64_t)doc_count(record, "Pieces") / 3;
        }
    }
    assert(store_scan(s->arena, s->store, "s3_blobs", &all, &pairs, &count, &err) == 0);
    for (int i = 0; i < count; i++) {
        assert(str_to_int64(pairs[i].value, &number) && number > 0);
        counted += number;
    }
    assert(pieces == counted);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct service_ops *const services[] = { &s3_ops, NULL };
    static const struct kind *const kinds[] = { NULL };
    struct clock clock = { still_ms, still_ms };
    struct story s = { .arena = arena_new(), .store = store_new_memory(), .rand = rand_seeded(1) };
    struct engine_world world = { .store = s.store, .clock = &clock, .rand = &s.rand, .services = services,
                                  .kinds = kinds, .default_region = "us-east-1", .account = "1" };
    struct doc *bucket = doc_map(s.arena);
    struct err err = { 0 };

    log_setup("fuzz", LOG_ERROR);
    s.parts = doc_list(s.arena);
    assert(engine_new(&world, &s.engine, &err) == 0);
    doc_set_string(s.arena, bucket, "Bucket", "shelf");
    run(&s, "CreateBucket", bucket);
    for (int step = 0; size > 0 && step < 64; step++) {
        size_t which = *data % (sizeof steps / sizeof steps[0]);
        struct doc *input = doc_map(s.arena);

        data++, size--;
        doc_set_string(s.arena, input, "Bucket", "shelf");
        for (int m = 0; m < 6 && steps[which].members[m] && size > 0; m++)
            set_member(&s, input, steps[which].members[m], take(&data, &size));
        if (strstr(steps[which].operation, "Part") || strstr(steps[which].operation, "rtUpload"))
            doc_set_string(s.arena, input, "UploadId", s.upload_id);
        if (strcmp(steps[which].operation, "CompleteMultipartUpload") == 0) {
            struct doc *list = doc_map(s.arena);

            doc_set(s.arena, list, "Parts", s.parts);
            doc_set(s.arena, input, "MultipartUpload", list);
        }
        run(&s, steps[which].operation, input);
    }
    check_counts(&s);
    engine_free(s.engine);
    store_free(s.store);
    arena_free(s.arena);
    return 0;
}
