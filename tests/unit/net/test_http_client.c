/* The client against an upstream that is played with raw sockets: it says what the test says, when it says so. */
#include "net_test.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/un.h>

#include "net/http_client.h"
#include "net/listener.h"

#define SEND(fd, literal) raw_send(loop, fd, literal, sizeof(literal) - 1)

static struct loop *loop;
static struct http_upstream *upstream;
static int listener, port;

struct seen {
    struct http_call *call;
    struct buf body;
    int status, ends, failures, informed, connected, drained;
    enum http_failure failure;
    bool stop_at_head, cancel_at_body, again_at_end;
};

static struct http_call *ask(struct seen *, struct http_call_options);

static void on_head(void *owner, const struct http_head *head)
{
    struct seen *s = owner;

    s->status = head->status;
    if (s->stop_at_head)
        http_call_pause(s->call, true);
}

static void on_body(void *owner, const char *data, size_t size)
{
    struct seen *s = owner;

    buf_append(&s->body, data, size);
    if (s->cancel_at_body)
        http_call_cancel(s->call);
}

static void on_end(void *owner)
{
    struct seen *s = owner;

    s->ends++;
    s->call = NULL;
    if (s->again_at_end) {
        s->again_at_end = false;
        ask(s, (struct http_call_options){ .head = STR("GET /again HTTP/1.1\r\nHost: x\r\n\r\n") });
    }
}

static void on_failed(void *owner, enum http_failure failure, const char *why)
{
    struct seen *s = owner;

    s->failures++;
    s->failure = failure;
    s->call = NULL;
    assert_true(*why);
}

static void on_drained(void *owner)
{
    ((struct seen *)owner)->drained++;
}

static void on_connected(void *owner)
{
    ((struct seen *)owner)->connected++;
}

static void on_informed(void *owner, int status)
{
    ((struct seen *)owner)->informed = status;
}

static const struct http_call_events events = { on_head,    on_body,      on_end,     on_failed,
                                                on_drained, on_connected, on_informed };

static struct http_call *ask(struct seen *s, struct http_call_options o)
{
    if (!o.head.size)
        o.head = STR("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    o.events = &events;
    o.owner = s;
    s->call = http_call_start(upstream, &o);
    return s->call;
}

static int set_up_with(struct http_upstream_options options)
{
    struct err err;

    assert_int_equal(loop_new(&loop, &err), 0);
    assert_int_equal(listen_tcp("127.0.0.1", 0, &listener, &port, &err), 0);
    options.loop = loop;
    options.address = "127.0.0.1";
    options.port = port;
    upstream = http_upstream_new(&options);
    return 0;
}

static int set_up(void **state)
{
    return set_up_with((struct http_upstream_options){ 0 });
}

/* For what is about time. */
static int set_up_impatient(void **state)
{
    return set_up_with((struct http_upstream_options){ .idle_ms = 200 });
}

static int tear_down(void **state)
{
    http_upstream_free(upstream);
    loop_free(loop);
    close(listener);
    return 0;
}

static int take(void)
{
    int fd = -1;

    for (int i = 0; i < 5000 && fd < 0; i++) {
        loop_turn(loop, false);
        fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0)
            usleep(200);
    }
    assert_true(fd >= 0);
    return fd;
}

static bool nobody_knocks(void)
{
    for (int i = 0; i < 20; i++)
        loop_turn(loop, false);
    return accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC) < 0;
}

static void run_until(int *what, int value)
{
    for (int i = 0; i < 5000 && *what < value; i++) {
        loop_turn(loop, false);
        if (*what < value)
            usleep(500);
    }
    assert_true(*what >= value);
}

static void expect(int fd, const char *text)
{
    _cleanup_buf_ struct buf got = { 0 };

    assert_true(raw_until(loop, fd, &got, text));
}

