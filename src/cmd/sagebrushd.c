/* sagebrushd.c - the control plane: everything of src/services around one store, one loop and one engine.
 *
 * A turn: what came in is run, the store is committed, the answers leave; then reconcile takes steps, and what it saved
 * is committed too before the snapshot that follows from it is published. While more rows are due, the commit of the
 * next turn, which comes at once, is theirs too: a burst of creates costs one fsync a turn. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/fd.h"
#include "aws/validate.h"
#include "base/log.h"
#include "doc/json.h"
#include "cmd/chores.h"
#include "cmd/tables.h"
#include "engine/bodies.h"
#include "engine/engine.h"
#include "engine/gateway.h"
#include "fleet/gpu_bank.h"
#include "net/http_server.h"
#include "net/loop.h"
#include "run/gpu_monitor.h"
#include "run/runtime.h"
#include "services/admin/admin.h"
#include "services/events/events.h"
#include "services/iam/identity.h"
#include "services/platform.h"
#include "services/routes.h"
#include "services/s3/s3.h"
#include "services/sagemaker/allocation.h"
#include "services/sagemaker/instance_gpus.h"
#include "services/sagemaker/kinds.h"
#include "services/sagemaker/node_health.h"
#include "sign/token.h"
#include "store/blob.h"
#include "store/store.h"

enum {
    BODY_THREADS = 16, /* they wait for the disk, which saves what many write as fast as what one does */
    STEPS_A_TURN = 16,         /* of reconcile, so that a thousand new jobs do not hold up an answer */
    CONFIG_MAX_BYTES = 1 << 20,
    FLEET_MAX_BYTES = 64 << 20,
    DRAIN_MS = 5000,
    TELL_MS = 1000,            /* what goes on failing is told once in so long */
    SLURM_CORES = 1 << 16, SLURM_SLOTS = 1000000, /* more than any cluster has */
    LOOK_FOR_ACK_MS = 1000,    /* the folder is watched; this is for the notice that was lost */
};

struct control {
    struct arena *arena; /* of the program's life */
    struct loop *loop;
    struct store *store;
    struct blobs *blobs;
    struct bodies *bodies;
    struct runtime *runtime;
    struct engine *engine;
    struct gateway *gateway;
    struct admin *admin;
    struct http_server *api, *jobs, *admin_server;
    struct platform platform;
    struct fleet fleet;
    struct own_values own_types; /* of instances */
    struct loop_hook hook;
    struct loop_timer due, ack_timer;
    struct loop_watch *watch;
    struct chores *chores;
    int64_t identities; /* the revision that the snapshot has */
    int64_t publish_again_ms; /* after one that failed */
    int64_t commit_told_ms;   /* when a commit that failed was logged last */
    int64_t deliver_again_ms; /* after a delivery that failed */
    bool posted;
    int draining; /* servers that still drain */
};

/* --- Identity --- */

static int identify(void *context, struct arena *a, const struct sigv4_claim *claim, const char *service,
                    struct identity *ret, struct err *err)
{
    struct control *c = context;
    struct principal *principal = arena_new_of(a, struct principal);
    struct identity_found found;

    if (identity_find(a, c->store, &c->platform, claim, service, clock_wall_ms(clock_system()), &found, err) < 0)
        return -1;
    *principal = found.principal;
    *ret = (struct identity){ str_of(found.secret_access_key), principal };
    return 0;
}

static void local(void *context, struct http_exchange *x)
{
    admin_handle_public(x, ((struct control *)context)->admin);
}

/* The part of the snapshot that tells the data plane who may call. */
static int publish_identities(struct control *c, struct err *err)
{
    _cleanup_arena_ struct arena *a = arena_new();
    int64_t revision = identity_revision();
    struct doc *identities;

    if (identity_snapshot(a, c->store, &c->platform, &identities, err) < 0)
        return -1;
    routes_set_identities(c->platform.routes, identities);
    c->identities = revision;
    return 0;
}

/* --- The turn --- */

static int commit(struct control *c)
{
    struct err err;
    int result = engine_commit(c->engine, &err);

    if (result < 0 && loop_now_ms(c->loop) >= c->commit_told_ms + TELL_MS) {
        log_error("control.commit", "error=\"%s\"", err.text);
        c->commit_told_ms = loop_now_ms(c->loop);
    }
    if (result < 0)
        c->platform.events_delivered = false; /* as far as this turn carried them out, it did not */
    gateway_flush(c->gateway, result < 0 ? &err : NULL);
    admin_flush(c->admin, result < 0 ? &err : NULL);
    bodies_sweep(c->bodies);
    return result;
}

