/* listing.c - keys, versions and uploads of a bucket, page by page.
 *
 * One walk over an ordered table serves all four. A page ends at an entry, a key or a common prefix, and the next
 * begins with the first entry greater than it: so a common prefix is told once, and a marker inside one hides it. What
 * is rolled up in a common prefix, and the old versions of a key, are passed over by seeking, not by reading. */
#include "services/s3/listing.h"

#include <assert.h>
#include <string.h>

#include "base/crc.h"
#include "doc/json.h"
#include "services/s3/key.h"
#include "services/s3/version.h"
#include "store/store.h"

enum {
    MOST_ENTRIES = 1000,
    LEAST_BATCH = 16,
    MOST_BATCH = 1000,
    TOKEN_SUM_SIZE = 4,
    MOST_ROWS = 10000, /* read for one page: a million delete markers must not hold up everybody else */
};

struct walk {
    struct call *c;
    const char *table;
    struct bucket bucket;
    struct str prefix, delimiter;
    struct str marker; /* entries are greater */
    struct str from;   /* primary key to begin at */
    bool newest_only;  /* of each key only the first row concerns us */
    int64_t room;      /* entries that still fit */

    /* Tells a row: 1 it is an entry, 0 it is none, -1 failed; called with told false only to ask whether it is one. */
    int (*row)(struct walk *, struct str key, struct str primary, struct str value, bool told, struct err *);
    void *context;
    struct doc *list;

    struct doc *prefixes;
    struct str last; /* the last entry told */
    struct str seen; /* the last key or common prefix looked at */
    bool last_is_prefix;
    bool truncated;
    bool resumes;      /* a page may also end between entries, at 'resume' */
    struct str resume; /* primary key to go on from; size 0: after the last entry */
    bool encoded;      /* EncodingType=url */
};

static struct doc *told_text(struct walk *w, struct str text)
{
    _cleanup_buf_ struct buf b = { 0 };

    if (!w->encoded)
        return doc_str(w->c->arena, text);
    uri_encode(&b, text, true);
    return doc_str(w->c->arena, (struct str){ b.data ? b.data : "", b.size });
}

static bool starts_with(struct str s, struct str prefix)
{
    return s.size >= prefix.size && memcmp(s.data, prefix.data, prefix.size) == 0;
}

/* Up to the first delimiter after the prefix; size 0: none. */
static struct str common_prefix(const struct walk *w, struct str key)
{
    const char *found;

    if (w->delimiter.size == 0 || key.size <= w->prefix.size)
        return STR("");
    found = memmem(key.data + w->prefix.size, key.size - w->prefix.size, w->delimiter.data, w->delimiter.size);
    if (!found)
        return STR("");
    return (struct str){ key.data, (size_t)(found - key.data) + w->delimiter.size };
}

/* One row of the table. *ret_pass: rows that begin so are of no more use. */
static int visit(struct walk *w, const struct pair *pair, struct str *ret_pass, struct err *err)
{
    struct arena *a = w->c->arena;
    struct str key, rest, common;
    int entry;

    key_split(pair->key, &key, &rest);
    common = common_prefix(w, key);
    w->seen = key;
    if (common.size > 0 && str_compare(common, w->marker) <= 0) {
        *ret_pass = key_of_prefix(a, w->bucket.name, common);
        return 0;
    }
    /* A marker row of a deleted object is no entry, and makes no common prefix either. */
    entry = w->row(w, key, pair->key, pair->value, false, err);
    if (entry < 0)
        return -1;
    if (w->newest_only)
        *ret_pass = key_of_object(a, w->bucket.name, key);
    if (entry == 0)
        return 0;
    if (w->room == 0) {
        w->truncated = true;
        return 0;
    }
    w->room--;
    w->last_is_prefix = common.size > 0;
    if (common.size > 0) {
        struct doc *item = doc_map(a);

        doc_set(a, item, "Prefix", told_text(w, common));
        doc_append(a, w->prefixes, item);
        w->last = common;
        *ret_pass = key_of_prefix(a, w->bucket.name, common);
        return 0;
    }
    w->last = key;
    return w->row(w, key, pair->key, pair->value, true, err) < 0 ? -1 : 0;
}

