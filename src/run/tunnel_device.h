/* tunnel_device.h - the way by which alone a container reaches the other instances of its job: a device in its network,
 * and the socket on this host by which what leaves it travels.
 *
 * The device has the container's own address once more, and a route to each peer's; to every other container there is
 * none. Both addresses are those of a job without a tunnel: only the way differs. When who serves the device ends, it
 * goes, and its routes with it: then the peers are out of reach. */
#ifndef RUN_TUNNEL_DEVICE_H
#define RUN_TUNNEL_DEVICE_H

#include "run/network.h"

enum {
    TUNNEL_PORT = 20213, /* UDP, on the host's end of each; not IKE's 4500, which a daemon of the host's may have */
    TUNNEL_MTU = 65470,  /* with ESP's head and tail and that of UDP: the largest IPv4 packet */
};

/* Of an instance, counted from 1, of a job whose instances may be on different machines. Containers of two machines
 * have the same addresses, so the tunnel has some of its own: the same in every job, each of which sees its own. */
const char *tunnel_address(struct arena *, int number);

/* Can this machine have one at all? ERR_INVALID, for the user: no. */
int tunnel_device_check(struct err *err);

/* After network_setup of 'n', once: ERR_CONFLICT when it has a device that somebody serves. */
int tunnel_device_open(const struct network *n, const struct network *peers, int count, int *ret_device,
                       int *ret_socket, struct err *err);

#endif
