/* measure.h - how big the objects are that a manifest names, for it does not say it. */
#ifndef AGENT_MEASURE_H
#define AGENT_MEASURE_H

#include "agent/channel.h"

/* Of this host's part, as channel_share() gave it. ERR_NOT_FOUND: one is not there. */
int measure_objects(const struct transfer *, struct s3 *, const struct channel *, struct channel_object *,
                    const uint32_t *order, size_t count, struct err *err);

#endif
