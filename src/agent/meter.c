/* meter.c - looks every few seconds, and tells a sample now and then: the cores' use between two samples, the most
 * memory seen between them. A job of two seconds has its samples too: one second after its start, and at its end. */
#include "agent/meter.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "doc/json.h"
#include "run/cgroup.h"

enum {
    FIRST_MS = 1000,
    LOOK_MS = 1000,        /* during the first minute */
    LOOK_LATER_MS = 10000,
    SAMPLE_MS = 60000,
};

struct meter {
    struct meter_options o;
    struct loop_timer timer;
    int64_t started_ms, sampled_ms; /* boot time */
    int64_t cpu_ns;                 /* at the last sample */
    int64_t memory_bytes;           /* the most since the last sample; -1: not seen */
    int samples;
    bool ended;
};

static void add(struct arena *a, struct doc *list, const char *name, double percent, const struct doc *dimensions,
                int64_t at_ms)
{
    struct doc *m = doc_map(a);

    doc_set_string(a, m, "name", name);
    doc_set_real(a, m, "value", percent);
    doc_set_string(a, m, "unit", "Percent");
    doc_set_integer(a, m, "at_ms", at_ms);
    doc_set(a, m, "dimensions", doc_copy(a, dimensions));
    doc_append(a, list, m);
}

static struct doc *dimensions_of(struct arena *a, const struct order *o)
{
    struct doc *d = doc_map(a);
    const char *slash;

    if (order_ends(o)) {
        doc_set_string(a, d, "Host", arena_printf(a, "%s/%s", o->job_name, o->host_name));
        return d;
    }
    slash = strrchr(o->log_group, '/');
    doc_set_string(a, d, "EndpointName", slash ? slash + 1 : o->log_group);
    slash = strchr(o->log_stream, '/');
    doc_set_string(a, d, "VariantName",
                   slash ? arena_strndup(a, o->log_stream, (size_t)(slash - o->log_stream)) : o->log_stream);
    return d;
}

static void look(struct meter *m, struct arena *a, struct cgroup_usage *ret)
{
    cgroup_read(a, m->o.order->name, ret);
    if (ret->memory_bytes > m->memory_bytes)
        m->memory_bytes = ret->memory_bytes;
}

static void send(struct meter *m, struct arena *a, struct doc *data, int64_t now_ms)
{
    const struct order *o = m->o.order;
    struct doc *d = doc_map(a);

    doc_set_string(a, d, "account", o->account);
    doc_set_string(a, d, "region", o->region);
    doc_set_string(a, d, "namespace", order_trains(o)      ? "/aws/sagemaker/TrainingJobs"
                                      : order_processes(o) ? "/aws/sagemaker/ProcessingJobs"
                                                           : "/aws/sagemaker/Endpoints");
    doc_set(a, d, "data", data);
    doc_set_string(a, d, "id", arena_printf(a, "%s:usage:%lld", o->name, (long long)now_ms));
    logs_metrics(m->o.logs, json_text(a, d));
}

/* The sum over its GPUs, as AWS has it: 0 to 100 for each. */
static void add_gpus(struct meter *m, struct arena *a, struct doc *data, const struct doc *dimensions, int64_t now_ms)
{
    double utilization = 0, memory = 0;
    int told = 0;

    for (int i = 0; i < gpu_monitor_count(m->o.gpus); i++) {
        struct gpu_sample s;

        if (!gpu_monitor_sample(m->o.gpus, i, &s) || s.lost || s.utilization_percent == GPU_ABSENT)
            continue;
        told++;
        utilization += (double)s.utilization_percent;
        if (s.memory_total_bytes > 0)
            memory += 100.0 * (double)s.memory_used_bytes / (double)s.memory_total_bytes;
    }
    if (!told)
        return;
    add(a, data, "GPUUtilization", utilization, dimensions, now_ms);
    add(a, data, "GPUMemoryUtilization", memory, dimensions, now_ms);
}

