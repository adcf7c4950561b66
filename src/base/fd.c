#include "base/fd.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

void fd_cleanup(int *fd)
{
    int saved = errno;

    if (*fd >= 0)
        close(*fd);
    *fd = -1;
    errno = saved;
}

int fd_write_all(int fd, const void *data, size_t size, struct err *err)
{
    const char *p = data;

    while (size) {
        ssize_t n = write(fd, p, size);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return fail_errno(err, errno, "write");
        p += n;
        size -= (size_t)n;
    }
    return 0;
}

int fd_read_all(struct arena *a, int fd, size_t limit, struct str *ret, struct err *err)
{
    _cleanup_buf_ struct buf b = { 0 };

    for (;;) {
        char *at = buf_reserve(&b, 16384);
        ssize_t n = read(fd, at, 16384);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return fail_errno(err, errno, "read");
        if (n == 0)
            break;
        b.size += (size_t)n;
        if (b.size > limit)
            return fail(err, ERR_LIMIT, "more than %zu bytes", limit);
    }
    *ret = (struct str){ arena_strndup(a, b.data, b.size), b.size };
    return 0;
}

int fd_nonblocking(int fd, struct err *err)
{
    int flags = fcntl(fd, F_GETFL);

    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
        return fail_errno(err, errno, "fcntl");
    return 0;
}

int file_read(struct arena *a, const char *path, size_t limit, struct str *ret, struct err *err)
{
    _cleanup_fd_ int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return fail_errno(err, errno, "open %s", path);
    if (fd_read_all(a, fd, limit, ret, err) < 0)
        return fail(err, err->kind, "%s: %s", path, err->text);
    return 0;
}

int file_open_beneath(const char *folder, const char *path, int *ret_fd, struct err *err)
{
    /* O_NONBLOCK: a pipe would hold us up before we see that it is one. */
    const struct open_how how = { .flags = O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC,
                                  .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS };
    _cleanup_fd_ int at = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC), fd = -1;
    struct stat st;

    if (at < 0)
        return fail_errno(err, errno, "open %s", folder);
    do
        fd = (int)syscall(SYS_openat2, at, path, &how, sizeof how);
    while (fd < 0 && (errno == EINTR || errno == EAGAIN)); /* EAGAIN: a ".." raced with a rename */
    if (fd < 0 && (errno == EXDEV || errno == ELOOP))
        return fail(err, ERR_DENIED, "%s leads out of %s", path, folder);
    if (fd < 0)
        return fail_errno(err, errno, "open %s in %s", path, folder);
    if (fstat(fd, &st) < 0)
        return fail_errno(err, errno, "look at %s in %s", path, folder);
    if (!S_ISREG(st.st_mode))
        return fail(err, ERR_DENIED, "%s in %s is no regular file", path, folder);
    *ret_fd = fd;
    fd = -1;
    return 0;
}

static void parent_of(const char *path, char *ret, size_t size)
{
    const char *slash = strrchr(path, '/');

    if (!slash)
        snprintf(ret, size, ".");
    else if (slash == path)
        snprintf(ret, size, "/");
    else
        snprintf(ret, size, "%.*s", (int)(slash - path), path);
}

int folder_sync(const char *path, struct err *err)
{
    _cleanup_fd_ int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0 || fsync(fd) < 0)
        return fail_errno(err, errno, "fsync %s", path);
    return 0;
}

int64_t folder_disk_bytes(const char *path)
{
    struct statvfs fs;

    return statvfs(path, &fs) == 0 ? (int64_t)fs.f_blocks * (int64_t)fs.f_frsize : 0;
}

int file_write_atomic(const char *path, const void *data, size_t size, mode_t mode, struct err *err)
{
    char temporary[4096], folder[4096];
    _cleanup_fd_ int fd = -1;

    if (snprintf(temporary, sizeof temporary, "%s.%d.tmp", path, (int)getpid()) >= (int)sizeof temporary)
        return fail(err, ERR_INVALID, "path too long: %.200s...", path);
    parent_of(path, folder, sizeof folder);
    fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, mode);
    if (fd < 0)
        return fail_errno(err, errno, "create %s", temporary);
    if (fd_write_all(fd, data, size, err) < 0) {
        unlink(temporary);
        return fail(err, err->kind, "%s: %s", temporary, err->text);
    }
    if (fchmod(fd, mode) < 0 || fsync(fd) < 0 || rename(temporary, path) < 0) {
        fail_errno(err, errno, "save %s", path);
        unlink(temporary);
        return -1;
    }
    return folder_sync(folder, err);
}

int file_ensure(const char *path, const void *data, size_t size, mode_t mode, struct err *err)
{
    _cleanup_arena_ struct arena *a = arena_new();
    struct str there;
    struct stat st;

    if (lstat(path, &st) == 0 && S_ISREG(st.st_mode) && (st.st_mode & 07777) == mode && (size_t)st.st_size == size &&
        file_read(a, path, size, &there, err) == 0 && memcmp(there.data, data, size) == 0)
        return 0;
    return file_write_atomic(path, data, size, mode, err);
}

