/* network.c - hides libnl.
 *
 * A /30 for each container out of 10.213.0.0/16: index i has this host at .1 and the container at .2 of
 * 10.213.0.0 + 4 i. The host's end is called sgb<i>, or sgi<i> for an isolated container, so that the rules of the
 * one nft table know them by name and no rule has to be made for each container. A reservation is a symlink
 * <index> -> <run folder>/<name>, which is made whole or not at all. Beside them an empty file <index>-<index>.pair,
 * the smaller one first, says that network_join() let two talk to each other: it is there before the two elements of
 * the table's set are and goes after them, with the first of the two, so that who gets an address later inherits no
 * pair. */
#include "run/network.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <net/if.h>
#include <netlink/attr.h>
#include <netlink/msg.h>
#include <netlink/route/addr.h>
#include <netlink/route/link.h>
#include <netlink/route/link/veth.h>
#include <netlink/route/nexthop.h>
#include <netlink/route/route.h>
#include <netlink/socket.h>
#include <pthread.h>
#include <sched.h>
#include <spawn.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"

#define POOL_FOLDER "/run/sagebrush/net"

enum { POOL_SIZE = 1 << 14, POOL_BASE = 10 << 24 | 213 << 16 };

/* One transaction, applied as a whole: again is harmless. This host forwards, so whoever is in the same network could
 * take it for a router to its containers, past the server that asks who is there: nobody is let in. And nobody speaks
 * with another's address, nor with the one that it has in a tunnel. */
static const char rules[] =
    "add table ip sagebrush\n"
    "flush table ip sagebrush\n"
    "table ip sagebrush {\n"
    "  set peers { type ipv4_addr . ipv4_addr; }\n"
    "  chain outbound { type nat hook postrouting priority 100; policy accept;\n"
    "    ip saddr 10.213.0.0/16 oifname \"lo\" accept;\n"
    "    ip saddr 10.213.0.0/16 oifname \"sgb*\" accept; ip saddr 10.213.0.0/16 oifname \"sgi*\" accept;\n"
    "    ip saddr 10.213.0.0/16 masquerade; }\n"
    "  chain forward { type filter hook forward priority 0; policy accept;\n"
    "    iifname \"sgb*\" ip saddr != 10.213.0.0/16 drop; iifname \"sgi*\" ip saddr != 10.213.0.0/16 drop;\n"
    "    ip saddr . ip daddr @peers accept;\n"
    "    iifname \"sgi*\" drop; oifname \"sgi*\" drop; iifname \"sgb*\" oifname \"sgb*\" drop;\n"
    "    oifname \"sgb*\" ct state new drop; }\n"
    "  chain inbound { type filter hook input priority 0; policy accept;\n"
    "    iifname \"sgb*\" ip saddr != 10.213.0.0/16 drop; iifname \"sgi*\" ip saddr != 10.213.0.0/16 drop;\n"
    "    iifname \"sgi*\" ct state new drop; }\n"
    "}\n";

static int run_nft(const char *text, struct err *err)
{
    static char *const arguments[] = { "nft", "-f", "-", NULL };
    static char *const environment[] = { "PATH=/usr/sbin:/usr/bin:/sbin:/bin", NULL };
    posix_spawn_file_actions_t actions;
    char said[512] = "", rest[4096];
    int in[2], out[2], status, r;
    size_t got = 0;
    ssize_t n;
    pid_t pid;

    if (pipe2(in, O_CLOEXEC) < 0)
        return fail_errno(err, errno, "run nft");
    if (pipe2(out, O_CLOEXEC) < 0) {
        close(in[0]);
        close(in[1]);
        return fail_errno(err, errno, "run nft");
    }
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, in[0], 0);
    posix_spawn_file_actions_adddup2(&actions, out[1], 1);
    posix_spawn_file_actions_adddup2(&actions, out[1], 2);
    r = posix_spawnp(&pid, "/usr/sbin/nft", &actions, NULL, arguments, environment);
    posix_spawn_file_actions_destroy(&actions);
    close(in[0]);
    close(out[1]);
    if (r) {
        close(in[1]);
        close(out[0]);
        return fail(err, ERR_UNAVAILABLE, "containers need nft for their outbound network: %s; install nftables",
                    strerror(r));
    }
    r = fd_write_all(in[1], text, strlen(text), err);
    close(in[1]);
    while ((n = read(out[0], said + got, sizeof said - 1 - got)) > 0)
        got += (size_t)n;
    /* To the end: nft dies of a pipe that is closed under it. */
    while (got == sizeof said - 1 && read(out[0], rest, sizeof rest) > 0)
        ;
    close(out[0]);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (r < 0)
        return -1;
    if (status != 0)
        return fail(err, ERR_INTERNAL, "nft refused the rules for containers: %s", said);
    return 0;
}

