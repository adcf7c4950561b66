#include "agent/fuse.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/fd.h"
#include "run/mount.h"

/* Of Linux 6.9; the headers of Debian 12 are older. */
enum { NOTIFY_RESEND = 7 };
#define HAS_RESEND (UINT64_C(1) << 39)

enum {
    READ_BYTES = 1 << 20,
    REQUEST_BYTES = 64 << 10,
    VALID_S = 86400, /* the tree does not change */
};

struct server {
    int fd;
    const struct fuse_tree *tree;
    char *request, *answer;
};

int fuse_mount(const char *folder, int *ret_fd, struct err *err)
{
    _cleanup_fd_ int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
    char options[128];

    if (fd < 0)
        return fail(err, errno == ENOENT || errno == ENODEV || errno == EPERM ? ERR_UNAVAILABLE : ERR_INTERNAL,
                    "FastFile needs FUSE, and /dev/fuse cannot be opened: %s. Load the module fuse on the server, or "
                    "use File mode.", strerror(errno));
    snprintf(options, sizeof options, "fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other,default_permissions", fd);
    if (mount("sagebrush", folder, MOUNT_FUSE, MS_RDONLY | MS_NOSUID | MS_NODEV, options) < 0)
        return fail_errno(err, errno, "mount a FastFile channel at %s", folder);
    *ret_fd = fd;
    fd = -1;
    return 0;
}

static void reply(struct server *s, const struct fuse_in_header *in, int error, const void *data, size_t size)
{
    struct fuse_out_header out = { .len = (uint32_t)(sizeof out + size), .error = -error, .unique = in->unique };
    struct iovec parts[2] = { { &out, sizeof out }, { (void *)(uintptr_t)data, size } };

    /* ENOENT: the request was interrupted and nobody waits. */
    while (writev(s->fd, parts, 2) < 0 && errno == EINTR)
        ;
}

static void fail_request(struct server *s, const struct fuse_in_header *in, int error)
{
    reply(s, in, error, NULL, 0);
}

/* Node ids are entries from 1 on, as the root's is 1. */
static struct fuse_attr attributes(const struct server *s, uint32_t entry)
{
    const struct fast_entry *e = &s->tree->index->entries[entry];

    return (struct fuse_attr){ .ino = (uint64_t)entry + 1, .size = e->size_bytes, .blocks = (e->size_bytes + 511) / 512,
                               .atime = (uint64_t)s->tree->index->made_s, .mtime = (uint64_t)s->tree->index->made_s,
                               .ctime = (uint64_t)s->tree->index->made_s,
                               .mode = e->is_folder ? S_IFDIR | 0555 : S_IFREG | 0444, .nlink = e->is_folder ? 2 : 1,
                               .blksize = 1 << 17 };
}

static struct fuse_entry_out entry_of(const struct server *s, uint32_t entry)
{
    return (struct fuse_entry_out){ .nodeid = (uint64_t)entry + 1, .entry_valid = VALID_S, .attr_valid = VALID_S,
                                    .attr = attributes(s, entry) };
}

static void on_init(struct server *s, const struct fuse_in_header *in, const struct fuse_init_in *init)
{
    uint64_t offered = init->flags | (init->flags & FUSE_INIT_EXT ? (uint64_t)init->flags2 << 32 : 0);
    uint64_t wanted = FUSE_ASYNC_READ | FUSE_PARALLEL_DIROPS | FUSE_DO_READDIRPLUS | FUSE_READDIRPLUS_AUTO |
                      FUSE_MAX_PAGES | FUSE_NO_OPEN_SUPPORT | FUSE_NO_OPENDIR_SUPPORT | FUSE_INIT_EXT | HAS_RESEND;
    uint64_t flags = offered & wanted;
    struct fuse_init_out out = { .major = FUSE_KERNEL_VERSION, .minor = FUSE_KERNEL_MINOR_VERSION,
                                 .max_readahead = init->max_readahead, .flags = (uint32_t)flags,
                                 .flags2 = (uint32_t)(flags >> 32), .max_background = 64, .congestion_threshold = 48,
                                 .max_write = 4096, .time_gran = 1, .max_pages = READ_BYTES / 4096 };

    if (init->major != FUSE_KERNEL_VERSION)
        fail_request(s, in, EPROTO);
    else
        reply(s, in, 0, &out, sizeof out);
    s->tree->begun(s->tree->data);
}

static void on_lookup(struct server *s, const struct fuse_in_header *in, uint32_t folder, const char *name, size_t size)
{
    uint32_t found = fast_index_find(s->tree->index, folder, (struct str){ name, strnlen(name, size) });
    struct fuse_entry_out out = { .entry_valid = VALID_S }; /* no node: it is known not to be there */

    if (found != UINT32_MAX)
        out = entry_of(s, found);
    reply(s, in, 0, &out, sizeof out);
}

static void on_getattr(struct server *s, const struct fuse_in_header *in, uint32_t entry)
{
    struct fuse_attr_out out = { .attr_valid = VALID_S, .attr = attributes(s, entry) };

    reply(s, in, 0, &out, sizeof out);
}

