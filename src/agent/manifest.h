/* manifest.h - what a channel's manifest names: [{"prefix": "s3://bucket/folder/"}, "a.csv", "b/c.csv"]. */
#ifndef AGENT_MANIFEST_H
#define AGENT_MANIFEST_H

#include <stddef.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"

struct manifest {
    const char *bucket, *prefix;
    const char **names; /* none is empty; a key is the prefix and a name */
    size_t count;
};

/* 'uri' is the manifest's own, for the messages. ERR_INVALID, in words for FailureReason. */
int manifest_read(struct arena *, struct str text, const char *uri, struct manifest *ret, struct err *err);

#endif
