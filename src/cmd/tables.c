/* tables.c - every operation that is here, put together from the services. */
#include "cmd/tables.h"

const struct service_ops *const service_tables[] = {
    NULL,
};

static const struct op runtime_ops[] = {
    { "InvokeEndpoint" },
    {},
};

static const struct service_ops runtime = { "sagemaker-runtime", runtime_ops };

const struct service_ops *const direct_tables[] = {
    &runtime,
    NULL,
};
