/* AWS's published signatures: its Signature Version 4 test suite and the examples of the S3 manual. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "sign/chunked.h"
#include "sign/digest.h"
#include "sign/sigv4.h"

#include <cmocka.h> /* last: its fail() is a macro */

#define EMPTY_HASH "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

static struct arena *a;
static struct sigv4_cache *cache;

static int setup(void **state)
{
    a = arena_new();
    cache = sigv4_cache_new();
    return 0;
}

static int teardown(void **state)
{
    sigv4_cache_free(cache);
    arena_free(a);
    return 0;
}

struct vector {
    const char *method, *target, *headers; /* "Name:value\n"... */
    const char *signed_headers, *signature, *body;
};

static int read_headers(const char *text, struct sigv4_header *ret)
{
    struct str rest = str_of(text), line;
    int n = 0;

    while (rest.size) {
        struct str after = { 0 };

        line = rest;
        str_cut(rest, '\n', &line, &after);
        rest = after;
        assert_true(str_cut(line, ':', &ret[n].name, &ret[n].value));
        n++;
    }
    return n;
}

static int64_t ms(const char *iso)
{
    int64_t t;

    assert_true(time_parse_iso8601(str_of(iso), &t));
    return t;
}

/* The suite's key, "service" in us-east-1, 2015-08-30 12:36. */
static const struct vector suite[] = {
    { "GET", "/", "Host:example.amazonaws.com\nX-Amz-Date:20150830T123600Z", "host;x-amz-date",
      "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31", "" },
    { "GET", "/?Param2=value2&Param1=value1", "Host:example.amazonaws.com\nX-Amz-Date:20150830T123600Z",
      "host;x-amz-date", "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500", "" },
    { "GET", "/?Param1=value1", "Host:example.amazonaws.com\nX-Amz-Date:20150830T123600Z", "host;x-amz-date",
      "a67d582fa61cc504c4bae71f336f98b97f1ea3c7a6bfe1b6e45aec72011b9aeb", "" },
    { "GET", "/?%E1%88%B4=bar", "Host:example.amazonaws.com\nX-Amz-Date:20150830T123600Z", "host;x-amz-date",
      "2cdec8eed098649ff3a119c94853b13c643bcf08f8b0a1d91e12c9027818dd04", "" },
    { "GET",
      "/?-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz="
      "-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",
      "Host:example.amazonaws.com\nX-Amz-Date:20150830T123600Z", "host;x-amz-date",
      "9c3e54bfcdf0b19771a7f523ee5669cdf59bc7cc0884027167c21bb143a40197", "" },
    { "GET", "/-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",
      "Host:example.amazonaws.com\nX-Amz-Date:20150830T123600Z", "host;x-amz-date",
      "07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f", "" },
    { "GET", "/example/..", "Host:example.amazonaws.com\nX-Amz-Date:20150830T123600Z", "host;x-amz-date",
      "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31", "" },
    { "GET", "//", "Host:example.amazonaws.com\nX-Amz-Date:20150830T123600Z", "host;x-amz-date",
      "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31", "" },
    { "GET", "//example//", "Host:example.amazonaws.com\nX-Amz-Date:20150830T123600Z", "host;x-amz-date",
      "9a624bd73a37c9a373b5312afbebe7a714a789de108f0bdfe846570885f57e84", "" },
    { "GET", "/./example", "Host:example.amazonaws.com\nX-Amz-Date:20150830T123600Z", "host;x-amz-date",
      "ef75d96142cf21edca26f06005da7988e4f8dc83a165a80865db7089db637ec5", "" },
    { "GET", "/",
      "Host:example.amazonaws.com\nMy-Header1: value1\nMy-Header2: \"a   b   c\" \nX-Amz-Date:20150830T123600Z",
      "host;my-header1;my-header2;x-amz-date", "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736", "" },
    { "GET", "/",
      "Host:example.amazonaws.com\nMy-Header1:value4\nMy-Header1:value1\nMy-Header1:value3\nMy-Header1:value2\n"
      "X-Amz-Date:20150830T123600Z",
      "host;my-header1;x-amz-date", "08c7e5a9acfcfeb3ab6b2185e75ce8b1deb5e634ec47601a50643f830c755c01", "" },
    { "GET", "/",
      "Host:example.amazonaws.com\nMy-Header1:value2\nMy-Header1:value2\nMy-Header1:value1\nX-Amz-Date:"
      "20150830T123600Z",
      "host;my-header1;x-amz-date", "c9d5ea9f3f72853aea855b47ea873832890dbdd183b4468f858259531a5138ea", "" },
    { "POST", "/", "Host:example.amazonaws.com\nX-Amz-Date:20150830T123600Z", "host;x-amz-date",
      "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b", "" },
    { "POST", "/?Param1=value1", "Host:example.amazonaws.com\nX-Amz-Date:20150830T123600Z", "host;x-amz-date",
      "28038455d6de14eafc1f9222cf5aa6f1a96197d7deb8263271d420d138af7f11", "" },
    { "POST", "/", "Host:example.amazonaws.com\nMy-Header1:VALUE1\nX-Amz-Date:20150830T123600Z",
      "host;my-header1;x-amz-date", "cdbc9802e29d2942e5e10b5bccfdd67c5f22c7c4e8ae67b53629efa58b974b7d", "" },
    { "POST", "/",
      "Content-Type:application/x-www-form-urlencoded\nHost:example.amazonaws.com\nX-Amz-Date:20150830T123600Z",
      "content-type;host;x-amz-date", "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
      "Param1=value1" },
};

