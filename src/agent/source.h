/* source.h - script mode: the user's source archive, in /opt/ml/code before the container starts. */
#ifndef AGENT_SOURCE_H
#define AGENT_SOURCE_H

#include <stdbool.h>

#include "agent/transfer.h"

/* The order names an archive in S3 that source_fetch would bring. */
bool source_wanted(const struct order *);

/* Brings and unpacks it whole, or not at all: what fails is tried again, and told, by the toolkit in the container,
 * which can do it all where there is no agent of ours. An isolated container cannot, so there it is an error. */
int source_fetch(const struct transfer *, struct err *err);

#endif
