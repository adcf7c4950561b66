/* training_channel.c - InputDataConfig: what can be read in which mode, and what the agent is told of it. */
#include <string.h>

#include "engine/engine.h"
#include "services/platform.h"
#include "services/sagemaker/local_path.h"
#include "services/sagemaker/training_groups.h"

static int refuse(struct err *err, const char *channel, const char *why)
{
    return fail_code(err, ERR_INVALID, "ValidationException", "Channel %s: %s", channel, why);
}

/* "fs-0123abcd:/srv/data, fs-4567cdef:/srv/other": the folder that stands for a file system. NULL: none. */
static const char *file_system_folder(struct arena *a, const char *file_systems, const char *id)
{
    struct str rest = str_of(file_systems);

    while (rest.size) {
        size_t size = strcspn(rest.data, ", ");
        struct str word = { rest.data, size }, name, folder;

        if (str_cut(word, ':', &name, &folder) && str_is(name, id))
            return str_dup(a, folder);
        rest.data += size;
        rest.size -= size;
        size = strspn(rest.data, ", ");
        rest.data += size;
        rest.size -= size;
    }
    return NULL;
}

static int check_file_system(struct arena *a, const struct platform *platform, const struct doc *c, const char *name,
                             const char *mode, struct err *err)
{
    const char *id = doc_text(c, "DataSource.FileSystemDataSource.FileSystemId");

    if (strcmp(mode, "File") != 0)
        return refuse(err, name, "FileSystemDataSource is read in File mode only.");
    if (doc_has(c, "ShuffleConfig"))
        return refuse(err, name, "ShuffleConfig needs an S3DataSource.");
    if (!file_system_folder(a, platform->file_systems, id))
        return refuse(err, name,
                      arena_printf(a, "no folder of this server stands for the file system %s. The setting "
                                      "file-systems gives it one: file-systems = %s:/its/folder", id, id));
    return 0;
}

static int check_s3(struct arena *a, const struct doc *c, const char *name, const char *mode, struct err *err)
{
    const char *type = doc_text(c, "DataSource.S3DataSource.S3DataType");
    size_t attributes = doc_count(c, "DataSource.S3DataSource.AttributeNames");
    bool lines = strcmp(type, "AugmentedManifestFile") == 0;

    if (!text_starts(doc_text(c, "DataSource.S3DataSource.S3Uri"), "s3://"))
        return refuse(err, name, arena_printf(a, "S3Uri must be an S3 URI: %s",
                                              doc_text(c, "DataSource.S3DataSource.S3Uri")));
    if (strcmp(type, "S3Prefix") != 0 && strcmp(type, "ManifestFile") != 0 && !lines)
        return refuse(err, name, arena_printf(a, "S3DataType %s is not here yet: use S3Prefix, ManifestFile or "
                                                 "AugmentedManifestFile.", type));
    if (lines && strcmp(mode, "Pipe") != 0)
        return refuse(err, name, "S3DataType AugmentedManifestFile is read in Pipe mode only.");
    if (lines && !attributes)
        return refuse(err, name, "S3DataType AugmentedManifestFile needs AttributeNames.");
    if (!lines && attributes)
        return refuse(err, name, "AttributeNames are of S3DataType AugmentedManifestFile only.");
    if (strcmp(mode, "FastFile") == 0 && strcmp(type, "S3Prefix") != 0)
        return refuse(err, name, "FastFile mode reads S3DataType S3Prefix only.");
    if (strcmp(mode, "Pipe") != 0 && doc_is(c, "RecordWrapperType", "RecordIO"))
        return refuse(err, name, "RecordWrapperType RecordIO needs Pipe mode.");
    return 0;
}

int training_check_channels(struct call *call, const struct training_spec *s, struct err *err)
{
    const struct platform *platform = engine_context(call->engine);

    for (size_t i = 0; i < doc_count(s->channels, ""); i++) {
        const struct doc *c = s->channels->items[i];
        const char *name = doc_text(c, "ChannelName");
        const char *mode = doc_text_or(c, "InputMode", s->input_mode);
        int r;

        for (size_t j = 0; j < i; j++)
            if (doc_is(s->channels->items[j], "ChannelName", name))
                return fail_code(err, ERR_INVALID, "ValidationException",
                                 "Duplicate channel names are not allowed: %s", name);
        if (local_path_check_channel(i + 1, name, err) < 0 || training_check_channel_groups(s, c, err) < 0)
            return -1;
        if (doc_has(c, "DataSource.FileSystemDataSource"))
            r = check_file_system(call->arena, platform, c, name, mode, err);
        else if (doc_has(c, "DataSource.S3DataSource"))
            r = check_s3(call->arena, c, name, mode, err);
        else
            r = refuse(err, name,
                       "only S3DataSource and FileSystemDataSource are here yet.");
        if (r < 0)
            return -1;
    }
    return 0;
}

/* A file system that is not set any more has the folder "", which cannot be opened. */
static void add_file_system(struct arena *a, const struct platform *platform, const struct doc *source, struct doc *to)
{
    struct doc *f = doc_map(a);
    const char *folder = file_system_folder(a, platform->file_systems, doc_text(source, "FileSystemId"));

    doc_set_string(a, f, "folder", folder ? folder : "");
    doc_set_string(a, f, "directory", doc_text(source, "DirectoryPath"));
    doc_set_string(a, f, "access_mode", doc_text(source, "FileSystemAccessMode"));
    doc_set(a, to, "file_system", f);
}

struct doc *training_channels(struct arena *a, const struct platform *platform, const struct training_spec *s,
                              int instance)
{
    static const char *const names[][2] = { /* of the order, of the API */
        { "name", "ChannelName" }, { "s3_uri", "DataSource.S3DataSource.S3Uri" },
        { "s3_data_type", "DataSource.S3DataSource.S3DataType" },
        { "distribution", "DataSource.S3DataSource.S3DataDistributionType" }, { "content_type", "ContentType" },
        { "compression", "CompressionType" }, { "record_wrapper", "RecordWrapperType" },
    };
    struct doc *list = doc_list(a);

    for (size_t i = 0; i < doc_count(s->channels, ""); i++) {
        const struct doc *from = s->channels->items[i];
        struct doc *c = doc_map(a);

        if (!training_channel_is_for(from, training_group_of(s, instance).name))
            continue;
        doc_set(a, c, "hosts", training_channel_hosts(a, s, from));
        for (size_t j = 0; j < sizeof names / sizeof *names; j++)
            if (doc_has(from, names[j][1]))
                doc_set_string(a, c, names[j][0], doc_text(from, names[j][1]));
        doc_set_string(a, c, "input_mode", doc_text_or(from, "InputMode", s->input_mode));
        if (doc_has(from, "ShuffleConfig.Seed"))
            doc_set_integer(a, c, "shuffle_seed", doc_int(from, "ShuffleConfig.Seed", 0));
        if (doc_has(from, "DataSource.S3DataSource.AttributeNames"))
            doc_set(a, c, "attributes",
                    doc_copy(a, doc_get(doc_get(doc_get(from, "DataSource"), "S3DataSource"), "AttributeNames")));
        if (doc_has(from, "DataSource.FileSystemDataSource"))
            add_file_system(a, platform, doc_get(doc_get(from, "DataSource"), "FileSystemDataSource"), c);
        doc_append(a, list, c);
    }
    return list;
}
