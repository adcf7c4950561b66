/* infra.c - each finding is evidence: it stands in the job's log and in the report. */
#include "agent/infra.h"

#include <stdio.h>
#include <string.h>

#include "agent/collective.h"
#include "base/log.h"
#include "run/network_look.h"
#include "sign/digest.h"

enum {
    COLLECTIVE_PORT = 7337,
    GATHER_MS = 60000, /* until the last instance has come */
};

void infra_init(struct infra *i)
{
    i->arena = arena_new();
    i->check = i->why = i->blames = "";
}

void infra_end(struct infra *i)
{
    infra_rest(i);
    arena_free(i->arena);
    i->arena = NULL;
}

/* --- Before the container starts --- */

bool infra_check_takes_time(const struct infra *i)
{
    return i->order->infra_check;
}

static void say(const struct infra *i, const struct finding *f)
{
    if (i->order->infra_check || !f->passed)
        logs_line(i->logs, arena_printf(i->arena, "sagebrush: check of the %s%s: %s (%lld ms)", f->check,
                                        f->unmeasured ? "" : f->passed ? " passed" : " FAILED", f->evidence,
                                        (long long)f->ms));
}

/* Nobody gets it until somebody has looked at it. */
static void take_bad_gpu(struct infra *i, const struct gpu *gpu, const char *words)
{
    struct gpu_fault *fault = &i->gpu_fault;

    fault->index = gpu->index;
    fault->effect = XID_BROKEN;
    snprintf(fault->uuid, sizeof fault->uuid, "%s", gpu->uuid);
    snprintf(fault->words, sizeof fault->words, "%s", words);
}

static int conclude(struct infra *i, struct err *err)
{
    const struct finding *last = &i->findings[i->count - 1];

    if (last->passed)
        return 0;
    if (last->gpu)
        take_bad_gpu(i, last->gpu, last->evidence);
    i->check = last->check;
    i->why = arena_printf(i->arena, "check of the %s failed: %s", last->check, last->evidence);
    log_warning("instance.unfit", "name=%s check=%s why=%s", i->order->name, log_quote(i->arena, i->check),
                log_quote(i->arena, i->why));
    return fail(err, ERR_INTERNAL, "instance unhealthy: %s. Start the job again.", i->why);
}

/* By rank: the hosts as the order names them, and the address of each. Returns how many. */
static int ring_of(const struct infra *i, const char ***ret_hosts, const char ***ret_addresses, int *ret_rank)
{
    const struct doc *peers = i->order->peers;
    const char *const *lines = uplink_hosts(i->uplink, i->arena);

    *ret_hosts = arena_array_of(i->arena, const char *, peers->count);
    *ret_addresses = arena_array_of(i->arena, const char *, peers->count);
    for (uint32_t rank = 0; rank < peers->count; rank++) {
        (*ret_hosts)[rank] = peers->members[rank].key;
        if (strcmp(peers->members[rank].key, i->order->host_name) == 0)
            *ret_rank = (int)rank;
        for (const char *const *line = lines; *line; line++) {
            struct str address, host;

            if (str_cut(str_of(*line), ' ', &address, &host) && str_is(host, peers->members[rank].key))
                (*ret_addresses)[rank] = str_dup(i->arena, address);
        }
    }
    return (int)peers->count;
}

/* The names of agents are known to nobody but us. */
static void token_of(const struct doc *peers, unsigned char ret[static SHA256_SIZE])
{
    struct digest d;

    digest_start(&d, DIGEST_SHA256);
    for (uint32_t i = 0; i < peers->count; i++) {
        const char *name = doc_value_text(peers->members[i].value);

        digest_update(&d, name, strlen(name) + 1);
    }
    digest_finish(&d, ret);
}

static int open_socket(void *data, int *ret_fd, struct err *err)
{
    return network_socket(&((struct infra *)data)->uplink->network, ret_fd, err);
}

/* Of those that were granted, as NVML tells of them: check_gpu.c has found them all. */
static int gpus_of(struct infra *i, struct gpu **ret)
{
    struct gpu_monitor *m;
    int count;

    if (!order_gpus(i->order))
        return 0;
    m = gpu_monitor_new(&(struct gpu_monitor_options){ .only = order_gpus(i->order) });
    count = gpu_monitor_count(m);
    *ret = arena_array_of(i->arena, struct gpu, (size_t)count);
    for (int n = 0; n < count; n++)
        (*ret)[n] = *gpu_monitor_gpu(m, n);
    gpu_monitor_free(m);
    return count;
}

static int check_together(struct infra *i, int cancel_fd, struct finding *f, struct err *err)
{
    unsigned char token[SHA256_SIZE];
    struct collective_options o = { .ring = { .clock = i->clock, .port = COLLECTIVE_PORT, .token = token,
                                              .gather_ms = GATHER_MS, .cancel_fd = cancel_fd, .socket = open_socket,
                                              .data = i },
                                    .folder = i->folder, .library = i->order->nccl_library };
    struct collective_result result;
    const char **hosts, **addresses;
    struct gpu *gpus = NULL;

    if (uplink_connect(i->uplink, err) < 0)
        return -1;
    o.ring.ranks = ring_of(i, &hosts, &addresses, &o.ring.rank);
    o.ring.hosts = hosts;
    o.ring.addresses = addresses;
    o.namespace = i->uplink->network.namespace_path;
    o.gpu_count = gpus_of(i, &gpus);
    o.gpus = gpus;
    token_of(i->order->peers, token);
    if (collective_check(i->arena, &o, &result, err) < 0)
        return -1;
    f->passed = result.passed;
    f->evidence = result.evidence;
    f->gpu = result.gpu;
    f->check = result.gpu ? "GPU" : f->check;
    i->blames = result.blames;
    return 0;
}

