"""S3 through unchanged boto3, and once through bare HTTP where boto3 hides too much."""
import base64
import binascii
import concurrent.futures
import datetime
import hashlib
import http.client
import io
import json
import os
import random
import ssl
import urllib.parse

import boto3.s3.transfer
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError


@pytest.fixture
def s3(aws):
    return aws("s3", config=Config(retries={"max_attempts": 0}))


@pytest.fixture
def bucket(s3, unique):
    s3.create_bucket(Bucket=unique)
    yield unique
    empty(s3, unique)
    s3.delete_bucket(Bucket=unique)


def empty(s3, name):
    for page in s3.get_paginator("list_object_versions").paginate(Bucket=name):
        gone = [{"Key": v["Key"], "VersionId": v["VersionId"]} for kind in ("Versions", "DeleteMarkers")
                for v in page.get(kind, [])]
        if gone:
            assert "Errors" not in s3.delete_objects(Bucket=name, Delete={"Objects": gone, "Quiet": True})


class fails:
    """with fails("NoSuchKey", 404): ..."""

    def __init__(self, code, status):
        self.code, self.status = code, status

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        assert kind is not None, f"worked, and should have failed with {self.code}"
        if not isinstance(error, ClientError):
            return False
        got = (error.response["Error"]["Code"], error.response["ResponseMetadata"]["HTTPStatusCode"])
        assert got == (self.code, self.status), error
        self.response = error.response
        return True


def test_buckets(s3, unique):
    s3.create_bucket(Bucket=unique)
    s3.create_bucket(Bucket=unique)  # us-east-1 lets it pass
    assert unique in [b["Name"] for b in s3.list_buckets()["Buckets"]]
    assert s3.head_bucket(Bucket=unique)["BucketRegion"] == "us-east-1"
    assert s3.get_bucket_location(Bucket=unique)["LocationConstraint"] is None
    with fails("InvalidBucketName", 400):
        s3.create_bucket(Bucket="under_score")
    with fails("404", 404):  # a HEAD has no body to say more
        s3.head_bucket(Bucket=unique + "-not")
    with fails("NoSuchBucket", 404):
        s3.list_objects_v2(Bucket=unique + "-not")
    with fails("403", 403):
        s3.head_bucket(Bucket=unique, ExpectedBucketOwner="111111111111")
    s3.put_object(Bucket=unique, Key="k", Body=b"")
    with fails("BucketNotEmpty", 409):
        s3.delete_bucket(Bucket=unique)
    s3.delete_object(Bucket=unique, Key="k")
    s3.delete_bucket(Bucket=unique)
    with fails("NoSuchBucket", 404):
        s3.delete_bucket(Bucket=unique)


