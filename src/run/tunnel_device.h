/* tunnel_device.h - the way by which alone a container reaches the other instances of its job: a device in its network,
 * and the socket of this machine by which what leaves it travels.
 *
 * The device has the container's address among the instances, and a route to each peer's; to every other container
 * there is none. When who serves the device ends, it goes, and its routes with it: then the peers are out of reach.
 * There are two kinds. Of a job on this host alone the addresses are those that containers have without a tunnel, and
 * the device is one more of the container's. Where the instances may be on different machines the addresses are the
 * tunnel's own, and the device is the container's eth0: frameworks tell others its address, and give them its name. */
#ifndef RUN_TUNNEL_DEVICE_H
#define RUN_TUNNEL_DEVICE_H

#include "run/network.h"

enum {
    TUNNEL_PORT = 20213, /* UDP, on the host's end of each; not IKE's 4500, which a daemon of the host's may have */
    TUNNEL_MTU = 65470,  /* the most: with ESP's head and tail and that of UDP the largest IPv4 packet */
};

struct tunnel_device {
    const struct network *network; /* of the container, after network_setup */
    const char *address;           /* its own; of a job on this host alone: network->address */
    const char *const *peers;      /* the others' addresses, up to NULL */
    const char *server; /* numeric: as the machines reach the server, so they reach each other; "": all are here */
};

/* Of an instance, counted from 1, of a job whose instances may be on different machines. Containers of two machines
 * have the same addresses, so the tunnel has some of its own: the same in every job, each of which sees its own. */
const char *tunnel_address(struct arena *, int number);

/* Can this machine have one at all? ERR_INVALID, for the user: no. */
int tunnel_device_check(struct err *err);

/* Once: ERR_CONFLICT when the container has a device that somebody serves. The socket is bound. */
int tunnel_device_open(const struct tunnel_device *, int *ret_device, int *ret_socket, struct err *err);

#endif
