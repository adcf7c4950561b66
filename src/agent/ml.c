#include "agent/ml.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/map.h"
#include "doc/json.h"
#include "run/folder.h"
#include "run/gpu_files.h"

static const char *const train_folders[] = {
    "",
    "input",
    "input/config",
    "input/data",
    "model",
    "output",
    "output/data",
    "output/metrics",
    "output/metrics/sagemaker",
    "errors",
    "code",
    "checkpoints",
};

static const char *const process_folders[] = { "", "config", "output", "processing" };

static const char *const serve_folders[] = { "", "model", "code", "input", "input/config", "output" };

/* An instance of a job's only group has this name. */
#define GROUP "homogeneousCluster"

static int write_json(struct arena *a, const char *path, const struct doc *d, struct err *err)
{
    const char *text = json_text(a, d);
    FILE *f = fopen(path, "we");
    int bad;

    if (!f)
        return fail_errno(err, errno, "create %s", path);
    bad = fputs(text, f) == EOF;
    if (fclose(f) == EOF || bad)
        return fail_errno(err, errno, "write %s", path);
    return 0;
}

static int write_config(struct arena *a, const char *ml, const char *name, const struct doc *d, struct err *err)
{
    return write_json(a, arena_printf(a, "%s/input/config/%s", ml, name), d, err);
}

static struct doc *hosts_of(struct arena *a, const struct order *o, const struct doc *hosts)
{
    struct doc *list = doc_list(a);

    for (size_t i = 0; i < list_count(hosts); i++)
        doc_append(a, list, doc_string(a, doc_value_text(hosts->items[i])));
    if (!list->count)
        doc_append(a, list, doc_string(a, o->host_name));
    return list;
}

static struct doc *group_of(struct arena *a, const struct order *o, const char *name, const char *type,
                            const struct doc *hosts)
{
    struct doc *group = doc_map(a);

    doc_set_string(a, group, "instance_group_name", name);
    doc_set_string(a, group, "instance_type", type);
    doc_set(a, group, "hosts", hosts_of(a, o, hosts));
    return group;
}

static struct doc *resource_config(struct arena *a, const struct order *o)
{
    struct doc *d = doc_map(a), *groups = doc_list(a);
    bool alone;

    doc_set_string(a, d, "current_host", o->host_name);
    doc_set_string(a, d, "current_instance_type", o->instance_type);
    doc_set_string(a, d, "current_group_name", *o->group ? o->group : GROUP);
    doc_set(a, d, "hosts", hosts_of(a, o, o->hosts));
    for (size_t i = 0; i < list_count(o->instance_groups); i++) {
        const struct doc *g = o->instance_groups->items[i];

        doc_append(a, groups, group_of(a, o, doc_text(g, "name"), doc_text(g, "instance_type"), doc_get(g, "hosts")));
    }
    if (!groups->count)
        doc_append(a, groups, group_of(a, o, GROUP, o->instance_type, o->hosts));
    doc_set(a, d, "instance_groups", groups);
    /* Isolated hosts of one job have each other. */
    alone = strcmp(o->runtime, "process") == 0 || (o->isolated && list_count(o->hosts) < 2);
    doc_set_string(a, d, "network_interface_name", alone ? "lo" : "eth0");
    return d;
}

static struct doc *input_data_config(struct arena *a, const struct order *o)
{
    struct doc *d = doc_map(a);

    for (size_t i = 0; i < list_count(o->channels); i++) {
        const struct doc *c = o->channels->items[i];
        struct doc *channel = doc_map(a);

        /* A FastFile channel looks like files to whoever reads it. */
        doc_set_string(a, channel, "TrainingInputMode", doc_is(c, "input_mode", "Pipe") ? "Pipe" : "File");
        doc_set_string(a, channel, "S3DistributionType", doc_text_or(c, "distribution", "FullyReplicated"));
        doc_set_string(a, channel, "RecordWrapperType", doc_text_or(c, "record_wrapper", "None"));
        if (*doc_text(c, "content_type"))
            doc_set_string(a, channel, "ContentType", doc_text(c, "content_type"));
        doc_set(a, d, doc_text(c, "name"), channel);
    }
    return d;
}

