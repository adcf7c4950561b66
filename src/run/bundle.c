#include "run/bundle.h"

#include <string.h>

#include "doc/json.h"

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

/* Calls that need a capability anyway are denied once more, for a kernel that forgets to ask; the rest are where
 * escapes came from. */
static const char *const denied_calls[] = {
    "acct", "add_key", "bpf", "clock_adjtime", "clock_settime", "create_module", "delete_module", "fanotify_init",
    "finit_module", "fsconfig", "fsmount", "fsopen", "fspick", "get_kernel_syms", "init_module", "io_uring_enter",
    "io_uring_register", "io_uring_setup", "ioperm", "iopl", "kcmp", "kexec_file_load", "kexec_load", "keyctl",
    "lookup_dcookie", "mount", "mount_setattr", "move_mount", "move_pages", "name_to_handle_at", "nfsservctl",
    "open_by_handle_at", "open_tree", "perf_event_open", "pivot_root", "process_vm_readv", "process_vm_writev",
    "query_module", "quotactl", "quotactl_fd", "reboot", "request_key", "setdomainname", "sethostname", "setns",
    "settimeofday", "stime", "swapoff", "swapon", "syslog", "umount", "umount2", "unshare", "uselib", "userfaultfd",
    "ustat", "vhangup", "vm86", "vm86old",
};

/* CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET */
static const int64_t clone_namespaces =
    0x00020000 | 0x02000000 | 0x04000000 | 0x08000000 | 0x10000000 | 0x20000000 | 0x40000000;

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
    return list;
}

static struct doc *seccomp(struct arena *a)
{
    struct doc *s = doc_map(a), *rules = doc_list(a), *rule = doc_map(a), *architectures = doc_list(a);
    struct doc *arguments = doc_list(a), *argument = doc_map(a);
    static const char *const clone_name[] = { "clone" }, *const clone3_name[] = { "clone3" };

    doc_set_string(a, s, "defaultAction", "SCMP_ACT_ALLOW");
    doc_append(a, architectures, doc_string(a, "SCMP_ARCH_X86_64"));
    doc_set(a, s, "architectures", architectures);
    doc_set(a, rule, "names", STRINGS(a, denied_calls));
    doc_set_string(a, rule, "action", "SCMP_ACT_ERRNO");
    doc_set_integer(a, rule, "errnoRet", 1); /* EPERM */
    doc_append(a, rules, rule);

    /* One rule a bit: libseccomp compares a masked value with one number. */
    for (int64_t bit = 1; bit <= clone_namespaces; bit <<= 1) {
        if (!(clone_namespaces & bit))
            continue;
        rule = doc_map(a);
        arguments = doc_list(a);
        argument = doc_map(a);
        doc_set(a, rule, "names", STRINGS(a, clone_name));
        doc_set_string(a, rule, "action", "SCMP_ACT_ERRNO");
        doc_set_integer(a, rule, "errnoRet", 1);
        doc_set_integer(a, argument, "index", 0);
        doc_set_integer(a, argument, "value", bit);
        doc_set_integer(a, argument, "valueTwo", bit);
        doc_set_string(a, argument, "op", "SCMP_CMP_MASKED_EQ");
        doc_append(a, arguments, argument);
        doc_set(a, rule, "args", arguments);
        doc_append(a, rules, rule);
    }
    /* Its flags are in memory, where a filter cannot look: ENOSYS makes the C library use clone. */
    rule = doc_map(a);
    doc_set(a, rule, "names", STRINGS(a, clone3_name));
    doc_set_string(a, rule, "action", "SCMP_ACT_ERRNO");
    doc_set_integer(a, rule, "errnoRet", 38);
    doc_append(a, rules, rule);
    doc_set(a, s, "syscalls", rules);
    return s;
}

static struct doc *resources(struct arena *a, const struct bundle *b)
{
    struct doc *r = doc_map(a), *memory = doc_map(a), *cpu = doc_map(a), *pids = doc_map(a), *devices = doc_list(a),
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
    doc_set_integer(a, pids, "limit", b->pids ? b->pids : 32768);
    doc_set(a, r, "pids", pids);
    doc_set_boolean(a, none, "allow", false);
    doc_set_string(a, none, "access", "rwm");
    doc_append(a, devices, none);
    doc_set(a, r, "devices", devices);
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
    doc_set(a, linux_part, "resources", resources(a, b));
    doc_set(a, linux_part, "seccomp", seccomp(a));
    doc_set(a, linux_part, "maskedPaths", STRINGS(a, masked));
    doc_set(a, linux_part, "readonlyPaths", STRINGS(a, read_only));
    doc_set(a, config, "linux", linux_part);
    return json_text(a, config);
}
