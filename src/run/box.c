/* box.c - runc is called, not re-written. While a runc works on a box it holds create.lock, inherited from the agent
 * that started it, and the init that it starts holds it until it has claimed the folder: an agent that comes after a
 * killed one waits for both, and then looks what they left. */
#include "run/box.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/program.h"
#include "base/str.h"
#include "doc/json.h"
#include "run/cgroup.h"
#include "run/hostimage.h"
#include "run/mount.h"

#define INIT_PATH "/run/sagebrush/init"

enum {
    START_WAIT_MS = 60000,
    SMALL_FILE = 1 << 20,
    LEAST_ROOM_BYTES = 4 << 20,
    LEAST_PROCESSES = 4096,
    MOST_PROCESSES = 16384,
};

static const char *const runc_environment[] = { "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                                                NULL };

static const char *box_folder(struct arena *a, const struct box *b)
{
    return arena_printf(a, "%s/box", b->folder);
}

/* Runs the program with fds[i] as descriptor i; -1 is /dev/null. */
static int spawn(const char *const *arguments, const char *const *environment, const int *fds, int count, pid_t *ret,
                 struct err *err)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    int high[16], r;
    sigset_t none, all;

    /* Out of the way first, so that no descriptor is overwritten before it was copied. */
    for (int i = 0; i < count; i++) {
        high[i] = fds[i] < 0 ? open("/dev/null", O_RDWR | O_CLOEXEC) : fcntl(fds[i], F_DUPFD_CLOEXEC, 32);
        if (high[i] < 0) {
            fail_errno(err, errno, "prepare %s", arguments[0]);
            while (i-- > 0)
                close(high[i]);
            return -1;
        }
    }
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawn_file_actions_init(&actions);
    for (int i = 0; i < count; i++)
        posix_spawn_file_actions_adddup2(&actions, high[i], i);
    posix_spawn_file_actions_addclosefrom_np(&actions, count);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &all);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSID);
    r = posix_spawnp(ret, arguments[0], &actions, &attributes, (char *const *)arguments, (char *const *)environment);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    for (int i = 0; i < count; i++)
        close(high[i]);
    if (r)
        return fail_errno(err, r, "start %s", arguments[0]);
    return 0;
}

static int wait_for(pid_t pid)
{
    int status;

    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static const char *runc_root(struct arena *a, const struct box *b)
{
    return arena_printf(a, "%s/runc", b->run_folder);
}

/* What fails without a word on a full disk had no room for one. */
static const char *no_words(struct arena *a, const struct box *b)
{
    struct statvfs fs;

    if (statvfs(b->folder, &fs) == 0 && (int64_t)fs.f_bavail * (int64_t)fs.f_frsize < LEAST_ROOM_BYTES)
        return arena_printf(a, "no reason was given, and the disk of the server is full: %lld bytes are left",
                            (long long)fs.f_bavail * (long long)fs.f_frsize);
    return "no reason was given";
}

/* The last thing runc complained about. */
static const char *runc_words(struct arena *a, const struct box *b)
{
    struct err ignored;
    struct str text, line, last = { 0 };

    if (file_read(a, arena_printf(a, "%s/runc.log", b->folder), SMALL_FILE, &text, &ignored) < 0)
        return no_words(a, b);
    while (text.size) {
        if (!str_cut(text, '\n', &line, &text)) {
            line = text;
            text.size = 0;
        }
        if (str_trim(line).size)
            last = str_trim(line);
    }
    return last.size ? str_dup(a, last) : no_words(a, b);
}

static bool runc_has(struct arena *a, const struct box *b)
{
    return path_exists(arena_printf(a, "%s/%s", runc_root(a, b), b->name));
}

static int runc_delete(struct arena *a, const struct box *b, struct err *err)
{
    const char *const arguments[] = { "runc", "--root", runc_root(a, b), "delete", "--force", b->name, NULL };
    const int fds[] = { -1, -1, -1 };
    pid_t pid;

    if (!runc_has(a, b))
        return 0;
    if (spawn(arguments, runc_environment, fds, 3, &pid, err) < 0)
        return -1;
    wait_for(pid);
    if (runc_has(a, b))
        return fail(err, ERR_INTERNAL, "runc cannot delete the container %s", b->name);
    return 0;
}

static int write_text(const char *path, const char *text, struct err *err)
{
    _cleanup_fd_ int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);

    if (fd < 0)
        return fail_errno(err, errno, "create %s", path);
    return fd_write_all(fd, text, strlen(text), err);
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
    if (write_text(arena_printf(a, "%s/hosts", folder), b.data, err) < 0 ||
        write_text(arena_printf(a, "%s/hostname", folder), arena_printf(a, "%s\n", o->host_name), err) < 0)
        return -1;
    /* A resolver on the host's loopback is out of reach in there; systemd keeps the real ones here. */
    if (file_read(a, "/run/systemd/resolve/resolv.conf", SMALL_FILE, &resolv, &ignored) < 0 &&
        file_read(a, "/etc/resolv.conf", SMALL_FILE, &resolv, &ignored) < 0)
        resolv = STR("");
    return write_text(arena_printf(a, "%s/resolv.conf", folder), str_dup(a, resolv), err);
}

