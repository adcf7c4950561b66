/* S3's operations, called as the gateway calls them. */
#include "s3_test.h"

#include "base/crc.h"

static struct s3_world w;

static int setup(void **state)
{
    s3_world_new(&w);
    s3_do(&w, "CreateBucket", "{'Bucket':'shelf'}");
    return 0;
}

static int teardown(void **state)
{
    s3_world_free(&w);
    return 0;
}

static void buckets(void **state)
{
    const struct doc *out;

    s3_do(&w, "CreateBucket", "{'Bucket':'shelf'}"); /* us-east-1: again is fine */
    s3_fails(&w, "InvalidBucketName", "CreateBucket", "{'Bucket':'Shelf'}");
    s3_fails(&w, "InvalidBucketName", "CreateBucket", "{'Bucket':'192.168.0.1'}");
    s3_fails(&w, "InvalidBucketName", "CreateBucket", "{'Bucket':'a..b'}");
    s3_fails(&w, "NoSuchBucket", "HeadBucket", "{'Bucket':'nothing-here'}");
    w.region = "eu-west-1";
    s3_fails(&w, "IllegalLocationConstraintException", "CreateBucket", "{'Bucket':'second'}");
    s3_do(&w, "CreateBucket", "{'Bucket':'second','CreateBucketConfiguration':{'LocationConstraint':'eu-west-1'}}");
    s3_fails(&w, "BucketAlreadyOwnedByYou", "CreateBucket",
             "{'Bucket':'second','CreateBucketConfiguration':{'LocationConstraint':'eu-west-1'}}");
    w.region = "us-east-1";
    out = s3_do(&w, "GetBucketLocation", "{'Bucket':'second'}");
    assert_string_equal(doc_text(out, "LocationConstraint"), "eu-west-1");
    out = s3_do(&w, "GetBucketLocation", "{'Bucket':'shelf'}");
    assert_false(doc_has(out, "LocationConstraint"));
    out = s3_do(&w, "ListBuckets", "{}");
    assert_int_equal(doc_count(out, "Buckets"), 2);
    assert_string_equal(doc_text(out, "Buckets[0].Name"), "second");
    out = s3_do(&w, "ListBuckets", "{'MaxBuckets':1}");
    assert_int_equal(doc_count(out, "Buckets"), 1);
    out = s3_do(&w, "ListBuckets", "{'MaxBuckets':1,'ContinuationToken':'%s'}", doc_text(out, "ContinuationToken"));
    assert_string_equal(doc_text(out, "Buckets[0].Name"), "shelf");
    assert_false(doc_has(out, "ContinuationToken"));
    s3_put(&w, "second", "k", "v");
    s3_fails(&w, "BucketNotEmpty", "DeleteBucket", "{'Bucket':'second'}");
    s3_do(&w, "DeleteObject", "{'Bucket':'second','Key':'k'}");
    s3_do(&w, "CreateMultipartUpload", "{'Bucket':'second','Key':'k'}");
    s3_do(&w, "DeleteBucket", "{'Bucket':'second'}");
    assert_int_equal(s3_table_count(&w, "s3_uploads"), 0);
    s3_fails(&w, "NoSuchBucket", "HeadBucket", "{'Bucket':'second'}");
    assert_int_equal(s3_blob_count(&w), 0);
}

static void an_object_comes_back(void **state)
{
    const struct doc *out;

    assert_int_equal(s3_send(&w, "PutObject", "hello world", 11,
                             "{'Bucket':'shelf','Key':'a/b','ContentType':'text/plain',"
                             "'ContentEncoding':'aws-chunked,gzip','Metadata':{'color':'red'},"
                             "'Tagging':'a=1&b=x%%20y'}"), 0);
    assert_string_equal(doc_text(w.output, "ETag"), "\"5eb63bbbe01eeed093cb22bb8f5acdc3\"");
    assert_true(doc_has(w.output, "ChecksumCRC64NVME"));
    assert_string_equal(doc_text(w.output, "ChecksumType"), "FULL_OBJECT");
    assert_false(doc_has(w.output, "VersionId"));
    out = s3_do(&w, "GetObject", "{'Bucket':'shelf','Key':'a/b','ResponseContentType':'text/html'}");
    assert_true(str_is(s3_body(&w), "hello world"));
    assert_string_equal(doc_text(out, "ContentType"), "text/html");
    assert_string_equal(doc_text(out, "ContentEncoding"), "gzip");
    assert_string_equal(doc_text(out, "Metadata.color"), "red");
    assert_int_equal(doc_int(out, "ContentLength", -1), 11);
    assert_int_equal(doc_int(out, "TagCount", -1), 2);
    assert_false(doc_has(out, "ChecksumCRC64NVME"));
    out = s3_do(&w, "HeadObject", "{'Bucket':'shelf','Key':'a/b','ChecksumMode':'ENABLED'}");
    assert_true(doc_has(out, "ChecksumCRC64NVME"));
    assert_int_equal(w.download.piece_count, 0);
    out = s3_do(&w, "GetObjectTagging", "{'Bucket':'shelf','Key':'a/b'}");
    assert_string_equal(doc_text(out, "TagSet[1].Value"), "x y");
    s3_fails(&w, "NoSuchKey", "GetObject", "{'Bucket':'shelf','Key':'a'}");
    /* Overwritten: one blob is left. */
    s3_put(&w, "shelf", "a/b", "second");
    assert_int_equal(s3_blob_count(&w), 1);
    s3_put(&w, "shelf", "a/b", "");
    assert_int_equal(s3_blob_count(&w), 0);
    s3_do(&w, "GetObject", "{'Bucket':'shelf','Key':'a/b'}");
    assert_int_equal(s3_body(&w).size, 0);
    s3_do(&w, "DeleteObject", "{'Bucket':'shelf','Key':'a/b'}");
    s3_do(&w, "DeleteObject", "{'Bucket':'shelf','Key':'a/b'}");
    s3_fails(&w, "NoSuchKey", "HeadObject", "{'Bucket':'shelf','Key':'a/b'}");
}

