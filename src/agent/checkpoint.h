/* checkpoint.h - /opt/ml/checkpoints: restored from S3, and uploaded while the job runs. */
#ifndef AGENT_CHECKPOINT_H
#define AGENT_CHECKPOINT_H

#include <stdbool.h>

#include "agent/transfer.h"

/* Earlier attempts' checkpoints; none is fine. */
int checkpoint_restore(const struct transfer *, struct err *err);

/* Uploads the checkpoints that are new or changed since the last call, which a file in the folder remembers. */
int checkpoint_sync(const struct transfer *, const char *local, bool closing, struct err *err);

#endif