static void test_suite(void **state)
{
    for (size_t i = 0; i < sizeof suite / sizeof *suite; i++) {
        const struct vector *v = &suite[i];
        struct sigv4_header headers[16];
        int n = read_headers(v->headers, headers);
        struct sigv4_request r = { str_of(v->method), str_of(v->target), headers, n + 1 };
        struct sigv4_claim c;
        unsigned char hash[32];
        struct err err = { 0 };

        headers[n] = (struct sigv4_header){
            STR("Authorization"),
            str_of(arena_printf(a, "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, "
                                   "SignedHeaders=%s, Signature=%s", v->signed_headers, v->signature)) };
        assert_int_equal(sigv4_parse(a, &r, "service", &c, &err), 0);
        assert_true(str_is(c.access_key_id, "AKIDEXAMPLE"));
        assert_int_equal(c.payload, SIGV4_BODY);
        sha256(hash, v->body, strlen(v->body));
        if (sigv4_verify(cache, &r, &c, STR("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"), hash, ms("20150830T123600Z"),
                         NULL, &err) < 0)
            fail_msg("%s %s: %s", v->method, v->target, err.text);
        hash[0] ^= 1;
        assert_int_equal(sigv4_verify(cache, &r, &c, STR("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"), hash,
                                      ms("20150830T123600Z"), NULL, &err), -1);
        assert_string_equal(err.code, "InvalidSignatureException");
    }
}

/* The examples of the S3 manual: 2013-05-24, us-east-1. */
static const struct str s3_secret = { "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", 40 };

static int s3_verify(const char *method, const char *target, const char *header_text, const char *now,
                     struct sigv4_seed *seed, struct sigv4_claim *claim, struct err *err)
{
    struct sigv4_header headers[16];
    struct sigv4_request r = { str_of(method), str_of(target), headers, 0 };

    r.header_count = read_headers(header_text, headers);
    if (sigv4_parse(a, &r, "s3", claim, err) < 0)
        return -1;
    return sigv4_verify(cache, &r, claim, s3_secret, NULL, ms(now), seed, err);
}