static void ranges(void **state)
{
    static const struct {
        const char *range, *body, *content_range; /* body NULL: 416 */
    } cases[] = {
        { "bytes=0-4", "01234", "bytes 0-4/10" },  { "bytes=5-", "56789", "bytes 5-9/10" },
        { "bytes=-3", "789", "bytes 7-9/10" },     { "bytes=-30", "0123456789", "bytes 0-9/10" },
        { "bytes=8-99", "89", "bytes 8-9/10" },    { "bytes=10-", NULL, NULL },
        { "bytes=-0", NULL, NULL },                { "bytes=5-4", "0123456789", NULL },
        { "bytes=0-1,3-4", "0123456789", NULL },   { "lines=0-1", "0123456789", NULL },
        { "bytes=a-b", "0123456789", NULL },
    };

    s3_put(&w, "shelf", "k", "0123456789");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        if (!cases[i].body) {
            s3_fails(&w, "InvalidRange", "GetObject", "{'Bucket':'shelf','Key':'k','Range':'%s'}", cases[i].range);
            assert_int_equal(w.err.http_status, 416);
            continue;
        }
        s3_do(&w, "GetObject", "{'Bucket':'shelf','Key':'k','Range':'%s'}", cases[i].range);
        assert_true(str_is(s3_body(&w), cases[i].body));
        assert_int_equal(w.http_status, cases[i].content_range ? 206 : 0);
        assert_string_equal(doc_text(w.output, "ContentRange"), cases[i].content_range ? cases[i].content_range : "");
    }
    s3_put(&w, "shelf", "empty", "");
    s3_fails(&w, "InvalidRange", "GetObject", "{'Bucket':'shelf','Key':'empty','Range':'bytes=0-'}");
}

static void conditions(void **state)
{
    s3_put(&w, "shelf", "k", "hello world");
    s3_do(&w, "GetObject", "{'Bucket':'shelf','Key':'k','IfMatch':'5eb63bbbe01eeed093cb22bb8f5acdc3'}");
    s3_do(&w, "GetObject", "{'Bucket':'shelf','Key':'k','IfMatch':'*'}");
    s3_fails(&w, "PreconditionFailed", "GetObject", "{'Bucket':'shelf','Key':'k','IfMatch':'abc'}");
    assert_int_equal(w.err.http_status, 412);
    s3_fails(&w, "NotModified", "GetObject",
             "{'Bucket':'shelf','Key':'k','IfNoneMatch':'x, 5eb63bbbe01eeed093cb22bb8f5acdc3'}");
    assert_int_equal(w.err.http_status, 304);
    assert_true(doc_has(w.extra_headers, "ETag"));
    s3_fails(&w, "NotModified", "GetObject", "{'Bucket':'shelf','Key':'k','IfModifiedSince':1700000000000}");
    s3_do(&w, "GetObject", "{'Bucket':'shelf','Key':'k','IfModifiedSince':1699999999000}");
    s3_fails(&w, "PreconditionFailed", "GetObject", "{'Bucket':'shelf','Key':'k','IfUnmodifiedSince':1699999999000}");
    /* If-Match decides alone beside If-Unmodified-Since. */
    s3_do(&w, "GetObject", "{'Bucket':'shelf','Key':'k','IfMatch':'*','IfUnmodifiedSince':1699999999000}");

    assert_int_equal(s3_send(&w, "PutObject", "x", 1, "{'Bucket':'shelf','Key':'k','IfNoneMatch':'*'}"), -1);
    assert_string_equal(w.err.code, "PreconditionFailed");
    assert_int_equal(s3_send(&w, "PutObject", "x", 1, "{'Bucket':'shelf','Key':'new','IfNoneMatch':'*'}"), 0);
    assert_int_equal(s3_send(&w, "PutObject", "x", 1, "{'Bucket':'shelf','Key':'k','IfMatch':'abc'}"), -1);
    assert_int_equal(s3_send(&w, "PutObject", "x", 1, "{'Bucket':'shelf','Key':'none','IfMatch':'abc'}"), -1);
    assert_string_equal(w.err.code, "NoSuchKey");
    assert_int_equal(s3_blob_count(&w), 2); /* the refused bodies are gone */
}