static void nothing(void *data)
{
    ((struct control *)data)->posted = false;
}

/* Another turn, though nothing comes in. */
static void come_again(struct control *c)
{
    if (!c->posted)
        loop_post(c->loop, nothing, c);
    c->posted = true;
}

static void set_due(struct control *c, int64_t next_wall_ms)
{
    int64_t wait_ms = next_wall_ms - clock_wall_ms(clock_system());

    if (next_wall_ms == INT64_MAX)
        return;
    if (wait_ms <= 0)
        come_again(c);
    else
        loop_timer_set(c->loop, &c->due, loop_now_ms(c->loop) + wait_ms);
}

/* Only what is committed. A disk that is full is so for more than one turn: it is tried again, and told, each second,
 * when at the latest the next turn comes (ack_tick). */
static void publish(struct control *c)
{
    struct err err;

    if (loop_now_ms(c->loop) < c->publish_again_ms)
        return;
    if (c->identities != identity_revision() && publish_identities(c, &err) < 0)
        log_error("control.identities", "error=\"%s\"", err.text);
    if (routes_changed(c->platform.routes) && routes_publish(c->platform.routes, &err) < 0) {
        log_error("control.routes", "error=\"%s\"", err.text);
        c->publish_again_ms = loop_now_ms(c->loop) + TELL_MS;
    }
}

/* Between a commit and what is written next: only what is saved is told. */
static void deliver(struct control *c)
{
    struct err err;

    if (loop_now_ms(c->loop) >= c->deliver_again_ms && events_deliver(c->engine, &err) < 0) {
        log_error("control.events", "error=\"%s\"", err.text);
        c->deliver_again_ms = loop_now_ms(c->loop) + TELL_MS;
    }
}

static int64_t deliveries_due(const struct control *c, int64_t next_ms)
{
    int64_t wait_ms = c->deliver_again_ms - loop_now_ms(c->loop);
    int64_t due_ms = clock_wall_ms(clock_system()) + (wait_ms > 0 ? wait_ms : 0);

    return due_ms < next_ms ? due_ms : next_ms;
}

static void turn(struct loop_hook *hook)
{
    struct control *c = (struct control *)(void *)((char *)hook - offsetof(struct control, hook));
    int64_t next_ms = INT64_MAX, fleet_ms, later_ms;
    bool saved = commit(c) == 0;

    if (saved)
        deliver(c);
    publish(c);
    allocations_turn(c->engine);
    engine_reconcile(c->engine, STEPS_A_TURN, &next_ms);
    if (store_dirty(c->store) && next_ms > clock_wall_ms(clock_system())) {
        saved = commit(c) == 0;
        publish(c);
    }
    if (!c->platform.events_delivered)
        next_ms = deliveries_due(c, next_ms);
    fleet_ms = allocations_due_ms(c->engine);
    if (fleet_ms < next_ms)
        next_ms = fleet_ms;
    /* What was to be done at once and could not be saved is not tried without a pause. */
    later_ms = clock_wall_ms(clock_system()) + 1000;
    set_due(c, saved || next_ms > later_ms ? next_ms : later_ms);
}

static void due(struct loop_timer *timer)
{
    /* Being awake is enough: the turn's end does the rest. */
}

/* --- The data plane's acknowledgement --- */

/* Whoever waits for the data plane is an endpoint: all of them look again. */
static void touch_endpoints(struct control *c)
{
    _cleanup_arena_ struct arena *a = arena_new();
    const struct row_filter all = { .kind = endpoint.name, .limit = 100000 };
    const char *after;
    struct row *rows;
    struct err err;
    int count;

    if (store_row_list(a, c->store, &all, &rows, &count, &after, &err) < 0) {
        log_error("control.endpoints", "error=\"%s\"", err.text);
        return;
    }
    for (int i = 0; i < count; i++)
        engine_touch(c->engine, rows[i].uid);
}

static void look_for_ack(struct control *c)
{
    if (routes_read_ack(c->platform.routes))
        touch_endpoints(c);
}

static void folder_changed(void *data, const char *name)
{
    if (!name || strcmp(name, "route.ack") == 0)
        look_for_ack(data);
}