static void test_s3_examples(void **state)
{
    struct sigv4_claim c;
    struct err err = { 0 };

    if (s3_verify("GET", "/test.txt",
                  "Host:examplebucket.s3.amazonaws.com\nRange:bytes=0-9\nx-amz-content-sha256:" EMPTY_HASH
                  "\nx-amz-date:20130524T000000Z\nAuthorization:AWS4-HMAC-SHA256 "
                  "Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,"
                  "SignedHeaders=host;range;x-amz-content-sha256;x-amz-date,"
                  "Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
                  "20130524T001000Z", NULL, &c, &err) < 0)
        fail_msg("%s", err.text);
    assert_int_equal(c.payload, SIGV4_HASH);
    assert_true(str_is(c.region, "us-east-1"));
    /* A value-less key. */
    if (s3_verify("GET", "/?lifecycle",
                  "Host:examplebucket.s3.amazonaws.com\nx-amz-content-sha256:" EMPTY_HASH
                  "\nx-amz-date:20130524T000000Z\nAuthorization:AWS4-HMAC-SHA256 "
                  "Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,"
                  "SignedHeaders=host;x-amz-content-sha256;x-amz-date,"
                  "Signature=fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
                  "20130524T000000Z", NULL, &c, &err) < 0)
        fail_msg("%s", err.text);
    if (s3_verify("GET", "/?max-keys=2&prefix=J",
                  "Host:examplebucket.s3.amazonaws.com\nx-amz-content-sha256:" EMPTY_HASH
                  "\nx-amz-date:20130524T000000Z\nAuthorization:AWS4-HMAC-SHA256 "
                  "Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,"
                  "SignedHeaders=host;x-amz-content-sha256;x-amz-date,"
                  "Signature=34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
                  "20130524T000000Z", NULL, &c, &err) < 0)
        fail_msg("%s", err.text);
    /* A character ("$") that the client signs encoded and sends plain. */
    if (s3_verify("PUT", "/test$file.text",
                  "Host:examplebucket.s3.amazonaws.com\nDate:Fri, 24 May 2013 00:00:00 GMT\n"
                  "x-amz-content-sha256:44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072\n"
                  "x-amz-date:20130524T000000Z\nx-amz-storage-class:REDUCED_REDUNDANCY\nAuthorization:AWS4-HMAC-SHA256 "
                  "Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,"
                  "SignedHeaders=date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class,"
                  "Signature=98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
                  "20130524T000000Z", NULL, &c, &err) < 0)
        fail_msg("%s", err.text);
}

#define PRESIGNED                                                                                                      \
    "/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%"    \
    "2Faws4_"                                                                                                          \
    "request&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host&X-Amz-Signature="                \
    "aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"

static void test_presigned(void **state)
{
    static const char host[] = "Host:examplebucket.s3.amazonaws.com";
    struct sigv4_claim c;
    struct err err = { 0 };

    if (s3_verify("GET", PRESIGNED, host, "20130524T235959Z", NULL, &c, &err) < 0)
        fail_msg("%s", err.text);
    assert_true(c.presigned);
    assert_int_equal(c.payload, SIGV4_UNSIGNED);
    assert_int_equal(s3_verify("GET", PRESIGNED, host, "20130525T000001Z", NULL, &c, &err), -1);
    assert_string_equal(err.code, "AccessDenied");
    assert_string_equal(err.text, "Request has expired");
    assert_int_equal(err.http_status, 403);
    assert_int_equal(s3_verify("PUT", PRESIGNED, host, "20130524T000000Z", NULL, &c, &err), -1);
    assert_string_equal(err.code, "SignatureDoesNotMatch");
    assert_int_equal(s3_verify("GET", PRESIGNED "&versionId=1", host, "20130524T000000Z", NULL, &c, &err), -1);
    assert_string_equal(err.code, "SignatureDoesNotMatch");
    assert_int_equal(s3_verify("GET", PRESIGNED, "Host:examplebucket.s3.amazonaws.com\nx-amz-acl:public-read",
                               "20130524T000000Z", NULL, &c, &err), -1);
    assert_string_equal(err.text, "There were headers present in the request which were not signed");
}

