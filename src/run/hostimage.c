/* hostimage.c - the root of a host container is a folder of its own, so it may be written everywhere but below /usr. */
#include "run/hostimage.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"

static const struct {
    const char *path;
    mode_t mode;
} folders[] = {
    { "", 0755 },        { "dev", 0755 },     { "etc", 0755 },     { "etc/ssl", 0755 }, { "home", 0755 },
    { "mnt", 0755 },     { "opt", 0755 },     { "opt/ml", 0755 },  { "proc", 0555 },    { "root", 0700 },
    { "run", 0755 },     { "sys", 0555 },     { "tmp", 01777 },    { "usr", 0755 },     { "var", 0755 },
    { "var/tmp", 01777 },
    /* Becomes /usr/local: a folder of our own, to be written. */
    { ".local", 0755 },  { ".local/bin", 0755 },
};

static const char *const links[][2] = {
    { "usr/bin", "bin" },     { "usr/sbin", "sbin" },   { "usr/lib", "lib" },
    { "usr/lib64", "lib64" }, { "/run", "var/run" },
    /* What images call them; /usr/local/bin is first in PATH. */
    { "/usr/bin/python3", ".local/bin/python" },
    { "/usr/bin/pip3", ".local/bin/pip" },
};

static const struct {
    const char *path, *text;
} files[] = {
    { "etc/passwd", "root:x:0:0:root:/root:/bin/bash\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n" },
    { "etc/group", "root:x:0:\ntty:x:5:\nnogroup:x:65534:\n" },
    { "etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n" },
    { "etc/pip.conf", "[global]\nbreak-system-packages = true\nroot-user-action = ignore\n" },
};

/* Bound read-only where the host has them. Of /etc/ssl not the whole: it holds private keys. */
static const char *const bound[] = { "/usr", "/etc/alternatives", "/etc/fonts", "/etc/ssl/certs" };

/* Copied where the host has them: a mount costs more than a small file. */
static const char *const copied[] = {
    "/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/localtime", "/etc/mime.types", "/etc/ssl/openssl.cnf",
};

enum { COPY_LIMIT = 4 << 20 };

static int write_file(int root, const char *path, const char *text, struct err *err)
{
    _cleanup_fd_ int fd = openat(root, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);

    if (fd < 0)
        return fail_errno(err, errno, "create %s of the host image", path);
    return fd_write_all(fd, text, strlen(text), err);
}

static int copy_file(struct arena *a, int root, const char *path, struct err *err)
{
    _cleanup_fd_ int from = open(path, O_RDONLY | O_CLOEXEC), to = -1;
    struct str text;

    if (from < 0)
        return 0;
    to = openat(root, path + 1, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (to < 0)
        return fail_errno(err, errno, "create %s of the host image", path);
    return fd_read_all(a, from, COPY_LIMIT, &text, err) < 0 ? -1 : fd_write_all(to, text.data, text.size, err);
}

int hostimage_make(struct arena *a, const char *root, struct bundle_mount *ret, int *ret_count, struct err *err)
{
    _cleanup_fd_ int fd = -1;
    int count = 0;

    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
        const char *path = arena_printf(a, "%s/%s", root, folders[i].path);

        if (mkdir(path, folders[i].mode) < 0 && errno != EEXIST)
            return fail_errno(err, errno, "mkdir %s", path);
        if (folders[i].mode & 01000 && chmod(path, folders[i].mode) < 0)
            return fail_errno(err, errno, "chmod %s", path);
    }
    fd = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return fail_errno(err, errno, "open %s", root);
    for (size_t i = 0; i < sizeof links / sizeof *links; i++)
        if (symlinkat(links[i][0], fd, links[i][1]) < 0 && errno != EEXIST)
            return fail_errno(err, errno, "link %s of the host image", links[i][1]);
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        if (write_file(fd, files[i].path, files[i].text, err) < 0)
            return -1;
    for (size_t i = 0; i < sizeof copied / sizeof *copied; i++)
        if (copy_file(a, fd, copied[i], err) < 0)
            return -1;
    for (size_t i = 0; i < sizeof bound / sizeof *bound; i++)
        if (access(bound[i], F_OK) == 0)
            ret[count++] = (struct bundle_mount){ .source = bound[i], .at = bound[i], .read_only = true };
    ret[count++] = (struct bundle_mount){ .source = arena_printf(a, "%s/.local", root), .at = "/usr/local" };
    *ret_count = count;
    return 0;
}