static void versions(void **state)
{
    const struct doc *out;
    const char *first, *second, *marker;

    s3_put(&w, "shelf", "k", "before");
    s3_do(&w, "PutBucketVersioning", "{'Bucket':'shelf','VersioningConfiguration':{'Status':'Enabled'}}");
    s3_put(&w, "shelf", "k", "one");
    first = doc_text(w.output, "VersionId");
    assert_int_equal(strlen(first), 32);
    s3_put(&w, "shelf", "k", "two");
    second = doc_text(w.output, "VersionId");
    s3_do(&w, "GetObject", "{'Bucket':'shelf','Key':'k'}");
    assert_true(str_is(s3_body(&w), "two"));
    s3_do(&w, "GetObject", "{'Bucket':'shelf','Key':'k','VersionId':'%s'}", first);
    assert_true(str_is(s3_body(&w), "one"));
    s3_do(&w, "GetObject", "{'Bucket':'shelf','Key':'k','VersionId':'null'}");
    assert_true(str_is(s3_body(&w), "before"));
    out = s3_do(&w, "DeleteObject", "{'Bucket':'shelf','Key':'k'}");
    assert_true(doc_bool(out, "DeleteMarker", false));
    marker = doc_text(out, "VersionId");
    s3_fails(&w, "NoSuchKey", "GetObject", "{'Bucket':'shelf','Key':'k'}");
    assert_string_equal(doc_text(w.extra_headers, "x-amz-delete-marker"), "true");
    s3_fails(&w, "MethodNotAllowed", "GetObject", "{'Bucket':'shelf','Key':'k','VersionId':'%s'}", marker);
    s3_fails(&w, "NoSuchVersion", "GetObject", "{'Bucket':'shelf','Key':'k','VersionId':'%s0'}",
             arena_strndup(w.arena, first, 31));
    s3_fails(&w, "InvalidArgument", "GetObject", "{'Bucket':'shelf','Key':'k','VersionId':'nonsense'}");
    out = s3_do(&w, "ListObjectsV2", "{'Bucket':'shelf'}");
    assert_int_equal(doc_int(out, "KeyCount", -1), 0);
    out = s3_do(&w, "ListObjectVersions", "{'Bucket':'shelf'}");
    assert_int_equal(doc_count(out, "Versions"), 3);
    assert_int_equal(doc_count(out, "DeleteMarkers"), 1);
    assert_true(doc_bool(out, "DeleteMarkers[0].IsLatest", false));
    assert_string_equal(doc_text(out, "Versions[0].VersionId"), second);
    assert_string_equal(doc_text(out, "Versions[2].VersionId"), "null");
    s3_fails(&w, "BucketNotEmpty", "DeleteBucket", "{'Bucket':'shelf'}");
    out = s3_do(&w, "DeleteObject", "{'Bucket':'shelf','Key':'k','VersionId':'%s'}", marker);
    assert_true(doc_bool(out, "DeleteMarker", false));
    s3_do(&w, "GetObject", "{'Bucket':'shelf','Key':'k'}");
    assert_true(str_is(s3_body(&w), "two"));

    s3_do(&w, "PutBucketVersioning", "{'Bucket':'shelf','VersioningConfiguration':{'Status':'Suspended'}}");
    s3_put(&w, "shelf", "k", "null again"); /* takes the place of "before", which lies under two others */
    assert_string_equal(doc_text(w.output, "VersionId"), "null");
    out = s3_do(&w, "ListObjectVersions", "{'Bucket':'shelf'}");
    assert_int_equal(doc_count(out, "Versions"), 3);
    assert_string_equal(doc_text(out, "Versions[0].VersionId"), "null");
    assert_int_equal(s3_blob_count(&w), 3);
    s3_do(&w, "DeleteObjects", "{'Bucket':'shelf','Delete':{'Objects':[{'Key':'k','VersionId':'null'},"
          "{'Key':'k','VersionId':'%s'},{'Key':'k','VersionId':'%s'}]}}", first, second);
    assert_int_equal(doc_count(w.output, "Deleted"), 3);
    assert_int_equal(s3_blob_count(&w), 0);
    s3_do(&w, "DeleteBucket", "{'Bucket':'shelf'}");
}

static void a_clock_that_jumps_back_keeps_the_order(void **state)
{
    s3_do(&w, "PutBucketVersioning", "{'Bucket':'shelf','VersioningConfiguration':{'Status':'Enabled'}}");
    s3_put(&w, "shelf", "k", "old");
    test_now_ms -= 3600 * 1000;
    s3_put(&w, "shelf", "k", "new");
    test_now_ms += 3600 * 1000;
    s3_do(&w, "GetObject", "{'Bucket':'shelf','Key':'k'}");
    assert_true(str_is(s3_body(&w), "new"));
}

