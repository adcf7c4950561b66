/* multipart_part.c - the parts of an upload: put, copied, listed. */
#include <inttypes.h>
#include <string.h>

#include "doc/json.h"
#include "services/s3/access.h"
#include "services/s3/key.h"
#include "services/s3/multipart_impl.h"
#include "services/s3/object.h"
#include "services/s3/pieces.h"
#include "store/store.h"

/* "Amazon S3 multipart upload limits" in the user guide: what is copied costs no bytes, and could else double without
 * end. */
static const int64_t copy_most_bytes = INT64_C(5) << 30;

static int check_number(struct call *c, int64_t *ret, struct err *err)
{
    int64_t number = doc_int(c->input, "PartNumber", 0);

    if (number < 1 || number > MULTIPART_PARTS_MOST)
        return fail_code(err, ERR_INVALID, "InvalidArgument",
                         "Part number must be an integer between 1 and 10000, inclusive");
    *ret = number;
    return 0;
}

/* A part of that number put before is replaced. */
static int save_part(struct call *c, const struct multipart *m, int64_t number, struct doc *record,
                     const struct piece *pieces, int count, struct err *err)
{
    struct part before;
    bool replaces = multipart_part(c, m->id, number, &before, err) == 0;

    if (!replaces && err->kind != ERR_NOT_FOUND)
        return -1;
    if (pieces_hold(c, pieces, count, err) < 0 || pieces_write(c, record, pieces, count, err) < 0)
        return -1;
    if (replaces && pieces_erase(c, before.record, err) < 0)
        return -1;
    doc_set_integer(c->arena, record, "LastModified", c->now_ms);
    return store_put(s3_store(c), MULTIPART_PARTS, key_of_part(c->arena, m->id, number),
                     str_of(json_text(c->arena, record)), err);
}

int admit_upload_part(struct call *c, struct err *err)
{
    struct multipart m;
    int64_t number;

    return multipart_open(c, "s3:PutObject", &m, err) < 0 ? -1 : check_number(c, &number, err);
}

int upload_part(struct call *c, struct err *err)
{
    const struct upload *u = c->upload;
    const struct piece piece = { u->blob_uid, 0, u->size_bytes };
    struct doc *record = doc_map(c->arena), *checksum;
    struct multipart m;
    int64_t number = 0;
    char *etag = object_etag_of_upload(c->arena, u);

    if (multipart_open(c, "s3:PutObject", &m, err) < 0 || check_number(c, &number, err) < 0)
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

    if (multipart_open(c, "s3:PutObject", &m, err) < 0 || check_number(c, &number, err) < 0 ||
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

int list_parts(struct call *c, struct err *err)
{
    int64_t most = doc_int(c->input, "MaxParts", 1000), marker = doc_int(c->input, "PartNumberMarker", 0), last = 0;
    struct doc *list = doc_list(c->arena), *initiator = doc_map(c->arena);
    struct multipart m;
    struct part *parts;
    int count;

    if (multipart_open(c, "s3:ListMultipartUploadParts", &m, err) < 0)
        return -1;
    if (most < 0 || marker < 0)
        return fail_code(err, ERR_INVALID, "InvalidArgument",
                         "Argument max-parts and part-number-marker must be an integer between 0 and 2147483647");
    if (most > 1000)
        most = 1000;
    if (marker > MULTIPART_PARTS_MOST)
        marker = MULTIPART_PARTS_MOST;
    if (multipart_parts(c, m.id, marker, (int)most + 1, &parts, &count, err) < 0)
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
