#include "agent/node_place.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/feeder.h"
#include "agent/helper.h"
#include "agent/tunnel.h"
#include "base/crc.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/program.h"
#include "base/rand.h"
#include "base/str.h"
#include "run/box.h"
#include "run/cgroup.h"
#include "run/exitrecord.h"
#include "run/folder.h"

enum { INSTANCE_SIZE = 26, KEEPER_LOOKS = 10, KEEPER_PAUSE_US = 1000000 };

#define LOCK_END   ".node"
#define KEEPER_END ".keep"

extern char **environ;

const char *node_place_root(struct arena *a, const struct doc *order)
{
    const char *data = doc_text(order, "data_folder");

    return arena_printf(a, "%s/%08" PRIx64, doc_text(order, "remote.scratch"),
                        crc_update(CRC_32, 0, data, strlen(data)));
}

struct node_place node_place_of(struct arena *a, const char *root, const char *name, const char *run_folder)
{
    const char *agents = arena_printf(a, "%s/agents", root);
    uint64_t id = crc_update(CRC_32, 0, name, strlen(name)); /* a socket's path is short */

    return (struct node_place){
        .name = name,
        .root = root,
        .agents = agents,
        .folder = arena_printf(a, "%s/%s", agents, name),
        .lock = arena_printf(a, "%s/%s" LOCK_END, agents, name),
        .keeper = arena_printf(a, "%s/%s" KEEPER_END, agents, name),
        .run_folder = run_folder,
        .socket_path = arena_printf(a, "%s/node-%08" PRIx64 ".sock", run_folder, id),
        .control_path = arena_printf(a, "%s/node-%08" PRIx64 "-c.sock", run_folder, id),
    };
}

/* --- Locks --- */

/* The lock of the file that has this name, not of one that was removed while we waited for it. -1 with ERR_CONFLICT:
 * somebody has it, and 'wait' is false. */
static int lock_file(const char *path, bool wait, int *ret_fd, struct err *err)
{
    struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
    struct stat ours, there;

    for (;;) {
        _cleanup_fd_ int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        int r;

        if (fd < 0)
            return fail_errno(err, errno, "open %s", path);
        do
            r = fcntl(fd, wait ? F_SETLKW : F_SETLK, &lock);
        while (r < 0 && errno == EINTR);
        if (r < 0)
            return errno == EACCES || errno == EAGAIN ? fail(err, ERR_CONFLICT, "somebody holds %s", path)
                                                      : fail_errno(err, errno, "lock %s", path);
        if (fstat(fd, &ours) == 0 && stat(path, &there) == 0 && ours.st_ino == there.st_ino) {
            *ret_fd = fd;
            fd = -1;
            return 0;
        }
    }
}

int node_place_claim(const struct node_place *p, int *ret_fd, struct err *err)
{
    return folder_make(p->agents, 0700, err) < 0 ? -1 : lock_file(p->lock, true, ret_fd, err);
}

/* --- Making --- */

static int find_instance(struct arena *a, const struct node_place *p, const char **ret, struct err *err)
{
    const char *path = arena_printf(a, "%s/instance", p->folder);
    char fresh[INSTANCE_SIZE + 1];
    struct str text;

    if (file_read(a, path, INSTANCE_SIZE, &text, err) == 0 && text.size == INSTANCE_SIZE) {
        *ret = text.data;
        return 0;
    }
    rand_name(rand_system(), fresh, INSTANCE_SIZE);
    *ret = arena_strdup(a, fresh);
    return file_write_atomic(path, fresh, INSTANCE_SIZE, 0600, err);
}

/* The order as an agent of the server's machine has it, but for the places. */
static struct doc *order_of_node(struct arena *a, const struct node_place *p, const struct doc *order,
                                 const char *boot_id, const char *instance)
{
    struct doc *d = doc_copy(a, order);

    doc_set_string(a, d, "data_folder", p->root);
    doc_set_string(a, d, "api_socket", p->socket_path);
    doc_set_string(a, d, "admin_socket", p->socket_path);
    doc_set_string(a, d, "bearer", arena_printf(a, "Bearer %s:%s:%s", p->name, instance,
                                                doc_text(order, "remote.token")));
    doc_set(a, d, "remote", NULL);
    /* Without a mesh its instances find each other on the server's machine alone: the agent says so, and refuses. */
    if (!doc_has(order, "peers") || doc_has(order, "mesh"))
        doc_set_string(a, d, "boot_id", boot_id);
    return d;
}

/* Images that the user has put into the data directory are read where they are; layers are unpacked here. */
static int link_images(struct arena *a, const struct node_place *p, const struct doc *order, struct err *err)
{
    const char *store = arena_printf(a, "%s/images/oci", doc_text(order, "data_folder"));
    const char *here = arena_printf(a, "%s/images/oci", p->root);

    if (folder_make(arena_printf(a, "%s/images", p->root), 0700, err) < 0)
        return -1;
    return symlink(store, here) < 0 && errno != EEXIST ? fail_errno(err, errno, "link %s", here) : 0;
}

int node_place_make(struct arena *a, const struct node_place *p, const struct doc *order, const char *boot_id,
                    const char **ret_instance, struct err *err)
{
    const struct doc *before;

    if (folder_make(p->folder, 0700, err) < 0 || folder_make(p->run_folder, 0755, err) < 0 ||
        link_images(a, p, order, err) < 0 || find_instance(a, p, ret_instance, err) < 0 ||
        folder_read(a, p->folder, FOLDER_ORDER, &before, err) < 0)
        return -1;
    return before ? 0
                  : folder_write(a, p->folder, FOLDER_ORDER, order_of_node(a, p, order, boot_id, *ret_instance), false,
                                 err);
}

