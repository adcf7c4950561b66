/* gpu_watch.h - the GPUs of a container that runs, look by look: what has come over them since it started.
 *
 * One look is no evidence: a sign counts when it was seen GPU_LOOKS times in a row, and is over when it was not seen as
 * often. What was there before the container started is for the check before it (check_gpu.c). */
#ifndef AGENT_GPU_WATCH_H
#define AGENT_GPU_WATCH_H

#include "base/arena.h"
#include "doc/doc.h"
#include "run/gpu.h"

enum { GPU_LOOKS = 3, GPU_SIGNS = 6 };

struct gpu_watch { /* starts as zeros */
    struct gpu_seen {
        bool known;
        struct gpu_sample before; /* the container started; of what is counted, the least so far */
        struct {
            bool on;
            int changing; /* for so many looks it has been otherwise */
        } signs[GPU_SIGNS];
    } gpus[GPU_MOST];
};

/* True: what is said of this GPU has changed. */
bool gpu_watch_look(struct gpu_watch *, int place, const struct gpu_sample *);

/* What was counted before the container started, for the watch of another agent; NULL: this GPU was not seen yet. */
struct doc *gpu_watch_before(struct arena *, const struct gpu_watch *, int place);
void gpu_watch_recall(struct gpu_watch *, int place, const struct doc *before);

/* Why nothing can go on there; NULL: nothing speaks against it. */
const char *gpu_watch_trouble(struct arena *, const struct gpu_watch *, int place, int index);

/* What is to be looked into while all goes on; NULL: nothing. */
const char *gpu_watch_warning(struct arena *, const struct gpu_watch *, int place, int index);

#endif
