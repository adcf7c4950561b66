/* instance_id.h - the EC2 names of an instance, made of its agent's: what it is called by its own metadata service, by
 * events about it and by experiments on it. */
#ifndef RUN_INSTANCE_ID_H
#define RUN_INSTANCE_ID_H

#include "base/arena.h"

const char *instance_id(struct arena *, const char *agent);        /* "i-0123456789abcdef0" */
const char *instance_zone(struct arena *, const char *region);     /* "eu-west-1a" */
const char *instance_arn(struct arena *, const char *region, const char *account, const char *id);

#endif
