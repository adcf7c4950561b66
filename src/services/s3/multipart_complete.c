/* multipart_complete.c - an upload becomes an object: of the parts that its client lists, none of whose bytes move. */
#include <inttypes.h>
#include <string.h>

#include "base/crc.h"
#include "services/s3/access.h"
#include "services/s3/condition.h"
#include "services/s3/multipart_impl.h"
#include "services/s3/object.h"
#include "services/s3/pieces.h"

/* "Amazon S3 multipart upload limits" in the user guide. */
enum { LEAST_PART_BYTES = 5 * 1024 * 1024 };
static const int64_t object_most_bytes = INT64_C(5) << 40;

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
    if (!multipart_is_crc(kind))
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
        else if (multipart_is_crc(kind))
            joined = crc_update(crc_of(kind), joined, bytes.data, bytes.size);
        else
            digest_update(&d, bytes.data, bytes.size);
    }
    if (multipart_is_crc(kind)) {
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

    if (multipart_open(c, "s3:PutObject", &m, err) < 0)
        return completed_before(c, err);
    if (condition_write(c, &m.bucket, m.key, err) < 0 ||
        multipart_parts(c, m.id, 0, MULTIPART_PARTS_MOST, &have, &have_count, err) < 0 ||
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
        multipart_erase(c, &m.bucket, m.key, m.id, have, have_count, chosen, count, err) < 0)
        return -1;
    return tell_completed(c, &m.bucket, &v);
}
