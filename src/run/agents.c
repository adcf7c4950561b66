/* agents.c - one folder and one agent process for each order.
 *
 * The agent is not our child in any way that matters: it has a session of its own, and lives on when we are gone. Who
 * is alive is asked from the kernel, by the lock on agent.pid. An agent that died before its work ended is started
 * again, on the same folder, whenever somebody looks. */
#include "run/agents.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/list.h"
#include "base/program.h"
#include "base/str.h"
#include "run/box.h"
#include "run/folder.h"
#include "run/removal.h"

enum { NAME_LIMIT = 100, RESTART_LEAST_MS = 100, RESTART_MOST_MS = 30000 };

/* An agent that we started and that was not reaped yet, or that ended too soon to be started again at once. */
struct child {
    struct list link;
    char name[NAME_LIMIT + 1]; /* "": its agent was forgotten, and it is only to be reaped */
    pid_t pid; /* 0: reaped */
    int64_t started_ms;
    int64_t wait_ms; /* before the next start */
    bool died;       /* otherwise than well, and nobody was told */
};

struct agents {
    struct runtime base;
    const struct agents_driver *driver;
    struct runtime_config config;
    struct arena *arena; /* the configuration's strings */
    struct list children;
    struct removal *removal;
};

static struct agents *agents_of(struct runtime *rt)
{
    return (struct agents *)rt;
}

static bool name_is_good(const char *name)
{
    size_t size = strlen(name);

    return size >= 1 && size <= NAME_LIMIT && name[0] != '.' &&
           strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") == size;
}

static const char *folder_of(struct arena *a, struct agents *g, const char *name)
{
    return arena_printf(a, "%s/agents/%s", g->config.data_folder, name);
}

static struct child *child_find(struct agents *g, const char *name)
{
    list_each(node, &g->children) {
        struct child *c = list_entry(node, struct child, link);

        if (strcmp(c->name, name) == 0)
            return c;
    }
    return NULL;
}

static void child_free(struct child *c)
{
    list_remove(&c->link);
    free(c);
}

/* The name is free at once; a process that is on its way out is still ours to reap. */
static void child_forget(struct child *c)
{
    if (c && c->pid)
        c->name[0] = '\0';
    else if (c)
        child_free(c);
}

/* Takes back what ended. Entries stay for a while, to remember how soon. */
static void reap(struct agents *g)
{
    int64_t now_ms = clock_boot_ms(clock_system());

    list_each(node, &g->children) {
        struct child *c = list_entry(node, struct child, link);

        int how = 0;

        if (c->pid && waitpid(c->pid, &how, WNOHANG) != 0) {
            c->died = how != 0 && *c->name;
            c->wait_ms = c->wait_ms ? c->wait_ms * 2 : RESTART_LEAST_MS;
            if (c->wait_ms > RESTART_MOST_MS)
                c->wait_ms = RESTART_MOST_MS;
            c->pid = 0;
        }
        if (!c->pid && (!*c->name || now_ms - c->started_ms > 10 * RESTART_MOST_MS))
            child_free(c);
    }
}

static int spawn_agent(struct arena *a, struct agents *g, const char *name, struct err *err)
{
    const char *folder = folder_of(a, g, name), *program, *log = arena_printf(a, "%s/" FOLDER_LOG, folder);
    int64_t now_ms = clock_boot_ms(clock_system());
    struct child *c = child_find(g, name);
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none, all;
    int r;

    if (c && (c->pid || now_ms < c->started_ms + c->wait_ms))
        return 0;
    if (program_path(a, "sagebrush-agent", &program, err) < 0)
        return -1;
    if (!c) {
        c = calloc(1, sizeof *c);
        if (!c)
            return fail(err, ERR_INTERNAL, "no memory to start an agent");
        snprintf(c->name, sizeof c->name, "%s", name);
        list_append(&g->children, &c->link);
    }
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&actions, 1, log, O_WRONLY | O_CREAT | O_APPEND, 0600);
    posix_spawn_file_actions_adddup2(&actions, 1, 2);
    posix_spawn_file_actions_addclosefrom_np(&actions, 3);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &all);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSID);
    r = posix_spawn(&c->pid, program, &actions, &attributes, (char *[]) { (char *)program, (char *)folder, NULL },
                    environ);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    c->started_ms = now_ms;
    if (r) {
        c->pid = 0;
        return fail_errno(err, r, "start %s", program);
    }
    return 0;
}

