/* tunneler.c - sagebrush-tunnel FOLDER OWN PEER...: carries the packets between a container's tunnel device and those
 * of the other instances of its job, sealed, for as long as the folder is there and nobody ends it. OWN and PEER are
 * NUMBER:ADDRESS:HOST, of a container and of this machine's end of its network; without a HOST the peer is found by way
 * of the server (meeting.h). Started by the agent, with the device and the socket as descriptors.
 *
 * A thread for each direction, and one that finds the peers; they share nothing but what does not change any more. What
 * cannot be delivered, nobody sealed or is from or to somebody else is dropped in silence, as networks do. */
#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/ip.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/burst.h"
#include "agent/helper.h"
#include "agent/meeting.h"
#include "agent/order.h"
#include "agent/tunnel.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/str.h"
#include "run/folder.h"
#include "run/tunnel_device.h"
#include "sign/esp.h"

struct peer {
    int number;
    struct in_addr address;
    struct sockaddr_storage host; /* does not change once it is known */
    atomic_bool known;
    struct esp_out *out;
    struct esp_in *in;
};

static struct tunneler {
    const char *folder;
    struct order order;
    struct in_addr own;
    struct peer *peers; /* by their addresses */
    struct peer *by_number[ESP_HOSTS_MOST + 1];
    int count;
} tunnel;

/* A packet that cannot be delivered: its receiver is not there, or it is no packet that the kernel takes, or has
 * memory for. */
static bool passes(int error)
{
    return error == EINTR || error == ENETUNREACH || error == EHOSTUNREACH || error == ECONNREFUSED ||
           error == ENOBUFS || error == ENOMEM || error == EPERM || error == EMSGSIZE || error == EINVAL ||
           error == ENETDOWN || error == EHOSTDOWN || error == EACCES || error == EAGAIN;
}

/* Without us there is no way between the instances: the agent sees it and ends the job. */
static _Noreturn void give_up(const char *what)
{
    log_error("tunnel.broken", "what=%s why=%s", what, strerror(errno));
    exit(1);
}

/* --- Out --- */

static int compare(const void *a, const void *b)
{
    in_addr_t one = ((const struct peer *)a)->address.s_addr, other = ((const struct peer *)b)->address.s_addr;

    return one < other ? -1 : one > other;
}

static struct peer *peer_at(struct in_addr address)
{
    const struct peer key = { .address = address };

    return bsearch(&key, tunnel.peers, (size_t)tunnel.count, sizeof key, compare);
}

/* Its header, of which only the addresses matter here. */
static bool read_header(const char *packet, size_t size, struct ip *ret)
{
    if (size < sizeof *ret)
        return false;
    memcpy(ret, packet, sizeof *ret);
    return ret->ip_v == 4;
}

/* What is not gone is lost, as on any network. */
static void check_sent(int result)
{
    if (result < 0 && !passes(errno))
        give_up("socket");
}

/* Nothing waits for more to come: what has gathered goes when the device has nothing else. */
static void wait_for_packets(struct burst *b)
{
    struct pollfd p = { .fd = TUNNEL_DEVICE_FD, .events = POLLIN };

    check_sent(burst_send(b));
    poll(&p, 1, -1);
}

static void *carry_out(void *unused)
{
    static struct burst burst = { .socket = TUNNEL_SOCKET_FD };

    for (;;) {
        char *buffer = burst_room(&burst);
        ssize_t n = read(TUNNEL_DEVICE_FD, buffer + ESP_HEAD, TUNNEL_MTU);
        struct peer *p;
        struct ip header;
        size_t size;

        if (n < 0 && errno == EAGAIN) {
            wait_for_packets(&burst);
            continue;
        }
        if (n < 0 && errno != EINTR)
            give_up("device");
        if (n < 0 || !read_header(buffer + ESP_HEAD, (size_t)n, &header))
            continue;
        p = peer_at(header.ip_dst);
        if (!p || !p->known || header.ip_src.s_addr != tunnel.own.s_addr)
            continue;
        size = esp_seal(p->out, buffer, (size_t)n);
        if (!size) {
            errno = EOVERFLOW;
            give_up("keys");
        }
        check_sent(burst_add(&burst, &p->host, size));
    }
    return NULL;
}

