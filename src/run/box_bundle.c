/* box_bundle.c - from an order to the bundle that runc is given. */
#include "run/box_bundle.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/program.h"
#include "base/str.h"
#include "run/cgroup.h"
#include "run/hostimage.h"
#include "run/mount.h"

enum { SMALL_FILE = 1 << 20, LEAST_PROCESSES = 4096, MOST_PROCESSES = 16384 };

int box_write(const char *path, struct str text, struct err *err)
{
    _cleanup_fd_ int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);

    if (fd < 0)
        return fail_errno(err, errno, "create %s", path);
    return fd_write_all(fd, text.data, text.size, err);
}

/* /etc/hosts, /etc/hostname and /etc/resolv.conf, in 'folder'. */
static int write_names(struct arena *a, const struct box_order *o, const char *folder, struct err *err)
{
    _cleanup_buf_ struct buf b = { 0 };
    struct err ignored;
    struct str resolv;

    if (mkdir(folder, 0755) < 0 && errno != EEXIST)
        return fail_errno(err, errno, "mkdir %s", folder);
    buf_append_str(&b, "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n");
    for (int i = 0; o->hosts[i]; i++)
        buf_printf(&b, "%s\n", o->hosts[i]);
    if (box_write(arena_printf(a, "%s/hosts", folder), (struct str){ b.data, b.size }, err) < 0 ||
        box_write(arena_printf(a, "%s/hostname", folder), str_of(arena_printf(a, "%s\n", o->host_name)), err) < 0)
        return -1;
    /* A resolver on the host's loopback is out of reach in there; systemd keeps the real ones here. */
    if (file_read(a, "/run/systemd/resolve/resolv.conf", SMALL_FILE, &resolv, &ignored) < 0 &&
        file_read(a, "/etc/resolv.conf", SMALL_FILE, &resolv, &ignored) < 0)
        resolv = STR("");
    return box_write(arena_printf(a, "%s/resolv.conf", folder), resolv, err);
}

static int64_t kernel_limit(struct arena *a, const char *name)
{
    struct err ignored;
    struct str text;
    int64_t most;

    if (file_read(a, arena_printf(a, "/proc/sys/kernel/%s", name), 64, &text, &ignored) < 0 ||
        !str_to_int64(str_trim(text), &most))
        return 0;
    return most;
}

/* Processes and threads of one container: enough for every core of a big machine to have data loaders with threads of
 * their own, and never so many that the jobs of a machine take the kernel's last. Since Linux 6.14 each namespace has a
 * pid_max of its own, which says nothing of the machine; threads-max does. */
static int64_t process_limit(struct arena *a)
{
    int64_t pids = kernel_limit(a, "pid_max"), threads = kernel_limit(a, "threads-max");
    int64_t share = (pids < threads ? pids : threads) / 8;

    return share < LEAST_PROCESSES ? LEAST_PROCESSES : share > MOST_PROCESSES ? MOST_PROCESSES : share;
}

/* The id of 'name' in the third field of a file like passwd in the image; false: not there. */
static bool find_id(struct arena *a, const char *root, const char *file, struct str name, int64_t *ret_id,
                    int64_t *ret_group)
{
    _cleanup_fd_ int folder = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC), fd = -1;
    struct open_how how = { .flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK, .resolve = RESOLVE_IN_ROOT };
    struct err ignored;
    struct str text, line;

    fd = (int)syscall(SYS_openat2, folder, file, &how, sizeof how);
    if (fd < 0 || fd_read_all(a, fd, SMALL_FILE, &text, &ignored) < 0)
        return false;
    while (text.size) {
        struct str field, id, group, rest;

        if (!str_cut(text, '\n', &line, &text)) {
            line = text;
            text.size = 0;
        }
        if (!str_cut(line, ':', &field, &rest) || !str_cut(rest, ':', &group, &rest) || !str_cut(rest, ':', &id, &rest))
            continue;
        if (!str_eq(field, name) && !str_eq(id, name))
            continue;
        if (!str_cut(rest, ':', &group, &rest))
            group = rest;
        if (!str_to_int64(id, ret_id))
            continue;
        if (!str_to_int64(group, ret_group))
            *ret_group = 0;
        return true;
    }
    return false;
}

/* "user", "user:group", names or numbers -> "uid:gid"; NULL is root. */
int box_user(struct arena *a, const struct box *b, const struct image *image, const char **ret, struct err *err)
{
    struct str user = str_of(image->user), group = { 0 };
    const char *root = arena_printf(a, "%s/root", b->folder);
    int64_t uid = 0, gid = 0, ignored;

    *ret = NULL;
    if (!*image->user)
        return 0;
    str_cut(str_of(image->user), ':', &user, &group);
    if (!find_id(a, root, "etc/passwd", user, &uid, &gid) && !str_to_int64(user, &uid))
        return fail(err, ERR_INVALID, "The image runs as the user \"%s\", which its /etc/passwd does not have.",
                    image->user);
    if (group.size && !find_id(a, root, "etc/group", group, &gid, &ignored) && !str_to_int64(group, &gid))
        return fail(err, ERR_INVALID, "The image runs as the user \"%s\", whose group its /etc/group does not have.",
                    image->user);
    if (uid || gid)
        *ret = arena_printf(a, "%lld:%lld", (long long)uid, (long long)gid);
    return 0;
}

