#include "agent/fastfile.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "agent/blocks.h"
#include "agent/foresight.h"
#include "agent/fuse.h"
#include "base/fd.h"
#include "base/log.h"
#include "run/mount.h"

enum { THREADS = 8 };

struct fastfile {
    struct fast_index index;
    struct blocks *blocks;
    struct foresight foresight;
    struct fuse_tree tree;
    const char *folder;
    int fd;
};

static const char *index_path(struct arena *a, const char *agent_folder, const char *channel)
{
    return arena_printf(a, "%s/fast-%s.index", agent_folder, channel);
}

const char *fastfile_folder(struct arena *a, const char *agent_folder, const char *channel)
{
    return arena_printf(a, "%s/fast/%s", agent_folder, channel);
}

int fastfile_prepare(const struct transfer *t, struct s3 *s3, const struct channel *c, struct err *err)
{
    _cleanup_arena_ struct arena *a = arena_new();
    struct channel_object *all, *share;
    uint32_t *order;
    size_t count, taken;

    if (access("/dev/fuse", R_OK | W_OK) < 0)
        return fail(err, ERR_INVALID,
                    "channel %s: FastFile needs FUSE, and this machine has no usable /dev/fuse. Load the module fuse "
                    "on the server, or use File mode.", c->name);
    if (c->type != CHANNEL_PREFIX)
        return fail(err, ERR_INVALID, "channel %s: FastFile reads an S3Prefix only", c->name);
    if (channel_objects(t, s3, a, c, &all, &count, err) < 0)
        return -1;
    order = arena_array_of(a, uint32_t, count);
    share = arena_array_of(a, struct channel_object, count);
    taken = channel_share(c, 0, order, count);
    for (size_t i = 0; i < taken; i++)
        share[i] = all[order[i]];
    return fast_index_write(index_path(a, t->folder, c->name), c->bucket, share, taken, err);
}

static struct blocks_file file_of(const struct fastfile *f, uint32_t entry)
{
    const struct fast_entry *e = &f->index.entries[entry];

    return (struct blocks_file) { .id = (uint64_t)entry + 1, .bucket = f->index.bucket,
                                  .key = f->index.texts + e->key, .size_bytes = (int64_t)e->size_bytes };
}

static int64_t read_entry(void *data, uint32_t entry, int64_t offset, char *to, int64_t size, int *ret_errno)
{
    struct fastfile *f = data;
    const struct blocks_file file = file_of(f, entry);
    uint32_t next, count = offset == 0 ? foresight_begun(&f->foresight, entry, &next) : 0;
    struct err err = { 0 };
    int64_t n;

    for (uint32_t i = 0; i < count; i++) {
        struct blocks_file expected = file_of(f, next + i);

        blocks_expect(f->blocks, &expected);
    }
    n = blocks_read(f->blocks, &file, offset, to, size, &err);
    if (n < 0) {
        _cleanup_arena_ struct arena *a = arena_new();

        log_warning("fastfile.not_read", "key=%s why=%s", log_quote(a, file.key), log_quote(a, err.text));
        *ret_errno = err.kind == ERR_DENIED ? EACCES : EIO;
    }
    return n;
}

/* How far the kernel reads ahead by itself; without it, it asks for 128 KB at a time. */
static void widen_read_ahead(void *data)
{
    struct fastfile *f = data;
    _cleanup_arena_ struct arena *a = arena_new();
    _cleanup_fd_ int fd = -1;
    const char *device;
    struct err ignored;

    if (!mount_find(a, f->folder, &device))
        return;
    fd = open(arena_printf(a, "/sys/class/bdi/%s/read_ahead_kb", device), O_WRONLY | O_CLOEXEC);
    if (fd >= 0)
        fd_write_all(fd, "4096", 4, &ignored);
}

static void *serve_thread(void *data)
{
    struct fastfile *f = data;

    fuse_serve(f->fd, &f->tree, false);
    return NULL;
}

int fastfile_serve(const struct transfer *t, const struct channel *c, int fd, struct err *err)
{
    _cleanup_arena_ struct arena *a = arena_new();
    struct fastfile f = { .fd = fd, .folder = fastfile_folder(a, t->folder, c->name) };
    pthread_t threads[THREADS];

    if (fast_index_open(index_path(a, t->folder, c->name), &f.index, err) < 0)
        return -1;
    f.blocks = blocks_new(t);
    foresight_init(&f.foresight, &f.index, BLOCK_BYTES);
    f.tree = (struct fuse_tree){ .index = &f.index, .read = read_entry, .begun = widen_read_ahead, .data = &f };
    for (int i = 0; i < THREADS; i++) {
        int r = pthread_create(&threads[i], NULL, serve_thread, &f);

        assert(r == 0);
    }
    fuse_serve(fd, &f.tree, true);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    blocks_free(f.blocks);
    fast_index_close(&f.index);
    return 0;
}