/* --- In --- */

static struct peer *peer_of(int number)
{
    return number >= 1 && number <= ESP_HOSTS_MOST ? tunnel.by_number[number] : NULL;
}

static void take(char *datagram, size_t size)
{
    struct peer *p = peer_of(esp_from(datagram, size));
    struct str packet;
    struct ip header;

    if (!p || !esp_open(p->in, datagram, size, &packet))
        return;
    /* Who has the secret speaks for itself only. */
    if (!read_header(packet.data, packet.size, &header) || header.ip_src.s_addr != p->address.s_addr ||
        header.ip_dst.s_addr != tunnel.own.s_addr)
        return;
    if (write(TUNNEL_DEVICE_FD, packet.data, packet.size) < 0 && !passes(errno))
        give_up("device");
}

static void *carry_in(void *unused)
{
    static char buffer[UINT16_MAX];

    for (;;) {
        size_t each;
        ssize_t n = burst_receive(TUNNEL_SOCKET_FD, buffer, sizeof buffer, &each);

        if (n < 0 && errno != EINTR)
            give_up("socket");
        for (size_t at = 0; n > 0 && at < (size_t)n; at += each)
            take(buffer + at, (size_t)n - at < each ? (size_t)n - at : each);
    }
    return NULL;
}

/* --- Who is where --- */

static void found(void *unused, const char *host, const struct sockaddr_storage *at)
{
    struct peer *p = peer_of(order_number(&tunnel.order, host));
    char text[ENDPOINT_TEXT];

    if (!p || p->known)
        return;
    p->host = *at;
    p->known = true;
    endpoint_print(at, text);
    log_info("tunnel.found", "host=%s endpoint=%s", host, text);
}

static _Noreturn void leave(const struct err *err)
{
    static const char another[] = "InternalServerError: another agent has worked as this instance, and what one has "
                                  "sealed no other seals with the same keys. Start the job again.";
    _cleanup_arena_ struct arena *a = arena_new();
    struct err ignored;

    if (err->kind == ERR_CONFLICT)
        file_write_atomic(arena_printf(a, "%s/" TUNNEL_FAILED, tunnel.folder), another, strlen(another), 0600,
                          &ignored);
    log_error("tunnel.refused", "folder=%s why=%s", tunnel.folder, log_quote(a, err->text));
    exit(1);
}

static void *meet(void *unused)
{
    struct sockaddr_storage own;
    socklen_t size = sizeof own;
    char endpoint[ENDPOINT_TEXT];
    struct meeting m = { .order = &tunnel.order, .endpoint = endpoint, .found = found };
    struct err err;

    if (getsockname(TUNNEL_SOCKET_FD, (struct sockaddr *)&own, &size) < 0)
        give_up("socket");
    endpoint_print(&own, endpoint);
    if (meeting(&m, &err) < 0)
        leave(&err);
    return NULL;
}

/* --- The beginning --- */

/* For good: the lock is on the file before the file has its name, and the name is never given twice. Who came first has
 * used the keys, and whoever came second would use the same counters with them. */
static int claim(struct arena *a, const char *folder, struct err *err)
{
    const char *path = arena_printf(a, "%s/" TUNNEL_LOCK, folder);
    const char *temporary = arena_printf(a, "%s.%d", path, (int)getpid());
    struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
    int fd = open(temporary, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600), r;

    if (fd < 0)
        return fail_errno(err, errno, "create %s", temporary);
    r = fcntl(fd, F_SETLK, &lock) < 0 || link(temporary, path) < 0 ? errno : 0;
    unlink(temporary);
    return r ? fail_errno(err, r, "take %s", path) : 0;
}