static void test_keeps_connections(void **state)
{
    struct seen s = { 0 };
    int fd;

    ask(&s, (struct http_call_options){ .body = STR("") });
    fd = take();
    expect(fd, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    SEND(fd, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel");
    run_until(&s.status, 200);
    SEND(fd, "lo");
    run_until(&s.ends, 1);
    assert_string_equal(s.body.data, "hello");
    ask(&s, (struct http_call_options){ .head = STR("POST /2 HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n"),
                                         .body = STR("ab") });
    assert_true(http_call_connected(s.call));
    expect(fd, "\r\n\r\nab");
    SEND(fd, "HTTP/1.1 204 No\r\nConnection: close\r\n\r\n");
    run_until(&s.ends, 2);
    /* It said that it would close: the next call goes elsewhere. */
    ask(&s, (struct http_call_options){ 0 });
    close(fd);
    fd = take();
    expect(fd, "\r\n\r\n");
    SEND(fd, "HTTP/1.1 200 OK\r\n\r\nto the end");
    close(fd);
    run_until(&s.ends, 3);
    assert_true(text_ends(s.body.data, "to the end"));
    buf_free(&s.body);
}

static void test_asks_again_when_a_kept_one_is_dead(void **state)
{
    struct seen s = { 0 };
    int fd;

    ask(&s, (struct http_call_options){ 0 });
    fd = take();
    SEND(fd, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    run_until(&s.ends, 1);
    /* Its goodbye and the next request cross on their way. */
    close(fd);
    ask(&s, (struct http_call_options){ .head = STR("POST /2 HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n"),
                                         .body = STR("ab") });
    fd = take();
    expect(fd, "POST /2 HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nab");
    /* But not a second time: this connection was new. */
    close(fd);
    run_until(&s.failures, 1);
    assert_int_equal(s.failure, HTTP_BROKEN);
    assert_true(nobody_knocks());
}

/* What is to be done once is asked again only when nobody can have done it. */
static void test_once(void **state)
{
    struct http_call_options create = { .head = STR("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n"),
                                        .body = STR("ab"), .once = true };
    struct http_upstream *tcp = upstream;
    struct sockaddr_un at = { .sun_family = AF_UNIX };
    struct seen s = { 0 };
    int tcp_listener = listener, fd;
    char some[4];

    snprintf(at.sun_path, sizeof at.sun_path, "/tmp/sagebrush-once-%d", (int)getpid());
    listener = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(listen(listener, 8), 0);
    upstream = http_upstream_new(&(struct http_upstream_options){ .loop = loop, .path = at.sun_path });

    ask(&s, (struct http_call_options){ 0 });
    fd = take();
    SEND(fd, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    run_until(&s.ends, 1);
    close(fd); /* the kept one is dead before it is asked */
    ask(&s, create);
    fd = take();
    expect(fd, "\r\n\r\nab");
    SEND(fd, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    run_until(&s.ends, 2);

    ask(&s, create);
    assert_int_equal(read(fd, some, sizeof some), sizeof some); /* not to its end */
    close(fd);
    fd = take();
    expect(fd, "\r\n\r\nab");
    SEND(fd, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    run_until(&s.ends, 3);

    ask(&s, create);
    expect(fd, "\r\n\r\nab"); /* read, perhaps done, and not answered */
    close(fd);
    run_until(&s.failures, 1);
    assert_int_equal(s.failure, HTTP_BROKEN);
    assert_true(nobody_knocks());

    http_upstream_free(upstream);
    close(listener);
    unlink(at.sun_path);
    upstream = tcp;
    listener = tcp_listener;
}

static void test_does_not_ask_again_once_answered(void **state)
{
    struct seen s = { 0 };
    int fd;

    ask(&s, (struct http_call_options){ 0 });
    fd = take();
    SEND(fd, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    run_until(&s.ends, 1);
    ask(&s, (struct http_call_options){ 0 });
    expect(fd, "GET /");
    SEND(fd, "HTTP/1.1 2");
    close(fd);
    run_until(&s.failures, 1);
    assert_int_equal(s.failure, HTTP_BROKEN);
    assert_true(nobody_knocks());
}

static void test_failures(void **state)
{
    struct seen s = { 0 };
    int fd;

    ask(&s, (struct http_call_options){ 0 });
    fd = take();
    SEND(fd, "SSH-2.0-OpenSSH\r\n\r\n");
    run_until(&s.failures, 1);
    assert_int_equal(s.failure, HTTP_GARBAGE);
    close(fd);
    ask(&s, (struct http_call_options){ .answer_ms = 50 });
    fd = take();
    run_until(&s.failures, 2);
    assert_int_equal(s.failure, HTTP_TIMED_OUT);
    close(fd);
    /* Slow between the pieces. */
    ask(&s, (struct http_call_options){ .answer_ms = 50 });
    fd = take();
    SEND(fd, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nh");
    run_until(&s.failures, 3);
    assert_int_equal(s.failure, HTTP_TIMED_OUT);
    close(fd);
    /* More than was announced: the answer counts, the connection does not. */
    ask(&s, (struct http_call_options){ 0 });
    fd = take();
    SEND(fd, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nhHTTP/1.1 200 OK\r\n");
    run_until(&s.ends, 1);
    close(fd);
    close(listener);
    ask(&s, (struct http_call_options){ 0 });
    assert_int_equal(s.failures, 3);
    run_until(&s.failures, 4);
    assert_int_equal(s.failure, HTTP_CANNOT_CONNECT);
    listener = -1;
    buf_free(&s.body);
}

static void test_streams_out(void **state)
{
    struct seen s = { 0 };
    static char much[16000000];
    int fd;

    ask(&s, (struct http_call_options){ .head = STR("PUT / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"),
                                         .more = true,
                                         .chunked = true,
                                         .fresh = true });
    assert_false(http_call_connected(s.call));
    fd = take();
    run_until(&s.connected, 1);
    http_call_write(s.call, "abc", 3);
    http_call_write(s.call, "", 0);
    http_call_write(s.call, "defghijklmnopqrs", 16);
    expect(fd, "\r\n\r\n3\r\nabc\r\n10\r\ndefghijklmnopqrs\r\n");
    SEND(fd, "HTTP/1.1 100 Continue\r\n\r\n");
    run_until(&s.informed, 100);
    s.drained = 0;
    assert_true(http_call_write(s.call, much, sizeof much) > 0);
    http_call_end(s.call);
    {
        size_t got = 0;
        static char part[1 << 20];

        while (got < sizeof much + 10 + 5) {
            ssize_t n = recv(fd, part, sizeof part, 0);

            loop_turn(loop, false);
            got += n > 0 ? (size_t)n : 0;
        }
    }
    run_until(&s.drained, 1);
    SEND(fd, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    run_until(&s.ends, 1);
    close(fd);
}

static void test_answer_before_the_end_of_the_request(void **state)
{
    struct seen s = { 0 };
    int fd;

    ask(&s, (struct http_call_options){ .head = STR("PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n"),
                                         .more = true });
    fd = take();
    http_call_write(s.call, "abc", 3);
    SEND(fd, "HTTP/1.1 413 no\r\nContent-Length: 0\r\n\r\n");
    run_until(&s.ends, 1);
    assert_int_equal(s.status, 413);
    /* Half a request stands in this connection: it is not kept. */
    ask(&s, (struct http_call_options){ 0 });
    close(fd);
    fd = take();
    http_call_cancel(s.call);
    close(fd);
}

static void test_pause_and_cancel(void **state)
{
    struct seen s = { .stop_at_head = true };
    int fd;

    ask(&s, (struct http_call_options){ .answer_ms = 1000 });
    fd = take();
    SEND(fd, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n");
    run_until(&s.status, 200);
    usleep(1100000);
    for (int i = 0; i < 10; i++)
        loop_turn(loop, false);
    assert_int_equal(s.body.size, 0);
    assert_int_equal(s.failures, 0);
    http_call_pause(s.call, false);
    run_until(&s.ends, 1);
    assert_string_equal(s.body.data, "abc");
    s.stop_at_head = false;
    s.cancel_at_body = true;
    ask(&s, (struct http_call_options){ 0 });
    SEND(fd, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n");
    while (s.body.size < 6)
        loop_turn(loop, true);
    for (int i = 0; i < 10; i++)
        loop_turn(loop, false);
    assert_string_equal(s.body.data, "abcabc");
    assert_int_equal(s.ends, 1);
    assert_int_equal(http_upstream_running(upstream), 0);
    close(fd);
    buf_free(&s.body);
}

static void test_back_pressure(void **state)
{
    struct seen s = { .stop_at_head = true };
    int fd;

    ask(&s, (struct http_call_options){ 0 });
    fd = take();
    SEND(fd, "HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n");
    run_until(&s.status, 200);
    /* The kernel takes some megabytes, we take next to nothing. */
    assert_true(raw_send_what_fits(loop, fd, 60000000) < 30000000);
    http_call_cancel(s.call);
    close(fd);
}

static void test_idle_ones_are_closed(void **state)
{
    _cleanup_buf_ struct buf got = { 0 };
    struct seen s = { .again_at_end = true };
    int fd, second;

    /* The next call may start from the end of the one before. */
    ask(&s, (struct http_call_options){ 0 });
    fd = take();
    SEND(fd, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    second = take();
    expect(second, "/again");
    SEND(second, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    run_until(&s.ends, 2);
    assert_true(!raw_until(loop, fd, &got, NULL));
    assert_true(!raw_until(loop, second, &got, NULL));
    close(fd);
    close(second);
}

static void test_upstream_freed_while_it_runs(void **state)
{
    struct http_upstream_options options = { .loop = loop, .address = "127.0.0.1", .port = port };
    struct http_upstream *kept = upstream;
    struct seen s = { 0 };
    int fd;

    upstream = http_upstream_new(&options);
    ask(&s, (struct http_call_options){ 0 });
    fd = take();
    http_upstream_free(upstream);
    upstream = kept;
    SEND(fd, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    run_until(&s.ends, 1);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
        TEST(test_keeps_connections),
        TEST(test_asks_again_when_a_kept_one_is_dead),
        TEST(test_once),
        TEST(test_does_not_ask_again_once_answered),
        TEST(test_failures),
        TEST(test_streams_out),
        TEST(test_answer_before_the_end_of_the_request),
        TEST(test_pause_and_cancel),
        TEST(test_back_pressure),
        cmocka_unit_test_setup_teardown(test_idle_ones_are_closed, set_up_impatient, tear_down),
        TEST(test_upstream_freed_while_it_runs),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
