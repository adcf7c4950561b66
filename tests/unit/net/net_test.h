/* net_test.h - what the tests of this folder share: cmocka, and a client that speaks raw bytes over a blocking socket
 * while the loop under test turns in the same thread. */
#ifndef TESTS_NET_TEST_H
#define TESTS_NET_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#undef fail /* ours is a function */

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/str.h"
#include "net/loop.h"

static inline int raw_connect(int port)
{
    struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    return fd;
}

static inline void raw_send(struct loop *l, int fd, const char *data, size_t size)
{
    while (size) {
        ssize_t n = send(fd, data, size, MSG_NOSIGNAL);

        if (n > 0) {
            data += n;
            size -= (size_t)n;
        } else {
            assert_true(errno == EAGAIN || errno == EPIPE || errno == ECONNRESET);
            if (errno != EAGAIN)
                return;
        }
        loop_turn(l, false);
    }
}

/* Turns the loop until 'text' has come (true) or the other side closed (false), for five seconds at most. */
static inline bool raw_until(struct loop *l, int fd, struct buf *got, const char *text)
{
    for (int i = 0; i < 5000; i++) {
        char part[4096];
        ssize_t n;

        loop_turn(l, false);
        n = recv(fd, part, sizeof part, 0);
        if (n > 0)
            buf_append(got, part, (size_t)n);
        if (text && got->size && memmem(got->data, got->size, text, strlen(text)))
            return true;
        if (n == 0 || (n < 0 && errno != EAGAIN))
            return false;
        if (n < 0) {
            struct pollfd p = { .fd = fd, .events = POLLIN };

            poll(&p, 1, 1);
        }
    }
    print_error("nothing more came; so far: %s\n", got->data ? got->data : "");
    assert_true(false);
    return false;
}

/* How much of 'size' bytes the other side lets us send while it does not look at them. */
static inline size_t raw_send_what_fits(struct loop *l, int fd, size_t size)
{
    static const char piece[65536];
    size_t sent = 0;

    for (int idle = 0; sent < size && idle < 50;) {
        ssize_t n = send(fd, piece, sizeof piece, MSG_NOSIGNAL);

        sent += n > 0 ? (size_t)n : 0;
        idle = n > 0 ? 0 : idle + 1;
        loop_turn(l, false);
    }
    return sent;
}

static inline size_t occurrences(const struct buf *b, const char *text)
{
    size_t count = 0;

    for (const char *at = b->data; at && (at = strstr(at, text)); at++)
        count++;
    return count;
}

#endif
