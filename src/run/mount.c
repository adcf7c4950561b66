/* mount.c - overlays by fsconfig, where each layer is a call of its own: fifty layers do not fit in a
 * page of options. */
#include "run/mount.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/mount.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/fd.h"
#include "base/str.h"

enum { MOUNTINFO_LIMIT = 16 << 20 };

bool mount_is_point(const char *path)
{
    struct stat st, above;
    char parent[4096];

    if (snprintf(parent, sizeof parent, "%s/..", path) >= (int)sizeof parent)
        return false;
    return lstat(path, &st) == 0 && S_ISDIR(st.st_mode) && lstat(parent, &above) == 0 && st.st_dev != above.st_dev;
}

/* Before Linux 6.5 all layers stand in one option, the highest first. */
static int overlay_by_option(const char *const *layers, int count, const char *upper, const char *work, const char *at,
                             struct err *err)
{
    _cleanup_buf_ struct buf b = { 0 };

    buf_append_str(&b, "lowerdir=");
    for (int i = count - 1; i >= 0; i--)
        buf_printf(&b, "%s%s", layers[i], i ? ":" : "");
    buf_printf(&b, ",upperdir=%s,workdir=%s", upper, work);
    if (b.size >= 4096)
        return fail(err, ERR_LIMIT, "the image has too many layers (%d) for this kernel", count);
    if (mount("overlay", at, "overlay", MS_NODEV, b.data) < 0)
        return fail_errno(err, errno, "mount the image's layers at %s", at);
    return 0;
}

static int set_option(int fs, const char *key, const char *value)
{
    return (int)syscall(SYS_fsconfig, fs, FSCONFIG_SET_STRING, key, value, 0);
}

int mount_overlay(const char *const *layers, int count, const char *upper, const char *work, const char *at,
                  struct err *err)
{
    _cleanup_fd_ int fs = -1, mnt = -1;

    if (mount_is_point(at))
        return 0;
    fs = (int)syscall(SYS_fsopen, "overlay", FSOPEN_CLOEXEC);
    if (fs < 0)
        return overlay_by_option(layers, count, upper, work, at, err);
    for (int i = count - 1; i >= 0; i--)
        if (set_option(fs, "lowerdir+", layers[i]) < 0)
            return overlay_by_option(layers, count, upper, work, at, err);
    if (set_option(fs, "upperdir", upper) < 0 || set_option(fs, "workdir", work) < 0 ||
        syscall(SYS_fsconfig, fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
        return fail_errno(err, errno, "mount the image's layers at %s (is %s itself on an overlay?)", at, upper);
    mnt = (int)syscall(SYS_fsmount, fs, FSMOUNT_CLOEXEC, MOUNT_ATTR_NODEV);
    if (mnt < 0 || syscall(SYS_move_mount, mnt, "", AT_FDCWD, at, MOVE_MOUNT_F_EMPTY_PATH) < 0)
        return fail_errno(err, errno, "mount the image's layers at %s", at);
    return 0;
}

/* mountinfo writes spaces and the like as \ooo. */
static char *unescape(struct arena *a, struct str s)
{
    char *text = str_dup(a, s), *to = text;

    for (const char *from = text; *from; from++) {
        if (from[0] == '\\' && from[1] >= '0' && from[1] <= '3' && from[2] && from[3]) {
            *to++ = (char)((from[1] - '0') * 64 + (from[2] - '0') * 8 + (from[3] - '0'));
            from += 3;
        } else {
            *to++ = *from;
        }
    }
    *to = '\0';
    return text;
}

/* A line of mountinfo. */
struct mounted {
    const char *device, *point; /* "0:52", "/var/lib" */
    const char *whole;
};

static bool next_mounted(struct arena *a, struct str *text, struct mounted *ret)
{
    struct str line, rest, fields[5];

    if (!str_cut(*text, '\n', &line, text))
        return false;
    rest = line;
    for (int i = 0; i < 5; i++)
        if (!str_cut(rest, ' ', &fields[i], &rest))
            fields[i] = (struct str){ 0 };
    *ret = (struct mounted){ str_dup(a, fields[2]), unescape(a, fields[4]), unescape(a, line) };
    return true;
}

bool mount_find(struct arena *a, const char *path, const char **ret_device)
{
    struct str text;
    struct mounted m;
    struct err ignored;

    if (file_read(a, "/proc/self/mountinfo", MOUNTINFO_LIMIT, &text, &ignored) < 0)
        return false;
    while (next_mounted(a, &text, &m))
        if (strcmp(m.point, path) == 0) {
            *ret_device = m.device;
            return true;
        }
    return false;
}

static bool is_below(const struct mounted *m, const char *folder)
{
    size_t size = strlen(folder);

    return strncmp(m->point, folder, size) == 0 && (m->point[size] == '/' || m->point[size] == '\0');
}

void mount_abort(struct arena *a, const char *folder)
{
    char real[PATH_MAX];
    struct str text;
    struct mounted m;
    struct err ignored;

    if (!realpath(folder, real) || file_read(a, "/proc/self/mountinfo", MOUNTINFO_LIMIT, &text, &ignored) < 0)
        return;
    while (next_mounted(a, &text, &m))
        if (is_below(&m, real) && strstr(m.whole, " - " MOUNT_FUSE " "))
            umount2(m.point, MNT_FORCE | MNT_DETACH | UMOUNT_NOFOLLOW);
}

int mount_clear(struct arena *a, const char *folder, struct err *err)
{
    char real[PATH_MAX];
    struct str text;
    struct mounted m;
    const char **points, *upper;
    int count = 0, room = 0;

    /* A folder that was moved away still has its overlay, wherever that is now: it names its upper folder as it was. */
    if (!realpath(folder, real)) {
        if (errno != ENOENT)
            return fail_errno(err, errno, "find %s", folder);
        snprintf(real, sizeof real, "%s", folder);
    }
    upper = arena_printf(a, "upperdir=%s/", folder);
    if (file_read(a, "/proc/self/mountinfo", MOUNTINFO_LIMIT, &text, err) < 0)
        return -1;
    for (size_t i = 0; i < text.size; i++)
        room += text.data[i] == '\n';
    points = arena_array_of(a, const char *, (size_t)room + 1);
    while (next_mounted(a, &text, &m))
        if (is_below(&m, real) || strstr(m.whole, upper))
            points[count++] = m.point;
    /* Later mounts stand later, and may stand on earlier ones. */
    for (int i = count - 1; i >= 0; i--)
        if (umount2(points[i], MNT_DETACH | UMOUNT_NOFOLLOW) < 0 && errno != EINVAL && errno != ENOENT)
            return fail_errno(err, errno, "unmount %s", points[i]);
    return 0;
}
