/* network.c - the namespace of a container, and the two ends of its wire. */
#include "run/network.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "run/netlink.h"
#include "run/network_pool.h"
#include "run/network_rules.h"

/* How a namespace is to look. */
struct setup {
    const char *interface; /* of the pair's end in it; "": no pair */
    const char *host_end;  /* the other end's name */
    int host_namespace;
    uint32_t address, gateway;
    bool out, peers;
};

static bool is_namespace(const char *path)
{
    struct statfs fs;

    return statfs(path, &fs) == 0 && fs.f_type == NSFS_MAGIC;
}

/* Enters the namespace of the name, making it when it is not there. */
static int enter(const char *path, struct err *err)
{
    _cleanup_fd_ int fd = -1;

    if (!is_namespace(path)) {
        fd = open(path, O_RDONLY | O_CREAT | O_CLOEXEC, 0600);
        if (fd < 0)
            return fail_errno(err, errno, "create %s", path);
        if (unshare(CLONE_NEWNET) < 0)
            return fail_errno(err, errno, "make a network namespace");
        if (mount("/proc/thread-self/ns/net", path, NULL, MS_BIND, NULL) < 0)
            return fail_errno(err, errno, "keep the network namespace at %s", path);
        return 0;
    }
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || setns(fd, CLONE_NEWNET) < 0)
        return fail_errno(err, errno, "enter %s", path);
    return 0;
}

/* Our rules and addresses are IPv4: over IPv6's link-local addresses a container would reach past them. /proc/sys/net
 * is that of the calling thread's namespace. A kernel without IPv6 has no such file. */
static int ipv6_off(const char *interface, struct err *err)
{
    _cleanup_fd_ int fd = -1;
    char path[128];

    snprintf(path, sizeof path, "/proc/sys/net/ipv6/conf/%s/disable_ipv6", interface);
    fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT)
        return 0;
    if (fd < 0 || write(fd, "1\n", 2) != 2)
        return fail_errno(err, errno, "write %s", path);
    return 0;
}

static int set_up_inside(void *data, struct err *err)
{
    const struct setup *in = data;
    struct nl_sock *s = NULL;
    int lo, eth, r;

    if (ipv6_off("all", err) < 0 || ipv6_off("default", err) < 0 || netlink_open(&s, err) < 0)
        return -1;
    lo = netlink_interface(s, "lo");
    r = netlink_up(s, lo);
    /* Where the credentials and the metadata of a container are asked for. */
    if (r == 0 && in->out)
        r = netlink_add_address(s, lo, 169u << 24 | 254 << 16 | 170 << 8 | 2, 32);
    if (r == 0 && in->out)
        r = netlink_add_address(s, lo, 169u << 24 | 254 << 16 | 169 << 8 | 254, 32);
    if (r == 0 && *in->interface) {
        eth = netlink_interface(s, in->interface);
        if (!eth) {
            r = netlink_add_pair(s, in->interface, in->host_end, in->host_namespace);
            eth = netlink_interface(s, in->interface);
        }
        if (r == 0)
            r = netlink_add_address(s, eth, in->address, 30);
        if (r == 0)
            r = netlink_up(s, eth);
        if (r == 0 && in->out)
            r = netlink_add_route(s, eth, 0, 0, in->gateway);
        if (r == 0 && in->peers)
            r = netlink_add_route(s, eth, NETWORK_BASE, 16, in->gateway);
    }
    netlink_close(s);
    return r < 0 ? netlink_fail(err, r, "set up the container's network") : 0;
}

struct errand {
    const char *path; /* the namespace's file */
    int (*run)(void *data, struct err *err);
    void *data;
    struct err *err;
    int result;
};

static void *errand_thread(void *data)
{
    struct errand *e = data;

    e->result = enter(e->path, e->err) < 0 ? -1 : e->run(e->data, e->err);
    return NULL;
}

/* A thread of its own enters the namespace and ends: nobody else is moved. */
static int inside(const char *path, int (*run)(void *data, struct err *err), void *data, struct err *err)
{
    struct errand e = { .path = path, .run = run, .data = data, .err = err, .result = -1 };
    pthread_t thread;
    int r = pthread_create(&thread, NULL, errand_thread, &e);

    if (r)
        return fail_errno(err, r, "start a thread");
    pthread_join(thread, NULL);
    return e.result;
}

