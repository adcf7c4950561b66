/* host.c - the world of a real agent: what takes time runs on threads of its own and tells the loop when it is done. */
#include "agent/host.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/api.h"
#include "agent/baseline.h"
#include "agent/cache.h"
#include "agent/cargo.h"
#include "agent/feeder.h"
#include "agent/handover.h"
#include "agent/handover_listener.h"
#include "agent/infra.h"
#include "agent/last_words.h"
#include "agent/launch.h"
#include "agent/logs.h"
#include "agent/meter.h"
#include "agent/ml.h"
#include "agent/pinger.h"
#include "agent/tunnel.h"
#include "agent/uplink.h"
#include "agent/volume.h"
#include "agent/worker.h"
#include "base/fd.h"
#include "base/log.h"
#include "run/agents.h"
#include "run/cgroup.h"
#include "run/folder.h"
#include "run/gpu_monitor.h"
#include "run/network_look.h"
#include "run/runtime.h"

enum { RESERVE_BYTES = 256 << 10 };

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
    bool used; /* the container was started by an agent before this one */
    struct image image; /* by TASK_PREPARE */
    struct uplink uplink;
    struct cargo cargo;
    struct infra infra;
    struct worker check, prepare, save;
    enum task_state drain;
    struct api *api;
    struct logs *logs;
    struct loop_watch *watch, *handover_watch; /* of box/, of handover/ */
    struct handover_listener *listener; /* for what the others have; NULL: they are here, or have nothing */
    struct pinger *pinger;

    struct feeder *feeder; /* of pipes and FastFile channels, from the container's start on */
    struct volume *volume; /* while a training container runs */
    struct meter *meter;   /* while a container runs */
    struct gpu_monitor *gpus; /* of those it was given, while the container runs; NULL: none */
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

static void tell(void *data)
{
    struct host *h = data;

    if (!h->closing)
        h->happened(h->data);
}

/* For those that notice something on a thread of their own. */
static void post(void *data)
{
    loop_post(((struct host *)data)->loop, tell, data);
}

/* --- Tasks --- */

static int find_image(struct host *h, struct err *err)
{
    const struct image_places places = { h->order->data_folder, h->order->archives_folder };

    return image_find(h->arena, &places, h->order->image, order_has_script(h->order->doc), &h->image, err);
}

static int check(void *data, int cancel_fd, struct err *err)
{
    return infra_check(&((struct host *)data)->infra, cancel_fd, err);
}

static int make_ml(struct host *h, struct err *err)
{
    return ml_make(h->arena, h->order, h->ml, err) < 0 ? -1 : cache_place(h->arena, h->order, h->folder, h->ml, err);
}

static int prepare(void *data, int cancel_fd, struct err *err)
{
    struct host *h = data;

    /* A container had the folders, and may have put links there: what is brought again goes through none. */
    if (h->used && (tree_remove(h->ml, err) < 0 || make_ml(h, err) < 0))
        return -1;
    return find_image(h, err) < 0 ? -1 : cargo_bring(&h->cargo, &h->image, cancel_fd, err);
}

static int save(void *data, int cancel_fd, struct err *err)
{
    return cargo_save(&((struct host *)data)->cargo, cancel_fd, err);
}

/* Nothing to fetch and nothing to unpack: the start does not wait for a thread. */
static bool preparing_takes_time(struct host *h)
{
    struct image image;

    return cargo_waits(&h->cargo) ||
           !image_is_hosted(h->arena, h->order->image, order_has_script(h->order->doc), &image);
}

/* What the agent itself writes, for the upload, is not the container's. */
static void end_volume(struct host *h)
{
    volume_free(h->volume);
    h->volume = NULL;
}

static void drain(struct host *h)
{
    if (h->drain != TASK_NONE)
        return;
    logs_end(h->logs);
    h->drain = TASK_BUSY;
}

static void host_begin(struct world *w, enum task task)
{
    struct host *h = host_of(w);

    if (task == TASK_CHECK) {
        worker_begin(&h->check, infra_check_takes_time(&h->infra));
        return;
    }
    if (task == TASK_PREPARE) {
        worker_begin(&h->prepare, preparing_takes_time(h));
        return;
    }
    /* The others come after the container. */
    meter_end(h->meter);
    end_volume(h);
    infra_rest(&h->infra);
    if (task == TASK_SAVE)
        worker_begin(&h->save, true);
    else
        drain(h);
}

static struct worker *worker_of(struct host *h, enum task task)
{
    return task == TASK_CHECK ? &h->check : task == TASK_PREPARE ? &h->prepare : &h->save;
}