/* --- Clearing --- */

int node_place_clear(struct arena *a, const struct node_place *p, struct err *err)
{
    const struct box box = { .name = p->name, .folder = p->folder, .run_folder = p->run_folder };

    if (helper_end(arena_printf(a, "%s/" FOLDER_AGENT, p->folder), err) < 0 || tunnel_remove(p->folder, err) < 0 ||
        box_remove(a, &box, err) < 0 || feeder_remove(p->folder, err) < 0 || tree_remove(p->folder, err) < 0)
        return -1;
    unlink(p->socket_path);
    unlink(p->control_path);
    return unlink(p->lock) < 0 && errno != ENOENT ? fail_errno(err, errno, "remove %s", p->lock) : 0;
}

/* Nobody works on it, and nobody else will clear it. */
static void clear_left(struct arena *a, const struct node_place *p)
{
    _cleanup_fd_ int lock = -1;
    struct err err;
    pid_t keeper;

    if (lock_holder(p->keeper, &keeper, &err) < 0 || keeper || lock_file(p->lock, false, &lock, &err) < 0)
        return;
    if (node_place_clear(a, p, &err) < 0)
        log_warning("node.untidy", "name=%s why=%s", p->name, log_quote(a, err.text));
    else
        unlink(p->keeper);
}

/* The file of a keeper that was killed, of a place that was cleared without it. */
static void clear_keeper(const struct node_place *p)
{
    _cleanup_fd_ int keeper = -1;
    struct err ignored;

    if (!path_exists(p->folder) && !path_exists(p->lock) && lock_file(p->keeper, false, &keeper, &ignored) == 0)
        unlink(p->keeper);
}

void node_place_sweep(struct arena *a, const struct node_place *ours)
{
    DIR *folder = opendir(ours->agents);
    struct dirent *entry;

    while (folder && (entry = readdir(folder)) != NULL) {
        const char *end = text_ends(entry->d_name, LOCK_END)     ? LOCK_END
                          : text_ends(entry->d_name, KEEPER_END) ? KEEPER_END : NULL;
        struct node_place p;

        if (!end)
            continue;
        p = node_place_of(a, ours->root, arena_strndup(a, entry->d_name, strlen(entry->d_name) - strlen(end)),
                          ours->run_folder);
        if (strcmp(p.name, ours->name) == 0)
            continue;
        if (strcmp(end, LOCK_END) == 0)
            clear_left(a, &p);
        else
            clear_keeper(&p);
    }
    if (folder)
        closedir(folder);
}

/* --- The keeper --- */

int node_place_start_keeper(struct arena *a, const struct node_place *p, struct err *err)
{
    const char *program, *log = arena_printf(a, "%s/keeper.log", p->root);
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    pid_t pid;
    int r;

    if (program_path(a, "sagebrush-node", &program, err) < 0)
        return -1;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 1, log, O_WRONLY | O_CREAT | O_APPEND, 0600);
    posix_spawn_file_actions_adddup2(&actions, 1, 2);
    posix_spawn_file_actions_addclosefrom_np(&actions, 3);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSID);
    r = posix_spawn(&pid, program, &actions, &attributes,
                    (char *[]){ (char *)program, "--keep", (char *)p->root, (char *)p->name, (char *)p->run_folder,
                                NULL },
                    environ);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    if (r)
        return fail_errno(err, r, "start %s", program);
    /* It goes on in a child of its own, which is nobody's. */
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        ;
    return 0;
}

/* True: there is nothing left to be kept. 'err' is why the look before could not clear it, which is said once. */
static bool look(const struct node_place *p, int *looks, struct err *err)
{
    _cleanup_arena_ struct arena *a = arena_new(); /* a keeper may look for years */
    _cleanup_fd_ int lock = -1;
    struct err why = { 0 };
    pid_t holder = 0;

    if (!path_exists(p->folder) && !path_exists(p->lock))
        return true;
    if (lock_holder(p->lock, &holder, &why) < 0 || holder)
        *looks = 0;
    else
        ++*looks;
    /* Its shell starts a sagebrush-node that was killed again within seconds, unless Slurm has killed that, too. */
    if (*looks < KEEPER_LOOKS || lock_file(p->lock, false, &lock, &why) < 0)
        return false;
    if (node_place_clear(a, p, &why) == 0) {
        log_info("node.cleared", "name=%s", p->name);
        return true;
    }
    if (strcmp(why.text, err->text) != 0)
        log_warning("node.untidy", "name=%s why=%s", p->name, log_quote(a, why.text));
    *err = why;
    return false;
}

int node_place_keep(struct arena *a, const struct node_place *p, struct err *err)
{
    _cleanup_fd_ int keeper = -1;
    struct err untidy = { 0 };
    int looks = 0;

    /* What ends the Slurm job is not to end this: Slurm kills who is in the groups of its steps. A container is in a
     * group below, which it does not look into. */
    cgroup_leave(a);
    if (lock_file(p->keeper, false, &keeper, err) < 0)
        return err->kind == ERR_CONFLICT ? 0 : -1;
    while (!look(p, &looks, &untidy))
        usleep(KEEPER_PAUSE_US);
    return unlink(p->keeper) < 0 && errno != ENOENT ? fail_errno(err, errno, "remove %s", p->keeper) : 0;
}