static const char *agent_lock(struct arena *a, const char *folder)
{
    return arena_printf(a, "%s/" FOLDER_AGENT, folder);
}

static int agent_alive(struct arena *a, const char *folder, pid_t *ret, struct err *err)
{
    return lock_holder(agent_lock(a, folder), ret, err);
}

static bool report_ended(const struct doc *report)
{
    return doc_is(report, "phase", "Ended");
}

/* The order as the agent reads it. Not durable: who was not told that it is started asks again. */
static int write_order(struct arena *a, struct agents *g, const char *name, const char *kind, const char *file,
                       const struct doc *order, struct err *err)
{
    struct doc *d = doc_map(a);

    doc_merge(a, d, order);
    doc_set_string(a, d, "name", name);
    doc_set_string(a, d, "runtime", kind);
    doc_set_string(a, d, "data_folder", g->config.data_folder);
    doc_set_string(a, d, "run_folder", g->config.run_folder);
    doc_set_string(a, d, "archives_folder", g->config.archives_folder);
    doc_set_integer(a, d, "checkpoint_bytes_per_s", g->config.checkpoint_bytes_per_s);
    doc_set_string(a, d, "nccl_library", g->config.nccl_library);
    return folder_write(a, folder_of(a, g, name), file, d, false, err);
}

int agents_accept(struct runtime *rt, const char *name, const char *kind, const struct doc *order, struct err *err)
{
    struct agents *g = agents_of(rt);
    _cleanup_arena_ struct arena *a = arena_new();
    const char *folder = folder_of(a, g, name);
    const struct doc *there;

    if (!name_is_good(name))
        return fail(err, ERR_INVALID, "\"%.100s\" cannot be the name of an agent", name);
    if (folder_make(folder, 0700, err) < 0 || folder_read(a, folder, FOLDER_ORDER, &there, err) < 0)
        return -1;
    if (there)
        return 0;
    if (g->driver->accept(a, &g->config, order, err) < 0) {
        rmdir(folder);
        return -1;
    }
    return write_order(a, g, name, kind, FOLDER_ORDER, order, err);
}

static int agents_start(struct runtime *rt, const char *name, const struct doc *order, struct err *err)
{
    struct agents *g = agents_of(rt);
    _cleanup_arena_ struct arena *a = arena_new();
    const char *folder = folder_of(a, g, name);
    const struct doc *report;
    bool waits;
    pid_t pid;

    /* One that was there before waits for this order: it looks at once. */
    waits = !path_exists(arena_printf(a, "%s/" FOLDER_ORDER, folder));
    if (agents_accept(rt, name, g->driver->kind, order, err) < 0)
        return -1;
    reap(g);
    if (agent_alive(a, folder, &pid, err) < 0 || folder_read(a, folder, FOLDER_REPORT, &report, err) < 0)
        return -1;
    if (pid && waits)
        return lock_signal(agent_lock(a, folder), SIGUSR1, err);
    return pid || report_ended(report) ? 0 : spawn_agent(a, g, name, err);
}

/* What the instance before has left of the cache; what it has made of it may be no folder. */
static int take_cache(struct arena *a, struct agents *g, const char *from, const char *folder, struct err *err)
{
    const char *cache = arena_printf(a, "%s/" FOLDER_CACHE, folder_of(a, g, from));
    const char *to = arena_printf(a, "%s/" FOLDER_CACHE, folder);
    struct stat st;

    if (!name_is_good(from) || lstat(cache, &st) < 0 || !S_ISDIR(st.st_mode))
        return 0;
    return rename(cache, to) < 0 && errno != ENOENT ? fail_errno(err, errno, "rename %s", cache) : 0;
}

