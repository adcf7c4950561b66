/* links: base net */
/* One connection's life, made of dice: the client sends pieces and leaves when it likes, the handler reads, pauses,
 * answers whole or in parts, early, late or never. Each exchange is closed exactly once, nothing is left, no memory is
 * touched that is gone. The input is a list of steps: an operation, its size, and for what is sent the bytes. */
#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "net/http_server.h"

enum { LEFT, READS, READS_ALL, ANSWERS, STARTS, WAYS };

static struct loop *loop;
static struct http_server *server;
static char path[64];
static struct http_exchange *current;
static int begun, closed_count;
static bool ended; /* the handler has said all it has to say */
static bool announced; /* the answer's length, which it then falls short of */
static uint8_t way; /* what the handler does with the next request */

static void closed(struct http_exchange *x, bool complete)
{
    closed_count++;
    if (current == x)
        current = NULL;
}

static void end_answer(struct http_exchange *x)
{
    if (!ended) {
        ended = true;
        http_answer_end(x);
    }
}

static void end_with(struct http_exchange *x, int status, const char *text)
{
    ended = true;
    http_answer_text(x, status, "text/plain", text);
}

static void body(struct http_exchange *x, const char *data, size_t size)
{
    if (way & 1)
        http_pause(x);
    if (http_answer_started(x) && !announced && !ended && (way & 2))
        http_answer_write(x, data, size);
}

static void body_end(struct http_exchange *x)
{
    if (http_answer_started(x))
        end_answer(x);
    else if (way & 4)
        end_with(x, 200, "end");
}

static void whole(struct http_exchange *x, struct str text)
{
    if (http_answer_started(x))
        end_answer(x);
    else
        end_with(x, text.data ? 200 : 413, text.data ? text.data : "");
}

static void handle(struct http_exchange *x, void *data)
{
    begun++;
    announced = ended = false;
    current = x;
    x->closed = closed;
    x->body = body;
    x->body_end = body_end;
    switch (way / 8 % WAYS) {
    case READS:
        http_read(x);
        break;
    case READS_ALL:
        http_read_all(x, 40, whole);
        break;
    case ANSWERS:
        end_with(x, way & 1 ? 404 : 204, "at once");
        break;
    case STARTS:
        http_answer_start(x, 200, NULL, 0, -1);
        http_read(x);
        break;
    }
}

static void remove_socket(void)
{
    unlink(path);
}

static void set_up(void)
{
    struct http_server_options options = { .handle = handle };
    struct err err;
    int status = loop_new(&loop, &err);

    assert(status == 0);
    options.loop = loop;
    server = http_server_new(&options);
    snprintf(path, sizeof path, "/tmp/sb-fuzz-%d.sock", (int)getpid());
    atexit(remove_socket);
    status = http_server_listen_unix(server, path, 0600, &err);
    assert(status == 0);
}

static int client(void)
{
    struct sockaddr_un to = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), status;

    memcpy(to.sun_path, path, strlen(path) + 1);
    status = connect(fd, (struct sockaddr *)&to, sizeof to);
    assert(status == 0);
    return fd;
}

static void act(uint8_t what)
{
    switch (what % 6) {
    case 0:
        if (!http_body_done(current))
            http_read(current);
        break;
    case 1:
        http_pause(current);
        break;
    case 2:
        if (!http_answer_started(current))
            end_with(current, 200, "later");
        break;
    case 3:
        if (http_answer_started(current))
            break;
        announced = what & 8;
        http_answer_start(current, 200, NULL, 0, announced ? 3 : -1);
        break;
    case 4:
        if (http_answer_started(current))
            end_answer(current);
        break;
    case 5:
        http_abort(current);
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *end = data + size;
    char sink[4096];
    int fd;

    if (!loop)
        set_up();
    begun = closed_count = 0;
    fd = client();
    while (data < end) {
        uint8_t step = *data++;

        if (step < 0x80) { /* so many bytes of a request */
            size_t n = (size_t)(end - data) < step ? (size_t)(end - data) : step;

            if (send(fd, data, n, MSG_NOSIGNAL) < 0 && errno != EAGAIN && errno != EPIPE && errno != ECONNRESET)
                abort();
            data += n;
        } else if (step < 0xa0) {
            way = step * 7;
        } else if (step < 0xd0) {
            loop_turn(loop, false);
        } else if (step < 0xf0) {
            if (current)
                act(step);
        } else if (step < 0xf8) {
            (void)!recv(fd, sink, sizeof sink, 0);
        } else if (step == 0xff) {
            break;
        }
    }
    close(fd);
    way = 0;
    for (int i = 0; i < 20 && http_server_connections(server); i++)
        loop_turn(loop, false);
    assert(http_server_connections(server) == 0);
    assert(begun == closed_count && !current);
    return 0;
}