/* Every input and output has its folder before the start, and keeps the one it has. */
static int make_places(struct arena *a, const struct doc *places, const char *ml, struct err *err)
{
    for (size_t i = 0; i < list_count(places); i++)
        if (folder_make(arena_printf(a, "%s/%s", ml, order_local_path(places->items[i])), 0755, err) < 0)
            return -1;
    return 0;
}

/* The only output of a training job that has a place of its own. */
static int write_tensorboard_config(struct arena *a, const struct order *o, const char *ml, struct err *err)
{
    struct doc *d = doc_map(a);
    const struct doc *output;

    if (!list_count(o->outputs))
        return 0;
    output = o->outputs->items[0];
    doc_set_string(a, d, "LocalPath",
                   strcmp(o->runtime, "process") == 0 ? arena_printf(a, "%s/%s", ml, order_local_path(output))
                                                      : doc_text(output, "local_path"));
    return make_places(a, o->outputs, ml, err) < 0 ? -1 : write_config(a, ml, "tensorboardoutputconfig.json", d, err);
}

static int write_train_config(struct arena *a, const struct order *o, const char *ml, struct err *err)
{
    const struct doc *hyper = o->hyper_parameters ? o->hyper_parameters : doc_map(a);
    const struct doc *metrics = o->metric_definitions ? o->metric_definitions : doc_list(a);
    struct doc *checkpoint;

    if (write_config(a, ml, "hyperparameters.json", hyper, err) < 0 ||
        write_config(a, ml, "inputdataconfig.json", input_data_config(a, o), err) < 0 ||
        write_config(a, ml, "resourceconfig.json", resource_config(a, o), err) < 0 ||
        write_config(a, ml, "trainingjobconfig.json", o->job_config ? o->job_config : doc_map(a), err) < 0 ||
        write_config(a, ml, "metric-definition-regex.json", metrics, err) < 0)
        return -1;
    if (write_tensorboard_config(a, o, ml, err) < 0)
        return -1;
    if (!*o->checkpoint_s3_uri)
        return 0;
    checkpoint = doc_map(a);
    doc_set_string(a, checkpoint, "LocalPath",
                   strcmp(o->runtime, "process") == 0 ? arena_printf(a, "%s/checkpoints", ml) : o->checkpoint_path);
    doc_set_string(a, checkpoint, "S3Uri", o->checkpoint_s3_uri);
    return write_config(a, ml, "checkpointconfig.json", checkpoint, err);
}

static int write_process_config(struct arena *a, const struct order *o, const char *ml, struct err *err)
{
    if (make_places(a, o->channels, ml, err) < 0 || make_places(a, o->outputs, ml, err) < 0 ||
        write_json(a, arena_printf(a, "%s/config/resourceconfig.json", ml), resource_config(a, o), err) < 0)
        return -1;
    return write_json(a, arena_printf(a, "%s/config/processingjobconfig.json", ml),
                      o->job_config ? o->job_config : doc_map(a), err);
}

struct folders {
    const char *const *names;
    size_t count;
};

static struct folders folders_of(const struct order *o)
{
    if (order_trains(o))
        return (struct folders){ train_folders, sizeof train_folders / sizeof *train_folders };
    if (order_processes(o))
        return (struct folders){ process_folders, sizeof process_folders / sizeof *process_folders };
    return (struct folders){ serve_folders, sizeof serve_folders / sizeof *serve_folders };
}

int ml_make(struct arena *a, const struct order *o, const char *ml, struct err *err)
{
    struct folders folders = folders_of(o);

    for (size_t i = 0; i < folders.count; i++) {
        const char *path = arena_printf(a, "%s/%s", ml, folders.names[i]);

        if (mkdir(path, 0755) < 0 && errno != EEXIST)
            return fail_errno(err, errno, "mkdir %s", path);
    }
    if (order_processes(o))
        return write_process_config(a, o, ml, err);
    for (size_t i = 0; i < list_count(o->channels); i++) {
        const char *path = arena_printf(a, "%s/input/data/%s", ml, doc_text(o->channels->items[i], "name"));

        /* A pipe has the epoch in its name. */
        if (doc_is(o->channels->items[i], "input_mode", "Pipe"))
            continue;
        if (mkdir(path, 0755) < 0 && errno != EEXIST)
            return fail_errno(err, errno, "mkdir %s", path);
    }
    return order_trains(o) ? write_train_config(a, o, ml, err) : 0;
}