def test_a_bucket_elsewhere(aws, unique):
    far = aws("s3", region_name="eu-central-1")
    with fails("IllegalLocationConstraintException", 400):
        far.create_bucket(Bucket=unique)
    far.create_bucket(Bucket=unique, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    with fails("BucketAlreadyOwnedByYou", 409):
        far.create_bucket(Bucket=unique, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    assert aws("s3").get_bucket_location(Bucket=unique)["LocationConstraint"] == "eu-central-1"
    aws("s3").delete_bucket(Bucket=unique)


@pytest.mark.parametrize("key", ["plain", "a/b/c", "with space", "plus+sign", "ünïcödé/€", "percent%20", "a//b",
                                 "./x/../y", "?q&=;", "x" * 1024,
                                 "tab\there", "quote'\"<>&", "~tilde", "$@!*()", "trailing/"])
def test_keys(s3, bucket, key):
    s3.put_object(Bucket=bucket, Key=key, Body=key.encode())
    assert s3.get_object(Bucket=bucket, Key=key)["Body"].read() == key.encode()
    assert [o["Key"] for o in s3.list_objects_v2(Bucket=bucket)["Contents"]] == [key]
    s3.copy_object(Bucket=bucket, Key="copy", CopySource={"Bucket": bucket, "Key": key})
    assert s3.get_object(Bucket=bucket, Key="copy")["Body"].read() == key.encode()
    s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": key}, {"Key": "copy"}]})
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0


def test_a_key_too_long(s3, bucket):
    with fails("KeyTooLongError", 400):
        s3.put_object(Bucket=bucket, Key="x" * 1025, Body=b"")


def test_an_object_keeps_what_was_said(s3, bucket):
    expires = datetime.datetime(2030, 1, 2, 3, 4, 5, tzinfo=datetime.timezone.utc)
    put = s3.put_object(Bucket=bucket, Key="k", Body=b"hello world", ContentType="text/plain",
                        CacheControl="max-age=60", ContentLanguage="de",
                        ContentDisposition='attachment; filename="x"', ContentEncoding="identity", Expires=expires,
                        StorageClass="STANDARD_IA", Metadata={"Color": "red", "empty": ""}, Tagging="a=1&b=two%20words")
    assert put["ETag"] == '"5eb63bbbe01eeed093cb22bb8f5acdc3"'
    for got in (s3.get_object(Bucket=bucket, Key="k"), s3.head_object(Bucket=bucket, Key="k")):
        assert got["ContentType"] == "text/plain"
        assert got["CacheControl"] == "max-age=60"
        assert got["ContentLanguage"] == "de"
        assert got["ContentDisposition"] == 'attachment; filename="x"'
        assert got["ContentEncoding"] == "identity"
        assert got["Expires"] == expires
        assert got["StorageClass"] == "STANDARD_IA"
        assert got["Metadata"] == {"color": "red", "empty": ""}
        assert got["ContentLength"] == 11
        assert got["ETag"] == put["ETag"]
        assert got["AcceptRanges"] == "bytes"
        assert abs((got["LastModified"] - datetime.datetime.now(datetime.timezone.utc)).total_seconds()) < 60
        assert "VersionId" not in got and "ServerSideEncryption" not in got
    over = s3.get_object(Bucket=bucket, Key="k", ResponseContentType="text/html", ResponseCacheControl="no-store",
                         ResponseContentDisposition="inline")
    assert (over["ContentType"], over["CacheControl"], over["ContentDisposition"]) == ("text/html", "no-store",
                                                                                       "inline")
    tags = s3.get_object_tagging(Bucket=bucket, Key="k")["TagSet"]
    assert tags == [{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "two words"}]
    s3.put_object(Bucket=bucket, Key="bare", Body=b"")
    bare = s3.get_object(Bucket=bucket, Key="bare")
    assert bare["ContentType"] == "binary/octet-stream" and bare["Metadata"] == {} and bare["Body"].read() == b""
    with fails("MetadataTooLarge", 400):
        s3.put_object(Bucket=bucket, Key="k", Body=b"", Metadata={"x": "y" * 2048})


def test_ranges(s3, bucket):
    data = bytes(range(256)) * 5000
    s3.put_object(Bucket=bucket, Key="k", Body=data)
    for text, want in [("bytes=0-0", data[:1]), ("bytes=100-199", data[100:200]), ("bytes=1279000-", data[1279000:]),
                       ("bytes=-7", data[-7:]),
                       ("bytes=5-99999999", data[5:])]:
        got = s3.get_object(Bucket=bucket, Key="k", Range=text)
        assert got["ResponseMetadata"]["HTTPStatusCode"] == 206
        assert got["Body"].read() == want
        first = data.index(want) if text == "bytes=0-0" else int(text[6:].split("-")[0] or len(data) - 7)
        assert got["ContentRange"] == f"bytes {first}-{first + len(want) - 1}/{len(data)}"
    with fails("InvalidRange", 416):
        s3.get_object(Bucket=bucket, Key="k", Range=f"bytes={len(data)}-")
    assert s3.head_object(Bucket=bucket, Key="k", Range="bytes=1-2")["ContentLength"] == 2


def test_conditions(s3, bucket):
    etag = s3.put_object(Bucket=bucket, Key="k", Body=b"v")["ETag"]
    now = datetime.datetime.now(datetime.timezone.utc)
    hour = datetime.timedelta(hours=1)
    s3.get_object(Bucket=bucket, Key="k", IfMatch=etag)
    s3.get_object(Bucket=bucket, Key="k", IfModifiedSince=now - hour)
    with fails("PreconditionFailed", 412):
        s3.get_object(Bucket=bucket, Key="k", IfMatch='"x"')
    with fails("304", 304) as f:
        s3.get_object(Bucket=bucket, Key="k", IfNoneMatch=etag)
    assert f.response["ResponseMetadata"]["HTTPHeaders"]["etag"] == etag
    with fails("304", 304):
        s3.head_object(Bucket=bucket, Key="k", IfModifiedSince=now + hour)
    with fails("PreconditionFailed", 412):
        s3.get_object(Bucket=bucket, Key="k", IfUnmodifiedSince=now - hour)
    with fails("PreconditionFailed", 412):
        s3.put_object(Bucket=bucket, Key="k", Body=b"w", IfNoneMatch="*")
    s3.put_object(Bucket=bucket, Key="new", Body=b"w", IfNoneMatch="*")
    with fails("PreconditionFailed", 412):
        s3.put_object(Bucket=bucket, Key="k", Body=b"w", IfMatch='"x"')
    with fails("NoSuchKey", 404):
        s3.put_object(Bucket=bucket, Key="none", Body=b"w", IfMatch=etag)
    s3.put_object(Bucket=bucket, Key="k", Body=b"w", IfMatch=etag)
    with fails("PreconditionFailed", 412):
        s3.copy_object(Bucket=bucket, Key="c", CopySource=f"{bucket}/k", CopySourceIfMatch=etag)
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"w"


def test_only_one_of_many_creates(s3, bucket):
    def put(i):
        try:
            s3.put_object(Bucket=bucket, Key="once", Body=b"%d" % i, IfNoneMatch="*")
            return i
        except ClientError as e:
            assert e.response["Error"]["Code"] == "PreconditionFailed"

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        won = [i for i in pool.map(put, range(16)) if i is not None]
    assert len(won) == 1
    assert s3.get_object(Bucket=bucket, Key="once")["Body"].read() == b"%d" % won[0]


@pytest.mark.parametrize("algorithm", ["CRC32", "SHA1", "SHA256"])
def test_checksums_that_boto3_computes(s3, bucket, algorithm):
    member = "Checksum" + algorithm
    body = os.urandom(300000)
    put = s3.put_object(Bucket=bucket, Key="k", Body=io.BytesIO(body), ChecksumAlgorithm=algorithm)
    got = s3.get_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")
    assert got["Body"].read() == body  # checked by boto3
    assert got[member] == put[member] and got["ChecksumType"] == "FULL_OBJECT"
    listed = s3.list_objects_v2(Bucket=bucket)["Contents"][0]
    assert listed["ChecksumAlgorithm"] == [algorithm]
    wrong = base64.b64encode(b"\0" * len(base64.b64decode(put[member]))).decode()
    with fails("BadDigest", 400):
        s3.put_object(Bucket=bucket, Key="bad", Body=body, **{member: wrong})
    with fails("404", 404):
        s3.head_object(Bucket=bucket, Key="bad")


def test_stated_checksums(s3, bucket):
    body = b"123456789"
    for member, value in [("ChecksumCRC32C", (0xE3069283).to_bytes(4, "big")),
                          ("ChecksumCRC64NVME", (0xAE8B14860A799888).to_bytes(8, "big"))]:
        s3.put_object(Bucket=bucket, Key="k", Body=body, **{member: base64.b64encode(value).decode()})
        assert base64.b64decode(s3.head_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")[member]) == value
    with fails("BadDigest", 400):
        s3.put_object(Bucket=bucket, Key="k", Body=body, ContentMD5=base64.b64encode(b"\0" * 16).decode())
    with fails("InvalidDigest", 400):
        s3.put_object(Bucket=bucket, Key="k", Body=body, ContentMD5="nonsense")
    s3.put_object(Bucket=bucket, Key="k", Body=body, ContentMD5=base64.b64encode(hashlib.md5(body).digest()).decode())


def test_listing_against_a_model(s3, bucket):
    dice = random.Random(7)
    keys = sorted({"/".join(dice.choice(["a", "b", "b-", "€"]) * dice.randint(1, 2) for _ in range(dice.randint(1, 3)))
                   for _ in range(150)},
                  key=lambda k: k.encode())
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda k: s3.put_object(Bucket=bucket, Key=k, Body=b""), keys))
    for prefix in ("", "a", "b/", "bb/a"):
        for delimiter in ("", "/"):
            want = []
            for key in keys:
                if not key.startswith(prefix):
                    continue
                at = key.find(delimiter, len(prefix)) if delimiter else -1
                entry = key if at < 0 else key[: at + 1]
                if not want or want[-1] != entry:
                    want.append(entry)
            for name in ("list_objects_v2", "list_objects"):
                got = []
                pages = s3.get_paginator(name).paginate(Bucket=bucket, Prefix=prefix, Delimiter=delimiter,
                                                        PaginationConfig={"PageSize": 7})
                for page in pages:
                    entries = [o["Key"] for o in page.get("Contents", [])] + [p["Prefix"]
                                                                              for p in page.get("CommonPrefixes", [])]
                    assert len(entries) <= 7 and page.get("KeyCount", len(entries)) == len(entries)
                    got += sorted(entries, key=lambda k: k.encode())
                assert got == want, (name, prefix, delimiter)
    start = keys[40]
    assert s3.list_objects_v2(Bucket=bucket, StartAfter=start)["Contents"][0]["Key"] == keys[41]
    assert s3.list_objects_v2(Bucket=bucket, MaxKeys=0)["KeyCount"] == 0
    with fails("InvalidArgument", 400):
        s3.list_objects_v2(Bucket=bucket, ContinuationToken="???")
    assert s3.list_objects_v2(Bucket=bucket, FetchOwner=True)["Contents"][0]["Owner"]["ID"]


def test_versions(s3, bucket):
    assert "Status" not in s3.get_bucket_versioning(Bucket=bucket)
    s3.put_object(Bucket=bucket, Key="k", Body=b"before")
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    one = s3.put_object(Bucket=bucket, Key="k", Body=b"one")["VersionId"]
    two = s3.put_object(Bucket=bucket, Key="k", Body=b"two")["VersionId"]
    read = lambda **more: s3.get_object(Bucket=bucket, Key="k", **more)["Body"].read()
    assert (read(), read(VersionId=one), read(VersionId=two), read(VersionId="null")) == (b"two", b"one", b"two",
                                                                                          b"before")
    marker = s3.delete_object(Bucket=bucket, Key="k")
    assert marker["DeleteMarker"]
    with fails("NoSuchKey", 404) as f:
        read()
    assert f.response["ResponseMetadata"]["HTTPHeaders"]["x-amz-delete-marker"] == "true"
    with fails("MethodNotAllowed", 405):
        read(VersionId=marker["VersionId"])
    with fails("NoSuchVersion", 404):
        read(VersionId="0" * 15 + "1" + "0" * 16)
    listed = s3.list_object_versions(Bucket=bucket)
    assert [v["VersionId"] for v in listed["Versions"]] == [two, one, "null"]
    assert [m["IsLatest"] for m in listed["DeleteMarkers"]] == [True]
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0
    s3.copy_object(Bucket=bucket, Key="k", CopySource={"Bucket": bucket, "Key": "k", "VersionId": one})
    assert read() == b"one"
    s3.delete_object(Bucket=bucket, Key="k", VersionId=marker["VersionId"])
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Suspended"})
    assert s3.put_object(Bucket=bucket, Key="k", Body=b"null")["VersionId"] == "null"
    assert read(VersionId="null") == b"null"
    assert len(s3.list_object_versions(Bucket=bucket)["Versions"]) == 4


def test_delete_many(s3, bucket):
    for i in range(5):
        s3.put_object(Bucket=bucket, Key=f"k{i}", Body=b"")
    done = s3.delete_objects(Bucket=bucket,
                             Delete={"Objects": [{"Key": f"k{i}"} for i in range(4)] + [{"Key": "never was"}]})
    assert len(done["Deleted"]) == 5 and "Errors" not in done
    assert [o["Key"] for o in s3.list_objects_v2(Bucket=bucket)["Contents"]] == ["k4"]
    with fails("MalformedXML", 400):
        s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "k"}] * 1001})


