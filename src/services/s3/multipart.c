/* multipart.c - objects that come in parts: begun, parts put or copied, completed or aborted.
 *
 * A row of s3_uploads is the upload: Initiated, Initiator, AccessKey (that the initiator had), Headers, Metadata, Tags,
 * StorageClass, ChecksumAlgorithm, ChecksumType, ChecksumStated. A row of s3_parts is a part: ETag, Size, LastModified,
 * Pieces or Manifest, Checksum. An upload's id begins with the time, so that those of one key stand in the order in
 * which they were begun. */
#include "services/s3/multipart.h"

#include <inttypes.h>
#include <string.h>

#include "base/crc.h"
#include "doc/json.h"
#include "engine/engine.h"
#include "engine/integrity.h"
#include "services/s3/access.h"
#include "services/s3/condition.h"
#include "services/s3/key.h"
#include "services/s3/object.h"
#include "services/s3/pieces.h"
#include "store/store.h"

enum { MOST_PARTS = 10000, LEAST_PART_BYTES = 5 * 1024 * 1024 };

/* "Amazon S3 multipart upload limits" in the user guide: what is copied costs no bytes, and could else double without
 * end. */
static const int64_t copy_most_bytes = INT64_C(5) << 30, object_most_bytes = INT64_C(5) << 40;

static const char uploads[] = "s3_uploads", parts_table[] = "s3_parts";

struct multipart {
    struct bucket bucket;
    struct str key;
    const char *id;
    struct doc *record;
    const struct checksum_kind *checksum; /* NULL: none */
    bool full_object;     /* one checksum over all bytes, not one of the parts' */
    bool checksum_stated; /* the client chose it: then every part must have it */
};

struct part {
    int64_t number, size_bytes, modified_ms;
    const char *etag; /* bare */
    const struct doc *record;
};

static int no_such_upload(struct err *err)
{
    return fail_code(
        err, ERR_NOT_FOUND, "NoSuchUpload",
        "The specified upload does not exist. The upload ID may be invalid, or the upload may have been aborted "
        "or completed.");
}