static void copies_share_bytes(void **state)
{
    const struct doc *out;

    assert_int_equal(s3_send(&w, "PutObject", "hello world", 11,
                             "{'Bucket':'shelf','Key':'a b+c','Metadata':{'color':'red'},'Tagging':'t=1'}"), 0);
    out = s3_do(&w, "CopyObject", "{'Bucket':'shelf','Key':'copy','CopySource':'shelf/a%%20b%%2Bc'}");
    assert_string_equal(doc_text(out, "CopyObjectResult.ETag"), "\"5eb63bbbe01eeed093cb22bb8f5acdc3\"");
    assert_int_equal(s3_blob_count(&w), 1);
    s3_do(&w, "DeleteObject", "{'Bucket':'shelf','Key':'a b+c'}");
    out = s3_do(&w, "GetObject", "{'Bucket':'shelf','Key':'copy'}");
    assert_true(str_is(s3_body(&w), "hello world"));
    assert_string_equal(doc_text(out, "Metadata.color"), "red");
    assert_int_equal(doc_int(out, "TagCount", 0), 1);
    s3_fails(&w, "InvalidRequest", "CopyObject", "{'Bucket':'shelf','Key':'copy','CopySource':'/shelf/copy'}");
    s3_do(&w, "CopyObject", "{'Bucket':'shelf','Key':'copy','CopySource':'/shelf/copy','MetadataDirective':'REPLACE',"
          "'Metadata':{'color':'blue'}}");
    out = s3_do(&w, "GetObject", "{'Bucket':'shelf','Key':'copy'}");
    assert_true(str_is(s3_body(&w), "hello world"));
    assert_string_equal(doc_text(out, "Metadata.color"), "blue");
    s3_fails(&w, "NoSuchKey", "CopyObject", "{'Bucket':'shelf','Key':'x','CopySource':'shelf/nothing'}");
    s3_fails(&w, "NoSuchBucket", "CopyObject", "{'Bucket':'shelf','Key':'x','CopySource':'nowhere/nothing'}");
    s3_fails(&w, "InvalidArgument", "CopyObject", "{'Bucket':'shelf','Key':'x','CopySource':'shelf'}");
    s3_fails(&w, "PreconditionFailed", "CopyObject",
             "{'Bucket':'shelf','Key':'x','CopySource':'shelf/copy','CopySourceIfNoneMatch':'*'}");
    s3_do(&w, "DeleteObject", "{'Bucket':'shelf','Key':'copy'}");
    assert_int_equal(s3_blob_count(&w), 0);
    assert_int_equal(s3_table_count(&w, "s3_blobs"), 0);
}

/* With bytes that are only said to be there: what is copied shares them. */
static void copies_do_not_grow_without_end(void **state)
{
    static const int64_t gib = INT64_C(1) << 30;
    _cleanup_buf_ struct buf list = { 0 };
    struct upload *u = s3_upload(&w, "x", 1);
    struct doc *put = doc_map(w.arena);
    const struct doc *out;
    const char *id, *etag;

    u->size_bytes = 6 * gib;
    doc_set_string(w.arena, put, "Bucket", "shelf");
    doc_set_string(w.arena, put, "Key", "six");
    assert_int_equal(s3_run(&w, "PutObject", put, u), 0);
    out = s3_do(&w, "CreateMultipartUpload", "{'Bucket':'shelf','Key':'n'}");
    id = doc_text(out, "UploadId");
    s3_fails(&w, "InvalidRequest", "UploadPartCopy",
             "{'Bucket':'shelf','Key':'n','UploadId':'%s','PartNumber':1,'CopySource':'shelf/six'}", id);
    for (int i = 1; i <= 1025; i++) { /* 5 TiB and a part more */
        out = s3_do(&w, "UploadPartCopy", "{'Bucket':'shelf','Key':'n','UploadId':'%s','PartNumber':%d,"
                    "'CopySource':'shelf/six','CopySourceRange':'bytes=0-%lld'}", id, i, (long long)(5 * gib - 1));
        etag = doc_text(out, "CopyPartResult.ETag");
        buf_printf(&list, "%s{'PartNumber':%d,'ETag':%s}", i > 1 ? "," : "", i, etag);
    }
    s3_fails(&w, "EntityTooLarge", "CompleteMultipartUpload",
             "{'Bucket':'shelf','Key':'n','UploadId':'%s','MultipartUpload':{'Parts':[%s]}}", id, list.data);
    *strrchr(list.data, ',') = '\0'; /* the last part's ETag, */
    *strrchr(list.data, ',') = '\0'; /* and its number */
    s3_do(&w, "CompleteMultipartUpload",
          "{'Bucket':'shelf','Key':'n','UploadId':'%s','MultipartUpload':{'Parts':[%s]}}", id, list.data);
}

