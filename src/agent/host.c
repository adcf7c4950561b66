/* host.c - what takes time runs on a thread of its own, one for each task, and tells the loop when it is done. */
#include "agent/host.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/api.h"
#include "agent/cause.h"
#include "agent/fastfile.h"
#include "agent/feeder.h"
#include "agent/filesystem.h"
#include "agent/handover.h"
#include "agent/logs.h"
#include "agent/meter.h"
#include "agent/ml.h"
#include "agent/outputs.h"
#include "agent/source.h"
#include "agent/syncer.h"
#include "agent/transfer.h"
#include "agent/volume.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/program.h"
#include "base/rand.h"
#include "doc/json.h"
#include "net/http_client.h"
#include "run/agents.h"
#include "run/cgroup.h"
#include "run/folder.h"
#include "run/gpu_files.h"
#include "run/gpu_monitor.h"
#include "run/runtime.h"

enum {
    PING_MS = 2000,
    FEEDER_MS = 500,
    CHANNELS_MAX = 20,
    FAILURE_MAX = 8192,
    MESSAGE_MAX = 1024,
    TAIL_BYTES = 8192,
    RESERVE_BYTES = 256 << 10,
};

struct work {
    struct host *host;
    enum task task;
    enum task_state state;
    struct err err;
    pthread_t thread;
    bool joinable;
    int cancel; /* eventfd */
    int result; /* of the function that did it */
};

struct host {
    struct world world;
    struct loop *loop;
    struct clock *clock;
    const struct order *order;
    void (*happened)(void *data);
    void *data;

    struct arena *arena; /* what lives as long as the agent */
    struct box box;
    const char *folder, *ml, *reserve;
    bool process;
    struct image image;     /* by TASK_PREPARE */
    struct network network; /* by start or attach */
    const char *const *peer_lines; /* of /etc/hosts */
    int peer_count;
    struct early {
        pthread_t thread;
        bool running;
        struct arena *arena;
        int result;
        struct network network;
        struct err err;
    } early; /* the network, made while the rest is prepared */
    bool networked;
    int port;
    struct api *api;
    struct logs *logs;
    struct loop_watch *watch, *handover_watch; /* of box/, of handover/ */
    struct work work[TASK_COUNT];

    enum saving saving;
    const char *model; /* by TASK_SAVE */
    char model_text[2048];

    struct http_upstream *upstream;
    struct http_call *call;
    enum ping ping;
    char ping_words[128];
    struct buf ping_request; /* lent to the call */

    struct feeder *feeder; /* of pipes and FastFile channels, from the container's start on */
    struct loop_timer feeder_timer;
    struct volume *volume; /* while a training container runs */
    struct meter *meter;   /* while a container runs */
    struct gpu_fault gpu_fault; /* why the container has to end; no words: it need not */
    struct gpu_monitor *gpus; /* of those it was given, while the container runs; NULL: none */
    struct syncer *syncer; /* of the checkpoints, from the container's start on */
    struct outputs *outputs; /* of a processing job, from the container's start on */
    bool closing; /* nothing is told any more */
};

static struct host *host_of(struct world *w)
{
    return (struct host *)w;
}

static int64_t host_wall_ms(struct world *w)
{
    return clock_wall_ms(host_of(w)->clock);
}

static int64_t host_boot_ms(struct world *w)
{
    return clock_boot_ms(host_of(w)->clock);
}

static void tell(struct host *h)
{
    if (!h->closing)
        h->happened(h->data);
}

static struct transfer transfer_of(struct host *h, int cancel)
{
    return (struct transfer) {
        .order = h->order, .folder = h->folder, .ml = h->ml, .clock = h->clock, .cancel_fd = cancel
    };
}

/* --- Tasks --- */

static void work_done(void *data)
{
    struct work *k = data;

    k->state = k->result == 0 ? TASK_DONE : TASK_FAILED;
    if (k->joinable)
        pthread_join(k->thread, NULL);
    k->joinable = false;
    tell(k->host);
}

static int find_image(struct host *h, struct err *err)
{
    const struct image_places places = { h->order->data_folder, h->order->archives_folder };

    return image_find(h->arena, &places, h->order->image, order_has_script(h->order->doc), &h->image, err);
}

static const char *checkpoints_of(struct host *h, struct arena *a)
{
    return arena_printf(a, "%s/checkpoints", h->ml);
}

static int restore_checkpoints(struct host *h, const struct transfer *t, struct err *err)
{
    _cleanup_arena_ struct arena *a = arena_new();

    return *h->order->checkpoint_s3_uri ? syncer_restore(t, checkpoints_of(h, a), err) : 0;
}

static int need_outputs(struct host *h, struct err *err)
{
    struct transfer t = transfer_of(h, -1);

    return h->outputs ? 0 : outputs_new(&t, &h->outputs, err);
}