#define STREAM_HEADERS                                                                                                 \
    "Host:s3.amazonaws.com\nx-amz-date:20130524T000000Z\nx-amz-storage-class:REDUCED_REDUNDANCY\n"                     \
    "x-amz-content-sha256:STREAMING-AWS4-HMAC-SHA256-PAYLOAD\nContent-Encoding:aws-chunked\n"                          \
    "x-amz-decoded-content-length:66560\nContent-Length:66824\nAuthorization:AWS4-HMAC-SHA256 "                        \
    "Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/"                                                           \
    "aws4_request,SignedHeaders=content-encoding;content-length;"                                                      \
    "host;x-amz-content-sha256;x-amz-date;x-amz-decoded-content-length;x-amz-storage-class,Signature="                 \
    "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9"

static struct str stream_body(void)
{
    _cleanup_buf_ struct buf b = { 0 };

    buf_append_str(&b, "10000;chunk-signature=ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648\r\n");
    memset(buf_reserve(&b, 65536), 'a', 65536);
    b.size += 65536;
    buf_append_str(&b, "\r\n400;chunk-signature=0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497\r\n");
    memset(buf_reserve(&b, 1024), 'a', 1024);
    b.size += 1024;
    buf_append_str(&b,
                   "\r\n0;chunk-signature=b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9\r\n\r\n");
    return (struct str){ arena_copy(a, b.data, b.size), b.size };
}

/* Feeds 'body' in pieces of 'step' bytes; how many came out, or -1. */
static int64_t decode(struct chunked *c, struct str body, size_t step, struct err *err)
{
    int64_t total = 0;

    while (body.size) {
        struct str input = { body.data, body.size < step ? body.size : step }, piece;

        body.data += input.size;
        body.size -= input.size;
        while (input.size) {
            if (chunked_next(c, &input, &piece, err) < 0)
                return -1;
            for (size_t i = 0; i < piece.size; i++)
                assert_int_equal(piece.data[i], 'a');
            total += (int64_t)piece.size;
        }
    }
    return chunked_end(c, err) < 0 ? -1 : total;
}

static void test_stream_example(void **state)
{
    struct sigv4_claim claim;
    struct sigv4_seed seed;
    struct err err = { 0 };
    struct str body = stream_body();
    static const size_t steps[] = { 1, 7, 4096, 1 << 20 };
    struct chunked *c;

    if (s3_verify("PUT", "/examplebucket/chunkObject.txt", STREAM_HEADERS, "20130524T000000Z", &seed, &claim, &err) < 0)
        fail_msg("%s", err.text);
    assert_int_equal(claim.payload, SIGV4_STREAMING);
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        c = chunked_new(claim.payload, &seed, 66560);
        assert_int_equal(decode(c, body, steps[i], &err), 66560);
        chunked_free(c);
    }
    c = chunked_new(claim.payload, &seed, 66560);
    ((char *)body.data)[66000] = 'a' + 0; /* unchanged: still good */
    assert_int_equal(decode(c, body, 100, &err), 66560);
    chunked_free(c);
    /* A chunk dropped, a length that lies, an end that is missing. */
    c = chunked_new(claim.payload, &seed, 1024);
    assert_int_equal(decode(c, (struct str){ body.data + 65626, body.size - 65626 }, 100, &err), -1);
    assert_string_equal(err.code, "SignatureDoesNotMatch");
    chunked_free(c);
    c = chunked_new(claim.payload, &seed, 66561);
    assert_int_equal(decode(c, body, 100, &err), -1);
    assert_string_equal(err.code, "IncompleteBody");
    chunked_free(c);
    c = chunked_new(claim.payload, &seed, 66559);
    assert_int_equal(decode(c, body, 100, &err), -1);
    assert_string_equal(err.code, "IncompleteBody");
    chunked_free(c);
    c = chunked_new(claim.payload, &seed, 66560);
    assert_int_equal(decode(c, (struct str){ body.data, body.size - 40 }, 100, &err), -1);
    assert_string_equal(err.code, "IncompleteBody");
    chunked_free(c);
}