static int read_peer(const char *text, struct peer *ret, struct err *err)
{
    char address[INET_ADDRSTRLEN], host[INET_ADDRSTRLEN];
    int found = sscanf(text, "%d:%15[0-9.]:%15[0-9.]", &ret->number, address, host);

    if (found < 2 || ret->number < 1 || ret->number > ESP_HOSTS_MOST ||
        inet_pton(AF_INET, address, &ret->address) != 1 ||
        (found > 2 && !address_read(host, TUNNEL_PORT, &ret->host)))
        return fail(err, ERR_INVALID, "\"%s\" is no peer", text);
    ret->known = found > 2;
    return 0;
}

/* The first is who we are. */
static int read_peers(char **texts, int count, const unsigned char *secret, struct err *err)
{
    struct peer own = { 0 };

    if (read_peer(texts[0], &own, err) < 0)
        return -1;
    tunnel.own = own.address;
    tunnel.count = count - 1;
    tunnel.peers = calloc((size_t)count, sizeof *tunnel.peers);
    assert(tunnel.peers);
    for (int i = 0; i < tunnel.count; i++) {
        struct peer *p = &tunnel.peers[i];

        if (read_peer(texts[i + 1], p, err) < 0)
            return -1;
        if (p->number == own.number)
            return fail(err, ERR_INVALID, "peer %d is ourselves", p->number);
        p->out = esp_out_new(secret, own.number, p->number, ESP_REKEY);
        p->in = esp_in_new(secret, p->number, own.number);
    }
    qsort(tunnel.peers, (size_t)tunnel.count, sizeof *tunnel.peers, compare);
    for (int i = 0; i < tunnel.count; i++)
        tunnel.by_number[tunnel.peers[i].number] = &tunnel.peers[i];
    return 0;
}

static int read_order(struct arena *a, const char *folder, struct str *ret_secret, struct err *err)
{
    struct order *o = &tunnel.order;
    const struct doc *d;

    if (folder_read(a, folder, FOLDER_ORDER, &d, err) < 0)
        return -1;
    if (!d)
        return fail(err, ERR_NOT_FOUND, "%s has no order", folder);
    if (order_read(d, o, err) < 0)
        return -1;
    if (!base64_decode(a, str_of(o->tunnel_secret), ret_secret) || ret_secret->size != ESP_SECRET_SIZE)
        return fail(err, ERR_INVALID, "the order has no secret for the tunnel");
    return 0;
}

static void begin_thread(void *(*run)(void *))
{
    pthread_t thread;
    int r = pthread_create(&thread, NULL, run, NULL);

    assert(r == 0);
    pthread_detach(thread);
}

static int run(struct arena *a, const char *folder, char **peers, int count, struct err *err)
{
    struct str secret;

    tunnel.folder = folder;
    if (read_order(a, folder, &secret, err) < 0 || claim(a, folder, err) < 0 ||
        read_peers(peers, count, (const unsigned char *)secret.data, err) < 0)
        return -1;
    if (fcntl(TUNNEL_DEVICE_FD, F_SETFL, O_RDWR | O_NONBLOCK) < 0)
        return fail_errno(err, errno, "use the tunnel's device");
    burst_open(TUNNEL_SOCKET_FD);
    begin_thread(carry_out);
    begin_thread(carry_in);
    if (order_spans_machines(&tunnel.order))
        begin_thread(meet);
    log_info("tunnel.started", "folder=%s peers=%d", folder, tunnel.count);
    helper_stay(folder);
    return 0;
}

int main(int argc, char **argv)
{
    _cleanup_arena_ struct arena *a = arena_new();
    struct err err = { 0 };

    log_setup("sagebrush-tunnel", LOG_INFO);
    if (argc < 3 || argv[1][0] != '/') {
        fprintf(stderr, "usage: sagebrush-tunnel FOLDER OWN PEER...\n\nSeals what the instances of the job in FOLDER "
                        "send each other. Started by sagebrush-agent.\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    if (run(a, argv[1], argv + 2, argc - 2, &err) == 0)
        return 0;
    log_error("tunnel.failed", "folder=%s why=%s", argv[1], log_quote(a, err.text));
    return 1;
}