static int need_syncer(struct host *h, struct err *err)
{
    _cleanup_arena_ struct arena *a = arena_new();
    struct transfer t = transfer_of(h, -1);

    return h->syncer ? 0 : syncer_new(&t, checkpoints_of(h, a), &h->syncer, err);
}

/* The rest of the checkpoints. A container that was ended by force has left half files. */
static int finish_checkpoints(struct host *h, const struct work *k, struct err *err)
{
    _cleanup_arena_ struct arena *a = arena_new();
    struct exit_record record;
    bool whole = box_look(a, &h->box, &record, err) == 0 && record.state == EXIT_ENDED && record.exit_code < 128;

    if (!*h->order->checkpoint_s3_uri)
        return 0;
    if (need_syncer(h, err) < 0)
        return -1;
    return syncer_finish(h->syncer, whole ? CHECKPOINT_ENDED : CHECKPOINT_KILLED, k->cancel, err);
}

/* The result is what is returned: the err of a call that was tried again and then succeeded is not empty. */
static int run_prepare(struct host *h, struct work *k)
{
    struct transfer t = transfer_of(h, k->cancel);

    if (find_image(h, &k->err) < 0 || (order_ends(h->order) && transfer_check_targets(&t, &k->err) < 0))
        return -1;
    if (h->image.kind == IMAGE_HOST && source_wanted(h->order) && source_fetch(&t, &k->err) < 0)
        return -1;
    if (order_ends(h->order) ? transfer_channels(&t, &k->err) == 0 && restore_checkpoints(h, &t, &k->err) == 0
                             : transfer_models(&t, &k->err) == 0)
        return 0;
    if (k->err.kind == ERR_CONFLICT || k->err.kind == ERR_INTERNAL || !order_ends(h->order))
        return -1;
    return fail(&k->err, k->err.kind, "Data download failed: %s", k->err.text);
}

static int save_results(const struct transfer *t, struct arena *a, bool with_model, const char **ret_model,
                        struct err *err)
{
    *ret_model = "";
    if (ml_check_results(a, t->ml, with_model, err) < 0)
        return -1;
    if (!handover_leads(t->order))
        return handover_give(t->order, t->ml, with_model, err);
    if (with_model && handover_take(t->order, t->ml, err) < 0)
        return -1;
    return transfer_results(t, a, with_model, ret_model, err);
}

static int run_save(struct host *h, struct work *k)
{
    _cleanup_arena_ struct arena *a = arena_new();
    struct transfer t = transfer_of(h, k->cancel);
    struct err err = { 0 };
    const char *model = "";
    int r;

    if (order_processes(h->order))
        return need_outputs(h, &k->err) < 0 ? -1 : outputs_finish(h->outputs, k->cancel, &k->err);
    /* Checkpoints first: they are what a next attempt starts from. When they cannot be saved, the results still can. */
    r = finish_checkpoints(h, k, &k->err);
    if (h->saving != SAVE_CHECKPOINTS && !(r < 0 && k->err.kind == ERR_CONFLICT) &&
        save_results(&t, a, h->saving == SAVE_MODEL, &model, &err) < 0) {
        if (r == 0)
            k->err = err;
        r = -1;
    }
    snprintf(h->model_text, sizeof h->model_text, "%s", model);
    h->model = h->model_text;
    return r;
}

static void *work_thread(void *data)
{
    struct work *k = data;

    k->result = k->task == TASK_PREPARE ? run_prepare(k->host, k) : run_save(k->host, k);
    loop_post(k->host->loop, work_done, k);
    return NULL;
}

static bool needs_thread(struct host *h, enum task task)
{
    struct image image;

    /* Nothing to fetch and nothing to unpack: the start does not wait for a thread. */
    return task != TASK_PREPARE || list_count(h->order->channels) || list_count(h->order->models) ||
           *h->order->checkpoint_s3_uri || *h->order->output_s3_uri || list_count(h->order->outputs) ||
           source_wanted(h->order) ||
           !image_is_hosted(h->arena, h->order->image, order_has_script(h->order->doc), &image);
}

/* What the agent itself writes, for the upload, is not the container's. */
static void end_volume(struct host *h)
{
    volume_free(h->volume);
    h->volume = NULL;
}

static void host_begin(struct world *w, enum task task)
{
    struct host *h = host_of(w);
    struct work *k = &h->work[task];
    int r;

    if (k->state != TASK_NONE)
        return;
    k->state = TASK_BUSY;
    k->err = (struct err){ 0 };
    /* Both come after the container. */
    if (task != TASK_PREPARE) {
        meter_end(h->meter);
        end_volume(h);
    }
    if (task == TASK_DRAIN) {
        logs_end(h->logs);
        return;
    }
    if (!needs_thread(h, task)) {
        k->state = run_prepare(h, k) == 0 ? TASK_DONE : TASK_FAILED;
        return;
    }
    r = pthread_create(&k->thread, NULL, work_thread, k);
    assert(r == 0);
    k->joinable = true;
}

static enum task_state host_task(struct world *w, enum task task, struct err *err)
{
    struct host *h = host_of(w);
    struct work *k = &h->work[task];

