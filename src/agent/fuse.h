/* fuse.h - the kernel's FUSE protocol for a tree that is only read; everything else of it is in fuse.c.
 *
 * A server keeps nothing that the kernel relies on but the numbers of the index: one that takes a descriptor over from
 * another that died goes on in the middle, and has what the other had not answered sent again. */
#ifndef AGENT_FUSE_H
#define AGENT_FUSE_H

#include "agent/fastindex.h"

struct fuse_tree {
    const struct fast_index *index;
    /* Waits. -1: errno value in *ret_errno. */
    int64_t (*read)(void *data, uint32_t entry, int64_t offset, char *to, int64_t size, int *ret_errno);
    void (*begun)(void *data); /* the kernel has agreed to the mount */
    void *data;
};

/* The connection of a new mount at the folder, read-only: a descriptor that anybody may serve who has it; the mount
 * lives as long as one of its copies. ERR_UNAVAILABLE: this machine has no FUSE. */
int fuse_mount(const char *folder, int *ret_fd, struct err *err);

/* Answers until the mount is gone. Several threads may serve one descriptor. 'first': the one that asks for what an
 * earlier server has left unanswered. */
void fuse_serve(int fd, const struct fuse_tree *, bool first);

#endif
