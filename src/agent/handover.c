#include "agent/handover.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/fd.h"
#include "base/str.h"

enum { DEPTH_MAX = 128 };

static const char *host_of(const struct order *o, size_t i)
{
    return doc_value_text(o->hosts->items[i]);
}

bool handover_leads(const struct order *o)
{
    return !o->peers || list_count(o->hosts) == 0 || strcmp(host_of(o, 0), o->host_name) == 0;
}

/* Of the first host's agent. */
static const char *folder_of(struct arena *a, const struct order *o)
{
    return arena_printf(a, "%s/agents/%s/handover", o->data_folder, doc_text(o->peers, host_of(o, 0)));
}

/* Moved already is fine, also when an agent that came after has made an empty one in its place. */
static int move(const char *from, const char *to, struct err *err)
{
    if (rename(from, to) == 0 || errno == ENOENT || errno == ENOTEMPTY || errno == EEXIST)
        return 0;
    return fail_errno(err, errno, "move %s to %s", from, to);
}

int handover_give(const struct order *o, const char *ml, bool with_model, struct err *err)
{
    _cleanup_arena_ struct arena *a = arena_new();
    const char *all = folder_of(a, o), *own = arena_printf(a, "%s/%s", all, o->host_name);

    if ((mkdir(all, 0700) < 0 && errno != EEXIST) || (mkdir(own, 0700) < 0 && errno != EEXIST))
        return fail_errno(err, errno, "mkdir %s", own);
    if (with_model && move(arena_printf(a, "%s/model", ml), arena_printf(a, "%s/model", own), err) < 0)
        return -1;
    if (move(arena_printf(a, "%s/output/data", ml), arena_printf(a, "%s/data", own), err) < 0)
        return -1;
    return file_write_atomic(arena_printf(a, "%s/%s.done", all, o->host_name), "", 0, 0600, err);
}

bool handover_complete(const struct order *o)
{
    _cleanup_arena_ struct arena *a = arena_new();

    for (size_t i = 1; o->peers && i < list_count(o->hosts); i++)
        if (!path_exists(arena_printf(a, "%s/%s.done", folder_of(a, o), host_of(o, i))))
            return false;
    return true;
}

static int merge(int from, int to, int depth, struct err *err);

/* A folder of the same name on both sides; -1 in 'there' when it is something else there. */
static int merge_folder(int from, int to, const char *name, int depth, struct err *err)
{
    _cleanup_fd_ int here = openat(from, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), there = -1;

    if (here < 0)
        return fail_errno(err, errno, "open %s", name);
    there = openat(to, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return there < 0 ? 0 : merge(here, there, depth + 1, err);
}

/* Whole folders are moved where there is none of their name. */
static int merge(int from, int to, int depth, struct err *err)
{
    DIR *folder = depth < DEPTH_MAX ? fdopendir(dup(from)) : NULL;
    struct dirent *entry;
    int result = 0;

    if (depth >= DEPTH_MAX)
        return fail(err, ERR_INVALID, "the folders in /opt/ml/model are more than %d deep", DEPTH_MAX);
    if (!folder)
        return fail_errno(err, errno, "read a folder of results");
    while (result == 0 && (entry = readdir(folder)) != NULL) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        if (renameat2(from, entry->d_name, to, entry->d_name, RENAME_NOREPLACE) == 0)
            continue;
        if (errno != EEXIST)
            result = fail_errno(err, errno, "move %s", entry->d_name);
        else if (entry->d_type == DT_DIR)
            result = merge_folder(from, to, entry->d_name, depth, err);
    }
    closedir(folder);
    return result;
}

static int merge_paths(const char *from, const char *to, struct err *err)
{
    _cleanup_fd_ int here = open(from, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), there = -1;

    if (here < 0)
        return errno == ENOENT ? 0 : fail_errno(err, errno, "open %s", from);
    there = open(to, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (there < 0)
        return fail_errno(err, errno, "open %s", to);
    return merge(here, there, 0, err);
}

int handover_take(const struct order *o, const char *ml, struct err *err)
{
    _cleanup_arena_ struct arena *a = arena_new();

    for (size_t i = 1; o->peers && i < list_count(o->hosts); i++) {
        const char *given = arena_printf(a, "%s/%s", folder_of(a, o), host_of(o, i));

        if (merge_paths(arena_printf(a, "%s/model", given), arena_printf(a, "%s/model", ml), err) < 0 ||
            merge_paths(arena_printf(a, "%s/data", given), arena_printf(a, "%s/output/data", ml), err) < 0)
            return -1;
    }
    return 0;
}