static void ack_tick(struct loop_timer *timer)
{
    struct control *c = (struct control *)(void *)((char *)timer - offsetof(struct control, ack_timer));

    look_for_ack(c);
    loop_timer_set(c->loop, timer, loop_now_ms(c->loop) + LOOK_FOR_ACK_MS);
}

/* --- Start --- */

static int read_session_key(struct control *c, const char *data, struct err *err)
{
    const char *path = arena_printf(c->arena, "%s/secrets/session.key", data);
    struct str key;

    if (!path_exists(path)) {
        unsigned char fresh[SEAL_KEY_SIZE];

        rand_system()->fill(rand_system(), fresh, sizeof fresh);
        if (folder_make(arena_printf(c->arena, "%s/secrets", data), 0700, err) < 0 ||
            file_write_atomic(path, fresh, sizeof fresh, 0600, err) < 0)
            return -1;
    }
    if (file_read(c->arena, path, 4096, &key, err) < 0)
        return -1;
    if (key.size != SEAL_KEY_SIZE)
        return fail(err, ERR_INTERNAL, "%s must be %d bytes, and is %zu; restore it from a backup", path, SEAL_KEY_SIZE,
                    key.size);
    memcpy(c->platform.session_key, key.data, SEAL_KEY_SIZE);
    return 0;
}

static int read_config(struct control *c, const char *data, struct doc **ret, struct err *err)
{
    const char *path = arena_printf(c->arena, "%s/config", data);
    struct str text;

    *ret = doc_map(c->arena);
    if (!path_exists(path))
        return 0;
    if (file_read(c->arena, path, CONFIG_MAX_BYTES, &text, err) < 0)
        return -1;
    if (json_parse(c->arena, text, ret, err) < 0)
        return fail(err, ERR_INVALID, "%s: %s", path, err->text);
    return 0;
}

static void look_at_changed_agents(void *data);

/* From the thread that talks to Slurm. */
static void slurm_has_news(void *data)
{
    loop_post(((struct control *)data)->loop, look_at_changed_agents, data);
}

static int new_slurm_runtime(struct control *c, const struct doc *all, const struct runtime_config *rc,
                             struct runtime **ret, struct err *err)
{
    const struct doc *config = doc_get(all, "slurm");
    const struct slurm_settings settings = {
        .partition = doc_text(config, "partition"),
        .account = doc_text(config, "account"),
        .qos = doc_text(config, "qos"),
        .spot_partition = doc_text(config, "spot_partition"),
        .spot_qos = doc_text(config, "spot_qos"),
        .gpu_types = doc_text(config, "gpu_types"),
        .options = doc_text(config, "options"),
        .notice_s = doc_int(config, "notice_s", 30),
        .server = doc_text(config, "server"),
        .server_port = doc_int(all, "port", 0),
        .scratch = doc_text(config, "scratch"),
        .happened = slurm_has_news,
        .data = c,
    };

    return slurm_runtime_new(rc, &settings, ret, err);
}

static void simulated_poke(void *control, const char *uid)
{
    engine_touch(((struct control *)control)->engine, uid);
}

static int new_runtime(struct control *c, const struct doc *config, struct runtime **ret, struct err *err)
{
    const char *kind = doc_text_or(config, "runtime", "container");
    struct runtime_config rc = {
        .data_folder = c->platform.data_folder,
        .archives_folder = doc_text(config, "images"),
        .checkpoint_bytes_per_s = doc_int(config, "checkpoint_bytes_per_s", 0),
        .nccl_library = doc_text(config, "nccl_library"),
        .run_folder = arena_printf(c->arena, "%s/run", c->platform.data_folder),
    };
    char *real = realpath(rc.run_folder, NULL);

    if (real) {
        rc.run_folder = arena_strdup(c->arena, real);
        free(real);
    }
    if (strcmp(kind, "sim") == 0) {
        *ret = sim_runtime_new(clock_system(), &(struct sim_hooks){ .context = c, .poke = simulated_poke });
        return 0;
    }
    if (strcmp(kind, "process") == 0)
        return process_runtime_new(&rc, ret, err);
    if (strcmp(kind, "container") == 0)
        return container_runtime_new(&rc, ret, err);
    if (strcmp(kind, "slurm") == 0)
        return new_slurm_runtime(c, config, &rc, ret, err);
    return fail(err, ERR_INVALID, "runtime \"%s\" is not one of container, process, slurm, sim", kind);
}