static void parts_become_an_object(void **state)
{
    enum { BIG = 5 * 1024 * 1024 };
    char *big = malloc(BIG);
    struct buf whole = { 0 };
    const struct doc *out;
    const char *id, *etags[12];
    unsigned char crc_bytes[8];
    uint64_t crc;

    for (int i = 0; i < BIG; i++)
        big[i] = (char)(i * 7 + i / 1000);
    out = s3_do(&w, "CreateMultipartUpload", "{'Bucket':'shelf','Key':'m','ContentType':'text/x','Tagging':'a=b'}");
    id = doc_text(out, "UploadId");
    for (int i = 1; i <= 10; i++) { /* more than a record holds itself */
        big[0] = (char)i;
        assert_int_equal(s3_send(&w, "UploadPart", big, i < 10 ? BIG : 3,
                                 "{'Bucket':'shelf','Key':'m','UploadId':'%s','PartNumber':%d}", id, i), 0);
        etags[i] = doc_text(w.output, "ETag");
        buf_append(&whole, big, i < 10 ? BIG : 3);
    }
    out = s3_do(&w, "ListParts", "{'Bucket':'shelf','Key':'m','UploadId':'%s','MaxParts':4,'PartNumberMarker':2}", id);
    assert_int_equal(doc_count(out, "Parts"), 4);
    assert_int_equal(doc_int(out, "Parts[0].PartNumber", 0), 3);
    assert_true(doc_bool(out, "IsTruncated", false));
    out = s3_do(&w, "ListMultipartUploads", "{'Bucket':'shelf'}");
    assert_string_equal(doc_text(out, "Uploads[0].UploadId"), id);

    s3_fails(&w, "InvalidPart", "CompleteMultipartUpload", "{'Bucket':'shelf','Key':'m','UploadId':'%s',"
             "'MultipartUpload':{'Parts':[{'PartNumber':11,'ETag':'x'}]}}", id);
    s3_fails(&w, "InvalidPartOrder", "CompleteMultipartUpload", "{'Bucket':'shelf','Key':'m','UploadId':'%s',"
             "'MultipartUpload':{'Parts':[{'PartNumber':2,'ETag':%s},{'PartNumber':1,'ETag':%s}]}}", id, etags[2],
             etags[1]);
    s3_fails(&w, "EntityTooSmall", "CompleteMultipartUpload", "{'Bucket':'shelf','Key':'m','UploadId':'%s',"
             "'MultipartUpload':{'Parts':[{'PartNumber':10,'ETag':%s},{'PartNumber':11,'ETag':%s}]}}", id, etags[10],
             (s3_send(&w, "UploadPart", "z", 1, "{'Bucket':'shelf','Key':'m','UploadId':'%s','PartNumber':11}", id),
              etags[11] = doc_text(w.output, "ETag")));
    {
        struct buf list = { 0 };

        for (int i = 1; i <= 10; i++)
            buf_printf(&list, "%s{'PartNumber':%d,'ETag':%s}", i > 1 ? "," : "", i, etags[i]);
        out = s3_do(&w, "CompleteMultipartUpload",
                    "{'Bucket':'shelf','Key':'m','UploadId':'%s','MultipartUpload':{'Parts':[%s]}}", id, list.data);
        buf_free(&list);
    }
    assert_true(text_ends(doc_text(out, "ETag"), "-10\""));
    {
        const struct doc *again = s3_do(&w, "CompleteMultipartUpload",
                                        "{'Bucket':'shelf','Key':'m','UploadId':'%s','MultipartUpload':{'Parts':[]}}",
                                        id);

        assert_string_equal(doc_text(again, "ETag"), doc_text(out, "ETag")); /* the first answer may have been lost */
        s3_fails(&w, "NoSuchUpload", "CompleteMultipartUpload", "{'Bucket':'shelf','Key':'m','UploadId':'other'}");
    }
    crc = crc_update(CRC_64NVME, 0, whole.data, whole.size);
    for (int i = 0; i < 8; i++)
        crc_bytes[i] = (unsigned char)(crc >> (56 - 8 * i));
    assert_string_equal(doc_text(out, "ChecksumCRC64NVME"), base64_encode(w.arena, crc_bytes, 8));
    assert_int_equal(s3_table_count(&w, "s3_parts"), 0);
    assert_int_equal(s3_table_count(&w, "s3_manifests"), 1);
    assert_int_equal(s3_blob_count(&w), 10); /* part 11 is gone */
    s3_fails(&w, "NoSuchUpload", "ListParts", "{'Bucket':'shelf','Key':'m','UploadId':'%s'}", id);

    out = s3_do(&w, "GetObject", "{'Bucket':'shelf','Key':'m'}");
    assert_true(str_eq(s3_body(&w), (struct str){ whole.data, whole.size }));
    assert_string_equal(doc_text(out, "ContentType"), "text/x");
    s3_do(&w, "GetObject", "{'Bucket':'shelf','Key':'m','Range':'bytes=%d-%d'}", BIG - 2, 2 * BIG + 1);
    assert_true(str_eq(s3_body(&w), (struct str){ whole.data + BIG - 2, BIG + 4 }));
    out = s3_do(&w, "GetObject", "{'Bucket':'shelf','Key':'m','PartNumber':10}");
    assert_int_equal(s3_body(&w).size, 3);
    assert_int_equal(doc_int(out, "PartsCount", 0), 10);
    s3_fails(&w, "InvalidPartNumber", "GetObject", "{'Bucket':'shelf','Key':'m','PartNumber':12}");
    out = s3_do(&w, "GetObjectAttributes",
                "{'Bucket':'shelf','Key':'m','ObjectAttributes':['ObjectParts','ETag','ObjectSize']}");
    assert_int_equal(doc_int(out, "ObjectParts.TotalPartsCount", 0), 10);
    assert_int_equal(doc_int(out, "ObjectSize", 0), (int64_t)whole.size);

    /* A copy and a part of it share the blobs. */
    s3_do(&w, "CopyObject", "{'Bucket':'shelf','Key':'m2','CopySource':'shelf/m'}");
    s3_do(&w, "DeleteObject", "{'Bucket':'shelf','Key':'m'}");
    out = s3_do(&w, "CreateMultipartUpload", "{'Bucket':'shelf','Key':'n'}");
    id = doc_text(out, "UploadId");
    out = s3_do(&w, "UploadPartCopy",
                "{'Bucket':'shelf','Key':'n','UploadId':'%s','PartNumber':1,'CopySource':'shelf/m2',"
                "'CopySourceRange':'bytes=%d-%d'}", id, BIG - 5, BIG + 4);
    etags[1] = doc_text(out, "CopyPartResult.ETag");
    s3_fails(&w, "InvalidArgument", "UploadPartCopy", "{'Bucket':'shelf','Key':'n','UploadId':'%s','PartNumber':1,"
             "'CopySource':'shelf/m2','CopySourceRange':'bytes=0-%zu'}", id, whole.size);
    s3_do(&w, "DeleteObject", "{'Bucket':'shelf','Key':'m2'}");
    assert_int_equal(s3_blob_count(&w), 2);
    s3_do(&w, "CompleteMultipartUpload", "{'Bucket':'shelf','Key':'n','UploadId':'%s','MultipartUpload':{'Parts':["
          "{'PartNumber':1,'ETag':%s}]}}", id, etags[1]);
    s3_do(&w, "GetObject", "{'Bucket':'shelf','Key':'n'}");
    assert_true(str_eq(s3_body(&w), (struct str){ whole.data + BIG - 5, 10 }));
    s3_do(&w, "DeleteObject", "{'Bucket':'shelf','Key':'n'}");
    assert_int_equal(s3_blob_count(&w), 0);
    assert_int_equal(s3_table_count(&w, "s3_manifests"), 0);

    out = s3_do(&w, "CreateMultipartUpload", "{'Bucket':'shelf','Key':'n'}");
    id = doc_text(out, "UploadId");
    assert_int_equal(s3_send(&w, "UploadPart", "abc", 3, "{'Bucket':'shelf','Key':'n','UploadId':'%s','PartNumber':1}",
                             id), 0);
    assert_int_equal(s3_send(&w, "UploadPart", "abd", 3, "{'Bucket':'shelf','Key':'n','UploadId':'%s','PartNumber':1}",
                             id), 0);
    assert_int_equal(s3_blob_count(&w), 1);
    s3_do(&w, "AbortMultipartUpload", "{'Bucket':'shelf','Key':'n','UploadId':'%s'}", id);
    s3_fails(&w, "NoSuchUpload", "AbortMultipartUpload", "{'Bucket':'shelf','Key':'n','UploadId':'%s'}", id);
    assert_int_equal(s3_blob_count(&w), 0);
    free(big);
    buf_free(&whole);
}

