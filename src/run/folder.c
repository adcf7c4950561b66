#include "run/folder.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "doc/json.h"

enum { FILE_LIMIT = 16 << 20 };

int folder_read(struct arena *a, const char *folder, const char *file, const struct doc **ret, struct err *err)
{
    struct err problem = { 0 };
    struct str text;
    struct doc *d;

    *ret = NULL;
    if (file_read(a, arena_printf(a, "%s/%s", folder, file), FILE_LIMIT, &text, &problem) < 0) {
        if (problem.kind == ERR_NOT_FOUND)
            return 0;
        *err = problem;
        return -1;
    }
    if (json_parse(a, text, &d, &problem) == 0 && d->type == DOC_MAP)
        *ret = d;
    return 0;
}

int folder_write(struct arena *a, const char *folder, const char *file, const struct doc *d, bool durable,
                 struct err *err)
{
    const char *path = arena_printf(a, "%s/%s", folder, file);
    const char *temporary = arena_printf(a, "%s.%d.new", path, (int)getpid());
    _cleanup_buf_ struct buf b = { 0 };
    int fd, r;

    json_print(&b, d);
    if (durable)
        return file_write_atomic(path, b.data, b.size, 0600, err);
    fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return fail_errno(err, errno, "create %s", temporary);
    r = fd_write_all(fd, b.data, b.size, err);
    /* Over a network the server of the files may say only now that its disk is full. */
    if (close(fd) < 0 && r == 0)
        r = fail_errno(err, errno, "write %s", temporary);
    if (r == 0 && rename(temporary, path) < 0)
        r = fail_errno(err, errno, "save %s", path);
    if (r < 0)
        unlink(temporary);
    return r;
}
