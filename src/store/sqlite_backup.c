/* sqlite_backup.c - copies of all files, into a new folder. */
#include "store/sqlite.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/fd.h"

/* Through a connection of its own: it sees what was committed, and the loop may go on writing. */
static int backup_file(const char *from, const char *to, struct err *err)
{
    sqlite3 *handle = NULL;
    sqlite3_stmt *st = NULL;
    int result = 0;

    if (database_connect(from, false, 10000, &handle) != SQLITE_OK ||
        sqlite3_prepare_v2(handle, "VACUUM INTO ?", -1, &st, NULL) != SQLITE_OK ||
        sqlite3_bind_text(st, 1, to, -1, SQLITE_STATIC) != SQLITE_OK || sqlite3_step(st) != SQLITE_DONE)
        result = fail(err, ERR_UNAVAILABLE, "%s could not be copied to %s: %s", from, to, sqlite3_errmsg(handle));
    sqlite3_finalize(st);
    sqlite3_close(handle);
    if (result == 0) {
        _cleanup_fd_ int fd = open(to, O_RDONLY | O_CLOEXEC);

        if (fd < 0 || fsync(fd) < 0)
            return fail_errno(err, errno, "writing %s", to);
    }
    return result;
}

static void folder_close(DIR **folder)
{
    if (*folder)
        closedir(*folder);
}

int sqlite_backup(struct store *store, const char *folder, struct err *err)
{
    struct sqlite *s = sqlite_of(store);
    __attribute__((cleanup(folder_close))) DIR *from = NULL, *to = NULL;

    if (folder_make(folder, 0700, err) < 0)
        return -1;
    from = opendir(s->folder);
    if (!from)
        return fail_errno(err, errno, "reading the folder %s", s->folder);
    to = opendir(folder);
    if (!to)
        return fail_errno(err, errno, "reading the folder %s", folder);
    for (struct dirent *e; (e = readdir(to));)
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            return fail(err, ERR_CONFLICT, "%s is not empty: a backup goes into a new folder", folder);
    for (struct dirent *e; (e = readdir(from));) {
        _cleanup_buf_ struct buf source = { 0 }, target = { 0 };

        if (!text_ends(e->d_name, ".db"))
            continue;
        buf_printf(&source, "%s/%s", s->folder, e->d_name);
        buf_printf(&target, "%s/%s", folder, e->d_name);
        if (backup_file(source.data, target.data, err) < 0)
            return -1;
    }
    return folder_sync(folder, err);
}