    if (task == TASK_DRAIN && k->state == TASK_BUSY && logs_done(h->logs))
        k->state = TASK_DONE;
    if (k->state == TASK_FAILED)
        *err = k->err;
    return k->state;
}

static void host_cancel(struct world *w, enum task task)
{
    struct work *k = &host_of(w)->work[task];
    uint64_t one = 1;

    if (k->state == TASK_BUSY && write(k->cancel, &one, sizeof one) < 0)
        log_warning("task.not_cancelled", "task=%d", (int)task);
}

/* --- The container --- */

static int host_look(struct world *w, struct exit_record *ret, struct err *err)
{
    struct host *h = host_of(w);
    static _Thread_local struct arena *a;

    if (!a)
        a = arena_new();
    arena_reset(a);
    return box_look(a, &h->box, ret, err);
}

static enum network_mode mode_of(const struct order *o)
{
    if (!o->isolated)
        return NETWORK_OUT;
    if (!order_ends(o))
        return NETWORK_LOCAL;
    return o->peers ? NETWORK_PEERS : NETWORK_NONE;
}

static void *early_thread(void *data)
{
    struct host *h = data;
    struct early *e = &h->early;

    e->result = network_setup(e->arena, h->order->run_folder, h->order->name, mode_of(h->order), &e->network, &e->err);
    return NULL;
}

static void early_begin(struct host *h)
{
    h->early.arena = arena_new();
    h->early.result = -1;
    h->early.running = pthread_create(&h->early.thread, NULL, early_thread, h) == 0;
}

/* What cannot be had early is tried again, and then told, when it is needed. */
static void early_end(struct host *h)
{
    if (!h->early.running)
        return;
    pthread_join(h->early.thread, NULL);
    h->early.running = false;
    if (h->early.result == 0)
        h->network = h->early.network;
}

static int free_port(struct arena *a, const char *folder, int *ret, struct err *err)
{
    struct sockaddr_in to = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t size = sizeof to;
    const struct doc *before;
    struct doc *d = doc_map(a);
    _cleanup_fd_ int fd = -1;

    if (folder_read(a, folder, "port.json", &before, err) < 0)
        return -1;
    if (doc_int(before, "port", 0)) {
        *ret = (int)doc_int(before, "port", 0);
        return 0;
    }
    fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&to, sizeof to) < 0 || getsockname(fd, (struct sockaddr *)&to, &size) < 0)
        return fail_errno(err, errno, "find a free port");
    *ret = ntohs(to.sin_port);
    doc_set_integer(a, d, "port", *ret);
    return folder_write(a, folder, "port.json", d, false, err);
}

static void box_changed(void *data, const char *name)
{
    struct host *h = data;

    tell(h);
}


static void happened(void *data)
{
    tell(data);
}

/* From the GPUs' thread. */
static void gpu_is_bad(void *data)
{
    loop_post(((struct host *)data)->loop, happened, data);
}

/* From the volume's thread. */
static void volume_is_full(void *data)
{
    loop_post(((struct host *)data)->loop, happened, data);
}

/* Is it alive, and can it go on? */
static void feeder_due(struct loop_timer *timer)
{
    struct host *h = (struct host *)(void *)((char *)timer - offsetof(struct host, feeder_timer));
    _cleanup_arena_ struct arena *a = arena_new();

    feeder_check(h->feeder);
    if (*feeder_failed(a, h->folder))
        tell(h);
    else
        loop_timer_set(h->loop, timer, loop_now_ms(h->loop) + FEEDER_MS);
}

static int start_feeder(struct host *h, bool started, struct err *err)
{
    if (feeder_new(h->order, h->folder, started, &h->feeder, err) < 0)
        return -1;
    h->feeder_timer.run = feeder_due;
    loop_timer_set(h->loop, &h->feeder_timer, loop_now_ms(h->loop) + FEEDER_MS);
    return 0;
}

/* The other hosts of the job have their addresses from now on, whenever they come. */
static int join_peers(struct host *h, struct err *err)
{
    const struct doc *peers = h->order->peers;
    const char **names, **hosts, **lines;
    int count = 0;

    if (!peers || h->peer_lines)
        return 0;
    names = arena_array_of(h->arena, const char *, peers->count);
    hosts = arena_array_of(h->arena, const char *, peers->count);
    lines = arena_array_of(h->arena, const char *, peers->count);
    for (uint32_t i = 0; i < peers->count; i++)
        if (strcmp(doc_value_text(peers->members[i].value), h->order->name) != 0) {
            hosts[count] = peers->members[i].key;
            names[count++] = doc_value_text(peers->members[i].value);
        }
    if (network_join(h->arena, h->order->run_folder, h->order->name, names, count, lines, err) < 0)
        return -1;
    for (int i = 0; i < count; i++)
        lines[i] = arena_printf(h->arena, "%s %s", lines[i], hosts[i]);
    h->peer_lines = lines;
    h->peer_count = count;
    return 0;
}

