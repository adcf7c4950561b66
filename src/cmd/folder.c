/* folder.c - the data directory as the commands see it. */
#include "cmd/folder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "cmd/settings.h"

static const struct {
    const char *name;
    mode_t mode;
} parts[] = {
    { "secrets", 0700 }, { "store", 0700 },  { "blobs", 0700 }, { "images", 0700 },
    { "agents", 0700 },  { "client", 0755 }, { "log", 0700 },
};

int folder_lock(struct arena *a, const char *data_folder, int *ret_fd, struct err *err)
{
    const char *path = arena_printf(a, "%s/lock", data_folder);
    _cleanup_fd_ int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    char text[32];
    int size;

    if (fd < 0)
        return fail_errno(err, errno, "open %s", path);
    if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        struct str owner = { 0 };
        struct err ignored = { 0 };

        if (errno != EWOULDBLOCK)
            return fail_errno(err, errno, "lock %s", path);
        file_read(a, path, 64, &owner, &ignored);
        owner = str_trim(owner);
        return fail(err, ERR_CONFLICT,
                    "%s is in use by process " STR_FMT "; `sagebrush status` shows it, `sagebrush "
                    "down` ends it",
                    data_folder, owner.size ? (int)owner.size : 1, owner.size ? owner.data : "?");
    }
    size = snprintf(text, sizeof text, "%d\n", (int)getpid());
    /* Never shorter in between: on a full disk the room would be gone. */
    if (pwrite(fd, text, (size_t)size, 0) != size || ftruncate(fd, size) < 0)
        return fail_errno(err, errno, "write %s", path);
    *ret_fd = fd;
    fd = -1;
    return 0;
}

int folder_supervisor(struct arena *a, const char *data_folder, struct process *ret, struct err *err)
{
    const char *run_folder;

    if (settings_server_folder(a, data_folder, &run_folder, err) < 0)
        return -1;
    process_find(arena_printf(a, "%s/up.pid", run_folder), ret);
    return 0;
}

int folder_prepare(struct arena *a, const char *data_folder, const char *run_folder, struct err *err)
{
    const char *link = arena_printf(a, "%s/run", data_folder);
    char target[PATH_MAX];
    ssize_t size;

    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        if (folder_make(arena_printf(a, "%s/%s", data_folder, parts[i].name), parts[i].mode, err) < 0)
            return -1;
    if (folder_make(run_folder, 0711, err) < 0)
        return -1;
    size = readlink(link, target, sizeof target - 1);
    if (size >= 0) {
        target[size] = '\0';
        if (strcmp(target, run_folder) == 0)
            return 0;
    }
    if ((unlink(link) < 0 && errno != ENOENT) || symlink(run_folder, link) < 0)
        return fail_errno(err, errno, "link %s to %s", link, run_folder);
    return 0;
}

static int copy_file(int from, const char *to, mode_t mode, struct err *err)
{
    _cleanup_fd_ int fd = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    char data[65536];
    ssize_t n;

    if (fd < 0)
        return fail_errno(err, errno, "create %s", to);
    for (;;) {
        n = copy_file_range(from, NULL, fd, NULL, 1 << 30, 0);
        if (n <= 0)
            break;
    }
    /* Between some file systems the kernel copies nothing itself. */
    while (n < 0 && (n = read(from, data, sizeof data)) != 0) {
        if (n < 0)
            return fail_errno(err, errno, "read for %s", to);
        if (fd_write_all(fd, data, (size_t)n, err) < 0)
            return fail(err, err->kind, "%s: %s", to, err->text);
        n = -1;
    }
    if (fsync(fd) < 0)
        return fail_errno(err, errno, "save %s", to);
    return 0;
}

static int copy_at(struct arena *a, int parent, const char *name, const char *to, bool gather, struct err *err)
{
    int fd = openat(parent, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    struct dirent *entry;
    struct stat st;
    DIR *folder;

    if (fd < 0 && errno == ENOENT && gather)
        return 0;
    if (fd < 0 || fstat(fd, &st) < 0) {
        fd_cleanup(&fd);
        return fail_errno(err, errno, "open %s", name);
    }
    if (S_ISREG(st.st_mode)) {
        bool linked = gather && (linkat(parent, name, AT_FDCWD, to, 0) == 0 || errno == EEXIST);
        int result = linked ? 0 : copy_file(fd, to, st.st_mode & 0777, err);

        close(fd);
        return result;
    }
    if (!S_ISDIR(st.st_mode)) {
        close(fd); /* a socket or a pipe is of a running process, not of the data */
        return 0;
    }
    folder = fdopendir(fd);
    if (!folder || (mkdir(to, st.st_mode & 0777) < 0 && !(gather && errno == EEXIST))) {
        int saved = errno;

        if (folder)
            closedir(folder);
        else
            close(fd);
        return fail_errno(err, saved, "make %s", to);
    }
    while ((entry = readdir(folder)) != NULL) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 || entry->d_type == DT_LNK)
            continue;
        if (copy_at(a, fd, entry->d_name, arena_printf(a, "%s/%s", to, entry->d_name), gather, err) < 0) {
            closedir(folder);
            return -1;
        }
    }
    closedir(folder);
    return folder_sync(to, err);
}

int folder_copy(struct arena *a, const char *from, const char *to, struct err *err)
{
    return copy_at(a, AT_FDCWD, from, to, false, err);
}

int folder_gather(struct arena *a, const char *from, const char *to, struct err *err)
{
    return copy_at(a, AT_FDCWD, from, to, true, err);
}