def test_copies(s3, bucket):
    s3.put_object(Bucket=bucket, Key="a", Body=b"hello", ContentType="text/plain", Metadata={"m": "1"}, Tagging="t=1")
    s3.copy_object(Bucket=bucket, Key="b", CopySource=f"{bucket}/a")
    b = s3.get_object(Bucket=bucket, Key="b")
    assert b["Body"].read() == b"hello" and b["Metadata"] == {"m": "1"}
    assert b["ContentType"] == "text/plain" and b["TagCount"] == 1
    s3.copy_object(Bucket=bucket, Key="c", CopySource=f"{bucket}/a", MetadataDirective="REPLACE", Metadata={"n": "2"},
                   ContentType="text/html", TaggingDirective="REPLACE", Tagging="u=2")
    c = s3.get_object(Bucket=bucket, Key="c")
    assert c["Metadata"] == {"n": "2"} and c["ContentType"] == "text/html"
    assert s3.get_object_tagging(Bucket=bucket, Key="c")["TagSet"] == [{"Key": "u", "Value": "2"}]
    with fails("InvalidRequest", 400):
        s3.copy_object(Bucket=bucket, Key="a", CopySource=f"{bucket}/a")
    s3.delete_object(Bucket=bucket, Key="a")
    assert s3.get_object(Bucket=bucket, Key="b")["Body"].read() == b"hello"
    with fails("NoSuchKey", 404):
        s3.copy_object(Bucket=bucket, Key="x", CopySource=f"{bucket}/a")