/* Network, listeners and watches: what belongs to a running container and not to its files. */
static int set_up(struct host *h, bool started, struct err *err)
{
    struct arena *a = h->arena;
    const char *folder = arena_printf(a, "%s/box", h->folder);

    if (!h->networked && h->process && !order_ends(h->order)) {
        if (free_port(a, h->folder, &h->port, err) < 0)
            return -1;
        h->network.address = "127.0.0.1";
    } else if (!h->networked && !h->process) {
        early_end(h);
        if (!h->network.namespace_path &&
            network_setup(a, h->order->run_folder, h->order->name, mode_of(h->order), &h->network, err) < 0)
            return -1;
        h->port = (int)h->order->port;
        if (join_peers(h, err) < 0)
            return -1;
    }
    h->networked = true;
    if (!h->process && !h->order->isolated && !h->api && *h->order->api_socket &&
        api_new(h->loop, h->clock, h->order, h->folder, &h->network, &h->api, err) < 0)
        return -1;
    if (!h->watch) {
        if (mkdir(folder, 0700) < 0 && errno != EEXIST)
            return fail_errno(err, errno, "mkdir %s", folder);
        if (loop_watch_new(h->loop, folder, box_changed, h, &h->watch, err) < 0)
            return -1;
    }
    if (order_trains(h->order) && h->order->peers && handover_leads(h->order) && !h->handover_watch) {
        folder = arena_printf(a, "%s/handover", h->folder);
        if (mkdir(folder, 0700) < 0 && errno != EEXIST)
            return fail_errno(err, errno, "mkdir %s", folder);
        if (loop_watch_new(h->loop, folder, box_changed, h, &h->handover_watch, err) < 0)
            return -1;
    }
    if (!h->volume && order_ends(h->order))
        h->volume = volume_new(&(struct volume_options){ .folder = h->folder, .order = h->order, .clock = h->clock,
                                                         .full = volume_is_full, .data = h });
    if (!h->gpus && order_gpus(h->order))
        h->gpus = gpu_monitor_new(&(struct gpu_monitor_options){ .only = order_gpus(h->order), .happened = gpu_is_bad,
                                                                 .data = h });
    if (!h->meter && !h->process)
        h->meter = meter_new(&(struct meter_options){ .loop = h->loop, .clock = h->clock, .order = h->order,
                                                      .folder = h->folder, .logs = h->logs, .volume = h->volume,
                                                      .gpus = h->gpus });
    if (!h->feeder && feeder_wanted(h->order) && start_feeder(h, started, err) < 0)
        return -1;
    if (order_processes(h->order)) {
        if (need_outputs(h, err) < 0)
            return -1;
        outputs_run(h->outputs);
    }
    if (!*h->order->checkpoint_s3_uri)
        return 0;
    if (need_syncer(h, err) < 0)
        return -1;
    syncer_run(h->syncer);
    return 0;
}

static int host_attach(struct world *w, struct err *err)
{
    return set_up(host_of(w), true, err);
}

static const char *const *host_lines(struct host *h, struct arena *a)
{
    const char **lines = arena_array_of(a, const char *, (size_t)h->peer_count + 2);
    const char *address = h->network.address && *h->network.address ? h->network.address : "127.0.1.1";

    lines[0] = arena_printf(a, "%s %s", address, h->order->host_name);
    for (int i = 0; i < h->peer_count; i++)
        lines[i + 1] = h->peer_lines[i];
    return lines;
}

/* The channels that are no folders of /opt/ml: FastFile mounts and directories of file systems. */
static int mount_channels(struct host *h, struct arena *a, struct box_order *o, struct bundle_mount *mounts,
                          struct err *err)
{
    for (size_t i = 0; i < list_count(h->order->channels) && i < CHANNELS_MAX; i++) {
        struct bundle_mount m = { 0 };
        struct channel c;

        if (channel_read(a, h->order, h->order->channels->items[i], &c, err) < 0)
            return -1;
        if (c.mode == CHANNEL_FAST)
            m.source = fastfile_folder(a, h->folder, c.name);
        else if (c.mode == CHANNEL_FOLDER && filesystem_mount(a, h->folder, &c, &m.source, err) < 0)
            return -1;
        if (!m.source)
            continue;
        m.at = arena_printf(a, "/opt/ml/input/data/%s", c.name);
        m.read_only = c.mode == CHANNEL_FAST || c.read_only;
        mounts[o->mount_count++] = m;
    }
    return 0;
}

static int find_gpus(struct host *h, struct arena *a, struct gpu_files *ret, struct err *err)
{
    int minors[GPU_MOST], count = gpu_monitor_count(h->gpus);

    if (count < (int)list_count(h->order->gpus))
        return fail(err, ERR_INTERNAL, "%zu GPUs were granted, and the driver tells of %d of them%s%s",
                    list_count(h->order->gpus), count, *gpu_monitor_why(h->gpus) ? ": " : "",
                    gpu_monitor_why(h->gpus));
    for (int i = 0; i < count; i++)
        minors[i] = gpu_monitor_gpu(h->gpus, i)->minor;
    return gpu_files_find(a, minors, count, gpu_monitor_library(h->gpus), ret, err);
}

