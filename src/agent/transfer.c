/* transfer.c - the input before the container starts, models, and the results after it. */
#include "agent/transfer.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "agent/channel.h"
#include "agent/fastfile.h"
#include "agent/fetch.h"
#include "agent/measure.h"
#include "agent/pipe.h"
#include "agent/s3.h"
#include "agent/walk.h"
#include "base/fd.h"
#include "run/archive.h"

static int add_channel(const struct transfer *t, struct s3 *s3, struct arena *a, struct fetch *f,
                       const struct channel *c, int64_t *bytes, struct err *err)
{
    const char *folder = arena_printf(a, "%s/%s", t->ml, c->files);
    struct channel_object *objects;
    uint32_t *order;
    size_t count;

    if (channel_objects(t, s3, a, c, &objects, &count, err) < 0)
        return -1;
    order = arena_array_of(a, uint32_t, count);
    count = channel_share(c, 0, order, count);
    if (measure_objects(t, s3, c, objects, order, count, err) < 0)
        return -1;
    for (size_t i = 0; i < count; i++) {
        const struct channel_object *o = &objects[order[i]];

        *bytes += o->size_bytes;
        if (*o->local && fetch_add(a, f, o->bucket, o->key, o->size_bytes, arena_printf(a, "%s/%s", folder, o->local),
                                   err) < 0)
            return -1;
    }
    return 0;
}

int transfer_channels(const struct transfer *t, struct err *err)
{
    _cleanup_arena_ struct arena *a = arena_new();
    struct fetch f = { .transfer = t };
    int64_t bytes = 0;
    struct s3 *s3;
    int r = 0;

    if (list_count(t->order->channels) == 0)
        return 0;
    s3 = fetch_client(t);
    for (size_t i = 0; r == 0 && i < list_count(t->order->channels); i++) {
        struct channel c;

        r = channel_read(a, t->order, t->order->channels->items[i], &c, err);
        if (r == 0 && (c.mode == CHANNEL_FAST || c.mode == CHANNEL_FOLDER) && strcmp(t->order->runtime, "process") == 0)
            r = fail(err, ERR_INVALID, "channel %s: the runtime \"process\" has no mounts; use File or Pipe mode",
                     c.name);
        if (r == 0 && c.mode == CHANNEL_FILE)
            r = add_channel(t, s3, a, &f, &c, &bytes, err);
        else if (r == 0 && c.mode == CHANNEL_PIPE)
            r = pipe_prepare(t, s3, &c, err);
        else if (r == 0 && c.mode == CHANNEL_FAST)
            r = fastfile_prepare(t, s3, &c, err);
    }
    if (r == 0)
        r = channel_check_room(t, bytes, err);
    s3_free(s3);
    return r < 0 ? -1 : fetch_all(&f, err);
}

/* --- Where results and checkpoints go --- */

static int check_target(const struct transfer *t, struct s3 *s3, const char *uri, const char *key, const char *field,
                        struct err *err)
{
    _cleanup_arena_ struct arena *a = arena_new();
    const char *bucket, *prefix;

    if (s3_uri(a, uri, &bucket, &prefix, err) < 0)
        return -1;
    key = arena_printf(a, "%s%s%s", prefix, *prefix && !text_ends(prefix, "/") ? "/" : "", key);
    if (s3_may_put(s3, bucket, key, err) == 0)
        return 0;
    if (err->kind == ERR_NOT_FOUND)
        return fail(err, ERR_NOT_FOUND,
                    "The bucket \"%s\" of %s does not exist in region %s. Create it, or name another.", bucket, field,
                    t->order->region);
    if (err->kind == ERR_DENIED)
        return fail(err, ERR_DENIED,
                    "The role \"%s\" may not write below %s, which %s names. Allow it s3:PutObject on "
                    "arn:aws:s3:::%s/*.",
                    t->order->role_arn, uri, field, bucket);
    return -1;
}

int transfer_check_targets(const struct transfer *t, struct err *err)
{
    struct s3 *s3;
    int r = 0;

    if (!*t->order->output_s3_uri && !*t->order->checkpoint_s3_uri && !list_count(t->order->outputs))
        return 0;
    s3 = fetch_client(t);
    if (*t->order->output_s3_uri)
        r = check_target(t, s3, t->order->output_s3_uri,
                         strcmp(t->order->output_compression, "NONE") == 0 ? "output/model/" : "output/model.tar.gz",
                         "OutputDataConfig.S3OutputPath", err);
    /* Any name below it would do; this one no checkpoint can have. */
    if (r == 0 && *t->order->checkpoint_s3_uri)
        r = check_target(t, s3, t->order->checkpoint_s3_uri, ".sagemaker-ignore", "CheckpointConfig.S3Uri", err);
    for (size_t i = 0; r == 0 && i < list_count(t->order->outputs); i++)
        r = check_target(t, s3, doc_text(t->order->outputs->items[i], "s3_uri"), ".sagemaker-ignore",
                         order_processes(t->order) ? "an output's S3Uri" : "TensorBoardOutputConfig.S3OutputPath", err);
    s3_free(s3);
    return r;
}

/* --- Models --- */

