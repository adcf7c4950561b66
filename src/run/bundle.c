#include "run/bundle.h"

#include <string.h>

#include "doc/json.h"
#include "run/seccomp.h"

/* What programs in images rely on: becoming another user, ports below 1024, files of others. */
static const char *const capabilities[] = {
    "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL",
    "CAP_NET_BIND_SERVICE", "CAP_SETGID", "CAP_SETUID", "CAP_SYS_CHROOT",
};

static const char *const namespaces[] = { "pid", "mount", "ipc", "uts", "cgroup" };

static const char *const masked[] = {
    "/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/sched_debug", "/proc/scsi",
    "/proc/timer_list", "/proc/timer_stats", "/sys/devices/virtual/powercap", "/sys/firmware",
};

static const char *const read_only[] = { "/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger" };

static struct doc *strings(struct arena *a, const char *const *texts, size_t count)
{
    struct doc *list = doc_list(a);

    for (size_t i = 0; i < count; i++)
        doc_append(a, list, doc_string(a, texts[i]));
    return list;
}

#define STRINGS(a, table) strings(a, table, sizeof table / sizeof *table)

static struct doc *terminated(struct arena *a, const char *const *texts)
{
    size_t count = 0;

    while (texts[count])
        count++;
    return strings(a, texts, count);
}

static void add_mount(struct arena *a, struct doc *list, const char *at, const char *type, const char *source,
                      const char *options)
{
    struct doc *m = doc_map(a), *o = doc_list(a);
    struct str rest = str_of(options), word;

    while (str_cut(rest, ',', &word, &rest))
        doc_append(a, o, doc_str(a, word));
    doc_append(a, o, doc_str(a, rest));
    doc_set_string(a, m, "destination", at);
    doc_set_string(a, m, "type", type);
    doc_set_string(a, m, "source", source);
    doc_set(a, m, "options", o);
    doc_append(a, list, m);
}

static struct doc *mounts(struct arena *a, const struct bundle *b)
{
    struct doc *list = doc_list(a);

    /* First those that may cover the rest: an image's /usr before what lies in it. */
    for (int i = 0; i < b->mount_count; i++)
        add_mount(a, list, b->mounts[i].at, "bind", b->mounts[i].source,
                  b->mounts[i].read_only ? "bind,ro,nosuid,nodev" : "bind,rw,nosuid,nodev");
    add_mount(a, list, "/proc", "proc", "proc", "nosuid,noexec,nodev");
    add_mount(a, list, "/sys", "sysfs", "sysfs", "nosuid,noexec,nodev,ro");
    add_mount(a, list, "/dev", "tmpfs", "tmpfs", "nosuid,strictatime,mode=755,size=65536k");
    add_mount(a, list, "/dev/pts", "devpts", "devpts", "nosuid,noexec,newinstance,ptmxmode=0666,mode=0620");
    /* Data loaders pass their batches through it; its pages count as the container's memory. */
    add_mount(a, list, "/dev/shm", "tmpfs", "shm", "nosuid,nodev,mode=1777,size=50%");
    for (int i = 0; i < b->device_count; i++)
        if (!b->devices[i].is_node)
            add_mount(a, list, b->devices[i].at, "bind", b->devices[i].source, "bind,rw,nosuid,nodev,noexec");
    return list;
}

static struct doc *devices(struct arena *a, const struct bundle *b)
{
    struct doc *list = doc_list(a);

    for (int i = 0; i < b->device_count; i++) {
        struct doc *d = doc_map(a);

        if (!b->devices[i].is_node)
            continue;
        doc_set_string(a, d, "path", b->devices[i].at);
        doc_set_string(a, d, "type", "c");
        doc_set_integer(a, d, "major", b->devices[i].major);
        doc_set_integer(a, d, "minor", b->devices[i].minor);
        doc_set_integer(a, d, "fileMode", 0666);
        doc_append(a, list, d);
    }
    return list;
}

static struct doc *allowed(struct arena *a, const struct bundle_device *device)
{
    struct doc *rule = doc_map(a);