/* The start says what a user of AWS would not expect. */
static void say_no_gpu(struct host *h, struct arena *a)
{
    if (h->order->gpus_absent)
        logs_line(h->logs, arena_printf(a, "sagebrush: %s has %lld GPUs on AWS, and this machine has none: it runs on "
                                           "the CPU", h->order->instance_type, (long long)h->order->gpus_absent));
}

static int host_start(struct world *w, struct err *err)
{
    struct host *h = host_of(w);
    _cleanup_arena_ struct arena *a = arena_new();
    struct bundle_mount mounts[4 + CHANNELS_MAX + GPU_FILES_MOST];
    struct gpu_files *gpus = arena_new_of(a, struct gpu_files);
    const char *program = NULL;
    struct box_order o = { .image = &h->image, .network = &h->network, .mounts = mounts,
                           .host_name = h->order->host_name, .memory_bytes = h->order->memory_bytes,
                           .cpu_weight = h->order->cpu_weight };

    /* The image is found again by an agent that came after the one that prepared. */
    if (!h->image.title && find_image(h, err) < 0)
        return -1;
    if (set_up(h, false, err) < 0)
        return -1;
    if (h->image.kind == IMAGE_HOST && h->process) {
        if (program_path(a, h->image.program, &program, err) < 0)
            return -1;
    } else if (h->image.kind == IMAGE_HOST) {
        program = arena_printf(a, "/opt/sagebrush/%s", h->image.program);
    }
    mounts[o.mount_count++] = (struct bundle_mount){ .source = h->ml, .at = "/opt/ml" };
    if (mount_channels(h, a, &o, mounts, err) < 0)
        return -1;
    if (*h->order->checkpoint_s3_uri && !h->process && strcmp(h->order->checkpoint_path, "/opt/ml/checkpoints") != 0 &&
        strcmp(h->order->checkpoint_path, "/opt/ml/checkpoints/") != 0)
        mounts[o.mount_count++] =
            (struct bundle_mount){ .source = checkpoints_of(h, a), .at = h->order->checkpoint_path };
    if (!h->process && !h->order->isolated) {
        const char *folder = arena_printf(a, "%s/images/botocore", h->order->data_folder);

        if (api_write_endpoints(a, folder, err) < 0)
            return -1;
        mounts[o.mount_count++] =
            (struct bundle_mount){ .source = folder, .at = "/run/sagebrush/botocore", .read_only = true };
    }
    if (list_count(h->order->gpus) && find_gpus(h, a, gpus, err) < 0)
        return -1;
    for (int i = 0; i < gpus->mount_count; i++)
        mounts[o.mount_count++] = gpus->mounts[i];
    o.devices = gpus->devices;
    o.device_count = gpus->device_count;
    say_no_gpu(h, a);
    if (h->order->cpus > 0 && h->order->cpus < sysconf(_SC_NPROCESSORS_ONLN))
        o.cpus = (double)h->order->cpus;
    o.arguments = ml_command(a, h->order, &h->image, program);
    o.environment = ml_environment(a, h->order, &h->image, h->process ? h->ml : NULL,
                                   h->process && !order_ends(h->order) ? h->port : 0);
    o.hosts = host_lines(h, a);
    return box_start(a, &h->box, &o, err);
}

static int host_kill(struct world *w, enum box_signal what, struct err *err)
{
    struct host *h = host_of(w);
    _cleanup_arena_ struct arena *a = arena_new();

    if (h->syncer && what == BOX_TERMINATE)
        syncer_hurry(h->syncer);
    if (h->outputs)
        outputs_hurry(h->outputs);
    if (h->syncer && what == BOX_KILL)
        syncer_before_kill(h->syncer);
    return box_signal(a, &h->box, what, err);
}

static int host_clear(struct world *w, struct err *err)
{
    struct host *h = host_of(w);
    _cleanup_arena_ struct arena *a = arena_new();

    loop_watch_free(h->watch);
    h->watch = NULL;
    meter_free(h->meter);
    h->meter = NULL;
    return box_clear(a, &h->box, err);
}

/* --- Health --- */

static void ping_head(void *owner, const struct http_head *head)
{
    struct host *h = owner;

    h->ping = head->status == 200 ? PING_HEALTHY : PING_BAD;
    snprintf(h->ping_words, sizeof h->ping_words, "HTTP %d", head->status);
}

static void ping_body(void *owner, const char *data, size_t size)
{
}

static void ping_end(void *owner)
{
    struct host *h = owner;

    h->call = NULL;
    tell(h);
}

