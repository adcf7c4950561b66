#include "run/network_look.h"

#include <errno.h>
#include <net/if.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "base/fd.h"
#include "base/str.h"

enum { TABLE_LIMIT = 16 << 20 };

static int open_socket(void *data, struct err *err)
{
    int *fd = data;

    *fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    return *fd < 0 ? fail_errno(err, errno, "make a socket in the container's network") : 0;
}

int network_socket(const struct network *n, int *ret_fd, struct err *err)
{
    int fd = -1;

    if (network_inside(n, open_socket, &fd, err) < 0)
        return -1;
    *ret_fd = fd;
    return 0;
}

static const char *words_of(int fd, const char *interface)
{
    struct ifreq r = { 0 };

    snprintf(r.ifr_name, sizeof r.ifr_name, "%s", interface);
    if (ioctl(fd, SIOCGIFFLAGS, &r) < 0)
        return errno == ENODEV ? "its network interface is gone" : "its network interface does not answer";
    if (!(r.ifr_flags & IFF_UP))
        return "its network interface was switched off";
    /* The other end of the pair is the host's. */
    return r.ifr_flags & IFF_RUNNING ? "" : "its network interface has lost its link";
}

/* A socket belongs to the namespace that it was made in, whoever asks it. */
bool network_stands(struct arena *a, const struct network *n, const char **ret_words)
{
    _cleanup_fd_ int fd = -1;
    struct err err;

    *ret_words = "";
    if (!n->namespace_path || !*n->address)
        return true;
    *ret_words = network_socket(n, &fd, &err) < 0 ? arena_strdup(a, err.text) : words_of(fd, n->interface);
    return !**ret_words;
}

struct sockets {
    struct arena *arena;
    struct str table; /* as /proc has it */
};

static int read_sockets(void *data, struct err *err)
{
    struct sockets *s = data;

    return file_read(s->arena, "/proc/thread-self/net/tcp", TABLE_LIMIT, &s->table, err);
}

/* Whether the socket of that line was closed, and the other end has not got all that it had to say. */
static bool is_parting(const char *line)
{
    unsigned state, unsent;

    if (sscanf(line, " %*u: %*[0-9A-F:] %*[0-9A-F:] %x %x:", &state, &unsent) != 2)
        return false;
    /* The end counts as a byte: that nobody has heard it is no loss. */
    return (state == TCP_FIN_WAIT1 || state == TCP_CLOSING || state == TCP_LAST_ACK) && unsent > 1;
}

bool network_undelivered(const struct network *n)
{
    _cleanup_arena_ struct arena *a = arena_new();
    struct sockets s = { .arena = a };
    struct str line;
    struct err ignored;

    if (!n->namespace_path || !*n->address || network_inside(n, read_sockets, &s, &ignored) < 0)
        return false;
    while (str_cut(s.table, '\n', &line, &s.table))
        if (is_parting(str_dup(a, line)))
            return true;
    return false;
}
