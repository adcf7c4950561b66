/* channel.h - a channel of input data: the objects that it names, as files of this host. */
#ifndef AGENT_CHANNEL_H
#define AGENT_CHANNEL_H

#include "agent/fetch.h"

struct channel {
    const char *name, *uri, *bucket, *prefix, *folder;
    bool sharded;
    size_t seen; /* objects so far, for sharding */
    int64_t bytes;
};

/* Adds what the channel names to what is fetched; *bytes grows by its size. */
int channel_list(const struct transfer *, struct s3 *, struct arena *, struct fetch *, const struct doc *,
                 int64_t *bytes, struct err *err);

/* Every object below a prefix. None: ERR_NOT_FOUND, in AWS's words. */
int channel_list_prefix(const struct transfer *, struct s3 *, struct arena *, struct fetch *, struct channel *,
                        struct err *err);

/* ERR_LIMIT: neither the volume nor the disk has room for so much. */
int channel_check_room(const struct transfer *, int64_t bytes, struct err *err);

#endif