static int get_model_tree(const struct transfer *t, struct arena *a, const char *uri, const char *bucket,
                          const char *prefix, const char *folder, struct err *err)
{
    const struct channel c = { .name = "model", .uri = uri, .bucket = bucket, .prefix = prefix, .hosts = 1 };
    struct fetch f = { .transfer = t };
    struct channel_object *objects;
    struct s3 *s3 = fetch_client(t);
    int64_t bytes = 0;
    size_t count;
    int r = channel_objects(t, s3, a, &c, &objects, &count, err);

    s3_free(s3);
    for (size_t i = 0; r == 0 && i < count; i++) {
        bytes += objects[i].size_bytes;
        if (*objects[i].local)
            r = fetch_add(a, &f, bucket, objects[i].key, objects[i].size_bytes,
                          arena_printf(a, "%s/%s", folder, objects[i].local), err);
    }
    return r < 0 || channel_check_room(t, bytes, err) < 0 ? -1 : fetch_all(&f, err);
}

/* Asked for its size first: what is too big is not begun. In one piece: it may be replaced meanwhile. */
static int get_model_object(const struct transfer *t, struct arena *a, const char *bucket, const char *key,
                            const char *path, struct err *err)
{
    _cleanup_buf_ struct buf first = { 0 };
    struct fetch f = { .transfer = t };
    struct s3 *s3 = fetch_client(t);
    int64_t size = 0;
    int r = s3_get_range(s3, bucket, key, 0, 1, &first, &size, err);

    s3_free(s3);
    if (r < 0 || channel_check_room(t, size, err) < 0)
        return -1;
    fetch_add_piece(a, &f, &(struct fetch_piece){ bucket, key, path, 0, -1 });
    return fetch_all(&f, err);
}

/* To be unpacked: *ret_archive. */
static int get_model(const struct transfer *t, struct arena *a, const struct doc *d, size_t place,
                     const char **ret_archive, const char **ret_folder, struct err *err)
{
    const char *uri = doc_text(d, "s3_uri"), *at = doc_text_or(d, "path", "/opt/ml/model"), *bucket, *key, *folder;
    const char *file = arena_printf(a, "%s/model-%zu.tar.gz", t->folder, place);

    *ret_archive = NULL;
    if (!text_starts(at, "/opt/ml/") || strstr(at, ".."))
        return fail(err, ERR_INVALID, "the model's path %s is not below /opt/ml", at);
    *ret_folder = folder = arena_printf(a, "%s/%s", t->ml, at + strlen("/opt/ml/"));
    if (s3_uri(a, uri, &bucket, &key, err) < 0 || folder_make(folder, 0755, err) < 0)
        return -1;
    if (doc_bool(d, "prefix", false))
        return get_model_tree(t, a, uri, bucket, key, folder, err);
    if (!doc_bool(d, "compressed", true)) {
        const char *slash = strrchr(key, '/');

        return get_model_object(t, a, bucket, key, arena_printf(a, "%s/%s", folder, slash ? slash + 1 : key), err);
    }
    *ret_archive = file;
    if (unlink(file) < 0 && errno != ENOENT)
        return fail_errno(err, errno, "remove %s", file);
    return get_model_object(t, a, bucket, key, file, err);
}

/* S3's own messages are whole sentences; ours, and what is wrapped around both, are not. */
static int without_stop(const char *text)
{
    size_t size = strlen(text);

    return (int)(size > 0 && text[size - 1] == '.' ? size - 1 : size);
}

/* AWS's words, with ours for the cause in the middle. What is no fault of the user's stays as it is; what is too large
 * is there, and a fine archive. */
static int model_failed(const char *what, const char *please, struct err *err)
{
    if (err->kind == ERR_CONFLICT || err->kind == ERR_INTERNAL)
        return -1;
    if (err->kind == ERR_LIMIT)
        return fail(err, ERR_LIMIT, "%s: %.*s.", what, without_stop(err->text), err->text);
    return fail(err, err->kind, "%s: %.*s. Please ensure that %s.", what, without_stop(err->text), err->text, please);
}

static int unpack_model(const struct transfer *t, const char *archive, const char *folder, struct err *err)
{
    const struct archive_limits limits = { .bytes = t->order->disk_bytes };

    if (archive_unpack(archive, folder, ARCHIVE_DATA, &limits, err) == 0)
        return 0;
    return err->kind == ERR_LIMIT
               ? fail(err, ERR_LIMIT, "%s. %s, or put less into the archive", err->text, order_more_disk(t->order))
               : -1;
}

static int bring_model(const struct transfer *t, struct arena *a, const struct doc *d, size_t place, struct err *err)
{
    const char *archive, *folder;
    int r = 0;

    if (get_model(t, a, d, place, &archive, &folder, err) < 0)
        r = model_failed("Failed to download model data",
                         "there is an object located at the URL and that the role passed to CreateModel has "
                         "permissions to download the model", err);
    else if (archive && unpack_model(t, archive, folder, err) < 0)
        r = model_failed(arena_printf(a, "Failed to extract model data archive from URL \"%s\"", doc_text(d, "s3_uri")),
                         "the object located at the URL is a valid tar.gz archive", err);
    if (archive)
        unlink(archive);
    return r;
}