/* Endpoints that are served stay in the first snapshot of this life. */
static int restore_routes(struct control *c, struct err *err)
{
    _cleanup_arena_ struct arena *a = arena_new();
    const struct row_filter all = { .kind = endpoint.name, .limit = 100000 };
    const char *after;
    struct row *rows;
    int count;

    if (store_row_list(a, c->store, &all, &rows, &count, &after, err) < 0)
        return -1;
    for (int i = 0; i < count; i++)
        if (doc_has(rows[i].status, "_Routes"))
            routes_set(c->platform.routes, rows[i].uid, doc_get(rows[i].status, "_Routes"));
    return 0;
}

static int open_store(struct control *c, const struct doc *config, struct err *err)
{
    const char *data = c->platform.data_folder;
    int64_t removed, reserve = doc_int(config, "disk_reserve_bytes", (int64_t)256 << 20);

    if (store_open_sqlite(arena_printf(c->arena, "%s/store", data), &c->store, err) < 0 ||
        blobs_open(arena_printf(c->arena, "%s/blobs", data), reserve, rand_system(), &c->blobs, err) < 0)
        return -1;
    c->bodies = bodies_new(c->loop, c->blobs, s3_blob_referenced, c->store);
    if (bodies_collect(c->bodies, &removed, err) < 0)
        return -1;
    if (removed)
        log_info("control.collected", "blobs=%lld", (long long)removed);
    return 0;
}

/* One that nobody uses, or whose user has yet to tell of it. */
static void cordon(void *data)
{
    struct control *c = data;
    struct gpu_fault fault;
    struct err err;

    while (gpu_monitor_fault(c->platform.gpu_monitor, &fault)) {
        log_warning("gpu.fault", "uuid=%s why=%s", fault.uuid, log_quote(c->arena, fault.words));
        if (fault.effect == XID_BROKEN && gpu_bank_cordon(c->platform.gpus, fault.uuid, fault.words,
                                                          clock_wall_ms(clock_system()), &err) < 0)
            log_error("gpu.not_cordoned", "why=%s", log_quote(c->arena, err.text));
    }
}

/* From the monitor's thread. */
static void gpu_is_bad(void *data)
{
    loop_post(((struct control *)data)->loop, cordon, data);
}

/* Before anybody can be given one: who had them when the control plane before this one ended has them still. */
static int find_gpus(struct control *c, struct runtime *runtime, struct err *err)
{
    struct platform *p = &c->platform;

    p->gpu_monitor = gpu_monitor_new(&(struct gpu_monitor_options){ .happened = gpu_is_bad, .data = c });
    log_info("control.gpus", "count=%d driver=%s why=%s", gpu_monitor_count(p->gpu_monitor),
             log_quote(c->arena, gpu_monitor_driver(p->gpu_monitor)),
             log_quote(c->arena, gpu_monitor_why(p->gpu_monitor)));
    if (gpu_bank_new(arena_printf(c->arena, "%s/gpus.json", p->data_folder), &p->gpus, err) < 0)
        return -1;
    /* With Slurm they are Slurm's to give. */
    for (int i = 0; i < gpu_monitor_count(p->gpu_monitor) && strcmp(runtime->kind, "slurm") != 0; i++) {
        const struct gpu *gpu = gpu_monitor_gpu(p->gpu_monitor, i);

        gpu_bank_add(p->gpus, gpu->index, gpu->uuid, gpu->name);
    }
    return instance_gpus_adopt(c->arena, p, runtime, err);
}

