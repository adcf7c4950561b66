/* ops.c - the operations of CloudWatch metrics that are here. */
#include "services/cloudwatch/cloudwatch.h"
#include "services/cloudwatch/series.h"

static const struct op ops[] = {
    { "PutMetricData", cloudwatch_put, OP_RUN, NULL, OP_WRITES },
    { "GetMetricStatistics", cloudwatch_get_statistics, OP_RUN, NULL, OP_READS },
    { "GetMetricData", cloudwatch_get_data, OP_RUN, NULL, OP_READS },
    { "ListMetrics", cloudwatch_list, OP_RUN, NULL, OP_READS },
    {},
};

const struct service_ops cloudwatch_ops = { "cloudwatch", ops };
