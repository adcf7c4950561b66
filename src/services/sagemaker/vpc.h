/* vpc.h - VpcConfig: the subnets that a container is to be in, and the security groups that say what it may reach. */
#ifndef SERVICES_SAGEMAKER_VPC_H
#define SERVICES_SAGEMAKER_VPC_H

#include "engine/call.h"

/* The request's, at 'path': refused, unless the setting "vpc" says that our network is just that. Without one all is
 * well. */
int vpc_check(const struct call *, const char *path, struct err *err);

#endif