static enum task_state host_task(struct world *w, enum task task, struct err *err)
{
    struct host *h = host_of(w);
    const struct worker *k = worker_of(h, task);

    if (task == TASK_DRAIN) {
        if (h->drain == TASK_BUSY && logs_done(h->logs))
            h->drain = TASK_DONE;
        return h->drain;
    }
    if (k->state == TASK_FAILED)
        *err = k->err;
    return k->state;
}

/* The log's rest goes to the server as long as there is an agent. */
static void host_cancel(struct world *w, enum task task)
{
    if (task != TASK_DRAIN)
        worker_cancel(worker_of(host_of(w), task));
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

static void box_changed(void *data, const char *name)
{
    tell(data);
}

static int start_feeder(struct host *h, bool started, struct err *err)
{
    if (feeder_new(h->order, h->folder, started, &h->feeder, err) < 0)
        return -1;
    feeder_watch(h->feeder, h->loop, tell, h);
    return 0;
}

static int watch_folder(struct host *h, const char *name, struct loop_watch **watch, struct err *err)
{
    const char *folder = arena_printf(h->arena, "%s/%s", h->folder, name);

    if (*watch)
        return 0;
    if (mkdir(folder, 0700) < 0 && errno != EEXIST)
        return fail_errno(err, errno, "mkdir %s", folder);
    return loop_watch_new(h->loop, folder, box_changed, h, watch, err);
}

/* The first instance, from before its container's start until it has what they have. */
static int hear_others(struct host *h, struct err *err)
{
    if (!order_trains(h->order) || !h->order->peers || !handover_leads(h->order))
        return 0;
    if (watch_folder(h, "handover", &h->handover_watch, err) < 0)
        return -1;
    return h->listener ? 0 : handover_listen(h->order, &h->uplink, &h->listener, err);
}

/* Before the container is made: what the driver tells of them goes into it. */
static void watch_gpus(struct host *h)
{
    if (!h->gpus && order_gpus(h->order))
        h->gpus = gpu_monitor_new(&(struct gpu_monitor_options){ .only = order_gpus(h->order), .happened = post,
                                                                 .data = h });
}

/* The disk, and what is used of everything. When the container runs: nobody waits for it until then. */
static void begin_measuring(struct host *h)
{
    if (!h->volume && (order_ends(h->order) || h->order->disk_bytes))
        h->volume = volume_new(&(struct volume_options){ .folder = h->folder, .order = h->order, .clock = h->clock,
                                                         .full = post, .data = h });
    if (!h->meter && !h->process)
        h->meter = meter_new(&(struct meter_options){ .loop = h->loop, .clock = h->clock, .order = h->order,
                                                      .folder = h->folder, .logs = h->logs, .volume = h->volume,
                                                      .gpus = h->gpus });
    infra_watch(&h->infra, &(struct infra_watch){ .loop = h->loop, .gpus = h->gpus, .happened = tell, .data = h });
}

/* Network, listeners and watches: what belongs to a running container and not to its files. */
static int set_up(struct host *h, bool started, struct err *err)
{
    if (uplink_connect(&h->uplink, err) < 0)
        return -1;
    tunnel_watch(h->uplink.tunnel, h->loop, tell, h);
    if (!h->process && !h->order->isolated && !h->api && *h->order->api_socket &&
        api_new(h->loop, h->clock, h->order, h->folder, &h->uplink.network, &h->api, err) < 0)
        return -1;
    if (watch_folder(h, "box", &h->watch, err) < 0)
        return -1;
    if (hear_others(h, err) < 0)
        return -1;
    watch_gpus(h);
    if (!h->feeder && feeder_wanted(h->order) && start_feeder(h, started, err) < 0)
        return -1;
    return cargo_follow(&h->cargo, err);
}

static int host_attach(struct world *w, struct err *err)
{
    struct host *h = host_of(w);

    if (set_up(h, true, err) < 0)
        return -1;
    begin_measuring(h);
    return 0;
}

/* The start says what a user of AWS would not expect. */
static void say_no_gpu(struct host *h, struct arena *a)
{
    if (h->order->gpus_absent)
        logs_line(h->logs, arena_printf(a, "sagebrush: %s has %lld GPU%s, and this machine has none: it runs on "
                                           "the CPU", h->order->instance_type, (long long)h->order->gpus_absent,
                                        h->order->gpus_absent == 1 ? "" : "s"));
}

static int host_start(struct world *w, struct err *err)
{
    struct host *h = host_of(w);
    _cleanup_arena_ struct arena *a = arena_new();

    /* The image is found again by an agent that came after the one that prepared. */
    if (!h->image.title && find_image(h, err) < 0)
        return -1;
    if (set_up(h, false, err) < 0)
        return -1;
    say_no_gpu(h, a);
    baseline_forget(h->folder);
    if (launch(a, &(struct launch){ .order = h->order, .folder = h->folder, .ml = h->ml, .process = h->process,
                                    .checkpoints = h->cargo.checkpoints, .image = &h->image, .uplink = &h->uplink,
                                    .gpus = h->gpus }, &h->box, err) < 0)
        return -1;
    begin_measuring(h);
    return 0;
}

static int host_kill(struct world *w, enum box_signal what, struct err *err)
{
    struct host *h = host_of(w);
    _cleanup_arena_ struct arena *a = arena_new();

    cargo_hurry(&h->cargo, what);
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
    infra_rest(&h->infra);
    return box_clear(a, &h->box, err);
}

/* --- Health --- */

static void host_ping(struct world *w)
{
    struct host *h = host_of(w);

    if (h->uplink.network.address)
        pinger_ask(h->pinger, h->uplink.network.address, h->uplink.port);
}

static enum ping host_pinged(struct world *w)
{
    return pinger_answer(host_of(w)->pinger);
}

static const char *host_ping_words(struct world *w)
{
    return pinger_words(host_of(w)->pinger);
}

static void host_address(struct world *w, const char **ret_address, int *ret_port)
{
    *ret_address = host_of(w)->uplink.network.address;
    *ret_port = host_of(w)->uplink.port;
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

static const char *host_overfull(struct world *w, struct arena *a)
{
    struct host *h = host_of(w);
    const char *unfit = infra_trouble(&h->infra, a), *why = feeder_failed(a, h->folder);

    if (*unfit)
        return unfit;
    if (*tunnel_failed(h->uplink.tunnel))
        return tunnel_failed(h->uplink.tunnel);
    return *why ? why : volume_full(h->volume, a);
}

static struct doc *host_signs(struct world *w, struct arena *a)
{
    return infra_signs(&host_of(w)->infra, a);
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

    if (h->check.state != TASK_BUSY)
        infra_report(&h->infra, a, r);
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

static struct doc *host_saving(struct world *w, struct arena *a)
{
    return cargo_saving(&host_of(w)->cargo, a);
}

static void host_say(struct world *w, const char *line)
{
    logs_line(host_of(w)->logs, line);
}

static struct last_words words_of(struct host *h)
{
    return (struct last_words) { .folder = h->folder, .ml = h->ml, .reason_file = order_reason_file(h->order) };
}

static const char *host_words(struct world *w, struct arena *a)
{
    struct last_words l = words_of(host_of(w));

    return last_words(a, &l);
}

static int host_exit_message(struct world *w, struct arena *a, const char **ret, struct err *err)
{
    struct last_words l = words_of(host_of(w));

    return last_words_message(a, &l, ret, err);
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

static bool host_others_saved(struct world *w)
{
    struct host *h = host_of(w);
    struct err err = { 0 };

    if (!order_trains(h->order) || !handover_leads(h->order) || handover_complete(h->order))
        return true;
    /* Of an agent that came after one that was killed. */
    if (hear_others(h, &err) < 0) {
        _cleanup_arena_ struct arena *a = arena_new();

        log_warning("handover.deaf", "name=%s why=%s", h->order->name, log_quote(a, err.text));
    }
    return false;
}

static struct doc *host_final_metrics(struct world *w, struct arena *a)
{
    return logs_final_metrics(host_of(w)->logs, a);
}

static const char *host_model_artifacts(struct world *w)
{
    return host_of(w)->cargo.model;
}

static void host_to_save(struct world *w, enum saving saving)
{
    struct host *h = host_of(w);

    /* Its thread reads it. */
    if (h->save.state == TASK_NONE)
        h->cargo.saving = saving;
}

static int end_feeder(struct host *h, struct err *err)
{
    feeder_free(h->feeder);
    h->feeder = NULL;
    return feeder_wanted(h->order) ? feeder_remove(h->folder, err) : 0;
}

/* Before the container's addresses are given back: its socket is bound to one of them. */
static int end_tunnel(struct host *h, struct err *err)
{
    tunnel_free(h->uplink.tunnel);
    h->uplink.tunnel = NULL;
    return tunnel_wanted(h->order) ? tunnel_remove(h->folder, err) : 0;
}

static bool host_undelivered(struct world *w)
{
    struct host *h = host_of(w);

    return list_count(h->order->hosts) > 1 && network_undelivered(&h->uplink.network);
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
    handover_listener_free(h->listener);
    h->listener = NULL;
    uplink_wait(&h->uplink);
    if (end_tunnel(h, err) < 0 || box_remove(a, &h->box, err) < 0 || end_feeder(h, err) < 0 ||
        cache_keep(a, h->order, h->folder, h->ml, err) < 0)
        return -1;
    unlink(h->reserve);
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++)
        if (tree_remove(arena_printf(a, "%s/%s", h->folder, folders[i]), err) < 0)
            return -1;
    return 0;
}

/* --- Making and ending --- */

static const struct world functions = {
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
    .signs = host_signs,
    .saving = host_saving,
    .save = host_save,
    .say = host_say,
    .words = host_words,
    .exit_message = host_exit_message,
    .out_of_memory = host_out_of_memory,
    .model_artifacts = host_model_artifacts,
    .to_save = host_to_save,
    .others_saved = host_others_saved,
    .final_metrics = host_final_metrics,
    .undelivered = host_undelivered,
    .tidy = host_tidy,
};

static void init(struct host *h, const struct host_options *options)
{
    h->world = functions;
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
    h->uplink = (struct uplink){ .order = h->order, .folder = h->folder, .process = h->process };
    h->cargo = (struct cargo){ .order = h->order, .folder = h->folder, .ml = h->ml, .clock = h->clock, .box = &h->box,
                               .uplink = &h->uplink, .checkpoints = arena_printf(h->arena, "%s/checkpoints", h->ml) };
    h->infra = (struct infra){ .order = h->order, .folder = h->folder, .clock = h->clock, .uplink = &h->uplink };
    h->check = (struct worker){ .loop = h->loop, .run = check, .done = tell, .data = h };
    h->prepare = (struct worker){ .loop = h->loop, .run = prepare, .done = tell, .data = h };
    h->save = (struct worker){ .loop = h->loop, .run = save, .done = tell, .data = h };
    if (options->network)
        h->uplink.network = *options->network;
    uplink_init(&h->uplink);
    infra_init(&h->infra);
    worker_init(&h->check);
    worker_init(&h->prepare);
    worker_init(&h->save);
    h->pinger = pinger_new(h->loop, tell, h);
}

/* There from the start, so that it can be watched. */
static int make_output(struct host *h, struct err *err)
{
    const char *path = arena_printf(h->arena, "%s/" FOLDER_OUTPUT, h->folder);
    _cleanup_fd_ int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);

    return fd < 0 ? fail_errno(err, errno, "create %s", path) : 0;
}

/* What is in the folder: all of it new, or left by an agent before this one. */
static int look_around(struct host *h, bool fresh, struct err *err)
{
    struct exit_record record;

    if (make_output(h, err) < 0)
        return -1;
    keep_room(h);
    if (fresh)
        uplink_early(&h->uplink);
    if (box_look(h->arena, &h->box, &record, err) < 0)
        return -1;
    h->used = !fresh || record.state != EXIT_NONE;
    return h->used ? 0 : make_ml(h, err);
}

int host_new(const struct host_options *options, struct host **ret, struct err *err)
{
    struct host *h = calloc(1, sizeof *h);

    assert(h);
    init(h, options);
    if (look_around(h, options->fresh, err) < 0) {
        host_free(h);
        return -1;
    }
    h->logs = logs_new(&(struct logs_options){ .folder = h->folder, .order = h->order, .clock = h->clock,
                                               .changed = post, .data = h });
    h->infra.logs = h->logs;
    *ret = h;
    return 0;
}

void host_free(struct host *h)
{
    if (!h)
        return;
    h->closing = true;
    uplink_wait(&h->uplink);
    worker_stop(&h->check);
    worker_stop(&h->prepare);
    worker_stop(&h->save);
    cargo_end(&h->cargo);
    feeder_free(h->feeder);
    meter_free(h->meter);
    volume_free(h->volume);
    gpu_monitor_free(h->gpus);
    pinger_free(h->pinger);
    handover_listener_free(h->listener);
    logs_free(h->logs);
    api_free(h->api);
    loop_watch_free(h->watch);
    loop_watch_free(h->handover_watch);
    /* What the threads had posted before they ended still points here. */
    loop_turn(h->loop, false);
    infra_end(&h->infra);
    uplink_end(&h->uplink);
    arena_free(h->arena);
    free(h);
}

int host_abandon(struct host *h, struct err *err)
{
    _cleanup_arena_ struct arena *a = arena_new();

    handover_listener_free(h->listener);
    h->listener = NULL;
    uplink_wait(&h->uplink);
    if (end_tunnel(h, err) < 0 || box_remove(a, &h->box, err) < 0 || end_feeder(h, err) < 0)
        return -1;
    /* What a removal could not reach below the mounts. */
    return tree_remove(h->folder, err);
}

struct world *host_world(struct host *h)
{
    return &h->world;
}
