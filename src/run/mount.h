/* mount.h - overlays, and what is mounted below a folder. */
#ifndef RUN_MOUNT_H
#define RUN_MOUNT_H

#include <stdbool.h>

#include "base/arena.h"
#include "base/err.h"

/* The lowest layer first. Mounted there already is fine. 'upper' and 'work' are folders on one file system. */
int mount_overlay(const char *const *layers, int count, const char *upper, const char *work, const char *at,
                  struct err *err);

bool mount_is_point(const char *path); /* something is mounted exactly there */

/* The same, and on which device ("0:52"), without a word with the mount itself: who answers for it may be gone. The
 * path as the kernel has it: absolute, without links. */
bool mount_find(struct arena *, const char *path, const char **ret_device);

/* The type of file systems that a program of ours answers for. */
#define MOUNT_FUSE "fuse.sagebrush"

/* Whoever waits for an answer of a MOUNT_FUSE at or below the folder gets an error, now and from now on. Until then not
 * even a kill ends it. */
void mount_abort(struct arena *, const char *folder);

/* Unmounts everything at or below the folder, and overlays whose upper folder is in it, the latest first. Nothing
 * there is fine. */
int mount_clear(struct arena *, const char *folder, struct err *err);

#endif