static int agents_prepare(struct runtime *rt, const char *name, const struct doc *order, const char *from,
                          struct err *err)
{
    struct agents *g = agents_of(rt);
    _cleanup_arena_ struct arena *a = arena_new();
    const char *folder = folder_of(a, g, name);
    const struct doc *warm;
    pid_t pid;

    if (!name_is_good(name))
        return fail(err, ERR_INVALID, "\"%.100s\" cannot be the name of an agent", name);
    if (path_exists(arena_printf(a, "%s/" FOLDER_ORDER, folder)))
        return 0;
    if (folder_make(folder, 0700, err) < 0 || folder_read(a, folder, FOLDER_WARM, &warm, err) < 0 ||
        take_cache(a, g, from, folder, err) < 0)
        return -1;
    /* Its agent was started, and prepares as long as it lives: one that died is not worth another. */
    if (warm)
        return 0;
    if (write_order(a, g, name, g->driver->kind, FOLDER_WARM, order, err) < 0)
        return -1;
    reap(g);
    if (g->driver->process || agent_alive(a, folder, &pid, err) < 0)
        return g->driver->process ? 0 : -1;
    return pid ? 0 : spawn_agent(a, g, name, err);
}

static const struct doc *or_empty(struct arena *a, const struct doc *d)
{
    return d ? d : doc_map(a);
}

int agents_look(struct runtime *rt, struct arena *a, const char *name, struct agents_look *ret, struct err *err)
{
    struct agents *g = agents_of(rt);
    struct agents_look l = { .folder = folder_of(a, g, name) };
    pid_t pid = 0;

    reap(g);
    /* Who is alive is asked before the report is read: an agent that ends in between has written its last one. */
    if (name_is_good(name) &&
        (agent_alive(a, l.folder, &pid, err) < 0 || folder_read(a, l.folder, FOLDER_ORDER, &l.order, err) < 0 ||
         folder_read(a, l.folder, FOLDER_REPORT, &l.report, err) < 0 ||
         folder_read(a, l.folder, FOLDER_STOP, &l.stop, err) < 0))
        return -1;
    l.alive = pid != 0;
    l.ended = report_ended(l.report);
    l.there = l.order || l.ended;
    l.order = or_empty(a, l.order);
    l.report = or_empty(a, l.report);
    l.stop = or_empty(a, l.stop);
    *ret = l;
    return 0;
}

static struct box box_of(struct arena *a, const struct agents *g, const char *name)
{
    return (struct box){ .name = name, .folder = arena_printf(a, "%s/agents/%s", g->config.data_folder, name),
                         .run_folder = g->config.run_folder, .process = g->driver->process };
}

int agents_kill(struct runtime *rt, const char *name, struct err *err)
{
    struct agents *g = agents_of(rt);
    _cleanup_arena_ struct arena *a = arena_new();
    const char *folder = folder_of(a, g, name);
    struct box box = box_of(a, g, name);

    if (!name_is_good(name) || !path_exists(folder))
        return 0;
    if (lock_signal(agent_lock(a, folder), SIGKILL, err) < 0)
        return -1;
    return box_signal(a, &box, BOX_KILL, err);
}

