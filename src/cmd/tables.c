/* tables.c - every operation that is here, put together from the services. */
#include "cmd/tables.h"

#include <stddef.h>

#include "services/cloudwatch/cloudwatch.h"
#include "services/events/events.h"
#include "services/fis/fis.h"
#include "services/iam/identity.h"
#include "services/logs/logs.h"
#include "services/s3/s3.h"
#include "services/sagemaker/kinds.h"

static const struct kind *const *const kind_tables[] = { sagemaker_kinds, fis_kinds };

const struct kind *const *all_kinds(struct arena *a)
{
    const struct kind **all;
    size_t count = 0;

    for (size_t t = 0; t < sizeof kind_tables / sizeof *kind_tables; t++)
        for (const struct kind *const *k = kind_tables[t]; *k; k++)
            count++;
    all = arena_array_of(a, const struct kind *, count + 1);
    count = 0;
    for (size_t t = 0; t < sizeof kind_tables / sizeof *kind_tables; t++)
        for (const struct kind *const *k = kind_tables[t]; *k; k++)
            all[count++] = *k;
    return all;
}

const struct service_ops *const service_tables[] = {
    &cloudwatch_ops, &events_ops, &fis_ops, &iam_ops, &logs_ops, &s3_ops, &sagemaker_ops, &sts_ops, NULL,
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
