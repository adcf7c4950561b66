/* cgroup_place.c - below the groups of a Slurm step, its limits hold for the container, too. Slurm has them at
 *     v1  slurm[_NODE]/uid_N/job_N/step_N[/task_N]
 *     v2  [system.slice/][NODE_]slurmstepd.scope/job_N/step_N/user/task_N
 * In version 2 no group may have processes and limited groups as well, so the container's is beside that of its task.
 * Nobody writes down where it is: an agent's successor, the server and the keeper find it by looking. */
#include "run/cgroup_place.h"

#include <dirent.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"

enum { DEPTH_MOST = 7 };

/* The next line, "4:cpu,cpuacct:/slurm/uid_0/job_1"; false: there is none. */
static bool next_path(struct arena *a, struct str *own, struct str *ret_controllers, const char **ret)
{
    struct str line, number, path;

    while (own->size) {
        if (!str_cut(*own, '\n', &line, own)) {
            line = *own;
            own->size = 0;
        }
        if (!str_cut(line, ':', &number, &line) || !str_cut(line, ':', ret_controllers, &path))
            continue;
        *ret = str_dup(a, path);
        return true;
    }
    return false;
}

bool cgroup_in_step(struct str own)
{
    _cleanup_arena_ struct arena *a = arena_new();
    struct str controllers;
    const char *path;

    while (next_path(a, &own, &controllers, &path))
        if (strstr(path, "slurm") && strstr(path, "/job_") && strstr(path, "/step_"))
            return true;
    return false;
}

const char *cgroup_path_of(struct arena *a, struct str own, const char *controller)
{
    struct str controllers, word;
    const char *path;

    while (next_path(a, &own, &controllers, &path))
        while (controllers.size) {
            if (!str_cut(controllers, ',', &word, &controllers)) {
                word = controllers;
                controllers.size = 0;
            }
            if (str_is(word, controller))
                return path;
        }
    return NULL;
}

static const char *parent_of(struct arena *a, const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash ? arena_strndup(a, path, (size_t)(slash - path)) : "";
}

const char *cgroup_find(struct arena *a, const char *point, struct str own, const char *group)
{
    const char *found = arena_printf(a, "%s/%s", point, group), *path;
    struct str controllers;

    if (path_exists(found))
        return found;
    /* Which of the paths is of this hierarchy does not matter: the name is the container's alone. */
    while (next_path(a, &own, &controllers, &path)) {
        found = arena_printf(a, "%s%s/%s", point, path, group);
        if (path_exists(found))
            return found;
        found = arena_printf(a, "%s%s/%s", point, parent_of(a, path), group);
        if (path_exists(found))
            return found;
    }
    return NULL;
}

static bool is_of_job(const char *name)
{
    return strcmp(name, "user") == 0 || text_starts(name, "job_") || text_starts(name, "step_") ||
           text_starts(name, "task_");
}

static bool may_be_slurms(const char *name)
{
    return strstr(name, "slurm") || strcmp(name, "system.slice") == 0 || text_starts(name, "uid_") || is_of_job(name);
}

static const char *walk(struct arena *a, const char *folder, int depth, const char *group)
{
    const char *found = NULL;
    struct dirent *entry;
    DIR *dir = opendir(folder);

    while (dir && !found && (entry = readdir(dir))) {
        const char *path = arena_printf(a, "%s/%s", folder, entry->d_name);

        if (entry->d_type != DT_DIR || entry->d_name[0] == '.')
            continue;
        if (strcmp(entry->d_name, group) == 0)
            found = path;
        else if (depth < DEPTH_MOST && may_be_slurms(entry->d_name))
            found = walk(a, path, depth + 1, group);
    }
    if (dir)
        closedir(dir);
    return found;
}

const char *cgroup_find_anywhere(struct arena *a, const char *point, struct str own, const char *group)
{
    const char *found = cgroup_find(a, point, own, group);

    return found ? found : walk(a, point, 0, group);
}

void cgroup_clear_step(struct arena *a, const char *point, const char *folder)
{
    for (folder = parent_of(a, folder); text_starts(folder, point); folder = parent_of(a, folder)) {
        const char *name = strrchr(folder, '/') + 1;

        /* Above the job are groups of other jobs, and Slurm's own lock for them. */
        if (!is_of_job(name) || rmdir(folder) < 0)
            return;
    }
}
