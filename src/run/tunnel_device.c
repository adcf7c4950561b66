#include "run/tunnel_device.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <net/route.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"

#define DEVICE    "/dev/net/tun"
#define INTERFACE "tunnel0"

enum { SOCKET_BYTES = 8 << 20 };

struct opening {
    const struct network *own, *peers;
    int count, device;
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
                "EnableInterContainerTrafficEncryption needs " DEVICE ", which this machine does not have (%s): load "
                "the kernel's module tun, or switch the encryption off.", strerror(errno));
}

static struct sockaddr_in address_in(const char *text, int port)
{
    struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };

    inet_pton(AF_INET, text, &in.sin_addr);
    return in;
}

static struct ifreq request(void)
{
    return (struct ifreq){ .ifr_name = INTERFACE };
}

static int set_up(int s, const char *address)
{
    struct ifreq own = request(), mtu = request(), up = request();
    struct sockaddr_in in = address_in(address, 0);

    memcpy(&own.ifr_addr, &in, sizeof in);
    mtu.ifr_mtu = TUNNEL_MTU;
    up.ifr_flags = IFF_UP;
    if (ioctl(s, SIOCSIFADDR, &own) < 0 || ioctl(s, SIOCSIFMTU, &mtu) < 0)
        return -1;
    return ioctl(s, SIOCSIFFLAGS, &up);
}

static int add_route(int s, const char *to, const char *mask, unsigned short flags)
{
    struct sockaddr_in destination = address_in(to, 0), netmask = address_in(mask, 0);
    char interface[] = INTERFACE;
    struct rtentry route = { .rt_flags = (unsigned short)(RTF_UP | flags),
                             .rt_dev = flags & RTF_REJECT ? NULL : interface };

    memcpy(&route.rt_dst, &destination, sizeof destination);
    memcpy(&route.rt_genmask, &netmask, sizeof netmask);
    return ioctl(s, SIOCADDRT, &route) < 0 && errno != EEXIST ? -1 : 0;
}

/* The device belongs to the network in which it is opened, for good. */
static int open_inside(void *data, struct err *err)
{
    struct opening *o = data;
    _cleanup_fd_ int device = open(DEVICE, O_RDWR | O_CLOEXEC), s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct ifreq make = request();

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
    if (add_route(s, "10.213.0.0", "255.255.128.0", RTF_REJECT) < 0 ||
        add_route(s, "10.213.128.0", "255.255.128.0", RTF_REJECT) < 0)
        return fail_errno(err, errno, "close the way around the tunnel");
    if (set_up(s, o->own->address) < 0)
        return fail_errno(err, errno, "set up the tunnel's device");
    for (int i = 0; i < o->count; i++)
        if (add_route(s, o->peers[i].address, "255.255.255.255", RTF_HOST) < 0)
            return fail_errno(err, errno, "route %s through the tunnel", o->peers[i].address);
    o->device = device;
    device = -1;
    return 0;
}

/* Only to who is on this host: as long as a peer has no address yet, its datagrams must not look for it elsewhere. */
static int open_socket(const char *address, int *ret, struct err *err)
{
    struct sockaddr_in own = address_in(address, TUNNEL_PORT);
    _cleanup_fd_ int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    int size = SOCKET_BYTES, one = 1;

    if (s < 0 || setsockopt(s, SOL_SOCKET, SO_DONTROUTE, &one, sizeof one) < 0 ||
        setsockopt(s, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size) < 0 ||
        setsockopt(s, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof size) < 0 ||
        bind(s, (struct sockaddr *)&own, sizeof own) < 0)
        return fail_errno(err, errno, "open the tunnel's socket at %s:%d", address, TUNNEL_PORT);
    *ret = s;
    s = -1;
    return 0;
}

int tunnel_device_open(const struct network *n, const struct network *peers, int count, int *ret_device,
                       int *ret_socket, struct err *err)
{
    struct opening o = { .own = n, .peers = peers, .count = count, .device = -1 };
    _cleanup_fd_ int s = -1;

    if (open_socket(n->gateway, &s, err) < 0 || network_inside(n, open_inside, &o, err) < 0)
        return -1;
    *ret_device = o.device;
    *ret_socket = s;
    s = -1;
    return 0;
}