int ml_check_results(struct arena *a, const char *ml, bool with_model, struct err *err)
{
    static const char *const folders[] = { "output", "output/data", "model" }; /* a parent before what is in it */
    size_t count = sizeof folders / sizeof *folders - !with_model;
    struct stat st;

    for (size_t i = 0; i < count; i++) {
        const char *path = arena_printf(a, "%s/%s", ml, folders[i]);

        if (mkdir(path, 0755) == 0)
            continue;
        if (errno != EEXIST || lstat(path, &st) < 0)
            return fail_errno(err, errno, "mkdir /opt/ml/%s", folders[i]);
        if (!S_ISDIR(st.st_mode))
            return fail(err, ERR_INVALID, "/opt/ml/%s is no folder any more. Write into the folder that is there, and "
                        "put no link or file in its place.", folders[i]);
    }
    return 0;
}

struct environment {
    struct arena *arena;
    struct map *places; /* name -> place in list, from 1 */
    const char **list;
    size_t count, room;
};

static const char *value_of(const struct environment *e, const char *name)
{
    void *place = map_get(e->places, str_of(name));

    return place ? e->list[(uintptr_t)place - 1] + strlen(name) + 1 : "";
}

/* The last one of a name counts. */
static void add(struct environment *e, const char *name, const char *value)
{
    void *place = map_get(e->places, str_of(name));
    const char *text;

    /* A name with '=' would be another name; execve has no way to say it. */
    if (!*name || strchr(name, '='))
        return;
    text = arena_printf(e->arena, "%s=%s", name, value);
    if (place) {
        e->list[(uintptr_t)place - 1] = text;
        return;
    }
    if (e->count + 1 >= e->room) {
        size_t room = e->room ? e->room * 2 : 64;
        const char **more = arena_array_of(e->arena, const char *, room);

        if (e->count)
            memcpy(more, e->list, sizeof *more * e->count);
        e->list = more;
        e->room = room;
    }
    e->list[e->count++] = text;
    map_set(e->places, str_of(name), (void *)(uintptr_t)e->count);
}

/* A container sees its own GPUs alone, numbered from 0; without one around it, those of all others are there too. */
static void add_gpus(struct environment *e, const struct order *o, bool process)
{
    const char *theirs = "", *ours = "", *before = value_of(e, "LD_LIBRARY_PATH");

    for (size_t i = 0; i < list_count(o->gpus); i++) {
        int64_t index = o->gpus->items[i]->integer;

        theirs = arena_printf(e->arena, "%s%s%lld", theirs, *theirs ? "," : "", (long long)index);
        ours = arena_printf(e->arena, "%s%s%zu", ours, *ours ? "," : "", i);
    }
    if (process) {
        add(e, "CUDA_DEVICE_ORDER", "PCI_BUS_ID");
        add(e, "CUDA_VISIBLE_DEVICES", theirs);
        return;
    }
    if (!*theirs)
        return;
    add(e, "NVIDIA_VISIBLE_DEVICES", theirs);
    add(e, "NVIDIA_DRIVER_CAPABILITIES", "compute,utility");
    add(e, "CUDA_VISIBLE_DEVICES", ours);
    add(e, "LD_LIBRARY_PATH", arena_printf(e->arena, "%s%s" GPU_LIBRARIES, before, *before ? ":" : ""));
}

