/* seccomp.c - the system calls of a job: what programs need is allowed, everything else is not there.
 *
 * A call that is in no table answers ENOSYS, as on an older kernel, and a C library then takes the older way: so calls
 * of tomorrow's kernels are closed before anybody has looked at them. That io_uring is in no table is meant: it does
 * its work where no filter sees it. Calls that a program makes by mistake or in malice answer EPERM, which says why. */
#include "run/seccomp.h"

#include <errno.h>

/* The kernel would answer 32-bit calls from tables of their own; the filter ends who makes one. */
#if defined(__x86_64__)
static const char architecture[] = "SCMP_ARCH_X86_64";
#elif defined(__aarch64__)
static const char architecture[] = "SCMP_ARCH_AARCH64";
#else
#error "name this machine's architecture as libseccomp does"
#endif

/* Of x86_64 and aarch64 alike: a runtime passes over names that its architecture has not. */
static const char *const allowed[] = {
    "accept", "accept4", "access", "adjtimex", "alarm", "arch_prctl", "bind", "brk", "cachestat", "capget",
    "capset", "chdir", "chmod", "chown", "chroot", "clock_getres", "clock_gettime", "clock_nanosleep", "close",
    "close_range", "connect", "copy_file_range", "creat", "dup", "dup2", "dup3", "epoll_create", "epoll_create1",
    "epoll_ctl", "epoll_pwait", "epoll_pwait2", "epoll_wait", "eventfd", "eventfd2", "execve", "execveat", "exit",
    "exit_group", "faccessat", "faccessat2", "fadvise64", "fallocate", "fchdir", "fchmod", "fchmodat", "fchmodat2",
    "fchown", "fchownat", "fcntl", "fdatasync", "fgetxattr", "flistxattr", "flock", "fork", "fremovexattr",
    "fsetxattr", "fstat", "fstatfs", "fsync", "ftruncate", "futex", "futex_requeue", "futex_wait", "futex_waitv",
    "futex_wake", "futimesat", "get_mempolicy", "get_robust_list", "get_thread_area", "getcpu", "getcwd",
    "getdents", "getdents64", "getegid", "geteuid", "getgid", "getgroups", "getitimer", "getpeername", "getpgid",
    "getpgrp", "getpid", "getppid", "getpriority", "getrandom", "getresgid", "getresuid", "getrlimit", "getrusage",
    "getsid", "getsockname", "getsockopt", "gettid", "gettimeofday", "getuid", "getxattr", "inotify_add_watch",
    "inotify_init", "inotify_init1", "inotify_rm_watch", "io_cancel", "io_destroy", "io_getevents", "io_pgetevents",
    "io_setup", "io_submit", "ioctl", "ioprio_get", "ioprio_set", "kill", "landlock_add_rule",
    "landlock_create_ruleset", "landlock_restrict_self", "lchown", "lgetxattr", "link", "linkat", "listen",
    "listxattr", "llistxattr", "lremovexattr", "lseek", "lsetxattr", "lstat", "madvise", "map_shadow_stack",
    "mbind", "membarrier", "memfd_create", "memfd_secret", "mincore", "mkdir", "mkdirat", "mknod", "mknodat",
    "mlock", "mlock2", "mlockall", "mmap", "mprotect", "mq_getsetattr", "mq_notify", "mq_open",
    "mq_timedreceive", "mq_timedsend", "mq_unlink", "mremap", "msgctl", "msgget", "msgrcv", "msgsnd", "msync",
    "munlock", "munlockall", "munmap", "nanosleep", "newfstatat", "open", "openat", "openat2", "pause",
    "pidfd_open", "pidfd_send_signal", "pipe", "pipe2", "pkey_alloc", "pkey_free", "pkey_mprotect", "poll", "ppoll",
    "prctl", "pread64", "preadv", "preadv2", "prlimit64", "process_madvise", "process_vm_readv",
    "process_vm_writev", "pselect6", "ptrace", "pwrite64", "pwritev", "pwritev2", "read", "readahead", "readlink",
    "readlinkat", "readv", "recvfrom", "recvmmsg", "recvmsg", "remap_file_pages", "removexattr", "rename",
    "renameat", "renameat2", "restart_syscall", "rmdir", "rseq", "rt_sigaction", "rt_sigpending", "rt_sigprocmask",
    "rt_sigqueueinfo", "rt_sigreturn", "rt_sigsuspend", "rt_sigtimedwait", "rt_tgsigqueueinfo",
    "sched_get_priority_max", "sched_get_priority_min", "sched_getaffinity", "sched_getattr", "sched_getparam",
    "sched_getscheduler", "sched_rr_get_interval", "sched_setaffinity", "sched_setattr", "sched_setparam",
    "sched_setscheduler", "sched_yield", "seccomp", "select", "semctl", "semget", "semop", "semtimedop", "sendfile",
    "sendmmsg", "sendmsg", "sendto", "set_mempolicy", "set_mempolicy_home_node", "set_robust_list",
    "set_thread_area", "set_tid_address", "setfsgid", "setfsuid", "setgid", "setgroups", "setitimer", "setpgid",
    "setpriority", "setregid", "setresgid", "setresuid", "setreuid", "setrlimit", "setsid", "setsockopt", "setuid",
    "setxattr", "shmat", "shmctl", "shmdt", "shmget", "shutdown", "sigaltstack", "signalfd", "signalfd4",
    "socketpair", "splice", "stat", "statfs", "statx", "symlink", "symlinkat", "sync", "sync_file_range",
    "sync_file_range2", "syncfs", "sysinfo", "tee", "tgkill", "time", "timer_create", "timer_delete",
    "timer_getoverrun", "timer_gettime", "timer_settime", "timerfd_create", "timerfd_gettime", "timerfd_settime",
    "times", "tkill", "truncate", "umask", "uname", "unlink", "unlinkat", "utime", "utimensat", "utimes", "vfork",
    "vmsplice", "wait4", "waitid", "write", "writev",
};

