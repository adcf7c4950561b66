/* cgroup.c - the hierarchies are found in mountinfo: one for each controller (v1), one for all (v2), or both beside
 * each other, where v2 is mounted but empty ("hybrid"). */
#include "run/cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "run/cgroup_place.h"

enum { FILE_LIMIT = 16 << 20 };

static const char *group_of(struct arena *a, const char *name)
{
    return arena_printf(a, "sagebrush-%s", name);
}

/* This process's groups, if it belongs to a Slurm step; else "". */
static struct str step_groups(struct arena *a)
{
    struct str text;
    struct err ignored;

    return file_read(a, "/proc/self/cgroup", FILE_LIMIT, &text, &ignored) == 0 && cgroup_in_step(text) ? text : STR("");
}

const char *cgroup_path(struct arena *a, const char *name)
{
    return arena_printf(a, "%s%s", step_groups(a).size ? "" : "/", group_of(a, name));
}

/* Calls 'each' with the mount point of every hierarchy; a result other than 0 ends it. */
static int each_hierarchy(struct arena *a, int (*each)(struct arena *, const char *point, void *), void *context)
{
    struct err ignored;
    struct str text, line;

    if (file_read(a, "/proc/self/mountinfo", FILE_LIMIT, &text, &ignored) < 0)
        return 0;
    while (text.size) {
        struct str point = { 0 }, rest;
        int r;

        if (!str_cut(text, '\n', &line, &text)) {
            line = text;
            text.size = 0;
        }
        rest = line;
        for (int i = 0; i < 5; i++)
            if (!str_cut(rest, ' ', &point, &rest))
                break;
        if (!memmem(rest.data, rest.size, " - cgroup ", 10) && !memmem(rest.data, rest.size, " - cgroup2 ", 11))
            continue;
        r = each(a, str_dup(a, point), context);
        if (r)
            return r;
    }
    return 0;
}

struct find {
    const char *group, *file, *found;
    struct str own;
    bool anywhere;
};

static int look(struct arena *a, const char *point, void *context)
{
    struct find *f = context;
    const char *folder =
        f->anywhere ? cgroup_find_anywhere(a, point, f->own, f->group) : cgroup_find(a, point, f->own, f->group);
    const char *path = folder ? arena_printf(a, "%s/%s", folder, f->file) : NULL;

    if (!path || !path_exists(path))
        return 0;
    f->found = path;
    return 1;
}

/* The content of the first such file in any hierarchy; false: there is none. */
static bool read_file(struct arena *a, const char *name, const char *file, struct str *ret)
{
    struct find f = { .group = group_of(a, name), .file = file, .own = step_groups(a) };
    struct err ignored;

    each_hierarchy(a, look, &f);
    /* Another Slurm job's agent may have started it, which Slurm has killed. */
    f.anywhere = !f.found && f.own.size;
    if (f.anywhere)
        each_hierarchy(a, look, &f);
    return f.found && file_read(a, f.found, FILE_LIMIT, ret, &ignored) == 0;
}

/* "key 123" in lines; -1: not there. */
static int64_t keyed(struct str text, const char *key)
{
    while (text.size) {
        struct str line, word, value;
        int64_t n;

        if (!str_cut(text, '\n', &line, &text)) {
            line = text;
            text.size = 0;
        }
        if (str_cut(line, ' ', &word, &value) && str_is(word, key) && str_to_int64(str_trim(value), &n))
            return n;
    }
    return -1;
}

static int64_t whole(struct str text)
{
    int64_t n;

    return str_to_int64(str_trim(text), &n) ? n : -1;
}

void cgroup_read(struct arena *a, const char *name, struct cgroup_usage *ret)
{
    struct cgroup_usage u = { -1, -1, -1, -1 };
    struct str text;
    int64_t cache;

    if (read_file(a, name, "cpuacct.usage", &text)) {
        u.cpu_ns = whole(text);
    } else if (read_file(a, name, "cpu.stat", &text)) {
        int64_t us = keyed(text, "usage_usec");

        u.cpu_ns = us < 0 ? -1 : us * 1000;
    }
    if (read_file(a, name, "memory.usage_in_bytes", &text)) {
        u.memory_bytes = whole(text);
        cache = read_file(a, name, "memory.stat", &text) ? keyed(text, "total_inactive_file") : -1;
    } else {
        u.memory_bytes = read_file(a, name, "memory.current", &text) ? whole(text) : -1;
        cache = read_file(a, name, "memory.stat", &text) ? keyed(text, "inactive_file") : -1;
    }
    if (u.memory_bytes >= 0 && cache > 0)
        u.memory_bytes -= cache < u.memory_bytes ? cache : u.memory_bytes;
    if (read_file(a, name, "memory.max_usage_in_bytes", &text) || read_file(a, name, "memory.peak", &text))
        u.peak_bytes = whole(text);
    if (read_file(a, name, "memory.oom_control", &text) || read_file(a, name, "memory.events", &text))
        u.oom_kills = keyed(text, "oom_kill");
    *ret = u;
}