const char *const *ml_environment(struct arena *a, const struct order *o, const struct image *image, const char *base,
                                  int port)
{
    struct environment e = { .arena = a, .places = map_new() };
    bool process = strcmp(o->runtime, "process") == 0;

    add(&e, "PATH",
        process && getenv("PATH") ? getenv("PATH") : "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    add(&e, "HOME", process && getenv("HOME") ? getenv("HOME") : "/root");
    if (image->kind == IMAGE_HOST) {
        add(&e, "LANG", "C.UTF-8");
        add(&e, "PYTHONUNBUFFERED", "1");
        add(&e, "PYTHONDONTWRITEBYTECODE", "1");
        /* A spinning thread pool on a shared machine burns what others need. */
        add(&e, "OMP_WAIT_POLICY", "passive");
        if (o->cpus > 0)
            add(&e, "OMP_NUM_THREADS", arena_printf(a, "%lld", (long long)o->cpus));
    }
    for (size_t i = 0; image->environment && image->environment[i]; i++) {
        const char *equals = strchr(image->environment[i], '=');

        if (equals)
            add(&e, arena_strndup(a, image->environment[i], (size_t)(equals - image->environment[i])), equals + 1);
    }
    add(&e, "HOSTNAME", o->host_name);
    add(&e, "AWS_REGION", o->region);
    add(&e, "AWS_DEFAULT_REGION", o->region);
    if (order_trains(o)) {
        add(&e, "TRAINING_JOB_NAME", o->job_name);
        add(&e, "TRAINING_JOB_ARN", o->job_arn);
        add(&e, "SAGEMAKER_METRICS_DIRECTORY", process ? arena_printf(a, "%s/output/metrics/sagemaker", base)
                                                       : "/opt/ml/output/metrics/sagemaker");
        if (o->warm_pool)
            add(&e, "SAGEMAKER_MANAGED_WARMPOOL_CACHE_DIRECTORY",
                arena_printf(a, "%s/" FOLDER_ML_CACHE, process ? base : "/opt/ml"));
    }
    /* Isolated containers have neither network nor credentials. */
    if (!o->isolated && !process) {
        add(&e, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/v2/credentials");
        add(&e, "AWS_ENDPOINT_URL", "http://127.0.0.1:8090");
        add(&e, "S3_ENDPOINT_URL", "http://127.0.0.1:8090"); /* read by the training toolkit */
        add(&e, "AWS_DATA_PATH", "/run/sagebrush/botocore");
        add(&e, "AWS_STS_REGIONAL_ENDPOINTS", "regional");
        add(&e, "AWS_S3_US_EAST_1_REGIONAL_ENDPOINT", "regional");
    }
    if (o->environment && o->environment->type == DOC_MAP)
        for (uint32_t i = 0; i < o->environment->count; i++)
            add(&e, o->environment->members[i].key, doc_value_text(o->environment->members[i].value));
    add_gpus(&e, o, process);
    if (base)
        add(&e, "SAGEMAKER_BASE_DIR", base);
    if (port)
        add(&e, "SAGEMAKER_BIND_TO_PORT", arena_printf(a, "%d", port));
    map_free(e.places);
    return e.list;
}

const char *const *ml_command(struct arena *a, const struct order *o, const struct image *image, const char *program)
{
    size_t entries = list_count(o->entrypoint), arguments = list_count(o->arguments), own = 0, cmds = 0,
           count = 0;
    const char **list;

    while (image->entrypoint && image->entrypoint[own])
        own++;
    while (image->command && image->command[cmds])
        cmds++;
    list = arena_array_of(a, const char *, entries + arguments + own + cmds + 3);
    if (entries) {
        for (size_t i = 0; i < entries; i++)
            list[count++] = doc_value_text(o->entrypoint->items[i]);
    } else if (image->kind == IMAGE_HOST) {
        list[count++] = program;
    } else {
        for (size_t i = 0; i < own; i++)
            list[count++] = image->entrypoint[i];
    }
    for (size_t i = 0; i < arguments; i++)
        list[count++] = doc_value_text(o->arguments->items[i]);
    if (arguments || entries)
        return list;
    /* "train" or "serve" takes the place of the image's CMD, unless the request says what to run; for processing it is
     * the CMD. */
    if (!order_processes(o))
        list[count++] = order_trains(o) ? "train" : "serve";
    for (size_t i = 0; order_processes(o) && i < cmds; i++)
        list[count++] = image->command[i];
    return list;
}