static int agents_inspect(struct runtime *rt, struct arena *arena, const char *name, enum runtime_state *ret_state,
                          const struct doc **ret_report, struct err *err)
{
    struct agents *g = agents_of(rt);
    _cleanup_arena_ struct arena *a = arena_new();
    const char *folder = folder_of(a, g, name);
    const struct doc *report, *order;
    pid_t pid;

    reap(g);
    if (!name_is_good(name) || !path_exists(arena_printf(a, "%s/" FOLDER_ORDER, folder))) {
        *ret_state = RUNTIME_NONE;
        *ret_report = doc_map(arena);
        return 0;
    }
    /* Who is alive is asked before the report is read: an agent that ends in between has written its last one. */
    if (agent_alive(a, folder, &pid, err) < 0 || folder_read(arena, folder, FOLDER_REPORT, &report, err) < 0)
        return -1;
    if (!pid && !report_ended(report)) {
        if (folder_read(a, folder, FOLDER_ORDER, &order, err) < 0)
            return -1;
        /* An order that a power failure tore was never started. */
        if (!order) {
            *ret_state = RUNTIME_NONE;
            *ret_report = doc_map(arena);
            return 0;
        }
        if (spawn_agent(a, g, name, err) < 0)
            return -1;
    }
    *ret_state = RUNTIME_THERE;
    *ret_report = report ? report : doc_map(arena);
    return 0;
}

static int agents_stop(struct runtime *rt, const char *name, int64_t grace_s, const char *reason, struct err *err)
{
    struct agents *g = agents_of(rt);
    _cleanup_arena_ struct arena *a = arena_new();
    const char *folder = folder_of(a, g, name);
    const struct doc *before;
    struct doc *d = doc_map(a);

    if (!name_is_good(name) || !path_exists(folder))
        return 0;
    if (folder_read(a, folder, FOLDER_STOP, &before, err) < 0)
        return -1;
    if (!before || doc_int(before, "grace_s", 0) > grace_s) {
        if (before)
            reason = doc_text(before, "reason");
        doc_set_integer(a, d, "version", 1);
        doc_set_integer(a, d, "grace_s", grace_s);
        doc_set_string(a, d, "reason", reason);
        if (folder_write(a, folder, FOLDER_STOP, d, false, err) < 0)
            return -1;
    }
    /* So that it looks at once; one that misses the signal looks every five seconds. */
    return lock_signal(agent_lock(a, folder), SIGUSR1, err);
}

static int agents_recommend(struct runtime *rt, const char *name, int64_t at_ms, struct err *err)
{
    _cleanup_arena_ struct arena *a = arena_new();
    const char *folder = folder_of(a, agents_of(rt), name);
    struct doc *d = doc_map(a);

    if (!name_is_good(name) || !path_exists(folder))
        return 0;
    doc_set_integer(a, d, "version", 1);
    doc_set_integer(a, d, "at_ms", at_ms);
    return folder_write(a, folder, FOLDER_REBALANCE, d, false, err);
}

/* Nothing runs there: its agent removes what it has prepared, which takes longer than the control plane may stand. */
static int end_waiting(struct runtime *rt, const char *name, struct err *err)
{
    if (agents_stop(rt, name, 0, "nothing is to be started here", err) < 0)
        return -1;
    return fail(err, ERR_CONFLICT, "%s is on its way out", name);
}

static int agents_forget(struct runtime *rt, const char *name, struct err *err)
{
    struct agents *g = agents_of(rt);
    _cleanup_arena_ struct arena *a = arena_new();
    const char *folder = folder_of(a, g, name);
    struct box box = box_of(a, g, name);
    const struct doc *report;
    struct exit_record record;
    pid_t pid;

    if (!name_is_good(name))
        return 0;
    reap(g);
    if (path_exists(folder)) {
        if (agent_alive(a, folder, &pid, err) < 0 || folder_read(a, folder, FOLDER_REPORT, &report, err) < 0 ||
            box_look(a, &box, &record, err) < 0)
            return -1;
        if (pid && !path_exists(arena_printf(a, "%s/" FOLDER_ORDER, folder)))
            return end_waiting(rt, name, err);
        if (record.state == EXIT_RUNNING || (pid && !report_ended(report)))
            return fail(err, ERR_CONFLICT, "%s still runs", name);
        /* Its last report is written: what it still does is done here as well. */
        if (lock_signal(agent_lock(a, folder), SIGKILL, err) < 0)
            return -1;
        if (box_remove(a, &box, err) < 0)
            return -1;
        if (removal_take(g->removal, name, err) < 0)
            return -1;
    } else if (!box.process && network_remove(a, box.run_folder, name, err) < 0) {
        return -1; /* its peers had reserved its address, and it never came */
    }
    reap(g);
    child_forget(child_find(g, name));
    return 0;
}