static void on_read(struct server *s, const struct fuse_in_header *in, uint32_t entry, const struct fuse_read_in *q)
{
    int error = EIO;
    int64_t n;

    if (s->tree->index->entries[entry].is_folder || q->size > READ_BYTES) {
        fail_request(s, in, s->tree->index->entries[entry].is_folder ? EISDIR : EINVAL);
        return;
    }
    n = s->tree->read(s->tree->data, entry, (int64_t)q->offset, s->answer, q->size, &error);
    if (n < 0)
        fail_request(s, in, error);
    else
        reply(s, in, 0, s->answer, (size_t)n);
}

/* The offset of an entry is its number among "." and ".." and the children, plus one: where the next call goes on. */
static size_t put_entry(struct server *s, char *to, size_t room, bool plus, uint32_t entry, struct str name,
                        uint64_t offset)
{
    size_t before = plus ? sizeof(struct fuse_entry_out) : 0;
    size_t size = FUSE_DIRENT_ALIGN(before + FUSE_NAME_OFFSET + name.size);
    struct fuse_dirent *d = (struct fuse_dirent *)(void *)(to + before);
    struct fuse_entry_out out = { 0 };

    if (size > room)
        return 0;
    memset(to, 0, size);
    /* "." and ".." are not looked up by this. */
    if (plus && offset > 2)
        out = entry_of(s, entry);
    if (plus)
        memcpy(to, &out, sizeof out);
    *d = (struct fuse_dirent){ .ino = (uint64_t)entry + 1, .off = offset, .namelen = (uint32_t)name.size,
                               .type = s->tree->index->entries[entry].is_folder ? S_IFDIR >> 12 : S_IFREG >> 12 };
    memcpy(d->name, name.data, name.size);
    return size;
}

static void on_readdir(struct server *s, const struct fuse_in_header *in, uint32_t folder, const struct fuse_read_in *q,
                       bool plus)
{
    const struct fast_index *x = s->tree->index;
    const struct fast_entry *e = &x->entries[folder];
    size_t used = 0, room = q->size < READ_BYTES ? q->size : READ_BYTES, n = 1;

    for (uint64_t at = q->offset; n && at < (uint64_t)e->count + 2; at++) {
        uint32_t child = at == 0 ? folder : at == 1 ? e->parent : e->first + (uint32_t)(at - 2);
        struct str name = at == 0 ? STR(".") : at == 1 ? STR("..") : (struct str){ x->texts + x->entries[child].name,
                                                                                   x->entries[child].name_size };

        n = put_entry(s, s->answer + used, room - used, plus, child, name, at + 1);
        used += n;
    }
    reply(s, in, 0, s->answer, used);
}

static void on_statfs(struct server *s, const struct fuse_in_header *in)
{
    struct fuse_statfs_out out = { .st = { .bsize = 4096, .frsize = 4096, .namelen = 255,
                                           .files = s->tree->index->count } };

    reply(s, in, 0, &out, sizeof out);
}

/* What the kernel asks. What is not answered here is not there: it is told so once, and does not ask again. */
static void handle(struct server *s, size_t size)
{
    const struct fuse_in_header *in = (const struct fuse_in_header *)(const void *)s->request;
    const void *body = in + 1;
    size_t rest = size - sizeof *in;
    uint32_t entry = in->nodeid && in->nodeid <= s->tree->index->count ? (uint32_t)(in->nodeid - 1) : UINT32_MAX;

    switch (in->opcode) {
    case FUSE_INIT:
        on_init(s, in, body);
        return;
    case FUSE_FORGET:
    case FUSE_BATCH_FORGET:
    case FUSE_INTERRUPT: /* what is under way ends soon */
        return;
    case FUSE_STATFS:
        on_statfs(s, in);
        return;
    case FUSE_DESTROY:
        fail_request(s, in, 0);
        return;
    default:
        break;
    }
    if (entry == UINT32_MAX) {
        fail_request(s, in, ESTALE);
        return;
    }
    switch (in->opcode) {
    case FUSE_LOOKUP:
        on_lookup(s, in, entry, body, rest);
        break;
    case FUSE_GETATTR:
        on_getattr(s, in, entry);
        break;
    case FUSE_READ:
        on_read(s, in, entry, body);
        break;
    case FUSE_READDIR:
    case FUSE_READDIRPLUS:
        on_readdir(s, in, entry, body, in->opcode == FUSE_READDIRPLUS);
        break;
    default:
        fail_request(s, in, ENOSYS);
    }
}

void fuse_serve(int fd, const struct fuse_tree *tree, bool first)
{
    struct server s = { .fd = fd, .tree = tree, .request = malloc(REQUEST_BYTES), .answer = malloc(READ_BYTES) };
    struct fuse_out_header resend = { .len = sizeof resend, .error = NOTIFY_RESEND };

    assert(s.request && s.answer);
    /* An older kernel refuses it: then what was being read when the other server died stays without an answer. */
    if (first && write(fd, &resend, sizeof resend) < 0)
        assert(errno != EFAULT);
    for (;;) {
        ssize_t n = read(fd, s.request, REQUEST_BYTES);

        if (n >= (ssize_t)sizeof(struct fuse_in_header))
            handle(&s, (size_t)n);
        else if (n < 0 && errno != EINTR && errno != EAGAIN && errno != ENOENT)
            break; /* ENODEV: unmounted */
    }
    free(s.request);
    free(s.answer);
}
