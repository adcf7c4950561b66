#include "net_test.h"

#include <stdio.h>
#include <stdlib.h>

#include "net/listener.h"
#include "net/loop.h"
#include "net/stream.h"

static struct loop *loop;

static int set_up(void **state)
{
    struct err err;

    return loop_new(&loop, &err);
}

static int tear_down(void **state)
{
    loop_free(loop);
    return 0;
}

/* Two ends of a connection in one loop. */
struct end {
    struct stream *stream;
    struct buf got;
    int connected, ended, drained;
};

static void end_connected(void *owner, int errno_value)
{
    ((struct end *)owner)->connected = errno_value ? errno_value : -1;
}

static void end_received(void *owner, const char *data, size_t size)
{
    buf_append(&((struct end *)owner)->got, data, size);
}

static void end_ended(void *owner, int errno_value)
{
    ((struct end *)owner)->ended = errno_value ? errno_value : -1;
}

static void end_drained(void *owner)
{
    ((struct end *)owner)->drained++;
}

static const struct stream_events end_events = { end_connected, end_received, end_ended, end_drained, end_ended };

static void end_accepted(void *data, struct stream *stream)
{
    ((struct end *)data)->stream = stream;
    stream_start(stream, &end_events, data);
}

struct late {
    struct loop_timer timer;
    const struct end *end;
    size_t had; /* when it rang */
};

static void late_rang(struct loop_timer *timer)
{
    struct late *l = list_entry(timer, struct late, timer);

    l->had = l->end->got.size;
}

/* A process that stood still finds both: what came, and that the time to wait for it is over. */
static void test_what_came_goes_before_its_deadline(void **state)
{
    struct end server = { 0 }, client = { 0 };
    struct late late = { { .run = late_rang }, &server, 0 };
    struct loop_listener *listener;
    struct err err;

    assert_int_equal(loop_listen_tcp(loop, "127.0.0.1", 0, end_accepted, &server, &listener, &err), 0);
    assert_int_equal(stream_connect_tcp(loop, "127.0.0.1", loop_listener_port(listener), &end_events, &client,
                                        &client.stream, &err), 0);
    while (!client.connected || !server.stream)
        loop_turn(loop, true);
    do {
        loop_timer_set(loop, &late.timer, loop_now_ms(loop) + 200);
        loop_turn(loop, false);
    } while (!late.timer.place); /* it took that long */
    stream_write(client.stream, &STR("in time"), 1);
    usleep(220000);
    while (late.timer.place)
        loop_turn(loop, true);
    assert_int_equal(late.had, strlen("in time"));
    buf_free(&server.got);
    buf_free(&client.got);
    stream_close(server.stream);
    stream_close(client.stream);
    loop_listener_free(listener);
}

static void test_streams(void **state)
{
    static char much[16000000];
    struct end server = { 0 }, client = { 0 };
    struct loop_listener *listener;
    struct err err;

    memset(much, 'm', sizeof much);
    assert_int_equal(loop_listen_tcp(loop, "127.0.0.1", 0, end_accepted, &server, &listener, &err), 0);
    assert_int_equal(stream_connect_tcp(loop, "127.0.0.1", loop_listener_port(listener), &end_events, &client,
                                        &client.stream, &err), 0);
    /* Written before it is connected, and after. */
    stream_write(client.stream, (struct str[]){ STR("he"), STR("llo") }, 2);
    while (server.got.size < 5)
        loop_turn(loop, true);
    assert_int_equal(client.connected, -1);
    assert_string_equal(server.got.data, "hello");
    assert_string_equal(stream_peer(server.stream), "127.0.0.1");
    assert_true(stream_peer_is_loopback(server.stream));
    /* A reader that does not read: what does not fit is queued, and told when it has left. */
    stream_read(client.stream, false);
    assert_true(stream_write(server.stream, &(struct str){ much, sizeof much }, 1) > 0);
    server.drained = 0;
    for (int i = 0; i < 20; i++)
        loop_turn(loop, false);
    assert_int_equal(server.drained, 0);
    stream_finish(server.stream);
    stream_read(client.stream, true);
    while (!client.ended)
        loop_turn(loop, true);
    assert_int_equal(client.ended, -1);
    assert_int_equal(client.got.size, sizeof much);
    assert_memory_equal(client.got.data, much, sizeof much);
    assert_int_equal(server.drained, 1);
    stream_close(client.stream);
    stream_close(server.stream);
    loop_listener_free(listener);
    buf_free(&server.got);
    buf_free(&client.got);
}

static void test_connect_fails(void **state)
{
    struct end client = { 0 };
    struct err err;
    int fd, port;

    assert_int_equal(listen_tcp("127.0.0.1", 0, &fd, &port, &err), 0);
    close(fd);
    assert_int_equal(stream_connect_tcp(loop, "127.0.0.1", port, &end_events, &client, &client.stream, &err), 0);
    while (!client.connected)
        loop_turn(loop, true);
    assert_int_equal(client.connected, ECONNREFUSED);
    stream_close(client.stream);
    client.connected = 0;
    assert_int_equal(stream_connect_unix(loop, "/does/not/exist", &end_events, &client, &client.stream, &err), 0);
    while (!client.connected)
        loop_turn(loop, true);
    assert_int_equal(client.connected, ENOENT);
    stream_close(client.stream);
    assert_int_equal(stream_connect_tcp(loop, "localhost", 80, &end_events, &client, &client.stream, &err), -1);
    assert_int_equal(stream_connect_unix(loop,
                                         "/a/path/that/is/longer/than/the/one/hundred/and/eight/bytes/that/a/socket/"
                                         "address/has/room/for/in/the/kernel/of/linux",
                                         &end_events, &client, &client.stream, &err),
                     -1);
}

static void ignore(void *data, const char *name)
{
}

static void test_free_closes_what_is_open(void **state)
{
    struct end server = { 0 }, client = { 0 };
    struct loop_listener *listener;
    struct loop_watch *watch;
    struct err err;

    assert_int_equal(loop_listen_tcp(loop, "127.0.0.1", 0, end_accepted, &server, &listener, &err), 0);
    assert_int_equal(stream_connect_tcp(loop, "127.0.0.1", loop_listener_port(listener), &end_events, &client,
                                        &client.stream, &err), 0);
    assert_int_equal(loop_watch_new(loop, "/tmp", ignore, NULL, &watch, &err), 0);
    while (!server.stream)
        loop_turn(loop, true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
        TEST(test_what_came_goes_before_its_deadline),
        TEST(test_streams),
        TEST(test_connect_fails),
        TEST(test_free_closes_what_is_open),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