/* What we sign, we accept; what was changed on the way, we do not. */
static void test_both_ways(void **state)
{
    static const char *const services[] = { "s3", "sagemaker" };
    static const char *const targets[] = { "/", "/a%20b/c+d?x=1&x=0&y&z=%2F%C3%A9",
                                           "/bucket/a%2Fb//c/../d?versionId=a%2Bb",
                                           "/endpoints/n/invocations?a-=1&a=2&A=3" };
    const struct sigv4_credentials who = { STR("AKIAIOSFODNN7EXAMPLE"), s3_secret, STR("token+/=") };

    for (size_t s = 0; s < 2; s++)
        for (size_t t = 0; t < sizeof targets / sizeof *targets; t++) {
            struct sigv4_header headers[16] = { { STR("Host"), STR("127.0.0.1:8080") },
                                                { STR("X-Amz-Target"), STR("  SageMaker.X   y ") },
                                                { STR("User-Agent"), STR("x") } };
            const struct sigv4_scope where = { "eu-west-1", services[s], ms("20240229T120000Z") };
            struct sigv4_request r = { STR("POST"), str_of(targets[t]), headers, 3 };
            const struct sigv4_header *added;
            struct sigv4_claim c;
            struct err err = { 0 };
            struct str url;
            int n = sigv4_sign(a, t ? cache : NULL, &r, &who, &where, STR(EMPTY_HASH), &added);

            assert_int_equal(n, 4);
            memcpy(headers + 3, added, sizeof *added * (size_t)n);
            r.header_count += n;
            headers[2].value = STR("changed by a proxy");
            if (sigv4_parse(a, &r, services[s], &c, &err) < 0 ||
                sigv4_verify(cache, &r, &c, s3_secret, NULL, where.now_ms, NULL, &err) < 0)
                fail_msg("%s %s: %s", services[s], targets[t], err.text);
            assert_true(str_is(c.session_token, "token+/="));
            headers[1].value = STR("SageMaker.Z");
            assert_int_equal(sigv4_verify(cache, &r, &c, s3_secret, NULL, where.now_ms, NULL, &err), -1);
            r.header_count = 2;
            url = str_of(sigv4_presign(a, &r, &who, &where, STR("UNSIGNED-PAYLOAD"), 60));
            r.target = url;
            if (sigv4_parse(a, &r, services[s], &c, &err) < 0)
                fail_msg("%s", err.text);
            if (s == 0 && sigv4_verify(cache, &r, &c, s3_secret, NULL, where.now_ms + 59000, NULL, &err) < 0)
                fail_msg("%s", err.text);
            assert_true(str_is(c.session_token, "token+/="));
        }
}

static int parse_with(const char *service, const char *authorization, struct err *err)
{
    struct sigv4_header headers[] = { { STR("Host"), STR("h") }, { STR("X-Amz-Date"), STR("20150830T123600Z") },
                                      { STR("Authorization"), str_of(authorization) } };
    struct sigv4_request r = { STR("GET"), STR("/"), headers, authorization ? 3 : 2 };
    struct sigv4_claim c;

    *err = (struct err){ 0 };
    return sigv4_parse(a, &r, service, &c, err);
}

