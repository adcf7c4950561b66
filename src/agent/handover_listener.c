/* handover_listener.c - an instance has one connection, and a new one takes the place of the one before: the agent that
 * comes again need not wait for what was left of the one that was killed. */
#include "agent/handover_listener.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/handover_line.h"
#include "agent/handover_receive.h"
#include "base/fd.h"
#include "base/log.h"

enum { RETRY_MS = 1000 };

struct guest {
    struct handover_receiver receiver;
    struct in_addr address;
    pthread_t thread;
    int fd; /* -1: nobody is there; closed when the thread has ended */
    atomic_bool ended; /* it is about to */
};

struct handover_listener {
    const struct order *order;
    int (*listen)(void *data, const char *address, int *ret_fd, struct err *err);
    void *data;
    struct arena *arena;
    const char *address;
    unsigned char token[HANDOVER_TOKEN_SIZE];
    struct guest *guests; /* all hosts but the first */
    size_t count;
    pthread_t thread;
    int cancel; /* eventfd */
    int door;   /* -1: the port is not ours yet */
    bool told;  /* why it cannot listen yet */
};

/* --- A guest --- */

static void *receive(void *data)
{
    struct guest *g = data;
    struct err err = { 0 };
    bool known;

    if (handover_receive(&g->receiver, g->fd, &known, &err) == 0) {
        log_info("handover.kept", "host=%s", g->receiver.host);
    } else if (known) { /* strangers would fill the log */
        _cleanup_arena_ struct arena *a = arena_new();

        log_warning("handover.broken", "host=%s why=%s", g->receiver.host, log_quote(a, err.text));
    }
    shutdown(g->fd, SHUT_RDWR);
    g->ended = true;
    return NULL;
}

static void leave(struct guest *g)
{
    if (g->fd < 0)
        return;
    shutdown(g->fd, SHUT_RDWR);
    pthread_join(g->thread, NULL);
    fd_cleanup(&g->fd);
}

static void welcome(struct guest *g, int fd)
{
    leave(g);
    g->fd = fd;
    g->ended = false;
    if (pthread_create(&g->thread, NULL, receive, g) != 0)
        fd_cleanup(&g->fd);
}

/* A job may have more instances than a process has descriptors. */
static void see_off(struct handover_listener *l)
{
    for (size_t i = 0; i < l->count; i++)
        if (l->guests[i].ended)
            leave(&l->guests[i]);
}

/* Who speaks for itself only: the tunnel lets no other address through. */
static struct guest *guest_at(struct handover_listener *l, struct in_addr address)
{
    for (size_t i = 0; i < l->count; i++)
        if (l->guests[i].address.s_addr == address.s_addr)
            return &l->guests[i];
    return NULL;
}

/* --- The door --- */

/* True: it is to end. */
static bool wait_for(struct handover_listener *l, int fd, int most_ms)
{
    struct pollfd fds[2] = { { l->cancel, POLLIN, 0 }, { fd, POLLIN, 0 } };

    return poll(fds, 2, most_ms) > 0 && fds[0].revents;
}

static bool listens(struct handover_listener *l)
{
    struct err err = { 0 };

    if (l->door >= 0 || l->listen(l->data, l->address, &l->door, &err) == 0)
        return true;
    if (!l->told) {
        _cleanup_arena_ struct arena *a = arena_new();

        log_warning("handover.not_listening", "name=%s why=%s", l->order->name, log_quote(a, err.text));
    }
    l->told = true;
    return false;
}

static void *attend(void *data)
{
    struct handover_listener *l = data;

    while (!wait_for(l, l->door, RETRY_MS)) {
        struct sockaddr_in from = { 0 };
        socklen_t size = sizeof from;
        struct guest *g;
        int fd;

        see_off(l);
        if (!listens(l))
            continue;
        fd = accept4(l->door, (struct sockaddr *)&from, &size, SOCK_CLOEXEC | SOCK_NONBLOCK);
        g = fd < 0 ? NULL : guest_at(l, from.sin_addr);
        if (g)
            welcome(g, fd);
        else if (fd >= 0)
            close(fd);
        else if (errno == EMFILE || errno == ENFILE || errno == ENOMEM)
            poll(NULL, 0, RETRY_MS); /* whoever waits there would wake us again and again */
    }
    return NULL;
}

static struct guest guest_of(struct handover_listener *l, const struct handover_listener_options *o, size_t place)
{
    struct guest g = { .fd = -1,
                       .receiver = { .folder = arena_strdup(l->arena, o->folder),
                                     .host = doc_value_text(o->order->hosts->items[place]), .number = (int)place + 1,
                                     .token = l->token, .cancel_fd = l->cancel, .most_bytes = o->order->disk_bytes } };

    if (inet_pton(AF_INET, o->addresses[place], &g.address) != 1)
        g.address.s_addr = INADDR_ANY; /* nobody comes from there */
    return g;
}

int handover_listener_new(const struct handover_listener_options *o, struct handover_listener **ret, struct err *err)
{
    struct handover_listener *l = calloc(1, sizeof *l);
    size_t hosts = list_count(o->order->hosts);
    int r;

    assert(l && hosts > 1);
    if (handover_token(o->order, l->token, err) < 0) {
        free(l);
        return -1;
    }
    l->order = o->order;
    l->listen = o->listen;
    l->data = o->data;
    l->arena = arena_new();
    l->address = arena_strdup(l->arena, o->addresses[0]);
    l->cancel = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    l->door = -1;
    l->count = hosts - 1;
    l->guests = arena_array_of(l->arena, struct guest, l->count);
    assert(l->cancel >= 0);
    for (size_t i = 0; i < l->count; i++)
        l->guests[i] = guest_of(l, o, i + 1);
    listens(l);
    r = pthread_create(&l->thread, NULL, attend, l);
    assert(r == 0);
    *ret = l;
    return 0;
}

void handover_listener_free(struct handover_listener *l)
{
    uint64_t one = 1;
    ssize_t n;

    if (!l)
        return;
    n = write(l->cancel, &one, sizeof one);
    assert(n == sizeof one);
    pthread_join(l->thread, NULL);
    for (size_t i = 0; i < l->count; i++)
        leave(&l->guests[i]);
    close(l->cancel);
    fd_cleanup(&l->door);
    arena_free(l->arena);
    free(l);
}