/* Most of these need a capability too, which a job has not: denied once more, for a kernel that forgets to ask. The
 * rest is where escapes came from. */
static const char *const refused[] = {
    "acct", "add_key", "bpf", "clock_adjtime", "clock_settime", "create_module", "delete_module", "fanotify_init",
    "fanotify_mark", "finit_module", "fsconfig", "fsmount", "fsopen", "fspick", "get_kernel_syms", "init_module",
    "ioperm", "iopl", "kcmp", "kexec_file_load", "kexec_load", "keyctl", "lookup_dcookie", "migrate_pages", "mount",
    "mount_setattr", "move_mount", "move_pages", "name_to_handle_at", "nfsservctl", "open_by_handle_at",
    "open_tree", "perf_event_open", "pidfd_getfd", "pivot_root", "query_module", "quotactl", "quotactl_fd",
    "reboot", "request_key", "setdomainname", "sethostname", "setns", "settimeofday", "stime", "swapoff", "swapon",
    "sysfs", "syslog", "umount", "umount2", "unshare", "uselib", "userfaultfd", "ustat", "vhangup", "vm86",
    "vm86old",
};

/* CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET: threads and processes, but no namespaces. */
enum {
    CLONE_NAMESPACES = 0x00020000 | 0x02000000 | 0x04000000 | 0x08000000 | 0x10000000 | 0x20000000 | 0x40000000,
};

/* Calls whose first argument decides. */
static const struct {
    const char *call, *comparison;
    int64_t value, value_two;
    int errno_value; /* 0: allowed */
} conditional[] = {
    { "clone", "SCMP_CMP_MASKED_EQ", CLONE_NAMESPACES, 0, 0 },
    /* Its flags are in memory, where a filter cannot look: ENOSYS makes the C library use clone. */
    { "clone3", NULL, 0, 0, ENOSYS },
    /* AF_UNIX, AF_INET, AF_INET6, AF_NETLINK (a list of interfaces). Not the kernel's ciphers (AF_ALG), nor the host of
     * a virtual machine (AF_VSOCK), nor protocols nobody has looked at for years. */
    { "socket", "SCMP_CMP_EQ", 1, 0, 0 },
    { "socket", "SCMP_CMP_EQ", 2, 0, 0 },
    { "socket", "SCMP_CMP_EQ", 10, 0, 0 },
    { "socket", "SCMP_CMP_EQ", 16, 0, 0 },
    { "socket", "SCMP_CMP_GT", 16, 0, EAFNOSUPPORT },
    /* PER_LINUX, PER_LINUX32, each without UNAME26 or with, and "which is it?" */
    { "personality", "SCMP_CMP_EQ", 0x0, 0, 0 },
    { "personality", "SCMP_CMP_EQ", 0x8, 0, 0 },
    { "personality", "SCMP_CMP_EQ", 0x20000, 0, 0 },
    { "personality", "SCMP_CMP_EQ", 0x20008, 0, 0 },
    { "personality", "SCMP_CMP_EQ", 0xffffffff, 0, 0 },
};

static struct doc *names_of(struct arena *a, const char *const *names, size_t count)
{
    struct doc *list = doc_list(a);

    for (size_t i = 0; i < count; i++)
        doc_append(a, list, doc_string(a, names[i]));
    return list;
}

/* errno_value 0: the calls are allowed. */
static struct doc *rule_of(struct arena *a, struct doc *names, int errno_value)
{
    struct doc *rule = doc_map(a);

    doc_set(a, rule, "names", names);
    doc_set_string(a, rule, "action", errno_value ? "SCMP_ACT_ERRNO" : "SCMP_ACT_ALLOW");
    if (errno_value)
        doc_set_integer(a, rule, "errnoRet", errno_value);
    return rule;
}

static void add_condition(struct arena *a, struct doc *rule, const char *comparison, int64_t value, int64_t value_two)
{
    struct doc *argument = doc_map(a);

    doc_set_integer(a, argument, "index", 0);
    doc_set_integer(a, argument, "value", value);
    doc_set_integer(a, argument, "valueTwo", value_two);
    doc_set_string(a, argument, "op", comparison);
    doc_append(a, doc_member(a, rule, "args", DOC_LIST), argument);
}

struct doc *seccomp_profile(struct arena *a)
{
    struct doc *profile = doc_map(a), *rules = doc_list(a);

    doc_set_string(a, profile, "defaultAction", "SCMP_ACT_ERRNO");
    doc_set_integer(a, profile, "defaultErrnoRet", ENOSYS);
    doc_append(a, doc_member(a, profile, "architectures", DOC_LIST), doc_string(a, architecture));
    doc_append(a, rules, rule_of(a, names_of(a, allowed, sizeof allowed / sizeof *allowed), 0));
    doc_append(a, rules, rule_of(a, names_of(a, refused, sizeof refused / sizeof *refused), EPERM));
    for (size_t i = 0; i < sizeof conditional / sizeof *conditional; i++) {
        struct doc *rule = rule_of(a, names_of(a, &conditional[i].call, 1), conditional[i].errno_value);

        if (conditional[i].comparison)
            add_condition(a, rule, conditional[i].comparison, conditional[i].value, conditional[i].value_two);
        doc_append(a, rules, rule);
    }
    doc_set(a, profile, "syscalls", rules);
    return profile;
}