/* One at a time on this host: reservations, and the table that the first one makes and the last one removes. */
static int pool_lock(int *ret_fd, struct err *err)
{
    int fd;

    if (folder_make(POOL_FOLDER, 0755, err) < 0)
        return -1;
    fd = open(POOL_FOLDER "/lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return fail_errno(err, errno, "open " POOL_FOLDER "/lock");
    while (flock(fd, LOCK_EX) < 0)
        if (errno != EINTR) {
            close(fd);
            return fail_errno(err, errno, "lock " POOL_FOLDER);
        }
    *ret_fd = fd;
    return 0;
}

/* The index that 'owner' has reserved, -1 for none; *ret_others: how many reservations others have. */
static int pool_find(const char *owner, int *ret_others)
{
    DIR *folder = opendir(POOL_FOLDER);
    struct dirent *entry;
    int index = -1;

    *ret_others = 0;
    while (folder && (entry = readdir(folder)) != NULL) {
        char target[4096];
        int64_t n;
        ssize_t size;

        if (!str_to_int64(str_of(entry->d_name), &n))
            continue;
        size = readlinkat(dirfd(folder), entry->d_name, target, sizeof target);
        if (size < 0)
            continue;
        if ((size_t)size == strlen(owner) && memcmp(target, owner, (size_t)size) == 0)
            index = (int)n;
        else
            ++*ret_others;
    }
    if (folder)
        closedir(folder);
    return index;
}

/* The container's; this host's end is the one before it. */
static uint32_t address_of(int index)
{
    return (uint32_t)POOL_BASE + (uint32_t)index * 4 + 2;
}

static const char *dotted(struct arena *a, uint32_t address)
{
    return arena_printf(a, "%u.%u.%u.%u", address >> 24, address >> 16 & 255, address >> 8 & 255, address & 255);
}

static bool pair_read(const char *file, int *ret_low, int *ret_high)
{
    int end = 0;

    return sscanf(file, "%d-%d.pair%n", ret_low, ret_high, &end) == 2 && end && !file[end];
}

static const char *pair_path(struct arena *a, int one, int other)
{
    return arena_printf(a, POOL_FOLDER "/%d-%d.pair", one < other ? one : other, one < other ? other : one);
}

/* As elements of the set. */
static void pair_append(struct arena *a, struct buf *elements, int one, int other)
{
    const char *x = dotted(a, address_of(one)), *y = dotted(a, address_of(other));

    buf_printf(elements, "%s%s . %s, %s . %s", elements->size ? ", " : "", x, y, y, x);
}

/* Those with the index, -1: all. */
static void pairs_find(struct arena *a, int index, struct buf *elements)
{
    DIR *folder = opendir(POOL_FOLDER);
    struct dirent *entry;
    int low, high;

    while (folder && (entry = readdir(folder)) != NULL)
        if (pair_read(entry->d_name, &low, &high) && (index < 0 || low == index || high == index))
            pair_append(a, elements, low, high);
    if (folder)
        closedir(folder);
}

/* The table and what is let through come in one step: there is no moment without the one or the other. */
static int make_rules(struct err *err)
{
    _cleanup_arena_ struct arena *a = arena_new();
    _cleanup_buf_ struct buf elements = { 0 }, text = { 0 };

    pairs_find(a, -1, &elements);
    buf_printf(&text, "%s", rules);
    if (elements.size)
        buf_printf(&text, "add element ip sagebrush peers { %s }\n", elements.data);
    if (run_nft(text.data, err) < 0)
        return -1;
    return file_write_atomic(POOL_FOLDER "/rules", rules, sizeof rules - 1, 0600, err);
}

static int ask_for_set(struct nl_sock *s, struct nl_msg *m)
{
    struct nfgenmsg ip = { .nfgen_family = NFPROTO_IPV4 };

    if (!nlmsg_put(m, NL_AUTO_PORT, NL_AUTO_SEQ, NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETSET, 0, 0) ||
        nlmsg_append(m, &ip, sizeof ip, NLMSG_ALIGNTO) < 0 || nla_put_string(m, NFTA_SET_TABLE, "sagebrush") < 0 ||
        nla_put_string(m, NFTA_SET_NAME, "peers") < 0)
        return -NLE_NOMEM;
    return nl_send_auto(s, m) < 0 ? -NLE_FAILURE : nl_wait_for_ack(s);
}

/* The kernel is asked, not the file: a firewall that reloads takes our table along, and isolation with it. And not nft:
 * starting it takes longer than all else that a container's network does. */
static bool has_table(void)
{
    struct nl_sock *s = nl_socket_alloc();
    struct nl_msg *m = nlmsg_alloc();
    bool there = s && m && nl_connect(s, NETLINK_NETFILTER) == 0 && ask_for_set(s, m) == 0;

    nlmsg_free(m);
    nl_socket_free(s);
    return there;
}

/* The file says which: those of the version of this program before may be there. */
static bool has_rules(struct arena *a)
{
    struct err ignored;
    struct str made;

    return file_read(a, POOL_FOLDER "/rules", sizeof rules, &made, &ignored) == 0 && str_is(made, rules) &&
           has_table();
}

/* Those of another root on this machine, whose reservations stand elsewhere, go through the same interfaces and the
 * same table. */
static bool is_taken(int index)
{
    char bridged[IF_NAMESIZE], isolated[IF_NAMESIZE];

    snprintf(bridged, sizeof bridged, "sgb%d", index);
    snprintf(isolated, sizeof isolated, "sgi%d", index);
    return if_nametoindex(bridged) || if_nametoindex(isolated);
}

static bool any_taken(void)
{
    struct if_nameindex *all = if_nameindex();
    bool found = !all; /* nobody can tell */

    for (struct if_nameindex *i = all; i && i->if_name; i++)
        found |= strncmp(i->if_name, "sgb", 3) == 0 || strncmp(i->if_name, "sgi", 3) == 0;
    if_freenameindex(all);
    return found;
}

/* After a reservation, so that nobody who leaves takes the table along. */
static int need_rules(struct err *err)
{
    _cleanup_arena_ struct arena *a = arena_new();
    _cleanup_fd_ int lock = -1;

    if (pool_lock(&lock, err) < 0)
        return -1;
    return has_rules(a) ? 0 : make_rules(err);
}

static int pool_reserve(const char *owner, int *ret_index, struct err *err)
{
    _cleanup_arena_ struct arena *a = arena_new();
    _cleanup_fd_ int lock = -1;
    uint32_t hash = 2166136261u;
    int others;

    if (pool_lock(&lock, err) < 0)
        return -1;
    *ret_index = pool_find(owner, &others);
    if (*ret_index >= 0)
        return 0;
    for (const char *p = owner; *p; p++)
        hash = (hash ^ (unsigned char)*p) * 16777619u;
    for (int i = 0; i < POOL_SIZE; i++) {
        int index = (int)((hash + (uint32_t)i) % POOL_SIZE);

        if (is_taken(index))
            continue;
        if (symlink(owner, arena_printf(a, POOL_FOLDER "/%d", index)) == 0) {
            *ret_index = index;
            return 0;
        }
        if (errno != EEXIST)
            return fail_errno(err, errno, "reserve an address");
    }
    return fail(err, ERR_LIMIT, "no container address is free: all %d are in use", POOL_SIZE);
}

/* libnl's failures carry its own numbers. */
static int fail_nl(struct err *err, int code, const char *what)
{
    return fail(err, ERR_INTERNAL, "%s: %s", what, nl_geterror(code));
}

static int open_nl(struct nl_sock **ret, struct err *err)
{
    struct nl_sock *s = nl_socket_alloc();
    int r = s ? nl_connect(s, NETLINK_ROUTE) : -NLE_NOMEM;

    if (r < 0) {
        nl_socket_free(s);
        return fail_nl(err, r, "open netlink");
    }
    *ret = s;
    return 0;
}

static int add_address(struct nl_sock *s, int interface, uint32_t address, int prefix)
{
    uint32_t net = htonl(address);
    struct rtnl_addr *ra = rtnl_addr_alloc();
    struct nl_addr *local = nl_addr_build(AF_INET, &net, sizeof net);
    int r;

    nl_addr_set_prefixlen(local, prefix);
    rtnl_addr_set_ifindex(ra, interface);
    rtnl_addr_set_local(ra, local);
    r = rtnl_addr_add(s, ra, 0);
    nl_addr_put(local);
    rtnl_addr_put(ra);
    return r == -NLE_EXIST ? 0 : r;
}

/* The interface by name: its index, 0 when there is none. */
static int interface_of(struct nl_sock *s, const char *name)
{
    struct rtnl_link *link = NULL;
    int index = 0;

    if (rtnl_link_get_kernel(s, 0, name, &link) == 0) {
        index = rtnl_link_get_ifindex(link);
        rtnl_link_put(link);
    }
    return index;
}

static int interface_up(struct nl_sock *s, int interface)
{
    struct rtnl_link *now = rtnl_link_alloc(), *change = rtnl_link_alloc();
    int r;

    rtnl_link_set_ifindex(now, interface);
    rtnl_link_set_ifindex(change, interface);
    rtnl_link_set_flags(change, IFF_UP);
    r = rtnl_link_change(s, now, change, 0);
    rtnl_link_put(now);
    rtnl_link_put(change);
    return r;
}

static int add_route(struct nl_sock *s, int interface, uint32_t target, int prefix, uint32_t gateway)
{
    uint32_t net = htonl(gateway), destination = htonl(target);
    struct rtnl_route *route = rtnl_route_alloc();
    struct rtnl_nexthop *hop = rtnl_route_nh_alloc();
    struct nl_addr *to = nl_addr_build(AF_INET, &destination, sizeof destination);
    struct nl_addr *via = nl_addr_build(AF_INET, &net, sizeof net);
    int r;

    nl_addr_set_prefixlen(to, prefix);
    rtnl_route_set_family(route, AF_INET);
    rtnl_route_set_dst(route, to);
    rtnl_route_nh_set_ifindex(hop, interface);
    rtnl_route_nh_set_gateway(hop, via);
    rtnl_route_add_nexthop(route, hop);
    r = rtnl_route_add(s, route, 0);
    nl_addr_put(to);
    nl_addr_put(via);
    rtnl_route_put(route);
    return r == -NLE_EXIST ? 0 : r;
}

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

static int add_pair(struct nl_sock *s, const struct setup *in)
{
    struct rtnl_link *link = rtnl_link_veth_alloc(), *peer = rtnl_link_veth_get_peer(link);
    int r;

    rtnl_link_set_name(link, in->interface);
    rtnl_link_set_name(peer, in->host_end);
    rtnl_link_set_ns_fd(peer, in->host_namespace);
    r = rtnl_link_add(s, link, NLM_F_CREATE | NLM_F_EXCL);
    rtnl_link_put(peer);
    rtnl_link_put(link);
    return r;
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

    if (ipv6_off("all", err) < 0 || ipv6_off("default", err) < 0 || open_nl(&s, err) < 0)
        return -1;
    lo = interface_of(s, "lo");
    r = interface_up(s, lo);
    /* Where the credentials and the metadata of a container are asked for. */
    if (r == 0 && in->out)
        r = add_address(s, lo, 169u << 24 | 254 << 16 | 170 << 8 | 2, 32);
    if (r == 0 && in->out)
        r = add_address(s, lo, 169u << 24 | 254 << 16 | 169 << 8 | 254, 32);
    if (r == 0 && *in->interface) {
        eth = interface_of(s, in->interface);
        if (!eth) {
            r = add_pair(s, in);
            eth = interface_of(s, in->interface);
        }
        if (r == 0)
            r = add_address(s, eth, in->address, 30);
        if (r == 0)
            r = interface_up(s, eth);
        if (r == 0 && in->out)
            r = add_route(s, eth, 0, 0, in->gateway);
        if (r == 0 && in->peers)
            r = add_route(s, eth, POOL_BASE, 16, in->gateway);
    }
    nl_socket_free(s);
    return r < 0 ? fail_nl(err, r, "set up the container's network") : 0;
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

    if (ipv6_off(name, err) < 0 || open_nl(&s, err) < 0)
        return -1;
    interface = interface_of(s, name);
    r = interface ? add_address(s, interface, gateway, 30) : -NLE_NODEV;
    if (r == 0)
        r = interface_up(s, interface);
    nl_socket_free(s);
    return r < 0 ? fail_nl(err, r, "set up the host's end of a container's network") : 0;
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
        in.address = address_of(index);
        in.gateway = in.address - 1;
        in.host_end = arena_printf(a, "%s%d", out ? "sgb" : "sgi", index);
        n.address = dotted(a, in.address);
        n.gateway = dotted(a, in.gateway);
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

    e->result = need_rules(&e->err);
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
    if (pool_reserve(arena_printf(a, "%s/%s", run_folder, name), &index, err) < 0)
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
        if (pool_reserve(arena_printf(a, "%s/%s", run_folder, peers[i]), &index, err) < 0)
            return -1;
        ret_peers[i] = (struct network){ .namespace_path = namespace_path(a, run_folder, peers[i]),
                                         .address = dotted(a, address_of(index)),
                                         .gateway = dotted(a, address_of(index) - 1) };
    }
    return 0;
}

