/* pipe.c - one thread writes what the stream has; a FIFO belongs to a folder that the job may change as it likes. */
#include "agent/pipe.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "agent/fetch.h"
#include "agent/inflate.h"
#include "agent/recordio.h"
#include "agent/stream.h"
#include "base/fd.h"
#include "run/folder.h"

enum { PIPE_BYTES = 1 << 20, CLOSED = -2 };

static int data_folder(const struct transfer *t, struct err *err)
{
    const struct open_how how = { .flags = O_PATH | O_DIRECTORY | O_CLOEXEC,
                                  .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS };
    _cleanup_fd_ int ml = open(t->ml, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    int fd = ml < 0 ? -1 : (int)syscall(SYS_openat2, ml, "input/data", &how, sizeof how);

    return fd < 0 ? fail_errno(err, errno, "open %s/input/data", t->ml) : fd;
}

static int make_fifo(int folder, const char *name, struct err *err)
{
    struct stat st;

    if (fstatat(folder, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISFIFO(st.st_mode))
        return 0;
    unlinkat(folder, name, 0);
    /* For everybody to read. Its mode is as it is made: a chmod would follow the link that the job puts there. */
    return mkfifoat(folder, name, 0644) < 0 ? fail_errno(err, errno, "make the pipe %s", name) : 0;
}

/* Waits for who reads. What the job has put into its place is not opened. */
static int open_fifo(int folder, const char *name, struct err *err)
{
    char path[64];
    _cleanup_fd_ int place = openat(folder, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    struct stat st;
    int fd;

    if (place < 0 || fstat(place, &st) < 0 || !S_ISFIFO(st.st_mode))
        return fail(err, ERR_INVALID, "the job has removed its pipe %s", name);
    snprintf(path, sizeof path, "/proc/self/fd/%d", place);
    do
        fd = open(path, O_WRONLY | O_CLOEXEC);
    while (fd < 0 && errno == EINTR);
    if (fd < 0)
        return fail_errno(err, errno, "open the pipe %s", name);
    fcntl(fd, F_SETPIPE_SZ, PIPE_BYTES);
    return fd;
}

int pipe_prepare(const struct transfer *t, struct s3 *s3, const struct channel *c, struct err *err)
{
    _cleanup_arena_ struct arena *a = arena_new();
    _cleanup_fd_ int folder = data_folder(t, err);
    struct stream_source source;

    if (folder < 0 || stream_source_read(t, s3, a, c, &source, err) < 0)
        return -1;
    return make_fifo(folder, arena_printf(a, "%s_0", c->name), err);
}

/* --- What was read, to the FIFO --- */

struct writer {
    const struct channel *channel;
    int fd;
    struct inflate *inflate;
    struct buf record; /* what becomes one */
};

/* CLOSED: the reader has had enough. */
static int write_fifo(int fd, struct str bytes, struct err *err)
{
    while (bytes.size) {
        ssize_t n = write(fd, bytes.data, bytes.size);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno == EPIPE ? CLOSED : fail_errno(err, errno, "write to the pipe");
        bytes.data += n;
        bytes.size -= (size_t)n;
    }
    return 0;
}

static int take_plain(void *data, struct str bytes, struct err *err)
{
    struct writer *w = data;

    if (!w->channel->records)
        return write_fifo(w->fd, bytes, err);
    if (w->record.size + bytes.size > RECORDIO_MAX_BYTES)
        return fail(err, ERR_LIMIT, "it does not fit into a RecordIO record, which has at most %d bytes",
                    RECORDIO_MAX_BYTES);
    buf_append(&w->record, bytes.data, bytes.size);
    return 0;
}

static int end_object(struct writer *w, struct err *err)
{
    _cleanup_buf_ struct buf framed = { 0 };

    if (w->inflate && inflate_end(w->inflate, err) < 0)
        return -1;
    if (!w->channel->records)
        return 0;
    recordio_wrap(&framed, (struct str){ w->record.data, w->record.size });
    buf_clear(&w->record);
    return write_fifo(w->fd, (struct str){ framed.data, framed.size }, err);
}

static int take_piece(void *data, const struct stream_piece *piece, struct err *err)
{
    struct writer *w = data;
    struct str bytes = { piece->data.data, piece->data.size };
    int r;

    if (piece->first && w->inflate) {
        inflate_free(w->inflate);
        w->inflate = inflate_new();
    }
    /* Attributes that are values, not objects, are not compressed. */
    r = w->inflate && !piece->value ? inflate_feed(w->inflate, bytes, take_plain, w, err) : take_plain(w, bytes, err);
    if (r == 0 && piece->last)
        r = end_object(w, err);
    if (r == -1)
        return fail(err, err->kind, "%s: %s", piece->name, err->text);
    return r;
}

/* --- Epochs --- */

static int note(const struct transfer *t, const struct channel *c, int64_t epoch, bool open, struct err *err)
{
    _cleanup_arena_ struct arena *a = arena_new();
    struct doc *d = doc_map(a);

    doc_set_integer(a, d, "epoch", epoch);
    doc_set_boolean(a, d, "open", open);
    return folder_write(a, t->folder, arena_printf(a, "pipe-%s.json", c->name), d, false, err);
}

static int serve_epoch(const struct transfer *t, struct s3 *s3, const struct channel *c, int folder,
                       const struct stream_source *source, int64_t epoch, struct err *err)
{
    char name[128];
    struct writer w = { .channel = c };
    int r;

    snprintf(name, sizeof name, "%s_%lld", c->name, (long long)epoch);
    if (make_fifo(folder, name, err) < 0 || (w.fd = open_fifo(folder, name, err)) < 0)
        return -1;
    if (note(t, c, epoch, true, err) < 0)
        return -1;
    w.inflate = c->gzip ? inflate_new() : NULL;
    r = stream_run(t, s3, c, source, (uint64_t)epoch, take_piece, &w, err);
    inflate_free(w.inflate);
    buf_free(&w.record);
    /* Open, so that the reader waits until the job is ended. */
    if (r == -1)
        return -1;
    unlinkat(folder, name, 0);
    r = note(t, c, epoch + 1, false, err);
    close(w.fd);
    return r;
}

int pipe_serve(const struct transfer *t, const struct channel *c, struct err *err)
{
    _cleanup_arena_ struct arena *a = arena_new();
    _cleanup_fd_ int folder = data_folder(t, err);
    struct stream_source source;
    const struct doc *before;
    struct s3 *s3;
    int r;

    if (folder < 0 || folder_read(a, t->folder, arena_printf(a, "pipe-%s.json", c->name), &before, err) < 0)
        return -1;
    if (doc_bool(before, "open", false))
        return fail(err, ERR_INTERNAL, "channel %s: what fills its pipe was killed while the job read from it",
                    c->name);
    s3 = fetch_client(t);
    r = stream_source_read(t, s3, a, c, &source, err);
    for (int64_t epoch = doc_int(before, "epoch", 0); r == 0; epoch++)
        r = serve_epoch(t, s3, c, folder, &source, epoch, err);
    s3_free(s3);
    return r;
}
