#include "agent/walk.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"

enum { DEPTH_MAX = 100 };

static int walk_below(struct arena *a, int parent, const char *prefix, int depth, const struct walk *w, struct err *err)
{
    int copy, r = 0;
    DIR *folder;
    struct dirent *entry;

    if (w->folder && !w->folder(w->context, parent, prefix))
        return 0;
    if (depth > DEPTH_MAX)
        return fail(err, ERR_LIMIT, "\"%.100s...\": folders more than %d deep", prefix, DEPTH_MAX);
    copy = openat(parent, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    /* Removed since it was opened: nothing is in it. */
    if (copy < 0)
        return errno == ENOENT ? 0 : fail_errno(err, errno, "read the folder \"%s\"", prefix);
    folder = fdopendir(copy);
    assert(folder);
    while (r == 0 && (entry = readdir(folder)) != NULL) {
        const char *path;
        struct stat st;

        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 ||
            fstatat(parent, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
            continue;
        path = *prefix ? arena_printf(a, "%s/%s", prefix, entry->d_name) : arena_strdup(a, entry->d_name);
        if (S_ISDIR(st.st_mode)) {
            _cleanup_fd_ int inner = openat(parent, entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

            if (inner >= 0)
                r = walk_below(a, inner, path, depth + 1, w, err);
        } else if (S_ISREG(st.st_mode)) {
            r = w->file(w->context, parent, entry->d_name, path, &st, err);
        }
    }
    closedir(folder);
    return r;
}

int walk_open(int folder, const char *path, int flags)
{
    const struct open_how how = { .flags = (unsigned)(flags | O_CLOEXEC),
                                  .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS };
    int fd;

    do
        fd = (int)syscall(SYS_openat2, folder, path, &how, sizeof how);
    while (fd < 0 && (errno == EINTR || errno == EAGAIN));
    return fd;
}

int walk(struct arena *a, int root, const struct walk *w, struct err *err)
{
    return walk_below(a, root, "", 0, w, err);
}