MB = 1024 * 1024


def test_an_upload_that_needs_no_md5_has_another_etag(s3, bucket):
    s3.meta.events.register("before-call.s3", lambda params,
                            **_: params["headers"].update({"x-sagebrush-any-etag": "1"}))
    bodies = [b"a" * 5 * MB, b"b"]
    key = dict(Bucket=bucket, Key="m")
    key["UploadId"] = s3.create_multipart_upload(**key)["UploadId"]
    etags = [s3.upload_part(**key, PartNumber=n, Body=b)["ETag"] for n, b in enumerate(bodies, 1)]
    assert [p["ETag"] for p in s3.list_parts(**key)["Parts"]] == etags and len(set(etags)) == 2
    assert etags[0] != f'"{hashlib.md5(bodies[0]).hexdigest()}"'
    parts = [{"PartNumber": n, "ETag": e} for n, e in enumerate(etags, 1)]
    assert s3.complete_multipart_upload(**key, MultipartUpload={"Parts": parts})["ETag"].endswith('-2"')
    whole = s3.put_object(Bucket=bucket, Key="w", Body=b"b")["ETag"]
    got = s3.get_object(Bucket=bucket, Key="w", IfMatch=whole)
    assert got["Body"].read() == b"b" and whole not in (etags[1], f'"{hashlib.md5(b"b").hexdigest()}"')
    assert s3.get_object(Bucket=bucket, Key="m")["Body"].read() == b"".join(bodies)


