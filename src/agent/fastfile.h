/* fastfile.h - a channel in FastFile mode: a mount that shows what is in S3, and reads of it what is read. */
#ifndef AGENT_FASTFILE_H
#define AGENT_FASTFILE_H

#include "agent/channel.h"

/* Before the container starts: lists the channel into its index. */
int fastfile_prepare(const struct transfer *, struct s3 *, const struct channel *, struct err *err);

/* Where the channel is mounted, and where the container has it. */
const char *fastfile_folder(struct arena *, const char *agent_folder, const char *channel);

/* Answers the kernel until the channel is unmounted. */
int fastfile_serve(const struct transfer *, const struct channel *, int fd, struct err *err);

#endif