static int agents_list(struct runtime *rt, struct arena *arena, const char *const **ret_names, int *ret_count,
                       struct err *err)
{
    struct agents *g = agents_of(rt);
    const char *path = arena_printf(arena, "%s/agents", g->config.data_folder), **names = NULL;
    DIR *folder = opendir(path);
    struct dirent *entry;
    int count = 0, room = 0;

    reap(g);
    if (!folder)
        return fail_errno(err, errno, "read %s", path);
    while ((entry = readdir(folder)) != NULL) {
        if (!name_is_good(entry->d_name))
            continue;
        if (count == room) {
            const char **more = arena_array_of(arena, const char *, (size_t)(room ? room * 2 : 64));

            if (count)
                memcpy(more, names, sizeof *names * (size_t)count);
            names = more;
            room = room ? room * 2 : 64;
        }
        names[count++] = arena_strdup(arena, entry->d_name);
    }
    closedir(folder);
    *ret_names = names;
    *ret_count = count;
    return 0;
}

static int agents_order(struct runtime *rt, struct arena *arena, const char *name, const struct doc **ret_order,
                        struct err *err)
{
    const char *folder = folder_of(arena, agents_of(rt), name);
    const struct doc *order;

    if (folder_read(arena, folder, FOLDER_ORDER, &order, err) < 0 ||
        (!order && folder_read(arena, folder, FOLDER_WARM, &order, err) < 0))
        return -1;
    *ret_order = order ? order : doc_map(arena);
    return 0;
}

static int agents_died(struct runtime *rt, struct arena *arena, const char *const **ret_names)
{
    struct agents *g = agents_of(rt);
    const char **names;
    int count = 0;

    reap(g);
    list_each(node, &g->children)
        count += list_entry(node, struct child, link)->died;
    names = arena_array_of(arena, const char *, (size_t)count);
    count = 0;
    list_each(node, &g->children) {
        struct child *c = list_entry(node, struct child, link);

        if (c->died)
            names[count++] = arena_strdup(arena, c->name);
        c->died = false;
    }
    *ret_names = names;
    return count;
}

static void agents_free(struct runtime *rt)
{
    struct agents *g = agents_of(rt);

    list_each(node, &g->children)
        child_free(list_entry(node, struct child, link));
    removal_free(g->removal);
    arena_free(g->arena);
    free(g);
}

#define DATA_LINK "data-directory"

/* Which data directory a run folder belongs to, for whoever finds it later. */
static int note_data(struct arena *a, const struct runtime_config *config, struct err *err)
{
    const char *link = arena_printf(a, "%s/" DATA_LINK, config->run_folder);
    char before[4096];
    ssize_t size = readlink(link, before, sizeof before - 1);

    if (size >= 0 && (size_t)size == strlen(config->data_folder) &&
        memcmp(before, config->data_folder, (size_t)size) == 0)
        return 0;
    if ((size >= 0 && unlink(link) < 0) || symlink(config->data_folder, link) < 0)
        return fail_errno(err, errno, "link %s", link);
    return 0;
}

/* Every name in a folder below a run folder. */
static void remove_boxes(struct arena *a, const char *run_folder, const char *data_folder, const char *kind)
{
    DIR *folder = opendir(arena_printf(a, "%s/%s", run_folder, kind));
    struct dirent *entry;

    while (folder && (entry = readdir(folder)) != NULL) {
        struct box box = { .name = entry->d_name, .run_folder = run_folder,
                           .folder = arena_printf(a, "%s/agents/%s", data_folder, entry->d_name) };
        struct err ignored;

        if (name_is_good(entry->d_name))
            box_remove(a, &box, &ignored);
    }
    if (folder)
        closedir(folder);
}

