/* archive_pack.c - a tree becomes an archive: sorted, with what would differ between two packs of one tree left out. */
#include "run/archive_impl.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/fd.h"

enum { HOLES_MOST = 1000 };

struct pack {
    struct archive *out;
    struct arena *arena;
    char *block;
    int64_t files;
    int cancel_fd;
    bool holes; /* stay holes */
    const struct archive_sink *sink;
    struct err failed; /* to write to it */
    bool given_up;
};

/* libarchive would go on for what the last header has promised, with zeros of any length. */
static la_ssize_t write_out(struct archive *out, void *data, const void *block, size_t size)
{
    struct pack *p = data;

    if (!p->given_up && p->sink->write(p->sink->data, block, size, &p->failed) == 0)
        return (la_ssize_t)size;
    archive_set_error(out, ECANCELED, "cannot write");
    return -1;
}

static int bad_pack(struct pack *p, struct err *err)
{
    if (!p->failed.kind)
        return fail_errno(err, archive_errno(p->out) ? archive_errno(p->out) : EIO, "write the archive");
    *err = p->failed;
    return -1;
}

static int pack_file(struct pack *p, int fd, int64_t size, struct err *err)
{
    while (size > 0) {
        struct pollfd cancel = { .fd = p->cancel_fd, .events = POLLIN };
        ssize_t n;

        if (p->cancel_fd >= 0 && poll(&cancel, 1, 0) > 0)
            return fail(err, ERR_CONFLICT, "cancelled");
        n = read(fd, p->block, (size_t)(size < ARCHIVE_BLOCK ? size : ARCHIVE_BLOCK));

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return fail_errno(err, errno, "read");
        /* Shorter than it was: the header has promised more, so the rest is zeros. */
        if (n == 0) {
            n = size < ARCHIVE_BLOCK ? size : ARCHIVE_BLOCK;
            memset(p->block, 0, (size_t)n);
        }
        if (archive_write_data(p->out, p->block, (size_t)n) != n)
            return bad_pack(p, err);
        size -= n;
    }
    return 0;
}

/* Where the file's bytes are, unless that is in very many places. */
static void tell_holes(struct archive_entry *e, int fd, int64_t size)
{
    int count = 0;

    for (int64_t at = 0; at < size;) {
        int64_t data = lseek(fd, at, SEEK_DATA), hole = data < 0 ? -1 : lseek(fd, data, SEEK_HOLE);

        if ((data < 0 && errno == ENXIO) || data >= size)
            break;
        if (hole < 0 || ++count > HOLES_MOST) {
            archive_entry_sparse_clear(e);
            lseek(fd, 0, SEEK_SET);
            return;
        }
        at = hole < size ? hole : size;
        archive_entry_sparse_add_entry(e, data, at - data);
    }
    if (!count && size)
        archive_entry_sparse_add_entry(e, 0, 0);
    lseek(fd, 0, SEEK_SET);
}

static int by_name(const void *x, const void *y)
{
    return strcmp(*(char *const *)x, *(char *const *)y);
}

static int pack_folder(struct pack *p, int fd, const char *prefix, int depth, struct err *err);

