#include "run/tunnel_device.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <net/route.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "net/address.h"
#include "sign/esp.h"

#define DEVICE "/dev/net/tun"

enum { SOCKET_BYTES = 8 << 20, USUAL_MTU = 1500, UDP_HEAD = 8, IP_HEAD = 20, IP6_HEAD = 40, ANY_PORT = 9 };

/* What differs between the two kinds. */
struct kind {
    const char *interface;
    const char *halves[2]; /* of all addresses that there may be */
    const char *mask;      /* of the device's: frameworks take for neighbours whom it covers. NULL: of itself alone */
};

static const struct kind here = { "tunnel0", { "10.213.0.0", "10.213.128.0" }, NULL };
static const struct kind abroad = { "eth0", { "10.214.0.0", "10.214.128.0" }, "255.255.0.0" };

struct opening {
    const struct tunnel_device *of;
    const struct kind *kind;
    int mtu, device;
};

const char *tunnel_address(struct arena *a, int number)
{
    return arena_printf(a, "10.214.%d.%d", number >> 8, number & 255);
}

int tunnel_device_check(struct err *err)
{
    if (access(DEVICE, R_OK | W_OK) == 0)
        return 0;
    return fail(err, ERR_INVALID,
                "instances that encrypt what they send each other (EnableInterContainerTrafficEncryption), or are on "
                "different machines, need " DEVICE ", which this machine does not have (%s): load the kernel's module "
                "tun.", strerror(errno));
}

/* --- The device --- */

static struct sockaddr_in address_in(const char *text, int port)
{
    struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };

    inet_pton(AF_INET, text, &in.sin_addr);
    return in;
}

static struct ifreq request(const char *interface)
{
    struct ifreq r = { 0 };

    snprintf(r.ifr_name, sizeof r.ifr_name, "%s", interface);
    return r;
}

static int set_address(int s, const char *interface, unsigned long what, const char *address)
{
    struct ifreq r = request(interface);
    struct sockaddr_in in = address_in(address, 0);

    memcpy(&r.ifr_addr, &in, sizeof in);
    return ioctl(s, what, &r);
}

static int set_up(int s, const struct opening *o)
{
    const struct kind *k = o->kind;
    struct ifreq mtu = request(k->interface), up = request(k->interface);

    mtu.ifr_mtu = o->mtu;
    up.ifr_flags = IFF_UP;
    if (set_address(s, k->interface, SIOCSIFADDR, o->of->address) < 0 ||
        (k->mask && set_address(s, k->interface, SIOCSIFNETMASK, k->mask) < 0) || ioctl(s, SIOCSIFMTU, &mtu) < 0)
        return -1;
    return ioctl(s, SIOCSIFFLAGS, &up);
}

/* To nowhere without an interface. */
static int add_route(int s, const char *to, const char *mask, const char *interface)
{
    struct sockaddr_in destination = address_in(to, 0), netmask = address_in(mask, 0);
    char name[IFNAMSIZ];
    struct rtentry route = { .rt_flags = RTF_UP | (interface ? RTF_HOST : RTF_REJECT),
                             .rt_dev = interface ? name : NULL };

    snprintf(name, sizeof name, "%s", interface ? interface : "");
    memcpy(&route.rt_dst, &destination, sizeof destination);
    memcpy(&route.rt_genmask, &netmask, sizeof netmask);
    return ioctl(s, SIOCADDRT, &route) < 0 && errno != EEXIST ? -1 : 0;
}

/* The device belongs to the network in which it is opened, for good. */
static int open_inside(void *data, struct err *err)
{
    struct opening *o = data;
    _cleanup_fd_ int device = open(DEVICE, O_RDWR | O_CLOEXEC), s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct ifreq make = request(o->kind->interface);

    if (device < 0)
        return fail_errno(err, errno, "open " DEVICE);
    if (s < 0)
        return fail_errno(err, errno, "make a socket");
    make.ifr_flags = IFF_TUN | IFF_NO_PI;
    if (ioctl(device, TUNSETIFF, &make) < 0)
        return errno == EBUSY ? fail(err, ERR_CONFLICT, "the container has its tunnel already")
                              : fail_errno(err, errno, "make the tunnel's device");
    /* First what nobody may be reached by: there is no moment with another way. In halves, which come before a way to
     * the whole. */
    for (int i = 0; i < 2; i++)
        if (add_route(s, o->kind->halves[i], "255.255.128.0", NULL) < 0)
            return fail_errno(err, errno, "close the way around the tunnel");
    if (set_up(s, o) < 0)
        return fail_errno(err, errno, "set up the tunnel's device");
    for (const char *const *peer = o->of->peers; *peer; peer++)
        if (add_route(s, *peer, "255.255.255.255", o->kind->interface) < 0)
            return fail_errno(err, errno, "route %s through the tunnel", *peer);
    o->device = device;
    device = -1;
    return 0;
}

/* --- The socket --- */