def test_multipart(s3, bucket):
    parts = [os.urandom(5 * MB), os.urandom(5 * MB), b"end"]
    upload = s3.create_multipart_upload(Bucket=bucket, Key="m", ContentType="text/x", Metadata={"a": "b"},
                                        ChecksumAlgorithm="SHA256")
    key = dict(Bucket=bucket, Key="m", UploadId=upload["UploadId"])
    assert [u["UploadId"] for u in s3.list_multipart_uploads(Bucket=bucket)["Uploads"]] == [upload["UploadId"]]
    done = []
    for number, body in enumerate(parts, 1):
        r = s3.upload_part(**key, PartNumber=number, Body=body, ChecksumAlgorithm="SHA256")
        done.append({"PartNumber": number, "ETag": r["ETag"], "ChecksumSHA256": r["ChecksumSHA256"]})
    listed = s3.list_parts(**key, MaxParts=2)
    assert [p["PartNumber"]
            for p in listed["Parts"]] == [1, 2] and listed["IsTruncated"] and listed["NextPartNumberMarker"] == 2
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0
    with fails("InvalidPartOrder", 400):
        s3.complete_multipart_upload(**key, MultipartUpload={"Parts": done[::-1]})
    with fails("InvalidPart", 400):
        s3.complete_multipart_upload(**key, MultipartUpload={"Parts": [dict(done[0], ETag='"x"')]})
    whole = s3.complete_multipart_upload(**key, MultipartUpload={"Parts": done})
    md5s = hashlib.md5(b"".join(hashlib.md5(p).digest() for p in parts)).hexdigest()
    assert whole["ETag"] == f'"{md5s}-3"'
    shas = base64.b64encode(hashlib.sha256(b"".join(hashlib.sha256(p).digest() for p in parts)).digest()).decode()
    assert whole["ChecksumSHA256"] == f"{shas}-3" and whole["ChecksumType"] == "COMPOSITE"
    got = s3.get_object(Bucket=bucket, Key="m")
    assert got["Body"].read() == b"".join(parts) and got["ContentType"] == "text/x" and got["Metadata"] == {"a": "b"}
    second = s3.get_object(Bucket=bucket, Key="m", PartNumber=2)
    assert second["Body"].read() == parts[1] and second["PartsCount"] == 3
    assert s3.get_object(Bucket=bucket, Key="m",
                         Range=f"bytes={5 * MB - 2}-{5 * MB + 1}")["Body"].read() == parts[0][-2:] + parts[1][:2]
    attributes = s3.get_object_attributes(Bucket=bucket, Key="m", ObjectAttributes=["ETag", "ObjectSize", "ObjectParts",
                                                                                    "Checksum", "StorageClass"])
    assert attributes["ObjectParts"]["TotalPartsCount"] == 3 and attributes["ObjectSize"] == 10 * MB + 3
    with fails("NoSuchUpload", 404):
        s3.abort_multipart_upload(**key)


