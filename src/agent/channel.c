/* channel.c - which objects a channel has, and which of them this host gets. */
#include "agent/channel.h"

#include <string.h>
#include <sys/statvfs.h>

#include "agent/fetch.h"
#include "agent/manifest.h"
#include "base/map.h"
#include "base/rand.h"

int channel_check_room(const struct transfer *t, int64_t bytes, struct err *err)
{
    const char *what = order_ends(t->order) ? "input data" : "model data";
    struct statvfs fs;

    if (t->order->disk_bytes && bytes > t->order->disk_bytes)
        return fail(err, ERR_LIMIT,
                    "the %s has %.2f GiB, and the volume of the instance %.0f GiB. %s.", what,
                    (double)bytes / (1 << 30), (double)t->order->disk_bytes / (1 << 30), order_more_disk(t->order));
    if (statvfs(t->ml, &fs) == 0 && bytes > (int64_t)fs.f_bavail * (int64_t)fs.f_frsize)
        return fail(err, ERR_LIMIT,
                    "the %s has %.2f GiB, and the server's disk has room for %.2f GiB. Make room on the server.",
                    what, (double)bytes / (1 << 30), (double)fs.f_bavail * (double)fs.f_frsize / (1 << 30));
    return 0;
}

/* This host's place among those that have the channel: all of the job's, where it names none. */
static void host_place(const struct order *o, const struct doc *d, size_t *ret_place, size_t *ret_count)
{
    const struct doc *hosts = list_count(doc_get(d, "hosts")) ? doc_get(d, "hosts") : o->hosts;

    *ret_place = 0;
    *ret_count = list_count(hosts) ? list_count(hosts) : 1;
    for (size_t i = 0; i < list_count(hosts); i++)
        if (strcmp(doc_value_text(hosts->items[i]), o->host_name) == 0)
            *ret_place = i;
}

static enum channel_mode mode_of(const struct doc *d)
{
    const char *mode = doc_text(d, "input_mode");

    if (doc_has(d, "file_system"))
        return CHANNEL_FOLDER;
    return strcmp(mode, "Pipe") == 0 ? CHANNEL_PIPE : strcmp(mode, "FastFile") == 0 ? CHANNEL_FAST : CHANNEL_FILE;
}

int channel_read(struct arena *a, const struct order *o, const struct doc *d, struct channel *ret, struct err *err)
{
    const char *type = doc_text_or(d, "s3_data_type", "S3Prefix");
    struct channel c = { .name = doc_text(d, "name"), .uri = doc_text(d, "s3_uri"), .mode = mode_of(d),
                         .sharded = doc_is(d, "distribution", "ShardedByS3Key"),
                         .shuffled = doc_has(d, "shuffle_seed"), .seed = doc_int(d, "shuffle_seed", 0),
                         .gzip = doc_is(d, "compression", "Gzip"), .records = doc_is(d, "record_wrapper", "RecordIO"),
                         .attributes = doc_get(d, "attributes"), .folder = doc_text(d, "file_system.folder"),
                         .directory = doc_text(d, "file_system.directory"),
                         .read_only = !doc_is(d, "file_system.access_mode", "rw") };

    c.files = order_processes(o) ? order_local_path(d) : arena_printf(a, "input/data/%s", c.name);
    host_place(o, d, &c.place, &c.hosts);
    if (strcmp(type, "ManifestFile") == 0)
        c.type = CHANNEL_MANIFEST;
    else if (strcmp(type, "AugmentedManifestFile") == 0)
        c.type = CHANNEL_LINES;
    else if (strcmp(type, "S3Prefix") != 0)
        return fail(err, ERR_INVALID, "channel %s: the S3 data type %s is not known", c.name, type);
    if (c.type == CHANNEL_LINES && c.mode != CHANNEL_PIPE)
        return fail(err, ERR_INVALID, "channel %s: an AugmentedManifestFile is read in Pipe mode only", c.name);
    if (c.type == CHANNEL_LINES && list_count(c.attributes) == 0)
        return fail(err, ERR_INVALID, "channel %s: an AugmentedManifestFile needs AttributeNames", c.name);
    if (c.mode != CHANNEL_FOLDER && s3_uri(a, c.uri, &c.bucket, &c.prefix, err) < 0)
        return -1;
    *ret = c;
    return 0;
}

