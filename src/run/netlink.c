#include "run/netlink.h"

#include <arpa/inet.h>
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

int netlink_fail(struct err *err, int code, const char *what)
{
    return fail(err, ERR_INTERNAL, "%s: %s", what, nl_geterror(code));
}

int netlink_open(struct nl_sock **ret, struct err *err)
{
    struct nl_sock *s = nl_socket_alloc();
    int r = s ? nl_connect(s, NETLINK_ROUTE) : -NLE_NOMEM;

    if (r < 0) {
        nl_socket_free(s);
        return netlink_fail(err, r, "open netlink");
    }
    *ret = s;
    return 0;
}

void netlink_close(struct nl_sock *s)
{
    nl_socket_free(s);
}

int netlink_add_address(struct nl_sock *s, int interface, uint32_t address, int prefix)
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

int netlink_interface(struct nl_sock *s, const char *name)
{
    struct rtnl_link *link = NULL;
    int index = 0;

    if (rtnl_link_get_kernel(s, 0, name, &link) == 0) {
        index = rtnl_link_get_ifindex(link);
        rtnl_link_put(link);
    }
    return index;
}

int netlink_up(struct nl_sock *s, int interface)
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

int netlink_add_route(struct nl_sock *s, int interface, uint32_t target, int prefix, uint32_t gateway)
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

int netlink_add_pair(struct nl_sock *s, const char *name, const char *peer_name, int peer_namespace)
{
    struct rtnl_link *link = rtnl_link_veth_alloc(), *peer = rtnl_link_veth_get_peer(link);
    int r;

    rtnl_link_set_name(link, name);
    rtnl_link_set_name(peer, peer_name);
    rtnl_link_set_ns_fd(peer, peer_namespace);
    r = rtnl_link_add(s, link, NLM_F_CREATE | NLM_F_EXCL);
    rtnl_link_put(peer);
    rtnl_link_put(link);
    return r;
}

void netlink_remove_interface(const char *name)
{
    struct err ignored;
    struct nl_sock *s;
    struct rtnl_link *link = NULL;

    if (netlink_open(&s, &ignored) < 0)
        return;
    if (rtnl_link_get_kernel(s, 0, name, &link) == 0) {
        rtnl_link_delete(s, link);
        rtnl_link_put(link);
    }
    nl_socket_free(s);
}

static int ask_for_set(struct nl_sock *s, struct nl_msg *m, const char *table, const char *set)
{
    struct nfgenmsg ip = { .nfgen_family = NFPROTO_IPV4 };

    if (!nlmsg_put(m, NL_AUTO_PORT, NL_AUTO_SEQ, NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETSET, 0, 0) ||
        nlmsg_append(m, &ip, sizeof ip, NLMSG_ALIGNTO) < 0 || nla_put_string(m, NFTA_SET_TABLE, table) < 0 ||
        nla_put_string(m, NFTA_SET_NAME, set) < 0)
        return -NLE_NOMEM;
    return nl_send_auto(s, m) < 0 ? -NLE_FAILURE : nl_wait_for_ack(s);
}

bool netlink_has_set(const char *table, const char *set)
{
    struct nl_sock *s = nl_socket_alloc();
    struct nl_msg *m = nlmsg_alloc();
    bool there = s && m && nl_connect(s, NETLINK_NETFILTER) == 0 && ask_for_set(s, m, table, set) == 0;

    nlmsg_free(m);
    nl_socket_free(s);
    return there;
}