static int pack_entry(struct pack *p, int parent, const char *name, const char *path, int depth, struct err *err)
{
    struct archive_entry *e;
    char target[4096];
    _cleanup_fd_ int fd = -1;
    struct stat st;
    ssize_t n;
    int r;

    if (fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT ? 0 : fail_errno(err, errno, "pack %s", path);
    if (S_ISLNK(st.st_mode)) {
        n = readlinkat(parent, name, target, sizeof target - 1);
        if (n < 0)
            return fail_errno(err, errno, "pack %s", path);
        target[n] = '\0';
        if (!archive_link_stays(path, target))
            return 0;
    } else if (S_ISREG(st.st_mode) || S_ISDIR(st.st_mode)) {
        fd = openat(parent, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | (S_ISDIR(st.st_mode) ? O_DIRECTORY : O_NONBLOCK));
        if (fd < 0)
            return fail_errno(err, errno, "pack %s", path);
        if (fstat(fd, &st) < 0 || !(S_ISREG(st.st_mode) || S_ISDIR(st.st_mode)))
            return 0;
    } else {
        return 0;
    }
    e = archive_entry_new();
    archive_entry_set_pathname(e, path);
    archive_entry_set_mtime(e, st.st_mtim.tv_sec, 0);
    archive_entry_set_filetype(e, st.st_mode & S_IFMT);
    archive_entry_set_perm(e, st.st_mode & 0777);
    if (S_ISLNK(st.st_mode))
        archive_entry_set_symlink(e, target);
    archive_entry_set_size(e, S_ISREG(st.st_mode) ? st.st_size : 0);
    if (p->holes && S_ISREG(st.st_mode))
        tell_holes(e, fd, st.st_size);
    r = archive_write_header(p->out, e);
    archive_entry_free(e);
    if (r < ARCHIVE_WARN)
        return bad_pack(p, err);
    p->files++;
    if (S_ISREG(st.st_mode))
        return pack_file(p, fd, st.st_size, err);
    if (S_ISDIR(st.st_mode))
        return pack_folder(p, fd, path, depth + 1, err);
    return 0;
}

static int pack_folder(struct pack *p, int fd, const char *prefix, int depth, struct err *err)
{
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3), count = 0, room = 0, r = 0;
    struct dirent *entry;
    char **names = NULL;
    DIR *folder;

    if (depth > ARCHIVE_DEPTH) {
        close(copy);
        return fail(err, ERR_LIMIT, "%s: folders more than %d deep", prefix, ARCHIVE_DEPTH);
    }
    folder = copy < 0 ? NULL : fdopendir(copy);
    if (!folder) {
        fail_errno(err, errno, "read %s", prefix);
        if (copy >= 0)
            close(copy);
        return -1;
    }
    while ((entry = readdir(folder)) != NULL) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        if (count == room) {
            char **more = arena_array_of(p->arena, char *, (size_t)(room ? room * 2 : 64));

            if (count)
                memcpy(more, names, sizeof *names * (size_t)count);
            names = more;
            room = room ? room * 2 : 64;
        }
        names[count++] = arena_strdup(p->arena, entry->d_name);
    }
    closedir(folder);
    if (count)
        qsort(names, (size_t)count, sizeof *names, by_name);
    for (int i = 0; i < count && r == 0; i++)
        r = pack_entry(p, fd, names[i], *prefix ? arena_printf(p->arena, "%s/%s", prefix, names[i]) : names[i], depth,
                       err);
    return r;
}

/* 'p' has its writer, of a format, and its sink. */
static int pack(struct pack *p, const char *folder, struct err *err)
{
    _cleanup_fd_ int root = open(folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    int r;

    if (root < 0)
        return fail_errno(err, errno, "open %s", folder);
    p->arena = arena_new();
    p->block = malloc(ARCHIVE_BLOCK);
    assert(p->block);
    archive_write_set_bytes_in_last_block(p->out, 1);
    r = archive_write_open(p->out, p, NULL, write_out, NULL) < ARCHIVE_WARN ? bad_pack(p, err)
                                                                          : pack_folder(p, root, "", 0, err);
    if (r == 0 && archive_write_close(p->out) < ARCHIVE_WARN)
        r = bad_pack(p, err);
    p->given_up = r < 0;
    arena_free(p->arena);
    free(p->block);
    return r;
}

static struct pack pack_of(const struct archive_sink *sink, int cancel_fd)
{
    struct pack p = { .out = archive_write_new(), .cancel_fd = cancel_fd, .sink = sink };

    assert(p.out);
    archive_write_set_format_pax_restricted(p.out);
    return p;
}

static int write_to_fd(void *data, const void *bytes, size_t size, struct err *err)
{
    if (fd_write_all(*(int *)data, bytes, size, err) == 0)
        return 0;
    return fail_errno(err, errno, "write the archive");
}

int archive_pack(const char *folder, const char *path, int cancel_fd, int64_t *ret_files, struct err *err)
{
    _cleanup_fd_ int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    const struct archive_sink sink = { write_to_fd, &fd };
    struct pack p;
    int r;

    if (fd < 0)
        return fail_errno(err, errno, "create %s", path);
    p = pack_of(&sink, cancel_fd);
    archive_write_add_filter_gzip(p.out);
    /* A time in the gzip header would make two packs of one tree differ. */
    archive_write_set_filter_option(p.out, "gzip", "timestamp", NULL);
    archive_write_set_filter_option(p.out, "gzip", "compression-level", "3");
    r = pack(&p, folder, err);
    archive_write_free(p.out);
    if (r == 0 && ret_files)
        *ret_files = p.files;
    return r;
}

int archive_pack_to(const char *folder, const struct archive_sink *sink, int cancel_fd, struct err *err)
{
    struct pack p = pack_of(sink, cancel_fd);
    int r;

    p.holes = true;
    archive_write_set_bytes_per_block(p.out, ARCHIVE_BLOCK);
    r = pack(&p, folder, err);
    archive_write_free(p.out);
    return r;
}