static struct principal user(const char *policy)
{
    struct doc *list = doc_list(w.arena), *document;
    char *text = arena_strdup(w.arena, policy);

    for (char *p = text; *p; p++)
        if (*p == '\'')
            *p = '"';
    if (*text) {
        assert_int_equal(json_parse(w.arena, str_of(text), &document, &w.err), 0);
        doc_append(w.arena, list, document);
    }
    return (struct principal){ .account = "123456789012", .arn = "arn:aws:iam::123456789012:user/ann",
                               .user_id = "AIDA1", .access_key_id = "AKIAANN", .policies = list };
}

static void policies_of_both_sides(void **state)
{
    struct principal reader = user("{'Version':'2012-10-17','Statement':[{'Effect':'Allow','Action':'s3:Get*',"
                                   "'Resource':'arn:aws:s3:::shelf/*'}]}");
    struct principal nobody = user("");
    const char *policy;

    s3_put(&w, "shelf", "k", "v");
    w.principal = &reader;
    s3_do(&w, "GetObject", "{'Bucket':'shelf','Key':'k'}");
    s3_fails(&w, "AccessDenied", "GetObject",
             "{'Bucket':'shelf','Key':'missing'}"); /* may not list: not told what is missing */
    s3_fails(&w, "AccessDenied", "ListObjectsV2", "{'Bucket':'shelf'}");
    s3_fails(&w, "AccessDenied", "DeleteObject", "{'Bucket':'shelf','Key':'k'}");
    s3_fails(&w, "AccessDenied", "CreateBucket", "{'Bucket':'mine-too'}");
    s3_fails(&w, "AccessDenied", "CopyObject", "{'Bucket':'shelf','Key':'k2','CopySource':'shelf/k'}");
    s3_do(&w, "DeleteObjects", "{'Bucket':'shelf','Delete':{'Objects':[{'Key':'k'}]}}");
    assert_string_equal(doc_text(w.output, "Errors[0].Code"), "AccessDenied");

    w.principal = &nobody;
    s3_fails(&w, "AccessDenied", "GetObject", "{'Bucket':'shelf','Key':'k'}");
    w.principal = &w.root;
    policy = "{\\'Version\\':\\'2012-10-17\\',\\'Statement\\':[{\\'Effect\\':\\'Allow\\',\\'Principal\\':{\\'AWS\\':"
             "\\'arn:aws:iam::123456789012:user/ann\\'},\\'Action\\':\\'s3:GetObject\\',\\'Resource\\':"
             "\\'arn:aws:s3:::shelf/*\\'},{\\'Effect\\':\\'Deny\\',\\'Principal\\':\\'*\\',"
             "\\'Action\\':\\'s3:GetObject\\',"
             "\\'Resource\\':\\'arn:aws:s3:::shelf/secret/*\\'}]}";
    s3_do(&w, "PutBucketPolicy", "{'Bucket':'shelf','Policy':'%s'}", policy);
    s3_put(&w, "shelf", "secret/k", "v");
    w.principal = &nobody;
    s3_do(&w, "GetObject", "{'Bucket':'shelf','Key':'k'}");
    s3_fails(&w, "AccessDenied", "GetObject", "{'Bucket':'shelf','Key':'secret/k'}");
    w.principal = &reader;
    s3_fails(&w, "AccessDenied", "GetObject", "{'Bucket':'shelf','Key':'secret/k'}");
    /* Another account needs both sides. */
    reader.account = "999999999999";
    reader.arn = "arn:aws:iam::999999999999:user/ann";
    s3_fails(&w, "AccessDenied", "GetObject", "{'Bucket':'shelf','Key':'k'}");
    w.principal = &w.root;
    s3_fails(&w, "AccessDenied", "GetObject", "{'Bucket':'shelf','Key':'secret/k'}"); /* Deny is for everybody */
    s3_do(&w, "DeleteBucketPolicy", "{'Bucket':'shelf'}");
    s3_fails(&w, "NoSuchBucketPolicy", "GetBucketPolicy", "{'Bucket':'shelf'}");
    s3_fails(&w, "MalformedPolicy", "PutBucketPolicy", "{'Bucket':'shelf','Policy':'nonsense'}");
    s3_fails(&w, "MalformedPolicy", "PutBucketPolicy", "{'Bucket':'shelf','Policy':'{\\'Version\\':\\'2012-10-17\\',"
             "\\'Statement\\':[{\\'Effect\\':\\'Allow\\',\\'Principal\\':\\'*\\',\\'Action\\':\\'s3:*\\',"
             "\\'Resource\\':\\'arn:aws:s3:::other/*\\'}]}'}");
    s3_fails(&w, "AccessDenied", "PutBucketPolicy", "{'Bucket':'shelf','Policy':'{\\'Version\\':\\'2012-10-17\\',"
             "\\'Statement\\':[{\\'Effect\\':\\'Allow\\',\\'Principal\\':\\'*\\',\\'Action\\':\\'s3:GetObject\\',"
             "\\'Resource\\':\\'arn:aws:s3:::shelf/*\\'}]}'}");
    s3_fails(&w, "AccessDenied", "GetObject", "{'Bucket':'shelf','Key':'k','ExpectedBucketOwner':'999999999999'}");
    assert_int_equal(w.err.kind, ERR_DENIED);
}