static void ping_failed(void *owner, enum http_failure failure, const char *why)
{
    struct host *h = owner;

    h->ping = PING_BAD;
    if (failure == HTTP_TIMED_OUT)
        why = "no answer within 2 s";
    snprintf(h->ping_words, sizeof h->ping_words, "%s", why);
    ping_end(owner);
}

static const struct http_call_events ping_events = {
    .head = ping_head, .body = ping_body, .end = ping_end, .failed = ping_failed
};

static void host_ping(struct world *w)
{
    struct host *h = host_of(w);
    char name[64];

    if (h->call || !h->network.address)
        return;
    if (!h->upstream)
        h->upstream = http_upstream_new(&(struct http_upstream_options){ .loop = h->loop,
                                                                          .address = h->network.address,
                                                                          .port = h->port,
                                                                          .max_idle = 1,
                                                                          .idle_ms = 1,
                                                                          .connect_ms = 250 });
    snprintf(name, sizeof name, "%s:%d", h->network.address, h->port);
    buf_clear(&h->ping_request);
    http_write_request(&h->ping_request, STR("GET"), STR("/ping"));
    http_write_header(&h->ping_request, STR("Host"), str_of(name));
    http_write_end(&h->ping_request);
    h->ping = PING_BUSY;
    h->call = http_call_start(h->upstream,
                              &(struct http_call_options){ .head = { h->ping_request.data, h->ping_request.size },
                                                            .answer_ms = PING_MS,
                                                            .events = &ping_events,
                                                            .owner = h });
}

static enum ping host_pinged(struct world *w)
{
    struct host *h = host_of(w);
    enum ping p = h->call ? PING_BUSY : h->ping;

    if (!h->call)
        h->ping = PING_NONE;
    return p;
}

static const char *host_ping_words(struct world *w)
{
    return host_of(w)->ping_words;
}

static void host_address(struct world *w, const char **ret_address, int *ret_port)
{
    *ret_address = host_of(w)->network.address;
    *ret_port = host_of(w)->port;
}

/* --- Reports and facts --- */

static bool host_stop_asked(struct world *w, int64_t *ret_grace_s)
{
    struct host *h = host_of(w);
    _cleanup_arena_ struct arena *a = arena_new();
    const struct doc *d;
    struct err ignored;

    if (folder_read(a, h->folder, FOLDER_STOP, &d, &ignored) < 0 || !d)
        return false;
    *ret_grace_s = doc_int(d, "grace_s", 120);
    return true;
}

static bool host_taken_back(struct world *w)
{
    _cleanup_arena_ struct arena *a = arena_new();
    const struct doc *d;
    struct err ignored;

    return folder_read(a, host_of(w)->folder, FOLDER_STOP, &d, &ignored) == 0 && doc_is(d, "reason", STOP_TAKEN_BACK);
}

/* What a GPU reported that is the program's fault, or none, is said; the first of the others ends the container. */
static void take_gpu_faults(struct host *h, struct arena *a)
{
    struct gpu_fault f;

    while (gpu_monitor_fault(h->gpus, &f)) {
        logs_line(h->logs, arena_printf(a, "sagebrush: %s", f.words));
        if (!*h->gpu_fault.words && (f.effect == XID_RESTART || f.effect == XID_BROKEN))
            h->gpu_fault = f;
    }
}

static const char *host_overfull(struct world *w, struct arena *a)
{
    struct host *h = host_of(w);
    const char *why = feeder_failed(a, h->folder);

    take_gpu_faults(h, a);
    if (*h->gpu_fault.words)
        return arena_printf(a, "InternalServerError: instance unhealthy: %s. Start the job again.",
                            h->gpu_fault.words);
    return *why ? why : volume_full(h->volume, a);
}

/* For the control plane, which gives the GPU to nobody any more. */
static void report_gpu_fault(struct host *h, struct arena *a, struct report *r)
{
    const struct gpu_fault *f = &h->gpu_fault;
    struct doc *d = doc_map(a);

    if (!*f->words)
        return;
    doc_set_integer(a, d, "index", f->index);
    doc_set_integer(a, d, "xid", f->xid);
    doc_set_string(a, d, "uuid", f->uuid);
    doc_set_string(a, d, "why", f->words);
    doc_set_boolean(a, d, "broken", f->effect == XID_BROKEN);
    report_set_doc(r, "gpu_fault", d);
}

/* Room that the job cannot have: a full disk still has a report, and the words why. */
static void keep_room(struct host *h)
{
    _cleanup_fd_ int fd = open(h->reserve, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

    if (fd >= 0 && fallocate(fd, 0, 0, RESERVE_BYTES) < 0)
        unlink(h->reserve);
}

static bool host_save(struct world *w, struct report *r, bool durable)
{
    struct host *h = host_of(w);
    _cleanup_arena_ struct arena *a = arena_new();
    const struct doc *report;
    struct err err;
    int result;

    report_gpu_fault(h, a, r);
    report = report_next(r);
    result = folder_write(a, h->folder, FOLDER_REPORT, report, durable, &err);

    if (result < 0 && unlink(h->reserve) == 0)
        result = folder_write(a, h->folder, FOLDER_REPORT, report, durable, &err);
    if (result < 0) {
        log_error("report.unsaved", "why=%s", log_quote(a, err.text));
        return false;
    }
    report_saved(r);
    logs_poke(h->logs);
    return true;
}

static void host_say(struct world *w, const char *line)
{
    logs_line(host_of(w)->logs, line);
}

/* A file of the job's: only a regular one, never through a link, never a pipe that would make us wait. */
static int open_theirs(const char *path)
{
    int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
    struct stat st;

    if (fd >= 0 && (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)))
        fd_cleanup(&fd);
    return fd;
}

