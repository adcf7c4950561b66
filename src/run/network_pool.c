/* network_pool.c - a reservation is a symlink <index> -> <owner>, which is made whole or not at all. */
#include "run/network_pool.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"

enum { POOL_SIZE = 1 << 14 };

int network_pool_lock(int *ret_fd, struct err *err)
{
    int fd;

    if (folder_make(NETWORK_FOLDER, 0755, err) < 0)
        return -1;
    fd = open(NETWORK_FOLDER "/lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return fail_errno(err, errno, "open " NETWORK_FOLDER "/lock");
    while (flock(fd, LOCK_EX) < 0)
        if (errno != EINTR) {
            close(fd);
            return fail_errno(err, errno, "lock " NETWORK_FOLDER);
        }
    *ret_fd = fd;
    return 0;
}

int network_pool_find(const char *owner, int *ret_others)
{
    DIR *folder = opendir(NETWORK_FOLDER);
    struct dirent *entry;
    int index = -1;

    *ret_others = 0;
    while (folder && (entry = readdir(folder)) != NULL) {
        char target[4096];
        int64_t n;
        ssize_t size;

        if (!str_to_int64(str_of(entry->d_name), &n))
            continue;
        size = readlinkat(dirfd(folder), entry->d_name, target, sizeof target);
        if (size < 0)
            continue;
        if ((size_t)size == strlen(owner) && memcmp(target, owner, (size_t)size) == 0)
            index = (int)n;
        else
            ++*ret_others;
    }
    if (folder)
        closedir(folder);
    return index;
}

uint32_t network_pool_address(int index)
{
    return (uint32_t)NETWORK_BASE + (uint32_t)index * 4 + 2;
}

const char *network_dotted(struct arena *a, uint32_t address)
{
    return arena_printf(a, "%u.%u.%u.%u", address >> 24, address >> 16 & 255, address >> 8 & 255, address & 255);
}

/* By another root on this machine, whose reservations stand elsewhere. */
static bool is_taken(int index)
{
    char bridged[IF_NAMESIZE], isolated[IF_NAMESIZE];

    snprintf(bridged, sizeof bridged, "sgb%d", index);
    snprintf(isolated, sizeof isolated, "sgi%d", index);
    return if_nametoindex(bridged) || if_nametoindex(isolated);
}

bool network_pool_in_use(void)
{
    struct if_nameindex *all = if_nameindex();
    bool found = !all; /* nobody can tell */

    for (struct if_nameindex *i = all; i && i->if_name; i++)
        found |= strncmp(i->if_name, "sgb", 3) == 0 || strncmp(i->if_name, "sgi", 3) == 0;
    if_freenameindex(all);
    return found;
}

int network_pool_reserve(const char *owner, int *ret_index, struct err *err)
{
    _cleanup_arena_ struct arena *a = arena_new();
    _cleanup_fd_ int lock = -1;
    uint32_t hash = 2166136261u;
    int others;

    if (network_pool_lock(&lock, err) < 0)
        return -1;
    *ret_index = network_pool_find(owner, &others);
    if (*ret_index >= 0)
        return 0;
    for (const char *p = owner; *p; p++)
        hash = (hash ^ (unsigned char)*p) * 16777619u;
    for (int i = 0; i < POOL_SIZE; i++) {
        int index = (int)((hash + (uint32_t)i) % POOL_SIZE);

        if (is_taken(index))
            continue;
        if (symlink(owner, arena_printf(a, NETWORK_FOLDER "/%d", index)) == 0) {
            *ret_index = index;
            return 0;
        }
        if (errno != EEXIST)
            return fail_errno(err, errno, "reserve an address");
    }
    return fail(err, ERR_LIMIT, "no container address is free: all %d are in use", POOL_SIZE);
}


int network_pool_give_back(int index, struct err *err)
{
    char path[64];

    snprintf(path, sizeof path, NETWORK_FOLDER "/%d", index);
    if (unlink(path) < 0 && errno != ENOENT)
        return fail_errno(err, errno, "give back address %d", index);
    return 0;
}
