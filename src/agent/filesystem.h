/* filesystem.h - a channel that is a directory of this machine. */
#ifndef AGENT_FILESYSTEM_H
#define AGENT_FILESYSTEM_H

#include "agent/channel.h"

/* Binds the channel's directory to a folder below the agent's, which the container can be given. Again is harmless.
 * Unmounted with everything else below the agent's folder. ERR_INVALID: it is not there, or leads out of its file
 * system. */
int filesystem_mount(struct arena *, const char *agent_folder, const struct channel *, const char **ret,
                     struct err *err);

#endif
