/* outputs.c - of an output that cannot be put, the others are put all the same: they are what is left of the job. */
#include "agent/outputs.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

#include "agent/fetch.h"
#include "agent/s3.h"
#include "agent/syncer.h"
#include "agent/walk.h"
#include "base/fd.h"

enum { OUTPUTS_MAX = 10 };

struct outputs {
    struct transfer transfer;
    struct syncer *syncers[OUTPUTS_MAX]; /* NULL: it goes at the end */
    size_t count;
};

static const struct doc *output_at(const struct outputs *o, size_t i)
{
    return o->transfer.order->outputs->items[i];
}

static int begin_continuous(struct outputs *o, size_t i, struct err *err)
{
    _cleanup_arena_ struct arena *a = arena_new();
    const char *book = arena_printf(a, "%s/output-%zu", o->transfer.folder, i);

    if (folder_make(book, 0700, err) < 0)
        return -1;
    return syncer_of_output(&o->transfer, doc_text(output_at(o, i), "s3_uri"), order_local_path(output_at(o, i)), book,
                            &o->syncers[i], err);
}

int outputs_new(const struct transfer *t, struct outputs **ret, struct err *err)
{
    struct outputs *o = calloc(1, sizeof *o);

    assert(o);
    o->transfer = *t;
    o->count = list_count(t->order->outputs);
    if (o->count > OUTPUTS_MAX) {
        free(o);
        return fail(err, ERR_INVALID, "the order has more than %d outputs", OUTPUTS_MAX);
    }
    for (size_t i = 0; i < o->count; i++)
        if (doc_is(output_at(o, i), "upload_mode", "Continuous") && begin_continuous(o, i, err) < 0) {
            outputs_free(o);
            return -1;
        }
    *ret = o;
    return 0;
}

void outputs_free(struct outputs *o)
{
    for (size_t i = 0; o && i < o->count; i++)
        syncer_free(o->syncers[i]);
    free(o);
}

void outputs_run(struct outputs *o)
{
    for (size_t i = 0; i < o->count; i++)
        if (o->syncers[i])
            syncer_run(o->syncers[i]);
}

void outputs_hurry(struct outputs *o)
{
    for (size_t i = 0; i < o->count; i++)
        if (o->syncers[i])
            syncer_hurry(o->syncers[i]);
}

/* --- At the end --- */

struct put {
    struct s3 *s3;
    struct arena *arena;
    const char *bucket, *prefix;
};

static int put_file(void *context, int folder, const char *name, const char *path, const struct stat *st,
                    struct err *err)
{
    struct put *p = context;
    _cleanup_fd_ int fd = openat(folder, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);

    if (fd < 0)
        return fail_errno(err, errno, "open %s", path);
    return s3_put(p->s3, p->bucket, arena_printf(p->arena, "%s%s", p->prefix, path), fd, NULL, err);
}

/* A folder that the job has removed, or made a link of, has nothing in it. */
static int put_folder(const struct transfer *t, const struct doc *output, struct err *err)
{
    _cleanup_arena_ struct arena *a = arena_new();
    _cleanup_fd_ int ml = open(t->ml, O_PATH | O_DIRECTORY | O_CLOEXEC), root = -1;
    struct put p = { .arena = a };
    int r;

    if (ml < 0)
        return fail_errno(err, errno, "open %s", t->ml);
    root = walk_open(ml, order_local_path(output), O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    if (root < 0 && (errno == ENOENT || errno == ENOTDIR || errno == ELOOP))
        return 0;
    if (root < 0)
        return fail_errno(err, errno, "open %s", doc_text(output, "local_path"));
    if (s3_uri(a, doc_text(output, "s3_uri"), &p.bucket, &p.prefix, err) < 0)
        return -1;
    if (*p.prefix && !text_ends(p.prefix, "/"))
        p.prefix = arena_printf(a, "%s/", p.prefix);
    p.s3 = fetch_client(t);
    r = walk(a, root, &(struct walk){ .file = put_file, .context = &p }, err);
    s3_free(p.s3);
    return r;
}

static int finish_one(struct outputs *o, size_t i, int cancel_fd, struct err *err)
{
    struct transfer t = o->transfer;
    struct err why = { 0 };

    t.cancel_fd = cancel_fd;
    /* What a killed job was writing goes, too: half of an output is more than nothing. */
    if ((o->syncers[i] ? syncer_finish(o->syncers[i], CHECKPOINT_ENDED, cancel_fd, &why)
                       : put_folder(&t, output_at(o, i), &why)) == 0)
        return 0;
    return fail(err, why.kind, "%s: %s: %s", doc_text(output_at(o, i), "name"), doc_text(output_at(o, i), "s3_uri"),
                why.text);
}

int outputs_finish(struct outputs *o, int cancel_fd, struct err *err)
{
    int r = 0;

    for (size_t i = 0; i < o->count; i++) {
        struct err why = { 0 };

        if (finish_one(o, i, cancel_fd, &why) == 0)
            continue;
        if (r == 0)
            *err = why;
        r = -1;
        if (why.kind == ERR_CONFLICT)
            break;
    }
    return r;
}