/* A program of ours stands for many images, and has to know for which. */
const char *const *box_environment(struct arena *a, const struct box_order *o)
{
    size_t count = 0;
    const char **environment;

    if (o->image->kind != IMAGE_HOST)
        return o->environment;
    while (o->environment[count])
        count++;
    environment = arena_array_of(a, const char *, count + 2);
    memcpy(environment, o->environment, count * sizeof *environment);
    environment[count] = arena_printf(a, "SAGEBRUSH_IMAGE=%s", o->image->title);
    return environment;
}

/* --- The root --- */

/* Where /etc/hosts and its like are written, as seen from here. */
static const char *names_folder(struct arena *a, const struct box *b, const struct image *image)
{
    return arena_printf(a, image->kind == IMAGE_HOST ? "%s/root/etc" : "%s/etc", b->folder);
}

int box_name_hosts(struct arena *a, const struct box *b, const struct box_order *o, struct err *err)
{
    return write_names(a, o, names_folder(a, b, o->image), err);
}

int box_lay_root(struct arena *a, const struct box *b, const struct box_order *o, struct err *err)
{
    const char *root = arena_printf(a, "%s/root", b->folder), *upper = arena_printf(a, "%s/upper", b->folder),
               *work = arena_printf(a, "%s/work", b->folder);

    if (o->image->kind == IMAGE_HOST)
        return hostimage_make(a, b->images, b->folder, err) < 0 ? -1 : box_name_hosts(a, b, o, err);
    if (folder_make(root, 0755, err) < 0 || folder_make(upper, 0755, err) < 0 || folder_make(work, 0755, err) < 0 ||
        mount_overlay(o->image->layers, o->image->layer_count, upper, work, root, err) < 0)
        return -1;
    return box_name_hosts(a, b, o, err);
}

/* --- config.json --- */

enum { OWN_MOUNTS = HOSTIMAGE_MOUNTS + 8 };

struct mounts {
    struct bundle_mount *items;
    int count;
};

static void add(struct mounts *m, const char *source, const char *at, bool read_only)
{
    m->items[m->count++] = (struct bundle_mount){ .source = source, .at = at, .read_only = read_only };
}

static int add_host_mounts(struct arena *a, const struct box *b, const struct box_order *o, struct mounts *m,
                           struct err *err)
{
    const char *program;

    m->count += hostimage_mounts(a, b->folder, m->items + m->count);
    if (program_path(a, o->image->program, &program, err) < 0)
        return -1;
    add(m, program, arena_printf(a, "/opt/sagebrush/%s", o->image->program), true);
    return 0;
}

static void add_name_mounts(struct arena *a, const struct box *b, const struct box_order *o, struct mounts *m)
{
    static const char *const names[] = { "hosts", "hostname", "resolv.conf" };
    const char *etc = names_folder(a, b, o->image);

    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        add(m, arena_printf(a, "%s/%s", etc, names[i]), arena_printf(a, "/etc/%s", names[i]), false);
}

int box_config(struct arena *a, const struct box *b, const struct box_order *o, const char *const *arguments,
               const char *const *environment, char **ret, struct err *err)
{
    struct mounts m = { arena_array_of(a, struct bundle_mount, (size_t)(OWN_MOUNTS + o->mount_count)), 0 };
    struct bundle bundle = {
        .root = arena_printf(a, "%s/root", b->folder), .arguments = arguments, .environment = environment,
        .host_name = o->host_name, .mounts = m.items, .network_namespace = o->network->namespace_path,
        .cgroup_path = cgroup_path(a, b->name), .pids = process_limit(a), .memory_bytes = o->memory_bytes,
        .cpu_weight = o->cpu_weight, .cpus = o->cpus, .devices = o->devices, .device_count = o->device_count,
    };
    const char *init;

    if (o->image->kind != IMAGE_HOST)
        add_name_mounts(a, b, o, &m);
    else if (add_host_mounts(a, b, o, &m, err) < 0)
        return -1;
    if (program_path(a, "sagebrush-init", &init, err) < 0)
        return -1;
    add(&m, init, BOX_INIT, true);
    for (int i = 0; i < o->mount_count; i++)
        m.items[m.count++] = o->mounts[i];
    bundle.mount_count = m.count;
    *ret = bundle_json(a, &bundle);
    return 0;
}