bool channel_any(const struct order *o, enum channel_mode mode)
{
    for (size_t i = 0; i < list_count(o->channels); i++)
        if (mode_of(o->channels->items[i]) == mode)
            return true;
    return false;
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

static int list_prefix(const struct transfer *t, struct s3 *s3, struct arena *a, const struct channel *c,
                       struct channel_object **ret, size_t *ret_count, struct err *err)
{
    struct channel_object *list;
    struct s3_object *objects;
    int count;

    if (s3_list(s3, a, c->bucket, c->prefix, FETCH_OBJECTS_MAX, &objects, &count, err) < 0) {
        struct err why = *err;

        /* What is to be looked at is the same as for no objects. */
        return why.kind == ERR_NOT_FOUND || why.kind == ERR_DENIED ? nothing_there(t, c, why.kind, why.code, err) : -1;
    }
    if (count == 0)
        return nothing_there(t, c, ERR_NOT_FOUND, "", err);
    list = arena_array_of(a, struct channel_object, (size_t)count);
    for (int i = 0; i < count; i++)
        list[i] = (struct channel_object){ c->bucket, objects[i].key, fetch_local_path(a, c->prefix, objects[i].key),
                                           objects[i].size_bytes };
    *ret = list;
    *ret_count = (size_t)count;
    return 0;
}

static int list_manifest(struct s3 *s3, struct arena *a, const struct channel *c, struct channel_object **ret,
                         size_t *ret_count, struct err *err)
{
    struct channel_object *list;
    struct manifest m;
    struct str text;

    if (s3_get_text(s3, a, c->bucket, c->prefix, &text, err) < 0 || manifest_read(a, text, c->uri, &m, err) < 0)
        return -1;
    list = arena_array_of(a, struct channel_object, m.count);
    for (size_t i = 0; i < m.count; i++)
        list[i] = (struct channel_object){ m.bucket, arena_printf(a, "%s%s", m.prefix, m.names[i]),
                                           fetch_local_path(a, "", m.names[i]), -1 };
    *ret = list;
    *ret_count = m.count;
    return 0;
}

/* A file is written once, however often a manifest names it. A pipe has it each time. */
static size_t drop_repeated(struct channel_object *list, size_t count)
{
    struct map *named = map_new();
    size_t kept = 0;

    for (size_t i = 0; i < count; i++)
        if (!map_set(named, str_of(list[i].key), list))
            list[kept++] = list[i];
    map_free(named);
    return kept;
}

int channel_objects(const struct transfer *t, struct s3 *s3, struct arena *a, const struct channel *c,
                    struct channel_object **ret, size_t *ret_count, struct err *err)
{
    struct channel_object *list = NULL;
    size_t count = 0;

    if ((c->type == CHANNEL_MANIFEST ? list_manifest(s3, a, c, &list, &count, err)
                                     : list_prefix(t, s3, a, c, &list, &count, err)) < 0)
        return -1;
    if (c->type == CHANNEL_MANIFEST && c->mode == CHANNEL_FILE)
        count = drop_repeated(list, count);
    /* A pipe has no names. */
    for (size_t i = 0; c->mode != CHANNEL_PIPE && i < count; i++)
        if (!list[i].local)
            return fail(err, ERR_INVALID, "the key \"%.300s\" cannot be a file's path", list[i].key);
    *ret = list;
    *ret_count = count;
    return 0;
}

size_t channel_share(const struct channel *c, uint64_t epoch, uint32_t *order, size_t count)
{
    struct rand dice = rand_seeded((uint64_t)c->seed * 1000003 + epoch);
    size_t taken = 0;

    for (size_t i = 0; i < count; i++)
        order[i] = (uint32_t)i;
    for (size_t i = count; c->shuffled && i > 1; i--) {
        size_t other = rand_below(&dice, i);
        uint32_t one = order[i - 1];

        order[i - 1] = order[other];
        order[other] = one;
    }
    if (!c->sharded)
        return count;
    for (size_t i = c->place; i < count; i += c->hosts)
        order[taken++] = order[i];
    return taken;
}
