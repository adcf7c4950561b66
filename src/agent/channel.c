/* channel.c - which objects a channel has, and which of them this host gets. */
#include "agent/channel.h"

#include <string.h>
#include <sys/statvfs.h>

#include "agent/manifest.h"

int channel_check_room(const struct transfer *t, int64_t bytes, struct err *err)
{
    struct statvfs fs;

    if (t->order->disk_bytes && bytes > t->order->disk_bytes)
        return fail(err, ERR_LIMIT,
                    "the input data has %.2f GiB, and the volume of the instance %.0f GiB. Raise VolumeSizeInGB.",
                    (double)bytes / (1 << 30), (double)t->order->disk_bytes / (1 << 30));
    if (statvfs(t->ml, &fs) == 0 && bytes > (int64_t)fs.f_bavail * (int64_t)fs.f_frsize)
        return fail(err, ERR_LIMIT,
                    "the input data has %.2f GiB, and the server's disk has room for %.2f GiB. Make room on the "
                    "server.",
                    (double)bytes / (1 << 30), (double)fs.f_bavail * (double)fs.f_frsize / (1 << 30));
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
    return fetch_add(a, f, bucket, key, size, arena_printf(a, "%s/%s", c->folder, local), err);
}

/* AWS's words, and S3's code when it gave one. */
static int nothing_there(const struct transfer *t, const struct channel *c, enum err_kind kind, const char *code,
                         struct err *err)
{
    return fail(err, kind,
                "No S3 objects found under S3 URL \"%s\" given in input data source%s%s%s. Please ensure that the "
                "bucket exists in the selected region (%s), that objects exist under that S3 prefix, and that the role "
                "\"%s\" has \"s3:ListBucket\" permissions on bucket \"%s\".",
                c->uri, *code ? " (" : "", code, *code ? ")" : "", t->order->region, t->order->role_arn, c->bucket);
}

int channel_list_prefix(const struct transfer *t, struct s3 *s3, struct arena *a, struct fetch *f, struct channel *c,
                        struct err *err)
{
    struct s3_object *objects;
    int count;

    if (s3_list(s3, a, c->bucket, c->prefix, FETCH_OBJECTS_MAX, &objects, &count, err) < 0) {
        struct err why = *err;

        /* What is to be looked at is the same as for no objects. */
        return why.kind == ERR_NOT_FOUND || why.kind == ERR_DENIED ? nothing_there(t, c, why.kind, why.code, err) : -1;
    }
    if (count == 0)
        return nothing_there(t, c, ERR_NOT_FOUND, "", err);
    for (int i = 0; i < count; i++)
        if (take_object(t, a, f, c, c->bucket, objects[i].key, objects[i].size_bytes,
                        fetch_local_path(a, c->prefix, objects[i].key), err) < 0)
            return -1;
    return 0;
}

static int list_manifest(const struct transfer *t, struct s3 *s3, struct arena *a, struct fetch *f, struct channel *c,
                         struct err *err)
{
    struct manifest m;
    struct str text;

    if (s3_get_text(s3, a, c->bucket, c->prefix, &text, err) < 0 || manifest_read(a, text, c->uri, &m, err) < 0)
        return -1;
    for (size_t i = 0; i < m.count; i++)
        if (take_object(t, a, f, c, m.bucket, arena_printf(a, "%s%s", m.prefix, m.names[i]), -1,
                        fetch_local_path(a, "", m.names[i]), err) < 0)
            return -1;
    return 0;
}

int channel_list(const struct transfer *t, struct s3 *s3, struct arena *a, struct fetch *f, const struct doc *d,
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
        r = channel_list_prefix(t, s3, a, f, &c, err);
    else if (strcmp(type, "ManifestFile") == 0)
        r = list_manifest(t, s3, a, f, &c, err);
    else
        r = fail(err, ERR_INVALID, "channel %s: the S3 data type %s is not here yet", c.name, type);
    *bytes += c.bytes;
    return r;
}