/* What this machine is shared out as: the fleet file's nodes, or one that takes whatever comes. */
static int read_fleet(struct control *c, const struct doc *config, struct err *err)
{
    const char *path = doc_text(config, "fleet");
    struct platform *p = &c->platform;
    _cleanup_buf_ struct buf too_much = { 0 };
    int64_t slots = doc_int(config, "slots", 0);
    const char **types;
    struct str text;

    p->machine = (struct machine){ .cores = (int)sysconf(_SC_NPROCESSORS_ONLN),
                                   .memory_bytes = (int64_t)sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE),
                                   .gpus = gpu_bank_count(p->gpus),
                                   .disk_bytes = folder_disk_bytes(p->data_folder) };
    c->fleet = fleet_default();
    if (*path && (file_read(c->arena, path, FLEET_MAX_BYTES, &text, err) < 0 ||
                  fleet_read(c->arena, path, text, &c->fleet, err) < 0))
        return -1;
    if (doc_is(config, "runtime", "slurm")) {
        /* A cluster's capacity is Slurm's to give: an instance has what its type has, and waits in Slurm's queue. */
        p->machine.cores = SLURM_CORES;
        p->machine.memory_bytes = INT64_C(1) << 60;
        fleet_share_slots(c->arena, &c->fleet, "slurm", SLURM_SLOTS, 0);
    } else if (!c->fleet.node_count) {
        fleet_share_slots(c->arena, &c->fleet, "local", slots > 0 ? slots : machine_slots(&p->machine),
                          p->machine.gpus);
    } else {
        fleet_overdrawn(&c->fleet, &p->machine, &too_much);
        if (too_much.size)
            log_warning("fleet.overdrawn", "the nodes of %s together have more than this machine: %s", path,
                        too_much.data);
    }
    p->fleet = &c->fleet;
    types = arena_array_of(c->arena, const char *, (size_t)c->fleet.type_count + 1);
    for (int i = 0; i < c->fleet.type_count; i++)
        types[i] = c->fleet.types[i].name;
    c->own_types = (struct own_values){ "InstanceType", types };
    p->allocations = allocations_new(p->fleet, clock_system());
    return 0;
}

static int start_servers(struct control *c, struct err *err)
{
    struct http_server_options api = {
        .loop = c->loop, .handle = gateway_handle, .data = c->gateway, .name = "Sagebrush"
    };
    struct http_server_options jobs = {
        .loop = c->loop, .handle = gateway_handle_job, .data = c->gateway, .name = "Sagebrush"
    };
    struct http_server_options admin = {
        .loop = c->loop, .handle = admin_handle, .data = c->admin, .name = "Sagebrush"
    };

    c->api = http_server_new(&api);
    c->jobs = http_server_new(&jobs);
    c->admin_server = http_server_new(&admin);
    if (http_server_listen_unix(c->admin_server, c->platform.admin_socket, 0600, err) < 0 ||
        http_server_listen_unix(c->jobs, c->platform.api_socket, 0600, err) < 0)
        return -1;
    return http_server_listen_unix(c->api, arena_printf(c->arena, "%s/run/api.sock", c->platform.data_folder), 0600,
                                   err);
}

static int start(struct control *c, const char *data, struct err *err)
{
    struct engine_world world;
    struct str boot_id;
    struct doc *config;

    c->platform.data_folder = data;
    c->platform.rand = rand_system();
    if (read_config(c, data, &config, err) < 0 || read_session_key(c, data, err) < 0 || loop_new(&c->loop, err) < 0)
        return -1;
    c->platform.account = doc_text_or(config, "account", "111122223333");
    c->platform.default_region = doc_text_or(config, "region", "us-east-1");
    c->platform.hang_after_s = doc_int(config, "hang_after_s", 0);
    c->platform.silent_after_s = doc_int(config, "silent_after_s", 0);
    c->platform.file_systems = doc_text(config, "file_systems");
    c->platform.vpc = doc_text(config, "vpc");
    c->platform.api_socket = arena_printf(c->arena, "%s/run/jobs.sock", data);
    c->platform.admin_socket = arena_printf(c->arena, "%s/run/admin.sock", data);
    if (file_read(c->arena, "/proc/sys/kernel/random/boot_id", 64, &boot_id, err) < 0)
        return -1;
    if (open_store(c, config, err) < 0 || routes_new(data, &c->platform.routes, err) < 0)
        return -1;
    world = (struct engine_world){
        .store = c->store,
        .bodies = c->bodies,
        .clock = clock_system(),
        .rand = rand_system(),
        .services = service_tables,
        .kinds = all_kinds(c->arena),
        .default_region = c->platform.default_region,
        .account = c->platform.account,
        .boot_id = str_dup(c->arena, str_trim(boot_id)),
        .changed = events_of_change,
        .own_values = &c->own_types,
        .context = &c->platform,
    };
    if (new_runtime(c, config, &c->runtime, err) < 0)
        return -1;
    world.runtime = c->runtime;
    if (find_gpus(c, c->runtime, err) < 0 || read_fleet(c, config, err) < 0 ||
        engine_new(&world, &c->engine, err) < 0 || node_health_recall(c->engine, err) < 0 ||
        allocations_restore(c->engine, err) < 0)
        return -1;
    c->gateway = gateway_new(&(struct gateway_options){ .loop = c->loop, .engine = c->engine, .bodies = c->bodies,
                                                        .identify = identify, .local = local, .context = c });
    c->admin = admin_new(&(struct admin_options){ .engine = c->engine, .gateway = c->gateway,
                                                  .version = SAGEBRUSH_VERSION });
    if (identity_bootstrap(c->arena, c->store, &c->platform, clock_wall_ms(clock_system()), err) < 0 ||
        store_commit(c->store, err) < 0 || restore_routes(c, err) < 0 || publish_identities(c, err) < 0)
        return -1;
    if (loop_watch_new(c->loop, data, folder_changed, c, &c->watch, err) < 0)
        return -1;
    c->chores = chores_new(c->loop, c->engine, arena_printf(c->arena, "%s/run/serve.counters", data));
    c->hook.run = turn;
    c->due.run = due;
    c->ack_timer.run = ack_tick;
    loop_turn_end(c->loop, &c->hook);
    loop_timer_set(c->loop, &c->ack_timer, loop_now_ms(c->loop) + LOOK_FOR_ACK_MS);
    come_again(c);
    return start_servers(c, err);
}