int transfer_models(const struct transfer *t, struct err *err)
{
    _cleanup_arena_ struct arena *a = arena_new();

    for (size_t i = 0; i < list_count(t->order->models); i++)
        if (bring_model(t, a, t->order->models->items[i], i, err) < 0)
            return -1;
    return 0;
}

/* --- Results --- */

static bool folder_is_empty(const char *path)
{
    DIR *folder = opendir(path);
    struct dirent *entry;
    bool empty = true;

    while (folder && empty && (entry = readdir(folder)) != NULL)
        empty = strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0;
    if (folder)
        closedir(folder);
    return empty;
}

struct put_tree {
    struct s3 *s3;
    struct arena *arena;
    const char *bucket, *prefix;
};

static int put_one(void *context, int folder, const char *name, const char *path, const struct stat *st,
                   struct err *err)
{
    struct put_tree *p = context;
    _cleanup_fd_ int fd = openat(folder, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);

    if (fd < 0)
        return fail_errno(err, errno, "open %s", path);
    return s3_put(p->s3, p->bucket, arena_printf(p->arena, "%s%s", p->prefix, path), fd, NULL, err);
}

static int put_tree(struct s3 *s3, struct arena *a, const char *bucket, const char *prefix, const char *root,
                    struct err *err)
{
    _cleanup_fd_ int fd = open(root, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    struct put_tree p = { s3, a, bucket, prefix };

    if (fd < 0)
        return fail_errno(err, errno, "open %s", root);
    return walk(a, fd, &(struct walk){ .file = put_one, .context = &p }, err);
}

static int put_archive(const struct transfer *t, struct s3 *s3, struct arena *a, const char *bucket, const char *key,
                       const char *root, struct err *err)
{
    const char *file = arena_printf(a, "%s/upload.tar.gz", t->folder);
    _cleanup_fd_ int fd = -1;
    int r = archive_pack(root, file, t->cancel_fd, NULL, err);

    if (r == 0) {
        fd = open(file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        r = fd < 0 ? fail_errno(err, errno, "open %s", file) : s3_put(s3, bucket, key, fd, NULL, err);
    }
    unlink(file);
    return r;
}

static int add_size(void *context, int folder, const char *name, const char *path, const struct stat *st,
                    struct err *err)
{
    *(int64_t *)context += st->st_size;
    return 0;
}

/* A hole takes nothing of the volume, but is bytes like others in an archive and in S3. */
static int check_size(const struct transfer *t, struct arena *a, const char *root, struct err *err)
{
    _cleanup_fd_ int fd = open(root, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    int64_t bytes = 0;

    if (fd < 0)
        return fail_errno(err, errno, "open %s", root);
    if (walk(a, fd, &(struct walk){ .file = add_size, .context = &bytes }, err) < 0)
        return -1;
    if (!t->order->disk_bytes || bytes <= t->order->disk_bytes)
        return 0;
    return fail(err, ERR_LIMIT,
                "the files in %s have %.2f GiB, with the holes in them, and the volume %.0f GiB. %s, or "
                "write smaller files.",
                text_ends(root, "/model") ? "/opt/ml/model" : "/opt/ml/output/data", (double)bytes / (1 << 30),
                (double)t->order->disk_bytes / (1 << 30), order_more_disk(t->order));
}

int transfer_results(const struct transfer *t, struct arena *arena, bool with_model, const char **ret_model,
                     struct err *err)
{
    _cleanup_arena_ struct arena *a = arena_new();
    const char *bucket, *prefix, *model = arena_printf(a, "%s/model", t->ml),
                                 *data = arena_printf(a, "%s/output/data", t->ml);
    bool plain = strcmp(t->order->output_compression, "NONE") == 0;
    struct s3 *s3;
    int r = 0;

    *ret_model = "";
    if (!*t->order->output_s3_uri)
        return 0;
    if (s3_uri(a, t->order->output_s3_uri, &bucket, &prefix, err) < 0)
        return -1;
    if ((with_model && check_size(t, a, model, err) < 0) || check_size(t, a, data, err) < 0)
        return -1;
    prefix = arena_printf(a, "%s%soutput/", prefix, *prefix && prefix[strlen(prefix) - 1] != '/' ? "/" : "");
    s3 = fetch_client(t);
    if (with_model && plain)
        r = put_tree(s3, a, bucket, arena_printf(a, "%smodel/", prefix), model, err);
    else if (with_model)
        r = put_archive(t, s3, a, bucket, arena_printf(a, "%smodel.tar.gz", prefix), model, err);
    if (r == 0 && !folder_is_empty(data))
        r = plain ? put_tree(s3, a, bucket, arena_printf(a, "%sdata/", prefix), data, err)
                  : put_archive(t, s3, a, bucket, arena_printf(a, "%soutput.tar.gz", prefix), data, err);
    s3_free(s3);
    if (r == 0 && with_model)
        *ret_model = arena_printf(arena, "s3://%s/%s%s", bucket, prefix, plain ? "model/" : "model.tar.gz");
    return r;
}
