/* cache.c - moved, never copied. What the job has made of its place is not trusted: a link there is not followed. */
#include "agent/cache.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "run/folder.h"

int cache_place(struct arena *a, const struct order *o, const char *folder, const char *ml, struct err *err)
{
    const char *from = arena_printf(a, "%s/" FOLDER_CACHE, folder);
    const char *to = arena_printf(a, "%s/" FOLDER_ML_CACHE, ml);

    if (!o->warm_pool)
        return 0;
    if (folder_make(to, 0755, err) < 0)
        return -1;
    /* Over the empty folder; one that is not empty is the cache, from the call before this. */
    if (rename(from, to) < 0 && errno != ENOENT && errno != ENOTEMPTY && errno != EEXIST)
        return fail_errno(err, errno, "rename %s", from);
    return 0;
}

int cache_keep(struct arena *a, const struct order *o, const char *folder, const char *ml, struct err *err)
{
    const char *to = arena_printf(a, "%s/" FOLDER_CACHE, folder), *slash = strrchr(FOLDER_ML_CACHE, '/');
    const char *parent = arena_printf(a, "%s/%.*s", ml, (int)(slash - FOLDER_ML_CACHE), FOLDER_ML_CACHE);
    _cleanup_fd_ int fd = -1;
    struct stat st;

    if (!o->warm_pool)
        return 0;
    fd = open(parent, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || fstatat(fd, slash + 1, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISDIR(st.st_mode))
        return 0;
    if (renameat(fd, slash + 1, AT_FDCWD, to) < 0)
        return fail_errno(err, errno, "keep the cache in %s", to);
    return 0;
}
