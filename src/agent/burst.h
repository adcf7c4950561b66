/* burst.h - datagrams that are handed to the kernel, and taken from it, many at once (UDP GSO and GRO): a system call
 * and a way through the stack for each costs more than to seal what is in it. */
#ifndef AGENT_BURST_H
#define AGENT_BURST_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/types.h>

enum { BURST_DATAGRAM_MOST = 65507 };

/* Zeroed but for the socket. Those of a burst go to one host and have one size, but the last, which may be smaller. */
struct burst {
    int socket;
    const struct sockaddr_storage *to;
    size_t each, used; /* bytes: of each, of all */
    int count;
    bool ends;   /* nothing goes behind the last one */
    bool single; /* this kernel, or this network, takes one at a time */
    char bytes[2 * BURST_DATAGRAM_MOST];
};

/* Where the next datagram is to be written: there is room for the largest. */
char *burst_room(struct burst *);

/* That one is 'size' bytes long. It goes with those before, or these go first; 'to' stays where it is until all have
 * gone. -1 with errno: some did not go, and are forgotten, and this one is kept. */
int burst_add(struct burst *, const struct sockaddr_storage *to, size_t size);

/* -1 with errno: not all have gone; all are forgotten. */
int burst_send(struct burst *);

/* As recv(), of a socket that was burst_opened(): several datagrams, each of *ret_each bytes but the last. */
void burst_open(int s);
ssize_t burst_receive(int s, void *buffer, size_t size, size_t *ret_each);

#endif