static void sample(struct meter *m, struct arena *a, const struct cgroup_usage *u)
{
    int64_t now_ms = clock_wall_ms(m->o.clock), boot_ms = clock_boot_ms(m->o.clock);
    int64_t limit = m->o.order->memory_bytes ? m->o.order->memory_bytes
                                             : (int64_t)sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE);
    struct doc *data = doc_list(a), *dimensions = dimensions_of(a, m->o.order);
    struct statvfs fs;

    if (u->cpu_ns >= m->cpu_ns && boot_ms > m->sampled_ms) {
        double used_ms = (double)(u->cpu_ns - m->cpu_ns) / 1e6;

        add(a, data, "CPUUtilization", 100 * used_ms / (double)(boot_ms - m->sampled_ms), dimensions, now_ms);
        m->cpu_ns = u->cpu_ns;
        m->sampled_ms = boot_ms;
    }
    if (m->memory_bytes >= 0)
        add(a, data, "MemoryUtilization", 100.0 * (double)m->memory_bytes / (double)limit, dimensions, now_ms);
    m->memory_bytes = -1;
    if (volume_used(m->o.volume) >= 0 && m->o.order->disk_bytes)
        add(a, data, "DiskUtilization", 100.0 * (double)volume_used(m->o.volume) / (double)m->o.order->disk_bytes,
            dimensions, now_ms);
    else if (statvfs(m->o.folder, &fs) == 0 && fs.f_blocks)
        add(a, data, "DiskUtilization", 100.0 * (double)(fs.f_blocks - fs.f_bfree) / (double)fs.f_blocks, dimensions,
            now_ms);
    add_gpus(m, a, data, dimensions, now_ms);
    m->samples++;
    if (data->count)
        send(m, a, data, now_ms);
}

static void due(struct loop_timer *timer)
{
    struct meter *m = (struct meter *)(void *)((char *)timer - offsetof(struct meter, timer));
    _cleanup_arena_ struct arena *a = arena_new();
    int64_t boot_ms = clock_boot_ms(m->o.clock);
    struct cgroup_usage u;

    look(m, a, &u);
    if (!m->samples || boot_ms - m->sampled_ms >= SAMPLE_MS)
        sample(m, a, &u);
    loop_timer_set(m->o.loop, timer,
                   loop_now_ms(m->o.loop) + (boot_ms - m->started_ms < SAMPLE_MS ? LOOK_MS : LOOK_LATER_MS));
}

struct meter *meter_new(const struct meter_options *options)
{
    struct meter *m = calloc(1, sizeof *m);
    _cleanup_arena_ struct arena *a = arena_new();
    struct cgroup_usage u;

    assert(m);
    m->o = *options;
    m->memory_bytes = -1;
    m->timer.run = due;
    m->started_ms = m->sampled_ms = clock_boot_ms(m->o.clock);
    /* What an adopted container has used before is not of the first sample. */
    look(m, a, &u);
    m->cpu_ns = u.cpu_ns > 0 ? u.cpu_ns : 0;
    loop_timer_set(m->o.loop, &m->timer, loop_now_ms(m->o.loop) + FIRST_MS);
    return m;
}

void meter_end(struct meter *m)
{
    _cleanup_arena_ struct arena *a = NULL;
    struct cgroup_usage u;

    if (!m || m->ended)
        return;
    m->ended = true;
    loop_timer_stop(m->o.loop, &m->timer);
    a = arena_new();
    cgroup_read(a, m->o.order->name, &u);
    /* The memory went with the processes: of a container that ended before the first look the kernel has a mark. */
    if (!m->samples && u.peak_bytes > m->memory_bytes)
        m->memory_bytes = u.peak_bytes;
    sample(m, a, &u);
}

void meter_free(struct meter *m)
{
    if (!m)
        return;
    loop_timer_stop(m->o.loop, &m->timer);
    free(m);
}