/* Data directories that were removed with containers in them: nobody else knows of what they left on this host. What
 * cannot be removed now is found again at the next start. */
static void collect_lost(struct arena *a, const char *run_folder)
{
    const char *all = arena_strndup(a, run_folder, (size_t)(strrchr(run_folder, '/') - run_folder));
    DIR *folder = text_ends(all, "/sagebrush") ? opendir(all) : NULL; /* no folder that is shared with others */
    struct dirent *entry;

    while (folder && (entry = readdir(folder)) != NULL) {
        const char *other = arena_printf(a, "%s/%s", all, entry->d_name),
                   *link = arena_printf(a, "%s/" DATA_LINK, other);
        char data[4096];
        struct stat st;
        struct err ignored;
        ssize_t size;

        if (lstat(link, &st) < 0 || !S_ISLNK(st.st_mode) || stat(link, &st) == 0 || errno != ENOENT)
            continue;
        size = readlink(link, data, sizeof data - 1);
        if (size < 0)
            continue;
        data[size] = '\0';
        remove_boxes(a, other, data, "runc");
        remove_boxes(a, other, data, "netns");
        tree_remove(other, &ignored);
    }
    if (folder)
        closedir(folder);
}

int agents_new(const struct runtime_config *config, const struct agents_driver *driver, struct runtime **ret,
               struct err *err)
{
    struct agents *g;
    struct arena *a = arena_new();
    const char *agents = arena_printf(a, "%s/agents", config->data_folder);

    if (config->data_folder[0] != '/' || config->run_folder[0] != '/') {
        arena_free(a);
        return fail(err, ERR_INVALID, "the runtime needs absolute folders, not %s and %s", config->data_folder,
                    config->run_folder);
    }
    if (folder_make(agents, 0700, err) < 0 ||
        folder_make(arena_printf(a, "%s/images/archives", config->data_folder), 0700, err) < 0 ||
        folder_make(config->run_folder, 0755, err) < 0 || note_data(a, config, err) < 0) {
        arena_free(a);
        return -1;
    }
    if (!driver->process)
        collect_lost(a, config->run_folder);
    g = calloc(1, sizeof *g);
    if (!g) {
        arena_free(a);
        return fail(err, ERR_INTERNAL, "no memory for a runtime");
    }
    g->base = (struct runtime){ .kind = driver->kind,
                                 .start = agents_start,
                                 .prepare = agents_prepare,
                                 .inspect = agents_inspect,
                                 .stop = agents_stop,
                                 .recommend = agents_recommend,
                                 .forget = agents_forget,
                                 .list = agents_list,
                                 .order = agents_order,
                                 .died = agents_died,
                                 .free = agents_free };
    g->driver = driver;
    g->arena = a;
    g->config.data_folder = arena_strdup(a, config->data_folder);
    g->config.run_folder = arena_strdup(a, config->run_folder);
    g->config.archives_folder = config->archives_folder && *config->archives_folder
                                    ? arena_strdup(a, config->archives_folder)
                                    : arena_printf(a, "%s/images/archives", config->data_folder);
    g->config.checkpoint_bytes_per_s = config->checkpoint_bytes_per_s;
    g->config.nccl_library = arena_strdup(a, config->nccl_library ? config->nccl_library : "");
    list_init(&g->children);
    g->removal = removal_new(agents);
    *ret = &g->base;
    return 0;
}

bool order_has_script(const struct doc *order)
{
    const struct doc *hyper = doc_get(order, "hyper_parameters"), *environment = doc_get(order, "environment");

    return *doc_value_text(doc_get(hyper, "sagemaker_program")) ||
           *doc_value_text(doc_get(hyper, "sagemaker_submit_directory")) ||
           *doc_value_text(doc_get(environment, "SAGEMAKER_PROGRAM")) ||
           *doc_value_text(doc_get(environment, "SAGEMAKER_SUBMIT_DIRECTORY"));
}