static bool is_crc(const struct checksum_kind *k)
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
    if ((strcmp(type, "FULL_OBJECT") == 0 && !is_crc(kind)) ||
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

static int open_multipart(struct call *c, const char *action, struct multipart *ret, struct err *err)
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

static int check_number(struct call *c, int64_t *ret, struct err *err)
{
    int64_t number = doc_int(c->input, "PartNumber", 0);

    if (number < 1 || number > MOST_PARTS)
        return fail_code(err, ERR_INVALID, "InvalidArgument",
                         "Part number must be an integer between 1 and 10000, inclusive");
    *ret = number;
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

static int find_part(struct call *c, const char *id, int64_t number, struct part *ret, struct err *err)
{
    struct str value;

    if (store_get(c->arena, s3_store(c), parts_table, key_of_part(c->arena, id, number), &value, err) < 0)
        return -1;
    return part_of_row(c->arena, number, value, ret, err);
}

/* A part of that number put before is replaced. */
static int save_part(struct call *c, const struct multipart *m, int64_t number, struct doc *record,
                     const struct piece *pieces, int count, struct err *err)
{
    struct part before;
    bool replaces = find_part(c, m->id, number, &before, err) == 0;

    if (!replaces && err->kind != ERR_NOT_FOUND)
        return -1;
    if (pieces_hold(c, pieces, count, err) < 0 || pieces_write(c, record, pieces, count, err) < 0)
        return -1;
    if (replaces && pieces_erase(c, before.record, err) < 0)
        return -1;
    doc_set_integer(c->arena, record, "LastModified", c->now_ms);
    return store_put(s3_store(c), parts_table, key_of_part(c->arena, m->id, number),
                     str_of(json_text(c->arena, record)), err);
}

int admit_upload_part(struct call *c, struct err *err)
{
    struct multipart m;
    int64_t number;

    return open_multipart(c, "s3:PutObject", &m, err) < 0 ? -1 : check_number(c, &number, err);
}

int upload_part(struct call *c, struct err *err)
{
    const struct upload *u = c->upload;
    const struct piece piece = { u->blob_uid, 0, u->size_bytes };
    struct doc *record = doc_map(c->arena), *checksum;
    struct multipart m;
    int64_t number = 0;
    char *etag = object_etag_of_upload(c->arena, u);

    if (open_multipart(c, "s3:PutObject", &m, err) < 0 || check_number(c, &number, err) < 0)
        return -1;
    /* A client that named no algorithm at the beginning may send any with its parts. */
    if (m.checksum_stated && m.checksum->digest != u->checksum)
        return fail_code(err, ERR_INVALID, "InvalidRequest",
                         "Checksum Type mismatch occurred, expected checksum Type: %s, actual checksum Type: %s",
                         m.checksum->name, u->checksum_stated ? checksum_kind_of(u->checksum)->name : "null");
    checksum = object_checksum_of_upload(c->arena, u);
    doc_set_string(c->arena, record, "ETag", etag);
    doc_set_integer(c->arena, record, "Size", u->size_bytes);
    doc_set(c->arena, record, "Checksum", checksum);
    if (save_part(c, &m, number, record, &piece, u->size_bytes > 0 ? 1 : 0, err) < 0)
        return -1;
    doc_set_string(c->arena, c->output, "ETag", arena_printf(c->arena, "\"%s\"", etag));
    object_tell_checksum(c->arena, checksum, c->output);
    return 0;
}

/* "bytes=0-99", both ends given and inside the source. */
static int source_range(struct call *c, int64_t source_size, int64_t *ret_offset, int64_t *ret_size, struct err *err)
{
    const char *text = doc_text(c->input, "CopySourceRange");
    struct str from, to;
    int64_t first, last;

    *ret_offset = 0;
    *ret_size = source_size;
    if (!doc_has(c->input, "CopySourceRange"))
        return 0;
    if (!text_starts(text, "bytes=") || !str_cut(str_of(text + 6), '-', &from, &to) || !str_to_int64(from, &first) ||
        !str_to_int64(to, &last) || first < 0 || last < first)
        return fail_code(
            err, ERR_INVALID, "InvalidArgument",
            "The x-amz-copy-source-range value must be of the form bytes=first-last where first and last are the "
            "zero-based offsets of the first and last bytes to copy");
    if (last >= source_size)
        return fail_code(err, ERR_INVALID, "InvalidArgument",
                         "Range specified is not valid for source object of size: %" PRId64, source_size);
    *ret_offset = first;
    *ret_size = last - first + 1;
    return 0;
}

static int check_copied(int64_t size, struct err *err)
{
    return size <= copy_most_bytes
               ? 0 : fail_code(err, ERR_INVALID, "InvalidRequest",
                               "The specified copy source is larger than the maximum allowable size for a copy source: "
                               "%" PRId64, copy_most_bytes);
}

int upload_part_copy(struct call *c, struct err *err)
{
    struct doc *record = doc_map(c->arena), *result = doc_map(c->arena);
    const struct doc *checksum;
    struct multipart m;
    struct source s;
    struct piece *pieces;
    int64_t number = 0, offset, size = 0;
    const char *etag;
    bool whole;
    int count;

    if (open_multipart(c, "s3:PutObject", &m, err) < 0 || check_number(c, &number, err) < 0 ||
        source_open(c, &s, err) < 0 || source_range(c, s.version.size_bytes, &offset, &size, err) < 0 ||
        check_copied(size, err) < 0)
        return -1;
    pieces = arena_array_of(c->arena, struct piece, (size_t)s.piece_count + 1);
    count = pieces_cut(s.pieces, s.piece_count, offset, size, pieces);
    whole = size == s.version.size_bytes && !strchr(s.version.etag, '-');
    checksum = doc_get(s.version.record, "Checksum");
    if (!whole || !m.checksum || !doc_is(checksum, "Algorithm", m.checksum->name) ||
        !doc_is(checksum, "Type", "FULL_OBJECT"))
        checksum = NULL;
    if (!checksum && m.checksum_stated) {
        fail_code(
            err, ERR_INVALID, "NotImplemented",
            "This upload was begun with the checksum algorithm %s, and the copied bytes have no such checksum: a copy "
            "shares the bytes of its source and does not read them. Begin the upload without a checksum algorithm, or "
            "upload the part.",
            m.checksum->name);
        err->http_status = 501;
        return -1;
    }
    etag = whole ? doc_text(s.version.record, "ETag") : object_etag_of_pieces(c->arena, pieces, count);
    doc_set_string(c->arena, record, "ETag", etag);
    doc_set_integer(c->arena, record, "Size", size);
    doc_set(c->arena, record, "Checksum", (struct doc *)checksum);
    if (save_part(c, &m, number, record, pieces, count, err) < 0)
        return -1;
    doc_set_string(c->arena, result, "ETag", arena_printf(c->arena, "\"%s\"", etag));
    doc_set_integer(c->arena, result, "LastModified", c->now_ms);
    object_tell_checksum(c->arena, checksum, result);
    doc_set(c->arena, c->output, "CopyPartResult", result);
    version_tell(c, &s.bucket, &s.version, "CopySourceVersionId");
    return 0;
}

static struct range parts_after(struct arena *a, const char *id, int64_t after)
{
    return (struct range){ key_of_part(a, id, after + 1), key_of_part(a, id, MOST_PARTS + 1) };
}

/* Every part of the upload, in order. */
static int each_part(struct call *c, const char *id, int64_t after, int most, struct part **ret, int *ret_count,
                     struct err *err)
{
    struct range range = parts_after(c->arena, id, after);
    struct pair *pairs;
    struct part *parts;
    int count;

    range.limit = most;
    if (store_scan(c->arena, s3_store(c), parts_table, &range, &pairs, &count, err) < 0)
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

/* The upload and its parts go, and what they hold is let go of: but not what the object has taken over, the parts in
 * 'taken' (in order, as 'parts' are). */
static int erase_upload(struct call *c, const struct bucket *b, struct str key, const char *id,
                        const struct part *parts, int count, const struct part *taken, int taken_count, struct err *err)
{
    const struct range all = parts_after(c->arena, id, 0);

    for (int i = 0; i < count; i++) {
        bool moves = taken_count > 0 && taken->number == parts[i].number;

        if (moves)
            taken++, taken_count--;
        if ((moves ? pieces_forget(c, parts[i].record, err) : pieces_erase(c, parts[i].record, err)) < 0)
            return -1;
    }
    if (store_remove_range(s3_store(c), parts_table, &all, err) < 0)
        return -1;
    return store_remove(s3_store(c), uploads, key_of_upload(c->arena, b->name, key, id), err);
}

int abort_multipart_upload(struct call *c, struct err *err)
{
    struct multipart m;
    struct part *parts;
    int count;

    if (open_multipart(c, "s3:AbortMultipartUpload", &m, err) < 0 ||
        each_part(c, m.id, 0, MOST_PARTS, &parts, &count, err) < 0)
        return -1;
    return erase_upload(c, &m.bucket, m.key, m.id, parts, count, NULL, 0, err);
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
            if (each_part(c, str_dup(c->arena, id), 0, MOST_PARTS, &parts, &part_count, err) < 0 ||
                erase_upload(c, b, key, str_dup(c->arena, id), parts, part_count, NULL, 0, err) < 0)
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

static int invalid_part(struct err *err)
{
    return fail_code(
        err, ERR_INVALID, "InvalidPart",
        "One or more of the specified parts could not be found.  The part may not have been uploaded, or the "
        "specified entity tag may not match the part's entity tag.");
}

static struct str bare(const char *etag)
{
    struct str s = str_trim(str_of(etag));

    return s.size >= 2 && s.data[0] == '"' && s.data[s.size - 1] == '"' ? (struct str){ s.data + 1, s.size - 2 } : s;
}

/* What the client lists against what came, in order. */
static int choose_parts(struct call *c, const struct multipart *m, const struct part *have, int have_count,
                        struct part **ret, int *ret_count, int64_t *ret_size, struct err *err)
{
    const struct doc *listed = doc_at(c->input, "MultipartUpload.Parts");
    struct part *chosen;
    int64_t before = 0, size = 0;
    int at = 0;

    if (!listed || listed->count == 0)
        return fail_code(err, ERR_INVALID, "MalformedXML",
                         "The XML you provided was not well-formed or did not validate against our published schema");
    chosen = arena_array_of(c->arena, struct part, listed->count);
    for (uint32_t i = 0; i < listed->count; i++) {
        const struct doc *item = listed->items[i];
        int64_t number = doc_int(item, "PartNumber", 0);
        const char *checksum = m->checksum ? doc_text(item, m->checksum->member) : "";

        if (number <= before)
            return fail_code(err, ERR_INVALID, "InvalidPartOrder",
                             "The list of parts was not in ascending order. Parts must be ordered by part number.");
        before = number;
        while (at < have_count && have[at].number < number)
            at++;
        if (at == have_count || have[at].number != number ||
            !str_eq(bare(doc_text(item, "ETag")), str_of(have[at].etag)))
            return invalid_part(err);
        if (*checksum && doc_is(have[at].record, "Checksum.Algorithm", m->checksum->name) &&
            !doc_is(have[at].record, "Checksum.Value", checksum))
            return invalid_part(err);
        chosen[i] = have[at];
    }
    for (uint32_t i = 0; i + 1 < listed->count; i++)
        if (chosen[i].size_bytes < LEAST_PART_BYTES)
            return fail_code(err, ERR_INVALID, "EntityTooSmall",
                             "Your proposed upload is smaller than the minimum allowed size: part %" PRId64
                             " has %" PRId64 " bytes, and every part but the last needs 5 MB",
                             chosen[i].number, chosen[i].size_bytes);
    for (uint32_t i = 0; i < listed->count; i++)
        size += chosen[i].size_bytes;
    if (size > object_most_bytes)
        return fail_code(err, ERR_INVALID, "EntityTooLarge",
                         "Your proposed upload exceeds the maximum allowed size: its parts have %" PRId64
                         " bytes together, and an object has %" PRId64 " at most", size, object_most_bytes);
    *ret = chosen;
    *ret_count = (int)listed->count;
    *ret_size = size;
    return 0;
}

static const char *etag_of_parts(struct arena *a, const struct part *parts, int count)
{
    unsigned char sum[MD5_SIZE];
    struct digest d;

    digest_start(&d, DIGEST_MD5);
    for (int i = 0; i < count; i++) {
        unsigned char md5_of_part[MD5_SIZE] = { 0 };

        hex_decode(md5_of_part, (struct str){ parts[i].etag, 32 });
        digest_update(&d, md5_of_part, sizeof md5_of_part);
    }
    digest_finish(&d, sum);
    return arena_printf(a, "%s-%d", object_etag(a, sum), count);
}

static uint64_t number_of(const unsigned char *bytes, size_t size)
{
    uint64_t number = 0;

    for (size_t i = 0; i < size; i++)
        number = number << 8 | bytes[i];
    return number;
}

static void bytes_of(uint64_t number, unsigned char *ret, size_t size)
{
    for (size_t i = size; i > 0; i--, number >>= 8)
        ret[i - 1] = number & 0xff;
}

static enum crc_kind crc_of(const struct checksum_kind *k)
{
    return k->digest == UPLOAD_CRC32 ? CRC_32 : k->digest == UPLOAD_CRC32C ? CRC_32C : CRC_64NVME;
}

/* The object's checksum from its parts': joined (FULL_OBJECT), or a checksum of checksums (COMPOSITE). NULL when a part
 * has none, as copied ones may. */
static struct doc *checksum_of_parts(struct call *c, const struct multipart *m, const struct part *parts, int count)
{
    const struct checksum_kind *kind = m->checksum;
    unsigned char value[CHECKSUM_MAX_SIZE];
    struct upload of_checksums = { .measured = kind ? kind->digest : 0 };
    struct digest d;
    struct doc *checksum;
    uint64_t joined = 0;

    if (!kind)
        return NULL;
    if (!is_crc(kind))
        digest_start(&d, kind->digest == UPLOAD_SHA1 ? DIGEST_SHA1 : DIGEST_SHA256);
    for (int i = 0; i < count; i++) {
        struct str bytes;

        if (!doc_is(parts[i].record, "Checksum.Algorithm", kind->name) ||
            !base64_decode(c->arena, str_of(doc_text(parts[i].record, "Checksum.Value")), &bytes) ||
            bytes.size != kind->size)
            return NULL;
        if (m->full_object)
            joined = i == 0
                         ? number_of((const unsigned char *)bytes.data, bytes.size)
                         : crc_combine(crc_of(kind), joined, number_of((const unsigned char *)bytes.data, bytes.size),
                                       (uint64_t)parts[i].size_bytes);
        else if (is_crc(kind))
            joined = crc_update(crc_of(kind), joined, bytes.data, bytes.size);
        else
            digest_update(&d, bytes.data, bytes.size);
    }
    if (is_crc(kind)) {
        bytes_of(joined, value, kind->size);
    } else {
        digest_finish(&d, kind->digest == UPLOAD_SHA1 ? of_checksums.sha1 : of_checksums.sha256);
        checksum_value(&of_checksums, kind, value);
    }
    checksum = object_checksum(c->arena, kind->name, value, kind->size, m->full_object ? "FULL_OBJECT" : "COMPOSITE");
    if (!m->full_object)
        doc_set_string(c->arena, checksum, "Value",
                       arena_printf(c->arena, "%s-%d", doc_text(checksum, "Value"), count));
    return checksum;
}

static int check_stated(struct call *c, const struct multipart *m, const struct doc *checksum, int64_t size,
                        struct err *err)
{
    const char *type = doc_text(c->input, "ChecksumType");

    if (doc_has(c->input, "MpuObjectSize") && doc_int(c->input, "MpuObjectSize", -1) != size)
        return fail_code(err, ERR_INVALID, "InvalidRequest",
                         "The provided 'x-amz-mp-object-size' header value does not match what was computed: %" PRId64,
                         size);
    if (*type && m->checksum && strcmp(type, m->full_object ? "FULL_OBJECT" : "COMPOSITE") != 0)
        return fail_code(
            err, ERR_INVALID, "InvalidRequest",
            "The upload was created using the %s checksum mode. The complete request must use the same checksum "
            "mode.",
            m->full_object ? "FULL_OBJECT" : "COMPOSITE");
    for (const struct checksum_kind *k = checksum_kinds; k->name; k++) {
        if (!doc_has(c->input, k->member))
            continue;
        if (!checksum || k != m->checksum)
            return fail_code(err, ERR_INVALID, "InvalidRequest",
                             "The %s you specified cannot be compared: the parts of this upload have no such checksum.",
                             k->name);
        if (!doc_is(checksum, "Value", doc_text(c->input, k->member)))
            return fail_code(err, ERR_INVALID, "BadDigest",
                             "The %s you specified did not match the calculated checksum.", k->name);
    }
    return 0;
}

static const char *location(struct call *c, const struct bucket *bucket, struct str key)
{
    _cleanup_buf_ struct buf b = { 0 };

    buf_printf(&b, "%s://%s/%s/", c->tls ? "https" : "http", doc_text_or(c->request_headers, "host", "localhost"),
               bucket->name);
    uri_encode(&b, key, true);
    return arena_strndup(c->arena, b.data, b.size);
}

static int tell_completed(struct call *c, const struct bucket *b, const struct version *v)
{
    doc_set_string(c->arena, c->output, "Location", location(c, b, v->key));
    doc_set_string(c->arena, c->output, "Bucket", b->name);
    doc_set(c->arena, c->output, "Key", doc_str(c->arena, v->key));
    doc_set_string(c->arena, c->output, "ETag", v->etag);
    object_tell_checksum(c->arena, doc_get(v->record, "Checksum"), c->output);
    version_tell(c, b, v, "VersionId");
    return 0;
}

/* A client whose answer was lost asks again, and the upload is gone: the object knows from which it came. */
static int completed_before(struct call *c, struct err *err)
{
    struct err why = *err;
    struct bucket b;
    struct version v;

    if (strcmp(why.code, "NoSuchUpload") != 0)
        return -1;
    if (bucket_open(c, "s3:PutObject", &b, err) < 0)
        return -1;
    if (version_newest(c, &b, input_key(c), &v, err) < 0) {
        if (err->kind == ERR_NOT_FOUND)
            *err = why;
        return -1;
    }
    if (*doc_text(v.record, "UploadId") && doc_is(v.record, "UploadId", doc_text(c->input, "UploadId")))
        return tell_completed(c, &b, &v);
    *err = why;
    return -1;
}

/* Those of all parts in a row. */
static int join_pieces(struct call *c, const struct part *parts, int count, struct piece **ret, int *ret_count,
                       struct err *err)
{
    struct piece *all = NULL;
    int piece_count = 0, room = 0;

    for (int i = 0; i < count; i++) {
        struct piece *of_part;
        int n;

        if (pieces_read(c, parts[i].record, &of_part, &n, err) < 0)
            return -1;
        if (piece_count + n > room) {
            struct piece *more;

            room = 2 * (piece_count + n) + 16;
            more = arena_array_of(c->arena, struct piece, (size_t)room);
            if (piece_count > 0)
                memcpy(more, all, (size_t)piece_count * sizeof *all);
            all = more;
        }
        if (n > 0)
            memcpy(all + piece_count, of_part, (size_t)n * sizeof *all);
        piece_count += n;
    }
    *ret = all;
    *ret_count = piece_count;
    return 0;
}

/* As GetObjectAttributes tells them. */
static struct doc *describe_parts(struct call *c, const struct multipart *m, const struct part *parts, int count)
{
    struct doc *list = doc_list(c->arena);

    for (int i = 0; i < count; i++) {
        struct doc *item = doc_map(c->arena);

        doc_set_integer(c->arena, item, "PartNumber", parts[i].number);
        doc_set_integer(c->arena, item, "Size", parts[i].size_bytes);
        if (m->checksum && doc_is(parts[i].record, "Checksum.Algorithm", m->checksum->name))
            doc_set_string(c->arena, item, "Checksum", doc_text(parts[i].record, "Checksum.Value"));
        doc_append(c->arena, list, item);
    }
    return list;
}

int complete_multipart_upload(struct call *c, struct err *err)
{
    struct multipart m;
    struct part *have, *chosen = NULL;
    struct piece *pieces;
    struct doc *record = doc_map(c->arena), *checksum;
    struct version v;
    int have_count, count = 0, piece_count;
    int64_t size = 0;

    if (open_multipart(c, "s3:PutObject", &m, err) < 0)
        return completed_before(c, err);
    if (condition_write(c, &m.bucket, m.key, err) < 0 ||
        each_part(c, m.id, 0, MOST_PARTS, &have, &have_count, err) < 0 ||
        choose_parts(c, &m, have, have_count, &chosen, &count, &size, err) < 0 ||
        join_pieces(c, chosen, count, &pieces, &piece_count, err) < 0)
        return -1;
    checksum = checksum_of_parts(c, &m, chosen, count);
    if (check_stated(c, &m, checksum, size, err) < 0)
        return -1;
    doc_set(c->arena, record, "Headers", (struct doc *)doc_get(m.record, "Headers"));
    doc_set(c->arena, record, "Metadata", (struct doc *)doc_get(m.record, "Metadata"));
    doc_set(c->arena, record, "Tags", (struct doc *)doc_get(m.record, "Tags"));
    doc_set(c->arena, record, "StorageClass", (struct doc *)doc_get(m.record, "StorageClass"));
    doc_set_string(c->arena, record, "UploadId", m.id);
    doc_set_string(c->arena, record, "ETag", etag_of_parts(c->arena, chosen, count));
    doc_set_integer(c->arena, record, "Size", size);
    doc_set(c->arena, record, "Checksum", checksum);
    doc_set(c->arena, record, "Parts", describe_parts(c, &m, chosen, count));
    if (version_add(c, &m.bucket, m.key, record, pieces, piece_count, &v, err) < 0 ||
        erase_upload(c, &m.bucket, m.key, m.id, have, have_count, chosen, count, err) < 0)
        return -1;
    return tell_completed(c, &m.bucket, &v);
}

int list_parts(struct call *c, struct err *err)
{
    int64_t most = doc_int(c->input, "MaxParts", 1000), marker = doc_int(c->input, "PartNumberMarker", 0), last = 0;
    struct doc *list = doc_list(c->arena), *initiator = doc_map(c->arena);
    struct multipart m;
    struct part *parts;
    int count;

    if (open_multipart(c, "s3:ListMultipartUploadParts", &m, err) < 0)
        return -1;
    if (most < 0 || marker < 0)
        return fail_code(err, ERR_INVALID, "InvalidArgument",
                         "Argument max-parts and part-number-marker must be an integer between 0 and 2147483647");
    if (most > 1000)
        most = 1000;
    if (marker > MOST_PARTS)
        marker = MOST_PARTS;
    if (each_part(c, m.id, marker, (int)most + 1, &parts, &count, err) < 0)
        return -1;
    for (int i = 0; i < count && i < most; i++) {
        struct doc *item = doc_map(c->arena);

        doc_set_integer(c->arena, item, "PartNumber", parts[i].number);
        doc_set_integer(c->arena, item, "LastModified", parts[i].modified_ms);
        doc_set_string(c->arena, item, "ETag", arena_printf(c->arena, "\"%s\"", parts[i].etag));
        doc_set_integer(c->arena, item, "Size", parts[i].size_bytes);
        if (m.checksum_stated) {
            object_tell_checksum(c->arena, doc_get(parts[i].record, "Checksum"), item);
            doc_set(c->arena, item, "ChecksumType", NULL);
        }
        doc_append(c->arena, list, item);
        last = parts[i].number;
    }
    doc_set_string(c->arena, initiator, "ID", doc_text(m.record, "Initiator"));
    doc_set_string(c->arena, c->output, "Bucket", m.bucket.name);
    doc_set(c->arena, c->output, "Key", doc_str(c->arena, m.key));
    doc_set_string(c->arena, c->output, "UploadId", m.id);
    doc_set_integer(c->arena, c->output, "PartNumberMarker", marker);
    doc_set_integer(c->arena, c->output, "NextPartNumberMarker", last);
    doc_set_integer(c->arena, c->output, "MaxParts", most);
    doc_set_boolean(c->arena, c->output, "IsTruncated", count > most);
    doc_set(c->arena, c->output, "Parts", list);
    doc_set(c->arena, c->output, "Initiator", initiator);
    doc_set(c->arena, c->output, "Owner", bucket_owner(c->arena, m.bucket.account));
    doc_set_string(c->arena, c->output, "StorageClass", doc_text_or(m.record, "StorageClass", "STANDARD"));
    if (m.checksum_stated) {
        doc_set_string(c->arena, c->output, "ChecksumAlgorithm", m.checksum->name);
        doc_set_string(c->arena, c->output, "ChecksumType", doc_text(m.record, "ChecksumType"));
    }
    return 0;
}
