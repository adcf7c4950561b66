/* blob.c - a folder of files that are written once.
 *
 * blobs/new/<uid> while it is written, blobs/<first two letters>/<uid> when it is whole: a rename in one file system,
 * so nobody who looks finds half a blob under its final name. Only a crash may leave one, and no record names that one:
 * it is the rename that comes before the first fsync, so that the file system commits file and name together. The
 * two-letter folders keep each of them short; they are made when the first blob needs them. */
#include "store/blob.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/fd.h"

enum { LETTERS = 36 };

struct blobs {
    char *folder;
    int64_t reserve_bytes;
    struct rand *rand;
    atomic_bool lasting[LETTERS * LETTERS]; /* folders of two letters that are known to be there after a crash */
};

static bool is_uid(const char *uid)
{
    return strlen(uid) == BLOB_UID_SIZE && strspn(uid, "abcdefghijklmnopqrstuvwxyz0123456789") == BLOB_UID_SIZE;
}

/* A uid that is not one never becomes a path. */
static void path_of(const struct blobs *b, const char *uid, char ret[static PATH_MAX])
{
    assert(is_uid(uid));
    snprintf(ret, PATH_MAX, "%s/%.2s/%s", b->folder, uid, uid);
}

static void new_path_of(const struct blobs *b, const char *uid, char ret[static PATH_MAX])
{
    assert(is_uid(uid));
    snprintf(ret, PATH_MAX, "%s/new/%s", b->folder, uid);
}

int blobs_open(const char *folder, int64_t reserve_bytes, struct rand *rand, struct blobs **ret, struct err *err)
{
    char path[PATH_MAX];
    struct blobs *b;

    if (snprintf(path, sizeof path, "%s/new", folder) >= PATH_MAX - 64)
        return fail(err, ERR_INVALID, "the path of the folder %s is too long", folder);
    if (folder_make(path, 0700, err) < 0 || folder_sync(folder, err) < 0)
        return -1;
    b = calloc(1, sizeof *b);
    assert(b && "out of memory");
    b->folder = strdup(folder);
    assert(b->folder && "out of memory");
    b->reserve_bytes = reserve_bytes;
    b->rand = rand;
    *ret = b;
    return 0;
}

void blobs_free(struct blobs *b)
{
    if (!b)
        return;
    free(b->folder);
    free(b);
}

static int disk_failed(int errno_value, const char *doing, const char *uid, struct err *err)
{
    if (errno_value == ENOSPC || errno_value == EDQUOT || errno_value == EIO || errno_value == EROFS ||
        errno_value == EMFILE || errno_value == ENFILE)
        return fail(err, ERR_UNAVAILABLE, "%s the blob %s: %s", doing, uid, strerror(errno_value));
    return fail_errno(err, errno_value, "%s the blob %s", doing, uid);
}

int blob_has_room(struct blobs *b, int64_t more_bytes, struct err *err)
{
    struct statvfs fs;
    int64_t free_bytes;

    if (statvfs(b->folder, &fs) < 0)
        return fail_errno(err, errno, "asking for the free space of %s", b->folder);
    free_bytes = (int64_t)fs.f_bavail * (int64_t)fs.f_frsize;
    if (free_bytes < b->reserve_bytes || free_bytes - b->reserve_bytes < more_bytes)
        return fail(err, ERR_UNAVAILABLE, "the disk of %s has %" PRId64 " bytes left, of which %" PRId64 " are kept for"
                                          " records: %" PRId64 " more do not fit", b->folder, free_bytes,
                    b->reserve_bytes, more_bytes);
    return 0;
}

int blob_create(struct blobs *b, char ret_uid[static BLOB_UID_SIZE + 1], struct err *err)
{
    char uid[BLOB_UID_SIZE + 1], path[PATH_MAX];
    int fd;

    if (blob_has_room(b, 0, err) < 0)
        return -1;
    rand_name(b->rand, uid, BLOB_UID_SIZE);
    new_path_of(b, uid, path);
    fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return disk_failed(errno, "creating", uid, err);
    memcpy(ret_uid, uid, sizeof uid);
    return fd;
}

