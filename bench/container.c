/* container.c - the trivial container of the benchmarks, in the contract of SageMaker.
 *
 * "train" prints the wall clock in nanoseconds, as the first thing it does, and ends. "serve" answers every request on
 * port 8080 with 200 and the body that came: one thread, nothing computed: what is measured is the way to it. */
#include <assert.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { CONNECTIONS = 4096, ROOM = 65536 };

static struct connection {
    char in[ROOM];
    size_t size;
} *connections[CONNECTIONS];

static void train(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    printf("first line at %lld%09ld\n", (long long)now.tv_sec, now.tv_nsec);
    exit(0);
}

static size_t length_of(const char *head, const char *end)
{
    for (const char *at = head; at < end; at = strchr(at, '\n') + 1)
        if (strncasecmp(at, "content-length:", 15) == 0)
            return strtoul(at + 15, NULL, 10);
    return 0;
}

/* One whole request, answered; false: more of it has to come. */
static int answer(int fd, struct connection *c)
{
    char head[128], *end;
    struct iovec parts[2];
    size_t length, whole;

    c->in[c->size] = '\0';
    end = strstr(c->in, "\r\n\r\n");
    if (!end)
        return 0;
    length = length_of(c->in, end);
    whole = (size_t)(end - c->in) + 4 + length;
    assert(whole < ROOM && "bodies of these benchmarks are small");
    if (c->size < whole)
        return 0;
    parts[0].iov_base = head;
    parts[0].iov_len = (size_t)snprintf(head, sizeof head, "HTTP/1.1 200 OK\r\nContent-Type: text/csv\r\n"
                                                           "Content-Length: %zu\r\n\r\n", length);
    parts[1].iov_base = end + 4;
    parts[1].iov_len = length;
    if (sendmsg(fd, &(struct msghdr){ .msg_iov = parts, .msg_iovlen = 2 }, MSG_NOSIGNAL) < 0)
        return 0;
    memmove(c->in, c->in + whole, c->size - whole);
    c->size -= whole;
    return 1;
}

static void read_some(int fd)
{
    struct connection *c = connections[fd];
    ssize_t n = read(fd, c->in + c->size, ROOM - 1 - c->size);

    if (n <= 0) {
        free(c);
        connections[fd] = NULL;
        close(fd);
        return;
    }
    c->size += (size_t)n;
    while (answer(fd, c))
        ;
}

static void take(int poll, int listener)
{
    int fd = accept(listener, NULL, NULL);

    if (fd < 0)
        return;
    assert(fd < CONNECTIONS);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int));
    connections[fd] = calloc(1, sizeof *connections[fd]);
    assert(connections[fd]);
    epoll_ctl(poll, EPOLL_CTL_ADD, fd, &(struct epoll_event){ .events = EPOLLIN, .data.fd = fd });
}

int main(int argc, char **argv)
{
    int listener, poll;
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(8080) };

    if (argc > 1 && strcmp(argv[1], "train") == 0)
        train();
    listener = socket(AF_INET, SOCK_STREAM, 0);
    poll = epoll_create1(0);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &(int){ 1 }, sizeof(int));
    if (bind(listener, (struct sockaddr *)&address, sizeof address) < 0 || listen(listener, 1024) < 0)
        return 1;
    epoll_ctl(poll, EPOLL_CTL_ADD, listener, &(struct epoll_event){ .events = EPOLLIN, .data.fd = listener });
    for (;;) {
        struct epoll_event events[256];
        int count = epoll_wait(poll, events, 256, -1);

        for (int i = 0; i < count; i++)
            if (events[i].data.fd == listener)
                take(poll, listener);
            else
                read_some(events[i].data.fd);
    }
}
