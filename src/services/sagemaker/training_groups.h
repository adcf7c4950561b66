/* training_groups.h - ResourceConfig.InstanceGroups: the instances of a job by groups, each of a type of its own.
 *
 * algo-1, algo-2... are numbered through the groups in their order. A job without InstanceGroups has one, with the name
 * that AWS gives it. */
#ifndef SERVICES_SAGEMAKER_TRAINING_GROUPS_H
#define SERVICES_SAGEMAKER_TRAINING_GROUPS_H

#include "services/sagemaker/training.h"

enum { TRAINING_GROUPS_MOST = 5 };

struct training_group {
    const char *name, *type;
    int64_t first, count; /* the number of its first instance, from 0 */
};

int training_group_count(const struct training_spec *);
struct training_group training_group(const struct training_spec *, int number);      /* from 0 */
struct training_group training_group_of(const struct training_spec *, int instance); /* the one that it is in */

/* Either groups, or a type and a count. */
int training_check_groups(const struct doc *input, const struct training_spec *, struct err *err);

/* Of a channel: the groups that it names are there. */
int training_check_channel_groups(const struct training_spec *, const struct doc *channel, struct err *err);
bool training_channel_is_for(const struct doc *channel, const char *group);

/* "algo-3"... of those in a group that the channel is for; NULL: it is for all instances. */
struct doc *training_channel_hosts(struct arena *, const struct training_spec *, const struct doc *channel);

/* For the order: [{name, instance_type, hosts}]. */
struct doc *training_groups_told(struct arena *, const struct training_spec *);

#endif
