#include "services/sagemaker/training_groups.h"

#include <string.h>

#include "services/sagemaker/crew.h"

static const char names_of_channel[] = "DataSource.S3DataSource.InstanceGroupNames";

int training_group_count(const struct training_spec *s)
{
    size_t count = doc_count(s->groups, "");

    return count ? (int)count : 1;
}

struct training_group training_group(const struct training_spec *s, int number)
{
    struct training_group g = { "homogeneousCluster", s->instance_type, 0, s->instance_count };

    if (!doc_count(s->groups, ""))
        return g;
    g.count = 0;
    for (int i = 0; i <= number; i++) {
        const struct doc *group = s->groups->items[i];

        g = (struct training_group){ doc_text(group, "InstanceGroupName"), doc_text(group, "InstanceType"),
                                     g.first + g.count, doc_int(group, "InstanceCount", 0) };
    }
    return g;
}

struct training_group training_group_of(const struct training_spec *s, int instance)
{
    int number = 0;

    while (number < training_group_count(s) - 1 &&
           instance >= training_group(s, number).first + training_group(s, number).count)
        number++;
    return training_group(s, number);
}

static bool has_group(const struct training_spec *s, const char *name)
{
    for (size_t i = 0; i < doc_count(s->groups, ""); i++)
        if (doc_is(s->groups->items[i], "InstanceGroupName", name))
            return true;
    return false;
}

/* --- Create --- */

int training_check_groups(const struct doc *input, const struct training_spec *s, struct err *err)
{
    bool plain = doc_has(input, "ResourceConfig.InstanceType") || doc_has(input, "ResourceConfig.InstanceCount");
    size_t count = doc_count(s->groups, "");

    if (!count) {
        if (!*s->instance_type || s->instance_count < 1)
            return fail_code(err, ERR_INVALID, "ValidationException",
                             "ResourceConfig must have InstanceType and InstanceCount, or InstanceGroups.");
        return 0;
    }
    if (plain)
        return fail_code(err, ERR_INVALID, "ValidationException",
                         "ResourceConfig has either InstanceType and InstanceCount, or InstanceGroups, not both.");
    for (size_t i = 0; i < count; i++) {
        struct training_group g = training_group(s, (int)i);

        if (g.count < 1)
            return fail_code(err, ERR_INVALID, "ValidationException", "Instance group %s must have an instance.",
                             g.name);
        for (size_t k = 0; k < i; k++)
            if (strcmp(training_group(s, (int)k).name, g.name) == 0)
                return fail_code(err, ERR_INVALID, "ValidationException", "Instance group names must be unique: %s",
                                 g.name);
    }
    return 0;
}

int training_check_channel_groups(const struct training_spec *s, const struct doc *channel, struct err *err)
{
    const struct doc *names = doc_at(channel, names_of_channel);

    for (size_t i = 0; i < doc_count(names, ""); i++)
        if (!has_group(s, doc_value_text(names->items[i])))
            return fail_code(err, ERR_INVALID, "ValidationException",
                             "Channel %s: ResourceConfig has no instance group %s.", doc_text(channel, "ChannelName"),
                             doc_value_text(names->items[i]));
    return 0;
}

/* --- What the instances are told --- */

bool training_channel_is_for(const struct doc *channel, const char *group)
{
    const struct doc *names = doc_at(channel, names_of_channel);

    for (size_t i = 0; i < doc_count(names, ""); i++)
        if (strcmp(doc_value_text(names->items[i]), group) == 0)
            return true;
    return doc_count(names, "") == 0;
}

static void append_hosts(struct arena *a, struct doc *hosts, struct training_group g)
{
    for (int64_t i = 0; i < g.count; i++)
        doc_append(a, hosts, doc_string(a, crew_host(a, (int)(g.first + i))));
}

struct doc *training_channel_hosts(struct arena *a, const struct training_spec *s, const struct doc *channel)
{
    struct doc *hosts = doc_list(a);

    if (!doc_count(channel, names_of_channel))
        return NULL;
    for (int i = 0; i < training_group_count(s); i++)
        if (training_channel_is_for(channel, training_group(s, i).name))
            append_hosts(a, hosts, training_group(s, i));
    return hosts;
}

struct doc *training_groups_told(struct arena *a, const struct training_spec *s)
{
    struct doc *all = doc_list(a);

    for (int i = 0; i < training_group_count(s); i++) {
        struct training_group g = training_group(s, i);
        struct doc *group = doc_map(a);

        doc_set_string(a, group, "name", g.name);
        doc_set_string(a, group, "instance_type", g.type);
        append_hosts(a, doc_member(a, group, "hosts", DOC_LIST), g);
        doc_append(a, all, group);
    }
    return all;
}