static void test_refusals(void **state)
{
    static const struct {
        const char *service, *authorization, *code;
        int http_status;
    } cases[] = {
        { "s3", NULL, "AccessDenied", 403 },
        { "sagemaker", NULL, "MissingAuthenticationTokenException", 403 },
        { "iam", NULL, "MissingAuthenticationToken", 403 },
        { "s3", "AWS AKIA:abc", "InvalidRequest", 400 },
        { "s3", "Bearer x", "InvalidArgument", 400 },
        { "sagemaker", "Bearer x", "IncompleteSignatureException", 400 },
        { "sts", "AWS4-HMAC-SHA256 x", "IncompleteSignature", 400 },
        { "s3", "AWS4-HMAC-SHA256 Credential=A/20150830/r/s3/aws4_request", "AuthorizationHeaderMalformed", 400 },
        { "s3", "AWS4-HMAC-SHA256 Credential=s3/aws4_request,SignedHeaders=host,Signature=0",
          "AuthorizationHeaderMalformed", 400 },
        { "sagemaker",
          "AWS4-HMAC-SHA256 Credential=A/20150830/r/s3/aws4_request,SignedHeaders=host;x-amz-date,Signature=0",
          "InvalidSignatureException", 403 },
        { "sagemaker",
          "AWS4-HMAC-SHA256 Credential=A/20150831/r/sagemaker/aws4_request,SignedHeaders=host;x-amz-date,"
          "Signature=0",
          "InvalidSignatureException", 403 },
        { "sagemaker",
          "AWS4-HMAC-SHA256 Credential=A/20150830/r/sagemaker/aws5,SignedHeaders=host;x-amz-date,Signature=0",
          "InvalidSignatureException", 403 },
        { "sagemaker",
          "AWS4-HMAC-SHA256 Credential=A/20150830/r/sagemaker/aws4_request,SignedHeaders=x-amz-date,Signature=0",
          "InvalidSignatureException", 403 },
        { "sagemaker",
          "AWS4-HMAC-SHA256 Credential=A/20150830/r/sagemaker/aws4_request,SignedHeaders=host;host,Signature=0",
          "IncompleteSignatureException", 400 },
        { "s3", "AWS4-HMAC-SHA256 Credential=A/20150830/r/s3/aws4_request,SignedHeaders=host,Signature=0",
          "AccessDenied", 403 },
        { "s3", "AWS4-HMAC-SHA256 Credential=A/20150830/r/s3/aws4_request,SignedHeaders=host;x-amz-date,Signature=0",
          "InvalidRequest", 400 },
    };
    struct err err;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(parse_with(cases[i].service, cases[i].authorization, &err), -1);
        assert_string_equal(err.code, cases[i].code);
        assert_int_equal(err.http_status, cases[i].http_status);
    }
}

static void test_time(void **state)
{
    const struct sigv4_credentials who = { STR("A"), s3_secret, { 0 } };
    static const struct {
        const char *service, *now, *code, *text;
    } cases[] = {
        { "sagemaker", "20240229T121459Z", NULL, NULL },
        { "sagemaker", "20240229T114501Z", NULL, NULL },
        { "sagemaker", "20240229T121501Z", "InvalidSignatureException",
          "Signature expired: 20240229T120000Z is now earlier than 20240229T120001Z (20240229T121501Z - 15 min.)" },
        { "sagemaker", "20240229T114459Z", "InvalidSignatureException",
          "Signature not yet current: 20240229T120000Z is still later than 20240229T115959Z (20240229T114459Z + 15 "
          "min.)" },
        { "iam", "20240301T000000Z", "SignatureDoesNotMatch",
          "Signature expired: 20240229T120000Z is now earlier than 20240229T234500Z (20240301T000000Z - 15 min.)" },
        { "s3", "20240229T121501Z", "RequestTimeTooSkewed",
          "The difference between the request time and the current time is too large." },
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct sigv4_header headers[8] = { { STR("Host"), STR("h") } };
        struct sigv4_request r = { STR("GET"), STR("/"), headers, 1 };
        const struct sigv4_scope where = { "eu-west-1", cases[i].service, ms("20240229T120000Z") };
        const struct sigv4_header *added;
        struct sigv4_claim c;
        struct err err = { 0 };
        int n = sigv4_sign(a, cache, &r, &who, &where, STR(EMPTY_HASH), &added);

        memcpy(headers + 1, added, sizeof *added * (size_t)n);
        r.header_count += n;
        assert_int_equal(sigv4_parse(a, &r, "", &c, &err), 0);
        assert_int_equal(sigv4_verify(cache, &r, &c, s3_secret, NULL, ms(cases[i].now), NULL, &err),
                         cases[i].code ? -1 : 0);
        if (cases[i].code) {
            assert_string_equal(err.code, cases[i].code);
            assert_string_equal(err.text, cases[i].text);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_suite),          cmocka_unit_test(test_s3_examples), cmocka_unit_test(test_presigned),
        cmocka_unit_test(test_stream_example), cmocka_unit_test(test_both_ways),   cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_time),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
