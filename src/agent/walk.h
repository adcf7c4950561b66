/* walk.h - every regular file below a folder that a job may change meanwhile: only descriptors are followed, never
 * links. */
#ifndef AGENT_WALK_H
#define AGENT_WALK_H

#include <stdbool.h>
#include <sys/stat.h>

#include "base/arena.h"
#include "base/err.h"

struct walk {
    /* 'folder' holds 'name'; 'path' is below the root and lives as long as the arena. */
    int (*file)(void *context, int folder, const char *name, const char *path, const struct stat *, struct err *err);
    /* Before its entries are read; false: they are left out. NULL: every folder is read. The root's path is "". */
    bool (*folder)(void *context, int folder, const char *path);
    void *context;
};

/* What 'path' names below the folder, with links nowhere on the way: the job could put one in any place of it. -1 and
 * errno when it cannot be opened. */
int walk_open(int folder, const char *path, int flags);

int walk(struct arena *, int root, const struct walk *, struct err *err);

#endif
