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

/* With the port: "10.0.0.1:7000", "[fd00::1]:7000". */
enum { ENDPOINT_TEXT = ADDRESS_TEXT + 8 };
bool endpoint_read(const char *text, struct sockaddr_storage *ret); /* false: not one, or without a port */
void endpoint_print(const struct sockaddr_storage *, char text[static ENDPOINT_TEXT]);

/* Of one machine, whichever asks: neither everybody's, nobody's nor one's own. */
bool address_is_of_a_machine(const struct sockaddr_storage *);

#endif
