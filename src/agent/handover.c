#include "agent/handover.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/handover_line.h"
#include "agent/handover_listener.h"
#include "agent/handover_send.h"
#include "base/arena.h"
#include "base/fd.h"
#include "base/str.h"
#include "run/folder.h"
#include "run/network_look.h"
#include "run/runtime.h"
#include "run/tunnel_device.h"

enum {
    DEPTH_MAX = 128,
    PATIENCE_MS = 600000,
    PATIENCE_FAILED_MS = 60000, /* of a job that has failed: that is what is to be told */
};

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

static int give_here(const struct order *o, const char *ml, bool with_model, struct err *err)
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

/* --- Between machines --- */

struct giving {
    const char *folder;
    const struct uplink *uplink;
};

static int open_socket(void *data, int *ret_fd, struct err *err)
{
    return network_socket(&((struct giving *)data)->uplink->network, ret_fd, err);
}

/* The leader has failed or is lost, or the job goes on elsewhere, and nobody waits for what we have; or there is no way
 * to it any more. */
static int is_over(void *data, struct err *err)
{
    _cleanup_arena_ struct arena *a = arena_new();
    const char *folder = ((struct giving *)data)->folder;
    const struct doc *d;
    struct err ignored;

    if (folder_read(a, folder, FOLDER_STOP, &d, &ignored) == 0 && doc_is(d, "reason", STOP_TAKEN_BACK))
        return fail(err, ERR_CONFLICT, "the instance was taken back");
    if (tunnel_is_gone(folder))
        return fail(err, ERR_INTERNAL, "the process that carries the traffic between the instances ended. Start the "
                                       "job again.");
    return 0;
}

static int give_away(const struct transfer *t, struct uplink *u, bool with_model, struct err *err)
{
    _cleanup_arena_ struct arena *a = arena_new();
    unsigned char token[HANDOVER_TOKEN_SIZE];
    struct giving giving = { t->folder, u };

    if (handover_token(t->order, token, err) < 0 || uplink_connect(u, err) < 0)
        return -1;
    return handover_send(&(struct handover_sender){
        .ml = t->ml, .with_model = with_model, .note = arena_printf(a, "%s/handover.given", t->folder),
        .leader = host_of(t->order, 0),
        .address = tunnel_address(a, 1), .port = HANDOVER_PORT,
        .number = order_number(t->order, t->order->host_name),
        .token = token, .clock = t->clock, .patience_ms = with_model ? PATIENCE_MS : PATIENCE_FAILED_MS,
        .cancel_fd = t->cancel_fd, .socket = open_socket, .over = is_over, .data = &giving }, err);
}

static int listen_inside(void *data, const char *address, int *ret_fd, struct err *err)
{
    return network_listen(&((struct uplink *)data)->network, address, HANDOVER_PORT, ret_fd, err);
}

int handover_listen(const struct order *o, struct uplink *u, struct handover_listener **ret, struct err *err)
{
    _cleanup_arena_ struct arena *a = arena_new();
    const char **addresses = arena_array_of(a, const char *, list_count(o->hosts));

    *ret = NULL;
    if (!order_spans_machines(o))
        return 0;
    if (uplink_connect(u, err) < 0)
        return -1;
    for (size_t i = 0; i < list_count(o->hosts); i++)
        addresses[i] = tunnel_address(a, (int)i + 1);
    return handover_listener_new(&(struct handover_listener_options){ .folder = folder_of(a, o), .order = o,
                                                                      .addresses = addresses, .listen = listen_inside,
                                                                      .data = u }, ret, err);
}

int handover_give(const struct transfer *t, struct uplink *u, bool with_model, struct err *err)
{
    return order_spans_machines(t->order) ? give_away(t, u, with_model, err)
                                          : give_here(t->order, t->ml, with_model, err);
}

/* --- What the first has of it --- */

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