static int walk(struct walk *w, struct err *err)
{
    struct arena *a = w->c->arena;
    struct range range = { .from = w->from, .to = store_after_prefix(a, key_of_prefix(a, w->bucket.name, w->prefix)) };
    int64_t batch = w->room + 1 < MOST_BATCH ? w->room + 1 : MOST_BATCH, rows = 0;

    if (batch < LEAST_BATCH)
        batch = LEAST_BATCH;
    w->prefixes = doc_list(a);
    w->list = doc_list(a);
    for (;;) {
        struct str pass = { 0 };
        struct pair *pairs;
        bool passed = false;
        int count;

        range.limit = (int)batch;
        if (store_scan(a, s3_store(w->c), w->table, &range, &pairs, &count, err) < 0)
            return -1;
        for (int i = 0; i < count; i++) {
            passed = pass.size > 0 && starts_with(pairs[i].key, pass);
            if (passed)
                continue;
            pass = (struct str){ 0 };
            if (visit(w, &pairs[i], &pass, err) < 0)
                return -1;
            if (w->truncated)
                return 0;
        }
        if (count < batch)
            return 0;
        batch = 2 * batch < MOST_BATCH ? 2 * batch : MOST_BATCH;
        if (passed)
            batch = LEAST_BATCH; /* there may be a million more of them */
        if (pass.size > 0) {
            range.from = store_after_prefix(a, pass);
        } else {
            char *next = arena_alloc(a, pairs[count - 1].key.size + 1);

            memcpy(next, pairs[count - 1].key.data, pairs[count - 1].key.size);
            range.from = (struct str){ next, pairs[count - 1].key.size + 1 };
        }
        rows += count;
        if (w->resumes && rows >= MOST_ROWS) {
            w->truncated = true;
            w->resume = range.from;
            return 0;
        }
    }
}

static struct str input_str(const struct call *c, const char *member)
{
    const struct doc *d = doc_get(c->input, member);

    return d && d->type == DOC_STRING ? d->text : STR("");
}

/* What all listings have in common. */
static int begin(struct walk *w, const char *most, struct err *err)
{
    struct call *c = w->c;
    int64_t room = doc_int(c->input, most, MOST_ENTRIES);

    if (bucket_open(c, NULL, &w->bucket, err) < 0)
        return -1;
    if (room < 0)
        return fail_code(err, ERR_INVALID, "InvalidArgument", "Argument %s must be an integer between 0 and 2147483647",
                         strcmp(most, "MaxKeys") == 0 ? "maxKeys" : "max-uploads");
    if (doc_has(c->input, "EncodingType") && !doc_is(c->input, "EncodingType", "url"))
        return fail_code(err, ERR_INVALID, "InvalidArgument", "Invalid Encoding Method specified in Request");
    w->room = room < MOST_ENTRIES ? room : MOST_ENTRIES;
    w->prefix = input_str(c, "Prefix");
    w->delimiter = input_str(c, "Delimiter");
    w->encoded = doc_has(c->input, "EncodingType");
    if (memchr(w->prefix.data, '\0', w->prefix.size) || memchr(w->delimiter.data, '\0', w->delimiter.size))
        return fail_code(err, ERR_INVALID, "InvalidArgument", "A prefix or delimiter cannot contain a zero byte");
    doc_set_integer(c->arena, c->output, most, w->room);
    doc_set(c->arena, c->output, "Prefix", told_text(w, w->prefix));
    if (w->delimiter.size > 0)
        doc_set(c->arena, c->output, "Delimiter", told_text(w, w->delimiter));
    if (w->encoded)
        doc_set_string(c->arena, c->output, "EncodingType", "url");
    return 0;
}