/* The index of one who has not left since. */
static bool find_reserved(struct arena *a, const char *run_folder, const char *name, int *ret_index)
{
    int others;

    *ret_index = pool_find(arena_printf(a, "%s/%s", run_folder, name), &others);
    return *ret_index >= 0;
}

int network_join(struct arena *a, const char *run_folder, const char *name, const char *const *peers, int count,
                 struct network *ret_peers, struct err *err)
{
    _cleanup_buf_ struct buf elements = { 0 };
    _cleanup_fd_ int lock = -1;
    int index, other;

    if (network_meet(a, run_folder, peers, count, ret_peers, err) < 0 || pool_lock(&lock, err) < 0)
        return -1;
    if (!find_reserved(a, run_folder, name, &index))
        return fail(err, ERR_CONFLICT, "%s has no network any more", name);
    for (int i = 0; i < count; i++) {
        if (!find_reserved(a, run_folder, peers[i], &other))
            continue;
        if (file_write_atomic(pair_path(a, index, other), "", 0, 0600, err) < 0)
            return -1;
        pair_append(a, &elements, index, other);
    }
    return elements.size ? run_nft(arena_printf(a, "add element ip sagebrush peers { %s }\n", elements.data), err) : 0;
}

/* Under the lock. Adding what is there is harmless, so that what may be gone is added before it is deleted. */
static int leave_peers(struct arena *a, int index, struct err *err)
{
    _cleanup_buf_ struct buf elements = { 0 };
    DIR *folder;
    struct dirent *entry;
    int low, high, result = 0;

    pairs_find(a, index, &elements);
    if (!elements.size)
        return 0;
    /* Without the table nobody is let through either. */
    if (run_nft(arena_printf(a, "add element ip sagebrush peers { %s }\ndelete element ip sagebrush peers { %s }\n",
                             elements.data, elements.data), err) < 0 && has_table())
        return -1;
    folder = opendir(POOL_FOLDER);
    while (folder && result == 0 && (entry = readdir(folder)) != NULL)
        if (pair_read(entry->d_name, &low, &high) && (low == index || high == index) &&
            unlinkat(dirfd(folder), entry->d_name, 0) < 0 && errno != ENOENT)
            result = fail_errno(err, errno, "remove " POOL_FOLDER "/%s", entry->d_name);
    if (folder)
        closedir(folder);
    return result;
}

