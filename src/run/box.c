/* box.c - runc is called, not re-written. While a runc works on a box it holds create.lock, inherited from the agent
 * that started it, and the init that it starts holds it until it has claimed the folder: an agent that comes after a
 * killed one waits for both, and then looks what they left. */
#include "run/box.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/program.h"
#include "base/str.h"
#include "run/box_bundle.h"
#include "run/box_wait.h"
#include "run/cgroup.h"
#include "run/mount.h"

enum {
    START_WAIT_MS = 60000,
    GONE_MS = 1000,
    SMALL_FILE = 1 << 20,
    LEAST_ROOM_BYTES = 4 << 20,
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
    return spawn(arguments, box_environment(a, o), fds, 7, &pid, err);
}

static int run_container(struct arena *a, const struct box *b, struct start_fds *f, struct err *err)
{
    const int fds[] = { -1, f->log, f->log, f->folder, f->output, f->ready[1], f->lock };
    const char *const arguments[] = { "runc", "--root", runc_root(a, b), "run", "--detach", "--no-new-keyring",
                                      "--preserve-fds", "4", "--bundle", b->folder, b->name, NULL };
    const char *devices = cgroup_leave_devices(a);
    int r;
    pid_t pid;

    r = spawn(arguments, runc_environment, fds, 7, &pid, err);
    if (r == 0 && wait_for(pid) != 0)
        r = fail(err, ERR_INTERNAL, "the container cannot be started: %s", runc_words(a, b));
    cgroup_return(a, devices);
    return r;
}

/* Pid 1 with the command of the order. */
static int arguments_of(struct arena *a, const struct box *b, const struct box_order *o, const char *const **ret,
                        struct err *err)
{
    const char *user, **arguments;
    int count = 0, n = 0;

    if (box_user(a, b, o->image, &user, err) < 0)
        return -1;
    while (o->arguments[n])
        n++;
    arguments = arena_array_of(a, const char *, (size_t)n + 5);
    arguments[count++] = BOX_INIT;
    if (user) {
        arguments[count++] = "--user";
        arguments[count++] = user;
    }
    arguments[count++] = o->image->working_folder;
    memcpy(arguments + count, o->arguments, sizeof *arguments * (size_t)n);
    *ret = arguments;
    return 0;
}

static int write_config(struct arena *a, const struct box *b, const struct box_order *o, const char *const *arguments,
                        struct err *err)
{
    char *text;

    if (box_config(a, b, o, arguments, box_environment(a, o), &text, err) < 0)
        return -1;
    return box_write(arena_printf(a, "%s/config.json", b->folder), str_of(text), err);
}

static int start_container(struct arena *a, const struct box *b, const struct box_order *o, struct start_fds *f,
                           struct err *err)
{
    const char *const *arguments;

    /* What a runc that was killed in the middle has left; the lock says that no other is at work. */
    if (runc_delete(a, b, err) < 0 || box_lay_root(a, b, o, err) < 0 || arguments_of(a, b, o, &arguments, err) < 0 ||
        write_config(a, b, o, arguments, err) < 0)
        return -1;
    return run_container(a, b, f, err);
}

int box_start(struct arena *a, const struct box *b, const struct box_order *o, struct err *err)
{
    struct start_fds f = { -1, -1, { -1, -1 }, -1, -1 };
    struct exit_record record;
    int r = open_start_fds(a, b, &f, err);

    if (r == 0)
        r = exit_record_read(a, box_folder(a, b), &record, err);
    if (r == 0 && record.state == EXIT_NONE && !b->process)
        r = box_wake(a, b, o, &record, err);
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

int box_prepare(struct arena *a, const struct box *b, const struct box_order *o, const char *const *helper,
                struct err *err)
{
    struct start_fds f = { -1, -1, { -1, -1 }, -1, -1 };
    const char *const *arguments;
    struct exit_record record;
    int r = open_start_fds(a, b, &f, err);

    assert(!b->process);
    if (r == 0)
        r = exit_record_read(a, box_folder(a, b), &record, err);
    if (r == 0 && (record.state != EXIT_NONE || box_waits(a, b)))
        goto out;
    if (r < 0 || runc_delete(a, b, err) < 0 || box_lay_root(a, b, o, err) < 0)
        r = -1;
    else
        r = box_note_waiting(a, b, o, helper, &arguments, err) < 0 || write_config(a, b, o, arguments, err) < 0 ||
            run_container(a, b, &f, err) < 0 ? -1 : 0;
    if (r == 0)
        wait_ready(&f);
    if (r == 0 && !box_waits(a, b))
        r = fail(err, ERR_INTERNAL, "the container's init does not wait: %s", runc_words(a, b));
out:
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
    int r;

    if (box_look(a, b, &record, err) < 0)
        return -1;
    if (record.state != EXIT_RUNNING)
        return 0;
    r = lock_signal(arena_printf(a, "%s/" EXIT_LOCK, box_folder(a, b)), what == BOX_KILL ? SIGUSR2 : SIGTERM, err);
    /* The server that the answers come from may be away. */
    if (what == BOX_KILL)
        mount_abort(a, b->folder);
    return r;
}

/* The root is the container's own: it may have put links in the place of what is mounted and written there, and the
 * next start would follow them out of it. */
static int remove_root(struct arena *a, const struct box *b, struct err *err)
{
    static const char *const folders[] = { "root", "upper", "work", "etc" };

    if (mount_clear(a, b->folder, err) < 0)
        return -1;
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++)
        if (tree_remove(arena_printf(a, "%s/%s", b->folder, folders[i]), err) < 0)
            return -1;
    return 0;
}

int box_clear(struct arena *a, const struct box *b, struct err *err)
{
    struct exit_record record;

    if (box_look(a, b, &record, err) < 0)
        return -1;
    if (record.state == EXIT_RUNNING)
        return fail(err, ERR_CONFLICT, "the container %s still runs", b->name);
    if (!b->process &&
        (cgroup_remove(a, b->name, err) < 0 || runc_delete(a, b, err) < 0 || remove_root(a, b, err) < 0))
        return -1;
    return tree_remove(box_folder(a, b), err);
}

/* An init that does not answer SIGUSR2 is ended with everything around it. */
static void kill_hard(struct arena *a, const struct box *b)
{
    const char *lock = arena_printf(a, "%s/" EXIT_LOCK, box_folder(a, b));
    struct err ignored;
    bool gone;

    if (box_signal(a, b, BOX_KILL, &ignored) < 0 || lock_wait(lock, GONE_MS, &gone, &ignored) < 0 || gone ||
        lock_signal(lock, SIGKILL, &ignored) < 0)
        return;
    lock_wait(lock, GONE_MS, &gone, &ignored);
}

int box_remove(struct arena *a, const struct box *b, struct err *err)
{
    kill_hard(a, b);
    /* The cgroup first: runc leaves those above it behind. */
    if (!b->process && (cgroup_remove(a, b->name, err) < 0 || runc_delete(a, b, err) < 0 ||
                        network_remove(a, b->run_folder, b->name, err) < 0))
        return -1;
    return mount_clear(a, b->folder, err);
}