static int open_socket(const struct sockaddr_storage *own, int level, int option, int value, int *ret, struct err *err)
{
    _cleanup_fd_ int s = socket(own->ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    char text[ENDPOINT_TEXT];
    int size = SOCKET_BYTES;

    endpoint_print(own, text);
    if (s < 0 || setsockopt(s, level, option, &value, sizeof value) < 0 ||
        setsockopt(s, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size) < 0 ||
        setsockopt(s, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof size) < 0 ||
        bind(s, (const struct sockaddr *)own, address_size(own)) < 0)
        return fail_errno(err, errno, "open the tunnel's socket at %s", text);
    *ret = s;
    s = -1;
    return 0;
}

/* Only to who is on this host: as long as a peer has no address yet, its datagrams must not look for it elsewhere. */
static int open_here(const char *gateway, int *ret, struct err *err)
{
    struct sockaddr_storage own;

    if (!address_read(gateway, TUNNEL_PORT, &own))
        return fail(err, ERR_INVALID, "\"%s\" is no address for a tunnel", gateway);
    return open_socket(&own, SOL_SOCKET, SO_DONTROUTE, 1, ret, err);
}

/* By which this machine reaches the server; on the server's machine it is the server's. */
static int find_own(const char *server, struct sockaddr_storage *ret, struct err *err)
{
    struct sockaddr_storage to;
    socklen_t size = sizeof *ret;
    _cleanup_fd_ int s = -1;

    if (!address_read(server, ANY_PORT, &to))
        return fail(err, ERR_INVALID, "\"%s\" is no address of a server", server);
    s = socket(to.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (s < 0 || connect(s, (struct sockaddr *)&to, address_size(&to)) < 0 ||
        getsockname(s, (struct sockaddr *)ret, &size) < 0)
        return fail_errno(err, errno, "find the way to the server at %s", server);
    return 0;
}

static bool same_address(const struct sockaddr *one, const struct sockaddr_storage *other)
{
    if (!one || one->sa_family != other->ss_family)
        return false;
    if (one->sa_family == AF_INET)
        return ((const struct sockaddr_in *)(const void *)one)->sin_addr.s_addr ==
               ((const struct sockaddr_in *)other)->sin_addr.s_addr;
    return IN6_ARE_ADDR_EQUAL(&((const struct sockaddr_in6 *)(const void *)one)->sin6_addr,
                              &((const struct sockaddr_in6 *)other)->sin6_addr);
}

/* Of the interface that has the address. */
static int mtu_at(const struct sockaddr_storage *own, int s)
{
    struct ifaddrs *all = NULL;
    int mtu = USUAL_MTU;

    if (getifaddrs(&all) < 0)
        return mtu;
    for (const struct ifaddrs *i = all; i; i = i->ifa_next)
        if (same_address(i->ifa_addr, own)) {
            struct ifreq r = request(i->ifa_name);

            if (ioctl(s, SIOCGIFMTU, &r) == 0)
                mtu = r.ifr_mtu;
        }
    freeifaddrs(all);
    return mtu;
}

/* What fits into a datagram there, sealed. */
static int room_at(const struct sockaddr_storage *own, int s)
{
    int head = own->ss_family == AF_INET6 ? IP6_HEAD : IP_HEAD;
    int room = mtu_at(own, s) - head - UDP_HEAD - ESP_HEAD - ESP_TAIL_MOST;

    return room < TUNNEL_MTU ? room : TUNNEL_MTU;
}

/* On a path that is narrower than its ends the routers may cut a datagram into pieces: what they would say instead,
 * nobody here could tell the container. */
static int open_abroad(const char *server, int *ret, int *ret_mtu, struct err *err)
{
    struct sockaddr_storage own;
    bool v6;

    if (find_own(server, &own, err) < 0)
        return -1;
    v6 = own.ss_family == AF_INET6;
    if (v6)
        ((struct sockaddr_in6 *)&own)->sin6_port = 0;
    else
        ((struct sockaddr_in *)&own)->sin_port = 0;
    if (open_socket(&own, v6 ? IPPROTO_IPV6 : IPPROTO_IP, v6 ? IPV6_MTU_DISCOVER : IP_MTU_DISCOVER,
                    v6 ? IPV6_PMTUDISC_DONT : IP_PMTUDISC_DONT, ret, err) < 0)
        return -1;
    *ret_mtu = room_at(&own, *ret);
    return 0;
}

int tunnel_device_open(const struct tunnel_device *d, int *ret_device, int *ret_socket, struct err *err)
{
    struct opening o = { .of = d, .kind = *d->server ? &abroad : &here, .mtu = TUNNEL_MTU, .device = -1 };
    _cleanup_fd_ int s = -1;
    int r = *d->server ? open_abroad(d->server, &s, &o.mtu, err) : open_here(d->network->gateway, &s, err);

    if (r < 0 || network_inside(d->network, open_inside, &o, err) < 0)
        return -1;
    *ret_device = o.device;
    *ret_socket = s;
    s = -1;
    return 0;
}