static void what_is_not_honoured_is_refused(void **state)
{
    struct doc *latin = doc_map(w.arena);

    doc_set_string(w.arena, latin, "Bucket", "shelf");
    doc_set_string(w.arena, latin, "Key", "k");
    doc_set_string(w.arena, latin, "ContentType", "caf\xe9");
    assert_int_equal(s3_run(&w, "PutObject", latin, s3_upload(&w, "x", 1)), -1);
    assert_string_equal(w.err.code, "InvalidArgument");
    assert_int_equal(s3_send(&w, "PutObject", "x", 1, "{'Bucket':'shelf','Key':'k','SSEKMSKeyId':'alias/mine'}"), -1);
    assert_string_equal(w.err.code, "NotImplemented");
    assert_int_equal(w.err.http_status, 501);
    assert_int_equal(s3_send(&w, "PutObject", "x", 1, "{'Bucket':'shelf','Key':'k','ACL':'public-read'}"), -1);
    assert_string_equal(w.err.code, "AccessControlListNotSupported");
    assert_int_equal(s3_send(&w, "PutObject", "x", 1, "{'Bucket':'shelf','Key':'k','ACL':'private'}"), 0);
    assert_int_equal(s3_send(&w, "PutObject", "x", 1, "{'Bucket':'shelf','Key':'k','StorageClass':'DEEP_ARCHIVE'}"),
                     -1);
    assert_string_equal(w.err.code, "InvalidStorageClass");
    s3_fails(&w, "ServerSideEncryptionConfigurationNotFoundError", "GetBucketEncryption", "{'Bucket':'shelf'}");
    s3_fails(&w, "NoSuchCORSConfiguration", "GetBucketCors", "{'Bucket':'shelf'}");
    s3_do(&w, "GetBucketAcl", "{'Bucket':'shelf'}");
    assert_string_equal(doc_text(w.output, "Grants[0].Permission"), "FULL_CONTROL");
    s3_do(&w, "GetPublicAccessBlock", "{'Bucket':'shelf'}");
    assert_true(doc_bool(w.output, "PublicAccessBlockConfiguration.BlockPublicPolicy", false));
    assert_int_equal(s3_send(&w, "PutObject", "x", 1, "{'Bucket':'shelf','Key':'%s'}", "a\\u0000b"), -1);
    assert_string_equal(w.err.code, "InvalidURI");
}