bool path_exists(const char *path)
{
    struct stat st;

    return lstat(path, &st) == 0;
}

int folder_make(const char *path, mode_t mode, struct err *err)
{
    char part[4096];
    size_t size = strlen(path);

    if (size >= sizeof part)
        return fail(err, ERR_INVALID, "path too long: %.200s...", path);
    for (size_t i = 1; i <= size; i++) {
        if (path[i] != '/' && path[i] != '\0')
            continue;
        memcpy(part, path, i);
        part[i] = '\0';
        if (mkdir(part, mode) < 0 && errno != EEXIST)
            return fail_errno(err, errno, "mkdir %s", part);
    }
    return 0;
}

/* A job may make folders within folders without end, and each level of ours would hold a descriptor and memory: what is
 * deeper than this is moved up to the top, and has its turn there. */
enum { REMOVAL_DEPTH = 64 };

struct removal {
    int top;
    dev_t device; /* 0: not known yet */
    unsigned moved;
    const atomic_bool *stop; /* NULL: nobody stops it */
};

static bool stopped(const struct removal *r)
{
    return r->stop && *r->stop;
}

static DIR *enter(struct removal *r, int parent, const char *name, struct err *err)
{
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    struct stat st;
    DIR *folder;

    if (fd < 0) {
        fail_errno(err, errno, "open %s", name);
        return NULL;
    }
    if (fstat(fd, &st) < 0 || (r->device && st.st_dev != r->device)) {
        close(fd);
        fail(err, ERR_CONFLICT, "remove %s: it is a mount point", name);
        return NULL;
    }
    r->device = st.st_dev;
    folder = fdopendir(fd);
    if (!folder) {
        fail_errno(err, errno, "open %s", name);
        close(fd);
    }
    return folder;
}

/* Where there is something of the name already, the next is taken: an empty folder may be replaced, it goes as well. */
static int move_up(struct removal *r, int parent, const char *name, struct err *err)
{
    char place[32];

    do {
        snprintf(place, sizeof place, ".deep-%u", r->moved++);
        if (renameat(parent, name, r->top, place) == 0)
            return 0;
    } while (errno == EEXIST || errno == ENOTEMPTY || errno == ENOTDIR);
    return errno == ENOENT ? 0 : fail_errno(err, errno, "remove %s", name);
}

static int remove_at(struct removal *r, int parent, const char *name, int depth, struct err *err);

static int empty(struct removal *r, DIR *folder, int depth, struct err *err)
{
    struct dirent *entry;
    int result = 0;

    while (result == 0 && !stopped(r) && (entry = readdir(folder)) != NULL)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            result = remove_at(r, dirfd(folder), entry->d_name, depth, err);
    return result;
}

/* False, and -1 in *ret_result when it could not be: it is no folder. */
static bool is_folder(int parent, const char *name, int *ret_result, struct err *err)
{
    bool gone = unlinkat(parent, name, 0) == 0 || errno == ENOENT;

    if (!gone && (errno == EISDIR || errno == EPERM))
        return true;
    *ret_result = gone ? 0 : fail_errno(err, errno, "remove %s", name);
    return false;
}

static int remove_empty(int parent, const char *name, struct err *err)
{
    return unlinkat(parent, name, AT_REMOVEDIR) == 0 || errno == ENOENT ? 0 : fail_errno(err, errno, "remove %s", name);
}

static int remove_at(struct removal *r, int parent, const char *name, int depth, struct err *err)
{
    DIR *folder;
    int result;

    if (!is_folder(parent, name, &result, err))
        return result;
    if (depth > REMOVAL_DEPTH)
        return move_up(r, parent, name, err);
    folder = enter(r, parent, name, err);
    if (!folder)
        return -1;
    result = empty(r, folder, depth + 1, err);
    closedir(folder);
    if (result < 0 || stopped(r))
        return result;
    return remove_empty(parent, name, err);
}

int tree_remove_until(const char *path, const atomic_bool *stop, struct err *err)
{
    struct removal r = { .stop = stop };
    unsigned moved;
    DIR *folder;
    int result;

    if (!is_folder(AT_FDCWD, path, &result, err))
        return result;
    folder = enter(&r, AT_FDCWD, path, err);
    if (!folder)
        return -1;
    r.top = dirfd(folder);
    do {
        moved = r.moved;
        rewinddir(folder);
        result = empty(&r, folder, 1, err);
    } while (result == 0 && r.moved != moved && !stopped(&r));
    closedir(folder);
    if (result < 0 || stopped(&r))
        return result;
    return remove_empty(AT_FDCWD, path, err);
}

int tree_remove(const char *path, struct err *err)
{
    return tree_remove_until(path, NULL, err);
}
