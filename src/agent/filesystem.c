/* filesystem.c - a job may have put a link to anywhere into the directory: what is bound is what was opened, never a
 * path. The folder for it stands on a file system of its own, so that nobody who removes the agent's folder ever
 * removes through it. */
#include "agent/filesystem.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "run/mount.h"

static int open_directory(const struct channel *c, struct err *err)
{
    const struct open_how how = { .flags = O_PATH | O_DIRECTORY | O_CLOEXEC,
                                  .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS };
    const char *below = c->directory + strspn(c->directory, "/");
    _cleanup_fd_ int root = open(c->folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
    int fd;

    if (root < 0)
        return fail(err, ERR_INVALID, "channel %s: the folder \"%s\" that stands for its file system: %s", c->name,
                    c->folder, strerror(errno));
    fd = (int)syscall(SYS_openat2, root, *below ? below : ".", &how, sizeof how);
    return fd >= 0 ? fd : fail(err, ERR_INVALID, "channel %s: the DirectoryPath %s of its file system: %s", c->name,
                               c->directory, strerror(errno));
}

int filesystem_mount(struct arena *a, const char *agent_folder, const struct channel *c, const char **ret,
                     struct err *err)
{
    const char *base = arena_printf(a, "%s/filesystems", agent_folder), *at = arena_printf(a, "%s/%s", base, c->name);
    _cleanup_fd_ int fd = open_directory(c, err);
    char source[64];

    if (fd < 0 || folder_make(base, 0700, err) < 0)
        return -1;
    if (!mount_is_point(base) && mount("none", base, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "size=1m,mode=700") < 0)
        return fail_errno(err, errno, "mount %s", base);
    snprintf(source, sizeof source, "/proc/self/fd/%d", fd);
    if (mkdir(at, 0700) < 0 && errno != EEXIST)
        return fail_errno(err, errno, "mkdir %s", at);
    if (!mount_is_point(at) && mount(source, at, NULL, MS_BIND, NULL) < 0)
        return fail_errno(err, errno, "bind the directory of channel %s", c->name);
    *ret = at;
    return 0;
}
