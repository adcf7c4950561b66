/* stream.h - what a channel names as one stream of bytes, read ahead of who takes them, with bounded memory. */
#ifndef AGENT_STREAM_H
#define AGENT_STREAM_H

#include "agent/channel.h"

/* What there is to stream: objects, or the lines of an augmented manifest. */
struct stream_source {
    struct channel_object *objects;
    struct str *lines;
    size_t count;
};

/* In the arena. ERR_NOT_FOUND: nothing. */
int stream_source_read(const struct transfer *, struct s3 *, struct arena *, const struct channel *,
                       struct stream_source *ret, struct err *err);

struct stream_piece {
    struct str data;
    bool first, last; /* of an object or of an attribute */
    bool value;       /* it is an attribute's own text */
    const char *name; /* for messages */
};

/* Hands out this host's part of an epoch, in order. -1: it failed; another negative number: 'take' returned it. */
int stream_run(const struct transfer *, struct s3 *, const struct channel *, const struct stream_source *,
               uint64_t epoch, int (*take)(void *data, const struct stream_piece *, struct err *err), void *data,
               struct err *err);

#endif
