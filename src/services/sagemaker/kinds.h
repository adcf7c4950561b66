/* kinds.h - the nouns of SageMaker. */
#ifndef SERVICES_SAGEMAKER_KINDS_H
#define SERVICES_SAGEMAKER_KINDS_H

#include "engine/kind.h"

extern const struct service_ops sagemaker_ops;
extern const struct kind *const sagemaker_kinds[]; /* NULL-terminated */

extern const struct kind training_job, processing_job, model, endpoint_config, endpoint;

/* What an endpoint needs of the other two, so that they may be deleted under it: a map with EndpointConfigName and
 * Variants [{VariantName, ModelName, InstanceType, InstanceCount, Weight, StartupSeconds, RoleArn, Isolated, Image,
 * ModelDataUrl, ModelDataSource, Environment}]. */
int endpoint_config_resolve(struct call *, const char *endpoint_config_name, struct doc **ret, struct err *err);

#endif
