/* box.h - the container of one order, from its root to its end, whether runc or nothing is around it.
 *
 * Everything a box has hangs on its name and its folder: a second agent on the same folder finds it. Only what the
 * kernel says counts - a lock that init holds, a record that init wrote - never what an agent remembers.
 *
 *     <folder>/box/        lock, started, exit.json: written by init
 *     <folder>/root/       the root; upper/ and work/ beside it for an OCI image
 *     <folder>/config.json the OCI bundle
 *     <folder>/stdout      what the command writes to stdout and stderr, in its order
 *     <folder>/runc.log    what runc says */
#ifndef RUN_BOX_H
#define RUN_BOX_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "run/bundle.h"
#include "run/exitrecord.h"
#include "run/image.h"
#include "run/network.h"

struct box {
    const char *name;       /* of the container */
    const char *folder;     /* absolute */
    const char *run_folder; /* runc's state and the network's name */
    const char *images;     /* what containers share; only for box_start */
    bool process;           /* no container around it */
};

struct box_order {
    const struct image *image;
    const char *const *arguments;   /* the whole command; NULL-terminated */
    const char *const *environment; /* NULL-terminated */
    const char *host_name;
    const char *const *hosts;       /* lines for /etc/hosts, NULL-terminated */
    const struct network *network;  /* of network_setup; NULL with process */
    const struct bundle_mount *mounts;
    int mount_count;
    const struct bundle_device *devices;
    int device_count;
    int64_t memory_bytes, cpu_weight; /* 0: no limit, usual */
    double cpus;                      /* 0: all */
};

/* Starts it, at most once for what box/ holds: started already is fine. Returns when the command was started or has
 * already ended. ERR_INVALID: it can never start, the text is for the user. */
int box_start(struct arena *, const struct box *, const struct box_order *, struct err *err);

/* Makes the container of an order whose command is not known yet: it waits, and a box_start() of an order that differs
 * in nothing but command, environment and names of hosts only wakes it; of another, it starts its own. 'helper' (the
 * program and its arguments, NULL-terminated; may be empty) is a process that stands by to become the command, where
 * that is the same program. Waiting or started already is fine. Not of a process. */
int box_prepare(struct arena *, const struct box *, const struct box_order *, const char *const *helper,
                struct err *err);

int box_look(struct arena *, const struct box *, struct exit_record *ret, struct err *err);

enum box_signal { BOX_TERMINATE, BOX_KILL };
int box_signal(struct arena *, const struct box *, enum box_signal, struct err *err); /* not running is fine */

/* Removes the container with its root and its record, so that it can be started again. ERR_CONFLICT while it runs. */
int box_clear(struct arena *, const struct box *, struct err *err);

/* Kills what runs, removes container, mounts, cgroup, network. The folder stays. Again is fine. */
int box_remove(struct arena *, const struct box *, struct err *err);

#endif
