/* archive_unpack.c - libarchive reads the format; where the bytes go on disk is decided here, one component at a time,
 * below a descriptor of the folder. */
#include "run/archive_impl.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/fd.h"

enum { DEFAULT_FILES = 1000000 };

struct unpack {
    struct archive *in;
    int root;
    enum archive_form form;
    int64_t bytes_left, files_left;
    struct arena *arena; /* reset for each entry */
    const struct archive_source *source; /* NULL: a descriptor or memory */
    struct err failed;                   /* to read from it */
};

static int bad(struct unpack *u, struct err *err)
{
    const char *why = archive_error_string(u->in);

    if (u->failed.kind) {
        *err = u->failed;
        return -1;
    }
    return fail(err, ERR_INVALID, "the archive cannot be read: %s", why ? why : "unknown reason");
}

/* The name without "./" and doubled or trailing slashes; "" is the folder itself. NULL with err filled: refused. */
static char *clean_name(struct unpack *u, const char *name, const char *what, struct err *err)
{
    _cleanup_buf_ struct buf b = { 0 };
    int depth = 0;

    if (!name || !*name) {
        fail(err, ERR_INVALID, "the archive has %s without a name", what);
        return NULL;
    }
    /* "/" alone is the folder itself: the SageMaker SDK packs models so. */
    if (*name == '/' && name[strspn(name, "/")] && u->form == ARCHIVE_DATA) {
        fail(err, ERR_INVALID, "the archive names the absolute path %.200s", name);
        return NULL;
    }
    while (*name) {
        size_t size = strcspn(name, "/");

        if (size == 2 && name[0] == '.' && name[1] == '.') {
            fail(err, ERR_INVALID, "the archive names a path with \"..\"");
            return NULL;
        }
        if (size > 255 || depth > ARCHIVE_DEPTH) {
            fail(err, ERR_INVALID, "the archive names a path that is too long");
            return NULL;
        }
        if (size && !(size == 1 && name[0] == '.')) {
            if (b.size)
                buf_append_char(&b, '/');
            buf_append(&b, name, size);
            depth++;
        }
        name += size;
        while (*name == '/')
            name++;
    }
    return arena_strndup(u->arena, b.data ? b.data : "", b.size);
}

bool archive_link_stays(const char *at, const char *target)
{
    int depth = 0;

    if (*target == '/')
        return false;
    for (const char *p = at; *p; p++)
        if (*p == '/')
            depth++;
    while (*target) {
        size_t size = strcspn(target, "/");

        if (size == 2 && target[0] == '.' && target[1] == '.') {
            if (--depth < 0)
                return false;
        } else if (size && !(size == 1 && target[0] == '.')) {
            depth++;
        }
        target += size;
        while (*target == '/')
            target++;
    }
    return true;
}