/* After the marker, and not before the prefix. */
static int start_after(struct walk *w, struct str marker, struct err *err)
{
    struct arena *a = w->c->arena;
    struct str prefix = key_of_prefix(a, w->bucket.name, w->prefix), after;

    if (memchr(marker.data, '\0', marker.size))
        return fail_code(err, ERR_INVALID, "InvalidArgument", "A marker cannot contain a zero byte");
    w->marker = marker;
    w->from = prefix;
    if (marker.size == 0)
        return 0;
    after = store_after_prefix(a, key_of_object(a, w->bucket.name, marker));
    if (str_compare(after, prefix) > 0)
        w->from = after;
    return 0;
}

static void finish(struct walk *w)
{
    struct call *c = w->c;

    /* A page of none (MaxKeys 0) has no entry to go on from. */
    if (w->last.size == 0 && w->resume.size == 0)
        w->truncated = false;
    doc_set_boolean(c->arena, c->output, "IsTruncated", w->truncated);
    if (w->prefixes->count > 0)
        doc_set(c->arena, c->output, "CommonPrefixes", w->prefixes);
}

/* Objects: the newest version of each key that is no marker. */

struct objects {
    bool owner; /* tell it */
    struct version version; /* of the row asked about last */
};

static void tell_version(struct walk *w, const struct version *v, struct doc *item)
{
    struct arena *a = w->c->arena;
    const struct doc *checksum = doc_get(v->record, "Checksum");

    doc_set(a, item, "Key", told_text(w, v->key));
    doc_set_integer(a, item, "LastModified", v->modified_ms);
    if (v->marker)
        return;
    doc_set_string(a, item, "ETag", v->etag);
    doc_set_integer(a, item, "Size", v->size_bytes);
    doc_set_string(a, item, "StorageClass", doc_text_or(v->record, "StorageClass", "STANDARD"));
    if (checksum) {
        struct doc *algorithms = doc_list(a);

        doc_append(a, algorithms, doc_string(a, doc_text(checksum, "Algorithm")));
        doc_set(a, item, "ChecksumAlgorithm", algorithms);
        doc_set_string(a, item, "ChecksumType", doc_text(checksum, "Type"));
    }
}

static int object_row(struct walk *w, struct str key, struct str primary, struct str value, bool told, struct err *err)
{
    struct objects *o = w->context;
    struct doc *item;

    if (!told) {
        if (version_of_row(w->c->arena, primary, value, &o->version, err) < 0)
            return -1;
        return o->version.marker ? 0 : 1;
    }
    item = doc_map(w->c->arena);
    tell_version(w, &o->version, item);
    if (o->owner)
        doc_set(w->c->arena, item, "Owner", bucket_owner(w->c->arena, w->bucket.account));
    doc_append(w->c->arena, w->list, item);
    return 1;
}

/* Not against malice: what somebody made up, or a key in a token's place, is to be told from a token. */
static void token_sum(const struct walk *w, struct str token, unsigned char ret[static TOKEN_SUM_SIZE])
{
    uint64_t sum = crc_update(CRC_32, 0, w->bucket.name, strlen(w->bucket.name));

    sum = crc_update(CRC_32, sum, token.data, token.size);
    for (int i = 0; i < TOKEN_SUM_SIZE; i++)
        ret[i] = (unsigned char)(sum >> 8 * i);
}

/* A checksum, the last entry told, and where the page ended between entries: a zero byte and the primary key behind the
 * bucket. */
static const char *token_of(const struct walk *w)
{
    struct arena *a = w->c->arena;
    struct str last = w->last.size > 0 ? w->last : w->marker;
    size_t bucket_size = strlen(w->bucket.name), rest = w->resume.size > 0 ? w->resume.size - bucket_size : 0;
    char *token = arena_alloc(a, TOKEN_SUM_SIZE + last.size + rest + 1), *text = token + TOKEN_SUM_SIZE;

    if (last.size > 0)
        memcpy(text, last.data, last.size);
    if (rest > 0)
        memcpy(text + last.size, w->resume.data + bucket_size, rest);
    token_sum(w, (struct str){ text, last.size + rest }, (unsigned char *)token);
    return base64_encode(a, token, TOKEN_SUM_SIZE + last.size + rest);
}