static void remove_interface(const char *name)
{
    struct err ignored;
    struct nl_sock *s;
    struct rtnl_link *link = NULL;

    if (open_nl(&s, &ignored) < 0)
        return;
    if (rtnl_link_get_kernel(s, 0, name, &link) == 0) {
        rtnl_link_delete(s, link);
        rtnl_link_put(link);
    }
    nl_socket_free(s);
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
    if (!path_exists(POOL_FOLDER))
        return 0;
    if (pool_lock(&lock, err) < 0)
        return -1;
    index = pool_find(arena_printf(a, "%s/%s", run_folder, name), &others);
    if (index < 0)
        return 0;
    if (leave_peers(a, index, err) < 0)
        return -1;
    /* The namespace takes its interfaces along, but later, when the kernel finds the time: the name must be free when
     * the reservation is. */
    remove_interface(arena_printf(a, "sgb%d", index));
    remove_interface(arena_printf(a, "sgi%d", index));
    if (others == 0 && !any_taken() && path_exists(POOL_FOLDER "/rules")) {
        struct err ignored;

        /* The mark goes first: who dies in between leaves a table that the next one makes anew. */
        unlink(POOL_FOLDER "/rules");
        run_nft("delete table ip sagebrush\n", &ignored); /* gone already is fine */
    }
    if (unlink(arena_printf(a, POOL_FOLDER "/%d", index)) < 0 && errno != ENOENT)
        return fail_errno(err, errno, "give back address %d", index);
    return 0;
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