    doc_set_boolean(a, rule, "allow", true);
    doc_set_string(a, rule, "type", "c");
    doc_set_integer(a, rule, "major", device->major);
    doc_set_integer(a, rule, "minor", device->minor);
    doc_set_string(a, rule, "access", "rw");
    return rule;
}

static struct doc *resources(struct arena *a, const struct bundle *b)
{
    struct doc *r = doc_map(a), *memory = doc_map(a), *cpu = doc_map(a), *pids = doc_map(a), *rules = doc_list(a),
               *none = doc_map(a);
    int64_t weight = b->cpu_weight ? b->cpu_weight : 100;

    /* The OCI form of a weight is v1's shares, 1024 where v2 says 100; runc converts. */
    weight = weight * 1024 / 100;
    doc_set_integer(a, cpu, "shares", weight < 2 ? 2 : weight > 262144 ? 262144 : weight);
    if (b->cpus > 0) {
        doc_set_integer(a, cpu, "period", 100000);
        doc_set_integer(a, cpu, "quota", (int64_t)(b->cpus * 100000));
    }
    doc_set(a, r, "cpu", cpu);
    if (b->memory_bytes) {
        doc_set_integer(a, memory, "limit", b->memory_bytes);
        /* Memory and swap together: none of it is swap. */
        doc_set_integer(a, memory, "swap", b->memory_bytes);
        doc_set(a, r, "memory", memory);
    }
    doc_set_integer(a, pids, "limit", b->pids);
    doc_set(a, r, "pids", pids);
    doc_set_boolean(a, none, "allow", false);
    doc_set_string(a, none, "access", "rwm");
    doc_append(a, rules, none);
    for (int i = 0; i < b->device_count; i++)
        if (b->devices[i].is_node)
            doc_append(a, rules, allowed(a, &b->devices[i]));
    doc_set(a, r, "devices", rules);
    return r;
}

char *bundle_json(struct arena *a, const struct bundle *b)
{
    struct doc *config = doc_map(a), *process = doc_map(a), *root = doc_map(a), *user = doc_map(a),
               *linux_part = doc_map(a), *caps = doc_map(a), *spaces = doc_list(a), *space;
    static const char *const sets[] = { "bounding", "effective", "permitted" };

    doc_set_string(a, config, "ociVersion", "1.0.2");
    doc_set_integer(a, user, "uid", 0);
    doc_set_integer(a, user, "gid", 0);
    doc_set(a, process, "user", user);
    doc_set(a, process, "args", terminated(a, b->arguments));
    doc_set(a, process, "env", terminated(a, b->environment));
    doc_set_string(a, process, "cwd", "/");
    doc_set_boolean(a, process, "noNewPrivileges", true);
    for (size_t i = 0; i < sizeof sets / sizeof *sets; i++)
        doc_set(a, caps, sets[i], STRINGS(a, capabilities));
    doc_set(a, process, "capabilities", caps);
    doc_set(a, config, "process", process);
    doc_set_string(a, root, "path", b->root);
    doc_set(a, config, "root", root);
    doc_set_string(a, config, "hostname", b->host_name);
    doc_set(a, config, "mounts", mounts(a, b));

    for (size_t i = 0; i < sizeof namespaces / sizeof *namespaces; i++) {
        space = doc_map(a);
        doc_set_string(a, space, "type", namespaces[i]);
        doc_append(a, spaces, space);
    }
    space = doc_map(a);
    doc_set_string(a, space, "type", "network");
    doc_set_string(a, space, "path", b->network_namespace);
    doc_append(a, spaces, space);
    doc_set(a, linux_part, "namespaces", spaces);
    doc_set_string(a, linux_part, "cgroupsPath", b->cgroup_path);
    if (b->device_count)
        doc_set(a, linux_part, "devices", devices(a, b));
    doc_set(a, linux_part, "resources", resources(a, b));
    doc_set(a, linux_part, "seccomp", seccomp_profile(a));
    doc_set(a, linux_part, "maskedPaths", STRINGS(a, masked));
    doc_set(a, linux_part, "readonlyPaths", STRINGS(a, read_only));
    doc_set(a, config, "linux", linux_part);
    return json_text(a, config);
}