static int place_of(char letter)
{
    return letter >= 'a' ? letter - 'a' : letter - '0' + 26;
}

/* The file, its name, and the folder's. */
static int make_last(struct blobs *b, const char *uid, const char *folder, int fd, struct err *err)
{
    atomic_bool *lasting = &b->lasting[place_of(uid[0]) * LETTERS + place_of(uid[1])];

    if (fsync(fd) < 0)
        return disk_failed(errno, "writing", uid, err);
    if (folder_sync(folder, err) < 0 || (!*lasting && folder_sync(b->folder, err) < 0))
        return -1;
    *lasting = true;
    return 0;
}

int blob_publish(struct blobs *b, const char *uid, int fd, struct err *err)
{
    char from[PATH_MAX], to[PATH_MAX], folder[PATH_MAX];

    new_path_of(b, uid, from);
    path_of(b, uid, to);
    snprintf(folder, sizeof folder, "%s/%.2s", b->folder, uid);
    if (mkdir(folder, 0700) < 0 && errno != EEXIST)
        return disk_failed(errno, "making the folder of", uid, err);
    if (rename(from, to) < 0)
        return disk_failed(errno, "publishing", uid, err);
    if (make_last(b, uid, folder, fd, err) == 0)
        return 0;
    unlink(to);
    return -1;
}

void blob_discard(struct blobs *b, const char *uid)
{
    char path[PATH_MAX];

    new_path_of(b, uid, path);
    unlink(path);
}

int blob_open(struct blobs *b, const char *uid, int64_t *ret_size_bytes, struct err *err)
{
    char path[PATH_MAX];
    struct stat st;
    int fd;

    path_of(b, uid, path);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return disk_failed(errno, "opening", uid, err);
    if (fstat(fd, &st) < 0) {
        int errno_value = errno;

        close(fd);
        return disk_failed(errno_value, "looking at", uid, err);
    }
    *ret_size_bytes = st.st_size;
    return fd;
}

int blob_remove(struct blobs *b, const char *uid, struct err *err)
{
    char path[PATH_MAX];

    path_of(b, uid, path);
    if (unlink(path) < 0 && errno != ENOENT)
        return disk_failed(errno, "removing", uid, err);
    return 0;
}

static void folder_close(DIR **folder)
{
    if (*folder)
        closedir(*folder);
}

/* One of the folders of two letters, or "new", of which nothing is kept. */
static int collect_folder(struct blobs *b, const char *name, bool (*keep)(void *context, const char *uid),
                          void *context, int64_t *removed, struct err *err)
{
    __attribute__((cleanup(folder_close))) DIR *folder = NULL;
    char path[PATH_MAX];

    snprintf(path, sizeof path, "%s/%s", b->folder, name);
    folder = opendir(path);
    if (!folder)
        return fail_errno(err, errno, "reading the folder %s", path);
    for (struct dirent *e; (e = readdir(folder));) {
        if (!is_uid(e->d_name) || (keep && keep(context, e->d_name)))
            continue;
        if (unlinkat(dirfd(folder), e->d_name, 0) < 0 && errno != ENOENT)
            return disk_failed(errno, "removing", e->d_name, err);
        (*removed)++;
    }
    return 0;
}

int blobs_collect(struct blobs *b, bool (*keep)(void *context, const char *uid), void *context, int64_t *ret_removed,
                  struct err *err)
{
    __attribute__((cleanup(folder_close))) DIR *folder = opendir(b->folder);
    int64_t removed = 0;

    if (!folder)
        return fail_errno(err, errno, "reading the folder %s", b->folder);
    if (collect_folder(b, "new", NULL, NULL, &removed, err) < 0)
        return -1;
    for (struct dirent *e; (e = readdir(folder));)
        if (strlen(e->d_name) == 2 && e->d_name[0] != '.' &&
            collect_folder(b, e->d_name, keep, context, &removed, err) < 0)
            return -1;
    *ret_removed = removed;
    return 0;
}
