/* archive_impl.h - what the two ways of archive.h share, and the one place that knows libarchive. */
#ifndef RUN_ARCHIVE_IMPL_H
#define RUN_ARCHIVE_IMPL_H

#include <archive.h>
#include <archive_entry.h>

#include "run/archive.h"

enum { ARCHIVE_BLOCK = 1 << 18, ARCHIVE_DEPTH = 128 };

/* A link's target, as seen from the folder that the link is in, stays below the root? 'at' is the link's own path. */
bool archive_link_stays(const char *at, const char *target);

#endif
