/* launch.c - the order of the control plane becomes the order for a box. */
#include "agent/launch.h"

#include <string.h>
#include <unistd.h>

#include "agent/api.h"
#include "agent/channel.h"
#include "agent/fastfile.h"
#include "agent/filesystem.h"
#include "agent/ml.h"
#include "base/program.h"
#include "run/gpu_files.h"

enum { CHANNELS_MAX = 20, MOUNTS_MAX = 4 + CHANNELS_MAX + GPU_FILES_MOST };

struct mounts {
    struct bundle_mount items[MOUNTS_MAX];
    int count;
};

static void add(struct mounts *m, struct bundle_mount mount)
{
    m->items[m->count++] = mount;
}

/* The channels that are no folders of /opt/ml: FastFile mounts and directories of file systems. */
static int mount_channels(const struct launch *l, struct arena *a, struct mounts *mounts, struct err *err)
{
    for (size_t i = 0; i < list_count(l->order->channels) && i < CHANNELS_MAX; i++) {
        struct bundle_mount m = { 0 };
        struct channel c;

        if (channel_read(a, l->order, l->order->channels->items[i], &c, err) < 0)
            return -1;
        if (c.mode == CHANNEL_FAST)
            m.source = fastfile_folder(a, l->folder, c.name);
        else if (c.mode == CHANNEL_FOLDER && filesystem_mount(a, l->folder, &c, &m.source, err) < 0)
            return -1;
        if (!m.source)
            continue;
        m.at = arena_printf(a, "/opt/ml/input/data/%s", c.name);
        m.read_only = c.mode == CHANNEL_FAST || c.read_only;
        add(mounts, m);
    }
    return 0;
}

static void mount_checkpoints(const struct launch *l, struct mounts *mounts)
{
    const char *at = l->order->checkpoint_path;

    if (*l->order->checkpoint_s3_uri && !l->process && strcmp(at, "/opt/ml/checkpoints") != 0 &&
        strcmp(at, "/opt/ml/checkpoints/") != 0)
        add(mounts, (struct bundle_mount){ .source = l->checkpoints, .at = at });
}

/* Where the clients in the container find the API's address. */
static int mount_endpoints(const struct launch *l, struct arena *a, struct mounts *mounts, struct err *err)
{
    const char *folder = arena_printf(a, "%s/images/botocore", l->order->data_folder);

    if (l->process || l->order->isolated)
        return 0;
    if (api_write_endpoints(a, folder, err) < 0)
        return -1;
    add(mounts, (struct bundle_mount){ .source = folder, .at = "/run/sagebrush/botocore", .read_only = true });
    return 0;
}

static int find_gpus(const struct launch *l, struct arena *a, struct gpu_files *ret, struct err *err)
{
    int minors[GPU_MOST], count = gpu_monitor_count(l->gpus);

    if (count < (int)list_count(l->order->gpus))
        return fail(err, ERR_INTERNAL, "%zu GPUs were granted, and the driver tells of %d of them%s%s",
                    list_count(l->order->gpus), count, *gpu_monitor_why(l->gpus) ? ": " : "",
                    gpu_monitor_why(l->gpus));
    for (int i = 0; i < count; i++)
        minors[i] = gpu_monitor_gpu(l->gpus, i)->minor;
    return gpu_files_find(a, minors, count, gpu_monitor_library(l->gpus), ret, err);
}

static int mount_gpus(const struct launch *l, struct arena *a, struct mounts *mounts, struct box_order *o,
                      struct err *err)
{
    struct gpu_files *files = arena_new_of(a, struct gpu_files);

    if (!list_count(l->order->gpus))
        return 0;
    if (find_gpus(l, a, files, err) < 0)
        return -1;
    for (int i = 0; i < files->mount_count; i++)
        add(mounts, files->mounts[i]);
    o->devices = files->devices;
    o->device_count = files->device_count;
    return 0;
}

static int find_program(const struct launch *l, struct arena *a, const char **ret, struct err *err)
{
    *ret = NULL;
    if (l->image->kind != IMAGE_HOST)
        return 0;
    if (l->process)
        return program_path(a, l->image->program, ret, err);
    *ret = arena_printf(a, "/opt/sagebrush/%s", l->image->program);
    return 0;
}

/* Everything but the command. */
static int fill_order(struct arena *a, const struct launch *l, struct box_order *o, struct err *err)
{
    struct mounts *mounts = arena_new_of(a, struct mounts);

    *o = (struct box_order){ .image = l->image, .network = &l->uplink->network, .mounts = mounts->items,
                             .host_name = l->order->host_name, .memory_bytes = l->order->memory_bytes,
                             .cpu_weight = l->order->cpu_weight, .hosts = uplink_hosts(l->uplink, a) };
    add(mounts, (struct bundle_mount){ .source = l->ml, .at = "/opt/ml" });
    if (mount_channels(l, a, mounts, err) < 0)
        return -1;
    mount_checkpoints(l, mounts);
    if (mount_endpoints(l, a, mounts, err) < 0 || mount_gpus(l, a, mounts, o, err) < 0)
        return -1;
    o->mount_count = mounts->count;
    if (l->order->cpus > 0 && l->order->cpus < sysconf(_SC_NPROCESSORS_ONLN))
        o->cpus = (double)l->order->cpus;
    return 0;
}

int launch(struct arena *a, const struct launch *l, const struct box *box, struct err *err)
{
    const char *program;
    struct box_order o;

    if (find_program(l, a, &program, err) < 0 || fill_order(a, l, &o, err) < 0)
        return -1;
    o.arguments = ml_command(a, l->order, l->image, program);
    o.environment = ml_environment(a, l->order, l->image, l->process ? l->ml : NULL,
                                   l->process && !order_ends(l->order) ? l->uplink->port : 0);
    return box_start(a, box, &o, err);
}

static bool is_simple(const struct launch *l, struct arena *a)
{
    struct err ignored;
    struct channel c;

    for (size_t i = 0; i < list_count(l->order->channels); i++)
        if (channel_read(a, l->order, l->order->channels->items[i], &c, &ignored) < 0 || c.mode == CHANNEL_FAST ||
            c.mode == CHANNEL_FOLDER)
            return false;
    return !list_count(l->order->gpus);
}

int launch_prepare(struct arena *a, const struct launch *l, const struct box *box, struct err *err)
{
    static const char toolkit[] = "sagebrush-toolkit";
    bool helps = l->image->kind == IMAGE_HOST && strcmp(l->image->program, toolkit) == 0;
    const char *helper[] = { NULL, "wait", NULL };
    struct order nobodys = *l->order;
    struct box_order o;

    if (!is_simple(l, a))
        return 0;
    if (find_program(l, a, &helper[0], err) < 0 || fill_order(a, l, &o, err) < 0)
        return -1;
    o.arguments = (const char *const[]){ NULL };
    /* The kernel shows what a process was started with for as long as it lives, and the next job's are beside the
     * helper: of the job before there is no secret in it, and no PYTHONPATH. */
    nobodys.environment = NULL;
    nobodys.job_name = nobodys.job_arn = "";
    o.environment = ml_environment(a, &nobodys, l->image, NULL, 0);
    return box_prepare(a, box, &o, helps ? helper : (const char *const[]){ NULL }, err);
}
