#include "net_test.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "net/http_server.h"
#include "net/tls.h"

#define SEND(fd, literal) raw_send(loop, fd, literal, sizeof(literal) - 1)

static struct loop *loop;
static struct http_server *server;
static int port, closed_count, complete_count;
static struct http_exchange *kept;
static struct buf seen;

static void count_closed(struct http_exchange *x, bool complete)
{
    closed_count++;
    complete_count += complete;
    if (kept == x)
        kept = NULL;
}

static void echo_whole(struct http_exchange *x, struct str body)
{
    if (!body.data) {
        http_answer_text(x, 413, "text/plain", "too large");
        return;
    }
    http_answer(x, 200, NULL, 0, body);
}

static void stream_body(struct http_exchange *x, const char *data, size_t size)
{
    http_answer_write(x, data, size);
}

static void stream_end(struct http_exchange *x)
{
    http_answer_end(x);
}

static void note_body(struct http_exchange *x, const char *data, size_t size)
{
    buf_append(&seen, data, size);
    http_pause(x);
}

static void note_end(struct http_exchange *x)
{
    buf_append_str(&seen, "END");
    http_answer_text(x, 200, "text/plain", "noted");
}

static void more_to_come(struct http_exchange *x)
{
    int *left = x->data;
    static char piece[65536];

    while (*left > 0) {
        --*left;
        if (http_answer_write(x, piece, sizeof piece) > 262144)
            return;
    }
    http_answer_end(x);
}

static void handle(struct http_exchange *x, void *data)
{
    struct str path = http_path(x->head);

    x->closed = count_closed;
    if (str_is(path, "/hello")) {
        http_answer_text(x, 200, "text/plain", "hello\n");
    } else if (str_is(path, "/echo")) {
        http_read_all(x, 1000, echo_whole);
    } else if (str_is(path, "/stream")) {
        x->body = stream_body;
        x->body_end = stream_end;
        http_answer_start(x, 200, NULL, 0, -1);
        http_read(x);
    } else if (str_is(path, "/pause")) {
        x->body = note_body;
        x->body_end = note_end;
        kept = x;
    } else if (str_is(path, "/keep")) {
        kept = x;
    } else if (str_is(path, "/large") || str_is(path, "/endless")) {
        int *left = arena_new_of(x->arena, int);

        *left = str_is(path, "/large") ? 160 : 16000;
        x->data = left;
        x->drained = more_to_come;
        http_answer_start(x, 200, NULL, 0, *left * INT64_C(65536));
        more_to_come(x);
    } else if (str_is(path, "/peer")) {
        http_answer_text(x, 200, "text/plain", arena_printf(x->arena, "%s %s %s", x->peer, x->tls ? "tls" : "plain",
                                                            x->local ? "local" : "far"));
    } else if (str_is(path, "/none")) {
        http_answer(x, 204, NULL, 0, STR(""));
    } else if (str_is(path, "/short")) {
        http_answer_start(x, 200, NULL, 0, 100);
        http_answer_write(x, "only this", 9);
        http_answer_end(x);
    } else {
        http_answer_text(x, 404, "text/plain", "no");
    }
}

static void set_up_with(struct http_server_options options)
{
    struct err err;

    assert_int_equal(loop_new(&loop, &err), 0);
    options.handle = handle;
    options.loop = loop;
    server = http_server_new(&options);
    assert_int_equal(http_server_listen_tcp(server, "127.0.0.1", 0, &port, &err), 0);
    closed_count = complete_count = 0;
    kept = NULL;
    buf_clear(&seen);
}

static int set_up(void **state)
{
    set_up_with((struct http_server_options){ 0 });
    return 0;
}

enum { WRITE_MS = 600 };

/* For what is about time; nothing else is to depend on how long it takes here. */
static int set_up_impatient(void **state)
{
    set_up_with((struct http_server_options){ .head_ms = 200, .body_ms = 200, .idle_ms = 300, .write_ms = WRITE_MS });
    return 0;
}