def test_multipart_full_object_checksum(s3, bucket):
    parts = [os.urandom(5 * MB), b"end"]
    upload = s3.create_multipart_upload(Bucket=bucket, Key="m", ChecksumAlgorithm="CRC32", ChecksumType="FULL_OBJECT")
    key = dict(Bucket=bucket, Key="m", UploadId=upload["UploadId"])
    done = [{"PartNumber": n, "ETag": s3.upload_part(**key, PartNumber=n, Body=b, ChecksumAlgorithm="CRC32")["ETag"]}
            for n, b in enumerate(parts, 1)]
    want = base64.b64encode(binascii.crc32(b"".join(parts)).to_bytes(4, "big")).decode()
    with fails("BadDigest", 400):
        s3.complete_multipart_upload(**key, MultipartUpload={"Parts": done}, ChecksumCRC32="AAAAAA==",
                                     ChecksumType="FULL_OBJECT")
    whole = s3.complete_multipart_upload(**key, MultipartUpload={"Parts": done}, ChecksumCRC32=want,
                                         ChecksumType="FULL_OBJECT")
    assert whole["ChecksumCRC32"] == want
    got = s3.get_object(Bucket=bucket, Key="m", ChecksumMode="ENABLED")
    assert got["Body"].read() == b"".join(parts)


def test_multipart_small_parts_and_copies(s3, bucket):
    key = dict(Bucket=bucket, Key="m")
    key["UploadId"] = s3.create_multipart_upload(**key)["UploadId"]
    done = [{"PartNumber": n, "ETag": s3.upload_part(**key, PartNumber=n, Body=b"small")["ETag"]} for n in (1, 2)]
    with fails("EntityTooSmall", 400):
        s3.complete_multipart_upload(**key, MultipartUpload={"Parts": done})
    s3.abort_multipart_upload(**key)
    source = os.urandom(6 * MB)
    s3.put_object(Bucket=bucket, Key="source", Body=source)
    # Botocore begins uploads with CRC32 unless told; a copied range has no checksum of its own.
    key["UploadId"] = begin_plain(s3, bucket, "m")
    one = s3.upload_part_copy(**key, PartNumber=1, CopySource=f"{bucket}/source",
                              CopySourceRange=f"bytes=0-{5 * MB - 1}")
    two = s3.upload_part_copy(**key, PartNumber=2, CopySource=f"{bucket}/source", CopySourceRange="bytes=10-19")
    with fails("InvalidArgument", 400):
        s3.upload_part_copy(**key, PartNumber=3, CopySource=f"{bucket}/source", CopySourceRange="bytes=0-99999999")
    s3.complete_multipart_upload(**key,
                                 MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": one["CopyPartResult"]["ETag"]},
                                                                   {"PartNumber": 2,
                                                                    "ETag": two["CopyPartResult"]["ETag"]}]})
    s3.delete_object(Bucket=bucket, Key="source")
    assert s3.get_object(Bucket=bucket, Key="m")["Body"].read() == source[: 5 * MB] + source[10:20]


def fetch(url, method="GET", body=None, headers={}):
    """Bare HTTP: urllib would add a Content-Type, which old signatures cover."""
    parts = urllib.parse.urlsplit(url)
    if parts.scheme == "https":
        trusted = ssl.create_default_context(cafile=os.environ.get("AWS_CA_BUNDLE"))
        connection = http.client.HTTPSConnection(parts.hostname, parts.port, context=trusted)
    else:
        connection = http.client.HTTPConnection(parts.hostname, parts.port)
    connection.request(method, f"{parts.path}?{parts.query}", body=body, headers=headers)
    answer = connection.getresponse()
    return answer.status, answer.headers, answer.read()


def begin_plain(s3, bucket, key):
    """CreateMultipartUpload without a checksum algorithm, as old clients send it."""
    url = s3.generate_presigned_url("create_multipart_upload", Params={"Bucket": bucket, "Key": key}, HttpMethod="POST")
    status, _, body = fetch(url, "POST")
    assert status == 200, body
    return body.decode().split("<UploadId>")[1].split("<")[0]


def test_transfers(s3, bucket, tmp_path):
    big = tmp_path / "big"
    big.write_bytes(os.urandom(23 * MB))
    config = boto3.s3.transfer.TransferConfig(multipart_threshold=6 * MB, multipart_chunksize=6 * MB, max_concurrency=4)
    s3.upload_file(str(big), bucket, "big", Config=config)
    s3.download_file(bucket, "big", str(tmp_path / "back"), Config=config)
    assert (tmp_path / "back").read_bytes() == big.read_bytes()
    s3.copy({"Bucket": bucket, "Key": "big"}, bucket, "copied")
    assert s3.head_object(Bucket=bucket, Key="copied")["ContentLength"] == 23 * MB


