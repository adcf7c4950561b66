/* transfer.c - objects are cut into ranges, and a few threads fetch them: one big file comes as fast as many small. */
#include "agent/transfer.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "agent/s3.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/map.h"
#include "doc/json.h"
#include "run/archive.h"
#include "run/folder.h"

enum { THREADS = 4, RANGE_BYTES = 32 << 20, OBJECTS_MAX = 1000000 };

static struct s3 *client(const struct transfer *t)
{
    return s3_new(&(struct s3_options){ .socket_path = t->order->api_socket, .region = t->order->region,
                                        .access_key_id = t->order->access_key_id,
                                        .secret_access_key = t->order->secret_access_key,
                                        .session_token = t->order->session_token, .clock = t->clock,
                                        .cancel_fd = t->cancel_fd });
}

/* --- Fetching a list of objects --- */

struct piece {
    const char *bucket, *key, *path;
    int64_t offset, size; /* size -1: the whole object, whatever its size */
};

struct fetch {
    const struct transfer *transfer;
    struct piece *pieces;
    int count, room;
    pthread_mutex_t lock;
    int next;
    bool failed;
    struct err err;
};

static void add_piece(struct arena *a, struct fetch *f, const struct piece *p)
{
    if (f->count == f->room) {
        int room = f->room ? f->room * 2 : 64;
        struct piece *more = arena_array_of(a, struct piece, (size_t)room);

        if (f->count)
            memcpy(more, f->pieces, sizeof *more * (size_t)f->count);
        f->pieces = more;
        f->room = room;
    }
    f->pieces[f->count++] = *p;
}

static int fetch_piece(struct s3 *s3, const struct piece *p, struct err *err)
{
    _cleanup_fd_ int fd = open(p->path, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0644);
    int64_t got;

    if (fd < 0)
        return fail_errno(err, errno, "create %s", p->path);
    if (p->size == 0)
        return 0;
    if (s3_get(s3, p->bucket, p->key, fd, p->offset, p->size, &got, err) < 0)
        return -1;
    if (p->size > 0 && got != p->size)
        return fail(err, ERR_INVALID, "s3://%s/%s changed while it was downloaded", p->bucket, p->key);
    return 0;
}

static void *fetch_thread(void *data)
{
    struct fetch *f = data;
    struct s3 *s3 = client(f->transfer);

    for (;;) {
        struct err err = { 0 };
        const struct piece *p;

        pthread_mutex_lock(&f->lock);
        p = f->failed || f->next == f->count ? NULL : &f->pieces[f->next++];
        pthread_mutex_unlock(&f->lock);
        if (!p)
            break;
        if (fetch_piece(s3, p, &err) < 0) {
            pthread_mutex_lock(&f->lock);
            if (!f->failed)
                f->err = err;
            f->failed = true;
            pthread_mutex_unlock(&f->lock);
        }
    }
    s3_free(s3);
    return NULL;
}

static int fetch_all(struct fetch *f, struct err *err)
{
    pthread_t threads[THREADS];
    int started = 0;

    pthread_mutex_init(&f->lock, NULL);
    /* One piece needs no thread of its own; this one takes part. */
    while (started < THREADS - 1 && started + 1 < f->count &&
           pthread_create(&threads[started], NULL, fetch_thread, f) == 0)
        started++;
    fetch_thread(f);
    while (started > 0)
        pthread_join(threads[--started], NULL);
    pthread_mutex_destroy(&f->lock);
    if (f->failed) {
        *err = f->err;
        return -1;
    }
    return 0;
}

const char *transfer_local_path(struct arena *a, const char *prefix, const char *key)
{
    size_t size = strlen(prefix);
    const char *slash = strrchr(prefix, '/'), *path;

    if (strncmp(key, prefix, size) != 0)
        return NULL;
    if (size && (prefix[size - 1] == '/' || key[size] == '/'))
        path = key + size; /* the prefix names a folder */
    else
        path = key + (slash ? slash - prefix + 1 : 0); /* an object, or the start of a name */
    while (*path == '/')
        path++;
    for (const char *p = path; *p;) {
        size_t part = strcspn(p, "/");

        if (part == 0 || part > 255 || (part == 1 && p[0] == '.') || (part == 2 && p[0] == '.' && p[1] == '.'))
            return NULL;
        p += part;
        if (p[0] == '/' && p[1] == '\0')
            break; /* a folder's own object */
        p += *p == '/';
    }
    return arena_strdup(a, path);
}

static int make_parents(struct arena *a, const char *path, struct err *err)
{
    return folder_make(arena_strndup(a, path, (size_t)(strrchr(path, '/') - path)), 0755, err);
}

