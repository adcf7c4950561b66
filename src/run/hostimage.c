/* hostimage.c - the root of a host container is its own, so it may be written everywhere but below /usr. */
#include "run/hostimage.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "run/mount.h"
#include "sign/digest.h"

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
    /* What is mounted on: runc would make it in every container anew. */
    { "etc/alternatives", 0755 }, { "etc/fonts", 0755 }, { "etc/ssl/certs", 0755 }, { "opt/sagebrush", 0755 },
    { "run/sagebrush", 0755 }, { "run/sagebrush/botocore", 0755 },
};

static const char *const links[][2] = {
    { "usr/bin", "bin" },     { "usr/sbin", "sbin" },   { "usr/lib", "lib" },
    { "usr/lib64", "lib64" }, { "/run", "var/run" },
    /* What images call them; /usr/local/bin is first in PATH. */
    { "/usr/bin/python3", ".local/bin/python" },
    { "/usr/bin/pip3", ".local/bin/pip" },
    /* That of Debian's PyTorch does not run on Debian's Python. */
    { "/opt/sagebrush/sagebrush-toolkit", ".local/bin/torchrun" },
};

static const struct {
    const char *path, *text;
} files[] = {
    { "etc/passwd", "root:x:0:0:root:/root:/bin/bash\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n" },
    { "etc/group", "root:x:0:\ntty:x:5:\nnogroup:x:65534:\n" },
    { "etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n" },
    { "run/sagebrush/init", "" },
    { "opt/sagebrush/sagebrush-toolkit", "" },
    { "opt/sagebrush/sagebrush-xgboost", "" },
    { "etc/pip.conf", "[global]\nbreak-system-packages = true\nroot-user-action = ignore\n" },
};

/* Bound read-only where the host has them. Of /etc/ssl not the whole: it holds private keys. */
static const char *const bound[] = { "/usr", "/etc/alternatives", "/etc/fonts", "/etc/ssl/certs" };

/* Copied where the host has them: a mount costs more than a small file. */
static const char *const copied[] = {
    "/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/localtime", "/etc/mime.types", "/etc/ssl/openssl.cnf",
};

/* Another one when the tables above change. */
#define TEMPLATE_VERSION "3"

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

/* Python looks for packages only where a folder was when it began: a script that runs pip and imports what it brought
 * would not find it. */
static int make_site_folders(struct arena *a, const char *root, struct err *err)
{
    glob_t found = { 0 };
    int r = 0;

    if (glob("/usr/lib/python3.[0-9]*", GLOB_ONLYDIR, NULL, &found) == 0)
        for (size_t i = 0; i < found.gl_pathc && r == 0; i++)
            r = folder_make(arena_printf(a, "%s/.local/lib/%s/dist-packages", root,
                                         found.gl_pathv[i] + strlen("/usr/lib/")), 0755, err);
    globfree(&found);
    return r;
}

/* Everything that is the same for all containers. */
static int fill(struct arena *a, const char *root, struct err *err)
{
    _cleanup_fd_ int fd = -1;

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
    return make_site_folders(a, root, err);
}

/* The filled root of this host as it is now, made by the first container that needs it: <images>/host-<hash of what it
 * copies>. It is never changed, so running containers keep theirs when the host is updated. */
static int find_template(struct arena *a, const char *images, const char **ret, struct err *err)
{
    char hex[2 * SHA256_SIZE + 1];
    const char *text = TEMPLATE_VERSION, *path, *temporary;
    _cleanup_fd_ int lock = -1;

    for (size_t i = 0; i < sizeof copied / sizeof *copied; i++) {
        struct stat st = { 0 };

        if (stat(copied[i], &st) == 0)
            text = arena_printf(a, "%s %lld %lld.%09ld", text, (long long)st.st_size, (long long)st.st_mtim.tv_sec,
                                st.st_mtim.tv_nsec);
    }
    sha256_hex(hex, text, strlen(text));
    path = arena_printf(a, "%s/host-%.16s", images, hex);
    *ret = path;
    if (path_exists(path))
        return 0;
    lock = open(arena_printf(a, "%s/host.lock", images), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (lock < 0 || flock(lock, LOCK_EX) < 0)
        return fail_errno(err, errno, "lock %s/host.lock", images);
    if (path_exists(path))
        return 0;
    temporary = arena_printf(a, "%s.tmp", path);
    if (tree_remove(temporary, err) < 0 || fill(a, temporary, err) < 0)
        return -1;
    if (rename(temporary, path) < 0)
        return fail_errno(err, errno, "keep %s", path);
    return 0;
}

/* An overlay on the template costs a few files, a root of its own fifty: 10 ms on a slow disk. */
static int overlay(struct arena *a, const char *images, const char *folder, struct err *err)
{
    const char *root = arena_printf(a, "%s/root", folder), *upper = arena_printf(a, "%s/upper", folder);
    const char *work = arena_printf(a, "%s/work", folder), *template;

    if (find_template(a, images, &template, err) < 0 || folder_make(root, 0755, err) < 0 ||
        folder_make(upper, 0755, err) < 0 || folder_make(work, 0755, err) < 0)
        return -1;
    return mount_overlay(&template, 1, upper, work, root, err);
}

int hostimage_make(struct arena *a, const char *images, const char *folder, struct err *err)
{
    struct err no_overlay;

    /* An upper folder that is itself on an overlay, as inside another container, cannot be had. */
    if (overlay(a, images, folder, &no_overlay) < 0 && fill(a, arena_printf(a, "%s/root", folder), err) < 0)
        return -1;
    return 0;
}

int hostimage_mounts(struct arena *a, const char *folder, struct bundle_mount *ret)
{
    int count = 0;

    for (size_t i = 0; i < sizeof bound / sizeof *bound; i++)
        if (access(bound[i], F_OK) == 0)
            ret[count++] = (struct bundle_mount){ .source = bound[i], .at = bound[i], .read_only = true };
    ret[count++] = (struct bundle_mount){ .source = arena_printf(a, "%s/root/.local", folder), .at = "/usr/local" };
    return count;
}
