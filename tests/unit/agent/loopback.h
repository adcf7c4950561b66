/* loopback.h - instances on loopback: addresses of this process alone, and a port there that nobody else gets. */
#ifndef TESTS_AGENT_LOOPBACK_H
#define TESTS_AGENT_LOOPBACK_H

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { LOOPBACK_MOST = 4, LOOPBACK_SIZE = 48 };

/* The same for as long as the process lives. */
static inline const char *const *loopback_addresses(void)
{
    static char texts[LOOPBACK_MOST][LOOPBACK_SIZE];
    static const char *all[LOOPBACK_MOST];
    int pid = getpid();

    for (int i = 0; i < LOOPBACK_MOST; i++) {
        snprintf(texts[i], sizeof texts[i], "127.%d.%d.%d", 1 + (pid >> 14) % 250, pid >> 6 & 255,
                 (pid & 63) * LOOPBACK_MOST + i);
        all[i] = texts[i];
    }
    return all;
}

/* Below those that the kernel gives to connections and to whoever binds to port 0, and no listener of all addresses
 * has it. */
static inline int loopback_port(void)
{
    for (;;) {
        struct sockaddr_in at = { .sin_family = AF_INET };
        int port = 10000 + rand() % 22000, fd = socket(AF_INET, SOCK_STREAM, 0), bound;

        at.sin_port = htons((uint16_t)port);
        bound = bind(fd, (struct sockaddr *)&at, sizeof at);
        close(fd);
        if (bound == 0)
            return port;
    }
}

#endif
