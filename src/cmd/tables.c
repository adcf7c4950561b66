/* tables.c - every operation that is here, put together from the services. */
#include "cmd/tables.h"

#include <stddef.h>

#include "services/cloudwatch/cloudwatch.h"
#include "services/events/events.h"
#include "services/iam/identity.h"
#include "services/logs/logs.h"
#include "services/s3/s3.h"
#include "services/sagemaker/kinds.h"

const struct service_ops *const service_tables[] = {
    &cloudwatch_ops, &events_ops, &iam_ops, &logs_ops, &s3_ops, &sagemaker_ops, &sts_ops, NULL,
};

static const struct op runtime_ops[] = {
    { "InvokeEndpoint" },
    { "InvokeEndpointWithResponseStream" },
    {},
};

static const struct service_ops runtime = { "sagemaker-runtime", runtime_ops };

const struct service_ops *const direct_tables[] = {
    &runtime,
    NULL,
};