static bool token_open(struct walk *w, struct str token, struct str *ret)
{
    unsigned char sum[TOKEN_SUM_SIZE];
    struct str bytes;

    if (!base64_decode(w->c->arena, token, &bytes) || bytes.size <= TOKEN_SUM_SIZE)
        return false;
    *ret = (struct str){ bytes.data + TOKEN_SUM_SIZE, bytes.size - TOKEN_SUM_SIZE };
    token_sum(w, *ret, sum);
    return memcmp(sum, bytes.data, TOKEN_SUM_SIZE) == 0;
}

/* ListObjects has no token, only its marker, and a marker inside of a common prefix hides it. Where the page ended
 * among the deleted keys of one that is still to be told, the marker is the last of them and its checksum. */
static struct str next_marker(struct walk *w)
{
    struct arena *a = w->c->arena;
    struct str common = common_prefix(w, w->seen);
    unsigned char sum[TOKEN_SUM_SIZE];
    char hex[2 * TOKEN_SUM_SIZE + 1];

    if (w->resume.size == 0 || (common.size > 0 && str_eq(common, w->last)))
        return w->last;
    if (common.size == 0)
        return w->seen;
    token_sum(w, w->seen, sum);
    hex_encode(hex, sum, sizeof sum);
    return str_of(arena_printf(a, STR_FMT "\x7f%s", STR_ARG(w->seen), hex));
}

static int start_from_marker(struct walk *w, struct str marker, struct err *err)
{
    unsigned char sum[TOKEN_SUM_SIZE], want[TOKEN_SUM_SIZE];
    size_t tail = 2 * TOKEN_SUM_SIZE + 1;
    struct str key = { marker.data, marker.size > tail ? marker.size - tail : 0 };

    if (start_after(w, marker, err) < 0)
        return -1;
    if (key.size == 0 || marker.data[key.size] != '\x7f' ||
        !hex_decode(sum, (struct str){ marker.data + key.size + 1, 2 * TOKEN_SUM_SIZE }))
        return 0;
    token_sum(w, key, want);
    if (memcmp(sum, want, sizeof sum) != 0)
        return 0;
    if (start_after(w, key, err) < 0)
        return -1;
    w->marker = STR("");
    return 0;
}

int list_objects(struct call *c, struct err *err)
{
    struct objects o = { .owner = true };
    struct walk w = {
        .c = c, .table = "s3_objects", .newest_only = true, .resumes = true, .row = object_row, .context = &o
    };

    if (begin(&w, "MaxKeys", err) < 0 || start_from_marker(&w, input_str(c, "Marker"), err) < 0 || walk(&w, err) < 0)
        return -1;
    finish(&w);
    doc_set_string(c->arena, c->output, "Name", w.bucket.name);
    doc_set(c->arena, c->output, "Marker", told_text(&w, input_str(c, "Marker")));
    doc_set(c->arena, c->output, "Contents", w.list);
    /* Without a delimiter S3 leaves it to the client to take the last key; but a page of deleted ones has none. */
    if (w.truncated && (w.delimiter.size > 0 || w.resume.size > 0))
        doc_set(c->arena, c->output, "NextMarker", told_text(&w, next_marker(&w)));
    return 0;
}

static int start_from_token(struct walk *w, struct str token, struct err *err)
{
    struct arena *a = w->c->arena;
    struct str bytes, marker, rest, from;

    if (!token_open(w, token, &bytes))
        return fail_code(err, ERR_INVALID, "InvalidArgument", "The continuation token provided is incorrect");
    if (!str_cut(bytes, '\0', &marker, &rest))
        return start_after(w, bytes, err);
    if (start_after(w, marker, err) < 0)
        return -1;
    from = key_of_prefix(a, w->bucket.name, rest);
    if (str_compare(from, w->from) > 0)
        w->from = from;
    return 0;
}