/* --- The end --- */

static void drained(void *data)
{
    struct control *c = data;

    if (--c->draining == 0)
        loop_stop(c->loop);
}

static void terminate(void *data, int number)
{
    struct control *c = data;

    if (c->draining)
        return;
    log_info("control.stopping", "signal=%d", number);
    c->draining = 3;
    http_server_drain(c->api, DRAIN_MS, drained, c);
    http_server_drain(c->jobs, DRAIN_MS, drained, c);
    http_server_drain(c->admin_server, DRAIN_MS, drained, c);
}

/* Every connection and every body in flight is a descriptor; the soft limit of a shell is 1024. */
static void raise_open_files(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur == limit.rlim_max)
        return;
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
        log_warning("control.open_files", "limit=%llu", (unsigned long long)limit.rlim_max);
}

/* An agent was killed, or Slurm has changed something: its job need not wait for the time at which it is looked at
 * anyway. */
static void look_at_changed_agents(void *data)
{
    struct control *c = data;
    _cleanup_arena_ struct arena *a = arena_new();
    struct runtime *runtime = engine_world_of(c->engine)->runtime;
    const char *const *names;
    int count = runtime_died(runtime, a, &names);

    for (int i = 0; i < count; i++) {
        const char *uid;
        struct err ignored;

        log_info("control.agent_changed", "name=%s", names[i]);
        if (runtime_owner(runtime, a, names[i], &uid, &ignored) == 0)
            engine_touch(c->engine, uid);
    }
}

static void child_ended(void *data, int number)
{
    look_at_changed_agents(data);
}

int main(int argc, char **argv)
{
    static struct control control;
    struct control *c = &control;
    struct err err = { 0 };

    if (argc != 3 || strcmp(argv[1], "--data") != 0 || argv[2][0] != '/') {
        fprintf(stderr,
                "usage: sagebrushd --data DIR\n\nThe control plane of Sagebrush; \"sagebrush up\" starts it.\n");
        return 2;
    }
    log_setup("sagebrushd", LOG_INFO);
    raise_open_files();
    loop_work_threads(BODY_THREADS);
    c->arena = arena_new();
    if (start(c, argv[2], &err) < 0 || loop_signal(c->loop, SIGTERM, terminate, c, &err) < 0 ||
        loop_signal(c->loop, SIGINT, terminate, c, &err) < 0 ||
        loop_signal(c->loop, SIGCHLD, child_ended, c, &err) < 0) {
        log_error("control.start", "error=%s", log_quote(c->arena, err.text));
        return 1;
    }
    signal(SIGPIPE, SIG_IGN);
    log_info("control.ready", "data=%s", argv[2]);
    loop_run(c->loop);
    commit(c);
    gpu_monitor_free(c->platform.gpu_monitor);
    http_server_free(c->api);
    http_server_free(c->jobs);
    http_server_free(c->admin_server);
    loop_watch_free(c->watch);
    chores_free(c->chores);
    admin_free(c->admin);
    gateway_free(c->gateway);
    identity_forget(&c->platform);
    engine_free(c->engine);
    runtime_free(c->runtime);
    routes_free(c->platform.routes);
    allocations_free(c->platform.allocations);
    gpu_bank_free(c->platform.gpus);
    bodies_free(c->bodies);
    blobs_free(c->blobs);
    store_free(c->store);
    loop_free(c->loop);
    arena_free(c->arena);
    return 0;
}
