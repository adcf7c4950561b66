/* links: base net */
/* Calls to a container that answers what it likes, when it likes: the input is a list of steps, and what the container
 * sends is in it. Each call ends exactly once, nothing is left, no memory is touched that is gone. */
#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "net/http_client.h"

enum { CALLS = 4, LINKS = 8 };

struct asked {
    struct http_call *call; /* NULL: ended */
    bool open;              /* of its request more is to come */
    uint8_t way;            /* what the caller does when something comes */
};

static struct loop *loop;
static char path[64];
static int listener;
static struct asked calls[CALLS];
static int links[LINKS], link_count, running;

static void over(struct asked *c)
{
    assert(c->call);
    c->call = NULL;
    running--;
}

static void leave(struct asked *c)
{
    struct http_call *call = c->call;

    over(c);
    http_call_cancel(call);
}

static void head(void *owner, const struct http_head *h)
{
    struct asked *c = owner;

    assert(c->call && h->status >= 200);
    if (c->way & 1)
        http_call_pause(c->call, true);
    if ((c->way & 6) == 6)
        leave(c);
}

static void body(void *owner, const char *data, size_t size)
{
    struct asked *c = owner;

    assert(c->call && data && size);
    if ((c->way & 6) == 4)
        leave(c);
    else if (c->way & 8)
        http_call_pause(c->call, true);
}

static void end(void *owner)
{
    over(owner);
}

static void failed(void *owner, enum http_failure failure, const char *why)
{
    assert(*why);
    over(owner);
}

static void noticed(void *owner)
{
    assert(((struct asked *)owner)->call);
}

static void informed(void *owner, int status)
{
    assert(status >= 100 && status < 200);
    noticed(owner);
}

static const struct http_call_events events = { head, body, end, failed, noticed, noticed, informed };

static void remove_socket(void)
{
    unlink(path);
}

static void set_up(void)
{
    struct sockaddr_un at = { .sun_family = AF_UNIX };
    struct err err;

    if (loop_new(&loop, &err) < 0)
        abort();
    snprintf(path, sizeof path, "/tmp/sb-fuzz-%d.sock", (int)getpid());
    memcpy(at.sun_path, path, strlen(path) + 1);
    listener = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (bind(listener, (struct sockaddr *)&at, sizeof at) < 0 || listen(listener, LINKS) < 0)
        abort();
    atexit(remove_socket);
}

static void ask(struct http_upstream *upstream, struct asked *c, uint8_t way)
{
    static const char *const heads[] = {
        "GET / HTTP/1.1\r\nHost: h\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n",
        "HEAD / HTTP/1.1\r\nHost: h\r\n\r\n",
    };
    bool streams = way & 16, no_body = !streams && (way & 32);

    if (c->call)
        return;
    *c = (struct asked){ .way = way, .open = streams };
    running++;
    c->call = http_call_start(upstream,
                              &(struct http_call_options){ .head = str_of(heads[streams ? 1 : no_body ? 2 : 0]),
                                                           .more = streams, .chunked = streams, .no_body = no_body,
                                                           .fresh = way & 64, .events = &events, .owner = c });
}

static void act(struct asked *c, int what)
{
    if (!c->call)
        return;
    switch (what) {
    case 0:
        http_call_pause(c->call, true);
        break;
    case 1:
        http_call_pause(c->call, false);
        break;
    case 2:
        if (c->open)
            http_call_write(c->call, "some", 4);
        break;
    case 3:
        if (c->open) {
            c->open = false;
            http_call_end(c->call);
        } else {
            leave(c);
        }
        break;
    }
}

static void turn(void)
{
    int fd;

    loop_turn(loop, false);
    while (link_count < LINKS && (fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0)
        links[link_count++] = fd;
}

/* The container: its last connection but so many. */
static void answer(int which, const uint8_t *data, size_t size)
{
    if (which < link_count && send(links[link_count - 1 - which], data, size, MSG_NOSIGNAL) < 0 && errno != EAGAIN &&
        errno != EPIPE && errno != ECONNRESET)
        abort();
}

static void hang_up(int which)
{
    if (which >= link_count)
        return;
    which = link_count - 1 - which;
    close(links[which]);
    memmove(links + which, links + which + 1, (size_t)(--link_count - which) * sizeof *links);
}

static void play(struct http_upstream *upstream, const uint8_t *data, const uint8_t *stop)
{
    char sink[4096];

    while (data < stop) {
        uint8_t step = *data++;

        if (step < 0x80) { /* so many bytes of an answer */
            size_t n = (size_t)(stop - data) < step ? (size_t)(stop - data) : step;

            answer(0, data, n);
            data += n;
        } else if (step < 0x90) {
            ask(upstream, &calls[step % CALLS], data < stop ? *data++ : 0);
        } else if (step < 0xc0) {
            turn();
        } else if (step < 0xe0) {
            act(&calls[step % CALLS], step / CALLS % 4);
        } else if (step < 0xe8) {
            hang_up(step % 4);
        } else if (step < 0xf0) {
            answer(step % 4, (const uint8_t *)"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx", 39);
        } else if (step < 0xf8 && link_count) {
            (void)!recv(links[link_count - 1], sink, sizeof sink, 0);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct http_upstream *upstream;

    if (!loop)
        set_up();
    upstream = http_upstream_new(&(struct http_upstream_options){ .loop = loop, .path = path, .max_idle = 2 });
    play(upstream, data, data + size);
    for (int i = 0; i < CALLS; i++)
        if (calls[i].call)
            leave(&calls[i]);
    assert(running == 0 && http_upstream_running(upstream) == 0);
    http_upstream_free(upstream);
    for (int i = 0; i < 4; i++)
        turn();
    while (link_count)
        hang_up(0);
    return 0;
}