/* Processes and threads of one container: enough for every core of a big machine to have data loaders with threads of
 * their own, and never so many that the jobs of a machine take the kernel's last. */
static int64_t process_limit(struct arena *a)
{
    struct err ignored;
    struct str text;
    int64_t all;

    if (file_read(a, "/proc/sys/kernel/pid_max", 64, &text, &ignored) < 0 || !str_to_int64(str_trim(text), &all))
        return LEAST_PROCESSES;
    all /= 8;
    return all < LEAST_PROCESSES ? LEAST_PROCESSES : all > MOST_PROCESSES ? MOST_PROCESSES : all;
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
static int user_of(struct arena *a, const struct box *b, const struct image *image, const char **ret, struct err *err)
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

enum { OWN_MOUNTS = HOSTIMAGE_MOUNTS + 8 };

/* A program of ours stands for many images, and has to know for which. */
static const char *const *environment_of(struct arena *a, const struct box_order *o)
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

/* The root folder with everything in it, and config.json. */
static int make_bundle(struct arena *a, const struct box *b, const struct box_order *o, struct err *err)
{
    const char *root = arena_printf(a, "%s/root", b->folder), *init, *program, *user, **arguments;
    struct bundle_mount *mounts = arena_array_of(a, struct bundle_mount, (size_t)(OWN_MOUNTS + o->mount_count));
    struct bundle bundle = {
        .root = root, .environment = environment_of(a, o), .host_name = o->host_name, .mounts = mounts,
        .network_namespace = o->network->namespace_path, .cgroup_path = cgroup_path(a, b->name),
        .pids = process_limit(a), .memory_bytes = o->memory_bytes, .cpu_weight = o->cpu_weight, .cpus = o->cpus,
        .devices = o->devices, .device_count = o->device_count,
    };
    char *text;
    int count = 0, n = 0;

    if (o->image->kind == IMAGE_HOST) {
        if (hostimage_make(a, b->images, b->folder, mounts, &count, err) < 0 ||
            write_names(a, o, arena_printf(a, "%s/etc", root), err) < 0 ||
            program_path(a, o->image->program, &program, err) < 0)
            return -1;
        mounts[count++] = (struct bundle_mount){ .source = program,
                                                  .at = arena_printf(a, "/opt/sagebrush/%s", o->image->program),
                                                  .read_only = true };
    } else {
        const char *upper = arena_printf(a, "%s/upper", b->folder), *work = arena_printf(a, "%s/work", b->folder);
        const char *etc = arena_printf(a, "%s/etc", b->folder);
        static const char *const names[] = { "hosts", "hostname", "resolv.conf" };

        if (folder_make(root, 0755, err) < 0 || folder_make(upper, 0755, err) < 0 || folder_make(work, 0755, err) < 0 ||
            mount_overlay(o->image->layers, o->image->layer_count, upper, work, root, err) < 0 ||
            write_names(a, o, etc, err) < 0)
            return -1;
        for (size_t i = 0; i < sizeof names / sizeof *names; i++)
            mounts[count++] = (struct bundle_mount){ .source = arena_printf(a, "%s/%s", etc, names[i]),
                                                     .at = arena_printf(a, "/etc/%s", names[i]) };
    }
    if (program_path(a, "sagebrush-init", &init, err) < 0 || user_of(a, b, o->image, &user, err) < 0)
        return -1;
    mounts[count++] = (struct bundle_mount){ .source = init, .at = INIT_PATH, .read_only = true };
    for (int i = 0; i < o->mount_count; i++)
        mounts[count++] = o->mounts[i];
    bundle.mount_count = count;

    while (o->arguments[n])
        n++;
    arguments = arena_array_of(a, const char *, (size_t)n + 5);
    count = 0;
    arguments[count++] = INIT_PATH;
    if (user) {
        arguments[count++] = "--user";
        arguments[count++] = user;
    }
    arguments[count++] = o->image->working_folder;
    memcpy(arguments + count, o->arguments, sizeof *arguments * (size_t)n);
    bundle.arguments = arguments;
    text = bundle_json(a, &bundle);
    return write_text(arena_printf(a, "%s/config.json", b->folder), text, err);
}

/* Descriptors 0 to 6 of init and of the runc that starts it. */
struct start_fds {
    int folder, output, ready[2], lock, log;
};

static void close_start_fds(struct start_fds *f)
{
    for (int *fd = (int[]){ f->folder, f->output, f->ready[0], f->ready[1], f->lock, f->log, -2 }; *fd != -2; fd++)
        if (*fd >= 0)
            close(*fd);
}

static int open_start_fds(struct arena *a, const struct box *b, struct start_fds *f, struct err *err)
{
    const char *folder = box_folder(a, b);

    if (mkdir(folder, 0700) < 0 && errno != EEXIST)
        return fail_errno(err, errno, "mkdir %s", folder);
    f->folder = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    f->output =
        open(arena_printf(a, "%s/stdout", b->folder), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
    f->log =
        open(arena_printf(a, "%s/runc.log", b->folder), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
    f->lock = open(arena_printf(a, "%s/create.lock", b->folder), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (f->folder < 0 || f->output < 0 || f->log < 0 || f->lock < 0 || pipe2(f->ready, O_CLOEXEC) < 0)
        return fail_errno(err, errno, "open the files of %s", b->name);
    while (flock(f->lock, LOCK_EX) < 0)
        if (errno != EINTR)
            return fail_errno(err, errno, "lock %s", b->name);
    return 0;
}

/* Init closes its end when it has claimed the folder; until then somebody holds it. */
static void wait_ready(struct start_fds *f)
{
    struct pollfd p = { .fd = f->ready[0], .events = POLLIN };

    close(f->ready[1]);
    f->ready[1] = -1;
    while (poll(&p, 1, START_WAIT_MS) < 0 && errno == EINTR)
        ;
}

static int start_process(struct arena *a, const struct box *b, const struct box_order *o, struct start_fds *f,
                         struct err *err)
{
    const int fds[] = { -1, f->log, f->log, f->folder, f->output, f->ready[1], f->lock };
    const char *init, **arguments;
    int n = 0;
    pid_t pid;

    if (program_path(a, "sagebrush-init", &init, err) < 0)
        return -1;
    while (o->arguments[n])
        n++;
    arguments = arena_array_of(a, const char *, (size_t)n + 4);
    arguments[0] = init;
    arguments[1] = "--process";
    arguments[2] = o->image->working_folder;
    memcpy(arguments + 3, o->arguments, sizeof *arguments * (size_t)n);
    return spawn(arguments, environment_of(a, o), fds, 7, &pid, err);
}

static int start_container(struct arena *a, const struct box *b, const struct box_order *o, struct start_fds *f,
                           struct err *err)
{
    const int fds[] = { -1, f->log, f->log, f->folder, f->output, f->ready[1], f->lock };
    const char *const arguments[] = { "runc", "--root", runc_root(a, b), "run", "--detach", "--no-new-keyring",
                                      "--preserve-fds", "4", "--bundle", b->folder, b->name, NULL };
    int code;
    pid_t pid;

    /* What a runc that was killed in the middle has left; the lock says that no other is at work. */
    if (runc_delete(a, b, err) < 0 || make_bundle(a, b, o, err) < 0)
        return -1;
    if (spawn(arguments, runc_environment, fds, 7, &pid, err) < 0)
        return -1;
    code = wait_for(pid);
    if (code == 0)
        return 0;
    return fail(err, ERR_INTERNAL, "the container cannot be started: %s", runc_words(a, b));
}

int box_start(struct arena *a, const struct box *b, const struct box_order *o, struct err *err)
{
    struct start_fds f = { -1, -1, { -1, -1 }, -1, -1 };
    struct exit_record record;
    int r = open_start_fds(a, b, &f, err);

    if (r == 0)
        r = exit_record_read(a, box_folder(a, b), &record, err);
    if (r == 0 && record.state == EXIT_NONE) {
        r = b->process ? start_process(a, b, o, &f, err) : start_container(a, b, o, &f, err);
        if (r == 0) {
            wait_ready(&f);
            r = exit_record_read(a, box_folder(a, b), &record, err);
            if (r == 0 && record.state == EXIT_NONE)
                r = fail(err, ERR_INTERNAL, "the container's init did not start: %s", runc_words(a, b));
        }
    }
    close_start_fds(&f);
    return r;
}

int box_look(struct arena *a, const struct box *b, struct exit_record *ret, struct err *err)
{
    return exit_record_read(a, box_folder(a, b), ret, err);
}

int box_signal(struct arena *a, const struct box *b, enum box_signal what, struct err *err)
{
    struct exit_record record;

    if (box_look(a, b, &record, err) < 0)
        return -1;
    if (record.state != EXIT_RUNNING)
        return 0;
    return lock_signal(arena_printf(a, "%s/" EXIT_LOCK, box_folder(a, b)), what == BOX_KILL ? SIGUSR2 : SIGTERM, err);
}

int box_clear(struct arena *a, const struct box *b, struct err *err)
{
    struct exit_record record;

    if (box_look(a, b, &record, err) < 0)
        return -1;
    if (record.state == EXIT_RUNNING)
        return fail(err, ERR_CONFLICT, "the container %s still runs", b->name);
    if (runc_delete(a, b, err) < 0 || cgroup_remove(a, b->name, err) < 0)
        return -1;
    return tree_remove(box_folder(a, b), err);
}

/* Ends an init that does not answer SIGUSR2, with everything around it. */
static void kill_hard(struct arena *a, const struct box *b)
{
    struct err ignored;
    struct exit_record record;

    if (box_signal(a, b, BOX_KILL, &ignored) < 0)
        return;
    for (int i = 0; i < 400; i++) {
        if (box_look(a, b, &record, &ignored) < 0 || record.state != EXIT_RUNNING)
            return;
        if (i == 200)
            lock_signal(arena_printf(a, "%s/" EXIT_LOCK, box_folder(a, b)), SIGKILL, &ignored);
        usleep(5000);
    }
}

int box_remove(struct arena *a, const struct box *b, struct err *err)
{
    kill_hard(a, b);
    if (!b->process && (runc_delete(a, b, err) < 0 || cgroup_remove(a, b->name, err) < 0 ||
                        network_remove(a, b->run_folder, b->name, err) < 0))
        return -1;
    return mount_clear(a, b->folder, err);
}