static int add_object(struct arena *a, struct fetch *f, const char *bucket, const char *key, int64_t size,
                      const char *path, struct err *err)
{
    /* Consoles make objects that stand for a folder. */
    if (*path && path[strlen(path) - 1] == '/')
        return size > 0 ? 0 : folder_make(arena_strndup(a, path, strlen(path) - 1), 0755, err);
    if (make_parents(a, path, err) < 0)
        return -1;
    /* A whole small object needs no range, and an empty one cannot have one. */
    for (int64_t at = 0; at == 0 || at < size; at += RANGE_BYTES)
        add_piece(a, f, &(struct piece){ bucket, key, path, at, size - at < RANGE_BYTES ? size - at : RANGE_BYTES });
    return 0;
}

/* --- Channels --- */

static int check_room(const struct transfer *t, int64_t bytes, struct err *err)
{
    struct statvfs fs;

    if (t->order->disk_bytes && bytes > t->order->disk_bytes)
        return fail(err, ERR_LIMIT,
                    "the input data has %lld bytes, and the volume of the instance %lld: raise VolumeSizeInGB",
                    (long long)bytes, (long long)t->order->disk_bytes);
    if (statvfs(t->ml, &fs) == 0 && bytes > (int64_t)fs.f_bavail * (int64_t)fs.f_frsize)
        return fail(err, ERR_LIMIT, "the input data has %lld bytes, and the server's disk has room for %lld",
                    (long long)bytes, (long long)((int64_t)fs.f_bavail * (int64_t)fs.f_frsize));
    return 0;
}

/* This host's place among the job's hosts. */
static void host_place(const struct order *o, size_t *ret_place, size_t *ret_count)
{
    *ret_place = 0;
    *ret_count = list_count(o->hosts) ? list_count(o->hosts) : 1;
    for (size_t i = 0; i < list_count(o->hosts); i++)
        if (strcmp(doc_value_text(o->hosts->items[i]), o->host_name) == 0)
            *ret_place = i;
}

struct channel {
    const char *name, *uri, *bucket, *prefix, *folder;
    bool sharded;
    size_t seen; /* objects so far, for sharding */
    int64_t bytes;
};

static int take_object(const struct transfer *t, struct arena *a, struct fetch *f, struct channel *c,
                       const char *bucket, const char *key, int64_t size, const char *local, struct err *err)
{
    size_t place, count;

    if (!local)
        return fail(err, ERR_INVALID, "the key \"%.300s\" cannot be a file's path", key);
    host_place(t->order, &place, &count);
    if (!*local || (c->sharded && c->seen++ % count != place))
        return 0;
    c->bytes += size > 0 ? size : 0;
    return add_object(a, f, bucket, key, size, arena_printf(a, "%s/%s", c->folder, local), err);
}

static int list_prefix(const struct transfer *t, struct s3 *s3, struct arena *a, struct fetch *f, struct channel *c,
                       struct err *err)
{
    struct s3_object *objects;
    int count;

    if (s3_list(s3, a, c->bucket, c->prefix, OBJECTS_MAX, &objects, &count, err) < 0)
        return -1;
    if (count == 0)
        return fail(
            err, ERR_NOT_FOUND,
            "No S3 objects found under S3 URL \"%s\" given in input data source. Please ensure that the bucket exists "
            "in the selected region (%s), that objects exist under that S3 prefix, and that the role \"%s\" has "
            "\"s3:ListBucket\" permissions on bucket \"%s\".",
            c->uri, t->order->region, t->order->role_arn, c->bucket);
    for (int i = 0; i < count; i++)
        if (take_object(t, a, f, c, c->bucket, objects[i].key, objects[i].size_bytes,
                        transfer_local_path(a, c->prefix, objects[i].key), err) < 0)
            return -1;
    return 0;
}

/* [{"prefix": "s3://bucket/folder/"}, "a.csv", "b/c.csv"] */
static int list_manifest(const struct transfer *t, struct s3 *s3, struct arena *a, struct fetch *f, struct channel *c,
                         struct err *err)
{
    const char *bucket = NULL, *prefix = NULL;
    struct doc *manifest;
    struct str text;

