/* volume.c - bytes are those that the disk gave (a hole has none), a file with two names counts once, and a file that
 * was removed counts while a process of the container holds it open. */
#include "agent/volume.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "run/cgroup.h"

enum {
    LOOK_MS = 500,
    COUNT_MS = 15000, /* others may have made room while the instance took it */
    COUNT_SHARE = 10, /* counting takes at most a tenth of the time, when there are very many files */
    DEPTH_MAX = 256,
};

struct amount {
    int64_t bytes, files; /* a file without a byte takes up one of the names that a disk has room for */
};

/* Of the disk, for the server itself; on a small disk a twentieth. */
static const struct amount floor_left = { 256 << 20, 1 << 16 };

/* Who holds so little more than when there was room has not filled the disk: it writes its log. */
static const struct amount notable = { 4 << 20, 256 };

struct volume {
    struct volume_options o;
    pthread_t thread;
    int cancel; /* eventfd */
    dev_t device;
    int64_t counted_ms, took_ms; /* when last counted, and how long it took */
    struct amount disk_used;     /* what the disk held then */
    struct amount roomy;         /* what the instance held when the disk last had room; nothing, if it never had */

    pthread_mutex_t lock; /* what follows */
    struct amount used;
    enum { ROOM, OVER_SIZE, TOO_DEEP, DISK_FULL, DISK_CROWDED } state;
};

static bool cancelled(const struct volume *v)
{
    struct pollfd p = { .fd = v->cancel, .events = POLLIN };

    return poll(&p, 1, 0) > 0;
}

static int64_t bytes_of(const struct stat *st)
{
    return (int64_t)st->st_blocks * 512 / (S_ISREG(st->st_mode) && st->st_nlink > 1 ? (int64_t)st->st_nlink : 1);
}

/* Everything below the folder on its own file system; never through a link. False: cancelled, or too deep. */
static bool count_below(const struct volume *v, int parent, const char *name, int depth, struct amount *sum)
{
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *folder = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *entry;
    struct stat st;
    bool whole = depth <= DEPTH_MAX && !cancelled(v);

    if (!folder) {
        fd_cleanup(&fd);
        return true; /* removed in between */
    }
    if (fstat(fd, &st) < 0 || st.st_dev != v->device) {
        closedir(folder);
        return true;
    }
    sum->bytes += bytes_of(&st);
    while (whole && (entry = readdir(folder)) != NULL) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 ||
            fstatat(fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
            continue;
        sum->files++;
        if (S_ISDIR(st.st_mode))
            whole = count_below(v, fd, entry->d_name, depth + 1, sum);
        else
            sum->bytes += bytes_of(&st);
    }
    closedir(folder);
    return whole;
}

/* Files without a name any more, each once. */
struct nameless {
    struct arena *arena;
    struct { dev_t device; ino_t inode; } *seen;
    size_t count, room;
    int64_t bytes;
};

static void count_nameless(struct nameless *n, const struct stat *st)
{
    for (size_t i = 0; i < n->count; i++)
        if (n->seen[i].device == st->st_dev && n->seen[i].inode == st->st_ino)
            return;
    if (n->count == n->room) {
        size_t room = n->room ? n->room * 2 : 16;
        void *more = arena_alloc(n->arena, room * sizeof *n->seen);

        if (n->count)
            memcpy(more, n->seen, n->count * sizeof *n->seen);
        n->seen = more;
        n->room = room;
    }
    n->seen[n->count].device = st->st_dev;
    n->seen[n->count++].inode = st->st_ino;
    n->bytes += (int64_t)st->st_blocks * 512;
}

static void look_at_process(struct nameless *n, int64_t pid)
{
    _cleanup_arena_ struct arena *a = arena_new();
    const char *path = arena_printf(a, "/proc/%lld/fd", (long long)pid);
    DIR *folder = opendir(path);
    struct dirent *entry;

    while (folder && (entry = readdir(folder)) != NULL) {
        const char *one = arena_printf(a, "%s/%s", path, entry->d_name);
        struct statfs fs;
        struct stat st;

        /* What lies in memory is the memory limit's business. */
        if (entry->d_name[0] != '.' && stat(one, &st) == 0 && S_ISREG(st.st_mode) && st.st_nlink == 0 &&
            statfs(one, &fs) == 0 && fs.f_type != TMPFS_MAGIC && fs.f_type != HUGETLBFS_MAGIC)
            count_nameless(n, &st);
    }
    if (folder)
        closedir(folder);
}

static void count(struct volume *v)
{
    _cleanup_arena_ struct arena *a = arena_new();
    struct nameless n = { .arena = a };
    struct amount sum = { 0 };
    int64_t *pids, began_ms = clock_boot_ms(v->o.clock), limit = v->o.order->disk_bytes;
    bool whole = count_below(v, AT_FDCWD, v->o.folder, 0, &sum);
    size_t processes = cgroup_processes(a, v->o.order->name, &pids);

    for (size_t i = 0; i < processes; i++)
        look_at_process(&n, pids[i]);
    sum.bytes += n.bytes;
    v->counted_ms = clock_boot_ms(v->o.clock);
    v->took_ms = v->counted_ms - began_ms;
    if (cancelled(v))
        return;
    pthread_mutex_lock(&v->lock);
    v->used = sum;
    if (limit && sum.bytes > limit)
        v->state = OVER_SIZE;
    else if (!whole)
        v->state = TOO_DEEP;
    pthread_mutex_unlock(&v->lock);
}

