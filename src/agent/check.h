/* check.h - is this instance fit for work? Each check looks at one thing of its node and says what it saw.
 *
 * What cannot be seen is not held against the node: a check says so, and it has passed. */
#ifndef AGENT_CHECK_H
#define AGENT_CHECK_H

#include "agent/order.h"
#include "base/clock.h"
#include "run/gpu.h"

struct finding {
    const char *check;    /* "disk" */
    const char *evidence; /* "41.2 GiB free; 16 MiB written and read back at 812 MB/s" */
    bool passed;
    bool unmeasured;      /* passed for want of anything against it; 'evidence' is why */
    int64_t ms;           /* that it took */
    const struct gpu *gpu; /* that has not passed; NULL: it is about none */
};

struct checked { /* all of it lives longer */
    const struct order *order;
    const char *folder; /* of the agent: the disk that the instance uses */
    struct clock *clock;
    int cancel_fd; /* -1: none */
};

enum { CHECKS_MOST = 8 };

/* 'thorough': all of them, in a second or two. Else those that cost nothing anybody would notice. Stops at the first
 * that has not passed. Returns how many were made; ret has room for CHECKS_MOST. */
int check_all(struct arena *, const struct checked *, bool thorough, struct finding *ret);

/* The checks, one a file. They fill in what was seen and whether it passed. */
void check_filesystem(struct arena *, const struct checked *, struct finding *ret); /* check_disk.c: may be written */
void check_disk(struct arena *, const struct checked *, struct finding *ret);
void check_ecc(struct arena *, const struct checked *, struct finding *ret);        /* check_memory.c */
void check_memory(struct arena *, const struct checked *, struct finding *ret);
void check_clock(struct arena *, const struct checked *, struct finding *ret);
void check_cgroup(struct arena *, const struct checked *, struct finding *ret);
void check_gpu(struct arena *, const struct checked *, struct finding *ret);

/* Parts of them, for tests. */

/* Uncorrected errors that the kernel has counted since the boot, below 'root' (EDAC); -1: nobody counts them here. */
#define EDAC "/sys/devices/system/edac/mc"
int64_t ecc_errors(struct arena *, const char *root, const char **ret_where);

/* Why work should not begin on this GPU; NULL: nothing speaks against it. 'xid': the last one it reported, 0: none. */
const char *gpu_trouble(struct arena *, int index, const struct gpu_sample *, int xid);

/* Whether a node's clock, of which the server's is 'ahead_ms', may be trusted when an answer took 'round_trip_ms'. */
bool clock_is_right(int64_t ahead_ms, int64_t round_trip_ms);

#endif
