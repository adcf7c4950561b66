/* ring.c - in a ring everybody has two neighbours, however many there are. Who only waits for somebody who waits for a
 * third blames nobody. */
#include "agent/ring.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"

enum {
    TOKEN_SIZE = 32,
    KNOCK_MS = 50,    /* between two tries to reach one that is not there yet */
    CONNECT_MS = 2000,
};

struct hello {
    unsigned char token[TOKEN_SIZE];
    uint32_t rank;
};

static int64_t left_ms(const struct ring *r)
{
    int64_t left = r->until_ms - clock_boot_ms(r->o->clock);

    return left > 0 ? left : 0;
}

/* Waits for the descriptors, at most 'most_ms' and until the time is over. Returns how many are ready, -1: cancelled */
static int wait_for(const struct ring *r, struct pollfd *fds, nfds_t count, int64_t most_ms, struct err *err)
{
    int64_t left = left_ms(r);
    int ready;

    fds[count] = (struct pollfd){ r->o->cancel_fd, POLLIN, 0 };
    ready = poll(fds, count + 1, (int)(left < most_ms ? left : most_ms));
    if (ready < 0 && errno != EINTR)
        return fail_errno(err, errno, "wait for the other instances");
    if (ready > 0 && fds[count].revents)
        return fail(err, ERR_CONFLICT, "the collective check was ended");
    return ready < 0 ? 0 : ready;
}

/* --- The ring is closed --- */

static struct sockaddr_in address_of(const struct ring *r, int rank)
{
    struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons((uint16_t)r->o->port) };
    int good = inet_pton(AF_INET, r->o->addresses[rank], &to.sin_addr);

    assert(good == 1);
    return to;
}

static int listen_here(struct ring *r, struct err *err)
{
    struct sockaddr_in at = address_of(r, r->o->rank);
    int one = 1;

    if (r->o->socket(r->o->data, &r->listener, err) < 0)
        return -1;
    if (setsockopt(r->listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) < 0 ||
        bind(r->listener, (struct sockaddr *)&at, sizeof at) < 0 || listen(r->listener, 4) < 0)
        return fail_errno(err, errno, "listen on %s:%d", r->o->addresses[r->o->rank], r->o->port);
    return 0;
}

/* One try: 1 there, 0 not there (yet), -1 nothing can be tried any more. */
static int knock(struct ring *r, int *ret_why, struct err *err)
{
    struct sockaddr_in to = address_of(r, r->next);
    socklen_t size = sizeof *ret_why;
    struct pollfd fds[2];

    fd_cleanup(&r->to);
    if (r->o->socket(r->o->data, &r->to, err) < 0)
        return -1;
    *ret_why = 0;
    if (connect(r->to, (struct sockaddr *)&to, sizeof to) == 0)
        return 1;
    *ret_why = errno;
    if (errno != EINPROGRESS)
        return 0;
    fds[0] = (struct pollfd){ r->to, POLLOUT, 0 };
    if (wait_for(r, fds, 1, CONNECT_MS, err) < 0)
        return -1;
    if (!fds[0].revents) {
        *ret_why = ETIMEDOUT;
        return 0;
    }
    if (getsockopt(r->to, SOL_SOCKET, SO_ERROR, ret_why, &size) < 0)
        *ret_why = errno;
    return *ret_why == 0;
}

