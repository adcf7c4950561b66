/* hostimage.h - this host as an image, by allowlist: what is not named here is not in the container.
 *
 * /usr read-only, a small /etc of its own, empty /root, /home, /tmp and /usr/local that may be written. So pip can
 * install into /usr/local, and nothing of the host's /usr/local, /root or /home is seen. */
#ifndef RUN_HOSTIMAGE_H
#define RUN_HOSTIMAGE_H

#include "base/arena.h"
#include "base/err.h"
#include "run/bundle.h"

/* Makes <folder>/root; again is fine. What all containers share is kept in 'images'. */
int hostimage_make(struct arena *, const char *images, const char *folder, struct err *err);

/* The mounts that fill it: how many. Room for HOSTIMAGE_MOUNTS. */
enum { HOSTIMAGE_MOUNTS = 24 };
int hostimage_mounts(struct arena *, const char *folder, struct bundle_mount *ret);

#endif
