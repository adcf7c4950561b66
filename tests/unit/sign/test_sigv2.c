/* Presigned URLs of version 2, as botocore 1.43 writes them (generate_presigned_url with time.time() at 1700000000). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#undef fail /* ours is a function */

#include "sign/sigv2.h"

static const int64_t now_ms = 1700000030000;

static int verify(const char *method, const char *target, const char *header, const char *value, struct err *err)
{
    _cleanup_arena_ struct arena *a = arena_new();
    const struct sigv4_header headers[] = { { STR("Host"), STR("127.0.0.1:9911") }, { str_of(header), str_of(value) } };
    const struct sigv4_request r = { str_of(method), str_of(target), headers, *header ? 2 : 1 };
    struct sigv4_claim claim;

    *err = (struct err){ 0 };
    assert_true(sigv2_presigned(&r));
    if (sigv2_parse(a, &r, &claim, err) < 0)
        return -1;
    assert_true(str_is(claim.access_key_id, "AKIDEXAMPLE"));
    return sigv2_verify(a, &r, &claim, STR(""), STR("SECRETSECRETSECRET"), now_ms, err);
}

static const char get[] =
    "/shelf/a%20b%2B%C3%A9?versionId=v1&response-content-type=text%2Fx&AWSAccessKeyId=AKIDEXAMPLE&"
    "Signature=4v36AMHsLWnBt0dc%2BdI8daVOJ5k%3D&Expires=1700000060";
static const char put[] =
    "/shelf/k?AWSAccessKeyId=AKIDEXAMPLE&Signature=139G438Wjq%2BUWNlBvy%2BtdQZJI08%3D&"
    "content-type=text%2Fplain&x-amz-meta-color=red&x-amz-security-token=TOKEN%2B%2F%3D&Expires=1700000060";

static void what_botocore_writes_is_taken(void **state)
{
    struct err err;

    assert_int_equal(verify("GET", get, "", "", &err), 0);
    assert_int_equal(verify("PUT", put, "", "", &err), 0);
    assert_int_equal(verify("PUT", put, "Content-Type", "text/plain", &err), 0);
    assert_int_equal(verify("POST", "/shelf/k?uploads&AWSAccessKeyId=AKIDEXAMPLE&"
                            "Signature=9PQP%2Fs9R9VzMvKA0cowJf2RaAuM%3D&Expires=1700000060", "", "", &err), 0);
}

static void anything_else_is_not(void **state)
{
    struct err err;
    char changed[sizeof get];

    assert_int_equal(verify("PUT", get, "", "", &err), -1);
    assert_string_equal(err.code, "SignatureDoesNotMatch");
    strcpy(changed, get);
    strstr(changed, "=v1")[2] = '2';
    assert_int_equal(verify("GET", changed, "", "", &err), -1);
    strcpy(changed, get);
    memcpy(strstr(changed, "1700000060"), "1700000990", 10);
    assert_int_equal(verify("GET", changed, "", "", &err), -1);
    assert_int_equal(verify("PUT", put, "Content-Type", "text/html", &err), -1);
    assert_int_equal(verify("PUT", put, "x-amz-acl", "private", &err), -1);
    /* Not covered by the signature, and would be another operation. */
    assert_int_equal(verify("POST",
                            "/shelf/k?uploads&AWSAccessKeyId=AKIDEXAMPLE&"
                            "Signature=9PQP%2Fs9R9VzMvKA0cowJf2RaAuM%3D&Expires=1700000060&attributes",
                            "", "", &err),
                     -1);
    assert_string_equal(err.code, "AccessDenied");
    assert_int_equal(verify("GET", "/shelf/k?AWSAccessKeyId=AKIDEXAMPLE&Signature=x&Expires=soon", "", "", &err), -1);
}

static void the_query_carries_headers(void **state)
{
    _cleanup_arena_ struct arena *a = arena_new();
    const struct sigv4_header headers[] = { { STR("Content-Type"), STR("text/html") } };
    const struct sigv4_request r = { STR("PUT"), str_of(put), headers, 1 };
    int count;
    const struct sigv4_header *all = sigv2_headers(a, &r, &count);

    assert_int_equal(count, 3);
    assert_true(str_is(all[0].value, "text/html"));
    assert_true(str_is(all[1].name, "x-amz-meta-color") && str_is(all[1].value, "red"));
    assert_true(str_is(all[2].value, "TOKEN+/="));
}

static void expired(void **state)
{
    _cleanup_arena_ struct arena *a = arena_new();
    const struct sigv4_request r = { STR("GET"), str_of(get), NULL, 0 };
    struct sigv4_claim claim;
    struct err err = { 0 };

    assert_int_equal(sigv2_parse(a, &r, &claim, &err), 0);
    assert_int_equal(sigv2_verify(a, &r, &claim, STR(""), STR("SECRETSECRETSECRET"), 1700000061000, &err), -1);
    assert_string_equal(err.text, "Request has expired");
    assert_false(sigv2_presigned(&(struct sigv4_request){ STR("GET"), STR("/a?X=AWSAccessKeyId=b"), NULL, 0 }));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_botocore_writes_is_taken),
        cmocka_unit_test(anything_else_is_not),
        cmocka_unit_test(the_query_carries_headers),
        cmocka_unit_test(expired),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