int list_objects_v2(struct call *c, struct err *err)
{
    struct objects o = { .owner = doc_bool(c->input, "FetchOwner", false) };
    struct walk w = {
        .c = c, .table = "s3_objects", .newest_only = true, .resumes = true, .row = object_row, .context = &o
    };
    struct str marker = input_str(c, "StartAfter"), token = input_str(c, "ContinuationToken");

    if (begin(&w, "MaxKeys", err) < 0)
        return -1;
    if (doc_has(c->input, "StartAfter"))
        doc_set(c->arena, c->output, "StartAfter", told_text(&w, marker));
    if (doc_has(c->input, "ContinuationToken"))
        doc_set(c->arena, c->output, "ContinuationToken", doc_str(c->arena, token));
    if ((doc_has(c->input, "ContinuationToken") ? start_from_token(&w, token, err) : start_after(&w, marker, err)) <
            0 ||
        walk(&w, err) < 0)
        return -1;
    finish(&w);
    doc_set_string(c->arena, c->output, "Name", w.bucket.name);
    doc_set(c->arena, c->output, "Contents", w.list);
    doc_set_integer(c->arena, c->output, "KeyCount", w.list->count + w.prefixes->count);
    if (w.truncated)
        doc_set_string(c->arena, c->output, "NextContinuationToken", token_of(&w));
    return 0;
}

/* Versions: every row, markers too. */

struct versions {
    struct doc *markers;
    struct version version;
    struct str key;        /* of the row before */
    int64_t resumed_place; /* of the newest version of the key where this page began; 0: it began with a key */
    const char *last_id;
};

static int version_row(struct walk *w, struct str key, struct str primary, struct str value, bool told, struct err *err)
{
    struct versions *vs = w->context;
    struct arena *a = w->c->arena;
    struct doc *item;
    bool latest;

    if (!told)
        return version_of_row(a, primary, value, &vs->version, err) < 0 ? -1 : 1;
    item = doc_map(a);
    tell_version(w, &vs->version, item);
    latest = !str_eq(key, vs->key) || vs->version.place == vs->resumed_place;
    vs->key = key;
    vs->last_id = vs->version.id;
    doc_set_string(a, item, "VersionId", vs->version.id);
    doc_set_boolean(a, item, "IsLatest", latest);
    doc_set(a, item, "Owner", bucket_owner(a, w->bucket.account));
    doc_append(a, vs->version.marker ? vs->markers : w->list, item);
    return 1;
}

/* Begins behind one version of the marker's key. */
static int start_after_version(struct walk *w, struct versions *vs, const char *id, struct err *err)
{
    struct arena *a = w->c->arena;
    struct version newest, marked;
    struct str primary;
    char *after;
    int64_t place;

    if (w->marker.size == 0)
        return fail_code(err, ERR_INVALID, "InvalidArgument",
                         "A version-id marker cannot be specified without a key marker.");
    if (strcmp(id, "null") == 0) {
        if (version_by_id(w->c, &w->bucket, w->marker, id, &marked, err) < 0)
            return err->kind == ERR_NOT_FOUND ? 0 : -1;
        place = marked.place;
    } else if (!version_place_of_id(id, &place)) {
        return fail_code(err, ERR_INVALID, "InvalidArgument", "Invalid version id specified");
    }
    primary = key_of_version(a, w->bucket.name, w->marker, place);
    after = arena_alloc(a, primary.size + 1);
    memcpy(after, primary.data, primary.size);
    w->from = (struct str){ after, primary.size + 1 };
    if (version_newest(w->c, &w->bucket, w->marker, &newest, err) < 0)
        return err->kind == ERR_NOT_FOUND ? 0 : -1;
    vs->key = w->marker;
    vs->resumed_place = newest.place;
    return 0;
}