    if (s3_get_text(s3, a, c->bucket, c->prefix, &text, err) < 0)
        return -1;
    if (json_parse(a, text, &manifest, err) < 0)
        return fail(err, ERR_INVALID, "the manifest %s is no JSON: %s", c->uri, err->text);
    if (manifest->type != DOC_LIST || manifest->count == 0 || !*doc_text(manifest->items[0], "prefix"))
        return fail(err, ERR_INVALID, "the manifest %s does not start with {\"prefix\": \"s3://...\"}", c->uri);
    if (s3_uri(a, doc_text(manifest->items[0], "prefix"), &bucket, &prefix, err) < 0)
        return -1;
    for (uint32_t i = 1; i < manifest->count; i++) {
        const char *name = doc_value_text(manifest->items[i]), *key = arena_printf(a, "%s%s", prefix, name);

        if (!*name)
            return fail(err, ERR_INVALID, "the manifest %s has an entry that is no text", c->uri);
        if (take_object(t, a, f, c, bucket, key, -1, transfer_local_path(a, "", name), err) < 0)
            return -1;
    }
    return 0;
}

static int list_channel(const struct transfer *t, struct s3 *s3, struct arena *a, struct fetch *f, const struct doc *d,
                        int64_t *bytes, struct err *err)
{
    struct channel c = { .name = doc_text(d, "name"), .uri = doc_text(d, "s3_uri"),
                         .sharded = doc_is(d, "distribution", "ShardedByS3Key") };
    const char *mode = doc_text_or(d, "input_mode", "File"), *type = doc_text_or(d, "s3_data_type", "S3Prefix");
    int r;

    c.folder = arena_printf(a, "%s/input/data/%s", t->ml, c.name);
    if (*mode && strcmp(mode, "File") != 0)
        return fail(err, ERR_INVALID, "channel %s: the input mode %s is not here yet; use File", c.name, mode);
    if (s3_uri(a, c.uri, &c.bucket, &c.prefix, err) < 0)
        return -1;
    if (strcmp(type, "S3Prefix") == 0 || !*type)
        r = list_prefix(t, s3, a, f, &c, err);
    else if (strcmp(type, "ManifestFile") == 0)
        r = list_manifest(t, s3, a, f, &c, err);
    else
        r = fail(err, ERR_INVALID, "channel %s: the S3 data type %s is not here yet", c.name, type);
    *bytes += c.bytes;
    return r;
}

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
    if (s3_list(s3, a, bucket, prefix, OBJECTS_MAX, &objects, &count, err) < 0)
        return -1;
    for (int i = 0; i < count; i++) {
        const char *local = transfer_local_path(a, prefix, objects[i].key);

        if (local && *local &&
            add_object(a, f, bucket, objects[i].key, objects[i].size_bytes, arena_printf(a, "%s/%s", folder, local),
                       err) < 0)
            return -1;
    }
    return 0;
}

/* What was there at the start need not be uploaded again. */
static int note_checkpoints(const struct transfer *t, struct arena *a, struct err *err);

int transfer_channels(const struct transfer *t, struct err *err)
{
    _cleanup_arena_ struct arena *a = arena_new();
    struct fetch f = { .transfer = t };
    int64_t bytes = 0;
    struct s3 *s3;
    int r = 0;

    if (list_count(t->order->channels) == 0 && !*t->order->checkpoint_s3_uri)
        return 0;
    s3 = client(t);
    for (size_t i = 0; r == 0 && i < list_count(t->order->channels); i++)
        r = list_channel(t, s3, a, &f, t->order->channels->items[i], &bytes, err);
    if (r == 0)
        r = check_room(t, bytes, err);
    if (r == 0 && *t->order->checkpoint_s3_uri)
        r = list_checkpoints(t, s3, a, &f, err);
    s3_free(s3);
    if (r == 0)
        r = fetch_all(&f, err);
    if (r == 0 && *t->order->checkpoint_s3_uri)
        r = note_checkpoints(t, a, err);
    return r;
}

/* --- Models --- */

static int get_model(const struct transfer *t, struct arena *a, const struct doc *d, size_t place, struct err *err)
{
    const char *uri = doc_text(d, "s3_uri"), *at = doc_text_or(d, "path", "/opt/ml/model"), *bucket, *key, *folder;
    const char *file = arena_printf(a, "%s/model-%zu.tar.gz", t->folder, place);
    struct archive_limits limits = { .bytes = t->order->disk_bytes };
    struct fetch f = { .transfer = t };
    int r;

    if (!text_starts(at, "/opt/ml/") || strstr(at, ".."))
        return fail(err, ERR_INVALID, "the model's path %s is not below /opt/ml", at);
    folder = arena_printf(a, "%s/%s", t->ml, at + strlen("/opt/ml/"));
    if (s3_uri(a, uri, &bucket, &key, err) < 0 || folder_make(folder, 0755, err) < 0)
        return -1;
    if (doc_bool(d, "prefix", false)) {
        struct channel c = { .name = "model", .uri = uri, .bucket = bucket, .prefix = key, .folder = folder };
        struct s3 *s3 = client(t);

        r = list_prefix(t, s3, a, &f, &c, err);
        s3_free(s3);
        return r < 0 || check_room(t, c.bytes, err) < 0 ? -1 : fetch_all(&f, err);
    }
    if (!doc_bool(d, "compressed", true)) {
        const char *slash = strrchr(key, '/');

        add_piece(a, &f,
                  &(struct piece){ bucket, key, arena_printf(a, "%s/%s", folder, slash ? slash + 1 : key), 0, -1 });
        return fetch_all(&f, err);
    }
    add_piece(a, &f, &(struct piece){ bucket, key, file, 0, -1 });
    r = unlink(file) < 0 && errno != ENOENT ? fail_errno(err, errno, "remove %s", file) : fetch_all(&f, err);
    if (r == 0)
        r = archive_unpack(file, folder, ARCHIVE_DATA, &limits, err);
    unlink(file);
    return r;
}