static int tear_down(void **state)
{
    http_server_free(server);
    loop_free(loop);
    buf_free(&seen);
    return 0;
}

static void ask(const char *bytes, const char *until, struct buf *got)
{
    int fd = raw_connect(port);

    raw_send(loop, fd, bytes, strlen(bytes));
    assert_int_equal(raw_until(loop, fd, got, until), until != NULL);
    close(fd);
}

static void test_simple(void **state)
{
    _cleanup_buf_ struct buf got = { 0 };

    ask("GET /hello HTTP/1.1\r\nHost: a\r\n\r\n", "hello\n", &got);
    assert_true(text_starts(got.data, "HTTP/1.1 200 OK\r\nDate: "));
    assert_non_null(strstr(got.data, "Content-Length: 6\r\n\r\nhello\n"));
    assert_null(strstr(got.data, "Connection"));
    assert_int_equal(complete_count, 1);
}

static void test_pipelined(void **state)
{
    _cleanup_buf_ struct buf got = { 0 };

    ask("GET /hello HTTP/1.1\r\nHost: a\r\n\r\nPOST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"
        "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\ndef\r\n2\r\ngh\r\n0\r\n\r\n"
        "HEAD /hello HTTP/1.1\r\nHost: a\r\n\r\nGET /none HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        NULL, &got);
    assert_int_equal(occurrences(&got, "HTTP/1.1 200 OK"), 4);
    assert_int_equal(occurrences(&got, "HTTP/1.1 204 No Content"), 1);
    assert_int_equal(occurrences(&got, "hello\n"), 1);
    assert_non_null(strstr(got.data, "abcHTTP/1.1 200 OK"));
    assert_non_null(strstr(got.data, "defghHTTP/1.1 200 OK"));
    assert_true(text_ends(got.data, "Connection: close\r\n\r\n"));
    assert_int_equal(complete_count, 5);
}

static void test_answer_later(void **state)
{
    _cleanup_buf_ struct buf got = { 0 };
    int fd = raw_connect(port);

    SEND(fd, "GET /keep HTTP/1.1\r\nHost: a\r\n\r\nGET /hello HTTP/1.1\r\nHost: a\r\n\r\n");
    while (!kept)
        loop_turn(loop, true);
    /* The second one waits for the answer of the first. */
    for (int i = 0; i < 10; i++)
        loop_turn(loop, false);
    assert_int_equal(closed_count, 0);
    http_answer_text(kept, 200, "text/plain", "first");
    assert_true(raw_until(loop, fd, &got, "hello\n"));
    assert_non_null(strstr(got.data, "firstHTTP/1.1 200 OK"));
    assert_null(strstr(got.data, "Connection: close"));
    close(fd);
}

static void test_streams(void **state)
{
    _cleanup_buf_ struct buf got = { 0 }, old = { 0 };

    ask("POST /stream HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nabcde", "\r\n0\r\n\r\n", &got);
    assert_non_null(strstr(got.data, "Transfer-Encoding: chunked\r\n"));
    assert_non_null(strstr(got.data, "5\r\nabcde\r\n0\r\n\r\n"));
    /* HTTP/1.0 knows no chunks: the end is the end of the connection. */
    ask("POST /stream HTTP/1.0\r\nContent-Length: 5\r\n\r\nabcde", NULL, &old);
    assert_true(text_ends(old.data, "Connection: close\r\n\r\nabcde"));
}

static void test_pause(void **state)
{
    _cleanup_buf_ struct buf got = { 0 };
    int fd = raw_connect(port);

    SEND(fd, "POST /pause HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n");
    while (!kept)
        loop_turn(loop, true);
    SEND(fd, "3\r\nabc\r\n3\r\ndef\r\n");
    for (int i = 0; i < 10; i++)
        loop_turn(loop, false);
    assert_int_equal(seen.size, 0);
    http_read(kept);
    assert_true(raw_until(loop, fd, &got, "HTTP/1.1 100 Continue\r\n\r\n"));
    assert_string_equal(seen.data, "abc");
    http_read(kept);
    while (seen.size < 6)
        loop_turn(loop, true);
    assert_string_equal(seen.data, "abcdef");
    http_read(kept);
    SEND(fd, "0\r\n\r\n");
    assert_true(raw_until(loop, fd, &got, "noted"));
    assert_string_equal(seen.data, "abcdefEND");
    close(fd);
}

static void test_early_answer(void **state)
{
    _cleanup_buf_ struct buf got = { 0 };

    /* No 100-continue, the refusal at once, and the connection ends. */
    ask("POST /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5000\r\n\r\n", "too large", &got);
    assert_null(strstr(got.data, "100 Continue"));
    assert_non_null(strstr(got.data, "Connection: close\r\n"));
    buf_clear(&got);
    /* In chunks the size shows later. */
    {
        int fd = raw_connect(port);

        SEND(fd, "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
        for (int i = 0; i < 20; i++) {
            char chunk[0x100 + 8];

            memcpy(chunk, "100\r\n", 5);
            memset(chunk + 5, 'x', 0x100);
            memcpy(chunk + 5 + 0x100, "\r\n", 2);
            raw_send(loop, fd, chunk, 5 + 0x100 + 2);
        }
        assert_true(raw_until(loop, fd, &got, "too large"));
        shutdown(fd, SHUT_WR);
        assert_false(raw_until(loop, fd, &got, NULL));
        close(fd);
    }
}

static void test_bad_requests(void **state)
{
    static const struct {
        const char *bytes, *answer;
    } cases[] = {
        { "GET /hello HTTP/1.1\r\n\r\n", "HTTP/1.1 400 " },
        { "GET /hello HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "HTTP/1.1 400 " },
        { "GET /hello HTTP/1.1\r\nHost : a\r\n\r\n", "HTTP/1.1 400 " },
        { "GET /hello HTTP/1.1\r\nHost: a\r\nX: y\r\n z\r\n\r\n", "HTTP/1.1 400 " },
        { "GET /hello HTTP/1.1\r\nHost: a\nX: y\r\n\r\n", "HTTP/1.1 400 " },
        { "GET /hello HTTP/1.1\r\nHost: a\r\nX: \x01\r\n\r\n", "HTTP/1.1 400 " },
        { "GET /hel\xff HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 400 " },
        { "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\nabc",
          "HTTP/1.1 400 " },
        { "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\nabc",
          "HTTP/1.1 400 " },
        { "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc", "HTTP/1.1 400 " },
        { "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: +3\r\n\r\nabc", "HTTP/1.1 400 " },
        { "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\nabc", "HTTP/1.1 400 " },
        { "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 9999999999999999999\r\n\r\nabc", "HTTP/1.1 400 " },
        { "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", "HTTP/1.1 501 " },
        { "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n", "HTTP/1.1 " },
        { "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "HTTP/1.1 400 " },
        { "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n", "HTTP/1.1 400 " },
        { "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\nabc\r\n", "HTTP/1.1 400 " },
        { "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n",
          "HTTP/1.1 400 " },
        { "POST /echo HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "HTTP/1.1 400 " },
        { "CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 501 " },
        { "BREW /pot HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 501 " },
        { "GET /hello HTTP/2.0\r\nHost: a\r\n\r\n", "HTTP/1.1 505 " },
        { "GET /hello HTTP/1.1\r\nHost: a\r\nExpect: tea\r\n\r\n", "HTTP/1.1 417 " },
        { "\x16\x03\x01", "HTTP/1.1 400 " },
        { "ssh-2.0\r\n", "HTTP/1.1 400 " },
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        _cleanup_buf_ struct buf got = { 0 };

        ask(cases[i].bytes, cases[i].answer, &got);
        assert_true(text_starts(got.data, cases[i].answer));
    }
    assert_int_equal(complete_count, 0);
}

static void test_large_head(void **state)
{
    _cleanup_buf_ struct buf head = { 0 }, got = { 0 };

    buf_append_str(&head, "GET /hello HTTP/1.1\r\nHost: a\r\nX: ");
    while (head.size < 60000)
        buf_append_char(&head, 'x');
    buf_append_str(&head, "\r\n\r\n");
    ask(head.data, "200 OK", &got);
    buf_clear(&got);
    head.size -= 4;
    while (head.size < 80000)
        buf_append_char(&head, 'x');
    buf_append_str(&head, "\r\n\r\n");
    ask(head.data, "HTTP/1.1 431 ", &got);
    buf_clear(&got);
    buf_clear(&head);
    buf_append_str(&head, "GET /hello HTTP/1.1\r\nHost: a\r\n");
    for (int i = 0; i < 200; i++)
        buf_printf(&head, "X-%d: y\r\n", i);
    buf_append_str(&head, "\r\n");
    ask(head.data, "HTTP/1.1 431 ", &got);
}

static void test_times_out(void **state)
{
    _cleanup_buf_ struct buf got = { 0 };
    int fd = raw_connect(port);

    /* A slow head, a slow body: told why. An idle connection: closed without a word. */
    SEND(fd, "GET /hello HTT");
    assert_false(raw_until(loop, fd, &got, NULL));
    assert_true(text_starts(got.data, "HTTP/1.1 408 "));
    close(fd);
    buf_clear(&got);
    fd = raw_connect(port);
    SEND(fd, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc");
    assert_true(raw_until(loop, fd, &got, "HTTP/1.1 408 "));
    close(fd);
    buf_clear(&got);
    fd = raw_connect(port);
    SEND(fd, "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_false(raw_until(loop, fd, &got, NULL));
    assert_true(text_ends(got.data, "hello\n"));
    close(fd);
}

static void test_client_leaves(void **state)
{
    int fd = raw_connect(port);

    SEND(fd, "GET /keep HTTP/1.1\r\nHost: a\r\n\r\n");
    while (!kept)
        loop_turn(loop, true);
    close(fd);
    while (kept)
        loop_turn(loop, true);
    assert_int_equal(closed_count, 1);
    assert_int_equal(complete_count, 0);
    assert_int_equal(http_server_connections(server), 0);
}

static void test_back_pressure(void **state)
{
    _cleanup_buf_ struct buf got = { 0 };
    int fd = raw_connect(port);

    SEND(fd, "GET /large HTTP/1.1\r\nHost: a\r\n\r\n");
    for (int i = 0; i < 50; i++)
        loop_turn(loop, false);
    assert_int_equal(closed_count, 0);
    while (!complete_count) {
        static char part[1 << 20];
        ssize_t n = recv(fd, part, sizeof part, 0);

        loop_turn(loop, false);
        assert_true(n != 0);
    }
    close(fd);
}

static void test_back_pressure_to_the_client(void **state)
{
    int fd = raw_connect(port);

    SEND(fd, "POST /pause HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n");
    while (!kept)
        loop_turn(loop, true);
    assert_true(raw_send_what_fits(loop, fd, 60000000) < 30000000);
    /* One more look, and another pause. */
    http_read(kept);
    assert_true(raw_send_what_fits(loop, fd, 60000000) < 30000000);
    assert_true(seen.size > 0);
    close(fd);
}

/* Takes some of an answer now and then, for longer than the server waits for one who takes nothing; false: this machine
 * stood still for so long that nobody could tell the two apart. */
static bool read_slowly(int fd)
{
    static char part[65536];
    int64_t began_ms = clock_boot_ms(clock_system()), before_ms = began_ms, now_ms = began_ms;

    while (now_ms < began_ms + 2 * WRITE_MS) {
        recv(fd, part, sizeof part, 0);
        usleep(10000);
        loop_turn(loop, false);
        before_ms = now_ms;
        now_ms = clock_boot_ms(clock_system());
        if (now_ms - before_ms > WRITE_MS / 4)
            return false;
        assert_int_equal(closed_count, 0);
    }
    return true;
}

/* Slow is not gone, gone is: both after write_ms. */
static void test_slow_reader(void **state)
{
    int fd = -1;

    for (bool told = false; !told;) {
        if (fd >= 0) {
            close(fd);
            while (http_server_connections(server))
                loop_turn(loop, true);
        }
        closed_count = 0;
        fd = raw_connect(port);
        SEND(fd, "GET /endless HTTP/1.1\r\nHost: a\r\n\r\n");
        told = read_slowly(fd);
    }
    while (!closed_count)
        loop_turn(loop, true);
    assert_int_equal(closed_count, 1);
    assert_int_equal(complete_count, 0);
    close(fd);
}

static void test_short_answer_cuts(void **state)
{
    _cleanup_buf_ struct buf got = { 0 };

    ask("GET /short HTTP/1.1\r\nHost: a\r\n\r\n", NULL, &got);
    assert_true(text_ends(got.data, "only this"));
    assert_int_equal(complete_count, 0);
    assert_int_equal(closed_count, 1);
}

static void drained(void *data)
{
    *(bool *)data = true;
}

static void test_drain(void **state)
{
    _cleanup_buf_ struct buf got = { 0 };
    int busy = raw_connect(port), idle = raw_connect(port);
    bool over = false;

    SEND(busy, "GET /keep HTTP/1.1\r\nHost: a\r\n\r\n");
    while (!kept || http_server_connections(server) < 2)
        loop_turn(loop, true);
    http_server_drain(server, 5000, drained, &over);
    assert_false(raw_until(loop, idle, &got, NULL));
    assert_false(over);
    http_answer_text(kept, 200, "text/plain", "last");
    assert_false(raw_until(loop, busy, &got, NULL));
    assert_non_null(strstr(got.data, "Connection: close\r\n\r\nlast"));
    while (!over)
        loop_turn(loop, true);
    close(busy);
    close(idle);
}

static void test_connection_limit(void **state)
{
    struct http_server_options options = { .loop = loop, .handle = handle, .max_connections = 2 };
    struct http_server *small = http_server_new(&options);
    _cleanup_buf_ struct buf got = { 0 };
    int fds[4], small_port;
    struct err err;

    assert_int_equal(http_server_listen_tcp(small, "127.0.0.1", 0, &small_port, &err), 0);
    for (int i = 0; i < 4; i++) {
        fds[i] = raw_connect(small_port);
        SEND(fds[i], "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n");
    }
    for (int i = 0; i < 20; i++)
        loop_turn(loop, false);
    assert_int_equal(http_server_connections(small), 2);
    for (int i = 0; i < 4; i++) {
        assert_true(raw_until(loop, fds[i], &got, "hello\n"));
        close(fds[i]);
        buf_clear(&got);
    }
    http_server_free(small);
}

static void test_unix(void **state)
{
    char folder[] = "/tmp/sb-net-XXXXXX", path[64];
    struct err err;

    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/s", folder);
    assert_int_equal(http_server_listen_unix(server, path, 0600, &err), 0);
    /* A second server does not take the socket of a living one. */
    assert_int_equal(http_server_listen_unix(server, path, 0600, &err), -1);
    assert_int_equal(err.kind, ERR_CONFLICT);
    unlink(path);
    rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
        TEST(test_simple),
        TEST(test_pipelined),
        TEST(test_answer_later),
        TEST(test_streams),
        TEST(test_pause),
        TEST(test_early_answer),
        TEST(test_bad_requests),
        TEST(test_large_head),
        cmocka_unit_test_setup_teardown(test_times_out, set_up_impatient, tear_down),
        TEST(test_client_leaves),
        TEST(test_back_pressure),
        TEST(test_back_pressure_to_the_client),
        cmocka_unit_test_setup_teardown(test_slow_reader, set_up_impatient, tear_down),
        TEST(test_short_answer_cuts),
        TEST(test_drain),
        TEST(test_connection_limit),
        TEST(test_unix),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