/* A file system that makes room for files as they come tells of none. */
static bool is_tight(int64_t left, int64_t all, int64_t floor)
{
    return left < floor && left < all / 20;
}

/* Of several instances on a full disk, those that still fill it. */
static void blame(struct volume *v, struct amount before, struct amount left, struct amount all)
{
    bool full = is_tight(left.bytes, all.bytes, floor_left.bytes);
    bool crowded = is_tight(left.files, all.files, floor_left.files);

    pthread_mutex_lock(&v->lock);
    if (!full)
        v->roomy.bytes = v->used.bytes;
    if (!crowded)
        v->roomy.files = v->used.files;
    if (before.bytes < 0 || v->state != ROOM)
        full = crowded = false;
    if (full && v->used.bytes > before.bytes && v->used.bytes > v->roomy.bytes + notable.bytes)
        v->state = DISK_FULL;
    else if (crowded && v->used.files > before.files && v->used.files > v->roomy.files + notable.files)
        v->state = DISK_CROWDED;
    pthread_mutex_unlock(&v->lock);
}

/* Could the instance be over its size by what the disk has taken since, or is it time to count anyway? */
static void look(struct volume *v)
{
    int64_t now_ms = clock_boot_ms(v->o.clock), limit = v->o.order->disk_bytes, unit;
    struct amount before = v->used, left, all, taken, grown;
    bool first = before.bytes < 0;
    struct statvfs fs;

    if (statvfs(v->o.folder, &fs) < 0 || (!first && now_ms - v->counted_ms < v->took_ms * COUNT_SHARE))
        return;
    unit = (int64_t)fs.f_frsize;
    all = (struct amount){ (int64_t)fs.f_blocks * unit, (int64_t)fs.f_files };
    left = (struct amount){ (int64_t)fs.f_bavail * unit, (int64_t)fs.f_favail };
    taken = (struct amount){ all.bytes - (int64_t)fs.f_bfree * unit, all.files - (int64_t)fs.f_ffree };
    grown = (struct amount){ taken.bytes - v->disk_used.bytes, taken.files - v->disk_used.files };
    if (!first && now_ms - v->counted_ms < COUNT_MS && !(limit && grown.bytes > (limit - before.bytes) / 2) &&
        !(grown.bytes > 0 && left.bytes < floor_left.bytes) && !(grown.files > 0 && left.files < floor_left.files))
        return;
    v->disk_used = taken;
    count(v);
    /* What serves would only come back and find no room for its model. */
    if (order_ends(v->o.order))
        blame(v, before, left, all);
}

static void *run(void *data)
{
    struct volume *v = data;
    struct pollfd p = { .fd = v->cancel, .events = POLLIN };

    do {
        look(v);
        if (v->state != ROOM) {
            v->o.full(v->o.data);
            break;
        }
    } while (poll(&p, 1, LOOK_MS) == 0 || (p.revents == 0 && errno == EINTR));
    return NULL;
}

struct volume *volume_new(const struct volume_options *options)
{
    struct volume *v = calloc(1, sizeof *v);
    struct stat st;
    int r;

    assert(v);
    v->o = *options;
    v->used = (struct amount){ -1, -1 };
    v->device = stat(options->folder, &st) == 0 ? st.st_dev : 0;
    v->cancel = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    assert(v->cancel >= 0);
    pthread_mutex_init(&v->lock, NULL);
    r = pthread_create(&v->thread, NULL, run, v);
    assert(r == 0);
    return v;
}

void volume_free(struct volume *v)
{
    uint64_t one = 1;

    if (!v)
        return;
    if (write(v->cancel, &one, sizeof one) < 0)
        log_warning("volume.not_cancelled", "why=%s", strerror(errno));
    pthread_join(v->thread, NULL);
    pthread_mutex_destroy(&v->lock);
    fd_cleanup(&v->cancel);
    free(v);
}

int64_t volume_used(struct volume *v)
{
    int64_t used = -1;

    if (!v)
        return -1;
    pthread_mutex_lock(&v->lock);
    used = v->used.bytes;
    pthread_mutex_unlock(&v->lock);
    return used;
}

const char *volume_full(struct volume *v, struct arena *a)
{
    const char *why = "";

    if (!v)
        return "";
    pthread_mutex_lock(&v->lock);
    switch (v->state) {
    case ROOM:
        break;
    case OVER_SIZE:
        why = arena_printf(a,
                           "ClientError: No space left on device: the instance holds %.2f GiB, and its volume %.0f "
                           "GiB. %s, or keep less data in /opt/ml and /tmp.",
                           (double)v->used.bytes / (1 << 30), (double)v->o.order->disk_bytes / (1 << 30),
                           order_more_disk(v->o.order));
        break;
    case TOO_DEEP:
        why = arena_printf(a, "ClientError: the container made folders more than %d deep. Use fewer levels.",
                           DEPTH_MAX);
        break;
    case DISK_FULL:
        why = arena_printf(a,
                           "InternalServerError: the disk of the server is full: the instance holds %.2f GiB and wrote "
                           "on. Make room on the server, or write less.",
                           (double)v->used.bytes / (1 << 30));
        break;
    case DISK_CROWDED:
        why = arena_printf(a,
                           "InternalServerError: the disk of the server has room for no more files: the instance holds "
                           "%lld and made more. Remove files on the server, or make fewer.",
                           (long long)v->used.files);
        break;
    }
    pthread_mutex_unlock(&v->lock);
    return why;
}