static void tags(void **state)
{
    s3_fails(&w, "NoSuchTagSet", "GetBucketTagging", "{'Bucket':'shelf'}");
    s3_do(&w, "PutBucketTagging", "{'Bucket':'shelf','Tagging':{'TagSet':[{'Key':'a','Value':'1'}]}}");
    s3_do(&w, "GetBucketTagging", "{'Bucket':'shelf'}");
    assert_string_equal(doc_text(w.output, "TagSet[0].Key"), "a");
    s3_do(&w, "DeleteBucketTagging", "{'Bucket':'shelf'}");
    s3_fails(&w, "NoSuchTagSet", "GetBucketTagging", "{'Bucket':'shelf'}");
    s3_put(&w, "shelf", "k", "v");
    s3_do(&w, "PutObjectTagging", "{'Bucket':'shelf','Key':'k','Tagging':{'TagSet':[{'Key':'a','Value':'1'}]}}");
    s3_fails(&w, "InvalidTag", "PutObjectTagging",
             "{'Bucket':'shelf','Key':'k','Tagging':{'TagSet':[{'Key':'a','Value':'1'},{'Key':'a','Value':'2'}]}}");
    s3_do(&w, "GetObjectTagging", "{'Bucket':'shelf','Key':'k'}");
    assert_int_equal(doc_count(w.output, "TagSet"), 1);
    s3_do(&w, "DeleteObjectTagging", "{'Bucket':'shelf','Key':'k'}");
    s3_do(&w, "GetObjectTagging", "{'Bucket':'shelf','Key':'k'}");
    assert_int_equal(doc_count(w.output, "TagSet"), 0);
    s3_do(&w, "GetObject", "{'Bucket':'shelf','Key':'k'}");
    assert_true(str_is(s3_body(&w), "v"));
}

static void a_crash_leaves_nothing_behind(void **state)
{
    const struct upload *orphan, *kept;
    struct doc *input = doc_map(w.arena);
    int64_t removed;

    doc_set_string(w.arena, input, "Bucket", "shelf");
    doc_set_string(w.arena, input, "Key", "k");
    orphan = s3_upload(&w, "published, and then the power went", 10);
    kept = s3_upload(&w, "kept", 4);
    assert_int_equal(s3_run(&w, "PutObject", input, kept), 0);
    assert_true(blob_create(w.blobs, (char[BLOB_UID_SIZE + 1]){ 0 }, &w.err) >= 0); /* half of one */
    assert_int_equal(bodies_collect(w.bodies, &removed, &w.err), 0);
    assert_int_equal(removed, 2);
    assert_int_equal(s3_blob_count(&w), 1);
    assert_true(blob_open(w.blobs, orphan->blob_uid, &removed, &w.err) < 0);
}

static void a_blob_that_is_read_stays(void **state)
{
    char uid[BLOB_UID_SIZE + 1];

    s3_put(&w, "shelf", "k", "v");
    s3_do(&w, "GetObject", "{'Bucket':'shelf','Key':'k'}");
    strcpy(uid, w.download.pieces[0].blob_uid);
    bodies_pin(w.bodies, uid);
    s3_put(&w, "shelf", "k", "w");
    assert_int_equal(s3_blob_count(&w), 2);
    bodies_unpin(w.bodies, uid);
    bodies_sweep(w.bodies);
    assert_int_equal(s3_blob_count(&w), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(buckets, setup, teardown),
        cmocka_unit_test_setup_teardown(an_object_comes_back, setup, teardown),
        cmocka_unit_test_setup_teardown(ranges, setup, teardown),
        cmocka_unit_test_setup_teardown(conditions, setup, teardown),
        cmocka_unit_test_setup_teardown(versions, setup, teardown),
        cmocka_unit_test_setup_teardown(a_clock_that_jumps_back_keeps_the_order, setup, teardown),
        cmocka_unit_test_setup_teardown(copies_share_bytes, setup, teardown),
        cmocka_unit_test_setup_teardown(parts_become_an_object, setup, teardown),
        cmocka_unit_test_setup_teardown(copies_do_not_grow_without_end, setup, teardown),
        cmocka_unit_test_setup_teardown(policies_of_both_sides, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_not_honoured_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(tags, setup, teardown),
        cmocka_unit_test_setup_teardown(a_crash_leaves_nothing_behind, setup, teardown),
        cmocka_unit_test_setup_teardown(a_blob_that_is_read_stays, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
