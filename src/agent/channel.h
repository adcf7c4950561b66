/* channel.h - a channel of input data: what it names in S3, and which of it this host gets in which order. */
#ifndef AGENT_CHANNEL_H
#define AGENT_CHANNEL_H

#include "agent/s3.h"
#include "agent/transfer.h"

enum channel_mode { CHANNEL_FILE, CHANNEL_PIPE, CHANNEL_FAST, CHANNEL_FOLDER /* of a file system */ };

struct channel {
    const char *name, *uri, *bucket, *prefix;
    enum channel_mode mode;
    enum { CHANNEL_PREFIX, CHANNEL_MANIFEST, CHANNEL_LINES } type;
    bool sharded, shuffled, gzip, records;
    int64_t seed;
    const struct doc *attributes; /* of a line, in this order */
    size_t place, hosts;          /* this host among those that share the channel */
    const char *folder, *directory; /* of a file system: what may be seen, and the path below it */
    const char *files;            /* where its files go, below /opt/ml */
    bool read_only;
};

/* As the order has it. ERR_INVALID: it is none that can be read. */
int channel_read(struct arena *, const struct order *, const struct doc *, struct channel *ret, struct err *err);

struct channel_object {
    const char *bucket, *key;
    const char *local;  /* below the channel's folder; "": of no file */
    int64_t size_bytes; /* -1: not known */
};

/* Everything that a prefix or a manifest names, in its order, for all hosts. A prefix without objects: ERR_NOT_FOUND,
 * in AWS's words. */
int channel_objects(const struct transfer *, struct s3 *, struct arena *, const struct channel *,
                    struct channel_object **ret, size_t *ret_count, struct err *err);

/* The places of this host's part of 'count' things, in the order of the epoch; every host shuffles alike, so that no
 * two take the same thing. 'order' has room for all; returns how many they are. */
size_t channel_share(const struct channel *, uint64_t epoch, uint32_t *order, size_t count);

/* ERR_LIMIT: neither the volume nor the disk has room for so much. */
int channel_check_room(const struct transfer *, int64_t bytes, struct err *err);

/* Is any channel read in this mode? */
bool channel_any(const struct order *, enum channel_mode);

#endif
