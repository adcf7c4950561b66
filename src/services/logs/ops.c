/* ops.c - the operations of CloudWatch Logs that are here. */
#include "services/logs/logs.h"
#include "services/logs/records.h"

static const char group_resource[] = "arn:aws:logs:{region}:{account}:log-group:{logGroupName}";
static const char stream_resource[] =
    "arn:aws:logs:{region}:{account}:log-group:{logGroupName}:log-stream:{logStreamName}";

#define OP(name, run, flags, resource) { name, run, OP_RUN, NULL, flags, NULL, resource }

static const struct op ops[] = {
    OP("CreateLogGroup", logs_create_group, OP_WRITES, group_resource),
    OP("DeleteLogGroup", logs_delete_group, OP_WRITES, group_resource),
    OP("DescribeLogGroups", logs_describe_groups, OP_READS, "*"),
    OP("PutRetentionPolicy", logs_put_retention, OP_WRITES, group_resource),
    OP("DeleteRetentionPolicy", logs_delete_retention, OP_WRITES, group_resource),
    OP("TagLogGroup", logs_tag, OP_WRITES, group_resource),
    OP("UntagLogGroup", logs_untag, OP_WRITES, group_resource),
    OP("ListTagsLogGroup", logs_list_tags, OP_READS, group_resource),
    OP("TagResource", logs_tag, OP_WRITES, "{resourceArn}"),
    OP("UntagResource", logs_untag, OP_WRITES, "{resourceArn}"),
    OP("ListTagsForResource", logs_list_tags, OP_READS, "{resourceArn}"),
    OP("PutResourcePolicy", logs_put_policy, OP_WRITES, "*"),
    OP("DeleteResourcePolicy", logs_delete_policy, OP_WRITES, "*"),
    OP("DescribeResourcePolicies", logs_describe_policies, OP_READS, "*"),
    OP("CreateLogStream", logs_create_stream, OP_WRITES, stream_resource),
    OP("DeleteLogStream", logs_delete_stream, OP_WRITES, stream_resource),
    OP("DescribeLogStreams", logs_describe_streams, OP_READS, group_resource),
    OP("PutLogEvents", logs_put_events, OP_WRITES, stream_resource),
    OP("GetLogEvents", logs_get_events, OP_READS, stream_resource),
    OP("FilterLogEvents", logs_filter_events, OP_READS, group_resource),
    {},
};

const struct service_ops logs_ops = { "logs", ops };