size_t cgroup_processes(struct arena *a, const char *name, int64_t **ret)
{
    size_t count = 0, room = 0;
    struct str text, line;

    *ret = NULL;
    if (!read_file(a, name, "cgroup.procs", &text))
        return 0;
    while (str_cut(text, '\n', &line, &text)) {
        if (count == room) {
            int64_t *more = arena_array_of(a, int64_t, room ? room * 2 : 64);

            if (count)
                memcpy(more, *ret, count * sizeof *more);
            *ret = more;
            room = room ? room * 2 : 64;
        }
        (*ret)[count++] = whole(line);
    }
    return count;
}

struct removal {
    const char *group;
    struct str own;
    struct err *err;
};

static int remove_here(struct arena *a, const char *point, void *context)
{
    struct removal *r = context;
    const char *path = cgroup_find_anywhere(a, point, r->own, r->group);

    if (!path)
        return 0;
    /* A killed process leaves the group when it is reaped, which is a moment later. */
    for (int i = 0; i < 100; i++) {
        struct err ignored;
        struct str text, line;

        if (rmdir(path) == 0 || errno == ENOENT || errno == ENOTDIR) {
            cgroup_clear_step(a, point, path);
            return 0;
        }
        if (errno != EBUSY)
            return fail_errno(r->err, errno, "remove %s", path);
        if (file_read(a, arena_printf(a, "%s/cgroup.procs", path), FILE_LIMIT, &text, &ignored) == 0)
            while (str_cut(text, '\n', &line, &text)) {
                int64_t pid = whole(line);

                if (pid > 1)
                    kill((pid_t)pid, SIGKILL);
            }
        usleep(2000);
    }
    return fail(r->err, ERR_CONFLICT, "remove %s: processes in it do not end", path);
}

int cgroup_remove(struct arena *a, const char *name, struct err *err)
{
    return each_hierarchy(a, remove_here, &(struct removal){ group_of(a, name), step_groups(a), err });
}

/* --- Can one be made? --- */

struct trial {
    const char *name;
    bool cpu, memory; /* can be limited in one of the hierarchies seen so far */
    struct err *err;
};

/* In version 2 the root's list says what its groups can be given; who makes the first one asks for it. */
static bool controls(struct arena *a, const char *point, const char *group, const char *file, const char *controller)
{
    struct err ignored;
    struct str text, word;

    if (path_exists(arena_printf(a, "%s/%s", group, file)))
        return true;
    if (file_read(a, arena_printf(a, "%s/cgroup.controllers", point), FILE_LIMIT, &text, &ignored) < 0)
        return false;
    for (text = str_trim(text); text.size;) {
        if (!str_cut(text, ' ', &word, &text)) {
            word = text;
            text.size = 0;
        }
        if (str_is(word, controller))
            return true;
    }
    return false;
}

static int try_here(struct arena *a, const char *point, void *context)
{
    struct trial *t = context;
    const char *path = arena_printf(a, "%s/sagebrush-%s", point, t->name);

    if (mkdir(path, 0755) < 0 && errno != EEXIST)
        return fail_errno(t->err, errno, "no group can be made in %s", point);
    t->cpu = t->cpu || controls(a, point, path, "cpu.shares", "cpu");
    t->memory = t->memory || controls(a, point, path, "memory.limit_in_bytes", "memory");
    if (rmdir(path) < 0)
        return fail_errno(t->err, errno, "a group cannot be removed from %s", point);
    return 0;
}

static void enter(struct arena *a, const char *folder)
{
    _cleanup_fd_ int fd = open(arena_printf(a, "%s/cgroup.procs", folder), O_WRONLY | O_CLOEXEC);
    struct err ignored;

    if (fd >= 0)
        fd_write_all(fd, "0\n", 2, &ignored);
}

static int leave(struct arena *a, const char *point, void *context)
{
    enter(a, point);
    return 0;
}

void cgroup_leave(struct arena *a)
{
    each_hierarchy(a, leave, NULL);
}

static int find_devices(struct arena *a, const char *point, void *context)
{
    const char **ret = context;

    if (!path_exists(arena_printf(a, "%s/devices.allow", point)))
        return 0;
    *ret = point;
    return 1;
}

const char *cgroup_leave_devices(struct arena *a)
{
    const char *path = cgroup_path_of(a, step_groups(a), "devices"), *point = NULL;

    if (!path || !each_hierarchy(a, find_devices, &point))
        return NULL;
    enter(a, point);
    return arena_printf(a, "%s%s", point, path);
}

void cgroup_return(struct arena *a, const char *folder)
{
    if (folder)
        enter(a, folder);
}

int cgroup_try(struct arena *a, const char *name, struct err *err)
{
    struct trial t = { .name = name, .err = err };

    if (each_hierarchy(a, try_here, &t) < 0)
        return -1;
    if (!t.cpu || !t.memory)
        return fail(err, ERR_INTERNAL, "%s cannot be limited: no hierarchy has the controller",
                    t.memory ? "cores" : t.cpu ? "memory" : "neither cores nor memory");
    return 0;
}
