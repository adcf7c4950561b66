/* Unsigned bodies with trailers, and signed trailers; the signed example of AWS's is in test_sigv4.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "sign/chunked.h"
#include "sign/digest.h"

#include <cmocka.h> /* last: its fail() is a macro */

static int decode(enum sigv4_payload payload, const struct sigv4_seed *seed, int64_t length, struct str body,
                  size_t step, struct buf *out, char *trailers, size_t trailers_size, struct err *err)
{
    struct chunked *c = chunked_new(payload, seed, length);
    const struct sigv4_header *t;
    int rc = 0, n;

    *err = (struct err){ 0 };
    buf_clear(out);
    while (rc == 0 && body.size) {
        struct str input = { body.data, body.size < step ? body.size : step }, piece;

        body.data += input.size;
        body.size -= input.size;
        while (rc == 0 && input.size) {
            rc = chunked_next(c, &input, &piece, err);
            if (rc == 0)
                buf_append(out, piece.data, piece.size);
        }
    }
    if (rc == 0)
        rc = chunked_end(c, err);
    t = chunked_trailers(c, &n);
    *trailers = '\0';
    for (int i = 0; rc == 0 && i < n; i++)
        snprintf(trailers + strlen(trailers), trailers_size - strlen(trailers), STR_FMT "=" STR_FMT ";",
                 STR_ARG(t[i].name), STR_ARG(t[i].value));
    chunked_free(c);
    return rc;
}

static void test_unsigned(void **state)
{
    static const struct {
        const char *body;
        int64_t length;
        const char *decoded, *trailers, *code;
    } cases[] = {
        { "5\r\nhello\r\n0\r\nX-Amz-Checksum-CRC32: NhCmhg==\r\n\r\n", 5, "hello", "x-amz-checksum-crc32=NhCmhg==;",
          NULL },
        { "5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n", 11, "hello world", "", NULL },
        { "0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n", 0, "", "x-amz-checksum-crc32=AAAAAA==;", NULL },
        { "5\r\nhello\r\n0\r\n\r\n", -1, "hello", "", NULL },
        { "A\r\n0123456789\r\n0\r\n\r\n", 10, "0123456789", "", NULL },
        { "5\r\nhello\r\n0\r\n\r\n", 6, NULL, NULL, "IncompleteBody" },
        { "5\r\nhello\r\n0\r\n\r\n", 4, NULL, NULL, "IncompleteBody" },
        { "5\r\nhello\r\n0\r\n", 5, NULL, NULL, "IncompleteBody" },
        { "5\r\nhello\r\n", 5, NULL, NULL, "IncompleteBody" },
        { "5\r\nhellox\r\n0\r\n\r\n", 5, NULL, NULL, "IncompleteBody" },
        { "5\nhello\r\n0\r\n\r\n", 5, NULL, NULL, "IncompleteBody" },
        { "\r\n", 5, NULL, NULL, "IncompleteBody" },
        { "-5\r\nhello\r\n0\r\n\r\n", 5, NULL, NULL, "IncompleteBody" },
        { "ffffffffffffffff\r\n", -1, NULL, NULL, "IncompleteBody" },
        { "5 \r\nhello\r\n0\r\n\r\n", 5, NULL, NULL, "IncompleteBody" },
        { "0\r\n\r\nGET / HTTP/1.1", 0, NULL, NULL, "IncompleteBody" },
        { "0\r\nno colon\r\n\r\n", 0, NULL, NULL, "MalformedTrailerError" },
        { "", 0, NULL, NULL, "IncompleteBody" },
    };
    _cleanup_buf_ struct buf out = { 0 };
    char trailers[256];
    struct err err;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (size_t step = 1; step < 64; step += 9) {
            int rc = decode(SIGV4_STREAMING_UNSIGNED_TRAILER, NULL, cases[i].length, str_of(cases[i].body), step, &out,
                            trailers, sizeof trailers, &err);

            if (cases[i].code) {
                assert_int_equal(rc, -1);
                assert_string_equal(err.code, cases[i].code);
                continue;
            }
            if (rc < 0)
                fail_msg("%s: %s", cases[i].body, err.text);
            assert_true(str_is((struct str){ out.data, out.size }, cases[i].decoded));
            assert_string_equal(trailers, cases[i].trailers);
        }
}

/* The example of "Signature calculations: including trailing headers" of the S3 manual. */
static void test_signed_trailer(void **state)
{
    _cleanup_arena_ struct arena *a = arena_new();
    _cleanup_buf_ struct buf body = { 0 }, out = { 0 };
    struct sigv4_seed seed = { .amz_date = "20130524T000000Z", .scope = "20130524/us-east-1/s3/aws4_request",
                               .signature = "106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e" };
    static const char *const steps[] = { "20130524", "us-east-1", "s3", "aws4_request" };
    static const char *const ends[] = { "\r\n", "\n", "\n\r\n" };
    char trailers[256];
    struct err err;

    hmac_sha256(seed.key, "AWS4wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", 44, steps[0], strlen(steps[0]));
    for (int i = 1; i < 4; i++)
        hmac_sha256(seed.key, seed.key, 32, steps[i], strlen(steps[i]));
    for (int i = 0; i < 3; i++) {
        buf_clear(&body);
        buf_append_str(&body,
                       "10000;chunk-signature=b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2\r\n");
        memset(buf_reserve(&body, 65536), 'a', 65536);
        body.size += 65536;
        buf_append_str(&body,
                       "\r\n400;chunk-signature=1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7\r\n");
        memset(buf_reserve(&body, 1024), 'a', 1024);
        body.size += 1024;
        buf_append_str(&body,
                       "\r\n0;chunk-signature=2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992\r\n");
        buf_append_str(&body, "x-amz-checksum-crc32c:sOO8/Q==");
        buf_append_str(&body, ends[i]);
        buf_append_str(
            &body, "x-amz-trailer-signature:d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435\r\n\r\n");
        if (decode(SIGV4_STREAMING_TRAILER, &seed, 66560, (struct str){ body.data, body.size }, 1000, &out, trailers,
                   sizeof trailers, &err) < 0)
            fail_msg("%s", err.text);
        assert_string_equal(trailers, "x-amz-checksum-crc32c=sOO8/Q==;");
    }
    /* A trailer that was changed, and one whose signature is left out. */
    strstr(body.data, "sOO8")[0] = 't';
    assert_int_equal(decode(SIGV4_STREAMING_TRAILER, &seed, 66560, (struct str) { body.data, body.size }, 1000, &out,
                            trailers, sizeof trailers, &err),
                     -1);
    assert_string_equal(err.code, "SignatureDoesNotMatch");
    body.size = (size_t)(strstr(body.data, "x-amz-trailer-signature") - body.data);
    buf_append_str(&body, "\r\n");
    assert_int_equal(decode(SIGV4_STREAMING_TRAILER, &seed, 66560, (struct str) { body.data, body.size }, 1000, &out,
                            trailers, sizeof trailers, &err),
                     -1);
    assert_string_equal(err.code, "IncompleteBody");
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_unsigned), cmocka_unit_test(test_signed_trailer) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