int infra_check(struct infra *i, int cancel_fd, struct err *err)
{
    const struct checked c = { i->order, i->folder, i->clock, cancel_fd };
    struct finding *f;
    int64_t began_ms;

    i->count = check_all(i->arena, &c, i->order->infra_check, i->findings);
    for (int n = 0; n < i->count; n++)
        say(i, &i->findings[n]);
    if (conclude(i, err) < 0)
        return -1;
    if (!i->order->infra_check || !i->order->peers || i->uplink->process)
        return 0;
    f = &i->findings[i->count];
    *f = (struct finding){ .check = "network between the instances" };
    began_ms = clock_boot_ms(i->clock);
    if (check_together(i, cancel_fd, f, err) < 0)
        return -1;
    f->ms = clock_boot_ms(i->clock) - began_ms;
    i->count++;
    say(i, f);
    return conclude(i, err);
}

/* --- While it runs --- */

void infra_watch(struct infra *i, const struct infra_watch *w)
{
    i->gpus = w->gpus;
    if (i->vitals || i->uplink->process || !order_ends(i->order))
        return;
    i->vitals = vitals_new(&(struct vitals_options){ .loop = w->loop, .clock = i->clock, .order = i->order,
                                                     .folder = i->folder, .network = &i->uplink->network,
                                                     .gpus = w->gpus, .happened = w->happened, .data = w->data });
}

void infra_rest(struct infra *i)
{
    vitals_free(i->vitals);
    i->vitals = NULL;
}

/* What a GPU reported that is the program's fault, or none, is said; the first of the others ends the container. */
static void take_gpu_faults(struct infra *i, struct arena *a)
{
    struct gpu_fault f;

    while (gpu_monitor_fault(i->gpus, &f)) {
        logs_line(i->logs, arena_printf(a, "sagebrush: %s", f.words));
        if (!*i->gpu_fault.words && (f.effect == XID_RESTART || f.effect == XID_BROKEN))
            i->gpu_fault = f;
    }
    if (*i->gpu_fault.words && !*i->why) {
        i->check = "GPU";
        i->why = i->gpu_fault.words;
    }
}

static void take_vitals(struct infra *i, struct arena *a)
{
    const char *check, *words = vitals_trouble(i->vitals, &check);

    if (!*words || *i->why)
        return;
    logs_line(i->logs, arena_printf(a, "sagebrush: this instance cannot go on: %s", words));
    i->check = arena_strdup(i->arena, check);
    i->why = arena_strdup(i->arena, words);
    if (vitals_bad_gpu(i->vitals))
        take_bad_gpu(i, vitals_bad_gpu(i->vitals), words);
}

const char *infra_trouble(struct infra *i, struct arena *a)
{
    take_gpu_faults(i, a);
    take_vitals(i, a);
    return *i->why ? arena_printf(a, "InternalServerError: instance unhealthy: %s. Start the job again.", i->why) : "";
}

static struct doc *still_since(struct arena *a, int64_t since_ms, const char *words)
{
    struct doc *d = doc_map(a);

    if (!since_ms)
        return d;
    doc_set_integer(a, d, "since_ms", since_ms);
    doc_set_string(a, d, "why", words);
    return d;
}

struct doc *infra_signs(const struct infra *i, struct arena *a)
{
    const char *words, *warning = vitals_warning(i->vitals);
    struct doc *all = doc_map(a), *warned = doc_map(a);
    int64_t since_ms = vitals_quiet_since_ms(i->vitals, &words);

    doc_set(a, all, "quiet", still_since(a, since_ms, words));
    since_ms = vitals_silent_since_ms(i->vitals, &words);
    doc_set(a, all, "silent", still_since(a, since_ms, words));
    if (*warning)
        doc_set_string(a, warned, "why", warning);
    doc_set(a, all, "warned", warned);
    return all;
}

/* --- What is told --- */

/* For the control plane, which gives the GPU to nobody any more. */
static void report_gpu_fault(const struct gpu_fault *f, struct arena *a, struct report *r)
{
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

static void report_checks(const struct infra *i, struct arena *a, struct report *r)
{
    struct doc *list = doc_list(a);

    for (int n = 0; n < i->count; n++) {
        const struct finding *f = &i->findings[n];
        struct doc *d = doc_map(a);

        doc_set_string(a, d, "name", f->check);
        doc_set_boolean(a, d, "passed", f->passed);
        doc_set_string(a, d, "evidence", f->evidence);
        doc_set_integer(a, d, "ms", f->ms);
        doc_append(a, list, d);
    }
    if (list->count && i->order->infra_check)
        report_set_doc(r, "checks", list);
}

void infra_report(const struct infra *i, struct arena *a, struct report *r)
{
    struct doc *d = doc_map(a);

    report_gpu_fault(&i->gpu_fault, a, r);
    report_checks(i, a, r);
    if (!*i->why)
        return;
    doc_set_string(a, d, "check", i->check);
    doc_set_string(a, d, "why", i->why);
    if (*i->blames)
        doc_set_string(a, d, "blames", i->blames);
    report_set_doc(r, "unhealthy", d);
}
