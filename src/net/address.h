/* address.h - the address of a TCP socket in numbers, as text and as the kernel has it. Names are not looked up. */
#ifndef NET_ADDRESS_H
#define NET_ADDRESS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <sys/socket.h>

enum { ADDRESS_TEXT = INET6_ADDRSTRLEN };

bool address_read(const char *text, int port, struct sockaddr_storage *ret); /* false: not an address, or no port */
void address_print(const struct sockaddr_storage *, char text[static ADDRESS_TEXT]); /* "" of a Unix socket */
int address_port(const struct sockaddr_storage *); /* 0 of a Unix socket */
socklen_t address_size(const struct sockaddr_storage *);

#endif