/* Opens the folder that 'path' is in, making what is missing, never through a link. *ret_name is the last component. */
static int open_parent(struct unpack *u, const char *path, const char **ret_name, struct err *err)
{
    char part[256];
    int at = fcntl(u->root, F_DUPFD_CLOEXEC, 3);
    const char *slash;

    if (at < 0)
        return fail_errno(err, errno, "unpack");
    for (; (slash = strchr(path, '/')) != NULL; path = slash + 1) {
        int next;

        memcpy(part, path, (size_t)(slash - path));
        part[slash - path] = '\0';
        next = openat(at, part, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (next < 0 && errno == ENOENT && mkdirat(at, part, 0755) == 0)
            next = openat(at, part, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (next < 0) {
            int saved = errno;

            close(at);
            if (saved == ELOOP || saved == ENOTDIR)
                return fail(err, ERR_INVALID, "the archive has a path through \"%s\", which is no folder in it", part);
            return fail_errno(err, saved, "unpack %s", part);
        }
        close(at);
        at = next;
    }
    *ret_name = path;
    return at;
}

/* What stands in the way goes; a folder is kept for a folder. */
static int make_way(int parent, const char *name, bool for_folder, bool *ret_there, struct err *err)
{
    struct stat st;

    *ret_there = false;
    if (fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW) < 0) {
        if (errno == ENOENT)
            return 0;
        return fail_errno(err, errno, "unpack %s", name);
    }
    if (S_ISDIR(st.st_mode) && for_folder) {
        *ret_there = true;
        return 0;
    }
    if (unlinkat(parent, name, S_ISDIR(st.st_mode) ? AT_REMOVEDIR : 0) < 0) {
        if (errno == ENOTEMPTY || errno == EEXIST)
            return fail(err, ERR_INVALID, "the archive replaces the folder \"%s\" by a file", name);
        return fail_errno(err, errno, "unpack %s", name);
    }
    return 0;
}

static int write_file(struct unpack *u, int parent, const char *name, struct archive_entry *e, struct err *err)
{
    _cleanup_fd_ int fd = openat(parent, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    int64_t end = 0;

    if (fd < 0)
        return fail_errno(err, errno, "unpack %s", name);
    for (;;) {
        const void *data;
        size_t size;
        la_int64_t at;
        int r = archive_read_data_block(u->in, &data, &size, &at);

        if (r == ARCHIVE_EOF)
            break;
        if (r == ARCHIVE_RETRY)
            continue;
        if (r < ARCHIVE_WARN)
            return bad(u, err);
        if (at < end || at > INT64_MAX - (int64_t)size)
            return fail(err, ERR_INVALID, "the archive is damaged at \"%s\"", name);
        /* Holes count too: whoever copies the file writes them. */
        if (at + (int64_t)size - end > u->bytes_left)
            return fail(err, ERR_LIMIT, "the archive holds more than there is room for");
        u->bytes_left -= at + (int64_t)size - end;
        end = at + (int64_t)size;
        while (size) {
            ssize_t n = pwrite(fd, data, size, at);

            if (n < 0 && errno == EINTR)
                continue;
            if (n < 0)
                return fail_errno(err, errno, "unpack %s", name);
            data = (const char *)data + n;
            size -= (size_t)n;
            at += n;
        }
    }
    if (archive_entry_size_is_set(e) && archive_entry_size(e) > end) {
        if (archive_entry_size(e) - end > u->bytes_left)
            return fail(err, ERR_LIMIT, "the archive holds more than there is room for");
        u->bytes_left -= archive_entry_size(e) - end;
        if (ftruncate(fd, archive_entry_size(e)) < 0)
            return fail_errno(err, errno, "unpack %s", name);
    }
    return 0;
}

static int hard_link(struct unpack *u, int parent, const char *name, const char *target, struct err *err)
{
    const char *target_name;
    char *path = clean_name(u, target, "a link", err);
    _cleanup_fd_ int from = -1;
    struct stat st;

    if (!path)
        return -1;
    from = open_parent(u, path, &target_name, err);
    if (from < 0)
        return -1;
    if (!*target_name || fstatat(from, target_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return fail(err, ERR_INVALID, "the archive links \"%s\" to \"%.200s\", which is not in it", name, target);
    if (S_ISDIR(st.st_mode))
        return fail(err, ERR_INVALID, "the archive links \"%s\" to a folder", name);
    if (linkat(from, target_name, parent, name, 0) < 0)
        return fail_errno(err, errno, "unpack %s", name);
    return 0;
}

/* The metadata, through the name and never through a link. */
static int set_metadata(struct unpack *u, int parent, const char *name, struct archive_entry *e, struct err *err)
{
    mode_t mode = archive_entry_perm(e);
    struct timespec times[2] = { { .tv_nsec = UTIME_NOW }, { .tv_nsec = UTIME_NOW } };

    if (u->form == ARCHIVE_LAYER) {
        if (fchownat(parent, name, (uid_t)archive_entry_uid(e), (gid_t)archive_entry_gid(e), AT_SYMLINK_NOFOLLOW) < 0)
            return fail_errno(err, errno, "unpack %s: set the owner", name);
    } else {
        mode &= 0777;
        mode |= archive_entry_filetype(e) == AE_IFDIR ? 0700 : 0600;
    }
    if (archive_entry_filetype(e) != AE_IFLNK && fchmodat(parent, name, mode, 0) < 0)
        return fail_errno(err, errno, "unpack %s: set the mode", name);
    if (archive_entry_mtime_is_set(e)) {
        times[0].tv_sec = times[1].tv_sec = archive_entry_mtime(e);
        times[0].tv_nsec = times[1].tv_nsec = 0;
    }
    if (utimensat(parent, name, times, AT_SYMLINK_NOFOLLOW) < 0 && errno != EINVAL)
        return fail_errno(err, errno, "unpack %s: set the time", name);
    return 0;
}

/* ".wh.x" hides x of the layers below, ".wh..wh..opq" all of them: overlayfs says so by a 0:0 device and by a mark. */
static int whiteout(int parent, const char *name, struct err *err)
{
    bool there;

    if (strcmp(name, ".wh..wh..opq") == 0) {
        char path[64];

        snprintf(path, sizeof path, "/proc/self/fd/%d/.", parent);
        if (setxattr(path, "trusted.overlay.opaque", "y", 1, 0) < 0)
            return fail_errno(err, errno, "mark a folder of the layer opaque");
        return 0;
    }
    name += 4;
    if (!*name)
        return fail(err, ERR_INVALID, "the layer hides a file without a name");
    if (make_way(parent, name, false, &there, err) < 0)
        return -1;
    if (mknodat(parent, name, S_IFCHR, makedev(0, 0)) < 0)
        return fail_errno(err, errno, "hide %s", name);
    return 0;
}

static int unpack_entry(struct unpack *u, struct archive_entry *e, struct err *err)
{
    char *path = clean_name(u, archive_entry_pathname(e), "an entry", err);
    const char *name, *hard = archive_entry_hardlink(e), *soft = archive_entry_symlink(e);
    mode_t type = archive_entry_filetype(e);
    _cleanup_fd_ int parent = -1;
    bool there;

    if (!path)
        return -1;
    if (!*path)
        return 0;
    parent = open_parent(u, path, &name, err);
    if (parent < 0)
        return -1;
    if (u->form == ARCHIVE_LAYER && strncmp(name, ".wh.", 4) == 0)
        return whiteout(parent, name, err);
    if (!hard && (type == AE_IFCHR || type == AE_IFBLK || type == AE_IFSOCK || type == 0 ||
                  (type == AE_IFIFO && u->form == ARCHIVE_DATA))) {
        /* Images carry /dev/null and the like, which a container's own /dev hides anyway. */
        if (u->form == ARCHIVE_LAYER)
            return 0;
        return fail(err, ERR_INVALID, "the archive has \"%.200s\", which is neither a file, a folder nor a link", path);
    }
    if (make_way(parent, name, type == AE_IFDIR && !hard, &there, err) < 0)
        return -1;
    if (hard)
        return hard_link(u, parent, name, hard, err);
    if (type == AE_IFDIR) {
        if (!there && mkdirat(parent, name, 0700) < 0)
            return fail_errno(err, errno, "unpack %s", name);
    } else if (type == AE_IFLNK) {
        if (!soft || (u->form == ARCHIVE_DATA && !archive_link_stays(path, soft)))
            return fail(err, ERR_INVALID, "the archive has the link \"%.200s\", which leads out of it", path);
        if (symlinkat(soft, parent, name) < 0)
            return fail_errno(err, errno, "unpack %s", name);
    } else if (type == AE_IFIFO) {
        if (mkfifoat(parent, name, 0600) < 0)
            return fail_errno(err, errno, "unpack %s", name);
    } else if (write_file(u, parent, name, e, err) < 0) {
        return -1;
    }
    return set_metadata(u, parent, name, e, err);
}

static int unpack_all(struct unpack *u, struct err *err)
{
    for (;;) {
        struct archive_entry *e;
        int r = archive_read_next_header(u->in, &e);

        if (r == ARCHIVE_EOF)
            return 0;
        if (r == ARCHIVE_RETRY)
            continue;
        if (r < ARCHIVE_WARN)
            return bad(u, err);
        if (u->files_left-- <= 0)
            return fail(err, ERR_LIMIT, "the archive has too many files");
        arena_reset(u->arena);
        if (unpack_entry(u, e, err) < 0)
            return -1;
    }
}

static int unpack_opened(struct unpack *u, int r, const char *folder, struct err *err)
{
    u->root = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (u->root < 0)
        return fail_errno(err, errno, "open %s", folder);
    u->arena = arena_new();
    r = r < ARCHIVE_WARN ? bad(u, err) : unpack_all(u, err);
    close(u->root);
    arena_free(u->arena);
    return r;
}

static struct unpack unpack_of(enum archive_form form, const struct archive_limits *limits)
{
    struct unpack u = {
        .in = archive_read_new(),
        .form = form,
        .bytes_left = limits && limits->bytes ? limits->bytes : INT64_MAX,
        .files_left = limits && limits->files ? limits->files : DEFAULT_FILES,
    };

    assert(u.in);
    archive_read_support_format_tar(u.in);
    return u;
}

/* From the descriptor, or from memory when that is -1. */
static int unpack(int fd, const void *data, size_t size, const char *folder, enum archive_form form,
                  const struct archive_limits *limits, struct err *err)
{
    struct unpack u = unpack_of(form, limits);
    int r;

    archive_read_support_filter_gzip(u.in);
    archive_read_support_filter_zstd(u.in);
    r = fd >= 0 ? archive_read_open_fd(u.in, fd, ARCHIVE_BLOCK) : archive_read_open_memory(u.in, data, size);
    r = unpack_opened(&u, r, folder, err);
    archive_read_free(u.in);
    return r;
}

int archive_unpack(const char *path, const char *folder, enum archive_form form, const struct archive_limits *limits,
                   struct err *err)
{
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    _cleanup_fd_ int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return fail_errno(err, errno, "open %s", name);
    if (unpack(fd, NULL, 0, folder, form, limits, err) < 0)
        return fail(err, err->kind, "%s: %s", name, err->text);
    return 0;
}

int archive_unpack_fd(int fd, const char *folder, enum archive_form form, const struct archive_limits *limits,
                      struct err *err)
{
    return unpack(fd, NULL, 0, folder, form, limits, err);
}

int archive_unpack_memory(const void *data, size_t size, const char *folder, enum archive_form form,
                          const struct archive_limits *limits, struct err *err)
{
    return unpack(-1, data, size, folder, form, limits, err);
}

static la_ssize_t read_in(struct archive *in, void *data, const void **ret)
{
    struct unpack *u = data;
    struct str piece = { 0 };

    if (u->source->read(u->source->data, &piece, &u->failed) < 0) {
        archive_set_error(in, EIO, "cannot read");
        return -1;
    }
    *ret = piece.data;
    return (la_ssize_t)piece.size;
}

int archive_unpack_from(const struct archive_source *source, const char *folder, enum archive_form form,
                        const struct archive_limits *limits, struct err *err)
{
    struct unpack u = unpack_of(form, limits);
    int r;

    u.source = source;
    r = unpack_opened(&u, archive_read_open(u.in, &u, NULL, read_in, NULL), folder, err);
    archive_read_free(u.in);
    return r;
}