static int set_up_host_end(const char *name, uint32_t gateway, struct err *err)
{
    struct nl_sock *s;
    int interface, r;

    if (ipv6_off(name, err) < 0 || netlink_open(&s, err) < 0)
        return -1;
    interface = netlink_interface(s, name);
    r = netlink_add_address(s, interface, gateway, 30);
    if (r == 0)
        r = netlink_up(s, interface);
    netlink_close(s);
    return r < 0 ? netlink_fail(err, r, "set up the host's end of a container's network") : 0;
}

static int forwarding_on(struct err *err)
{
    _cleanup_fd_ int fd = open("/proc/sys/net/ipv4/ip_forward", O_RDWR | O_CLOEXEC);
    char now = 0;

    if (fd < 0)
        return fail_errno(err, errno, "open /proc/sys/net/ipv4/ip_forward");
    if (pread(fd, &now, 1, 0) == 1 && now == '1')
        return 0;
    if (pwrite(fd, "1\n", 2, 0) != 2)
        return fail_errno(err, errno, "switch IP forwarding on for containers");
    return 0;
}

static const char *namespace_path(struct arena *a, const char *run_folder, const char *name)
{
    return arena_printf(a, "%s/netns/%s", run_folder, name);
}

static const char *interface_in(enum network_mode mode)
{
    return mode == NETWORK_NONE ? "" : mode == NETWORK_SECOND ? "eth1" : "eth0";
}

/* 'index' is of no meaning for NETWORK_NONE. */
static int set_up_namespace(struct arena *a, const char *run_folder, const char *name, enum network_mode mode,
                            int index, struct network *ret, struct err *err)
{
    _cleanup_fd_ int here = -1;
    bool out = mode == NETWORK_OUT || mode == NETWORK_SECOND;
    struct network n = { .namespace_path = namespace_path(a, run_folder, name), .address = "", .gateway = "",
                         .interface = interface_in(mode) };
    struct setup in = { .interface = n.interface, .out = out, .peers = mode == NETWORK_PEERS };

    if (folder_make(arena_printf(a, "%s/netns", run_folder), 0700, err) < 0)
        return -1;
    if (mode != NETWORK_NONE) {
        here = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
        if (here < 0)
            return fail_errno(err, errno, "open our network namespace");
        in.host_namespace = here;
        in.address = network_pool_address(index);
        in.gateway = in.address - 1;
        in.host_end = arena_printf(a, "%s%d", out ? "sgb" : "sgi", index);
        n.address = network_dotted(a, in.address);
        n.gateway = network_dotted(a, in.gateway);
    }
    if (inside(n.namespace_path, set_up_inside, &in, err) < 0)
        return -1;
    if (in.host_end && set_up_host_end(in.host_end, in.gateway, err) < 0)
        return -1;
    if ((out || mode == NETWORK_PEERS) && forwarding_on(err) < 0)
        return -1;
    *ret = n;
    return 0;
}

struct rules_errand {
    struct err err;
    int result;
};

static void *rules_thread(void *data)
{
    struct rules_errand *e = data;

    e->result = network_rules_need(&e->err);
    return NULL;
}

/* nft takes as long for the table as all the rest takes: the two go at once, and nothing runs in there before both are
 * over. */
int network_setup(struct arena *a, const char *run_folder, const char *name, enum network_mode mode,
                  struct network *ret, struct err *err)
{
    struct rules_errand made = { .result = -1 };
    struct network n;
    pthread_t thread;
    int index, r;

    if (mode == NETWORK_NONE)
        return set_up_namespace(a, run_folder, name, mode, 0, ret, err);
    if (network_pool_reserve(arena_printf(a, "%s/%s", run_folder, name), &index, err) < 0)
        return -1;
    r = pthread_create(&thread, NULL, rules_thread, &made);
    if (r)
        return fail_errno(err, r, "start a thread");
    r = set_up_namespace(a, run_folder, name, mode, index, &n, err);
    pthread_join(thread, NULL);
    if (r < 0)
        return -1;
    if (made.result < 0) {
        *err = made.err;
        return -1;
    }
    *ret = n;
    return 0;
}