int list_object_versions(struct call *c, struct err *err)
{
    struct versions vs = { .markers = doc_list(c->arena) };
    struct walk w = { .c = c, .table = "s3_objects", .row = version_row, .context = &vs };
    const char *id = doc_text(c->input, "VersionIdMarker");

    if (begin(&w, "MaxKeys", err) < 0 || start_after(&w, input_str(c, "KeyMarker"), err) < 0)
        return -1;
    if ((*id && start_after_version(&w, &vs, id, err) < 0) || walk(&w, err) < 0)
        return -1;
    finish(&w);
    doc_set_string(c->arena, c->output, "Name", w.bucket.name);
    doc_set(c->arena, c->output, "KeyMarker", told_text(&w, w.marker));
    doc_set_string(c->arena, c->output, "VersionIdMarker", id);
    if (w.list->count > 0)
        doc_set(c->arena, c->output, "Versions", w.list);
    if (vs.markers->count > 0)
        doc_set(c->arena, c->output, "DeleteMarkers", vs.markers);
    if (w.truncated && w.last.size > 0) {
        doc_set(c->arena, c->output, "NextKeyMarker", told_text(&w, w.last));
        if (!w.last_is_prefix)
            doc_set_string(c->arena, c->output, "NextVersionIdMarker", vs.last_id);
    }
    return 0;
}

/* Uploads. */

static int upload_row(struct walk *w, struct str key, struct str primary, struct str value, bool told, struct err *err)
{
    struct arena *a = w->c->arena;
    struct doc *record, *item, *initiator;
    struct str name, id;

    if (!told)
        return 1;
    if (json_parse(a, value, &record, err) < 0)
        return -1;
    key_split(primary, &name, &id);
    item = doc_map(a);
    initiator = doc_map(a);
    doc_set_string(a, initiator, "ID", doc_text(record, "Initiator"));
    doc_set(a, item, "Key", told_text(w, key));
    doc_set(a, item, "UploadId", doc_str(a, id));
    doc_set_integer(a, item, "Initiated", doc_int(record, "Initiated", 0));
    doc_set_string(a, item, "StorageClass", doc_text_or(record, "StorageClass", "STANDARD"));
    doc_set(a, item, "Owner", bucket_owner(a, w->bucket.account));
    doc_set(a, item, "Initiator", initiator);
    if (doc_bool(record, "ChecksumStated", false)) {
        doc_set_string(a, item, "ChecksumAlgorithm", doc_text(record, "ChecksumAlgorithm"));
        doc_set_string(a, item, "ChecksumType", doc_text(record, "ChecksumType"));
    }
    doc_append(a, w->list, item);
    w->context = (void *)doc_text(item, "UploadId");
    return 1;
}

int list_multipart_uploads(struct call *c, struct err *err)
{
    struct walk w = { .c = c, .table = "s3_uploads", .row = upload_row, .context = "" };
    const char *id = doc_text(c->input, "UploadIdMarker");

    if (begin(&w, "MaxUploads", err) < 0 || start_after(&w, input_str(c, "KeyMarker"), err) < 0)
        return -1;
    if (*id && w.marker.size > 0)
        /* Ids are of one length: the next greater text is none of them. */
        w.from = key_of_upload(c->arena, w.bucket.name, w.marker, arena_printf(c->arena, "%s\1", id));
    if (walk(&w, err) < 0)
        return -1;
    finish(&w);
    doc_set_string(c->arena, c->output, "Bucket", w.bucket.name);
    doc_set(c->arena, c->output, "KeyMarker", told_text(&w, w.marker));
    doc_set_string(c->arena, c->output, "UploadIdMarker", id);
    if (w.list->count > 0)
        doc_set(c->arena, c->output, "Uploads", w.list);
    if (w.truncated && w.last.size > 0) {
        doc_set(c->arena, c->output, "NextKeyMarker", told_text(&w, w.last));
        if (!w.last_is_prefix)
            doc_set_string(c->arena, c->output, "NextUploadIdMarker", w.context);
    }
    return 0;
}
