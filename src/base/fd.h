/* fd.h - descriptors, files and folders: whole reads, atomic writes, trees. */
#ifndef BASE_FD_H
#define BASE_FD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <sys/types.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"

void fd_cleanup(int *fd);
#define _cleanup_fd_ __attribute__((cleanup(fd_cleanup)))

int fd_write_all(int fd, const void *data, size_t size, struct err *err);
int fd_read_all(struct arena *, int fd, size_t limit_bytes, struct str *ret,
                struct err *err); /* more than limit: ERR_LIMIT */
int fd_nonblocking(int fd, struct err *err);

/* ERR_NOT_FOUND when there is no such file. The bytes are followed by a NUL. */
int file_read(struct arena *, const char *path, size_t limit_bytes, struct str *ret, struct err *err);

/* Whole or not at all, and on disk when it returns: temporary name, fsync, rename, fsync of the folder. */
int file_write_atomic(const char *path, const void *data, size_t size, mode_t mode, struct err *err);

/* The same, and nothing is written when it holds these bytes already: what starts on a full disk needs no room. */
int file_ensure(const char *path, const void *data, size_t size, mode_t mode, struct err *err);

/* A regular file by a path that somebody else names, for reading: never outside of the folder, neither by "..", an
 * absolute path nor a link. ERR_DENIED: it leads out, or is no regular file; ERR_NOT_FOUND: there is none. */
int file_open_beneath(const char *folder, const char *path, int *ret_fd, struct err *err);

bool path_exists(const char *path);
int folder_make(const char *path, mode_t mode, struct err *err); /* and its parents; there already is fine */
int folder_sync(const char *path, struct err *err);
int64_t folder_disk_bytes(const char *path); /* the size of its file system; 0: not known */

/* Removes a file or a whole tree, of any depth, without following links and without crossing into another file system.
 * Not there is fine. */
int tree_remove(const char *path, struct err *err);
/* The same until *stop becomes true: then it returns 0, and the rest stands. */
int tree_remove_until(const char *path, const atomic_bool *stop, struct err *err);

#endif