@pytest.mark.parametrize("version", ["s3", "s3v4"])  # "s3", the old one, is what boto3 writes unless told
def test_presigned(aws, bucket, version):
    s3 = aws("s3", config=Config(signature_version=version))
    put = s3.generate_presigned_url("put_object", Params={"Bucket": bucket, "Key": "a b", "ContentType": "text/plain",
                                                          "Metadata": {"color": "red"}},
                                    ExpiresIn=60)
    status, _, body = fetch(put, "PUT", b"from afar",
                            {"Content-Type": "text/plain", "x-amz-meta-color": "red"} if version == "s3v4" else
                            {"Content-Type": "text/plain"})
    assert status == 200, body
    get = s3.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "a b",
                                                          "ResponseContentType": "text/x"}, ExpiresIn=60)
    status, headers, body = fetch(get)
    assert (status, body, headers["Content-Type"], headers["x-amz-meta-color"]) == (200, b"from afar", "text/x", "red")
    status, _, body = fetch(get.replace("text%2Fx", "text%2Fy"))
    assert status == 403 and b"SignatureDoesNotMatch" in body
    status, _, body = fetch(s3.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "none"},
                                                      ExpiresIn=60))
    assert status == 404 and b"NoSuchKey" in body
    # What the URL does not say, it does not allow.
    status, _, _ = fetch(s3.generate_presigned_url("head_object", Params={"Bucket": bucket, "Key": "a b"}), "DELETE")
    assert status == 403
    assert fetch(get + "&attributes")[0] == 403


def test_a_presigned_form_is_not_here_yet(s3, bucket):
    form = s3.generate_presigned_post(bucket, "k")
    body = "".join(f'--x\r\nContent-Disposition: form-data; name="{k}"\r\n\r\n{v}\r\n' for k,
                   v in form["fields"].items())
    body += '--x\r\nContent-Disposition: form-data; name="file"\r\n\r\nhello\r\n--x--\r\n'
    status, _, answer = fetch(form["url"], "POST", body.encode(), {"Content-Type": "multipart/form-data; boundary=x"})
    assert status == 501 and b"<Code>NotImplemented</Code>" in answer and b"generate_presigned_url" in answer


def test_tags(s3, bucket):
    with fails("NoSuchTagSet", 404):
        s3.get_bucket_tagging(Bucket=bucket)
    s3.put_bucket_tagging(Bucket=bucket, Tagging={"TagSet": [{"Key": "team", "Value": "ml"}]})
    assert s3.get_bucket_tagging(Bucket=bucket)["TagSet"] == [{"Key": "team", "Value": "ml"}]
    s3.delete_bucket_tagging(Bucket=bucket)
    s3.put_object(Bucket=bucket, Key="k", Body=b"v")
    assert s3.get_object_tagging(Bucket=bucket, Key="k")["TagSet"] == []
    s3.put_object_tagging(Bucket=bucket, Key="k", Tagging={"TagSet": [{"Key": "a", "Value": "1"}]})
    assert s3.get_object_tagging(Bucket=bucket, Key="k")["TagSet"] == [{"Key": "a", "Value": "1"}]
    with fails("InvalidTag", 400):
        s3.put_object_tagging(Bucket=bucket, Key="k", Tagging={"TagSet": [{"Key": "a", "Value": "1"}] * 2})
    s3.delete_object_tagging(Bucket=bucket, Key="k")
    assert s3.get_object_tagging(Bucket=bucket, Key="k")["TagSet"] == []


def test_settings(s3, bucket):
    acl = s3.get_bucket_acl(Bucket=bucket)
    assert [g["Permission"]
            for g in acl["Grants"]] == ["FULL_CONTROL"] and acl["Grants"][0]["Grantee"]["ID"] == acl["Owner"]["ID"]
    s3.put_bucket_acl(Bucket=bucket, ACL="private")
    with fails("AccessControlListNotSupported", 400):
        s3.put_bucket_acl(Bucket=bucket, ACL="public-read")
    with fails("AccessControlListNotSupported", 400):
        s3.put_object(Bucket=bucket, Key="k", Body=b"", ACL="public-read")
    s3.put_object(Bucket=bucket, Key="k", Body=b"", ACL="bucket-owner-full-control")
    assert s3.get_object_acl(Bucket=bucket, Key="k")["Grants"]
    block = s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"]
    assert all(block.values())
    with fails("NoSuchBucketPolicy", 404):
        s3.get_bucket_policy(Bucket=bucket)
    policy = json.dumps({"Version": "2012-10-17",
                         "Statement": [{"Effect": "Deny", "Principal": "*", "Action": "s3:GetObject",
                                                                 "Resource": f"arn:aws:s3:::{bucket}/secret/*"}]})
    s3.put_bucket_policy(Bucket=bucket, Policy=policy)
    assert json.loads(s3.get_bucket_policy(Bucket=bucket)["Policy"]) == json.loads(policy)
    assert s3.get_bucket_policy_status(Bucket=bucket)["PolicyStatus"]["IsPublic"] is False
    s3.put_object(Bucket=bucket, Key="secret/k", Body=b"")
    with fails("AccessDenied", 403):
        s3.get_object(Bucket=bucket, Key="secret/k")
    s3.delete_bucket_policy(Bucket=bucket)
    s3.get_object(Bucket=bucket, Key="secret/k")
    with fails("MalformedPolicy", 400):
        s3.put_bucket_policy(Bucket=bucket, Policy="{}")
    with fails("AccessDenied", 403):
        s3.put_bucket_policy(Bucket=bucket, Policy=policy.replace("Deny", "Allow"))
    for call, code in [(s3.get_bucket_cors, "NoSuchCORSConfiguration"),
                       (s3.get_bucket_lifecycle_configuration, "NoSuchLifecycleConfiguration"),
                       (s3.get_bucket_encryption, "ServerSideEncryptionConfigurationNotFoundError"),
                       (s3.get_bucket_website, "NoSuchWebsiteConfiguration")]:
        with fails(code, 404):
            call(Bucket=bucket)
    assert s3.get_bucket_request_payment(Bucket=bucket)["Payer"] == "BucketOwner"
    assert "LoggingEnabled" not in s3.get_bucket_logging(Bucket=bucket)
    rules = s3.get_bucket_ownership_controls(Bucket=bucket)["OwnershipControls"]["Rules"]
    assert rules[0]["ObjectOwnership"] == "BucketOwnerEnforced"


