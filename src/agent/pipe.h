/* pipe.h - a channel in Pipe mode: /opt/ml/input/data/<channel>_<epoch>, one FIFO after the other.
 *
 * The FIFOs are filled by sagebrush-data, which lives on when the agent is killed. A pipe that breaks in the middle
 * cannot be told from one that has ended by whoever reads it, so it never ends by a fault: it is held open, and the
 * agent ends the job. */
#ifndef AGENT_PIPE_H
#define AGENT_PIPE_H

#include "agent/channel.h"

/* Before the container starts: what the channel names is there, and its first FIFO too. */
int pipe_prepare(const struct transfer *, struct s3 *, const struct channel *, struct err *err);

/* Fills FIFO after FIFO; returns only with a failure, which leaves the pipe open that is being read. */
int pipe_serve(const struct transfer *, const struct channel *, struct err *err);

#endif
