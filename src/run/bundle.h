/* bundle.h - config.json of an OCI runtime: what a container may see and do.
 *
 * The defaults are the safe ones: few capabilities, no new privileges, system calls that are no business of a job's
 * denied, namespaces of its own for everything. */
#ifndef RUN_BUNDLE_H
#define RUN_BUNDLE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"

struct bundle_mount {
    const char *source, *at;
    bool read_only;
};

/* A device that the container may use: a node of its own, or, where 'source' is a plain file, that file. */
struct bundle_device {
    const char *source, *at;
    bool is_node;
    int major, minor;
};

struct bundle {
    const char *root;                     /* absolute */
    const char *const *arguments;         /* of pid 1, NULL-terminated */
    const char *const *environment;       /* "NAME=value", NULL-terminated */
    const char *host_name;
    const struct bundle_mount *mounts;    /* on top of /proc, /sys, /dev..., in this order */
    int mount_count;
    const struct bundle_device *devices;  /* beside /dev/null and its like */
    int device_count;
    const char *network_namespace;        /* path */
    const char *cgroup_path;
    int64_t memory_bytes;                 /* 0: no limit */
    int64_t cpu_weight;                   /* 100 is usual, as in cgroup v2; 0: usual */
    double cpus;                          /* 0: all there are */
    int64_t pids;                         /* processes and threads */
};

char *bundle_json(struct arena *, const struct bundle *);

#endif
