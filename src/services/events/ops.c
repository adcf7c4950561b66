/* ops.c - the operations of EventBridge that are here. */
#include "services/events/events.h"
#include "services/events/rule.h"

static const char rule_resource[] = "arn:aws:events:{region}:{account}:rule/{Name}";
static const char target_resource[] = "arn:aws:events:{region}:{account}:rule/{Rule}";
static const char bus_resource[] = "arn:aws:events:{region}:{account}:event-bus/default";

#define OP(name, run, flags, resource) { name, run, OP_RUN, NULL, flags, NULL, resource }

static const struct op ops[] = {
    OP("PutRule", events_put_rule, OP_WRITES, rule_resource),
    OP("DescribeRule", events_describe_rule, OP_READS, rule_resource),
    OP("DeleteRule", events_delete_rule, OP_WRITES, rule_resource),
    OP("EnableRule", events_enable_rule, OP_WRITES, rule_resource),
    OP("DisableRule", events_disable_rule, OP_WRITES, rule_resource),
    OP("ListRules", events_list_rules, OP_READS, "*"),
    OP("ListRuleNamesByTarget", events_list_rules_of_target, OP_READS, "*"),
    OP("PutTargets", events_put_targets, OP_WRITES, target_resource),
    OP("RemoveTargets", events_remove_targets, OP_WRITES, target_resource),
    OP("ListTargetsByRule", events_list_targets, OP_READS, target_resource),
    OP("PutEvents", events_put_events, OP_WRITES, bus_resource),
    OP("TestEventPattern", events_test_pattern, OP_READS, "*"),
    OP("DescribeEventBus", events_describe_bus, OP_READS, bus_resource),
    OP("ListEventBuses", events_list_buses, OP_READS, "*"),
    OP("TagResource", events_tag, OP_WRITES, "{ResourceARN}"),
    OP("UntagResource", events_untag, OP_WRITES, "{ResourceARN}"),
    OP("ListTagsForResource", events_list_tags, OP_READS, "{ResourceARN}"),
    {},
};

const struct service_ops events_ops = { "events", ops };
