#include "agent/burst.h"

#include <errno.h>
#include <netinet/udp.h>
#include <stdint.h>
#include <string.h>

#include "net/address.h"

enum { COUNT_MOST = 64 }; /* of the kernel's; newer ones take more */

char *burst_room(struct burst *b)
{
    return b->bytes + b->used;
}

static void clear(struct burst *b)
{
    b->used = b->each = 0;
    b->count = 0;
    b->ends = false;
}

/* Can this kernel, or the way to that host, not do it at all? */
static bool is_refused(int error)
{
    return error == EIO || error == EINVAL || error == EMSGSIZE || error == ENOPROTOOPT || error == EOPNOTSUPP;
}

static ssize_t send_together(const struct burst *b)
{
    struct iovec bytes = { (void *)b->bytes, b->used };
    union {
        char space[CMSG_SPACE(sizeof(uint16_t))];
        struct cmsghdr aligned;
    } control = { 0 };
    struct msghdr m = { .msg_name = (void *)b->to, .msg_namelen = address_size(b->to), .msg_iov = &bytes,
                        .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control.space };
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    uint16_t each = (uint16_t)b->each;

    c->cmsg_level = SOL_UDP;
    c->cmsg_type = UDP_SEGMENT;
    c->cmsg_len = CMSG_LEN(sizeof each);
    memcpy(CMSG_DATA(c), &each, sizeof each);
    return sendmsg(b->socket, &m, 0);
}

static int send_each(const struct burst *b)
{
    int error = 0;

    for (size_t at = 0; at < b->used; at += b->each) {
        size_t size = b->used - at < b->each ? b->used - at : b->each;

        if (sendto(b->socket, b->bytes + at, size, 0, (const struct sockaddr *)b->to, address_size(b->to)) < 0)
            error = errno;
    }
    errno = error;
    return error ? -1 : 0;
}

int burst_send(struct burst *b)
{
    int r = 0;

    if (b->count > 1 && !b->single) {
        r = send_together(b) < 0 ? -1 : 0;
        b->single = r < 0 && is_refused(errno);
    }
    if (b->count == 1 || b->single)
        r = send_each(b);
    clear(b);
    return r;
}

static bool fits(const struct burst *b, const struct sockaddr_storage *to, size_t size)
{
    return b->to == to && size <= b->each && !b->ends && b->count < COUNT_MOST &&
           b->used + size <= BURST_DATAGRAM_MOST;
}

int burst_add(struct burst *b, const struct sockaddr_storage *to, size_t size)
{
    char *here = burst_room(b);
    int r = 0;

    if (b->count && !fits(b, to, size)) {
        r = burst_send(b);
        memmove(b->bytes, here, size);
    }
    if (!b->count) {
        b->to = to;
        b->each = size;
    }
    b->ends = size < b->each;
    b->used += size;
    b->count++;
    return r;
}

void burst_open(int s)
{
    int one = 1;

    setsockopt(s, SOL_UDP, UDP_GRO, &one, sizeof one); /* without it they come one by one */
}

ssize_t burst_receive(int s, void *buffer, size_t size, size_t *ret_each)
{
    struct iovec bytes = { buffer, size };
    union {
        char space[CMSG_SPACE(sizeof(int))];
        struct cmsghdr aligned;
    } control;
    struct msghdr m = { .msg_iov = &bytes, .msg_iovlen = 1, .msg_control = &control,
                        .msg_controllen = sizeof control.space };
    ssize_t n = recvmsg(s, &m, 0);
    int each = 0;

    for (struct cmsghdr *c = n > 0 ? CMSG_FIRSTHDR(&m) : NULL; c; c = CMSG_NXTHDR(&m, c))
        if (c->cmsg_level == SOL_UDP && c->cmsg_type == UDP_GRO)
            memcpy(&each, CMSG_DATA(c), sizeof each);
    *ret_each = each > 0 ? (size_t)each : (size_t)(n > 0 ? n : 0);
    return n;
}