@pytest.mark.parametrize("kind", ["AES256", "aws:kms"])
def test_encryption_without_a_key_is_not_claimed(aws, s3, bucket, kind):
    assert "ServerSideEncryption" not in s3.put_object(Bucket=bucket, Key="k", Body=b"", ServerSideEncryption=kind)
    assert "ServerSideEncryption" not in s3.head_object(Bucket=bucket, Key="k")


@pytest.mark.parametrize("more", [{"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": "k"},
                                  {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": "k" * 32},
                                  {"ObjectLockMode": "COMPLIANCE",
                                   "ObjectLockRetainUntilDate": datetime.datetime(2030, 1, 1)}])
def test_protection_that_is_not_here_is_refused(aws, s3, bucket, more):
    with fails("NotImplemented", 501):
        s3.put_object(Bucket=bucket, Key="k", Body=b"",
                      **more) if "SSECustomerKey" not in more else put_with_key(s3, bucket, more)
    with fails("404", 404):
        s3.head_object(Bucket=bucket, Key="k")


def put_with_key(s3, bucket, more):
    """Botocore sends customer keys over TLS only; we want the server's refusal."""
    s3.meta.events.register("before-sign.s3", lambda **_: None)
    s3.put_object(Bucket=bucket, Key="k", Body=b"", SSECustomerAlgorithm=more["SSECustomerAlgorithm"],
                  SSECustomerKey=more["SSECustomerKey"])


def test_a_body_cut_short(server, s3, bucket):
    url = urllib.parse.urlsplit(s3.generate_presigned_url("put_object", Params={"Bucket": bucket, "Key": "k"}))
    connection = http.client.HTTPConnection(url.hostname,
                                            url.port) if url.scheme == "http" else pytest.skip("plain HTTP is not "
                                                                                               "offered")
    connection.putrequest("PUT", f"{url.path}?{url.query}")
    connection.putheader("Content-Length", "1000000")
    connection.endheaders()
    connection.send(b"x" * 500000)
    connection.close()
    with fails("404", 404):
        s3.head_object(Bucket=bucket, Key="k")


def test_an_unknown_bucket_is_refused_before_the_body(server, s3, unique):
    """100-continue is not sent for a body that would be thrown away."""
    url = urllib.parse.urlsplit(s3.generate_presigned_url("put_object", Params={"Bucket": unique, "Key": "k"}))
    if url.scheme != "http":
        pytest.skip("plain HTTP is not offered")
    connection = http.client.HTTPConnection(url.hostname, url.port, timeout=10)
    connection.putrequest("PUT", f"{url.path}?{url.query}")
    connection.putheader("Content-Length", str(1 << 40))
    connection.putheader("Expect", "100-continue")
    connection.endheaders()
    answer = connection.getresponse()
    assert answer.status == 404 and b"NoSuchBucket" in answer.read()


def test_many_at_once(s3, bucket):
    def work(i):
        body = random.Random(i).randbytes(i * 20011)
        s3.put_object(Bucket=bucket, Key=f"k{i}", Body=body)
        return s3.get_object(Bucket=bucket, Key=f"k{i}")["Body"].read() == body

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(60)))