int network_meet(struct arena *a, const char *run_folder, const char *const *peers, int count,
                 struct network *ret_peers, struct err *err)
{
    int index;

    for (int i = 0; i < count; i++) {
        if (network_pool_reserve(arena_printf(a, "%s/%s", run_folder, peers[i]), &index, err) < 0)
            return -1;
        ret_peers[i] = (struct network){ .namespace_path = namespace_path(a, run_folder, peers[i]),
                                         .address = network_dotted(a, network_pool_address(index)),
                                         .gateway = network_dotted(a, network_pool_address(index) - 1) };
    }
    return 0;
}

/* The index of one who has not left since. */
static bool find_reserved(struct arena *a, const char *run_folder, const char *name, int *ret_index)
{
    int others;

    *ret_index = network_pool_find(arena_printf(a, "%s/%s", run_folder, name), &others);
    return *ret_index >= 0;
}

int network_join(struct arena *a, const char *run_folder, const char *name, const char *const *peers, int count,
                 struct network *ret_peers, struct err *err)
{
    int *others = arena_array_of(a, int, (size_t)count + 1), there = 0, index;
    _cleanup_fd_ int lock = -1;

    if (network_meet(a, run_folder, peers, count, ret_peers, err) < 0 || network_pool_lock(&lock, err) < 0)
        return -1;
    if (!find_reserved(a, run_folder, name, &index))
        return fail(err, ERR_CONFLICT, "%s has no network any more", name);
    for (int i = 0; i < count; i++)
        there += find_reserved(a, run_folder, peers[i], &others[there]);
    return network_rules_join(a, index, others, there, err);
}

int network_remove(struct arena *a, const char *run_folder, const char *name, struct err *err)
{
    const char *path = namespace_path(a, run_folder, name);
    _cleanup_fd_ int lock = -1;
    int index, others;

    if (path_exists(path)) {
        while (umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW) == 0)
            ;
        if (unlink(path) < 0 && errno != ENOENT)
            return fail_errno(err, errno, "remove %s", path);
    }
    if (!path_exists(NETWORK_FOLDER))
        return 0;
    if (network_pool_lock(&lock, err) < 0)
        return -1;
    index = network_pool_find(arena_printf(a, "%s/%s", run_folder, name), &others);
    if (index < 0)
        return 0;
    if (network_rules_leave(a, index, err) < 0)
        return -1;
    /* The namespace takes its interfaces along, but later, when the kernel finds the time: the name must be free when
     * the reservation is. */
    netlink_remove_interface(arena_printf(a, "sgb%d", index));
    netlink_remove_interface(arena_printf(a, "sgi%d", index));
    if (others == 0 && !network_pool_in_use())
        network_rules_remove();
    return network_pool_give_back(index, err);
}

struct listening {
    const char *address;
    int port, fd;
};

static int listen_inside(void *data, struct err *err)
{
    struct listening *l = data;
    struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons((uint16_t)l->port) };
    _cleanup_fd_ int fd = -1;
    int one = 1;

    if (inet_pton(AF_INET, l->address, &to.sin_addr) != 1)
        return fail(err, ERR_INVALID, "%s is no address", l->address);
    fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) < 0 ||
        bind(fd, (struct sockaddr *)&to, sizeof to) < 0 || listen(fd, 128) < 0)
        return fail_errno(err, errno, "listen on %s:%d in the container's network", l->address, l->port);
    l->fd = fd;
    fd = -1;
    return 0;
}

int network_listen(const struct network *n, const char *address, int port, int *ret_fd, struct err *err)
{
    struct listening l = { address, port, -1 };

    if (inside(n->namespace_path, listen_inside, &l, err) < 0)
        return -1;
    *ret_fd = l.fd;
    return 0;
}

int network_inside(const struct network *n, int (*run)(void *data, struct err *err), void *data, struct err *err)
{
    return inside(n->namespace_path, run, data, err);
}
