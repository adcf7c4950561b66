/* archive.h - tar archives in and out.
 *
 * Unpacking trusts nothing: names with "..", absolute names and links that lead out are refused, no link is ever
 * followed, device nodes are refused, and the limits count what really would be written. */
#ifndef RUN_ARCHIVE_H
#define RUN_ARCHIVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

struct archive_limits {
    int64_t bytes; /* of all files together, unpacked; 0: no limit */
    int64_t files; /* entries; 0: a million */
};

enum archive_form {
    ARCHIVE_DATA,  /* a user's archive: owner root, no set-user bits, links stay inside, devices are refused */
    ARCHIVE_LAYER, /* a layer of an image: owners and modes kept, devices skipped, whiteouts become overlayfs's own */
};

/* Into an existing folder. ERR_INVALID: the archive is bad or breaks a rule; ERR_LIMIT: too much. What was unpacked
 * until then stays. */
int archive_unpack(const char *path, const char *folder, enum archive_form, const struct archive_limits *,
                   struct err *err);
int archive_unpack_fd(int fd, const char *folder, enum archive_form, const struct archive_limits *, struct err *err);
int archive_unpack_memory(const void *data, size_t size, const char *folder, enum archive_form,
                          const struct archive_limits *, struct err *err);

/* A plain tar that comes in pieces, the last of them empty. Where read() fails, its error is the archive's. */
struct archive_source {
    int (*read)(void *data, struct str *ret_piece, struct err *err);
    void *data;
};

int archive_unpack_from(const struct archive_source *, const char *folder, enum archive_form,
                        const struct archive_limits *, struct err *err);

/* The folder's content, at the archive's root, as tar.gz: sorted by name, owner root, links that lead out left out,
 * sockets and pipes too. The same tree gives the same bytes. When 'cancel_fd' (-1: none) can be read it ends with
 * ERR_CONFLICT. *ret_files may be NULL. */
int archive_pack(const char *folder, const char *path, int cancel_fd, int64_t *ret_files, struct err *err);

/* The same as a plain tar, to a function; holes stay holes. Where write() fails, its error is the archive's. */
struct archive_sink {
    int (*write)(void *data, const void *bytes, size_t size, struct err *err);
    void *data;
};

int archive_pack_to(const char *folder, const struct archive_sink *, int cancel_fd, struct err *err);

#endif
