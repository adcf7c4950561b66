/* netlink.h - interfaces, addresses and routes of the calling thread's network namespace. Hides libnl.
 *
 * What takes no err returns 0 or one of libnl's numbers below 0, which netlink_fail() puts into words. An address or a
 * route that is there already is fine. Addresses are in this host's byte order. */
#ifndef RUN_NETLINK_H
#define RUN_NETLINK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

struct nl_sock;

int netlink_open(struct nl_sock **ret, struct err *err);
void netlink_close(struct nl_sock *);
int netlink_fail(struct err *err, int code, const char *what);

int netlink_interface(struct nl_sock *, const char *name); /* its index; 0: there is none */
int netlink_up(struct nl_sock *, int interface);
int netlink_add_address(struct nl_sock *, int interface, uint32_t address, int prefix);
int netlink_add_route(struct nl_sock *, int interface, uint32_t target, int prefix, uint32_t gateway);

/* Two ends of one wire: 'name' here, the other one in that namespace. */
int netlink_add_pair(struct nl_sock *, const char *name, const char *peer_name, int peer_namespace);
void netlink_remove_interface(const char *name); /* not there is fine */

/* Of nftables, family ip. */
bool netlink_has_set(const char *table, const char *set);

#endif
