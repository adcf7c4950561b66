/* gpu_files.h - what a container needs to use GPUs: their device files, and the driver's own libraries and nvidia-smi,
 * which no image brings because they belong to the kernel module.
 *
 * The libraries stand in GPU_LIBRARIES there, for LD_LIBRARY_PATH. Nothing but the granted GPUs' own files is given, so
 * no other GPU can be seen or used. Device files are looked for in /dev, or in $SAGEBRUSH_GPU_DEVICES (a test's). */
#ifndef RUN_GPU_FILES_H
#define RUN_GPU_FILES_H

#include "base/arena.h"
#include "base/err.h"
#include "run/bundle.h"

#define GPU_LIBRARIES "/usr/local/nvidia/lib64"

enum { GPU_FILES_MOST = 96 }; /* of each kind */

struct gpu_files {
    struct bundle_mount mounts[GPU_FILES_MOST];
    int mount_count;
    struct bundle_device devices[GPU_FILES_MOST];
    int device_count;
};

/* 'minors' of the GPUs; 'library' is the path of libnvidia-ml.so.1. ERR_INTERNAL: a GPU has no device file. */
int gpu_files_find(struct arena *, const int *minors, int count, const char *library, struct gpu_files *ret,
                   struct err *err);

#endif