int transfer_models(const struct transfer *t, struct err *err)
{
    _cleanup_arena_ struct arena *a = arena_new();

    for (size_t i = 0; i < list_count(t->order->models); i++)
        if (get_model(t, a, t->order->models->items[i], i, err) < 0)
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

/* Calls 'each' for every regular file below the folder, never through a link. */
static int walk(struct arena *a, int parent, const char *prefix, int depth,
                int (*each)(void *context, int folder, const char *name, const char *path, const struct stat *,
                            struct err *err),
                void *context, struct err *err)
{
    int copy = openat(parent, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = 0;
    DIR *folder = copy < 0 ? NULL : fdopendir(copy);
    struct dirent *entry;

    if (!folder || depth > 100) {
        if (folder)
            closedir(folder);
        else if (copy >= 0)
            close(copy);
        return fail(err, ERR_LIMIT, "cannot read the folder \"%s\"", prefix);
    }
    while (r == 0 && (entry = readdir(folder)) != NULL) {
        const char *path;
        struct stat st;

        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 ||
            fstatat(parent, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
            continue;
        path = *prefix ? arena_printf(a, "%s/%s", prefix, entry->d_name) : arena_strdup(a, entry->d_name);
        if (S_ISDIR(st.st_mode)) {
            _cleanup_fd_ int inner = openat(parent, entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

            if (inner >= 0)
                r = walk(a, inner, path, depth + 1, each, context, err);
        } else if (S_ISREG(st.st_mode)) {
            r = each(context, parent, entry->d_name, path, &st, err);
        }
    }
    closedir(folder);
    return r;
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
    return s3_put(p->s3, p->bucket, arena_printf(p->arena, "%s%s", p->prefix, path), fd, err);
}

static int put_tree(struct s3 *s3, struct arena *a, const char *bucket, const char *prefix, const char *root,
                    struct err *err)
{
    _cleanup_fd_ int fd = open(root, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    struct put_tree p = { s3, a, bucket, prefix };

    if (fd < 0)
        return fail_errno(err, errno, "open %s", root);
    return walk(a, fd, "", 0, put_one, &p, err);
}

static int put_archive(const struct transfer *t, struct s3 *s3, struct arena *a, const char *bucket, const char *key,
                       const char *root, struct err *err)
{
    const char *file = arena_printf(a, "%s/upload.tar.gz", t->folder);
    _cleanup_fd_ int fd = -1;
    int r = archive_pack(root, file, NULL, err);

    if (r == 0) {
        fd = open(file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        r = fd < 0 ? fail_errno(err, errno, "open %s", file) : s3_put(s3, bucket, key, fd, err);
    }
    unlink(file);
    return r;
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
    prefix = arena_printf(a, "%s%soutput/", prefix, *prefix && prefix[strlen(prefix) - 1] != '/' ? "/" : "");
    s3 = client(t);
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

/* --- Checkpoints --- */

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
    r = walk(a, fd, "", 0, sync_one, &s, err);
    if ((s.before && doc_equal(s.before, s.now)) ||
        folder_write(a, t->folder, CHECKPOINTS_FILE, s.now, false, err) == 0)
        return r;
    return -1;
}

static int note_checkpoints(const struct transfer *t, struct arena *a, struct err *err)
{
    return sync_checkpoints(t, NULL, a, checkpoint_folder(a, t), false, err);
}

int transfer_checkpoints(const struct transfer *t, const char *local, bool closing, struct err *err)
{
    _cleanup_arena_ struct arena *a = arena_new();
    struct s3 *s3;
    int r;

    if (!*t->order->checkpoint_s3_uri)
        return 0;
    s3 = client(t);
    r = sync_checkpoints(t, s3, a, local, closing, err);
    s3_free(s3);
    return r;
}
