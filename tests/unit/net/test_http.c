#include "net_test.h"

#include <stdio.h>

#include "net/http.h"

/* What a message became, as text. */
static struct buf told;

static void head(void *owner, const struct http_head *h)
{
    buf_printf(&told, STR_FMT " " STR_FMT " %d %d %d%s%s|", STR_ARG(h->method), STR_ARG(h->target), h->status,
               (int)h->length, (int)h->header_count, h->chunked ? " chunked" : "", h->keep_alive ? " keep" : "");
}

static void body(void *owner, const char *data, size_t size)
{
    buf_append(&told, data, size);
}

static void end(void *owner)
{
    buf_append_str(&told, "|END ");
}

static const struct http_parser_events events = { head, body, end };

/* Feeds in pieces of that size; returns the status of the refusal, 0 for none. */
static int feed(enum http_side side, const char *text, size_t piece, bool finish)
{
    struct http_parser *p = http_parser_new(side, &events, NULL);
    size_t size = strlen(text), at = 0, taken = 1;
    struct err err = { 0 };
    int status = 0;

    buf_clear(&told);
    while (status == 0 && (at < size || taken)) {
        size_t n = size - at < piece ? size - at : piece;

        if (http_parser_feed(p, text + at, n, &taken, &err) < 0) {
            status = err.http_status;
            break;
        }
        at += taken;
        if (!http_parser_in_message(p) && http_parser_head(p))
            http_parser_reset(p);
    }
    if (status == 0 && finish && http_parser_finish(p, &err) < 0)
        status = err.http_status;
    http_parser_free(p);
    return status;
}

static void check(enum http_side side, const char *text, const char *tells)
{
    for (size_t piece = 1; piece < 100; piece = piece * 2 + 1) {
        assert_int_equal(feed(side, text, piece, true), 0);
        assert_string_equal(told.data, tells);
    }
}

