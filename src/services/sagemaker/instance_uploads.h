/* instance_uploads.h - what an agent had begun to upload when it was killed, or its node was lost: parts in S3 that
 * nobody sees and nobody will put together. */
#ifndef SERVICES_SAGEMAKER_INSTANCE_UPLOADS_H
#define SERVICES_SAGEMAKER_INSTANCE_UPLOADS_H

#include "engine/kind.h"

/* Before the agent is forgotten: its order says where it uploads to. Again is fine, and so is no such agent. */
int instance_uploads_abandon(struct pass *, const char *agent, struct err *err);

#endif