static const char *printable(struct arena *a, const char *data, size_t size)
{
    char *text = arena_strndup(a, data, size);

    for (char *p = text; p < text + size; p++)
        if ((unsigned char)*p < ' ' && *p != '\n' && *p != '\t')
            *p = ' ';
    return utf8_valid(str_of(text)) ? text : arena_strdup(a, "(its text is no UTF-8)");
}

static const char *host_words(struct world *w, struct arena *a)
{
    struct host *h = host_of(w);
    _cleanup_fd_ int failure = -1, output = -1;
    char text[TAIL_BYTES];
    struct err none;
    struct stat st;
    struct str cause;
    ssize_t n;

    if (file_open_beneath(h->ml, arena_printf(a, "output/%s", order_reason_file(h->order)), &failure, &none) == 0) {
        n = read(failure, text, FAILURE_MAX);
        /* Cut where a character ends; the verdict shortens it to what AWS shows. */
        while (n == FAILURE_MAX && n > FAILURE_MAX - 4 && ((unsigned char)text[n - 1] & 0x80))
            n--;
        if (n > 0)
            return printable(a, text, (size_t)n);
    }
    output = open_theirs(arena_printf(a, "%s/" FOLDER_OUTPUT, h->folder));
    if (output < 0 || fstat(output, &st) < 0)
        return "";
    n = pread(output, text, sizeof text, st.st_size > TAIL_BYTES ? st.st_size - TAIL_BYTES : 0);
    if (n <= 0)
        return "";
    cause = cause_in((struct str){ text, (size_t)n });
    return printable(a, cause.data, cause.size);
}

/* How many of the bytes are whole characters, of a text that goes on behind them. */
static size_t utf8_cut(const char *text, size_t size)
{
    while (size && ((unsigned char)text[size] & 0xc0) == 0x80)
        size--;
    return size;
}

/* The first kilobyte, cut where a character ends. */
static int host_exit_message(struct world *w, struct arena *a, const char **ret, struct err *err)
{
    char text[MESSAGE_MAX + 1];
    _cleanup_fd_ int fd = -1;
    struct str message;
    struct err ignored;
    ssize_t n;

    *ret = "";
    if (file_open_beneath(host_of(w)->ml, "output/message", &fd, &ignored) < 0)
        return 0;
    n = read(fd, text, sizeof text);
    if (n <= 0)
        return 0;
    message = (struct str){ text, n > MESSAGE_MAX ? utf8_cut(text, MESSAGE_MAX) : (size_t)n };
    if (memchr(text, 0, message.size) || !utf8_valid(message))
        return fail(err, ERR_INVALID, "what the job wrote to /opt/ml/output/message is no UTF-8 text");
    *ret = str_dup(a, message);
    return 0;
}

static bool host_out_of_memory(struct world *w)
{
    struct host *h = host_of(w);
    _cleanup_arena_ struct arena *a = arena_new();
    struct cgroup_usage u;

    if (h->process)
        return false;
    cgroup_read(a, h->order->name, &u);
    return u.oom_kills > 0;
}

static const char *host_model_artifacts(struct world *w)
{
    return host_of(w)->model ? host_of(w)->model : "";
}

static bool host_others_saved(struct world *w)
{
    const struct order *o = host_of(w)->order;

    return !order_trains(o) || !handover_leads(o) || handover_complete(o);
}

static void host_to_save(struct world *w, enum saving saving)
{
    struct host *h = host_of(w);

    /* Its thread reads it. */
    if (h->work[TASK_SAVE].state == TASK_NONE)
        h->saving = saving;
}

static struct doc *host_final_metrics(struct world *w, struct arena *a)
{
    return logs_final_metrics(host_of(w)->logs, a);
}

static int end_feeder(struct host *h, struct err *err)
{
    loop_timer_stop(h->loop, &h->feeder_timer);
    feeder_free(h->feeder);
    h->feeder = NULL;
    return feeder_wanted(h->order) ? feeder_remove(h->folder, err) : 0;
}