static void test_requests(void **state)
{
    check(HTTP_REQUESTS, "GET /a?b HTTP/1.1\r\nHost: x\r\n\r\n", "GET /a?b 0 -1 1 keep||END ");
    check(HTTP_REQUESTS, "\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "GET / 0 -1 2||END ");
    check(HTTP_REQUESTS, "GET / HTTP/1.0\r\n\r\n", "GET / 0 -1 0||END ");
    check(HTTP_REQUESTS, "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", "GET / 0 -1 1 keep||END ");
    check(HTTP_REQUESTS,
          "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabcPUT / HTTP/1.1\r\nHost: x\r\nContent-Length: "
          "0\r\n\r\n",
          "POST / 0 3 2 keep|abc|END PUT / 0 0 2 keep||END ");
    check(HTTP_REQUESTS,
          "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2;a=b\r\nab\r\n1\r\nc\r\n0\r\nTrailer: "
          "x\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n",
          "POST / 0 -1 2 chunked keep|abc|END GET / 0 -1 1 keep||END ");
    check(HTTP_REQUESTS, "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
          "GET / 0 -1 3 keep||END ");
}

static void test_responses(void **state)
{
    check(HTTP_RESPONSES, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", "  200 2 1 keep|ok|END ");
    check(HTTP_RESPONSES, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
          "  100 -1 0 keep||END   204 -1 0 keep||END ");
    check(HTTP_RESPONSES, "HTTP/1.1 200\r\n\r\nto the end", "  200 -1 0 keep|to the end|END ");
    check(HTTP_RESPONSES, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
          "  200 -1 1 chunked keep|abc|END ");
    assert_int_equal(feed(HTTP_RESPONSES, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nok", 100, true), 400);
    assert_int_equal(feed(HTTP_RESPONSES, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nab", 100, true),
                     400);
    assert_int_equal(feed(HTTP_RESPONSES, "ICY 200 OK\r\n\r\n", 100, true), 400);
    assert_int_equal(feed(HTTP_RESPONSES, "garbage\r\n\r\n", 100, true), 400);
    assert_int_equal(feed(HTTP_RESPONSES, "HTTP/1.1 099 OK\r\n\r\n", 100, true), 400);
    assert_int_equal(feed(HTTP_RESPONSES, "HTTP/1.1 99 OK\r\n\r\n", 100, true), 400);
}

static void test_refusals_in_pieces(void **state)
{
    static const struct {
        const char *text;
        int status;
    } cases[] = {
        { "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400 },
        { "GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, chunked\r\n\r\n", 501 },
        { "GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", 400 },
        { "GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding:\tidentity\r\n\r\n", 501 },
        { "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1, 1\r\n\r\n", 400 },
        { "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", 400 },
        { "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 0x1\r\n\r\n", 400 },
        { "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: \r\n\r\n", 400 },
        { "GET / HTTP/1.1\r\n Host: x\r\n\r\n", 400 },
        { "GET / HTTP/1.1\r\nHost: x\r\nNo colon\r\n\r\n", 400 },
        { "GET / HTTP/1.1\r\nHost: x\r\n: empty\r\n\r\n", 400 },
        { "GET / HTTP/1.1\r\nHost: x\r\nA: b\rc\r\n\r\n", 400 },
        { "GET /a b HTTP/1.1\r\nHost: x\r\n\r\n", 400 },
        { "GET / HTTP/1.2\r\nHost: x\r\n\r\n", 505 },
        { "GET / HTTP/0.9\r\nHost: x\r\n\r\n", 505 },
        { "GET /\r\n\r\n", 400 },
        { "get / HTTP/1.1\r\nHost: x\r\n\r\n", 400 },
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (size_t piece = 1; piece < 200; piece = piece * 3 + 1) {
            int status = feed(HTTP_REQUESTS, cases[i].text, piece, false);

            /* Which of several faults is told first does not matter; that one is, does. */
            if (status != cases[i].status && !(status >= 400 && status < 506))
                print_error("%s: %d\n", cases[i].text, status);
            assert_true(status >= 400);
            if (strchr("GP", cases[i].text[0]))
                assert_null(strstr(told.data ? told.data : "", "END"));
        }
}

static void test_look_up(void **state)
{
    struct http_header headers[] = {
        { STR("Host"), STR("a") }, { STR("X-A"), STR("1") }, { STR("x-a"), STR("2") }, { STR("E"), STR("") }
    };
    struct http_head h = { .target = STR("/p?q=%20?r"), .headers = headers, .header_count = 4 };

    assert_true(str_is(http_value(&h, "hOsT"), "a"));
    assert_true(str_is(http_value(&h, "x-A"), "1"));
    assert_int_equal(http_count(&h, "X-a"), 2);
    assert_non_null(http_find(&h, "e"));
    assert_null(http_find(&h, "f"));
    assert_int_equal(http_value(&h, "f").size, 0);
    assert_true(str_is(http_path(&h), "/p"));
    assert_true(str_is(http_query(&h), "q=%20?r"));
    h.target = STR("/p");
    assert_true(str_is(http_path(&h), "/p"));
    assert_true(str_is(http_query(&h), ""));
}

static void test_writing(void **state)
{
    _cleanup_buf_ struct buf b = { 0 };

    http_write_request(&b, STR("GET"), STR("/a\r\nb"));
    http_write_header(&b, STR("X"), (struct str){ "a\r\nEvil: b\0c", 12 });
    http_write_header(&b, STR("Y"), STR(""));
    http_write_end(&b);
    assert_string_equal(b.data, "GET /ab HTTP/1.1\r\nX: aEvil: bc\r\nY: \r\n\r\n");
    buf_clear(&b);
    http_write_status(&b, 424);
    http_write_status(&b, 599);
    assert_string_equal(b.data, "HTTP/1.1 424 Failed Dependency\r\nHTTP/1.1 599 Unknown\r\n");
}

static int free_told(void **state)
{
    buf_free(&told);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_requests),
        cmocka_unit_test(test_responses),
        cmocka_unit_test(test_refusals_in_pieces),
        cmocka_unit_test(test_look_up),
        cmocka_unit_test(test_writing),
    };

    return cmocka_run_group_tests(tests, NULL, free_told);
}
