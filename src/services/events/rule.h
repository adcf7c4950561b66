/* rule.h - the rules of the default event bus, and where they and what is to be delivered lie in the ordered tables.
 *
 *     core_events_rules   account 0 region 0 name    a JSON record: EventPattern, State, Description, RoleArn, tags,
 *                                                    targets [as PutTargets gave them]
 *     core_events_next    "sequence"                 the number of the next delivery
 *     core_events_outbox  number(8)                  a JSON record: account, region, rule, target, arn, at_ms, text
 *
 * All are in the file of the rows, so that a delivery is there when, and only when, what it tells of is. */
#ifndef SERVICES_EVENTS_RULE_H
#define SERVICES_EVENTS_RULE_H

#include "engine/engine.h"
#include "store/store.h"

struct bus { /* of one account and region */
    struct arena *arena;
    struct store *store;
    const char *account, *region;
};

struct rule {
    const char *name;
    struct doc *record;
};

struct bus bus_of(struct call *);

/* The default bus by name or ARN, or none named; else AWS's refusal. */
int bus_check(struct bus *, const char *name_or_arn, struct err *err);

const char *rule_arn(struct bus *, const char *name);
int rule_open(struct bus *, const char *name, struct rule *ret, struct err *err); /* AWS's words when it is not there */
int rule_save(struct bus *, const struct rule *, struct err *err);

/* All rules in the order of their names: a bus has 300 at most. */
int rule_all(struct bus *, struct rule **ret, int *ret_count, struct err *err);

int events_put_rule(struct call *, struct err *);
int events_describe_rule(struct call *, struct err *);
int events_delete_rule(struct call *, struct err *);
int events_enable_rule(struct call *, struct err *);
int events_disable_rule(struct call *, struct err *);
int events_list_rules(struct call *, struct err *);
int events_list_rules_of_target(struct call *, struct err *);
int events_tag(struct call *, struct err *);
int events_untag(struct call *, struct err *);
int events_list_tags(struct call *, struct err *);

int events_put_targets(struct call *, struct err *);
int events_remove_targets(struct call *, struct err *);
int events_list_targets(struct call *, struct err *);

int events_put_events(struct call *, struct err *);
int events_test_pattern(struct call *, struct err *);
int events_describe_bus(struct call *, struct err *);
int events_list_buses(struct call *, struct err *);

#endif