static int host_tidy(struct world *w, struct err *err)
{
    struct host *h = host_of(w);
    _cleanup_arena_ struct arena *a = arena_new();
    static const char *const folders[] = { "ml", "root", "upper", "work", "etc", "handover" };

    api_free(h->api);
    h->api = NULL;
    loop_watch_free(h->watch);
    loop_watch_free(h->handover_watch);
    h->watch = h->handover_watch = NULL;
    early_end(h);
    if (box_remove(a, &h->box, err) < 0 || end_feeder(h, err) < 0)
        return -1;
    unlink(h->reserve);
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++)
        if (tree_remove(arena_printf(a, "%s/%s", h->folder, folders[i]), err) < 0)
            return -1;
    return 0;
}

/* --- Making and ending --- */

/* From the logs' thread. */
static void logs_changed(void *data)
{
    loop_post(((struct host *)data)->loop, happened, data);
}

int host_new(const struct host_options *options, struct host **ret, struct err *err)
{
    struct host *h = calloc(1, sizeof *h);
    struct exit_record record;
    int fd;

    assert(h);
    h->world = (struct world) {
        .wall_ms = host_wall_ms,
        .boot_ms = host_boot_ms,
        .look = host_look,
        .start = host_start,
        .attach = host_attach,
        .kill = host_kill,
        .clear = host_clear,
        .begin = host_begin,
        .task = host_task,
        .cancel = host_cancel,
        .ping = host_ping,
        .pinged = host_pinged,
        .ping_words = host_ping_words,
        .address = host_address,
        .stop_asked = host_stop_asked,
        .taken_back = host_taken_back,
        .overfull = host_overfull,
        .save = host_save,
        .say = host_say,
        .words = host_words,
        .exit_message = host_exit_message,
        .out_of_memory = host_out_of_memory,
        .model_artifacts = host_model_artifacts,
        .to_save = host_to_save,
        .others_saved = host_others_saved,
        .final_metrics = host_final_metrics,
        .tidy = host_tidy,
    };
    h->loop = options->loop;
    h->clock = clock_system();
    h->order = options->order;
    h->happened = options->happened;
    h->data = options->data;
    h->arena = arena_new();
    h->folder = arena_strdup(h->arena, options->folder);
    h->ml = arena_printf(h->arena, "%s/ml", h->folder);
    h->reserve = arena_printf(h->arena, "%s/reserve", h->folder);
    h->process = strcmp(h->order->runtime, "process") == 0;
    h->box = (struct box){ .name = h->order->name,
                           .folder = h->folder,
                           .run_folder = h->order->run_folder,
                           .images = arena_printf(h->arena, "%s/images", h->order->data_folder),
                           .process = h->process };
    for (int i = 0; i < TASK_COUNT; i++) {
        h->work[i] = (struct work){ .host = h, .task = (enum task)i, .cancel = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK) };
        assert(h->work[i].cancel >= 0);
    }
    /* There from the start, so that it can be watched. */
    fd = open(arena_printf(h->arena, "%s/" FOLDER_OUTPUT, h->folder),
              O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        fail_errno(err, errno, "create %s/" FOLDER_OUTPUT, h->folder);
        host_free(h);
        return -1;
    }
    close(fd);
    keep_room(h);
    if (options->fresh && !h->process)
        early_begin(h);
    /* Once the container was started these folders are its own, and it may have put links there. */
    if (box_look(h->arena, &h->box, &record, err) < 0 ||
        (record.state == EXIT_NONE && ml_make(h->arena, h->order, h->ml, err) < 0)) {
        host_free(h);
        return -1;
    }
    h->logs = logs_new(&(struct logs_options){ .folder = h->folder, .order = h->order, .clock = h->clock,
                                               .changed = logs_changed, .data = h });
    *ret = h;
    return 0;
}

void host_free(struct host *h)
{
    if (!h)
        return;
    h->closing = true;
    early_end(h);
    for (int i = 0; i < TASK_COUNT; i++) {
        host_cancel(&h->world, (enum task)i);
        if (h->work[i].joinable)
            pthread_join(h->work[i].thread, NULL);
        h->work[i].joinable = false;
        fd_cleanup(&h->work[i].cancel);
    }
    syncer_free(h->syncer);
    outputs_free(h->outputs);
    loop_timer_stop(h->loop, &h->feeder_timer);
    feeder_free(h->feeder);
    meter_free(h->meter);
    volume_free(h->volume);
    gpu_monitor_free(h->gpus);
    http_call_cancel(h->call);
    http_upstream_free(h->upstream);
    buf_free(&h->ping_request);
    logs_free(h->logs);
    api_free(h->api);
    loop_watch_free(h->watch);
    loop_watch_free(h->handover_watch);
    /* What the threads had posted before they ended still points here. */
    loop_turn(h->loop, false);
    arena_free(h->early.arena);
    arena_free(h->arena);
    free(h);
}

int host_abandon(struct host *h, struct err *err)
{
    _cleanup_arena_ struct arena *a = arena_new();

    early_end(h);
    if (box_remove(a, &h->box, err) < 0 || end_feeder(h, err) < 0)
        return -1;
    /* What a removal could not reach below the mounts. */
    return tree_remove(h->folder, err);
}

struct world *host_world(struct host *h)
{
    return &h->world;
}
