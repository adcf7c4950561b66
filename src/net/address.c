/* address.c - the address of a TCP socket in numbers. */
#include "net/address.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"

bool address_read(const char *text, int port, struct sockaddr_storage *ret)
{
    struct sockaddr_in *in = (struct sockaddr_in *)ret;
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)ret;

    *ret = (struct sockaddr_storage){ 0 };
    if (port < 0 || port > 65535)
        return false;
    if (inet_pton(AF_INET, text, &in->sin_addr) == 1) {
        in->sin_family = AF_INET;
        in->sin_port = htons((uint16_t)port);
        return true;
    }
    if (inet_pton(AF_INET6, text, &in6->sin6_addr) == 1) {
        in6->sin6_family = AF_INET6;
        in6->sin6_port = htons((uint16_t)port);
        return true;
    }
    return false;
}

void address_print(const struct sockaddr_storage *address, char text[static ADDRESS_TEXT])
{
    const struct sockaddr_in *in = (const struct sockaddr_in *)address;
    const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)address;

    *text = '\0';
    if (address->ss_family == AF_INET)
        inet_ntop(AF_INET, &in->sin_addr, text, ADDRESS_TEXT);
    else if (address->ss_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr))
        /* One client has one address, however the socket was bound. */
        inet_ntop(AF_INET, in6->sin6_addr.s6_addr + 12, text, ADDRESS_TEXT);
    else if (address->ss_family == AF_INET6)
        inet_ntop(AF_INET6, &in6->sin6_addr, text, ADDRESS_TEXT);
}

int address_port(const struct sockaddr_storage *address)
{
    if (address->ss_family == AF_INET)
        return ntohs(((const struct sockaddr_in *)address)->sin_port);
    if (address->ss_family == AF_INET6)
        return ntohs(((const struct sockaddr_in6 *)address)->sin6_port);
    return 0;
}

socklen_t address_size(const struct sockaddr_storage *address)
{
    return address->ss_family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
}

bool endpoint_read(const char *text, struct sockaddr_storage *ret)
{
    const char *colon = strrchr(text, ':');
    char address[ADDRESS_TEXT];
    int64_t port;
    size_t size;

    if (!colon || colon[1] < '0' || colon[1] > '9' || !str_to_int64(str_of(colon + 1), &port) || port < 1 ||
        port > 65535)
        return false;
    size = (size_t)(colon - text);
    if (*text == '[' && size >= 2 && colon[-1] == ']') {
        text++;
        size -= 2;
    } else if (memchr(text, ':', size)) {
        return false;
    }
    if (size >= sizeof address)
        return false;
    memcpy(address, text, size);
    address[size] = '\0';
    return address_read(address, (int)port, ret);
}

void endpoint_print(const struct sockaddr_storage *address, char text[static ENDPOINT_TEXT])
{
    char plain[ADDRESS_TEXT];

    address_print(address, plain);
    snprintf(text, ENDPOINT_TEXT, strchr(plain, ':') ? "[%s]:%d" : "%s:%d", plain, address_port(address));
}

bool address_is_of_a_machine(const struct sockaddr_storage *address)
{
    const struct in6_addr *in6 = &((const struct sockaddr_in6 *)address)->sin6_addr;
    uint32_t in = ntohl(((const struct sockaddr_in *)address)->sin_addr.s_addr);

    if (address->ss_family == AF_INET6)
        return !IN6_IS_ADDR_UNSPECIFIED(in6) && !IN6_IS_ADDR_LOOPBACK(in6) && !IN6_IS_ADDR_MULTICAST(in6) &&
               !IN6_IS_ADDR_LINKLOCAL(in6) && !IN6_IS_ADDR_V4MAPPED(in6);
    return in >> 24 != 0 && in >> 24 != IN_LOOPBACKNET && in >> 28 < 14;
}
