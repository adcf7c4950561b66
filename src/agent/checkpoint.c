/* checkpoint.c - a folder of the job's that is restored from S3 and kept there while the job runs. */
#include "agent/checkpoint.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "agent/fetch.h"
#include "agent/walk.h"
#include "base/fd.h"
#include "run/folder.h"

static const char *checkpoint_folder(struct arena *a, const struct transfer *t)
{
    return arena_printf(a, "%s/checkpoints", t->ml);
}

/* Earlier attempts' checkpoints; none is fine. */
static int list_checkpoints(const struct transfer *t, struct s3 *s3, struct arena *a, struct fetch *f, struct err *err)
{
    const char *bucket, *prefix, *folder = checkpoint_folder(a, t);
    struct s3_object *objects;
    int count;

    if (s3_uri(a, t->order->checkpoint_s3_uri, &bucket, &prefix, err) < 0)
        return -1;
    /* A folder, never the start of another one's name. */
    if (*prefix && prefix[strlen(prefix) - 1] != '/')
        prefix = arena_printf(a, "%s/", prefix);
    if (s3_list(s3, a, bucket, prefix, FETCH_OBJECTS_MAX, &objects, &count, err) < 0)
        return -1;
    for (int i = 0; i < count; i++) {
        const char *local = fetch_local_path(a, prefix, objects[i].key);

        if (local && *local &&
            fetch_add(a, f, bucket, objects[i].key, objects[i].size_bytes, arena_printf(a, "%s/%s", folder, local),
                       err) < 0)
            return -1;
    }
    return 0;
}

#define CHECKPOINTS_FILE "checkpoints.json"

struct sync {
    const struct transfer *transfer;
    struct arena *arena;
    struct s3 *s3; /* NULL: only note what is there */
    const char *bucket, *prefix;
    const struct doc *before;
    struct doc *now;
    bool closing;
    int64_t now_ms;
};

static int sync_one(void *context, int folder, const char *name, const char *path, const struct stat *st,
                    struct err *err)
{
    struct sync *s = context;
    const char *mark = arena_printf(s->arena, "%lld %lld.%09ld", (long long)st->st_size, (long long)st->st_mtim.tv_sec,
                                    st->st_mtim.tv_nsec);
    int64_t age_ms = s->now_ms - ((int64_t)st->st_mtim.tv_sec * 1000 + st->st_mtim.tv_nsec / 1000000);
    const char *known = doc_value_text(doc_get(s->before, path));

    if (text_ends(path, ".sagemaker-ignore") || strstr(path, ".sagemaker-ignore/") ||
        text_ends(path, ".sagemaker-uploading") || text_ends(path, ".sagemaker-uploaded"))
        return 0;
    /* A file that still grows is left alone until it has been quiet for a second, or the job is over. */
    if (strcmp(known, mark) == 0 || (s->s3 && !s->closing && age_ms < 1000)) {
        if (*known)
            doc_set_string(s->arena, s->now, path, known);
        return 0;
    }
    if (s->s3) {
        /* The job runs meanwhile, and could put a link in any place of a path: only descriptors are followed. */
        _cleanup_fd_ int fd = openat(folder, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);

        /* Removed by the job in between: the next pass sees how it is then. */
        if (fd < 0)
            return 0;
        if (s3_put(s->s3, s->bucket, arena_printf(s->arena, "%s%s", s->prefix, path), fd, err) < 0)
            return -1;
    }
    doc_set_string(s->arena, s->now, path, mark);
    return 0;
}

static int sync_checkpoints(const struct transfer *t, struct s3 *s3, struct arena *a, const char *root, bool closing,
                            struct err *err)
{
    _cleanup_fd_ int fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct sync s = { .transfer = t, .arena = a, .s3 = s3, .now = doc_map(a), .closing = closing,
                      .now_ms = clock_wall_ms(t->clock) };
    int r;

    if (fd < 0)
        return errno == ENOENT ? 0 : fail_errno(err, errno, "open %s", root);
    if (s3_uri(a, t->order->checkpoint_s3_uri, &s.bucket, &s.prefix, err) < 0 ||
        folder_read(a, t->folder, CHECKPOINTS_FILE, &s.before, err) < 0)
        return -1;
    if (*s.prefix && s.prefix[strlen(s.prefix) - 1] != '/')
        s.prefix = arena_printf(a, "%s/", s.prefix);
    r = walk(a, fd, &(struct walk){ .file = sync_one, .context = &s }, err);
    if ((s.before && doc_equal(s.before, s.now)) ||
        folder_write(a, t->folder, CHECKPOINTS_FILE, s.now, false, err) == 0)
        return r;
    return -1;
}

int checkpoint_restore(const struct transfer *t, struct err *err)
{
    _cleanup_arena_ struct arena *a = arena_new();
    struct fetch f = { .transfer = t };
    struct s3 *s3;
    int r;

    if (!*t->order->checkpoint_s3_uri)
        return 0;
    s3 = fetch_client(t);
    r = list_checkpoints(t, s3, a, &f, err);
    s3_free(s3);
    if (r < 0 || fetch_all(&f, err) < 0)
        return -1;
    /* What was there at the start need not be uploaded again. */
    return sync_checkpoints(t, NULL, a, checkpoint_folder(a, t), false, err);
}

int checkpoint_sync(const struct transfer *t, const char *local, bool closing, struct err *err)
{
    _cleanup_arena_ struct arena *a = arena_new();
    struct s3 *s3;
    int r;

    if (!*t->order->checkpoint_s3_uri)
        return 0;
    s3 = fetch_client(t);
    r = sync_checkpoints(t, s3, a, local, closing, err);
    s3_free(s3);
    return r;
}