static int reach_next(struct ring *r, struct err *err)
{
    struct hello hello = { .rank = (uint32_t)r->o->rank };
    struct pollfd none[1];
    int there, why, one = 1;

    while ((there = knock(r, &why, err)) == 0) {
        if (!left_ms(r)) {
            r->blamed = r->next;
            return fail_errno(err, why, "%s (%s) cannot be reached", r->o->hosts[r->next],
                              r->o->addresses[r->next]);
        }
        if (wait_for(r, none, 0, KNOCK_MS, err) < 0)
            return -1;
    }
    if (there < 0)
        return -1;
    setsockopt(r->to, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    memcpy(hello.token, r->o->token, TOKEN_SIZE);
    if (send(r->to, &hello, sizeof hello, MSG_NOSIGNAL) == sizeof hello)
        return 0;
    r->blamed = r->next;
    return fail_errno(err, errno, "%s closed the connection at once", r->o->hosts[r->next]);
}

/* Whether it is the one before that has come: whoever else knocks is turned away. */
static int greet(struct ring *r, int fd, bool *ret_known, struct err *err)
{
    struct hello hello;
    size_t got = 0;

    *ret_known = false;
    while (got < sizeof hello) {
        struct pollfd fds[2] = { { fd, POLLIN, 0 } };
        int ready = wait_for(r, fds, 1, CONNECT_MS, err);
        ssize_t n;

        if (ready <= 0)
            return ready;
        n = recv(fd, (char *)&hello + got, sizeof hello - got, 0);
        if (n <= 0)
            return 0;
        got += (size_t)n;
    }
    *ret_known = hello.rank == (uint32_t)r->before && memcmp(hello.token, r->o->token, TOKEN_SIZE) == 0;
    return 0;
}

static int hear_before(struct ring *r, struct err *err)
{
    while (left_ms(r)) {
        struct pollfd fds[2] = { { r->listener, POLLIN, 0 } };
        _cleanup_fd_ int fd = -1;
        bool known;

        if (wait_for(r, fds, 1, INT32_MAX, err) < 0)
            return -1;
        fd = accept4(r->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0)
            continue;
        if (greet(r, fd, &known, err) < 0)
            return -1;
        if (!known)
            continue;
        r->from = fd;
        fd = -1;
        return 0;
    }
    r->blamed = r->before;
    return fail(err, ERR_INTERNAL, "%s (%s) did not come", r->o->hosts[r->before], r->o->addresses[r->before]);
}

int ring_open(struct ring *r, const struct ring_options *o, struct err *err)
{
    assert(o->ranks > 1 && o->rank >= 0 && o->rank < o->ranks);
    *r = (struct ring){ .o = o, .next = (o->rank + 1) % o->ranks, .before = (o->rank + o->ranks - 1) % o->ranks,
                        .blamed = -1, .listener = -1, .to = -1, .from = -1,
                        .until_ms = clock_boot_ms(o->clock) + o->gather_ms };
    return listen_here(r, err) < 0 || reach_next(r, err) < 0 ? -1 : hear_before(r, err);
}

void ring_close(struct ring *r)
{
    fd_cleanup(&r->listener);
    fd_cleanup(&r->to);
    fd_cleanup(&r->from);
}

void ring_limit(struct ring *r, int64_t ms, const char *goal)
{
    r->until_ms = clock_boot_ms(r->o->clock) + ms;
    r->limit_ms = ms;
    r->goal = goal;
}

/* --- What goes round --- */

/* Both ways at once, or all would wait for each other with full buffers. */
int ring_exchange(struct ring *r, const void *out, size_t out_size, void *in, size_t in_size, struct err *err)
{
    size_t sent = 0, got = 0;

    while (sent < out_size || got < in_size) {
        struct pollfd fds[3] = { { sent < out_size ? r->to : -1, POLLOUT, 0 },
                                 { got < in_size ? r->from : -1, POLLIN, 0 } };
        int ready = wait_for(r, fds, 2, INT32_MAX, err);
        ssize_t n;

        if (ready < 0)
            return -1;
        if (!left_ms(r))
            return fail(err, ERR_INTERNAL, "%s was not there after %lld s: %s", r->goal, (long long)r->limit_ms / 1000,
                        got < in_size ? "nothing more was heard" : "nothing more was taken");
        if (fds[0].revents) {
            n = send(r->to, (const char *)out + sent, out_size - sent, MSG_NOSIGNAL);
            if (n < 0 && errno != EAGAIN && errno != EINTR)
                return fail_errno(err, errno, "the connection to %s broke", r->o->hosts[r->next]);
            sent += n > 0 ? (size_t)n : 0;
        }
        if (fds[1].revents) {
            n = recv(r->from, (char *)in + got, in_size - got, 0);
            if (n == 0)
                return fail(err, ERR_INTERNAL, "%s left before %s was there", r->o->hosts[r->before],
                            r->goal);
            if (n < 0 && errno != EAGAIN && errno != EINTR)
                return fail_errno(err, errno, "the connection from %s broke", r->o->hosts[r->before]);
            got += n > 0 ? (size_t)n : 0;
        }
    }
    return 0;
}

int ring_gather(struct ring *r, void *records, size_t size, struct err *err)
{
    int ranks = r->o->ranks;

    for (int step = 0; step < ranks - 1; step++) {
        char *mine = (char *)records + size * (size_t)((r->o->rank + ranks - step) % ranks);
        char *theirs = (char *)records + size * (size_t)((r->before + ranks - step) % ranks);

        if (ring_exchange(r, mine, size, theirs, size, err) < 0)
            return -1;
    }
    return 0;
}

ssize_t ring_peek(struct ring *r, void *ret, size_t size)
{
    ssize_t n = recv(r->from, ret, size, MSG_PEEK | MSG_DONTWAIT);

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return 0;
    return n > 0 ? n : -1;
}
